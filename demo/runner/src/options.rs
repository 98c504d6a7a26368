//! The command line.

use std::collections::HashMap;
use std::path::PathBuf;

use wirespan_conformance::trace::TraceParent;

/// Printed by `--help`.
pub(crate) const HELP: &str = "\
wirespan-demo: one spoken order through C, Node, Python and Rust, and its trace

  --wav FILE             the order: 16 kHz, mono, 16 bit (default: the first in demo/orders)
  --fast                 stream as fast as the recogniser takes it, not at the pace of speech
  --devices N            N devices order at once, each with its own trace (1 to 8)
  --unsampled            nothing is sampled: nothing may be exported, the context still travels
  --parent TRACEPARENT   the order belongs to that foreign span
  --kill SERVICE         kill kitchen, recogniser, gateway or device in the middle, and check how the others take it
  --garbage              send garbage to the gateway before and after the order
  --port SERVICE=PORT    a fixed port for receiver, kitchen, recogniser or gateway (default: a free one)
  --out DIRECTORY        where trace.html, trace.json and the logs go (default: target/demo)
  --root DIRECTORY       the source tree (default: found from the current directory upwards)
  --test                 all of the above in turn, with --fast

With OTEL_EXPORTER_OTLP_ENDPOINT set, spans are exported there, and only what the device sees is checked.
Exit code: 0 the trace is as expected, 1 it is not, 2 a service or the input failed, 64 wrong usage, 130 and 143 interrupted.
";

/// What to do.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) wav: Option<PathBuf>,
    pub(crate) fast: bool,
    pub(crate) devices: usize,
    pub(crate) unsampled: bool,
    pub(crate) parent: Option<TraceParent>,
    pub(crate) kill: Option<String>,
    pub(crate) garbage: bool,
    pub(crate) ports: HashMap<String, u16>,
    pub(crate) out: PathBuf,
    pub(crate) root: PathBuf,
    pub(crate) test: bool,
}

/// Reads the arguments; none means that help was asked for.
pub(crate) fn parse(
    arguments: impl IntoIterator<Item = std::ffi::OsString>,
) -> Result<Option<Options>, String> {
    use lexopt::prelude::{Long, ValueExt};

    let mut wav: Option<PathBuf> = None;
    let (mut out, mut root): (Option<PathBuf>, Option<PathBuf>) = (None, None);
    let mut options = Options {
        wav: None,
        fast: false,
        devices: 1,
        unsampled: false,
        parent: None,
        kill: None,
        garbage: false,
        ports: HashMap::new(),
        out: PathBuf::new(),
        root: PathBuf::new(),
        test: false,
    };
    let mut parser = lexopt::Parser::from_args(arguments);
    let told = |error: lexopt::Error| error.to_string();
    while let Some(argument) = parser.next().map_err(told)? {
        match argument {
            Long("help") => return Ok(None),
            Long("wav") => wav = Some(parser.value().map_err(told)?.into()),
            Long("fast") => options.fast = true,
            Long("devices") => {
                options.devices = parser
                    .value()
                    .and_then(|value| value.parse())
                    .map_err(told)?;
            }
            Long("unsampled") => options.unsampled = true,
            Long("parent") => {
                let value = parser.value().and_then(ValueExt::string).map_err(told)?;
                let parent = value
                    .parse()
                    .map_err(|error| format!("--parent {value}: {error}"))?;
                options.parent = Some(parent);
            }
            Long("kill") => {
                let name = parser.value().and_then(ValueExt::string).map_err(told)?;
                if !["kitchen", "recogniser", "gateway", "device"].contains(&name.as_str()) {
                    return Err(format!(
                        "--kill {name}: not one of kitchen, recogniser, gateway, device"
                    ));
                }
                options.kill = Some(name);
            }
            Long("garbage") => options.garbage = true,
            Long("port") => {
                let value = parser.value().and_then(ValueExt::string).map_err(told)?;
                let (service, port) = port(&value).ok_or_else(|| {
                    format!("--port {value}: not SERVICE=PORT with receiver, kitchen, recogniser or gateway")
                })?;
                options.ports.insert(service, port);
            }
            Long("out") => out = Some(parser.value().map_err(told)?.into()),
            Long("root") => root = Some(parser.value().map_err(told)?.into()),
            Long("test") => options.test = true,
            other => return Err(other.unexpected().to_string()),
        }
    }
    if !(1..=8).contains(&options.devices) {
        return Err("--devices takes 1 to 8".to_owned());
    }
    let here = |path: PathBuf| std::path::absolute(path).map_err(|error| error.to_string());
    options.root = match root {
        Some(root) => here(root)?,
        None => find_root()?,
    };
    options.out = match out {
        Some(out) => here(out)?,
        None => options.root.join("target/demo"),
    };
    options.wav = wav.map(here).transpose()?;
    Ok(Some(options))
}

fn port(value: &str) -> Option<(String, u16)> {
    let (service, port) = value.split_once('=')?;
    ["receiver", "kitchen", "recogniser", "gateway"]
        .contains(&service)
        .then_some(())?;
    Some((service.to_owned(), port.parse().ok()?))
}

/// The source tree holds `demo/gateway`.
fn find_root() -> Result<PathBuf, String> {
    let here = std::env::current_dir().map_err(|error| format!("no current directory: {error}"))?;
    here.ancestors()
        .find(|directory| directory.join("demo/gateway").is_dir())
        .map(PathBuf::from)
        .ok_or_else(|| "run this inside the source tree, or name it with --root".to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::parse;

    fn parsed(arguments: &[&str]) -> Result<Option<super::Options>, String> {
        let given = ["--root", "."].iter().chain(arguments);
        parse(given.map(Into::into))
    }

    #[test]
    fn arguments_have_defaults() {
        let options = parsed(&[]).unwrap().unwrap();
        assert_eq!(
            (options.devices, options.fast, options.test),
            (1, false, false)
        );
        assert!(options.out.ends_with("target/demo"));
    }

    #[test]
    fn wrong_arguments_are_named() {
        for (arguments, named) in [
            (&["--devices", "9"][..], "--devices"),
            (&["--devices", "many"], "many"),
            (&["--kill", "chef"], "chef"),
            (&["--parent", "00-0-0-01"], "--parent"),
            (&["--port", "kitchen"], "--port"),
            (&["--port", "cellar=1"], "cellar"),
            (&["--port", "kitchen=65536"], "65536"),
            (&["--louder"], "--louder"),
            (&["extra"], "extra"),
        ] {
            let error = parsed(arguments).unwrap_err();
            assert!(error.contains(named), "{arguments:?}: {error}");
        }
        assert!(parsed(&["--help"]).unwrap().is_none());
    }
}
