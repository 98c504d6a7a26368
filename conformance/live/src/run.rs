//! One scenario between two peers: what it asks of them, and what it looks at afterwards.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wirespan_conformance::receiver::Store;
use wirespan_conformance::trace::expect::{Expected, ExpectedForest, Report, Top};
use wirespan_conformance::trace::{Forest, Kind, Span, SpanRef, TraceId, TraceParent};

use crate::frames::{Form, Message};
use crate::peer::Peer;
use crate::tap::Tap;

pub(crate) const SESSION: &str = "websocket.session.id";
const HANDSHAKE: &str = "websocket.handshake";
/// How long spans may take from their end to the receiver.
const PATIENCE: Duration = Duration::from_secs(6);

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A scenario that is running.
pub(crate) struct Run<'a> {
    pub(crate) client: &'a Peer,
    pub(crate) server: &'a Peer,
    /// A third service, for what goes on from the server.
    pub(crate) third: &'a Peer,
    store: &'a Store,
    /// Names what this scenario makes.
    id: u64,
    /// The span under which the client works; nobody exports it.
    pub(crate) parent: String,
    /// What is not as it should be.
    pub(crate) problems: Vec<String>,
}

/// The spans of a scenario, compared with what was expected.
pub(crate) struct Seen {
    forest: Forest,
    report: Report,
}

impl Seen {
    /// The `traceparent` of a labelled span, sampled.
    pub(crate) fn traceparent(&self, label: &str) -> String {
        self.span(label).map_or_else(
            || format!("(no span {label})"),
            // What is exported is sampled; not every exporter writes the flags.
            |span| format!("00-{}-{}-01", span.trace_id, span.span_id),
        )
    }

