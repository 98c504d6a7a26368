use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

use super::body::RpcStatus;
use super::{Limits, Receiver};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

/// Sends bytes as they are and reads the answer until the connection closes.
fn raw(receiver: &Receiver, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(receiver.address()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    // A receiver that refuses early may close before it has read everything.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let split = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("a head");
    let head = String::from_utf8(answer[..split].to_vec())
        .unwrap()
        .to_ascii_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer {
        status,
        head,
        body: answer[split + 4..].to_vec(),
    }
}

fn post(receiver: &Receiver, path: &str, content_type: &str, extra: &str, body: &[u8]) -> Answer {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n{extra}\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    raw(receiver, &request)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn span(number: u8) -> Span {
    Span {
        trace_id: vec![0xab; 16],
        span_id: vec![number; 8],
        name: format!("span {number}"),
        kind: 3,
        start_time_unix_nano: 1_700_000_000_000_000_001,
        end_time_unix_nano: 1_700_000_000_500_000_000,
        flags: 0x103,
        ..Span::default()
    }
}

fn request(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let name = AnyValue {
        value: Some(Value::StringValue("kitchen".into())),
    };
    let attributes = vec![KeyValue {
        key: "service.name".into(),
        value: Some(name),
        ..KeyValue::default()
    }];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes,
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}

#[test]
fn protobuf_is_taken_and_answered_in_protobuf() {
    let receiver = Receiver::start().unwrap();
    let body = request(vec![span(1), span(2)]).encode_to_vec();
    let answer = post(&receiver, "/v1/traces", PROTOBUF, "", &body);
    assert_eq!(answer.status, 200);
    assert!(
        answer.head.contains("content-type: application/x-protobuf"),
        "{}",
        answer.head
    );
    let response = ExportTraceServiceResponse::decode(&answer.body[..]).unwrap();
    assert_eq!(response.partial_success, None);

    let spans = receiver.store().spans();
    assert_eq!(spans.len(), 2);
    assert_eq!(
        (spans[0].service.as_str(), spans[0].name.as_str()),
        ("kitchen", "span 1")
    );
    assert_eq!(spans[0].flags, 3);
    assert_eq!(spans[0].duration_ns(), 499_999_999);
}

#[test]
fn json_is_taken_and_answered_in_json_and_comes_out_in_the_mapping_of_the_standard() {
    let receiver = Receiver::start().unwrap();
    let body = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"gateway"}}]},
        "scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"order","kind":2,
        "startTimeUnixNano":"1544712660000000000","endTimeUnixNano":"1544712661000000000","unknown":{"a":[1]},
        "attributes":[{"key":"n","value":{"intValue":"9007199254740993"}}]}]}]}]}"#;
    let answer = post(
        &receiver,
        "/v1/traces",
        "application/json; charset=utf-8",
        "",
        body.as_bytes(),
    );
    assert_eq!(
        answer.status,
        200,
        "{}",
        String::from_utf8_lossy(&answer.body)
    );
    assert!(
        answer.head.contains("content-type: application/json"),
        "{}",
        answer.head
    );
    let response: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert!(response.is_object(), "{response}");

    let spans = receiver.store().spans();
    assert_eq!(spans[0].attributes.int("n"), Some(9_007_199_254_740_993));
    let out: serde_json::Value = serde_json::from_str(&receiver.store().to_otlp_json()).unwrap();
    let span = &out["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
    assert_eq!(span["traceId"], "5b8efff798038103d269b633813fc60c");
    assert_eq!(span["spanId"], "eee19b7ec3c1b174");
    assert_eq!(span["kind"], 2);
    assert_eq!(span["startTimeUnixNano"], "1544712660000000000");
    assert_eq!(
        span["attributes"][0]["value"]["intValue"],
        "9007199254740993"
    );

    // What came out goes in again.
    let again = post(
        &receiver,
        "/v1/traces",
        JSON,
        "",
        receiver.store().to_otlp_json().as_bytes(),
    );
    assert_eq!(again.status, 200);
    assert_eq!(receiver.store().spans()[1], spans[0]);
}

