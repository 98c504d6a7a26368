//! Runs the demo: one spoken order through C, Node.js, Python and Rust, and checks its trace.

mod checks;
mod children;
mod failure;
mod garbage;
mod options;
mod report;
mod run;
mod selftest;
mod services;

use std::io::Write;
use std::process::ExitCode;

/// Wrong usage (`EX_USAGE` of sysexits.h).
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let options = match options::parse(std::env::args_os().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            say(options::HELP.trim_end());
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("wirespan-demo: {error}\n\n{}", options::HELP);
            return ExitCode::from(USAGE);
        }
    };
    if let Err(error) = std::fs::create_dir_all(&options.out) {
        eprintln!("wirespan-demo: {}: {error}", options.out.display());
        return ExitCode::from(2);
    }
    if options.test {
        return selftest::run(&options);
    }
    // One thread: children are bound to the thread that starts them (see children.rs).
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("wirespan-demo: {error}");
            return ExitCode::from(2);
        }
    };
    let outcome = runtime.block_on(run::run(&options));
    ExitCode::from(report::finish(&options, &outcome))
}

/// Prints a line. A reader that has gone does not end the run: the children have to be stopped first.
pub(crate) fn say(line: impl AsRef<str>) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{}", line.as_ref());
    let _ = out.flush();
}
