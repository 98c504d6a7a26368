//! The driver of the conformance suite for Rust (`conformance/PROTOCOL.md`): JSON lines in, JSON lines out.

#![forbid(unsafe_code)]

mod carry;
mod connection;
mod envelope;
mod metrics;
mod shown;
mod trace;
mod value;

use std::io::{self, BufRead, Write};

use serde_json::{Value, json};

use value::{Failure, Output, text};

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let mut answer = match request["do"].as_str() {
            Some("hello") => hello(),
            Some("run") => run(&request),
            _ => json!({}),
        };
        answer["seq"] = request["seq"].clone();
        writeln!(out, "{answer}")?;
        out.flush()?;
        if request["do"] == "stop" {
            break;
        }
    }
    Ok(())
}

fn hello() -> Value {
    json!({
        "implementation": "wirespan",
        "version": env!("CARGO_PKG_VERSION"),
        "language": "rust",
        "spec": ["1"],
        "features": [
            "traceparent", "tracestate", "baggage", "propagate", "text", "binary", "convert", "connection", "carry", "metrics",
        ],
    })
}

fn run(request: &Value) -> Value {
    let input = &request["input"];
    let made = text(&request["op"]).and_then(|operation| -> Output {
        match operation {
            "traceparent.parse" => trace::traceparent(input),
            "tracestate.parse" => trace::tracestate(input),
            "baggage.parse" => trace::baggage_parse(input),
            "baggage.write" => trace::baggage_write(input),
            "propagate" => trace::propagate(input),
            "envelope.unwrap" => envelope::unwrap(input),
            "envelope.wrap" => envelope::wrap(input),
            "envelope.convert" => envelope::convert(input),
            "carry.to_headers" => carry::to_headers(input),
            "carry.from_headers" => carry::from_headers(input),
            "carry.plan_send" => carry::plan_send(input),
            "carry.plan_process" => carry::plan_process(input),
            "metrics" => metrics::metrics(input),
            "connection" => connection::script(input),
            other => Err(Failure::Unsupported(other.to_owned())),
        }
    });
    match made {
        Ok(output) => json!({"output": output}),
        Err(Failure::Raised(error)) => json!({"output": {"raises": error.kind().name()}}),
        Err(Failure::Unsupported(what)) => json!({"unsupported": what}),
        Err(Failure::Input(what)) => json!({"error": what}),
    }
}
