//! What a connection and its streams need in memory, and how often sending and receiving allocate. Bytes are no times: they are
//! the same on every run, so bounds are asserted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use allocation_counter::{AllocationInfo, measure};
use wirespan::connection::{Connection, StreamKey};
use wirespan::envelope::{Body, Form};
use wirespan_bench::{Client, Service, answer, drain, receive};

const CONNECTIONS: usize = 100;
const STREAMS: usize = 10;
const BODY: [u8; 256] = [b'x'; 256];
/// What `websocket.stream` intervals are made of: 20 ms between the chunks.
const STEP_NS: u64 = 20_000_000;

/// What a closure leaves allocated, and its result.
fn left<T>(act: impl FnOnce() -> T) -> (usize, T) {
    let mut result = None;
    let info = measure(|| result = Some(act()));
    (info.bytes_current.try_into().unwrap(), result.unwrap())
}

struct Held {
    client: Client,
    servers: Vec<Connection>,
    bytes_each: usize,
}

fn connections() -> Held {
    let service = Service::default();
    let client = Client::connect(&service).unwrap();
    let (bytes, servers) = left(|| {
        let mut servers = Vec::with_capacity(CONNECTIONS);
        servers.extend((0..CONNECTIONS).map(|n| service.accept(&client, n as u64).unwrap()));
        servers
    });
    Held {
        client,
        servers,
        bytes_each: bytes / CONNECTIONS,
    }
}

/// Opens streams on every connection by one message each; gives their keys and the bytes of one.
fn open_streams(held: &mut Held) -> (Vec<StreamKey>, usize) {
    let opened: Vec<_> = (0..STREAMS)
        .map(|_| held.client.open(Body::Binary(&BODY), 1).unwrap())
        .collect();
    let (bytes, ()) = left(|| {
        for server in &mut held.servers {
            for (_, frame) in &opened {
                receive(server, frame, Form::Binary, 1);
            }
        }
    });
    let keys = opened.iter().map(|(key, _)| *key).collect();
    (keys, bytes / CONNECTIONS / STREAMS)
}

#[test]
fn an_idle_connection_needs_at_most_1280_bytes() {
    let held = connections();
    eprintln!(
        "connection: {} B, of which {} B are the struct",
        held.bytes_each,
        size_of::<Connection>()
    );
    assert!(held.bytes_each <= 1280, "{} bytes", held.bytes_each);
}

#[test]
fn an_idle_stream_needs_at_most_768_bytes() {
    let mut held = connections();
    let (_, bytes) = open_streams(&mut held);
    eprintln!("stream: {bytes} B");
    assert!(bytes <= 768, "{bytes} bytes");
}

#[test]
fn a_stream_with_chunks_both_ways_needs_at_most_6_kib() {
    let mut held = connections();
    let (keys, idle) = open_streams(&mut held);
    let (client, servers) = (&mut held.client, &mut held.servers);
    let (bytes, ()) = left(|| {
        for round in 1..=5 {
            let now_ns = round * STEP_NS;
            for key in &keys {
                let frame = client.send(*key, Body::Binary(&BODY), now_ns).unwrap();
                for server in servers.iter_mut() {
                    let (stream, _) = receive(server, &frame, Form::Binary, now_ns);
                    answer(server, stream, Body::Binary(&BODY), now_ns).unwrap();
                }
            }
        }
    });
    let bytes = idle + bytes / CONNECTIONS / STREAMS;
    eprintln!("stream with chunks: {bytes} B");
    assert!(bytes <= 6144, "{bytes} bytes");
}

#[test]
fn a_stream_that_ended_gives_its_memory_back() {
    let mut held = connections();
    let frames: Vec<_> = (0..4000)
        .map(|_| {
            let (key, frame) = held.client.open(Body::Binary(&BODY), 1).unwrap();
            held.client.connection.cancel(key, 1);
            drain(&mut held.client.connection);
            frame
        })
        .collect();
    let server = &mut held.servers[0];
    let mut churn = |frames: &[Vec<u8>]| {
        for frame in frames {
            let (stream, _) = receive(server, frame, Form::Binary, 1);
            server.leave(stream, 1);
            drain(server);
        }
    };
    // The last 1024 ends are remembered; after the first 2000 streams that memory is full.
    churn(&frames[..2000]);
    let (bytes, ()) = left(|| churn(&frames[2000..]));
    assert!(
        bytes <= 1024,
        "{bytes} bytes are left of 2000 ended streams"
    );
}

fn per_message(steps: u64, mut step: impl FnMut(u64)) -> (u64, AllocationInfo) {
    // What is allocated once is there after the first steps.
    (0..8).for_each(&mut step);
    let info = measure(|| (8..8 + steps).for_each(&mut step));
    (info.count_total / steps, info)
}

#[test]
fn sending_allocates_the_frame_and_nothing_else() {
    for text in [false, true] {
        let service = Service::default();
        let mut client = Client::connect(&service).unwrap();
        let body = || match text {
            true => Body::Text(r#"{"text":"a JSON document"}"#),
            false => Body::Binary(&BODY),
        };
        let (key, _) = client.open(body(), 0).unwrap();
        let (later, info) = per_message(100, |n| {
            drop(client.send(key, body(), n * STEP_NS).unwrap())
        });
        assert_eq!(later, 1, "a later chunk, text {text}: {info:?}");
        let (plain, info) = per_message(100, |n| {
            drop(client.send(StreamKey::PLAIN, body(), n * STEP_NS).unwrap());
        });
        assert_eq!(plain, 1, "a plain message, text {text}: {info:?}");
    }
}

#[test]
fn receiving_from_a_known_peer_allocates_nothing() {
    for text in [false, true] {
        let service = Service::default();
        let mut client = Client::connect(&service).unwrap();
        let mut server = service.accept(&client, 0).unwrap();
        let (body, form) = match text {
            true => (Body::Text(r#"{"text":"a JSON document"}"#), Form::Text),
            false => (Body::Binary(&BODY), Form::Binary),
        };
        let (key, frame) = client.open(body, 0).unwrap();
        let (stream, _) = receive(&mut server, &frame, form, 0);
        let frames: Vec<_> = (0..108)
            .map(|_| client.send(key, body, 0).unwrap())
            .collect();
        let (later, info) = per_message(100, |n| {
            let got = receive(&mut server, &frames[n as usize], form, n * STEP_NS);
            assert_eq!(got, (stream, body.len()));
        });
        assert_eq!(
            (later, info.count_total),
            (0, 0),
            "a later chunk, text {text}: {info:?}"
        );
        let plain = client.send(StreamKey::PLAIN, body, 0).unwrap();
        let (_, info) = per_message(100, |n| {
            let got = receive(&mut server, &plain, form, n * STEP_NS);
            assert_eq!(got, (StreamKey::PLAIN, body.len()));
        });
        assert_eq!(
            info.count_total, 0,
            "a plain message, text {text}: {info:?}"
        );
    }
}
