//! Messages: the envelope of a connection beside one written by hand, each with the host's own context at both ends.

use std::collections::HashMap;
use std::hint::black_box;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use wirespan::connection::{
    Accept, Connection, ContextRef, Endpoint, HandshakeRequest, HandshakeResponse, Message, Mode,
    Options, RequestTarget, StreamKey,
};
use wirespan::envelope::{Body, Form};
use wirespan::otel::{remote_context, span_context};

use crate::measure::{Row, compare, repeated, timed};

const SIZES: [usize; 5] = [64, 256, 4096, 65_536, 1_048_576];
const BY_HAND: &str = "serde_json RawValue + official propagator";
const BY_HAND_BINARY: &str = "serde_json with base64 + official propagator";
const ANNOUNCED: &str = "announced";
const ALWAYS: &str = "always";

/// The envelope by hand, with the body left as it stands. A message by hand always has its context: there are no streams that
/// would make the first one known by the later ones.
#[derive(Serialize, Deserialize)]
struct ByHand<'a> {
    headers: HashMap<String, String>,
    #[serde(borrow)]
    body: &'a RawValue,
}

/// As [`ByHand`], for bytes.
#[derive(Serialize, Deserialize)]
struct BytesByHand<'a> {
    headers: HashMap<String, String>,
    body: &'a str,
}

pub(crate) fn rows(only: &[usize]) -> Vec<Row> {
    let mut rows = Vec::new();
    for size in SIZES {
        if !only.is_empty() && !only.contains(&size) {
            continue;
        }
        let sized = |row: Row, form, peer| {
            let row = row.of(form, peer, size);
            let encodes = row.operation.starts_with("encode");
            if encodes {
                row.floor(&bytes(size))
            } else {
                row
            }
        };
        let at_256 = |row: Row, target: f64| {
            if size == 256 { row.target(target) } else { row }
        };
        rows.push(at_256(sized(encode_plain(size), "text", ANNOUNCED), 0.10));
        rows.push(at_256(sized(encode_first(size), "text", ANNOUNCED), 0.10));
        rows.push(at_256(sized(encode_later(size), "text", ANNOUNCED), 0.10));
        rows.push(sized(encode_checked(size), "checked text", ANNOUNCED));
        rows.push(sized(encode_binary(size), "binary", ANNOUNCED));
        rows.push(at_256(sized(decode_context(size), "text", ANNOUNCED), 0.07));
        rows.push(at_256(sized(decode_first(size), "text", ANNOUNCED), 0.07));
        rows.push(at_256(sized(decode_later(size), "text", ANNOUNCED), 0.07));
        rows.push(sized(decode_binary(size), "binary", ANNOUNCED));
        let always = sized(decode_always(size), "text", ALWAYS);
        rows.push(if size == 65_536 {
            always.target(1.0)
        } else {
            always
        });
    }
    rows
}

pub(crate) fn context() -> Context {
    Context::new().with_remote_span_context(SpanContext::new(
        TraceId::from_bytes([0xab; 16]),
        SpanId::from_bytes([0xcd; 8]),
        TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    ))
}

/// A server whose peer has announced itself.
fn announced() -> Connection {
    let request = HandshakeRequest::from_headers([("wirespan", &b"1"[..])]);
    server(Options::default(), &request)
}

/// A server that takes its peer to speak version 1.
fn always() -> Connection {
    let mut options = Options::default();
    options.mode = Mode::Always;
    server(options, &HandshakeRequest::from_headers([]))
}

fn server(options: Options, request: &HandshakeRequest) -> Connection {
    let (accept, endpoint) = (Accept::default(), Endpoint::default());
    let mut connection = Connection::server(options, request, accept, endpoint, [7; 16]).unwrap();
    connection.open_server(0).unwrap();
    connection
}

/// A JSON document of this size.
fn json(size: usize) -> Box<RawValue> {
    let filler = "The quick brown fox jumps over the lazy dog. ";
    let text: String = filler
        .chars()
        .cycle()
        .take(size - "{\"text\":\"\"}".len())
        .collect();
    RawValue::from_string(format!("{{\"text\":\"{text}\"}}")).unwrap()
}

fn bytes(size: usize) -> Vec<u8> {
    (0..size).map(|n| (n % 251) as u8).collect()
}

