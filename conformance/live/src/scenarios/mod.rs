//! The scenarios. Each says what the client does, and exactly which spans and which bytes that has to give.

use std::future::Future;
use std::pin::Pin;

use serde_json::{Value, json};

use crate::run::Run;

/// Connects to the default server; the tap records.
macro_rules! connected {
    ($run:ident) => {{
        let tap = $run.tap("default", json!({}), None).await?;
        let session = $run.connect(&tap, json!({})).await?;
        (tap, session)
    }};
}

mod calls;
mod others;

use calls::*;
use others::*;

/// What came of a scenario.
pub(crate) enum Outcome {
    Ran,
    /// It does not apply to this pair, and why.
    Skipped(&'static str),
}

type Running<'r> = Pin<Box<dyn Future<Output = Result<Outcome, String>> + Send + 'r>>;

/// A scenario by its name.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// Part of the quick run.
    pub(crate) quick: bool,
    pub(crate) run: for<'r> fn(&'r mut Run<'_>) -> Running<'r>,
}

macro_rules! scenarios {
    ($($name:ident $quick:literal $title:literal)*) => {
        /// All of them, in order.
        pub(crate) const ALL: &[Scenario] = &[$(Scenario {
            name: stringify!($name),
            title: $title,
            quick: $quick,
            run: |run| Box::pin($name(run)),
        }),*];
    };
}

scenarios! {
    text true "a call with a text each way, byte for byte"
    binary false "a call with binary messages, byte for byte"
    not_json false "texts that are no JSON, empty, or look like envelopes"
    stream_up false "a stream to the server"
    stream_down false "a stream from the server"
    stream_both_ways true "a stream in both directions"
    server_initiated true "a call of the server within a call of the client"
    transfer false "a transfer, which the receiver links"
    interleaved false "eight calls at once on one connection"
    large false "messages of a mebibyte"
    fragmented false "every message in fragments of seven bytes"
    deflated false "permessage-deflate"
    relay true "a relay through three services"
    reconnect true "the connection cut in the middle of a stream, and continued"
    plain_server false "a server without Wirespan"
    plain_client false "a client without Wirespan"
    handshake_context false "a client that knows traceparent in the handshake alone"
    queue false "a queue within the server"
    unsampled false "an unsampled trace: nothing exported, the context carried"
    plain_messages false "messages outside every call, with their context"
    vendor_data false "tracestate and baggage"
    cancelled false "a call that the client cancels"
    raised false "a call that the client fails"
    handler_fails false "a handler that fails"
    unknown_method false "a method that nobody serves"
    left_early false "a reply that the client does not read to its end"
    connection_span false "a span as long as the connection"
    echoing_peer false "an echo that is taken for a peer"
    trust_link false "a server that only links the traces of others"
    call_without_messages false "a call without a message in a direction"
}

fn texts(texts: &[&str]) -> Value {
    texts.iter().map(|text| json!({"text": text})).collect()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
