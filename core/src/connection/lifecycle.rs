//! How streams and the connection end.

use std::borrow::Cow;

use crate::counters::Counter;
use crate::envelope::{self, Body, End, Form, Kind};
use crate::error::{Error, ErrorKind};
use crate::limits;
use crate::metrics::Outcome;
use crate::names::{attribute, wire_error};

use super::plan::{Attribute, SpanEnd, SpanKey};
use super::streams::{Afterwards, Stream, Unread, Wire};
use super::{Connection, ContextRef, Event, Message, ReadEnd, State, StreamKey};

impl Connection {
    /// Ends this side's direction: on the wire, by a message without a body. A call that sent nothing opens with it, so
    /// `context` is as for [`Connection::send`].
    ///
    /// # Errors
    ///
    /// As [`Connection::send`]. Ending a direction that has ended does nothing.
    pub fn end(
        &mut self,
        key: StreamKey,
        context: &ContextRef<'_>,
        now_ns: u64,
    ) -> Result<(), Error> {
        self.require_open()?;
        let Some(stream) = self.streams.get(&key.0) else {
            return Err(self.ended_error(key));
        };
        if stream.sent.closed {
            return Ok(());
        }
        let bare = match stream.wire {
            Wire::Bare => true,
            Wire::Undecided => self.recognition().is_none(),
            Wire::Enveloped(_) => false,
        };
        if bare {
            self.close_sending(key, now_ns);
            return Ok(());
        }
        let message = Message::new(Body::None(Form::Text)).last();
        // The frame goes in front of the events that its sending raised, which is why it is made before them.
        let before = self.events.len();
        let frame = self.send(key, message, context, now_ns)?;
        let event = Event::Frame {
            form: frame.form(),
            bytes: frame.to_vec(),
        };
        self.events.insert(before, event);
        Ok(())
    }

    /// Ends a call that its block left normally: my direction ends, and what is still to come of the reply is abandoned.
    /// A caller that sent nothing writes nothing. For an incoming call or transfer: its handler returned.
    pub fn leave(&mut self, key: StreamKey, now_ns: u64) {
        let Some(stream) = self.streams.get(&key.0) else {
            return;
        };
        let bare = match stream.wire {
            Wire::Bare => true,
            Wire::Undecided => self.recognition().is_none(),
            Wire::Enveloped(_) => false,
        };
        let peer_done = stream.received.closed;
        let incoming = stream.incoming;
        if !stream.sent.closed {
            self.push_control(key, End::Complete, None);
            if let Some(stream) = self.streams.get_mut(&key.0) {
                stream.sent.closed = true;
                stream.report.sent.finish(Outcome::Complete, now_ns);
            }
        }
        if peer_done {
            self.complete(key, now_ns);
            return;
        }
        // A handler decides how much of a request it reads; a caller that leaves early abandons its reply. Nobody can tell
        // how much of a reply an unknown peer had in mind.
        let outcome = if incoming || bare {
            Outcome::Complete
        } else {
            Outcome::Abandoned
        };
        if let Some(stream) = self.streams.get_mut(&key.0) {
            let received = if bare {
                Outcome::Complete
            } else {
                Outcome::Abandoned
            };
            stream.report.received.finish(received, now_ns);
        }
        let end = ReadEnd::Failed {
            kind: ErrorKind::Cancelled,
            error_type: None,
        };
        self.finish_stream(key, outcome, Afterwards::Discard, None, end, None, now_ns);
    }

    /// Cancels a call or transfer, from either side. A caller that sent nothing writes nothing.
    pub fn cancel(&mut self, key: StreamKey, now_ns: u64) {
        if self.state == State::Open {
            self.push_control(key, End::Cancel, None);
        }
        self.end_stream(
            key,
            Outcome::Cancelled,
            Some(ErrorKind::Cancelled),
            None,
            now_ns,
        );
    }

    /// Ends a call or transfer with an error, from either side. A name that does not fit the wire, empty or not visible
    /// ASCII, becomes `handler`. A caller that sent nothing writes nothing.
    pub fn fail(&mut self, key: StreamKey, error_type: &str, now_ns: u64) {
        let error_type = if envelope::is_error_type(error_type) {
            error_type
        } else {
            wire_error::HANDLER
        };
        if self.state == State::Open {
            self.push_control(key, End::Error, Some(error_type));
        }
        let error_type = Cow::Owned(error_type.to_owned());
        self.end_stream(
            key,
            Outcome::Error,
            Some(ErrorKind::Cancelled),
            Some(error_type),
            now_ns,
        );
    }

