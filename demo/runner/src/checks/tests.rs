use wirespan_conformance::trace::{
    Attributes, Event, Forest, Kind, Link, Span, SpanId, Status, TraceId, TraceParent, Value,
};

use super::{HANDSHAKE, QUEUE_WAIT, broken_off, connected};

/// The spans of a demo as it should be.
struct Scene {
    spans: Vec<Span>,
}

impl Scene {
    fn new(devices: &[&str], parent: Option<TraceParent>) -> Self {
        let mut scene = Self { spans: Vec::new() };
        let shared = [
            ("gateway", "recogniser", "s-r"),
            ("gateway", "kitchen", "s-k"),
        ]
        .map(|(from, to, session)| scene.handshake(from, to, session));
        let [recogniser, kitchen] = shared;
        for device in devices {
            let session = format!("s-{device}");
            let own = scene.handshake(device, "gateway", &session);
            let order = scene.call(device, "order", Kind::Client, None, &session, own.0);
            if let Some(parent) = parent {
                scene.spans[order].trace_id = parent.span.trace_id;
                scene.spans[order].parent = Some(parent.span.span_id);
            }
            let served = scene.call(
                "gateway",
                "order",
                Kind::Server,
                Some(order),
                &session,
                own.1,
            );
            let speech = scene.call(
                "gateway",
                "transcribe",
                Kind::Client,
                Some(served),
                "s-r",
                recogniser.0,
            );
            let heard = scene.call(
                "recogniser",
                "transcribe",
                Kind::Server,
                Some(speech),
                "s-r",
                recogniser.1,
            );
            scene.worker("recogniser", "recognise", heard, "s-r");
            let dish = scene.call(
                "gateway",
                "order",
                Kind::Client,
                Some(served),
                "s-k",
                kitchen.0,
            );
            let cooked = scene.call(
                "kitchen",
                "order",
                Kind::Server,
                Some(dish),
                "s-k",
                kitchen.1,
            );
            scene.worker("kitchen", "cook", cooked, "s-k");
            scene.set(cooked, &[(QUEUE_WAIT, 0.001.into())]);
            scene.stall(dish, "received");
            scene.stall(cooked, "sent");
            let asked = scene.call(
                "gateway",
                "confirm",
                Kind::Client,
                Some(served),
                &session,
                own.1,
            );
            scene.call(
                device,
                "confirm",
                Kind::Server,
                Some(asked),
                &session,
                own.0,
            );
        }
        scene
    }

    fn span(&mut self, service: &str, name: &str, kind: Kind, parent: Option<usize>) -> usize {
        let number = u64::try_from(self.spans.len()).unwrap() + 1;
        let own_trace = TraceId::from_slice(&u128::from(number).to_be_bytes()).unwrap();
        let above = parent.map(|parent| &self.spans[parent]);
        self.spans.push(Span {
            service: service.into(),
            name: name.into(),
            kind,
            trace_id: above.map_or(own_trace, |above| above.trace_id),
            span_id: SpanId::from_slice(&number.to_be_bytes()).unwrap(),
            parent: above.map(|above| above.span_id),
            links: Vec::new(),
            start_ns: number * 1000,
            end_ns: 1_000_000,
            attributes: Attributes::default(),
            events: Vec::new(),
            status: Status::Unset,
            flags: 1,
            trace_state: String::new(),
        });
        self.spans.len() - 1
    }

    fn worker(&mut self, service: &str, name: &str, parent: usize, session: &str) {
        let index = self.span(service, name, Kind::Internal, Some(parent));
        self.set(
            index,
            &[
                ("websocket.session.id", session.into()),
                (QUEUE_WAIT, 0.001.into()),
            ],
        );
    }

    fn handshake(&mut self, from: &str, to: &str, session: &str) -> (usize, usize) {
        let client = self.span(from, HANDSHAKE, Kind::Client, None);
        let server = self.span(to, HANDSHAKE, Kind::Server, Some(client));
        for index in [client, server] {
            self.set(index, &[("websocket.session.id", session.into())]);
        }
        (client, server)
    }

    fn call(
        &mut self,
        service: &str,
        name: &str,
        kind: Kind,
        parent: Option<usize>,
        session: &str,
        handshake: usize,
    ) -> usize {
        let index = self.span(service, name, kind, parent);
        let to = self.spans[handshake].reference();
        self.spans[index].links.push(Link {
            to,
            attributes: Attributes::default(),
        });
        self.set(
            index,
            &[
                ("websocket.session.id", session.into()),
                ("network.protocol.name", "websocket".into()),
                ("rpc.method", name.into()),
                ("websocket.stream.outcome", "complete".into()),
            ],
        );
        index
    }

    fn stall(&mut self, index: usize, direction: &str) {
        let chunks = format!("websocket.stream.{direction}.chunks");
        let stalls = format!("websocket.stream.{direction}.stalls");
        self.set(index, &[(&chunks, 9_i64.into()), (&stalls, 1_i64.into())]);
        let attributes = [
            ("websocket.stream.direction", Value::from(direction)),
            ("websocket.stream.interval", 1.6.into()),
            ("websocket.stream.chunk", 5_i64.into()),
        ];
        self.spans[index].events.push(Event {
            name: "websocket.stream.stall".into(),
            time_ns: 900_000,
            attributes: attributes.into_iter().collect(),
        });
    }