fn headers(context: &Context) -> HashMap<String, String> {
    let mut headers = HashMap::new();
    TraceContextPropagator::new().inject_context(context, &mut headers);
    headers.retain(|_, value: &mut String| !value.is_empty());
    headers
}

fn by_hand(context: &Context, body: &RawValue) -> Vec<u8> {
    let headers = headers(context);
    serde_json::to_vec(&ByHand { headers, body }).unwrap()
}

fn bytes_by_hand(context: &Context, body: &[u8]) -> Vec<u8> {
    let headers = headers(context);
    let body = &BASE64.encode(body);
    serde_json::to_vec(&BytesByHand { headers, body }).unwrap()
}

/// What a host does to send: its context in the core's terms, the message, and the copy that its transport owns.
fn send(connection: &mut Connection, to: StreamKey, body: Body<'_>, context: &Context) -> Vec<u8> {
    let span = span_context(context);
    let carried = ContextRef {
        trace_parent: span.as_ref().map(|span| span.trace_parent),
        trace_state: span.as_ref().map_or("", |span| span.trace_state.as_str()),
        baggage: None,
    };
    let message = Message::new(black_box(body));
    connection.send(to, message, &carried, 1).unwrap().to_vec()
}

fn encode_plain(size: usize) -> Row {
    let (body, context, mut connection) = (json(size), context(), announced());
    let product = repeated(|| {
        let body = Body::Json(body.get().as_bytes());
        send(&mut connection, StreamKey::PLAIN, body, black_box(&context))
    });
    let idiom = repeated(|| by_hand(black_box(&context), black_box(&body)));
    compare("encode.plain", BY_HAND, product, idiom)
}

/// The first message of a call; planning and ending the calls is not measured.
fn encode_first(size: usize) -> Row {
    let (body, context) = (json(size), context());
    let product = || {
        let mut connection = announced();
        let calls: Vec<StreamKey> = (0..1024)
            .map(|_| connection.plan_call(Some("order"), None, 0).unwrap().0)
            .collect();
        let body = Body::Json(body.get().as_bytes());
        let ns = timed(|| {
            for call in &calls {
                black_box(send(&mut connection, *call, body, black_box(&context)));
            }
        });
        ns / calls.len() as f64
    };
    let idiom = repeated(|| by_hand(black_box(&context), black_box(&body)));
    compare("encode.first", BY_HAND, product, idiom)
}

fn encode_later_of(
    operation: &'static str,
    body: Body<'_>,
    idiom: impl FnMut() -> f64,
    name: &'static str,
) -> Row {
    let (context, mut connection) = (context(), announced());
    let (call, _) = connection.plan_call(Some("order"), None, 0).unwrap();
    let _ = send(&mut connection, call, body, &context);
    let product = repeated(|| {
        connection
            .send(
                call,
                Message::new(black_box(body)),
                &ContextRef::default(),
                1,
            )
            .unwrap()
            .to_vec()
    });
    compare(operation, name, product, idiom)
}

fn encode_later(size: usize) -> Row {
    let (body, context) = (json(size), context());
    let idiom = repeated(|| by_hand(black_box(&context), black_box(&body)));
    encode_later_of(
        "encode.later",
        Body::Json(body.get().as_bytes()),
        idiom,
        BY_HAND,
    )
}

/// A text of which nobody knows whether it is JSON.
fn encode_checked(size: usize) -> Row {
    let (body, context) = (json(size), context());
    let idiom = repeated(|| {
        let checked: &RawValue = serde_json::from_str(black_box(body.get())).unwrap();
        by_hand(black_box(&context), checked)
    });
    encode_later_of("encode.later", Body::Text(body.get()), idiom, BY_HAND)
}

fn encode_binary(size: usize) -> Row {
    let (body, context) = (bytes(size), context());
    let idiom = repeated(|| bytes_by_hand(black_box(&context), black_box(&body)));
    encode_later_of("encode.later", Body::Binary(&body), idiom, BY_HAND_BINARY)
}

/// Reads the body's length and the context of what was written by hand.
fn open_by_hand(message: &[u8]) -> (usize, Context) {
    let opened: ByHand<'_> = serde_json::from_slice(black_box(message)).unwrap();
    let context =
        TraceContextPropagator::new().extract_with_context(&Context::new(), &opened.headers);
    (opened.body.get().len(), context)
}