    /// Notes that a reader took a chunk out of the host's queue ([`StreamKey::PLAIN`] for the queue of plain messages).
    pub fn take(&mut self, key: StreamKey, bytes: usize, now_ns: u64) {
        let (max_chunks, max_bytes) = (self.options.max_unread, self.options.max_unread_bytes);
        let unread = if key == StreamKey::PLAIN {
            self.plain.overflowing = false;
            &mut self.plain.unread
        } else {
            let Some(stream) = self.streams.get_mut(&key.0) else {
                return;
            };
            &mut stream.unread
        };
        unread.chunks = unread.chunks.saturating_sub(1);
        unread.bytes = unread.bytes.saturating_sub(bytes);
        if unread.overflow_at_ns.is_none() {
            return;
        }
        if unread.chunks < max_chunks && unread.bytes < max_bytes {
            unread.overflow_at_ns = None;
            self.reader_has_room();
        } else {
            let at_ns = now_ns.saturating_add(self.options.overflow_wait_ns);
            unread.overflow_at_ns = Some(at_ns);
            self.note_deadline(at_ns);
        }
    }

    pub(super) fn reader_has_room(&mut self) {
        self.full_readers = self.full_readers.saturating_sub(1);
        if self.full_readers == 0 {
            self.events.push_back(Event::ResumeReading);
        }
    }

