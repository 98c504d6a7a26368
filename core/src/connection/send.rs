//! Sending: from a message of the application to the bytes for the transport.

use std::num::NonZeroU32;

use crate::counters::Counter;
use crate::envelope::{
    self, Body, Content, End, Form, Frame, FrameBody, HeadFields, Kind, Recognition, Written,
};
use crate::error::{Error, ErrorKind};
use crate::limits;
use crate::metrics::Outcome;
use crate::names::attribute;
use crate::trace::{Baggage, TraceParent};

use super::plan::{Attribute, Link, Parent, Plan, SpanKey, SpanKind};
use super::streams::{Stream, Wire};
use super::{Connection, Mode, Options, Peer, StreamKey};

/// A message to send.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// What is sent.
    pub body: Body<'a>,
    /// This is the last message of its direction.
    pub last: bool,
    /// Headers of the application's own. A peer that does not know envelopes cannot get them.
    pub headers: &'a [(&'a str, &'a str)],
}

impl<'a> Message<'a> {
    /// Makes a message without headers that is not the last one.
    #[must_use]
    pub fn new(body: Body<'a>) -> Self {
        Self {
            body,
            last: false,
            headers: &[],
        }
    }

    /// Makes the message the last one of its direction.
    #[must_use]
    pub fn last(mut self) -> Self {
        self.last = true;
        self
    }
}

/// The context to send, borrowed from the host's own objects.
#[derive(Clone, Copy, Debug, Default)]
pub struct ContextRef<'a> {
    /// Ids and flags of the span, if there is a valid one.
    pub trace_parent: Option<TraceParent>,
    /// Value of `tracestate`, possibly empty.
    pub trace_state: &'a str,
    /// Baggage, of which the allow-list [`super::Options::baggage_out`] lets names through.
    pub baggage: Option<&'a Baggage>,
}

/// What came of making a message within the room that a host has for it.
#[derive(Debug)]
pub enum Fitted<'a> {
    /// The message.
    Frame(Frame<'a>),
    /// The room is too small: nothing has changed.
    TooLong {
        /// The bytes that the message needs.
        needed: usize,
    },
}

impl Connection {
    /// Plans a call: the host starts the span, then sends the first message with that span's context. `current` is the
    /// host's current span, if it is valid.
    ///
    /// # Errors
    ///
    /// `closed`, `role` (the peer turned out to be of the same role), `limit` (too many open streams), `busy` (one call at
    /// a time toward a peer that does not know envelopes), `invalid_argument` (method).
    pub fn plan_call(
        &mut self,
        method: Option<&str>,
        current: Option<TraceParent>,
        now_ns: u64,
    ) -> Result<(StreamKey, Plan), Error> {
        self.check_opening(method)?;
        if self.peer == Peer::Unknown && self.bare_call.is_some() {
            return Err(Error::new(
                ErrorKind::Busy,
                "the peer does not speak Wirespan, so it can serve one call at a time: leave the open call first",
            ));
        }
        let (key, mut plan) = self.open_own(Kind::Call, method, current, now_ns);
        if let Some(method) = method {
            plan.attributes
                .push(Attribute::str(attribute::RPC_METHOD, method.to_owned()));
        }
        // A call links the span of the connection or handshake, unless that is its parent.
        if plan.parent != Parent::Connection {
            plan.links.extend(self.own_span().cloned().map(Link::own));
        }
        plan.links.extend(self.spans.earlier.take().map(Link::own));
        if self.peer == Peer::Unknown {
            self.bare_call = Some(key.0);
        }
        Ok((key, plan))
    }

    /// Plans a transfer: one-way data. As for [`Connection::plan_call`].
    ///
    /// # Errors
    ///
    /// `closed`, `role`, `limit`, `invalid_argument` (method).
    pub fn plan_transfer(
        &mut self,
        method: Option<&str>,
        current: Option<TraceParent>,
        now_ns: u64,
    ) -> Result<(StreamKey, Plan), Error> {
        self.check_opening(method)?;
        Ok(self.open_own(Kind::Transfer, method, current, now_ns))
    }

