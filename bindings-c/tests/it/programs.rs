//! The programs in C: as C11 and as C++17, with every warning an error, under valgrind.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use wirespan_conformance::receiver::Receiver;

use crate::{built, root, run, scratch};

/// A language: how its compiler is called, and by which flags.
const LANGUAGES: [(&str, &[&str]); 2] =
    [("cc", &["-std=c11"]), ("c++", &["-x", "c++", "-std=c++17"])];

fn compile(program: &str, (compiler, flags): (&str, &[&str])) -> PathBuf {
    let output = scratch(&format!("{}-{compiler}", program.replace('/', "-"))).join("program");
    let library = built();
    run(Command::new(compiler)
        .args(flags)
        .args(["-Wall", "-Wextra", "-Werror", "-pedantic", "-g", "-O1"])
        .arg("-I")
        .arg(root().join("include"))
        .arg(root().join(format!("{program}.c")))
        .args(["-x", "none", "-o"])
        .arg(&output)
        .arg("-L")
        .arg(&library)
        .args(["-lwirespan", "-lpthread"])
        .arg(format!("-Wl,-rpath,{}", library.display())));
    output
}

pub(crate) fn under_valgrind(program: &PathBuf) -> Command {
    let mut command = Command::new("valgrind");
    command.args(["--quiet", "--error-exitcode=99", "--leak-check=full"]);
    command
        .args([
            "--show-leak-kinds=definite",
            "--errors-for-leak-kinds=definite",
        ])
        .arg(program);
    for variable in [
        "OTEL_SDK_DISABLED",
        "OTEL_TRACES_SAMPLER",
        "OTEL_EXPORTER_OTLP_TIMEOUT",
        "OTEL_SERVICE_NAME",
    ] {
        command.env_remove(variable);
    }
    command
}

#[test]
#[ignore = "needs the built library: make -C bindings-c test"]
fn both_roles_talk_and_wrong_use_is_refused() {
    for language in LANGUAGES {
        run(&mut under_valgrind(&compile(
            "tests/test_wirespan",
            language,
        )));
    }
}

#[test]
#[ignore = "needs the built library: make -C bindings-c test"]
fn the_parts_stand_by_themselves() {
    for language in LANGUAGES {
        run(&mut under_valgrind(&compile("tests/test_parts", language)));
    }
}

#[test]
#[ignore = "needs the built library: make -C bindings-c test"]
fn the_tracer_exports_the_span_graph() {
    for language in LANGUAGES {
        let receiver = Receiver::start().unwrap();
        run(under_valgrind(&compile("tests/test_tracer", language)).arg(receiver.endpoint()));
        assert!(receiver.store().wait_until(
            |received| received.spans.len() >= 5,
            Duration::from_secs(10)
        ));
        let spans = receiver.store().spans();
        assert_eq!(spans.len(), 5, "{spans:?}");
        let find = |name: &str, kind: &str| {
            let mut found = spans
                .iter()
                .filter(|span| span.name == name && span.kind.to_string() == kind);
            let span = found
                .next()
                .unwrap_or_else(|| panic!("no span {name} {kind}: {spans:?}"));
            assert!(found.next().is_none(), "{name} {kind} twice");
            span
        };
        let (main, client, server) = (
            find("main", "INTERNAL"),
            find("order", "CLIENT"),
            find("order", "SERVER"),
        );
        assert!(spans.iter().all(|span| span.service == "c-test"));
        assert_eq!(client.parent, Some(main.span_id));
        assert_eq!(server.parent, Some(client.span_id));
        assert!(
            [client, server]
                .iter()
                .all(|span| span.trace_id == main.trace_id && span.is_error())
        );
        let handshake = find("websocket.handshake", "CLIENT");
        assert_eq!(
            find("websocket.handshake", "SERVER").parent,
            Some(handshake.span_id)
        );
        assert_eq!(
            client
                .links
                .iter()
                .map(|link| link.to.span_id)
                .collect::<Vec<_>>(),
            [handshake.span_id]
        );
        for span in [client, server] {
            assert_eq!(span.attributes.text("error.type"), Some("SoldOut"));
            assert_eq!(
                span.attributes.text("websocket.session.id").map(str::len),
                Some(32)
            );
        }
    }
}

#[test]
#[ignore = "needs the built library: make -C bindings-c test"]
fn the_reply_of_a_collector_is_read_within_bounds() {
    const MIB: usize = 1024 * 1024;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let collector = std::thread::spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        let _ = peer.read(&mut [0; 64 * 1024]).unwrap();
        peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n")
            .unwrap();
        let chunk = vec![b'x'; MIB];
        (0..100)
            .take_while(|_| peer.write_all(&chunk).is_ok())
            .count()
    });
    let printed = run(Command::new(compile("examples/quickstart", LANGUAGES[0]))
        .env_remove("OTEL_SDK_DISABLED")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint));
    assert!(printed.ends_with("export: io\n"), "{printed}");
    // 4 MiB are read; the rest of what could be written is in the buffers of the system.
    let written_mib = collector.join().unwrap();
    assert!(written_mib < 32, "{written_mib} MiB were taken");
}
