//! Whether the spans are those that the demo has to give.

use std::collections::BTreeSet;

use wirespan_conformance::trace::expect::{About, Expected, ExpectedForest, Report, Top};
use wirespan_conformance::trace::streams::{Direction, streams};
use wirespan_conformance::trace::text::seconds;
use wirespan_conformance::trace::{Forest, Kind, Span, TraceParent};

use crate::garbage;

const SESSION: &str = "websocket.session.id";
const QUEUE_WAIT: &str = "websocket.queue.wait";
const HANDSHAKE: &str = "websocket.handshake";
/// The name of a call of a method that the callee does not serve.
const UNNAMED: &str = "websocket call";

/// What was found out.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// What holds, in sentences.
    pub(crate) holds: Vec<String>,
    /// What does not.
    pub(crate) problems: Vec<String>,
}

impl Verdict {
    pub(crate) fn note(
        &mut self,
        holds: bool,
        sentence: impl Into<String>,
        otherwise: impl Into<String>,
    ) {
        if holds {
            self.holds.push(sentence.into());
        } else {
            self.problems.push(otherwise.into());
        }
    }
}

/// The spans of one order for each device, nothing else, nothing twice, nothing crossed; and those of strangers that sent
/// garbage so many times.
pub(crate) fn connected(
    forest: &Forest,
    devices: &[String],
    parent: Option<TraceParent>,
    strangers: usize,
) -> Verdict {
    let report = expected(forest, devices, parent, strangers).check(forest);
    let mut verdict = Verdict::default();
    one_trace_each(&mut verdict, forest, devices, &report, parent.is_some());
    let sorts: [(&str, &[About]); 4] = [
        (
            "every span is there, once, and nothing else is",
            &[About::Missing, About::Unexpected, About::Duplicate],
        ),
        (
            "every span has the expected parent, across all four languages",
            &[About::Parent, About::Kind],
        ),
        (
            "every call links the handshakes of its connection",
            &[About::Link],
        ),
        (
            "websocket.session.id is on every span, the same on both ends; every wait in a queue is measured; no span failed",
            &[About::Attribute, About::Event, About::Status],
        ),
    ];
    for (sentence, about) in sorts {
        let wrong = report
            .differences
            .iter()
            .filter(|difference| about.contains(&difference.about));
        let wrong: Vec<String> = wrong.map(ToString::to_string).collect();
        if wrong.is_empty() {
            verdict.holds.push(sentence.to_owned());
        }
        verdict.problems.extend(wrong);
    }
    kitchen_stall(&mut verdict, forest, devices.len());
    verdict
}

/// A service was killed in the middle of the order: the others end their spans, with errors where the order failed.
pub(crate) fn broken_off(forest: &Forest, devices: &[String], killed: &str) -> Verdict {
    let mut verdict = Verdict::default();
    let find = |service: &str, name: &str, kind: Kind| {
        forest
            .spans()
            .iter()
            .find(|span| span.service == service && span.name == name && span.kind == kind)
    };
    // The spans that ran when the service died, on the side that lives.
    let device = devices.first().map_or("device", String::as_str);
    let mut failed = Vec::new();
    if killed != "device" {
        failed.push((device, "order", Kind::Client));
    }
    if killed != "gateway" {
        failed.push(("gateway", "order", Kind::Server));
    }
    match killed {
        "kitchen" => failed.push(("gateway", "order", Kind::Client)),
        "recogniser" => failed.push(("gateway", "transcribe", Kind::Client)),
        "gateway" => failed.push(("kitchen", "order", Kind::Server)),
        _ => {}
    }
    for (service, name, kind) in failed {
        let span = find(service, name, kind);
        let error_type = span.and_then(|span| span.attributes.text("error.type"));
        match (span, error_type) {
            (Some(span), Some(error_type)) if span.is_error() => {
                verdict.holds.push(format!(
                    "{service}: {name} {kind} ended with error {error_type}"
                ));
            }
            (Some(span), _) => verdict.problems.push(format!(
                "{span} ended with status {:?} and error.type {error_type:?}",
                span.status
            )),
            (None, _) => verdict
                .problems
                .push(format!("{service}: {name} {kind} was not received")),
        }
    }
    for span in forest.duplicates() {
        verdict.problems.push(format!("received twice: {span}"));
    }
    let order = forest.spans().iter().filter(|span| span.name != HANDSHAKE);
    let traces: BTreeSet<_> = order.map(|span| span.trace_id).collect();
    verdict.note(
        traces.len() <= devices.len(),
        "what was received belongs to one trace",
        format!("what was received belongs to {} traces", traces.len()),
    );
    without_session(&mut verdict, forest);
    verdict
}