    fn set(&mut self, index: usize, values: &[(&str, Value)]) {
        let span = &mut self.spans[index];
        let old = span
            .attributes
            .iter()
            .filter(|(name, _)| values.iter().all(|(new, _)| new != name));
        let old: Vec<(String, Value)> = old
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .collect();
        let new = values
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()));
        span.attributes = old.into_iter().chain(new).collect();
    }

    fn find(&self, service: &str, name: &str, kind: Kind) -> usize {
        let found = self
            .spans
            .iter()
            .position(|s| s.service == service && s.name == name && s.kind == kind);
        found.unwrap_or_else(|| unreachable!("{service} {name}"))
    }

    fn fail(&mut self, service: &str, name: &str, kind: Kind) {
        let index = self.find(service, name, kind);
        self.spans[index].status = Status::Error(String::new());
        self.set(index, &[("error.type", "closed".into())]);
    }

    fn problems(&self, devices: &[&str], parent: Option<TraceParent>) -> Vec<String> {
        let devices: Vec<String> = devices.iter().map(|device| (*device).to_owned()).collect();
        connected(&Forest::new(self.spans.clone()), &devices, parent, 0).problems
    }
}

const ONE: [&str; 1] = ["device"];
const TWO: [&str; 2] = ["device-1", "device-2"];

#[test]
fn what_should_be_there_has_no_problem() {
    assert_eq!(Scene::new(&ONE, None).problems(&ONE, None), [""; 0]);
    assert_eq!(Scene::new(&TWO, None).problems(&TWO, None), [""; 0]);
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        .parse()
        .unwrap();
    let scene = Scene::new(&ONE, Some(parent));
    assert_eq!(scene.problems(&ONE, Some(parent)), [""; 0]);
    assert_ne!(scene.problems(&ONE, None), [""; 0]);
}

/// Whatever single span is lost, doubled, moved, unlinked, failed or without its session is found.
#[test]
fn no_span_can_be_changed_unseen() {
    let sound = Scene::new(&ONE, None);
    for index in 0..sound.spans.len() {
        let changed = |change: &dyn Fn(&mut Scene)| {
            let mut scene = Scene::new(&ONE, None);
            change(&mut scene);
            let what = scene.spans.get(index).map(ToString::to_string);
            assert_ne!(scene.problems(&ONE, None), [""; 0], "{what:?}");
        };
        changed(&|scene| drop(scene.spans.remove(index)));
        changed(&|scene| scene.spans.push(scene.spans[index].clone()));
        changed(&|scene| {
            let mut again = scene.spans[index].clone();
            again.span_id = SpanId::from_slice(&[0xee; 8]).unwrap();
            scene.spans.push(again);
        });
        changed(&|scene| scene.spans[index].parent = SpanId::from_slice(&[0xdd; 8]));
        changed(&|scene| scene.spans[index].trace_id = TraceId::from_slice(&[0xcc; 16]).unwrap());
        changed(&|scene| scene.spans[index].kind = Kind::Producer);
        changed(&|scene| scene.spans[index].status = Status::Error("lost".into()));
        changed(&|scene| scene.spans[index].attributes = Attributes::default());
        changed(&|scene| scene.set(index, &[("websocket.session.id", "another".into())]));
        if !sound.spans[index].links.is_empty() {
            changed(&|scene| scene.spans[index].links.clear());
        }
    }
}

#[test]
fn two_orders_that_cross_are_found() {
    let crossed = |service: &str, name: &str, kind: Kind| {
        let mut scene = Scene::new(&TWO, None);
        let found: Vec<usize> = (0..scene.spans.len())
            .filter(|i| {
                scene.spans[*i].service == service
                    && scene.spans[*i].name == name
                    && scene.spans[*i].kind == kind
            })
            .collect();
        let [first, second] = found[..] else {
            unreachable!("{service} {name} is there twice")
        };
        let (one, two) = (scene.spans[first].clone(), scene.spans[second].clone());
        (scene.spans[first].trace_id, scene.spans[first].parent) = (two.trace_id, two.parent);
        (scene.spans[second].trace_id, scene.spans[second].parent) = (one.trace_id, one.parent);
        scene.problems(&TWO, None)
    };
    // The spans below stay behind, so the exchange is visible; a worker without children looks like any other.
    assert_ne!(crossed("gateway", "order", Kind::Server), [""; 0]);
    assert_ne!(crossed("kitchen", "order", Kind::Server), [""; 0]);
    assert_ne!(crossed("recogniser", "transcribe", Kind::Server), [""; 0]);
}

#[test]
fn a_stall_that_nobody_found_is_a_problem() {
    for (service, kind, direction) in [
        ("kitchen", Kind::Server, "sent"),
        ("gateway", Kind::Client, "received"),
    ] {
        let mut scene = Scene::new(&ONE, None);
        let index = scene.find(service, "order", kind);
        scene.set(
            index,
            &[(
                &format!("websocket.stream.{direction}.stalls"),
                0_i64.into(),
            )],
        );
        let problems = scene.problems(&ONE, None);
        assert!(
            problems.iter().any(|problem| problem.starts_with(service)),
            "{problems:?}"
        );
    }
}

#[test]
fn a_broken_order_needs_errors_on_both_sides_of_the_break() {
    let devices = ["device".to_owned()];
    let mut scene = Scene::new(&ONE, None);
    let check = |scene: &Scene| {
        broken_off(&Forest::new(scene.spans.clone()), &devices, "kitchen")
            .problems
            .len()
    };
    assert_eq!(check(&scene), 3);
    scene.fail("device", "order", Kind::Client);
    scene.fail("gateway", "order", Kind::Server);
    assert_eq!(check(&scene), 1);
    scene.fail("gateway", "order", Kind::Client);
    assert_eq!(check(&scene), 0);
}
