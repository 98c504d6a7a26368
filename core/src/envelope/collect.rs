//! From the entries of either form to a [`Head`]: what is valid, what is repeated, what is left out.

use std::borrow::Cow;

use super::grammar::{
    is_error_type, is_header_name, is_header_value, is_method, is_session_id, is_version_list,
    parse_u32, parse_u64, reserved,
};
use super::{Content, End, Head, Kind, Role};
use crate::limits::{MAX_BAGGAGE_BYTES, MAX_TRACESTATE_BYTES};
use crate::trace::{TraceParent, TraceState};

/// Positions in [`header::RESERVED`].
pub(super) mod field {
    pub(in crate::envelope) const WIRESPAN: usize = 0;
    pub(in crate::envelope) const ROLE: usize = 1;
    pub(in crate::envelope) const TRACEPARENT: usize = 2;
    pub(in crate::envelope) const TRACESTATE: usize = 3;
    pub(in crate::envelope) const BAGGAGE: usize = 4;
    pub(in crate::envelope) const SESSION: usize = 5;
    pub(in crate::envelope) const KIND: usize = 6;
    pub(in crate::envelope) const METHOD: usize = 7;
    pub(in crate::envelope) const STREAM: usize = 8;
    pub(in crate::envelope) const SEQ: usize = 9;
    pub(in crate::envelope) const END: usize = 10;
    pub(in crate::envelope) const ERROR: usize = 11;
    pub(in crate::envelope) const CONTENT: usize = 12;
    pub(in crate::envelope) const SENT: usize = 13;
}

/// Something that takes the entries of a text head, in order.
pub(super) trait Entries<'m> {
    fn entry(&mut self, name: Cow<'m, str>, value: Cow<'m, str>);
}

impl<'m> Entries<'m> for Vec<(Cow<'m, str>, Cow<'m, str>)> {
    fn entry(&mut self, name: Cow<'m, str>, value: Cow<'m, str>) {
        self.push((name, value));
    }
}

/// Collects entries and makes a [`Head`] of them.
#[derive(Default)]
pub(super) struct Collector<'m> {
    head: Head<'m>,
    /// Bit `i` says that the reserved name `i` was seen.
    seen: u16,
    repeated: bool,
    content_repeated: bool,
    stream_invalid: bool,
}

impl<'m> Entries<'m> for Collector<'m> {
    fn entry(&mut self, name: Cow<'m, str>, value: Cow<'m, str>) {
        match reserved(&name) {
            Some(position) => {
                if self.note(position) {
                    self.reserved_text(position, value);
                }
            }
            None => self.own(name, value),
        }
    }
}

impl<'m> Collector<'m> {
    /// Notes that a reserved name stands here; false if it is a repeat.
    pub(super) fn note(&mut self, position: usize) -> bool {
        let bit = 1 << position;
        let first = self.seen & bit == 0;
        self.seen |= bit;
        if !first {
            self.repeated = true;
            self.content_repeated |= position == field::CONTENT;
        }
        first
    }

    /// Notes that an entry whose name is not known to this version stands twice.
    pub(super) fn note_repeat(&mut self) {
        self.repeated = true;
    }

    /// Takes a header of the application's own, valid or not.
    pub(super) fn own(&mut self, name: Cow<'m, str>, value: Cow<'m, str>) {
        self.repeated |= self
            .head
            .own
            .iter()
            .any(|(earlier, _)| earlier.eq_ignore_ascii_case(&name));
        self.head.own.push((name, value));
    }

    pub(super) fn invalid(&mut self) {
        self.head.drops.header_invalid = self.head.drops.header_invalid.saturating_add(1);
    }

    pub(super) fn trace_parent(&mut self, trace_parent: Option<TraceParent>) {
        self.head.drops.context_invalid = trace_parent.is_none();
        self.head.trace_parent = trace_parent;
    }

    pub(super) fn stream(&mut self, id: Option<u32>) {
        self.head.stream = id.and_then(std::num::NonZeroU32::new);
        self.stream_invalid = self.head.stream.is_none();
        self.count(self.head.stream.is_some());
    }

    pub(super) fn seq(&mut self, seq: Option<u32>) {
        self.head.seq = seq;
        self.count(seq.is_some());
    }

    pub(super) fn sent(&mut self, sent: Option<u64>) {
        self.head.sent = sent;
        self.count(sent.is_some());
    }

    pub(super) fn kind(&mut self, kind: Option<Kind>) {
        self.head.kind = kind;
        self.count(kind.is_some());
    }

    pub(super) fn end(&mut self, end: Option<End>) {
        self.head.end = end;
        self.count(end.is_some());
    }

    pub(super) fn content(&mut self, content: Option<Content>) {
        self.head.content = content;
        self.count(content.is_some());
    }

