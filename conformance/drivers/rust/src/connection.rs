//! Scripts of sans-IO connections.

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use wirespan::connection::{
    Accept, Connection, ContextRef, Endpoint, Event, HandshakeRequest, HandshakeResponse, Message,
    OptionValue, Options, Payload, Peer, PlainPolicy, Plan, ReadEnd, Received, RequestTarget,
    Session, SessionRegistry, SpanEnd, SpanKey, Status, StreamKey, Vouch,
};
use wirespan::envelope::{Form, Frame, Kind, Role};
use wirespan::trace::{Baggage, SpanContext, TraceParent};

use crate::shown;
use crate::value::{
    Failure, Output, OwnedBody, add, baggage, context, headers, list, message, message_value,
    number, optional, own_headers, size, text, texts, wrong,
};

/// Runs the steps of a script; its connections live as long as it.
pub(crate) fn script(input: &Value) -> Output {
    let mut script = Script::default();
    let mut outputs = Vec::new();
    for step in list(&input["steps"])? {
        let mut output = match script.step(step) {
            Ok(output) => output,
            Err(Failure::Raised(error)) => {
                Map::from_iter([("raises".to_owned(), error.kind().name().into())])
            }
            Err(other) => return Err(other),
        };
        let events = script.events(step)?;
        add(&mut output, "events", events);
        outputs.push(Value::Object(output));
    }
    Ok(json!({"steps": outputs}))
}

#[derive(Default)]
struct Script {
    connections: HashMap<String, Side>,
    registries: HashMap<String, SessionRegistry>,
    /// The names of connections by registry and number.
    registered: HashMap<(String, u64), String>,
    names: Names,
    made: usize,
}

/// A connection with what belongs to it.
struct Side {
    connection: Connection,
    /// Tells connections apart that have one name after the other.
    number: usize,
    request: HandshakeRequest,
}

/// The names that streams have in the script, and the spans that are this side's own.
#[derive(Default)]
struct Names {
    streams: HashMap<(usize, u32), String>,
}

type Result<T> = std::result::Result<T, Failure>;

impl Script {
    fn step(&mut self, step: &Value) -> Result<Map<String, Value>> {
        let mut output = Map::new();
        let out = &mut output;
        match text(&step["do"])? {
            "client" => self.client(step)?,
            "server" => self.server(step, out)?,
            _ => self.existing(step, out)?,
        }
        Ok(output)
    }

    fn client(&mut self, step: &Value) -> Result<()> {
        let mut options = options(&step["options"])?;
        if let Some(earlier) = optional(&step["resume"])? {
            options.session = Session::Resume(
                side(&mut self.connections, earlier)?
                    .connection
                    .resumption(),
            );
        }
        let connection = Connection::client(options, endpoint(step)?, entropy(step)?)?;
        self.keep(step, connection, HandshakeRequest::default())?;
        Ok(())
    }