#[test]
fn gzip_is_inflated() {
    let receiver = Receiver::start().unwrap();
    let body = gzip(&request(vec![span(1)]).encode_to_vec());
    let answer = post(
        &receiver,
        "/v1/traces",
        PROTOBUF,
        "Content-Encoding: gzip\r\n",
        &body,
    );
    assert_eq!(answer.status, 200);
    assert_eq!(receiver.store().spans().len(), 1);
}

#[test]
fn metrics_and_logs_are_answered_and_counted() {
    let receiver = Receiver::start().unwrap();
    for (path, body) in [
        (
            "/v1/metrics",
            r#"{"resourceMetrics":[{"scopeMetrics":[]}]}"#,
        ),
        ("/v1/logs", r#"{"resourceLogs":[{"scopeLogs":[]}]}"#),
    ] {
        let answer = post(&receiver, path, JSON, "", body.as_bytes());
        assert_eq!(
            answer.status,
            200,
            "{path}: {}",
            String::from_utf8_lossy(&answer.body)
        );
        assert_eq!(
            post(&receiver, path, PROTOBUF, "", b"").status,
            200,
            "{path}"
        );
    }
    assert_eq!(
        receiver
            .store()
            .with(|received| (received.metrics, received.logs)),
        (1, 1)
    );
}

#[test]
fn garbage_is_refused_and_what_follows_is_served() {
    let receiver = Receiver::start().unwrap();
    let valid = request(vec![span(1)]).encode_to_vec();
    let truncated = &valid[..valid.len() - 3];
    let mut broken_gzip = gzip(&valid);
    broken_gzip.truncate(12);
    let bomb = gzip(&vec![0; 64 << 20]);
    let huge = vec![b' '; (8 << 20) + 1];
    let deep = format!("{{\"resourceSpans\":{}", "[".repeat(200_000));
    let gzip_header = "Content-Encoding: gzip\r\n";
    let cases: [(&str, &str, &str, &[u8], u16); 12] = [
        ("/v1/traces", PROTOBUF, "", b"\xff\xff\xff\xff garbage", 400),
        ("/v1/traces", PROTOBUF, "", truncated, 400),
        ("/v1/traces", JSON, "", b"{\"resourceSpans\":", 400),
        ("/v1/traces", JSON, "", b"\x00\xff", 400),
        ("/v1/traces", JSON, "", deep.as_bytes(), 400),
        ("/v1/traces", PROTOBUF, gzip_header, b"no gzip", 400),
        ("/v1/traces", PROTOBUF, gzip_header, &broken_gzip, 400),
        ("/v1/traces", PROTOBUF, gzip_header, &bomb, 413),
        ("/v1/traces", JSON, "", &huge, 413),
        (
            "/v1/traces",
            PROTOBUF,
            "Content-Encoding: br\r\n",
            &valid,
            415,
        ),
        ("/v1/traces", "text/plain", "", &valid, 415),
        ("/v1/spans", PROTOBUF, "", &valid, 404),
    ];
    for (index, (path, content_type, extra, body, status)) in cases.into_iter().enumerate() {
        let answer = post(&receiver, path, content_type, extra, body);
        assert_eq!(answer.status, status, "case {index}: {}", answer.head);
        if content_type == JSON {
            let told: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            assert!(
                !told["message"].as_str().unwrap().is_empty(),
                "case {index}"
            );
        } else {
            let told = RpcStatus::decode(&answer.body[..]).unwrap();
            assert!(!told.message.is_empty(), "case {index}");
        }
    }
    let answer = raw(
        &receiver,
        b"GET /v1/traces HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(answer.status, 405);
    assert!(answer.head.contains("allow: post"), "{}", answer.head);
    assert_eq!(
        raw(&receiver, b"\x16\x03\x01 this is no HTTP\r\n\r\n").status,
        400
    );
    assert_eq!(
        receiver.store().with(|received| received.refused_requests),
        13
    );
    assert!(receiver.store().spans().is_empty());

    assert_eq!(
        post(&receiver, "/v1/traces", PROTOBUF, "", &valid).status,
        200
    );
    assert_eq!(receiver.store().spans().len(), 1);
}

#[test]
fn spans_with_invalid_ids_and_spans_over_the_limit_are_rejected_and_the_answer_says_so() {
    let limits = Limits {
        max_spans: 2,
        ..Limits::default()
    };
    let receiver = Receiver::bind(([127, 0, 0, 1], 0).into(), limits).unwrap();
    let zero = Span {
        trace_id: vec![0; 16],
        ..span(1)
    };
    let short = Span {
        span_id: vec![1; 7],
        ..span(1)
    };
    let body = request(vec![zero, span(2), short]).encode_to_vec();
    let answer = post(&receiver, "/v1/traces", PROTOBUF, "", &body);
    assert_eq!(answer.status, 200);
    let partial = ExportTraceServiceResponse::decode(&answer.body[..])
        .unwrap()
        .partial_success
        .unwrap();
    assert_eq!(partial.rejected_spans, 2);
    assert!(
        partial.error_message.contains("not valid"),
        "{}",
        partial.error_message
    );

    let body = request(vec![span(3), span(4)]).encode_to_vec();
    let answer = post(&receiver, "/v1/traces", JSON, "", b"{}");
    assert_eq!(answer.status, 200);
    let answer = post(&receiver, "/v1/traces", PROTOBUF, "", &body);
    let partial = ExportTraceServiceResponse::decode(&answer.body[..])
        .unwrap()
        .partial_success
        .unwrap();
    assert_eq!(
        (partial.rejected_spans, partial.error_message.as_str()),
        (1, "the receiver is full")
    );
    let names: Vec<String> = receiver
        .store()
        .spans()
        .into_iter()
        .map(|span| span.name)
        .collect();
    assert_eq!(names, ["span 2", "span 3"]);
}

#[test]
fn what_is_kept_is_bounded_in_bytes() {
    let limits = Limits {
        max_span_bytes: 10_000,
        ..Limits::default()
    };
    let receiver = Receiver::bind(([127, 0, 0, 1], 0).into(), limits).unwrap();
    let large = Span {
        name: "x".repeat(4_000),
        ..span(1)
    };
    let spans = vec![large.clone(), large.clone(), large, span(2)];
    let body = request(spans).encode_to_vec();
    assert_eq!(
        post(&receiver, "/v1/traces", PROTOBUF, "", &body).status,
        200
    );
    let kept = receiver
        .store()
        .with(|received| (received.spans.len(), received.rejected_spans));
    assert_eq!(kept, (3, 1));
}

#[test]
fn waiting_ends_when_the_state_is_as_wanted_or_when_time_is_up() {
    let receiver = Receiver::start().unwrap();
    let store = receiver.store();
    assert!(!store.wait_until(
        |received| !received.spans.is_empty(),
        Duration::from_millis(30)
    ));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            store.wait_until(
                |received| received.spans.len() == 3,
                Duration::from_secs(20),
            )
        });
        for number in 1..=3 {
            let body = request(vec![span(number)]).encode_to_vec();
            assert_eq!(
                post(&receiver, "/v1/traces", PROTOBUF, "", &body).status,
                200
            );
        }
        assert!(waiting.join().unwrap());
    });
    assert_eq!(store.take().spans.len(), 3);
    assert!(store.spans().is_empty());
}

#[test]
fn requests_from_many_connections_at_once_all_arrive() {
    let receiver = Receiver::start().unwrap();
    std::thread::scope(|scope| {
        for number in 1..=32 {
            let receiver = &receiver;
            scope.spawn(move || {
                let body = request(vec![span(number)]).encode_to_vec();
                assert_eq!(
                    post(receiver, "/v1/traces", PROTOBUF, "", &body).status,
                    200
                );
            });
        }
    });
    assert_eq!(receiver.store().spans().len(), 32);
}

#[test]
fn a_stopped_receiver_frees_its_port_also_with_an_idle_connection_open() {
    let receiver = Receiver::start().unwrap();
    let address = receiver.address();
    let _idle = TcpStream::connect(address).unwrap();
    drop(receiver);
    assert!(TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err());
}
