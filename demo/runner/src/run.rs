//! One run: receiver, services, devices, and the end of all of them.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::Instant;
use wirespan_conformance::receiver::{Limits, Receiver};
use wirespan_conformance::trace::TraceParent;
use wirespan_conformance::trace::text::clean;

use crate::children::{Children, Event, ending};
use crate::failure::Failure;
use crate::options::Options;
use crate::services::{self, Addresses, SERVICES};
use crate::{garbage, say};

/// How long a service may take to listen: the recogniser loads its model.
const READY: Duration = Duration::from_secs(60);
/// How long an order may take beyond the length of its recording.
const ORDER: Duration = Duration::from_secs(45);
/// How long the others may take to notice that a service has died.
const NOTICE: Duration = Duration::from_secs(20);
/// How long the news of a dead service may take after that of a failed device.
const BLAME: Duration = Duration::from_millis(700);
/// How long a service may take to finish and to export.
const STOP: Duration = Duration::from_secs(10);
/// When a service is killed that has done its work before the first word of the reply.
const KILL_EARLY: Duration = Duration::from_millis(900);
/// Bytes per second of a recording: 16 kHz, 16 bit.
const WAV_BYTES_PER_SECOND: u64 = 32_000;

/// What was seen of a device.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The order as recognised, the last word on it.
    pub(crate) order: String,
    /// What was understood so far, each time it changed, with the time.
    pub(crate) orders: Vec<(u64, String)>,
    /// The reply as it came, with the time.
    pub(crate) reply: Vec<(u64, String)>,
    /// What was said in the recording, where that is known.
    pub(crate) spoken: Option<String>,
    /// Whether it ended well.
    pub(crate) succeeded: bool,
}

