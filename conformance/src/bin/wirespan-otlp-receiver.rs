//! Receives OTLP over HTTP and prints each span on a line: `wirespan-otlp-receiver [ADDRESS]` (default 127.0.0.1:4318).

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use wirespan_conformance::receiver::{Limits, Receiver};

fn main() -> ExitCode {
    let argument = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:4318".to_owned());
    let Ok(address) = argument.parse::<SocketAddr>() else {
        eprintln!("usage: wirespan-otlp-receiver [ADDRESS:PORT]; {argument:?} is no address");
        return ExitCode::from(2);
    };
    match run(address) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has gone.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wirespan-otlp-receiver: {address}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(address: SocketAddr) -> io::Result<()> {
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
        for span in store.take().spans {
            writeln!(out, "{span}")?;
        }
        out.flush()?;
    }
}
