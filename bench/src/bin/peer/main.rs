//! The Rust peer of the end-to-end benchmark: `wirespan-bench-peer server MODE` or `client MODE PORT`; see bench/README.md.

mod by_hand;
mod raw;
mod traced;

use std::future::Future;
use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use opentelemetry::trace::{FutureExt, TraceContextExt, Tracer};
use opentelemetry::{Context, global};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How the messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// The WebSocket library alone.
    Untraced,
    /// An envelope by hand, with the official propagator; no spans.
    Idiom,
    /// The same with a span for each message, on both sides.
    IdiomCall,
    /// Wirespan, messages outside every call.
    Plain,
    /// Wirespan, one call with many chunks.
    Stream,
    /// Wirespan, a call for each message.
    Call,
}

impl Mode {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "untraced" => Self::Untraced,
            "idiom" => Self::Idiom,
            "idiom-call" => Self::IdiomCall,
            "plain" => Self::Plain,
            "stream" => Self::Stream,
            "call" => Self::Call,
            _ => return None,
        })
    }
}

/// What the orchestrator asks a client for: `SIZE FORM SECONDS WINDOW`.
#[derive(Clone, Debug)]
struct Run {
    body: Body,
    until: Instant,
    /// How many messages are on their way at a time.
    window: usize,
}

#[derive(Clone, Debug)]
enum Body {
    /// A JSON document, which the application knows it to be.
    Json(Box<serde_json::value::RawValue>),
    Binary(Vec<u8>),
}

impl Run {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let size = words.next()?.parse().ok()?;
        let body = match words.next()? {
            "text" => Body::Json(document(size)?),
            "binary" => Body::Binary((0..size).map(|n| (n * 7) as u8).collect()),
            _ => return None,
        };
        let seconds = words.next()?.parse().ok()?;
        let window = words.next()?.parse().ok()?;
        Some(Self {
            body,
            until: Instant::now() + Duration::from_secs_f64(seconds),
            window,
        })
    }

    fn goes_on(&self) -> bool {
        Instant::now() < self.until
    }
}

/// A JSON document of this size.
fn document(size: usize) -> Option<Box<serde_json::value::RawValue>> {
    let words = "The quick brown fox jumps over the lazy dog. ";
    let room = size.checked_sub(r#"{"text":""}"#.len())?;
    let text: String = words.chars().cycle().take(room).collect();
    serde_json::value::RawValue::from_string(format!(r#"{{"text":"{text}"}}"#)).ok()
}

/// Takes spans and lets them go: what an exporter costs is not Wirespan's.
#[derive(Debug)]
struct NoExport;

impl SpanExporter for NoExport {
    async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
        Ok(())
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let run = match arguments[..] {
        ["server", mode] => Mode::parse(mode).map(|mode| in_runtime(serve(mode))),
        ["client", mode, port] => {
            Mode::parse(mode).map(|mode| in_runtime(client(mode, format!("ws://127.0.0.1:{port}"))))
        }
        _ => None,
    };
    match run {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(error)) => {
            eprintln!("rust: {error}");
            ExitCode::FAILURE
        }
        None => {
            eprintln!("usage: wirespan-bench-peer server MODE | client MODE PORT");
            ExitCode::from(2)
        }
    }
}

/// The default runtime, in whose tasks everything runs: a runtime's own first thread would be one more to wake.
fn in_runtime(
    work: impl Future<Output = Result<(), Failure>> + Send + 'static,
) -> Result<(), Failure> {
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(NoExport)
        .build();
    global::set_tracer_provider(provider.clone());
    let runtime = tokio::runtime::Runtime::new()?;
    let ended = runtime.block_on(runtime.spawn(work))?;
    provider.shutdown()?;
    ended
}

/// Serves until standard input ends.
async fn serve(mode: Mode) -> Result<(), Failure> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    say(&format!("port {}", listener.local_addr()?.port()));
    let server = match mode {
        Mode::Untraced | Mode::Idiom | Mode::IdiomCall => {
            tokio::spawn(raw::serve(mode, listener));
            None
        }
        Mode::Plain | Mode::Stream | Mode::Call => Some(traced::serve(listener)?),
    };
    while next_line().await?.is_some() {}
    drop(server);
    Ok(())
}

/// Does what standard input says, run by run.
async fn client(mode: Mode, url: String) -> Result<(), Failure> {
    let mut client = Client::connect(mode, &url).await?;
    say("ready");
    while let Some(line) = next_line().await? {
        let run = Run::parse(&line).ok_or("a run is SIZE FORM SECONDS WINDOW")?;
        // What is sent outside a call is sent inside this span.
        let span = global::tracer("bench").start("run");
        let started = Instant::now();
        let round_trips = client
            .run(&run)
            .with_context(Context::current_with_span(span))
            .await?;
        say(&format!(
            "done {round_trips} {}",
            started.elapsed().as_nanos()
        ));
    }
    client.close().await
}

enum Client {
    Raw(Box<raw::Client>),
    Traced(traced::Client),
}

impl Client {
    async fn connect(mode: Mode, url: &str) -> Result<Self, Failure> {
        Ok(match mode {
            Mode::Untraced | Mode::Idiom | Mode::IdiomCall => {
                Self::Raw(Box::new(raw::Client::connect(mode, url).await?))
            }
            Mode::Plain | Mode::Stream | Mode::Call => {
                Self::Traced(traced::Client::connect(mode, url).await?)
            }
        })
    }

    async fn run(&mut self, run: &Run) -> Result<u64, Failure> {
        match self {
            Self::Raw(client) => client.run(run).await,
            Self::Traced(client) => client.run(run).await,
        }
    }

    async fn close(&mut self) -> Result<(), Failure> {
        match self {
            Self::Raw(client) => client.close().await,
            Self::Traced(client) => {
                client.close().await;
                Ok(())
            }
        }
    }
}

fn say(line: &str) {
    // An orchestrator that has gone reads nothing.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

async fn next_line() -> Result<Option<String>, Failure> {
    let line = tokio::task::spawn_blocking(|| std::io::stdin().lock().lines().next()).await?;
    Ok(line.transpose()?)
}