    fn server(&mut self, step: &Value, out: &mut Map<String, Value>) -> Result<()> {
        let given = &step["request"];
        let fields = headers(&given["headers"])?;
        let mut request = HandshakeRequest::from_headers(
            fields
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_slice())),
        );
        if let Some(query) = optional(&given["query"])? {
            request = request.with_query(query);
        }
        let registry_name = optional(&step["registry"])?.map(str::to_owned);
        let mut accept = Accept::default();
        if let Some(name) = &registry_name {
            accept.registry = Some(
                self.registries
                    .entry(name.clone())
                    .or_insert(registry(step)?),
            );
        }
        accept.remote = optional(&step["remote"])?;
        accept.vouch = match step["vouched"].as_bool() {
            None => Vouch::NoCallback,
            Some(true) => Vouch::Yes,
            Some(false) => Vouch::No,
        };
        add(out, "proposed", request.proposed_session().into());
        add(
            out,
            "subprotocols",
            json!(request.application_subprotocols()),
        );
        let connection = Connection::server(
            options(&step["options"])?,
            &request,
            accept,
            endpoint(step)?,
            entropy(step)?,
        )?;
        let registry_name = registry_name.unwrap_or_default();
        if let Some(superseded) = connection.superseded() {
            let name = self
                .registered
                .get(&(registry_name.clone(), superseded.number()));
            add(out, "superseded", name.cloned().into());
        }
        if let Some(id) = connection.connection_id() {
            self.registered
                .insert((registry_name, id.number()), on(step)?.to_owned());
        }
        self.keep(step, connection, request)
    }

    fn keep(
        &mut self,
        step: &Value,
        connection: Connection,
        request: HandshakeRequest,
    ) -> Result<()> {
        self.made += 1;
        let side = Side {
            connection,
            number: self.made,
            request,
        };
        self.connections.insert(on(step)?.to_owned(), side);
        Ok(())
    }

    fn existing(&mut self, step: &Value, out: &mut Map<String, Value>) -> Result<()> {
        let side = side(&mut self.connections, on(step)?)?;
        let mut at = At {
            side,
            names: &mut self.names,
        };
        match text(&step["do"])? {
            "plan_handshake" => at.plan_handshake(step, out),
            "span_started" => at.span_started(step),
            "request" => at.request(step, out),
            "response" => at.response(step, out),
            "open" => at.open(step),
            "call" => at.open_stream(step, out, Connection::plan_call),
            "transfer" => at.open_stream(step, out, Connection::plan_transfer),
            "send" => at.send(step, out),
            "receive" => at.receive(step, out),
            "metrics" => at.metrics(step, out),
            "state" => {
                at.state(out);
                Ok(())
            }
            "counters" => {
                let counters = at.side.connection.counters().iter();
                let counted = counters
                    .filter(|(_, count)| *count > 0)
                    .map(|(counter, count)| (counter.name().to_owned(), count.into()));
                add(out, "counters", Value::Object(counted.collect()));
                Ok(())
            }
            "deadline" => {
                if let Some(deadline) = at.side.connection.next_deadline() {
                    out.insert("deadline".to_owned(), deadline.into());
                }
                Ok(())
            }
            _ => at.plain_step(step),
        }
    }

    /// Everything that the step's connection has to say.
    fn events(&mut self, step: &Value) -> Output {
        // A connection that could not be made says nothing.
        let Some(side) = self.connections.get_mut(on(step)?) else {
            return Ok(Value::Null);
        };
        let mut at = At {
            side,
            names: &mut self.names,
        };
        let mut events = Vec::new();
        while let Some(event) = at.side.connection.poll_event() {
            events.push(at.event(event));
        }
        Ok(events.into())
    }
}

/// One step at one connection.
struct At<'a> {
    side: &'a mut Side,
    names: &'a mut Names,
}

