//! The layer over libwebsockets: its server and its client, and what goes wrong between them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use wirespan_conformance::receiver::Receiver;
use wirespan_conformance::trace::Span;

use crate::programs::under_valgrind;
use crate::{built, root, run, scratch};

/// What every application on the layer is built from.
const LAYER: &[&str] = &["examples/wirespan_lws.c"];

/// Builds an application on the layer; its sources are named from the binding's folder.
fn build(name: &str, sources: &[&str]) -> PathBuf {
    let output = scratch(&format!("lws-{name}")).join(name);
    let library = built();
    let flags = run(Command::new("pkg-config").args(["--cflags", "--libs", "libwebsockets"]));
    run(Command::new("cc")
        .args([
            "-std=c11",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-pedantic",
            "-g",
            "-O1",
        ])
        .arg("-I")
        .arg(root().join("include"))
        .arg("-I")
        .arg(root().join("examples"))
        .args(sources.iter().map(|source| root().join(source)))
        .arg("-o")
        .arg(&output)
        .arg("-L")
        .arg(&library)
        .arg("-lwirespan")
        .args(flags.split_whitespace())
        .arg(format!("-Wl,-rpath,{}", library.display())));
    output
}

/// The server under valgrind; it is killed where a test fails.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(receiver: &Receiver) -> Self {
        let program = build(
            "server",
            &[
                LAYER,
                &["examples/server.c", "examples/wirespan_lws_server.c"],
            ]
            .concat(),
        );
        let mut child = under_valgrind(&program)
            .arg("0")
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut said).unwrap();
        let port = said.strip_prefix("listening on ").unwrap().trim();
        let port = port.parse().unwrap();
        Self { child, port }
    }

    /// Ends it as an operator does, and looks whether it ended well.
    fn stop(mut self) {
        run(Command::new("kill").arg(self.child.id().to_string()));
        assert!(
            self.child.wait().unwrap().success(),
            "the server, or valgrind, found a fault"
        );
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Where it has ended already there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn one<'a>(spans: &'a [Span], name: &str, kind: &str) -> &'a Span {
    let found: Vec<&Span> = spans
        .iter()
        .filter(|span| span.name == name && span.kind.to_string() == kind)
        .collect();
    assert_eq!(found.len(), 1, "{kind} {name} among {spans:?}");
    found[0]
}

#[test]
#[ignore = "needs the built library: make -C bindings-c test"]
fn a_server_serves_a_client_and_both_export_one_trace() {
    let receiver = Receiver::start().unwrap();
    let server = Server::start(&receiver);
    let client = build("client", &[LAYER, &["examples/client.c"]].concat());
    let port = server.port.to_string();
    let printed = run(under_valgrind(&client)
        .args(["127.0.0.1", &port, "echo", "two large pizzas"])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint()));
    assert_eq!(printed, "two large pizzas\n");
    server.stop();

    let wait = Duration::from_secs(10);
    assert!(
        receiver
            .store()
            .wait_until(|received| received.spans.len() >= 4, wait)
    );
    let spans = receiver.store().spans();
    assert_eq!(spans.len(), 4, "{spans:?}");
    let (called, served) = (one(&spans, "echo", "CLIENT"), one(&spans, "echo", "SERVER"));
    let connecting = one(&spans, "websocket.handshake", "CLIENT");
    let accepting = one(&spans, "websocket.handshake", "SERVER");
    assert_eq!(served.parent, Some(called.span_id));
    assert_eq!(served.trace_id, called.trace_id);
    assert_eq!(accepting.parent, Some(connecting.span_id));
    for (call, handshake) in [(called, connecting), (served, accepting)] {
        let links: Vec<_> = call.links.iter().map(|link| link.to.span_id).collect();
        assert_eq!(links, [handshake.span_id]);
        assert!(!call.is_error());
        assert_eq!(call.attributes.int("websocket.stream.sent.chunks"), Some(1));
        assert_eq!(
            call.attributes.int("websocket.stream.received.chunks"),
            Some(1)
        );
    }
    let session = called.attributes.text("websocket.session.id").unwrap();
    for span in &spans {
        assert_eq!(span.attributes.text("websocket.session.id"), Some(session));
        assert_eq!(span.attributes.text("server.address"), Some("127.0.0.1"));
        assert_eq!(span.attributes.int("server.port"), Some(server_port(&port)));
    }
}

fn server_port(port: &str) -> i64 {
    port.parse().unwrap()
}

#[test]
#[ignore = "needs the built library: make -C bindings-c test"]
fn what_goes_wrong_between_them_is_told_and_harms_no_other_connection() {
    let receiver = Receiver::start().unwrap();
    let server = Server::start(&receiver);
    let client = build("other-client", &[LAYER, &["examples/client.c"]].concat());
    let port = server.port.to_string();
    let call = |method: &str| {
        Command::new(&client)
            .args(["127.0.0.1", &port, method, "hello"])
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint())
            .output()
            .unwrap()
    };

    let unknown = call("nobody");
    assert_eq!(unknown.status.code(), Some(1));
    let said = String::from_utf8(unknown.stderr).unwrap();
    assert!(said.starts_with("remote unknown_method\n"), "{said}");

    // No WebSocket at all, and one that goes away in the middle of its handshake, of a message, of a call.
    let talk = |request: &[u8], reads: bool| {
        let mut socket = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        socket.write_all(request).unwrap();
        let mut answer = [0; 512];
        if reads {
            let length = socket.read(&mut answer).unwrap();
            return String::from_utf8_lossy(&answer[..length]).into_owned();
        }
        String::new()
    };
    talk(b"\xff\x57\x01\x00 no HTTP\r\n\r\n", false);
    talk(
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n",
        false,
    );
    let upgrade = "GET /?a=b&wirespan=1.s-1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    let announced = format!("{upgrade}wirespan: 1;session=s-2\r\ntraceparent: 00-zz\r\n\r\n");
    let answer = talk(announced.as_bytes(), true);
    assert!(
        answer
            .to_lowercase()
            .contains("wirespan: 1;session=s-2\r\n"),
        "{answer}"
    );
    // The query announces as well; a client that cannot see headers is greeted by a message.
    let greeted = talk(format!("{upgrade}\r\n").as_bytes(), true);
    assert!(!greeted.to_lowercase().contains("wirespan:"), "{greeted}");

    let served = call("echo");
    assert_eq!(String::from_utf8(served.stdout).unwrap(), "hello\n");
    server.stop();
    let spans = receiver.store().spans();
    let failed = one(&spans, "nobody", "CLIENT");
    assert_eq!(failed.attributes.text("error.type"), Some("unknown_method"));
    assert!(!one(&spans, "echo", "SERVER").is_error());
    // Whoever went away left a handshake span that ended.
    assert!(
        spans
            .iter()
            .filter(|span| span.kind.to_string() == "SERVER" && span.name == "websocket.handshake")
            .count()
            >= 4
    );
}

#[test]
#[ignore = "needs the built library: make -C bindings-c test"]
fn sessions_move_and_readers_that_are_behind_lose_nothing() {
    let sources = [
        LAYER,
        &["tests/test_lws.c", "examples/wirespan_lws_server.c"],
    ];
    let test = build("test-lws", &sources.concat());
    assert_eq!(run(&mut under_valgrind(&test)), "4 passed, 0 failed\n");
}