    fn check_opening(&self, method: Option<&str>) -> Result<(), Error> {
        self.require_open()?;
        if let Some(method) = method
            && !envelope::is_method(method)
        {
            return Err(Error::invalid_argument(
                "method",
                "must be 1 to 128 visible ASCII characters",
            ));
        }
        if self.same_role {
            return Err(Error::new(
                ErrorKind::Role,
                "the peer echoes or relays: it has the same role as this side",
            ));
        }
        if self.streams.len() >= self.options.max_streams {
            return Err(Error::new(
                ErrorKind::Limit,
                format!(
                    "{} streams are open (option max_streams): end some first",
                    self.streams.len()
                ),
            )
            .with_field("max_streams"));
        }
        Ok(())
    }

    fn open_own(
        &mut self,
        kind: Kind,
        method: Option<&str>,
        current: Option<TraceParent>,
        now_ns: u64,
    ) -> (StreamKey, Plan) {
        let stream = Stream::new(
            false,
            kind,
            method.map(Into::into),
            self.options.metrics(),
            now_ns,
        );
        let key = self.insert(stream, now_ns);
        let parent = if self.usable_current(current).is_some() {
            Parent::Current
        } else if self.spans.connection_open {
            Parent::Connection
        } else {
            Parent::Root
        };
        let name = self.options.naming.stream(kind, false, self.role, method);
        let span_kind = match kind {
            Kind::Call => SpanKind::Client,
            Kind::Transfer => SpanKind::Producer,
        };
        let plan = self.plan(key.span(), name, span_kind, parent);
        (key, plan)
    }

    pub(super) fn insert(&mut self, stream: Stream, now_ns: u64) -> StreamKey {
        // After four billion streams the keys begin again: 0 and 1 stay those of the connection's own spans, the highest
        // names spans outside it, and one that is still open keeps its key. Open streams are bounded, so one is free.
        let mut key = self.next_key;
        while key == SpanKey::DETACHED.0 || self.streams.contains_key(&key) {
            key = key.checked_add(1).unwrap_or(2);
        }
        self.next_key = key.checked_add(1).unwrap_or(2);
        self.streams.insert(key, stream);
        self.note_deadline(now_ns.saturating_add(self.options.idle_timeout_ns));
        StreamKey(key)
    }