    /// A labelled span.
    pub(crate) fn span(&self, label: &str) -> Option<&Span> {
        self.report
            .labels
            .get(label)
            .and_then(|index| self.forest.spans().get(*index))
    }
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        client: &'a Peer,
        server: &'a Peer,
        third: &'a Peer,
        store: &'a Store,
    ) -> Self {
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        // Runs of the matrix on one machine do not share traces: the process says which run it is.
        let run = u128::from(std::process::id()) << 64;
        let parent = format!(
            "00-{:032x}-{:016x}-01",
            1 << 127 | run | u128::from(id),
            1 << 63 | id
        );
        Self {
            client,
            server,
            third,
            store,
            id,
            parent,
            problems: Vec::new(),
        }
    }

    /// The same parent, not sampled.
    pub(crate) fn unsampled_parent(&self) -> String {
        format!("{}00", &self.parent[..self.parent.len() - 2])
    }

    pub(crate) fn trace_id(&self) -> &str {
        &self.parent[3..35]
    }

    /// The name of this scenario's connection.
    pub(crate) fn name(&self, what: &str) -> String {
        format!("{what}-{}", self.id)
    }

    pub(crate) fn problem(&mut self, text: impl Into<String>) {
        self.problems.push(text.into());
    }

    /// Notes a problem unless both are equal.
    pub(crate) fn equal(&mut self, what: &str, got: &Value, wanted: &Value) {
        if got != wanted {
            self.problem(format!("{what}: {got}, expected {wanted}"));
        }
    }

    /// A tap in front of the server of that name.
    pub(crate) async fn tap(
        &self,
        server: &str,
        fields: Value,
        split: Option<usize>,
    ) -> Result<Tap, String> {
        let port = self.server.port(server, fields).await?;
        Tap::start(port, split)
            .await
            .map_err(|error| format!("no tap: {error}"))
    }

    /// Connects the client, under the scenario's parent, and gives the session.
    pub(crate) async fn connect(&mut self, tap: &Tap, mut fields: Value) -> Result<String, String> {
        let defaults = [
            ("as", json!(self.name("c"))),
            ("url", json!(tap.url())),
            ("parent", json!(self.parent)),
        ];
        for (name, value) in defaults {
            if fields.get(name).is_none() {
                fields[name] = value;
            }
        }
        let answer = self.client.ask("connect", fields).await?;
        Ok(answer["session"].as_str().unwrap_or_default().to_owned())
    }

    /// Makes a call under the scenario's parent.
    pub(crate) async fn call(
        &self,
        method: &str,
        messages: Value,
        mut fields: Value,
    ) -> Result<Value, String> {
        fields["method"] = json!(method);
        fields["messages"] = messages;
        self.on_connection("call", fields).await
    }

    /// Asks the client for something on its connection, under the scenario's parent.
    pub(crate) async fn on_connection(
        &self,
        command: &str,
        mut fields: Value,
    ) -> Result<Value, String> {
        if fields.get("on").is_none() {
            fields["on"] = json!(self.name("c"));
        }
        if fields.get("parent").is_none() {
            fields["parent"] = json!(self.parent);
        }
        self.client.ask(command, fields).await
    }

    pub(crate) async fn close(&self) -> Result<(), String> {
        self.on_connection("close", json!({})).await.map(drop)
    }

    /// The handshake: the client's span under the parent, the server's below it.
    pub(crate) fn handshake(&self, session: &str) -> Expected {
        let client = Expected::new(&self.client.name, HANDSHAKE, Kind::Client);
        client
            .label("client handshake")
            .attribute(SESSION, session)
            .child(self.server_handshake(session))
    }

    pub(crate) fn server_handshake(&self, session: &str) -> Expected {
        Expected::new(&self.server.name, HANDSHAKE, Kind::Server)
            .label("server handshake")
            .attribute(SESSION, session)
    }

    /// A call of the client and its service at the server, which link the handshakes, with the chunks of each direction.
    pub(crate) fn called(&self, method: &str, session: &str, sent: i64, received: i64) -> Expected {
        let served = Expected::new(&self.server.name, method, Kind::Server)
            .label("served")
            .attribute("rpc.method", method)
            .link("server handshake");
        let called = Expected::new(&self.client.name, method, Kind::Client)
            .label("called")
            .attribute("rpc.method", method)
            .link("client handshake");
        measured(called, session, sent, received).child(measured(served, session, received, sent))
    }

    /// The span that nobody exports.
    pub(crate) fn outside(&self) -> Top {
        match self.parent.parse::<TraceParent>() {
            Ok(parent) => Top::Remote(parent.span),
            Err(_) => Top::Root,
        }
    }

    /// Waits for the spans of this scenario, and compares them.
    pub(crate) async fn expect(&mut self, expected: ExpectedForest) -> Result<Seen, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let peers = [self.client, self.server, self.third];
            for (index, peer) in peers.iter().enumerate() {
                if !peers[..index]
                    .iter()
                    .any(|earlier| earlier.name == peer.name)
                {
                    peer.ask("flush", json!({})).await?;
                }
            }
            let forest = Forest::new(self.spans());
            let report = expected.check(&forest);
            if report.is_ok() || Instant::now() > deadline {
                for difference in &report.differences {
                    self.problem(difference.to_string());
                }
                return Ok(Seen { forest, report });
            }
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    }

    /// Waits until the server has ended a span of this scenario; what it must be is compared later.
    pub(crate) async fn ended(&self, name: &str, kind: Kind) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        let is_it = |span: &Span| span.name == name && span.kind == kind;
        while !self.spans().iter().any(is_it) && Instant::now() < deadline {
            self.server.ask("flush", json!({})).await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// The spans of the scenario's trace, and those of traces that link into it (a transfer's receiver is a root).
    fn spans(&self) -> Vec<Span> {
        let wanted = self
            .parent
            .parse::<TraceParent>()
            .map(|parent| parent.span.trace_id);
        self.store.with(|received| {
            let mut traces: HashSet<TraceId> = wanted.into_iter().collect();
            loop {
                let linking = received.spans.iter().filter(|span| {
                    !traces.contains(&span.trace_id)
                        && span
                            .links
                            .iter()
                            .any(|link| traces.contains(&link.to.trace_id))
                });
                let more: Vec<TraceId> = linking.map(|span| span.trace_id).collect();
                if more.is_empty() {
                    break;
                }
                traces.extend(more);
            }
            received
                .spans
                .iter()
                .filter(|span| traces.contains(&span.trace_id))
                .cloned()
                .collect()
        })
    }

    /// Compares what crossed the wire with what has to.
    pub(crate) fn bytes(&mut self, what: &str, messages: &[Message], wanted: &[Wire]) {
        if messages.len() != wanted.len() {
            let seen: Vec<String> = messages.iter().map(shown).collect();
            self.problem(format!(
                "{what}: {} messages on the wire, expected {}: {}",
                messages.len(),
                wanted.len(),
                seen.join(" ")
            ));
            return;
        }
        for (index, (message, wanted)) in messages.iter().zip(wanted).enumerate() {
            if message.form != wanted.form || message.payload != wanted.payload {
                let expected = Message {
                    form: wanted.form,
                    payload: wanted.payload.clone(),
                    frames: 1,
                    deflated: false,
                };
                self.problem(format!(
                    "{what}: message {index} on the wire is {}, expected {}",
                    shown(message),
                    shown(&expected)
                ));
            }
        }
    }
}

