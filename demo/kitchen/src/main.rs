//! The kitchen of the demo. It serves the call `order` over WebSockets: the order goes through an in-process queue to a
//! cook, who answers it word by word.
//!
//! `kitchen [--host ADDRESS] [--port PORT]` prints `ready PORT` when it listens, and exports its spans to
//! `OTEL_EXPORTER_OTLP_ENDPOINT`. On SIGTERM or Ctrl-C it finishes what runs, exports, and exits with 0.

mod cook;
mod telemetry;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use wirespan::connection::Options;
use wirespan::otel::Carry;
use wirespan::tokio_tungstenite::{Call, Failure, Handlers, serve};

use cook::{Queue, Ticket};

/// How long running orders get at the end.
const GRACE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let result = arguments(std::env::args().skip(1)).and_then(|(host, port)| {
        let runtime = tokio::runtime::Runtime::new()
            .map_err(|error| format!("no threads can be started: {error}"))?;
        let provider = telemetry::start("kitchen")?;
        let served = runtime.block_on(run(&host, port));
        // Ends the spans of cooks that nobody waits for any more. The exporter's client blocks, so it runs outside as well.
        drop(runtime);
        if let Some(provider) = provider
            && let Err(error) = provider.shutdown()
        {
            eprintln!("kitchen: some spans could not be exported: {error}");
        }
        served
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("kitchen: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Reads `--host` and `--port`.
fn arguments(mut given: impl Iterator<Item = String>) -> Result<(String, u16), String> {
    let (mut host, mut port) = ("127.0.0.1".to_owned(), 0);
    while let Some(name) = given.next() {
        let value = given
            .next()
            .ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--host" => host = value,
            "--port" => port = value.parse().map_err(|_| format!("{value:?} is no port"))?,
            _ => {
                return Err(format!(
                    "unknown argument {name}; usage: kitchen [--host ADDRESS] [--port PORT]"
                ));
            }
        }
    }
    Ok((host, port))
}

async fn run(host: &str, port: u16) -> Result<(), String> {
    let signals =
        |kind| signal(kind).map_err(|error| format!("signals cannot be received: {error}"));
    let (mut terminate, mut interrupt) = (
        signals(SignalKind::terminate())?,
        signals(SignalKind::interrupt())?,
    );

    let queue = cook::open();
    let handlers = Handlers::new().on("order", move |call| take_order(call, queue.clone()));
    let server = serve((host, port), handlers, Options::default())
        .await
        .map_err(|error| format!("cannot listen at {host}:{port}: {}", error.message()))?;
    let mut out = std::io::stdout();
    writeln!(out, "ready {}", server.local_addr().port())
        .and_then(|()| out.flush())
        .map_err(|error| format!("nobody reads the output: {error}"))?;

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    server.shutdown(GRACE).await;
    Ok(())
}

/// Runs inside the SERVER span of the call.
async fn take_order(mut call: Call, queue: Queue) -> Result<(), Failure> {
    let order = match call.next().await {
        Some(message) => message?.to_string(),
        None => return Err(Failure::new("no_order", "the call ended without an order")),
    };
    let (ticket, mut words) = Ticket::new(Carry::capture(), call.connection().session_id(), order);
    queue.send(ticket).await?;
    while let Some(word) = words.recv().await {
        call.send(word).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(given: &[&str]) -> Result<(String, u16), String> {
        arguments(given.iter().map(|item| (*item).to_owned()))
    }

    #[test]
    fn arguments_have_defaults_and_say_what_is_wrong() {
        assert_eq!(parsed(&[]), Ok(("127.0.0.1".into(), 0)));
        assert_eq!(
            parsed(&["--port", "8080", "--host", "::1"]),
            Ok(("::1".into(), 8080))
        );
        assert_eq!(
            parsed(&["--port", "many"]),
            Err("\"many\" is no port".into())
        );
        assert_eq!(parsed(&["--port"]), Err("--port needs a value".into()));
        assert!(parsed(&["--speed", "1"]).is_err_and(|error| error.contains("usage")));
    }
}