    /// Makes the bytes of a message for `to`, a stream or [`StreamKey::PLAIN`]. `context` is that of the stream's span, or
    /// of the current span for a plain message; a stream sends it with its first message only.
    ///
    /// The frame borrows the connection and the body, so that a host allocates once and copies the body once.
    ///
    /// # Errors
    ///
    /// `closed`; the reason for which the stream ended (`cancelled`, `remote`, `timeout`, `overflow`, …);
    /// `invalid_state` (the direction has ended, or a transfer was answered); `invalid_argument` (headers, or no body
    /// outside a stream); `limit` (the headers do not fit). After an error nothing has changed.
    #[inline]
    pub fn send<'a>(
        &'a mut self,
        to: StreamKey,
        message: Message<'a>,
        context: &ContextRef<'_>,
        now_ns: u64,
    ) -> Result<Frame<'a>, Error> {
        match self.send_within(to, message, context, now_ns, usize::MAX)? {
            Fitted::Frame(frame) => Ok(frame),
            Fitted::TooLong { .. } => Err(Error::new(
                ErrorKind::Limit,
                "the message is longer than memory",
            )),
        }
    }

    /// As [`Connection::send`], for hosts whose buffer has a size: a message that needs more than `room` bytes is not made,
    /// and the host can send it again with more room.
    ///
    /// # Errors
    ///
    /// As [`Connection::send`].
    pub fn send_within<'a>(
        &'a mut self,
        to: StreamKey,
        message: Message<'a>,
        context: &ContextRef<'_>,
        now_ns: u64,
        room: usize,
    ) -> Result<Fitted<'a>, Error> {
        self.require_open()?;
        envelope::check_own_headers(message.headers)?;
        if to == StreamKey::PLAIN {
            return self.send_plain(message, context, room);
        }
        let slot = self.options.profile.slot();
        let Some(stream) = self.streams.get_mut(&to.0) else {
            return Err(self.ended_error(to));
        };
        let wire = stream.next_wire(self.peer, self.next_wire)?;
        let Wire::Enveloped(id) = wire else {
            return self.send_bare(to, message, context, now_ns, room);
        };
        let in_slot = slot.filter(|_| !matches!(message.body, Body::None(_)));
        let (content, body) = match in_slot {
            Some(_) => (None, FrameBody::Raw(b"")),
            None => envelope::frame_body(message.body, self.options.max_nesting),
        };
        let first = stream.wire == Wire::Undecided;
        let baggage = if first {
            OutgoingBaggage::of(context, &self.options)
        } else {
            OutgoingBaggage::default()
        };
        let mut fields = HeadFields {
            stream: Some(id),
            seq: stream.sent.seq,
            end: message.last.then_some(End::Complete),
            content,
            own: message.headers,
            ..HeadFields::default()
        };
        if first {
            fields.trace_parent = context.trace_parent;
            fields.trace_state = context.trace_state;
            fields.baggage = &baggage.header;
            fields.kind = Some(stream.kind);
            fields.method = stream.method.as_deref();
        }
        if stream.sent.seq == 0 && self.peer == Peer::Always {
            fields.session = Some(&self.session);
        }
        let form = match message.body {
            // A message without a body goes in the form that its direction used last.
            Body::None(_) => stream.sent.form,
            other => other.form(),
        };
        self.scratch.clear();
        let max_header_bytes = self.options.max_header_bytes;
        let written = match in_slot {
            Some(slot) => write_slot(&mut self.scratch, &message, slot, &fields, &self.options)?
                .ok_or_else(|| {
                    Error::invalid_argument(
                        "body",
                        format!("must be a JSON object with room for headers in its member {slot:?} (option profile)"),
                    )
                })?,
            None => envelope::write_head(&mut self.scratch, form, &fields, max_header_bytes)?,
        };
        let is_whole = in_slot.is_some();
        if let Some(needed) = too_long(framed(is_whole, form, &self.scratch, body), room) {
            return Ok(Fitted::TooLong { needed });
        }
        stream.sent(wire, form, &message, now_ns, &mut self.counters);
        self.count_written(written, baggage.dropped);
        self.after_send(to, first, wire, message.last, now_ns);
        Ok(Fitted::Frame(framed(is_whole, form, &self.scratch, body)))
    }

    fn send_bare<'a>(
        &'a mut self,
        to: StreamKey,
        message: Message<'a>,
        context: &ContextRef<'_>,
        now_ns: u64,
        room: usize,
    ) -> Result<Fitted<'a>, Error> {
        if matches!(message.body, Body::None(_)) {
            return Err(Error::invalid_argument(
                "body",
                "must be given: the peer does not speak Wirespan, so a message without a body cannot be told to it",
            ));
        }
        let Some(stream) = self.streams.get(&to.0) else {
            return Err(self.ended_error(to));
        };
        let (first, form) = (stream.wire == Wire::Undecided, message.body.form());
        let context = if first {
            *context
        } else {
            ContextRef::default()
        };
        let bare = self.slotted(&message, &context)?;
        if let Some(needed) = too_long(self.bare_frame(&bare, message), room) {
            return Ok(Fitted::TooLong { needed });
        }
        if let Some(stream) = self.streams.get_mut(&to.0) {
            stream.sent(Wire::Bare, form, &message, now_ns, &mut self.counters);
        }
        self.count_bare(&bare);
        self.after_send(to, first, Wire::Bare, message.last, now_ns);
        Ok(Fitted::Frame(self.bare_frame(&bare, message)))
    }

    /// Writes a message that has no stream into `scratch` if its profile has room for headers in it; else it goes as it is.
    fn slotted(&mut self, message: &Message<'_>, context: &ContextRef<'_>) -> Result<Bare, Error> {
        let Some(slot) = self.options.profile.slot() else {
            return Ok(Bare::AsItIs {
                lost: message.headers.len(),
            });
        };
        if self.options.mode == Mode::Never {
            return Ok(Bare::AsItIs {
                lost: message.headers.len(),
            });
        }
        let baggage = OutgoingBaggage::of(context, &self.options);
        let fields = HeadFields {
            trace_parent: context.trace_parent,
            trace_state: context.trace_state,
            baggage: &baggage.header,
            own: message.headers,
            ..HeadFields::default()
        };
        self.scratch.clear();
        let written = write_slot(&mut self.scratch, message, slot, &fields, &self.options);
        match written {
            Ok(Some(written)) => Ok(Bare::Slotted {
                written,
                baggage_dropped: baggage.dropped,
            }),
            // What a peer that knows streams would take for one must not be sent; all else is only a context that is lost.
            Err(error)
                if error.kind() == ErrorKind::InvalidArgument && self.peer != Peer::Unknown =>
            {
                Err(error)
            }
            Ok(None) | Err(_) => Ok(Bare::AsItIs {
                lost: message.headers.len() + usize::from(context.trace_parent.is_some()),
            }),
        }
    }

    fn bare_frame<'a>(&'a self, bare: &Bare, message: Message<'a>) -> Frame<'a> {
        match bare {
            Bare::AsItIs { .. } => Frame::bare(message.body),
            Bare::Slotted { .. } => Frame::whole(Form::Text, &self.scratch),
        }
    }

    fn count_bare(&mut self, bare: &Bare) {
        match *bare {
            Bare::AsItIs { lost } => self.count_lost_headers(lost),
            Bare::Slotted {
                written,
                baggage_dropped,
            } => self.count_written(written, baggage_dropped),
        }
    }

    /// Notes what a message of a stream that went out changes on the connection.
    fn after_send(&mut self, to: StreamKey, first: bool, wire: Wire, last: bool, now_ns: u64) {
        if first && let Wire::Enveloped(id) = wire {
            self.by_wire.insert(id, to.0);
            self.next_wire = id.get().checked_add(2).unwrap_or(0);
            // The peer may have become known since the call was planned.
            if self.bare_call == Some(to.0) {
                self.bare_call = None;
            }
        }
        if last {
            self.close_sending(to, now_ns);
        }
    }

    /// Notes that this side's direction is complete; a call of ours is over when both are.
    pub(super) fn close_sending(&mut self, key: StreamKey, now_ns: u64) {
        let Some(stream) = self.streams.get_mut(&key.0) else {
            return;
        };
        stream.sent.closed = true;
        stream.report.sent.finish(Outcome::Complete, now_ns);
        if !stream.incoming && stream.received.closed {
            self.complete(key, now_ns);
        }
    }

    fn send_plain<'a>(
        &'a mut self,
        message: Message<'a>,
        context: &ContextRef<'_>,
        room: usize,
    ) -> Result<Fitted<'a>, Error> {
        let form = message.body.form();
        if matches!(message.body, Body::None(_)) {
            return Err(Error::invalid_argument(
                "body",
                "must be given for a message outside a call",
            ));
        }
        let recognition = match self.recognition() {
            Some(recognition) if self.options.profile.slot().is_none() => recognition,
            _ => {
                let bare = self.slotted(&message, context)?;
                if let Some(needed) = too_long(self.bare_frame(&bare, message), room) {
                    return Ok(Fitted::TooLong { needed });
                }
                self.count_bare(&bare);
                return Ok(Fitted::Frame(self.bare_frame(&bare, message)));
            }
        };
        let baggage = OutgoingBaggage::of(context, &self.options);
        let nothing_to_carry = context.trace_parent.is_none()
            && baggage.header.is_empty()
            && message.headers.is_empty();
        if nothing_to_carry && !envelope::is_look_alike(message.body.bytes(), form, recognition) {
            if message.body.len() > room {
                return Ok(Fitted::TooLong {
                    needed: message.body.len(),
                });
            }
            return Ok(Fitted::Frame(Frame::bare(message.body)));
        }
        let (content, body) = envelope::frame_body(message.body, self.options.max_nesting);
        let fields = HeadFields {
            trace_parent: context.trace_parent,
            trace_state: context.trace_state,
            baggage: &baggage.header,
            content,
            own: message.headers,
            ..HeadFields::default()
        };
        self.scratch.clear();
        let written = envelope::write_head(
            &mut self.scratch,
            form,
            &fields,
            self.options.max_header_bytes,
        )?;
        if let Some(needed) = too_long(Frame::new(form, &self.scratch, body), room) {
            return Ok(Fitted::TooLong { needed });
        }
        self.count_written(written, baggage.dropped);
        Ok(Fitted::Frame(Frame::new(form, &self.scratch, body)))
    }

    pub(super) fn recognition(&self) -> Option<Recognition> {
        match self.peer {
            Peer::Unknown => None,
            Peer::Announced { .. } => Some(Recognition::Canonical),
            Peer::Always => Some(Recognition::Any {
                max_nesting: self.options.max_nesting,
            }),
        }
    }

    fn count_written(&mut self, written: Written, baggage_dropped: usize) {
        if written == Written::default() && baggage_dropped == 0 {
            return;
        }
        self.counters.add(
            Counter::DroppedBaggage,
            u32::try_from(baggage_dropped).unwrap_or(u32::MAX),
        );
        if written.baggage_dropped {
            self.counters.add(Counter::DroppedBaggage, 1);
        }
        if written.tracestate_cut {
            self.counters.add(Counter::DroppedTracestate, 1);
        }
        self.count_lost_headers(written.own_dropped);
    }

    fn count_lost_headers(&mut self, n: usize) {
        if n > 0 {
            self.counters
                .add(Counter::DroppedHeader, u32::try_from(n).unwrap_or(u32::MAX));
        }
    }

    /// Makes a message without a body that ends a direction or the stream, as an event.
    pub(super) fn push_control(&mut self, key: StreamKey, end: End, error: Option<&str>) {
        let Some(stream) = self.streams.get_mut(&key.0) else {
            return;
        };
        let Some(id) = stream.wire_id() else { return };
        let seq = stream.sent.seq;
        stream.sent.seq = stream.sent.seq.saturating_add(1);
        let form = stream.sent.form;
        self.push_control_frame(id, seq, form, end, error);
    }

    pub(super) fn push_control_frame(
        &mut self,
        id: NonZeroU32,
        seq: u32,
        form: Form,
        end: End,
        error: Option<&str>,
    ) {
        let error = error.filter(|name| envelope::is_error_type(name));
        // To an always peer the first message of a direction names the session, whatever it is (SPEC ST-22).
        let session = (seq == 0 && self.peer == Peer::Always).then_some(self.session.as_str());
        let fields = HeadFields {
            session,
            stream: Some(id),
            seq,
            end: Some(end),
            error,
            content: Some(Content::None),
            ..HeadFields::default()
        };
        let mut head = Vec::new();
        // Far below the smallest limit that can be configured (see limits::MIN_MAX_HEADER_BYTES).
        if envelope::write_head(&mut head, form, &fields, limits::MIN_MAX_HEADER_BYTES).is_ok() {
            let bytes = Frame::new(form, &head, FrameBody::Null).to_vec();
            self.events.push_back(super::Event::Frame { form, bytes });
        }
    }

    /// Why an operation on a stream that is not open fails.
    pub(super) fn ended_error(&self, key: StreamKey) -> Error {
        match self.ended.by_key(key.0).map(|ended| ended.error) {
            Some(Some(kind)) => Error::new(kind, "the call has ended"),
            Some(None) => Error::invalid_state("the call has ended"),
            None => Error::invalid_state(
                "there is no such call on this connection, or it ended long ago",
            ),
        }
    }
}