/// Adds what every span of a stream has.
pub(crate) fn measured(span: Expected, session: &str, sent: i64, received: i64) -> Expected {
    let mut span = span
        .attribute(SESSION, session)
        .attribute("websocket.stream.outcome", "complete")
        .attribute("network.protocol.name", "websocket");
    for (direction, chunks) in [("sent", sent), ("received", received)] {
        let name = |what: &str| format!("websocket.stream.{direction}.{what}");
        span = if chunks == 0 {
            span.lacks(name("chunks"))
        } else {
            span.attribute(name("chunks"), chunks)
                .has(name("bytes"))
                .has(name("time_to_first_chunk"))
                .has(name("time_to_last_chunk"))
        };
        if chunks > 1 {
            span = span.has(name("interval.p99")).has(name("interval.avg"));
        }
    }
    span
}

/// A message that has to cross the wire.
pub(crate) struct Wire {
    form: Form,
    payload: Vec<u8>,
}

impl Wire {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self {
            form: Form::Text,
            payload: text.into().into_bytes(),
        }
    }

    /// A binary envelope of a stream: its head by the rules of SPEC.md, chapter "Binary envelope".
    pub(crate) fn binary(
        traceparent: Option<&str>,
        entries: &[(u8, &[u8])],
        payload: &[u8],
    ) -> Self {
        let mut head = Vec::new();
        if let Some(parent) = traceparent {
            let digits: String = [&parent[3..35], &parent[36..52], &parent[53..55]].concat();
            head.extend(
                (0..digits.len())
                    .step_by(2)
                    .filter_map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok()),
            );
        }
        for (kind, value) in entries {
            head.push(*kind);
            head.extend(u16::try_from(value.len()).unwrap_or_default().to_be_bytes());
            head.extend(*value);
        }
        let mut bytes = vec![0xFF, 0x57, 1, u8::from(traceparent.is_some())];
        bytes.extend(u16::try_from(head.len()).unwrap_or_default().to_be_bytes());
        bytes.extend(head);
        bytes.extend(payload);
        Self {
            form: Form::Binary,
            payload: bytes,
        }
    }
}

fn shown(message: &Message) -> String {
    const MOST: usize = 300;
    let cut = message.payload.get(..MOST).unwrap_or(&message.payload);
    match message.form {
        Form::Text => format!("text {:?}", String::from_utf8_lossy(cut)),
        Form::Binary => format!(
            "binary {}",
            cut.iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        ),
    }
}

/// A span of a peer, for links that go outside.
pub(crate) fn reference(traceparent: &str) -> Option<SpanRef> {
    traceparent
        .parse::<TraceParent>()
        .ok()
        .map(|parent| parent.span)
}
