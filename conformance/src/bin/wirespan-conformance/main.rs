//! Runs the conformance suite: `wirespan-conformance run --driver COMMAND`.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::main() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("wirespan-conformance: {error}");
            ExitCode::from(2)
        }
    }
}