impl At<'_> {
    fn plan_handshake(&mut self, step: &Value, out: &mut Map<String, Value>) -> Result<()> {
        let http = context(&step["http"])?;
        let current = step["current"].as_bool().unwrap_or_default();
        let plans = self.side.connection.plan_handshake(http.as_ref(), current);
        let shown: Vec<Value> = plans.iter().map(|plan| self.plan(plan)).collect();
        add(out, "plans", shown.into());
        Ok(())
    }

    fn span_started(&mut self, step: &Value) -> Result<()> {
        let span = match text(&step["span"])? {
            "connection" => SpanKey::CONNECTION,
            "handshake" => SpanKey::HANDSHAKE,
            _ => self.stream(step, "span")?.span(),
        };
        let context = context(&step["context"])?.ok_or_else(|| wrong("context", step))?;
        self.side.connection.span_started(span, &context);
        Ok(())
    }

    fn request(&mut self, step: &Value, out: &mut Map<String, Value>) -> Result<()> {
        let mut target = RequestTarget::new(optional(&step["host"])?.unwrap_or_default());
        target.has_subprotocol = step["has_subprotocol"].as_bool().unwrap_or_default();
        target.has_trace_context = step["has_trace_context"].as_bool().unwrap_or_default();
        let span = context(&step["context"])?;
        let additions = self.side.connection.request(target, span.as_ref());
        add(out, "headers", shown::headers(&additions.headers));
        add(out, "subprotocol", additions.subprotocol.into());
        add(out, "query", additions.query.into());
        Ok(())
    }

    fn response(&mut self, step: &Value, out: &mut Map<String, Value>) -> Result<()> {
        let additions = self
            .side
            .connection
            .response(&self.side.request, optional(&step["selected"])?);
        add(out, "headers", shown::headers(&additions.headers));
        add(out, "subprotocol", additions.subprotocol.into());
        Ok(())
    }

    fn open(&mut self, step: &Value) -> Result<()> {
        let at = time(step)?;
        if self.side.connection.role() == Role::Server {
            return Ok(self.side.connection.open_server(at)?);
        }
        let fields = headers(&step["headers"])?;
        let response = HandshakeResponse::from_headers(
            fields
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_slice())),
        );
        Ok(self.side.connection.open_client(&response, at)?)
    }

    fn open_stream(
        &mut self,
        step: &Value,
        out: &mut Map<String, Value>,
        plan: PlanStream,
    ) -> Result<()> {
        let current = context(&step["current"])?.map(|current| current.trace_parent);
        let (stream, plan) = plan(
            &mut self.side.connection,
            optional(&step["method"])?,
            current,
            time(step)?,
        )?;
        add(out, "stream", self.name(stream).into());
        add(out, "plan", self.plan(&plan));
        Ok(())
    }

    fn send(&mut self, step: &Value, out: &mut Map<String, Value>) -> Result<()> {
        let stream = self.stream(step, "stream")?;
        let body = OwnedBody::of(&step["body"])?;
        let own = own_headers(&step["headers"])?;
        let mut message = Message::new(body.body());
        message.last = step["last"].as_bool().unwrap_or_default();
        message.headers = &own;
        let carried = Carried::of(step)?;
        let frame = self
            .side
            .connection
            .send(stream, message, &carried.context(), time(step)?)?;
        add(out, "message", frame_value(&frame));
        Ok(())
    }

    fn receive(&mut self, step: &Value, out: &mut Map<String, Value>) -> Result<()> {
        let (form, bytes) = message(&step["message"])?;
        let received = self.side.connection.receive(&bytes, form, time(step)?);
        let payload = payload(&received, form, &bytes);
        if received.stream != StreamKey::PLAIN {
            add(out, "stream", self.name(received.stream).into());
        } else if payload.is_some() {
            add(out, "stream", "plain".into());
        }
        add(out, "payload", payload.into());
        if let Some(opened) = &received.opened {
            let mut shown = Map::new();
            let kind = match opened.kind {
                Kind::Call => "call",
                Kind::Transfer => "transfer",
                _ => "unknown",
            };
            add(&mut shown, "kind", kind.into());
            add(&mut shown, "method", opened.method.as_deref().into());
            if opened.registered {
                add(&mut shown, "registered", true.into());
            }
            add(&mut shown, "plan", self.plan(&opened.plan));
            add(out, "opened", shown.into());
        }
        add(
            out,
            "context",
            received.context().map(shown::context).into(),
        );
        add(out, "link", received.link().map(shown::context).into());
        add(out, "baggage", shown::baggage(&received.baggage));
        add(out, "headers", shown::headers(&received.headers));
        Ok(())
    }

    fn metrics(&mut self, step: &Value, out: &mut Map<String, Value>) -> Result<()> {
        let stream = self.stream(step, "stream")?;
        if let Some((sent, received)) = self.side.connection.metrics(stream) {
            add(out, "sent", shown::summary(&sent));
            add(out, "received", shown::summary(&received));
        }
        Ok(())
    }

    fn state(&self, out: &mut Map<String, Value>) {
        let connection = &self.side.connection;
        let peer = match connection.peer() {
            Peer::Unknown => "unknown",
            Peer::Announced { .. } => "announced",
            Peer::Always => "always",
            _ => "other",
        };
        out.insert("peer".to_owned(), peer.into());
        out.insert("session".to_owned(), connection.session_id().into());
        out.insert("open".to_owned(), connection.is_open().into());
        out.insert("ready".to_owned(), connection.is_ready().into());
        out.insert("may_read".to_owned(), connection.may_read().into());
        add(out, "streams", connection.open_streams().into());
    }

    /// The steps that give nothing but events.
    fn plain_step(&mut self, step: &Value) -> Result<()> {
        match text(&step["do"])? {
            "fail_handshake" => self.side.connection.fail_handshake(text(&step["error"])?),
            "methods" => self.side.connection.set_methods(texts(&step["names"])?),
            "plain_policy" => {
                let policy = match text(&step["policy"])? {
                    "deliver" => PlainPolicy::Deliver,
                    "queue" => PlainPolicy::Queue,
                    "discard" => PlainPolicy::Discard,
                    _ => return Err(wrong("policy", &step["policy"])),
                };
                self.side.connection.set_plain_policy(policy);
            }
            "on_time" => self.side.connection.on_time(time(step)?),
            "on_superseded" => self.side.connection.on_superseded(time(step)?),
            "on_close" => {
                let code = match &step["code"] {
                    Value::Null => None,
                    code => Some(u16::try_from(number(code)?).map_err(|_| wrong("code", code))?),
                };
                let reason = optional(&step["reason"])?.unwrap_or_default();
                self.side.connection.on_close(code, reason, time(step)?);
            }
            _ => return self.stream_step(step),
        }
        Ok(())
    }

    fn stream_step(&mut self, step: &Value) -> Result<()> {
        let at = time(step)?;
        let name = text(&step["do"])?;
        let stream = self.stream(step, "stream")?;
        let connection = &mut self.side.connection;
        match name {
            "end" => connection.end(stream, &Carried::of(step)?.context(), at)?,
            "leave" => connection.leave(stream, at),
            "cancel" => connection.cancel(stream, at),
            "fail" => connection.fail(stream, text(&step["error"])?, at),
            "take" => connection.take(stream, size(&step["bytes"])?, at),
            other => return Err(Failure::Unsupported(other.to_owned())),
        }
        Ok(())
    }

    fn event(&mut self, event: Event) -> Value {
        let mut shown = Map::new();
        let name = match event {
            Event::Frame { form, bytes } => {
                add(&mut shown, "message", message_value(form, &bytes));
                "frame"
            }
            Event::SpanUpdate { span, attributes } => {
                add(&mut shown, "span", self.span(span).into());
                add(&mut shown, "attributes", shown::attributes(&attributes));
                "span_update"
            }
            Event::SpanEnd(end) => {
                self.span_end(&mut shown, &end);
                "span_end"
            }
            Event::ReadEnd { stream, end } => {
                add(&mut shown, "stream", self.name(stream).into());
                match end {
                    ReadEnd::Complete => add(&mut shown, "end", "complete".into()),
                    ReadEnd::Failed { kind, error_type } => {
                        add(&mut shown, "end", "failed".into());
                        add(&mut shown, "kind", kind.name().into());
                        add(&mut shown, "error_type", error_type.into());
                    }
                    other => add(&mut shown, "end", format!("{other:?}").into()),
                }
                "read_end"
            }
            Event::PauseReading => "pause_reading",
            Event::ResumeReading => "resume_reading",
            Event::Ready => "ready",
            Event::SessionChanged { previous } => {
                add(&mut shown, "previous", previous.into());
                "session_changed"
            }
            other => {
                add(&mut shown, "debug", format!("{other:?}").into());
                "unknown"
            }
        };
        add(&mut shown, "event", name.into());
        shown.into()
    }

    fn span_end(&mut self, shown: &mut Map<String, Value>, end: &SpanEnd) {
        add(shown, "span", self.span(end.span).into());
        if end.status() == Status::Error {
            add(shown, "error", true.into());
        }
        add(shown, "attributes", shown::attributes(&end.attributes()));
        let events = end.events();
        let events = events.iter().map(|event| json!({"name": event.name, "at": event.at_ns, "attributes": shown::attributes(&event.attributes)}));
        add(shown, "events", events.collect());
    }

    fn plan(&mut self, plan: &Plan) -> Value {
        let mut shown = shown::plan(plan);
        add(&mut shown, "span", self.span(plan.span).into());
        shown.into()
    }

    fn span(&mut self, span: SpanKey) -> String {
        match span {
            SpanKey::CONNECTION => "connection".to_owned(),
            SpanKey::HANDSHAKE => "handshake".to_owned(),
            other => self.names.name(self.side.number, other.number()),
        }
    }

    fn name(&mut self, stream: StreamKey) -> String {
        if stream == StreamKey::PLAIN {
            return "plain".to_owned();
        }
        self.names.name(self.side.number, stream.span().number())
    }

    /// The stream that a step names.
    fn stream(&self, step: &Value, member: &str) -> Result<StreamKey> {
        let name = text(&step[member])?;
        if name == "plain" {
            return Ok(StreamKey::PLAIN);
        }
        let named = self
            .names
            .streams
            .iter()
            .find(|((side, _), known)| *side == self.side.number && *known == name);
        match named {
            Some(((_, number), _)) => Ok(StreamKey::from_number(*number)),
            None => Err(wrong("stream of this connection", &step[member])),
        }
    }
}

