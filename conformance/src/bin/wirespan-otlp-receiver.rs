//! Receives OTLP over HTTP and prints each span on a line: `wirespan-otlp-receiver [--json] [ADDRESS]` (default 127.0.0.1:4318).
//! With `--json` a line is what came by then, in OTLP's JSON mapping.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use wirespan_conformance::receiver::{Limits, Receiver};

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_json = arguments.first().is_some_and(|first| first == "--json");
    if is_json {
        arguments.remove(0);
    }
    let argument = arguments
        .pop()
        .unwrap_or_else(|| "127.0.0.1:4318".to_owned());
    let Ok(address) = argument.parse::<SocketAddr>() else {
        eprintln!(
            "usage: wirespan-otlp-receiver [--json] [ADDRESS:PORT]; {argument:?} is no address"
        );
        return ExitCode::from(2);
    };
    match run(address, is_json) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has gone.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wirespan-otlp-receiver: {address}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(address: SocketAddr, is_json: bool) -> io::Result<()> {
    let receiver = Receiver::bind(address, Limits::default())?;
    let mut out = io::stdout().lock();
    writeln!(out, "ready {}", receiver.address().port())?;
    out.flush()?;
    let store = receiver.store();
    loop {
        store.wait_until(
            |received| !received.spans.is_empty(),
            Duration::from_secs(3600),
        );
        let received = store.take();
        if is_json {
            writeln!(out, "{}", received.to_otlp_json())?;
        } else {
            for span in received.spans {
                writeln!(out, "{span}")?;
            }
        }
        out.flush()?;
    }
}