    /// Takes the value of a reserved name that both forms write as text, or that the text form writes as text.
    pub(super) fn reserved_text(&mut self, position: usize, value: Cow<'m, str>) {
        let head = &mut self.head;
        let valid = match position {
            field::TRACEPARENT => {
                self.trace_parent(TraceParent::parse(value.as_bytes()).ok());
                return;
            }
            field::TRACESTATE => {
                if value.len() > MAX_TRACESTATE_BYTES {
                    head.drops.tracestate = true;
                } else if !value.is_empty() {
                    head.trace_state = Some(value);
                }
                return;
            }
            field::BAGGAGE => {
                if value.len() > MAX_BAGGAGE_BYTES {
                    head.drops.baggage = true;
                } else if !value.is_empty() {
                    head.baggage = Some(value);
                }
                return;
            }
            field::STREAM => return self.stream(parse_u32(value.as_bytes())),
            field::SEQ => return self.seq(parse_u32(value.as_bytes())),
            field::SENT => return self.sent(parse_u64(value.as_bytes())),
            field::KIND => {
                return self.kind(match &*value {
                    "call" => Some(Kind::Call),
                    "transfer" => Some(Kind::Transfer),
                    _ => None,
                });
            }
            field::END => {
                return self.end(match &*value {
                    "1" => Some(End::Complete),
                    "cancel" => Some(End::Cancel),
                    "error" => Some(End::Error),
                    _ => None,
                });
            }
            field::CONTENT => {
                return self.content(match &*value {
                    "text" => Some(Content::Text),
                    "none" => Some(Content::None),
                    _ => None,
                });
            }
            field::ROLE => {
                head.role = match &*value {
                    "client" => Some(Role::Client),
                    "server" => Some(Role::Server),
                    _ => None,
                };
                head.role.is_some()
            }
            field::WIRESPAN => keep(&mut head.versions, value, is_version_list),
            field::SESSION => keep(&mut head.session, value, is_session_id),
            field::METHOD => keep(&mut head.method, value, is_method),
            field::ERROR => keep(&mut head.error, value, is_error_type),
            _ => true,
        };
        self.count(valid);
    }

    fn count(&mut self, valid: bool) {
        if !valid {
            self.invalid();
        }
    }

    /// Makes the head. `content_fits` looks whether the body is what a `content` says of it.
    pub(super) fn finish(mut self, content_fits: impl FnOnce(Content) -> bool) -> Head<'m> {
        let mut head = std::mem::take(&mut self.head);
        if self.repeated {
            // Which of the two was meant nobody knows, so nothing is believed but what the body needs to be read.
            let mut kept = Head {
                own: std::mem::take(&mut head.own),
                ..Head::default()
            };
            kept.content = head.content.filter(|_| !self.content_repeated);
            kept.drops.header_repeated = true;
            head = kept;
        }
        let before = head.own.len();
        if before > 0 {
            head.own
                .retain(|(name, value)| is_header_name(name) && is_header_value(value));
            let dropped = u8::try_from(before - head.own.len()).unwrap_or(u8::MAX);
            head.drops.header_invalid = head.drops.header_invalid.saturating_add(dropped);
        }
        // Beside no valid traceparent nobody reads it (SPEC TC-6); a malformed one is discarded whole (TS-5).
        let usable =
            |value: &Cow<'_, str>| head.trace_parent.is_some() && TraceState::parse(value).is_ok();
        if head
            .trace_state
            .as_ref()
            .is_some_and(|value| !usable(value))
        {
            head.trace_state = None;
            head.drops.tracestate = true;
        }
        if head.stream.is_none() {
            head.kind = None;
            head.seq = None;
            head.end = None;
            if self.stream_invalid {
                head.error = None;
            }
        }
        if let Some(content) = head.content
            && !content_fits(content)
        {
            head.content = None;
            head.drops.content_mismatch = true;
        }
        head
    }
}

fn keep<'m>(
    slot: &mut Option<Cow<'m, str>>,
    value: Cow<'m, str>,
    is_valid: fn(&str) -> bool,
) -> bool {
    let valid = is_valid(&value);
    if valid {
        *slot = Some(value);
    }
    valid
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::header;

    #[test]
    fn positions_are_those_of_the_list_of_names() {
        let positions = [
            (field::WIRESPAN, header::WIRESPAN),
            (field::ROLE, header::ROLE),
            (field::TRACEPARENT, header::TRACEPARENT),
            (field::TRACESTATE, header::TRACESTATE),
            (field::BAGGAGE, header::BAGGAGE),
            (field::SESSION, header::SESSION),
            (field::KIND, header::KIND),
            (field::METHOD, header::METHOD),
            (field::STREAM, header::STREAM),
            (field::SEQ, header::SEQ),
            (field::END, header::END),
            (field::ERROR, header::ERROR),
            (field::CONTENT, header::CONTENT),
            (field::SENT, header::SENT),
        ];
        assert_eq!(positions.len(), header::RESERVED.len());
        for (position, name) in positions {
            assert_eq!(header::RESERVED[position], name);
        }
    }
}