fn expected(
    forest: &Forest,
    devices: &[String],
    parent: Option<TraceParent>,
    strangers: usize,
) -> ExpectedForest {
    let mut expected = ExpectedForest::new();
    // Connections may be shared by several orders; each has its handshake once.
    let mut connections: Vec<Connection> = Vec::new();
    for device in devices {
        let calls = Calls::find(forest, device);
        let mut connect = |from: &str, to: &str, call: Option<&Span>, under: String| {
            let session = call
                .and_then(|call| call.attributes.text(SESSION))
                .unwrap_or("none")
                .to_owned();
            let label = format!("{from}-{to}-{session}");
            if !connections.iter().any(|known| known.label == label) {
                let (from, to) = (from.to_owned(), to.to_owned());
                connections.push(Connection {
                    label: label.clone(),
                    session,
                    from,
                    to,
                    under,
                });
            }
            (format!("{label}:client"), format!("{label}:server"))
        };
        let served = format!("{device}:served");
        let to_gateway = connect(device, "gateway", calls.order, format!("{device}:order"));
        let to_recogniser = connect("gateway", "recogniser", calls.transcribe, served.clone());
        let to_kitchen = connect("gateway", "kitchen", calls.kitchen, served.clone());

        let order = call(device, "order", Kind::Client, &to_gateway.0)
            .label(format!("{device}:order"))
            .child(
                call("gateway", "order", Kind::Server, &to_gateway.1)
                    .label(served)
                    .child(
                        call("gateway", "transcribe", Kind::Client, &to_recogniser.0).child(
                            call("recogniser", "transcribe", Kind::Server, &to_recogniser.1).child(
                                worker("recogniser", "recognise", &to_recogniser.1).has(QUEUE_WAIT),
                            ),
                        ),
                    )
                    .child(
                        call("gateway", "order", Kind::Client, &to_kitchen.0).child(
                            call("kitchen", "order", Kind::Server, &to_kitchen.1)
                                .has(QUEUE_WAIT)
                                .child(worker("kitchen", "cook", &to_kitchen.1)),
                        ),
                    )
                    .child(
                        call("gateway", "confirm", Kind::Client, &to_gateway.1).child(call(
                            device,
                            "confirm",
                            Kind::Server,
                            &to_gateway.0,
                        )),
                    ),
            );
        let top = parent.map_or(Top::Root, |parent| Top::Remote(parent.span));
        expected = expected.tree(top, order);
    }
    for connection in connections {
        let end = |service: &str| {
            Expected::new(service, HANDSHAKE, Kind::Client)
                .attribute(SESSION, connection.session.as_str())
        };
        let accepted = Expected::new(connection.to.as_str(), HANDSHAKE, Kind::Server)
            .attribute(SESSION, connection.session.as_str())
            .label(format!("{}:server", connection.label));
        let tree = end(&connection.from)
            .label(format!("{}:client", connection.label))
            .child(accepted);
        // The handshake of a device that was started under a foreign span belongs to that span, too.
        let top = match parent {
            Some(parent)
                if devices.contains(&connection.from) && is_under(forest, &connection, parent) =>
            {
                Top::Remote(parent.span)
            }
            _ => Top::RootOrUnder(connection.under),
        };
        expected = expected.tree(top, tree);
    }
    for _ in 0..strangers * garbage::HANDSHAKES {
        let shaken = Expected::new("gateway", HANDSHAKE, Kind::Server);
        expected = expected.tree(Top::Root, shaken.has(SESSION).any_status());
    }
    // A peer never chooses a name.
    for _ in 0..strangers * garbage::CALLS {
        let refused = Expected::new("gateway", UNNAMED, Kind::Server)
            .has(SESSION)
            .any_links();
        expected = expected.tree(Top::Root, refused.fails_with("unknown_method"));
    }
    expected
}

struct Connection {
    label: String,
    session: String,
    from: String,
    to: String,
    under: String,
}

fn is_under(forest: &Forest, connection: &Connection, parent: TraceParent) -> bool {
    forest.spans().iter().any(|span| {
        span.name == HANDSHAKE
            && span.service == connection.from
            && span.parent == Some(parent.span.span_id)
    })
}

