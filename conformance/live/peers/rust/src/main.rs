//! The Rust peer of the live matrix: `wirespan-live-peer SERVICE`; conformance/live/PEERS.md says what it is asked.

mod commands;
mod serving;
// The demo's kitchen exports in the same way.
#[path = "../../../../../demo/kitchen/src/telemetry.rs"]
mod telemetry;
mod values;

use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::sync::Arc;

use opentelemetry_sdk::trace::SdkTracerProvider;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use commands::Peer;

fn main() -> ExitCode {
    let service = std::env::args().nth(1).unwrap_or_else(|| "rust".to_owned());
    match run(&service) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{service}: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(service: &str) -> Result<(), String> {
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| format!("no threads can be started: {error}"))?;
    let provider = telemetry::start(service)?.ok_or("there is nowhere to export spans to")?;
    let (commands, asked) = mpsc::unbounded_channel();
    // Standard input blocks, so it is read in a thread of its own, which ends with the process.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if commands.send(line).is_err() {
                return;
            }
        }
    });
    runtime.block_on(serve(asked, provider.clone()));
    drop(runtime);
    provider
        .shutdown()
        .map_err(|error| format!("some spans could not be exported: {error}"))
}

/// Serves commands concurrently, until `stop` or the end of input.
async fn serve(mut asked: mpsc::UnboundedReceiver<String>, provider: SdkTracerProvider) {
    let peer = Arc::new(Peer::new(provider));
    while let Some(line) = asked.recv().await {
        let command: Value = match serde_json::from_str(&line) {
            Ok(command) => command,
            Err(error) => {
                eprintln!("rust: {line}: {error}");
                continue;
            }
        };
        if command["do"] == "stop" {
            return;
        }
        let peer = Arc::clone(&peer);
        tokio::spawn(async move {
            let answer = match peer.answer(&command).await {
                Ok(ok) => json!({"seq": command["seq"], "ok": ok}),
                Err(error) => json!({"seq": command["seq"], "error": error}),
            };
            // A matrix that has ended reads no answers.
            let _ = writeln!(std::io::stdout().lock(), "{answer}");
        });
    }
}