    /// When [`Connection::on_time`] is to be called: never later than the next thing that is due, possibly earlier.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        let streams = (self.earliest_deadline_ns < u64::MAX).then_some(self.earliest_deadline_ns);
        match (self.hello.wait_until_ns, streams) {
            (Some(hello), Some(streams)) => Some(hello.min(streams)),
            (hello, streams) => hello.or(streams),
        }
    }

    /// Does what is due: ends the wait for a hello, silent streams and readers that do not read.
    pub fn on_time(&mut self, now_ns: u64) {
        if self.state != State::Open {
            return;
        }
        if self
            .hello
            .wait_until_ns
            .is_some_and(|until_ns| until_ns <= now_ns)
        {
            self.settle_hello();
        }
        if self.earliest_deadline_ns > now_ns {
            return;
        }
        let idle_ns = self.options.idle_timeout_ns;
        let mut earliest_ns = u64::MAX;
        let mut due = Vec::new();
        for (key, stream) in &self.streams {
            let idle_at_ns = stream.last_activity_ns.saturating_add(idle_ns);
            let overflow_at_ns = stream.unread.overflow_at_ns.unwrap_or(u64::MAX);
            if overflow_at_ns <= now_ns {
                due.push((
                    *key,
                    wire_error::OVERFLOW,
                    ErrorKind::Overflow,
                    Counter::Overflow,
                ));
            } else if idle_at_ns <= now_ns {
                due.push((
                    *key,
                    wire_error::TIMEOUT,
                    ErrorKind::Timeout,
                    Counter::Timeout,
                ));
            } else {
                earliest_ns = earliest_ns.min(idle_at_ns).min(overflow_at_ns);
            }
        }
        if let Some(at_ns) = self.plain.unread.overflow_at_ns {
            if at_ns <= now_ns {
                self.plain.unread.overflow_at_ns = None;
                self.plain.overflowing = true;
                self.reader_has_room();
            } else {
                earliest_ns = earliest_ns.min(at_ns);
            }
        }
        self.earliest_deadline_ns = earliest_ns;
        // A table has no order of its own; keys grow, so this is the order in which the streams opened.
        due.sort_unstable_by_key(|(key, ..)| *key);
        for (key, error_type, kind, counter) in due {
            self.counters.add(counter, 1);
            self.push_control(StreamKey(key), End::Error, Some(error_type));
            self.end_stream(
                StreamKey(key),
                Outcome::Error,
                Some(kind),
                Some(error_type.into()),
                now_ns,
            );
        }
    }

    /// Says that another connection took this one's session over: its calls end.
    pub fn on_superseded(&mut self, now_ns: u64) {
        self.end_all(wire_error::SUPERSEDED, ErrorKind::Superseded, now_ns);
    }

    /// Says that the transport has closed, by a close frame with this code and reason, or without one (`None`, recorded as
    /// 1006). Every open call ends, with an error unless both its directions are complete; the connection's span ends.
    pub fn on_close(&mut self, code: Option<u16>, reason: &str, now_ns: u64) {
        if self.state == State::Closed {
            return;
        }
        self.state = State::Closed;
        self.settle_hello();
        for key in self.keys() {
            // What is complete both ways lacks nothing: only its handler has not returned yet.
            if self.streams.get(&key.0).is_some_and(Stream::is_complete) {
                self.complete(key, now_ns);
            } else {
                self.end_stream(
                    key,
                    Outcome::Error,
                    Some(ErrorKind::Closed),
                    Some(ErrorKind::Closed.name().into()),
                    now_ns,
                );
            }
        }
        // RFC 6455, section 7.1.5: without a close frame the code is 1006.
        let code = code.unwrap_or(1006);
        let normal = matches!(code, 1000 | 1001 | 1005);
        self.end_handshake((!normal).then_some(ErrorKind::Closed.name()));
        if std::mem::take(&mut self.spans.connection_open) {
            let error_type = (!normal).then(|| Cow::Owned(code.to_string()));
            let mut end = SpanEnd::new(SpanKey::CONNECTION, error_type);
            end.closing
                .push(Attribute::i64(attribute::CLOSE_CODE, i64::from(code)));
            let reason = printable(reason, limits::MAX_CLOSE_REASON_BYTES);
            if !reason.is_empty() {
                end.closing
                    .push(Attribute::str(attribute::CLOSE_REASON, reason));
            }
            self.events.push_back(Event::SpanEnd(Box::new(end)));
        }
        if let Some((registry, id)) = &self.registry {
            registry.release(&self.session, *id);
        }
    }

    fn end_all(&mut self, error_type: &'static str, kind: ErrorKind, now_ns: u64) {
        for key in self.keys() {
            if self.state == State::Open {
                self.push_control(key, End::Error, Some(error_type));
            }
            self.end_stream(
                key,
                Outcome::Error,
                Some(kind),
                Some(error_type.into()),
                now_ns,
            );
        }
    }

    /// The open streams, in the order in which they opened.
    pub(super) fn keys(&self) -> Vec<StreamKey> {
        let mut keys: Vec<StreamKey> = self.streams.keys().map(|key| StreamKey(*key)).collect();
        keys.sort_unstable();
        keys
    }

    /// Ends a stream whose both directions are complete.
    pub(super) fn complete(&mut self, key: StreamKey, now_ns: u64) {
        let end = ReadEnd::Complete;
        self.finish_stream(
            key,
            Outcome::Complete,
            Afterwards::Late,
            None,
            end,
            None,
            now_ns,
        );
    }

    /// Ends a stream that was cancelled or failed.
    pub(super) fn end_stream(
        &mut self,
        key: StreamKey,
        outcome: Outcome,
        kind: Option<ErrorKind>,
        error_type: Option<Cow<'static, str>>,
        now_ns: u64,
    ) {
        let end = ReadEnd::Failed {
            kind: kind.unwrap_or(ErrorKind::Cancelled),
            error_type: error_type.clone(),
        };
        self.finish_stream(
            key,
            outcome,
            Afterwards::Discard,
            kind,
            end,
            error_type,
            now_ns,
        );
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the one place where a stream ends; each caller names all of it"
    )]
    fn finish_stream(
        &mut self,
        key: StreamKey,
        outcome: Outcome,
        afterwards: Afterwards,
        error: Option<ErrorKind>,
        read_end: ReadEnd,
        error_type: Option<Cow<'static, str>>,
        now_ns: u64,
    ) {
        let Some(mut stream) = self.streams.remove(&key.0) else {
            return;
        };
        let wire = stream.wire_id();
        if let Some(id) = wire {
            self.by_wire.remove(&id);
        }
        if self.bare_call == Some(key.0) {
            self.bare_call = None;
        }
        self.ended.push(key.0, wire, afterwards, error);
        stream.report.outcome = outcome;
        stream.report.sent.finish(outcome, now_ns);
        stream.report.received.finish(outcome, now_ns);
        let reader_waits =
            !stream.received.closed && (stream.kind == Kind::Call || stream.incoming);
        if reader_waits {
            self.events.push_back(Event::ReadEnd {
                stream: key,
                end: read_end,
            });
        }
        let mut end = SpanEnd::new(key.span(), error_type);
        end.report = Some(stream.report);
        self.events.push_back(Event::SpanEnd(Box::new(end)));
        if let Unread {
            overflow_at_ns: Some(_),
            ..
        } = stream.unread
        {
            self.reader_has_room();
        }
    }
}

/// Bounds a text that a peer chose, and escapes its control characters, so that it can stand in a log line.
fn printable(text: &str, max_bytes: usize) -> String {
    let mut out = String::new();
    for character in text.chars() {
        let escaped: String = if character.is_control() {
            character.escape_default().collect()
        } else {
            character.into()
        };
        if out.len() + escaped.len() > max_bytes {
            break;
        }
        out.push_str(&escaped);
    }
    out
}