impl Seen {
    pub(crate) fn reply_text(&self) -> String {
        self.reply
            .iter()
            .map(|(_, text)| text.trim())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// What a run has given.
pub(crate) struct Outcome {
    pub(crate) receiver: Option<Receiver>,
    pub(crate) devices: Vec<String>,
    pub(crate) seen: HashMap<String, Seen>,
    /// What the gateway received, where it was asked to print it.
    pub(crate) contexts: Vec<String>,
    /// What was wrong with the end of a service.
    pub(crate) endings: Vec<String>,
    pub(crate) failure: Option<Failure>,
}

/// Runs the demo once. Whatever happens, nothing is left running.
pub(crate) async fn run(options: &Options) -> Outcome {
    let mut outcome = Outcome {
        receiver: None,
        devices: services::devices(options.devices),
        seen: HashMap::new(),
        contexts: Vec::new(),
        endings: Vec::new(),
        failure: None,
    };
    let mut children = match Children::new(&options.out) {
        Ok(children) => children,
        Err(failure) => {
            outcome.failure = Some(failure);
            return outcome;
        }
    };
    let played = play(options, &mut children, &mut outcome).await;
    let interrupted = matches!(played, Err(Failure::Interrupted(_)));
    outcome.failure = played.err();
    // Backwards: whoever calls ends before whoever is called.
    for name in outcome
        .devices
        .iter()
        .map(String::as_str)
        .chain(SERVICES.into_iter().rev())
    {
        let ending = children
            .stop(name, if interrupted { STOP / 5 } else { STOP })
            .await;
        outcome.endings.extend(ending);
    }
    outcome
}

async fn play(
    options: &Options,
    children: &mut Children,
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    let recordings = services::recordings(options)?;
    let mut addresses = Addresses::default();
    match std::env::var("OTEL_EXPORTER_OTLP_ENDPOINT") {
        Ok(endpoint) if !endpoint.is_empty() => {
            say(format!(
                "exporting to {} (OTEL_EXPORTER_OTLP_ENDPOINT)",
                clean(&endpoint)
            ));
            addresses.endpoint = endpoint;
            addresses.endpoint_is_foreign = true;
        }
        _ => {
            let port = options.ports.get("receiver").copied().unwrap_or(0);
            let receiver = Receiver::bind(([127, 0, 0, 1], port).into(), Limits::default())
                .map_err(|error| {
                    Failure::Other(format!(
                        "receiver: port {port} cannot be listened at: {error}"
                    ))
                })?;
            say(format!("receiver    listens at {}", receiver.address()));
            addresses.endpoint = receiver.endpoint();
            outcome.receiver = Some(receiver);
        }
    }
    for name in SERVICES {
        let pid = children.start(name, services::service(name, options, &addresses))?;
        let port = ready(children, name, &mut outcome.contexts).await?;
        addresses.set(name, port);
        say(format!(
            "{name:<11} listens at 127.0.0.1:{port} (pid {pid})"
        ));
    }
    if options.garbage {
        say("garbage     goes to the gateway");
        garbage::send(addresses.gateway)
            .await
            .map_err(Failure::Other)?;
    }
    let mut longest = Duration::ZERO;
    for (name, wav) in outcome.devices.clone().iter().zip(&recordings) {
        let pid = children.start(name, services::device(name, wav, options, &addresses))?;
        say(format!(
            "{name:<11} streams {} (pid {pid})",
            wav.strip_prefix(&options.root).unwrap_or(wav).display()
        ));
        let seen = Seen {
            spoken: spoken(options, wav),
            ..Seen::default()
        };
        outcome.seen.insert(name.clone(), seen);
        let bytes = std::fs::metadata(wav).map_or(0, |metadata| metadata.len());
        longest = longest.max(Duration::from_secs(bytes / WAV_BYTES_PER_SECOND));
    }
    order(options, children, outcome, longest).await?;
    if options.garbage {
        garbage::send(addresses.gateway)
            .await
            .map_err(Failure::Other)?;
    }
    Ok(())
}

/// Waits for `ready PORT`.
async fn ready(
    children: &mut Children,
    name: &str,
    contexts: &mut Vec<String>,
) -> Result<u16, Failure> {
    let deadline = Instant::now() + READY;
    loop {
        match children.next(deadline).await? {
            Some(Event::Line {
                name: from, text, ..
            }) if from == name => {
                if let Some(port) = text.strip_prefix("ready ") {
                    let port = port.trim().parse().ok().filter(|port| *port != 0);
                    return port.ok_or_else(|| {
                        children.failure(name, format!("names no port: {}", clean(&text)))
                    });
                }
            }
            Some(Event::Line {
                name: from, text, ..
            }) => keep_context(contexts, &from, &text),
            Some(Event::Exit { name: from, status }) => {
                return Err(
                    children.failure(&from, format!("{} before the demo began", ending(status)))
                );
            }
            None => {
                return Err(
                    children.failure(name, format!("did not listen within {} s", READY.as_secs()))
                );
            }
        }
    }
}

/// Waits until all devices are done, killing a service on the way if asked to.
async fn order(
    options: &Options,
    children: &mut Children,
    outcome: &mut Outcome,
    recording: Duration,
) -> Result<(), Failure> {
    let begin = Instant::now();
    let limit = recording + ORDER;
    let mut deadline = begin + limit;
    // The recogniser works while there is speech, the others while there is a reply.
    let mut kill_at = (options.kill.as_deref() == Some("recogniser")).then_some(begin + KILL_EARLY);
    let mut killed: Option<&str> = None;
    let mut died: Option<Failure> = None;
    let mut failed: Option<Failure> = None;
    while outcome
        .devices
        .iter()
        .any(|device| children.is_running(device))
    {
        let until = kill_at.map_or(deadline, |at| at.min(deadline));
        let event = children.next(until).await?;
        let mut reply_began = false;
        match event {
            Some(Event::Line { name, at_ns, text }) => {
                keep_context(&mut outcome.contexts, &name, &text);
                if let Some(seen) = outcome.seen.get_mut(&name) {
                    if let Some(partial) = text.strip_prefix("partial: ") {
                        say(format!("{name:<11} hears: {}", clean(partial)));
                        seen.orders.push((at_ns, partial.trim().to_owned()));
                    } else if let Some(order) = text.strip_prefix("order: ") {
                        say(format!("{name:<11} order: {}", clean(order)));
                        seen.order = order.trim().to_owned();
                        seen.orders.push((at_ns, seen.order.clone()));
                    } else if let Some(word) = text.strip_prefix("reply: ") {
                        say(format!("{name:<11} reply: {}", clean(word)));
                        seen.reply.push((at_ns, word.trim().to_owned()));
                        reply_began = true;
                    }
                }
            }
            Some(Event::Exit { name, status }) => {
                if killed.is_some_and(|victim| {
                    victim == name || outcome.seen.contains_key(&name) && victim == "device"
                }) {
                    say(format!(
                        "{name:<11} {} in the middle of the order, as asked by --kill",
                        ending(status)
                    ));
                } else if let Some(seen) = outcome.seen.get_mut(&name) {
                    seen.succeeded = status.success();
                    if !status.success() && killed.is_none() && failed.is_none() {
                        failed = Some(children.failure(&name, ending(status)));
                    }
                } else if died.is_none() {
                    died = Some(children.failure(
                        &name,
                        format!("{} in the middle of the order", ending(status)),
                    ));
                    deadline = deadline.min(Instant::now() + NOTICE);
                }
            }
            None if kill_at.is_some_and(|at| at <= Instant::now()) => {}
            None => {
                let waiting = outcome
                    .devices
                    .iter()
                    .find(|device| children.is_running(device));
                let name = waiting.map_or("device", String::as_str);
                let what = match (&died, killed) {
                    (Some(_), _) | (None, Some(_)) => {
                        format!("still waits {} s after a service died", NOTICE.as_secs())
                    }
                    (None, None) => format!("was not done after {} s", limit.as_secs()),
                };
                return Err(died.unwrap_or_else(|| children.failure(name, what)));
            }
        }
        let due = kill_at.is_some_and(|at| at <= Instant::now());
        if let Some(name) = options.kill.as_deref()
            && killed.is_none()
            && (due || (reply_began && name != "recogniser"))
        {
            let victim = if name == "device" {
                outcome.devices.first().map_or(name, String::as_str)
            } else {
                name
            };
            children.signal(victim, Signal::SIGKILL);
            killed = Some(name);
            kill_at = None;
            deadline = Instant::now() + NOTICE;
        }
    }
    // A device that fails because a service died may be heard of first.
    let deadline = Instant::now() + BLAME;
    while failed.is_some() && died.is_none() {
        match children.next(deadline).await? {
            Some(Event::Exit { name, status }) => {
                died = Some(children.failure(
                    &name,
                    format!("{} in the middle of the order", ending(status)),
                ));
            }
            Some(Event::Line { .. }) => {}
            None => break,
        }
    }
    match (died.or(failed), &options.kill, killed) {
        (Some(failure), ..) => Err(failure),
        (None, Some(name), None) => Err(Failure::Other(format!(
            "the order was done before {name} could be killed"
        ))),
        _ => Ok(()),
    }
}

fn keep_context(contexts: &mut Vec<String>, name: &str, text: &str) {
    if name == "gateway"
        && let Some(context) = text.strip_prefix("traceparent: ")
    {
        contexts.push(context.trim().to_owned());
    }
}

/// What is spoken in a recording, if it is one of ours, whichever way its path was written.
fn spoken(options: &Options, wav: &Path) -> Option<String> {
    let wav = wav.canonicalize().ok()?;
    services::orders(options)
        .into_iter()
        .find(|order| order.wav.canonicalize().is_ok_and(|known| known == wav))
        .map(|order| order.text)
}

/// Whether all contexts that the gateway received are valid and not sampled.
pub(crate) fn unsampled(contexts: &[String]) -> Result<usize, String> {
    if contexts.is_empty() {
        return Err("the gateway printed no context (--print-context)".to_owned());
    }
    for context in contexts {
        let parsed: TraceParent = context
            .parse()
            .map_err(|error| format!("the gateway received {}: {error}", clean(context)))?;
        if parsed.is_sampled() {
            return Err(format!("the gateway received a sampled context: {context}"));
        }
    }
    Ok(contexts.len())
}