/// Baggage on its way out.
#[derive(Default)]
struct OutgoingBaggage {
    /// Value of the header; empty if there is none.
    header: String,
    /// Members over the limits, counted once the message is made.
    dropped: usize,
}

impl OutgoingBaggage {
    /// The baggage that the allow-list lets out.
    fn of(context: &ContextRef<'_>, options: &Options) -> Self {
        let allowed = context
            .baggage
            .map(|all| all.filtered(&options.baggage_out));
        match allowed {
            Some(allowed) if !allowed.is_empty() => {
                let (header, dropped) = allowed.encode();
                Self { header, dropped }
            }
            _ => Self::default(),
        }
    }
}

/// A message that goes without an envelope.
enum Bare {
    /// As the application gave it; so many headers are lost.
    AsItIs { lost: usize },
    /// With headers in its slot, as it stands in `scratch`.
    Slotted {
        written: Written,
        baggage_dropped: usize,
    },
}

/// Writes the headers into the slot of a message; `None` if it has no slot.
fn write_slot(
    buffer: &mut Vec<u8>,
    message: &Message<'_>,
    slot: &str,
    fields: &HeadFields<'_>,
    options: &Options,
) -> Result<Option<Written>, Error> {
    if message.body.form() != Form::Text {
        return Ok(None);
    }
    envelope::write_slot(
        buffer,
        message.body.bytes(),
        slot,
        fields,
        options.max_nesting,
        options.max_header_bytes,
    )
}

/// The frame of what was written: a whole message, or the head in front of a body.
fn framed<'a>(is_whole: bool, form: Form, written: &'a [u8], body: FrameBody<'a>) -> Frame<'a> {
    if is_whole {
        Frame::whole(form, written)
    } else {
        Frame::new(form, written, body)
    }
}

/// The length of a message if it is over the room that there is for it. Without a bound nothing is computed.
fn too_long(frame: Frame<'_>, room: usize) -> Option<usize> {
    if room == usize::MAX {
        return None;
    }
    Some(frame.len()).filter(|needed| *needed > room)
}