fn call(service: &str, name: &str, kind: Kind, handshake: &str) -> Expected {
    Expected::new(service, name, kind)
        .has(SESSION)
        .same(SESSION, handshake)
        .attribute("network.protocol.name", "websocket")
        .attribute("rpc.method", name)
        .attribute("websocket.stream.outcome", "complete")
        .link(handshake)
}

/// A span that a service makes by itself, behind its queue.
fn worker(service: &str, name: &str, handshake: &str) -> Expected {
    Expected::new(service, name, Kind::Internal)
        .has(SESSION)
        .same(SESSION, handshake)
}

/// The calls of one order, wherever they are.
struct Calls<'a> {
    order: Option<&'a Span>,
    transcribe: Option<&'a Span>,
    kitchen: Option<&'a Span>,
}

impl<'a> Calls<'a> {
    fn find(forest: &'a Forest, device: &str) -> Self {
        let spans = forest.spans();
        let of = |service: &str, name: &str| {
            spans
                .iter()
                .filter(move |span| is(span, service, name, Kind::Client))
                .collect::<Vec<_>>()
        };
        let order = of(device, "order").first().copied();
        let same_trace = |found: Vec<&'a Span>| {
            found
                .into_iter()
                .find(|span| order.is_some_and(|order| order.trace_id == span.trace_id))
        };
        let transcribe = same_trace(of("gateway", "transcribe"));
        let kitchen = same_trace(of("gateway", "order"));
        Self {
            order,
            transcribe,
            kitchen,
        }
    }
}

fn is(span: &Span, service: &str, name: &str, kind: Kind) -> bool {
    span.service == service && span.name == name && span.kind == kind
}

fn one_trace_each(
    verdict: &mut Verdict,
    forest: &Forest,
    devices: &[String],
    report: &Report,
    shared: bool,
) {
    let mut traces = BTreeSet::new();
    for device in devices {
        let Some(order) = report.labels.get(&format!("{device}:order")) else {
            continue;
        };
        let trace_id = forest.spans()[*order].trace_id;
        let spans = forest
            .spans()
            .iter()
            .filter(|span| span.trace_id == trace_id && span.name != HANDSHAKE);
        let services: BTreeSet<&str> = spans.clone().map(|span| span.service.as_str()).collect();
        let sentence = format!(
            "one trace, {trace_id}, holds {} spans of {} services",
            spans.count(),
            services.len()
        );
        verdict.note(
            traces.insert(trace_id) || shared,
            sentence,
            format!("two devices share the trace {trace_id}"),
        );
    }
    let elsewhere = forest
        .spans()
        .iter()
        .filter(|span| ![HANDSHAKE, UNNAMED].contains(&span.name.as_str()))
        .filter(|span| !traces.contains(&span.trace_id))
        .count();
    if elsewhere > 0 {
        verdict.problems.push(format!(
            "{elsewhere} spans of calls are in other traces than those of the orders"
        ));
    }
    without_session(verdict, forest);
}

fn without_session(verdict: &mut Verdict, forest: &Forest) {
    for span in forest.spans() {
        if span.attributes.text(SESSION).is_none_or(str::is_empty) {
            verdict.problems.push(format!("{span} has no {SESSION}"));
        }
    }
}

/// The kitchen makes its customers wait once: both ends of its stream have to say so.
fn kitchen_stall(verdict: &mut Verdict, forest: &Forest, orders: usize) {
    let streams = streams(forest);
    for (service, kind, direction) in [
        ("kitchen", Kind::Server, Direction::Sent),
        ("gateway", Kind::Client, Direction::Received),
    ] {
        let of_kitchen = streams.iter().filter(|stream| {
            stream.direction == direction
                && is(&forest.spans()[stream.span], service, "order", kind)
        });
        let stalled: Vec<f64> = of_kitchen
            .filter(|stream| stream.stalls == 1)
            .filter_map(|stream| Some(stream.stall_events.first()?.interval))
            .collect();
        let longest = stalled.iter().copied().fold(0.0, f64::max);
        verdict.note(
            stalled.len() == orders,
            format!("{service} found the kitchen's stall ({})", seconds(Some(longest))),
            format!("{service} should have found one stall in the kitchen's stream of each of {orders} orders, found {}", stalled.len()),
        );
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