/// What a host does with a received message: its payload, and its context in the host's terms.
fn receive(connection: &mut Connection, message: &[u8], form: Form) -> (usize, Option<Context>) {
    let received = connection.receive(black_box(message), form, 1);
    let context = received
        .context()
        .map(|remote| remote_context(&Context::new(), remote));
    (received.payload.bytes(message).unwrap().len(), context)
}

fn decode_plain(operation: &'static str, mut connection: Connection, size: usize) -> Row {
    let message = by_hand(&context(), &json(size));
    assert!(receive(&mut connection, &message, Form::Text).1.is_some());
    let product = repeated(|| receive(&mut connection, &message, Form::Text));
    let idiom = repeated(|| open_by_hand(&message));
    compare(operation, BY_HAND, product, idiom)
}

fn decode_context(size: usize) -> Row {
    decode_plain("decode.context", announced(), size)
}

fn decode_always(size: usize) -> Row {
    decode_plain("decode.context", always(), size)
}

/// A client that has announced itself to a server that answered.
fn client() -> Connection {
    let mut client = Connection::client(Options::default(), Endpoint::default(), [9; 16]).unwrap();
    client.request(RequestTarget::default(), None);
    let answer = HandshakeResponse::from_headers([("wirespan", &b"1"[..])]);
    client.open_client(&answer, 0).unwrap();
    client
}

/// The first message of a call, with the span that it plans; what the other side sent is not measured.
fn decode_first(size: usize) -> Row {
    let (body, context) = (json(size), context());
    let mut client = client();
    let messages: Vec<Vec<u8>> = (0..1024)
        .map(|_| {
            let (call, _) = client.plan_call(Some("order"), None, 0).unwrap();
            let body = Body::Json(body.get().as_bytes());
            send(&mut client, call, body, &context)
        })
        .collect();
    let product = || {
        let mut connection = announced();
        let ns = timed(|| {
            for message in &messages {
                black_box(receive(&mut connection, message, Form::Text));
            }
        });
        assert_eq!(connection.open_streams(), messages.len());
        ns / messages.len() as f64
    };
    let message = by_hand(&context, &body);
    let idiom = repeated(|| open_by_hand(&message));
    compare("decode.first", BY_HAND, product, idiom)
}

fn decode_later_of(body: Body<'_>, idiom: impl FnMut() -> f64, name: &'static str) -> Row {
    const CHUNKS: usize = 64;
    let (context, mut client) = (context(), client());
    let (call, _) = client.plan_call(Some("order"), None, 0).unwrap();
    let messages: Vec<Vec<u8>> = (0..=CHUNKS)
        .map(|_| send(&mut client, call, body, &context))
        .collect();
    let (opening, chunks) = messages.split_first().unwrap();
    let form = body.form();
    let product = || {
        let mut connection = announced();
        let key = connection.receive(opening, form, 1).stream;
        connection.take(key, body.len(), 1);
        let ns = timed(|| {
            for chunk in chunks {
                let received = connection.receive(black_box(chunk), form, 1);
                black_box(received.payload.bytes(chunk).unwrap().len());
                connection.take(key, body.len(), 1);
            }
        });
        assert_eq!(connection.counters().iter().map(|(_, n)| n).sum::<u32>(), 0);
        ns / CHUNKS as f64
    };
    compare("decode.later", name, product, idiom)
}

fn decode_later(size: usize) -> Row {
    let body = json(size);
    let message = by_hand(&context(), &body);
    let idiom = repeated(|| open_by_hand(&message));
    decode_later_of(Body::Json(body.get().as_bytes()), idiom, BY_HAND)
}

fn decode_binary(size: usize) -> Row {
    let body = bytes(size);
    let message = bytes_by_hand(&context(), &body);
    let idiom = repeated(|| {
        let opened: BytesByHand<'_> = serde_json::from_slice(black_box(&message)).unwrap();
        let context =
            TraceContextPropagator::new().extract_with_context(&Context::new(), &opened.headers);
        (BASE64.decode(opened.body).unwrap(), context)
    });
    decode_later_of(Body::Binary(&body), idiom, BY_HAND_BINARY)
}