impl Names {
    /// The name of a stream, and of its span, which has its number.
    fn name(&mut self, side: usize, number: u32) -> String {
        let next = format!("s{}", self.streams.len() + 1);
        self.streams.entry((side, number)).or_insert(next).clone()
    }
}

type PlanStream = fn(
    &mut Connection,
    Option<&str>,
    Option<TraceParent>,
    u64,
) -> std::result::Result<(StreamKey, Plan), wirespan::Error>;

/// The context and the baggage of a step.
struct Carried {
    span: Option<SpanContext>,
    baggage: Baggage,
}

impl Carried {
    fn of(step: &Value) -> Result<Self> {
        Ok(Self {
            span: context(&step["context"])?,
            baggage: baggage(&step["baggage"])?,
        })
    }

    fn context(&self) -> ContextRef<'_> {
        ContextRef {
            trace_parent: self.span.as_ref().map(|span| span.trace_parent),
            trace_state: self
                .span
                .as_ref()
                .map_or("", |span| span.trace_state.as_str()),
            baggage: Some(&self.baggage),
        }
    }
}

fn side<'a>(connections: &'a mut HashMap<String, Side>, name: &str) -> Result<&'a mut Side> {
    let known = connections.get_mut(name);
    known.ok_or_else(|| Failure::Input(format!("no connection is named {name:?}")))
}

