//! A connected pair of sides without a transport, and what the tests ask of it.

use wirespan::connection::{
    Accept, Connection, ContextRef, Endpoint, Event, HandshakeRequest, HandshakeResponse, Message,
    Options, Payload, ReadEnd, Received, RequestTarget, SessionRegistry, SpanEnd, StreamKey,
};
use wirespan::counters::Counter;
use wirespan::envelope::{Body, Form};
use wirespan::trace::{SpanContext, TraceFlags, TraceParent};

pub const MS: u64 = 1_000_000;

/// A message as it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wire {
    pub form: Form,
    pub bytes: Vec<u8>,
}

impl Wire {
    pub fn text(text: &str) -> Self {
        Self {
            form: Form::Text,
            bytes: text.as_bytes().to_vec(),
        }
    }

    pub fn as_text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap()
    }
}

/// What one side did with a message, with the borrowed parts made owned.
#[derive(Debug)]
pub struct Delivery {
    pub stream: StreamKey,
    pub body: Option<String>,
    pub opened: Option<wirespan::connection::IncomingStream>,
    pub context: Option<SpanContext>,
    pub link: Option<SpanContext>,
    pub headers: Vec<(String, String)>,
}

impl Delivery {
    fn new(received: Received<'_>, message: &[u8]) -> Self {
        let body = match &received.payload {
            Payload::Nothing => None,
            other => Some(String::from_utf8_lossy(other.bytes(message).unwrap()).into_owned()),
        };
        Self {
            stream: received.stream,
            body,
            context: received.context().cloned(),
            link: received.link().cloned(),
            headers: received
                .headers
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect(),
            opened: received.opened.map(|opened| *opened),
        }
    }

    pub fn body(&self) -> &str {
        self.body.as_deref().expect("a delivery with a body")
    }

    pub fn is_plain(&self) -> bool {
        self.stream == StreamKey::PLAIN
    }
}

/// One side with its clock.
pub struct Side {
    pub core: Connection,
    pub now: u64,
    /// Events that were not frames, in order.
    pub events: Vec<Event>,
    /// Messages made by the core or by `send`, in order, not yet taken by the test.
    pub out: Vec<Wire>,
}

impl Side {
    pub fn new(core: Connection) -> Self {
        Self {
            core,
            now: 1_000_000_000,
            events: Vec::new(),
            out: Vec::new(),
        }
    }

    pub fn poll(&mut self) {
        while let Some(event) = self.core.poll_event() {
            match event {
                Event::Frame { form, bytes } => self.out.push(Wire { form, bytes }),
                other => self.events.push(other),
            }
        }
    }

    pub fn pass(&mut self, ns: u64) {
        self.now += ns;
        self.core.on_time(self.now);
        self.poll();
    }

    pub fn receive(&mut self, wire: &Wire) -> Delivery {
        let received = self.core.receive(&wire.bytes, wire.form, self.now);
        let delivery = Delivery::new(received, &wire.bytes);
        self.poll();
        delivery
    }

    pub fn receive_text(&mut self, text: &str) -> Delivery {
        self.receive(&Wire::text(text))
    }

    pub fn call(&mut self, method: &str) -> StreamKey {
        self.core.plan_call(Some(method), None, self.now).unwrap().0
    }

    /// Sends a text with a fixed context and gives the bytes.
    pub fn send(&mut self, to: StreamKey, text: &str) -> Wire {
        self.send_message(to, Message::new(Body::Text(text)))
    }

    pub fn send_last(&mut self, to: StreamKey, text: &str) -> Wire {
        self.send_message(to, Message::new(Body::Text(text)).last())
    }

    pub fn send_message(&mut self, to: StreamKey, message: Message<'_>) -> Wire {
        let context = ContextRef {
            trace_parent: Some(span(7)),
            ..ContextRef::default()
        };
        let frame = self.core.send(to, message, &context, self.now).unwrap();
        let wire = Wire {
            form: frame.form(),
            bytes: frame.to_vec(),
        };
        self.poll();
        wire
    }

