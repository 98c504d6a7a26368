//! Receiving: from a message of the transport to what the application gets.

use std::num::NonZeroU32;
use std::ops::Range;

use crate::counters::Counter;
use crate::envelope::{self, Content, Drops, End, Form, Head, Kind, Plain, Role};
use crate::error::{ErrorKind, Refusal};
use crate::metrics::Outcome;
use crate::names::{attribute, wire_error};
use crate::trace::{AllowList, Baggage, SpanContext, TraceState};

use super::plan::{Attribute, Link, Parent, SpanKind};
use super::streams::{Afterwards, Stream, Wire};
use super::{
    Connection, Event, IncomingStream, Mode, Payload, Peer, PlainPolicy, ReadEnd, Received, State,
    StreamKey, Trust,
};

impl Connection {
    /// Takes a received message, whole: never a frame or fragment. Nothing that a peer sends is an error.
    pub fn receive<'m>(&mut self, message: &'m [u8], form: Form, now_ns: u64) -> Received<'m> {
        // What comes out is large: it is made once, here, and filled in on the way.
        let mut received = Received::new(StreamKey::PLAIN, Payload::Nothing);
        self.receive_into(&mut received, message, form, now_ns);
        received
    }

    fn receive_into<'m>(
        &mut self,
        received: &mut Received<'m>,
        message: &'m [u8],
        form: Form,
        now_ns: u64,
    ) {
        if self.state != State::Open {
            return self.discard(received);
        }
        if !self.hello.received_any {
            self.hello.received_any = true;
            let used_up = self.take_hello(message, form);
            self.settle_hello();
            if used_up {
                return;
            }
        }
        let Some(recognition) = self.recognition() else {
            return self.receive_unknown(received, message, form, now_ns);
        };
        let mut head = Head::default();
        let max_header_bytes = self.options.max_header_bytes;
        let opened = match self.options.profile.slot() {
            None => envelope::open_into(&mut head, message, form, recognition, max_header_bytes),
            Some(slot) => self
                .open_slot(&mut head, message, form, slot)
                .map(|()| 0..message.len()),
        };
        match opened {
            Ok(body) => {
                received.payload = payload_of(message, &head, body, form);
                self.receive_envelope(received, &mut head, now_ns);
            }
            Err(why) => {
                match why {
                    Plain::HeadTooLong => self.counters.add(Counter::HeadTooLong, 1),
                    Plain::Version | Plain::Malformed(Refusal::UnknownCritical) => {
                        self.counters.add(Counter::Version, 1);
                    }
                    Plain::Ordinary | Plain::Malformed(_) => {}
                }
                self.receive_bare(received, message, now_ns);
            }
        }
    }

    /// A message of a peer that does not know envelopes. Where its profile has room for one, it may bring a context.
    fn receive_unknown<'m>(
        &mut self,
        received: &mut Received<'m>,
        message: &'m [u8],
        form: Form,
        now_ns: u64,
    ) {
        self.receive_bare(received, message, now_ns);
        let Some(slot) = self.options.profile.slot() else {
            return;
        };
        if self.options.mode == Mode::Never
            || received.stream != StreamKey::PLAIN
            || received.payload == Payload::Nothing
        {
            return;
        }
        let mut head = Head::default();
        if self.open_slot(&mut head, message, form, slot).is_ok() {
            self.count_drops(&head.drops);
            received.headers = std::mem::take(&mut head.own);
            self.attach_context(received, &head);
        }
    }

    fn open_slot<'m>(
        &self,
        head: &mut Head<'m>,
        message: &'m [u8],
        form: Form,
        slot: &str,
    ) -> Result<(), Plain> {
        if form != Form::Text {
            return Err(Plain::Ordinary);
        }
        let options = &self.options;
        envelope::open_slot(
            head,
            message,
            slot,
            options.max_nesting,
            options.max_header_bytes,
        )
    }

    /// A message without an envelope: for the open call toward an unknown peer, else plain.
    fn receive_bare(&mut self, received: &mut Received<'_>, message: &[u8], now_ns: u64) {
        received.payload = Payload::Raw(0..message.len());
        if let Some(key) = self.bare_call
            && let Some(stream) = self.streams.get_mut(&key)
            && stream.wire == Wire::Bare
        {
            received.stream = StreamKey(key);
            stream.last_activity_ns = now_ns;
            let full = stream.receive(message.len(), now_ns, &self.options, &mut self.counters);
            if let Some(overflow_at_ns) = full {
                self.reader_is_full(overflow_at_ns);
            }
            return;
        }
        self.deliver_plain(received, now_ns);
    }

    fn receive_envelope<'m>(
        &mut self,
        received: &mut Received<'m>,
        head: &mut Head<'m>,
        now_ns: u64,
    ) {
        self.count_drops(&head.drops);
        received.headers = std::mem::take(&mut head.own);
        let Some(id) = head.stream else {
            self.attach_context(received, head);
            return self.deliver_plain(received, now_ns);
        };
        if head.seq.is_none() && head.kind.is_some() && self.is_mine(id) {
            self.attach_context(received, head);
            self.meet_same_role(now_ns);
            return self.deliver_plain(received, now_ns);
        }
        if let Some(key) = self.by_wire.get(&id).copied() {
            self.hear_session(head);
            return self.receive_on_stream(StreamKey(key), received, head, now_ns);
        }
        if let (Some(kind), None) = (head.kind, head.seq)
            && id.get() > self.highest_peer_wire
            && !self.same_role
        {
            return self.receive_opening(id, kind, received, head, now_ns);
        }
        match self.ended.by_wire(id).map(|ended| ended.afterwards) {
            Some(Afterwards::Late) => {
                self.counters.add(Counter::Late, 1);
                self.deliver_plain(received, now_ns);
            }
            Some(Afterwards::Discard) => self.discard(received),
            Some(Afterwards::Refused) => {
                self.counters.add(Counter::Limit, 1);
                self.discard(received);
            }
            None => {
                self.counters.add(Counter::Unmatched, 1);
                self.deliver_plain(received, now_ns);
            }
        }
    }

    /// Takes the first session id that a peer taken to speak version 1 names, in an opening or in a reply (SPEC SE-7).
    fn hear_session(&mut self, head: &Head<'_>) {
        if self.peer == Peer::Always
            && let Some(session) = head.session.as_deref()
            && !std::mem::replace(&mut self.hello.session_named, true)
        {
            self.take_session(session);
        }
    }

    fn receive_opening<'m>(
        &mut self,
        id: NonZeroU32,
        kind: Kind,
        received: &mut Received<'m>,
        head: &Head<'m>,
        now_ns: u64,
    ) {
        self.highest_peer_wire = id.get();
        self.hear_session(head);
        if self.streams.len() >= self.options.max_streams {
            self.counters.add(Counter::Limit, 1);
            self.push_control_frame(id, 0, Form::Text, End::Error, Some(wire_error::LIMIT));
            self.ended
                .push(0, Some(id), Afterwards::Refused, Some(ErrorKind::Limit));
            return self.discard(received);
        }
        self.attach_context(received, head);
        let method: Option<Box<str>> = head.method.as_deref().map(Into::into);
        let mut stream = Stream::new(true, kind, method.clone(), self.options.metrics(), now_ns);
        stream.wire = Wire::Enveloped(id);
        stream.start(now_ns);
        let key = self.insert(stream, now_ns);
        self.by_wire.insert(id, key.0);
        let mut opened = self.plan_incoming(key, kind, method, received);
        if kind == Kind::Call {
            // Still there only where no span of the connection's own could link it.
            opened
                .plan
                .links
                .extend(self.spans.earlier.take().map(Link::own));
        }
        received.opened = Some(Box::new(opened));
        self.receive_on_stream(key, received, head, now_ns);
    }

    fn plan_incoming(
        &self,
        key: StreamKey,
        kind: Kind,
        method: Option<Box<str>>,
        received: &Received<'_>,
    ) -> IncomingStream {
        let known = method
            .as_deref()
            .filter(|name| self.methods.iter().any(|known| known == name));
        let registered = known.is_some();
        let name = self.options.naming.stream(kind, true, self.role, known);
        let span_kind = match kind {
            Kind::Call => SpanKind::Server,
            Kind::Transfer => SpanKind::Consumer,
        };
        let parent = match (kind, received.context()) {
            (Kind::Call, Some(caller)) => Parent::Remote(caller.clone()),
            (Kind::Call, None) => Parent::Root,
            (Kind::Transfer, _) if self.spans.connection_open => Parent::Connection,
            (Kind::Transfer, _) => Parent::Root,
        };
        let mut plan = self.plan(key.span(), name, span_kind, parent);
        if let (Kind::Call, Some(method)) = (kind, known) {
            plan.attributes
                .push(Attribute::str(attribute::RPC_METHOD, method.to_owned()));
        }
        match kind {
            Kind::Call => {
                plan.links
                    .extend(received.link().cloned().map(Link::remote));
                plan.links.extend(self.own_span().cloned().map(Link::own));
            }
            Kind::Transfer => plan.links.extend(received.remote.clone().map(Link::remote)),
        }
        IncomingStream {
            kind,
            method,
            registered,
            plan,
        }
    }

    fn receive_on_stream<'m>(
        &mut self,
        key: StreamKey,
        received: &mut Received<'m>,
        head: &Head<'m>,
        now_ns: u64,
    ) {
        let Some(stream) = self.streams.get_mut(&key.0) else {
            return self.deliver_plain(received, now_ns);
        };
        stream.last_activity_ns = now_ns;
        if stream.received.closed {
            return self.receive_behind_end(key, received, head, now_ns);
        }
        stream
            .received
            .note(head.seq.unwrap_or(0), &mut self.counters);
        received.stream = key;
        if received.payload != Payload::Nothing {
            let bytes = received.payload.len();
            let full = stream.receive(bytes, now_ns, &self.options, &mut self.counters);
            if let Some(overflow_at_ns) = full {
                self.reader_is_full(overflow_at_ns);
            }
        }
        match head.end {
            None => {}
            Some(End::Complete) => self.close_receiving(key, now_ns),
            Some(end) => self.end_by_peer(key, end, head.error.as_deref(), now_ns),
        }
    }

    /// A message in a direction that has ended: only one `cancel` or `error` still means something.
    fn receive_behind_end<'m>(
        &mut self,
        key: StreamKey,
        received: &mut Received<'m>,
        head: &Head<'m>,
        now_ns: u64,
    ) {
        let aborts = matches!(head.end, Some(End::Cancel | End::Error));
        if !aborts || received.payload != Payload::Nothing {
            self.counters.add(Counter::Late, 1);
        }
        if aborts && let Some(end) = head.end {
            self.end_by_peer(key, end, head.error.as_deref(), now_ns);
        }
        self.deliver_plain(received, now_ns)
    }

    /// Notes that the peer's direction is complete; a call of ours is over when both are.
    fn close_receiving(&mut self, key: StreamKey, now_ns: u64) {
        let Some(stream) = self.streams.get_mut(&key.0) else {
            return;
        };
        stream.received.closed = true;
        stream.report.received.finish(Outcome::Complete, now_ns);
        let over = !stream.incoming && stream.sent.closed;
        self.events.push_back(Event::ReadEnd {
            stream: key,
            end: ReadEnd::Complete,
        });
        if over {
            self.complete(key, now_ns);
        } else if let Some(stream) = self.streams.get_mut(&key.0)
            && stream.unread.overflow_at_ns.take().is_some()
        {
            // A direction that is complete brings no more: its reader may take its time, and holds nothing up.
            self.reader_has_room();
        }
    }

    fn end_by_peer(&mut self, key: StreamKey, end: End, error: Option<&str>, now_ns: u64) {
        match end {
            End::Cancel => {
                self.end_stream(
                    key,
                    Outcome::Cancelled,
                    Some(ErrorKind::Cancelled),
                    None,
                    now_ns,
                );
            }
            End::Error | End::Complete => {
                let error_type = error.unwrap_or(wire_error::REMOTE).to_owned();
                self.end_stream(
                    key,
                    Outcome::Error,
                    Some(ErrorKind::Remote),
                    Some(error_type.into()),
                    now_ns,
                );
            }
        }
    }

    fn reader_is_full(&mut self, overflow_at_ns: u64) {
        self.full_readers += 1;
        self.note_deadline(overflow_at_ns);
        if self.full_readers == 1 {
            self.events.push_back(Event::PauseReading);
        }
    }

    /// Delivers a message outside every stream.
    fn deliver_plain(&mut self, received: &mut Received<'_>, now_ns: u64) {
        received.stream = StreamKey::PLAIN;
        if received.payload == Payload::Nothing {
            return;
        }
        match self.plain.policy {
            PlainPolicy::Deliver => {}
            PlainPolicy::Discard => self.discard(received),
            PlainPolicy::Queue if self.plain.overflowing => {
                self.counters.add(Counter::Overflow, 1);
                self.discard(received);
            }
            PlainPolicy::Queue => {
                let bytes = received.payload.len();
                if let Some(at_ns) = self.plain.unread.hold(bytes, &self.options, now_ns) {
                    self.reader_is_full(at_ns);
                }
            }
        }
    }

    fn discard(&mut self, received: &mut Received<'_>) {
        self.counters.add(Counter::Discarded, 1);
        *received = Received::new(StreamKey::PLAIN, Payload::Nothing);
    }

    /// The peer opens a stream under an id that only this side gives: an echo, or a hub that relays to its own kind.
    fn meet_same_role(&mut self, now_ns: u64) {
        self.counters.add(Counter::Role, 1);
        self.same_role = true;
        for key in self.keys() {
            self.push_control(key, End::Error, Some(wire_error::ROLE));
            self.end_stream(
                key,
                Outcome::Error,
                Some(ErrorKind::Role),
                Some(wire_error::ROLE.into()),
                now_ns,
            );
        }
    }

    /// Reads the context of a message as far as this side's trust goes.
    fn attach_context(&mut self, received: &mut Received<'_>, head: &Head<'_>) {
        let trust = match self.role {
            Role::Client => Trust::Continue,
            Role::Server => self.options.trust,
        };
        if trust == Trust::Ignore {
            return;
        }
        if let Some(baggage) = &head.baggage
            && self.options.baggage_in != AllowList::none()
        {
            let (all, dropped) = Baggage::parse(baggage);
            if dropped > 0 {
                self.counters.add(
                    Counter::DroppedBaggage,
                    u32::try_from(dropped).unwrap_or(u32::MAX),
                );
            }
            received.baggage = all.filtered(&self.options.baggage_in);
        }
        let Some(trace_parent) = head.trace_parent else {
            return;
        };
        received.linked = trust == Trust::Link;
        let mut remote = SpanContext::from(trace_parent);
        if let Some(value) = &head.trace_state {
            match TraceState::parse(value) {
                // A new trace does not take the vendor data of the old one along.
                Ok(_) if received.linked => {}
                Ok(trace_state) => remote.trace_state = trace_state,
                Err(_) => self.counters.add(Counter::DroppedTracestate, 1),
            }
        }
        received.remote = Some(remote);
    }

    fn count_drops(&mut self, drops: &Drops) {
        if *drops == Drops::default() {
            return;
        }
        let counts = [
            (Counter::ContextInvalid, u32::from(drops.context_invalid)),
            (Counter::HeaderInvalid, u32::from(drops.header_invalid)),
            (Counter::HeaderRepeated, u32::from(drops.header_repeated)),
            (Counter::DroppedTracestate, u32::from(drops.tracestate)),
            (Counter::DroppedBaggage, u32::from(drops.baggage)),
            (Counter::ContentMismatch, u32::from(drops.content_mismatch)),
        ];
        for (counter, n) in counts {
            self.counters.add(counter, n);
        }
    }
}

/// What an envelope delivers.
fn payload_of<'m>(
    message: &'m [u8],
    head: &Head<'m>,
    body: Range<usize>,
    form: Form,
) -> Payload<'m> {
    match head.content {
        Some(Content::None) => Payload::Nothing,
        Some(Content::Text) if form == Form::Text => {
            match message.get(body.clone()).and_then(envelope::text_body) {
                Some(text) => Payload::Text(text),
                None => Payload::Raw(body),
            }
        }
        _ => Payload::Raw(body),
    }
}