/// The name of a step's connection.
fn on(step: &Value) -> Result<&str> {
    Ok(optional(&step["on"])?.unwrap_or("c"))
}

fn time(step: &Value) -> Result<u64> {
    if step["at"].is_null() {
        Ok(0)
    } else {
        number(&step["at"])
    }
}

fn entropy(step: &Value) -> Result<[u8; 16]> {
    let digits = u128::from_str_radix(text(&step["entropy"])?, 16);
    digits
        .map(u128::to_be_bytes)
        .map_err(|_| wrong("entropy", &step["entropy"]))
}

fn endpoint(step: &Value) -> Result<Endpoint> {
    let port = match &step["port"] {
        Value::Null => None,
        port => Some(u16::try_from(number(port)?).map_err(|_| wrong("port", port))?),
    };
    Ok(Endpoint {
        address: optional(&step["address"])?.map(Into::into),
        port,
    })
}

fn registry(step: &Value) -> Result<SessionRegistry> {
    let bound = |name: &str| {
        if step[name].is_null() {
            Ok(usize::MAX)
        } else {
            size(&step[name])
        }
    };
    Ok(SessionRegistry::with_limits(
        bound("max_sessions")?,
        bound("max_per_remote")?,
    ))
}

fn options(given: &Value) -> Result<Options> {
    let mut options = Options::default();
    let none = Map::new();
    for (name, value) in given.as_object().unwrap_or(&none) {
        let value = match value {
            Value::String(text) => OptionValue::Text(text.clone()),
            Value::Bool(flag) => OptionValue::Flag(*flag),
            Value::Number(_) => OptionValue::Number(number(value)?),
            other => OptionValue::List(texts(other)?),
        };
        options.set(name, value)?;
    }
    Ok(options)
}

fn frame_value(frame: &Frame<'_>) -> Value {
    message_value(frame.form(), &frame.to_vec())
}

fn payload(received: &Received<'_>, form: Form, message: &[u8]) -> Option<Value> {
    let bytes = received.payload.bytes(message)?;
    let form = match received.payload {
        Payload::Text(_) => Form::Text,
        _ => form,
    };
    Some(message_value(form, bytes))
}