    pub fn count(&self, counter: Counter) -> u32 {
        self.core.counters().get(counter)
    }

    pub fn take_out(&mut self) -> Vec<Wire> {
        std::mem::take(&mut self.out)
    }

    /// The end of a span, which must have come exactly once.
    pub fn span_end(&self, key: StreamKey) -> &SpanEnd {
        let ends: Vec<&SpanEnd> = self
            .events
            .iter()
            .filter_map(|event| match event {
                Event::SpanEnd(end) if end.span == key.span() => Some(&**end),
                _ => None,
            })
            .collect();
        assert_eq!(
            ends.len(),
            1,
            "the span of {key:?} must end exactly once: {:?}",
            self.events
        );
        ends[0]
    }

    pub fn read_end(&self, key: StreamKey) -> Option<&ReadEnd> {
        let mut ends = self.events.iter().filter_map(|event| match event {
            Event::ReadEnd { stream, end } if *stream == key => Some(end),
            _ => None,
        });
        let end = ends.next();
        assert!(
            ends.next().is_none(),
            "a reader ends once: {:?}",
            self.events
        );
        end
    }

    pub fn error_type(&self, key: StreamKey) -> Option<String> {
        self.span_end(key)
            .error_type
            .as_ref()
            .map(ToString::to_string)
    }

    pub fn outcome(&self, key: StreamKey) -> &'static str {
        self.span_end(key).report.as_ref().unwrap().outcome.name()
    }
}

pub fn span(n: u8) -> TraceParent {
    TraceParent::new([n; 16], [n; 8], TraceFlags::SAMPLED).unwrap()
}

/// The header value of [`span`].
pub fn span_header(n: u8) -> String {
    format!(
        "00-{}-{}-01",
        format!("{n:02x}").repeat(16),
        format!("{n:02x}").repeat(8)
    )
}

pub fn endpoint() -> Endpoint {
    Endpoint {
        address: Some("localhost".into()),
        port: Some(8765),
    }
}

/// Does the whole handshake between two sides.
pub fn connect_with(
    client: Options,
    server: Options,
    registry: Option<&SessionRegistry>,
) -> (Side, Side) {
    let mut client = Side::new(Connection::client(client, endpoint(), [0xc1; 16]).unwrap());
    client.core.plan_handshake(None, false);
    let target = RequestTarget::new("localhost");
    let asked = client.core.request(target, Some(&span(3).into()));
    let mut headers: Vec<(String, Vec<u8>)> = asked
        .headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone().into_bytes()))
        .collect();
    if let Some(subprotocol) = &asked.subprotocol {
        headers.push((
            "Sec-WebSocket-Protocol".into(),
            subprotocol.clone().into_bytes(),
        ));
    }
    let request = HandshakeRequest::from_headers(
        headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice())),
    )
    .with_query(asked.query.as_deref().unwrap_or(""));
    let mut accept = Accept::default();
    accept.registry = registry;
    let core = Connection::server(server, &request, accept, endpoint(), [0x5e; 16]).unwrap();
    let mut server = Side::new(core);
    server.core.plan_handshake(None, false);
    let answer = server.core.response(&request, None);
    server.core.open_server(server.now).unwrap();
    let response = HandshakeResponse::from_headers(
        answer
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_bytes())),
    );
    client.core.open_client(&response, client.now).unwrap();
    client.poll();
    server.poll();
    (client, server)
}

/// A pair of sides that know each other.
pub fn connected() -> (Side, Side) {
    let (mut client, mut server) = connect_with(Options::default(), Options::default(), None);
    client.events.clear();
    server.events.clear();
    (client, server)
}

/// The spans that a plan links, and whether they are a peer's.
pub(crate) fn linked(
    plan: &wirespan::connection::Plan,
) -> Vec<(wirespan::trace::SpanContext, bool)> {
    plan.links
        .iter()
        .map(|link| (link.span.clone(), link.remote))
        .collect()
}
