//! The streams of a connection: open ones, and the memory of those that ended.

use std::collections::VecDeque;
use std::num::NonZeroU32;

use crate::counters::{Counter, Counters};
use crate::envelope::{Body, Form, Kind};
use crate::error::{Error, ErrorKind};
use crate::limits;
use crate::metrics::{Direction, Outcome, StreamMetrics, StreamMetricsOptions};

use super::plan::{SpanKey, StreamReport};
use super::{Message, Options, Peer};

/// Names a call or transfer of one connection; the same number names its span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey(pub(crate) u32);

impl StreamKey {
    /// Stands for messages outside every stream.
    pub const PLAIN: Self = Self(0);

    /// The number of the key, for hosts that keep tables.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The key with this number. One that names nothing is answered with an error by every operation.
    #[must_use]
    pub const fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// The span of this call or transfer.
    #[must_use]
    pub const fn span(self) -> SpanKey {
        SpanKey(self.0)
    }
}

/// How the messages of a stream travel; decided by the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// No message has been sent yet.
    Undecided,
    /// In envelopes, under this id.
    Enveloped(NonZeroU32),
    /// As they are, to a peer that does not know envelopes.
    Bare,
}

/// The sending direction of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SendHalf {
    pub(crate) closed: bool,
    /// Number of the next message.
    pub(crate) seq: u32,
    /// Form of the last message.
    pub(crate) form: Form,
}

/// The receiving direction of a stream: which numbers came.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReceiveHalf {
    pub(crate) closed: bool,
    /// One above the highest number seen.
    next: u64,
    /// Bit `i` tells whether the number `next - 1 - i` was seen.
    seen: u64,
}

impl ReceiveHalf {
    /// Notes the number of a message and counts what is out of order. Nothing is held back.
    pub(crate) fn note(&mut self, seq: u32, counters: &mut Counters) {
        let seq = u64::from(seq);
        if seq >= self.next {
            let missing = seq - self.next;
            if missing > 0 {
                counters.add(Counter::Gap, u32::try_from(missing).unwrap_or(u32::MAX));
            }
            let shift = missing + 1;
            self.seen = if shift < u64::from(u64::BITS) {
                self.seen << shift | 1
            } else {
                1
            };
            self.next = seq + 1;
            return;
        }
        let back = self.next - 1 - seq;
        let in_window = back < u64::from(limits::SEQ_WINDOW);
        // Number 0 also stands for an absent one, so a second message without a number is always a repeat.
        if seq == 0 || (in_window && self.seen >> back & 1 == 1) {
            counters.add(Counter::Repeat, 1);
        } else {
            counters.add(Counter::Reorder, 1);
            if in_window {
                self.seen |= 1 << back;
            }
        }
    }
}

/// An open call or transfer.
#[derive(Debug)]
pub(crate) struct Stream {
    /// The peer opened it.
    pub(crate) incoming: bool,
    pub(crate) kind: Kind,
    pub(crate) method: Option<Box<str>>,
    pub(crate) wire: Wire,
    pub(crate) sent: SendHalf,
    pub(crate) received: ReceiveHalf,
    pub(crate) unread: Unread,
    /// When a message of this stream last went either way.
    pub(crate) last_activity_ns: u64,
    pub(crate) report: Box<StreamReport>,
}

impl Stream {
    pub(crate) fn new(
        incoming: bool,
        kind: Kind,
        method: Option<Box<str>>,
        metrics: StreamMetricsOptions,
        now_ns: u64,
    ) -> Self {
        let one_way = kind == Kind::Transfer;
        Self {
            incoming,
            kind,
            method,
            wire: Wire::Undecided,
            sent: SendHalf {
                closed: one_way && incoming,
                seq: 0,
                form: Form::Text,
            },
            received: ReceiveHalf {
                closed: one_way && !incoming,
                ..ReceiveHalf::default()
            },
            unread: Unread::default(),
            last_activity_ns: now_ns,
            report: Box::new(StreamReport {
                outcome: Outcome::Complete,
                sent: StreamMetrics::new(metrics),
                received: StreamMetrics::new(metrics),
                stalls: Vec::new(),
            }),
        }
    }

    /// Neither side has anything left to send.
    pub(crate) fn is_complete(&self) -> bool {
        self.sent.closed && self.received.closed
    }

    /// Starts the clocks of both directions; done by the first message.
    pub(crate) fn start(&mut self, now_ns: u64) {
        self.report.sent.start(now_ns);
        self.report.received.start(now_ns);
    }

    /// How the next message travels, without deciding it yet; `next_id` is the connection's next on the wire, 0 if all are used.
    pub(crate) fn next_wire(&self, peer: Peer, next_id: u32) -> Result<Wire, Error> {
        if self.incoming && self.kind == Kind::Transfer {
            return Err(Error::invalid_state(
                "a transfer has no replies: the sender expects none",
            ));
        }
        if self.sent.closed {
            return Err(Error::invalid_state(
                "this direction of the call has ended: nothing can follow its end",
            ));
        }
        match (self.wire, peer) {
            (Wire::Undecided, Peer::Unknown) => Ok(Wire::Bare),
            (Wire::Undecided, _) => {
                NonZeroU32::new(next_id)
                    .map(Wire::Enveloped)
                    .ok_or_else(|| {
                        Error::new(
                            ErrorKind::Limit,
                            "all stream ids of this connection are used: connect again",
                        )
                    })
            }
            (decided, _) => Ok(decided),
        }
    }

    /// Notes that a message goes out.
    pub(crate) fn sent(
        &mut self,
        wire: Wire,
        form: Form,
        message: &Message<'_>,
        now_ns: u64,
        counters: &mut Counters,
    ) {
        if self.wire == Wire::Undecided {
            self.wire = wire;
            self.start(now_ns);
        }
        self.sent.seq = self.sent.seq.saturating_add(1);
        self.sent.form = form;
        self.last_activity_ns = now_ns;
        if !matches!(message.body, Body::None(_)) {
            self.record(Direction::Sent, message.body.len(), now_ns, counters);
        }
    }

    /// Records a chunk that came, and notes that the host holds it for the reader; as [`Unread::hold`].
    pub(crate) fn receive(
        &mut self,
        bytes: usize,
        now_ns: u64,
        options: &Options,
        counters: &mut Counters,
    ) -> Option<u64> {
        self.record(Direction::Received, bytes, now_ns, counters);
        self.unread.hold(bytes, options, now_ns)
    }

    /// Records a chunk.
    pub(crate) fn record(
        &mut self,
        direction: Direction,
        bytes: usize,
        now_ns: u64,
        counters: &mut Counters,
    ) {
        let report = &mut *self.report;
        let metrics = match direction {
            Direction::Sent => &mut report.sent,
            Direction::Received => &mut report.received,
        };
        let stepped_back = metrics.clock_back();
        let stall = metrics.record_chunk(bytes as u64, now_ns);
        if metrics.clock_back() != stepped_back {
            counters.add(Counter::ClockBack, 1);
        }
        if let Some(stall) = stall {
            let earlier = report
                .stalls
                .iter()
                .filter(|(other, _)| *other == direction)
                .count();
            if earlier < limits::MAX_STALL_EVENTS {
                report.stalls.push((direction, stall));
            }
        }
    }

    /// The id on the wire, if messages have one.
    pub(crate) fn wire_id(&self) -> Option<NonZeroU32> {
        match self.wire {
            Wire::Enveloped(id) => Some(id),
            Wire::Undecided | Wire::Bare => None,
        }
    }
}

/// What a host holds for a reader, and since when that is too much.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unread {
    pub(crate) chunks: usize,
    pub(crate) bytes: usize,
    /// When reading goes on without this reader; present while it holds reading up.
    pub(crate) overflow_at_ns: Option<u64>,
}

impl Unread {
    /// Notes that the host holds a chunk; gives the time at which reading goes on without this reader, if it is full from now on.
    pub(crate) fn hold(&mut self, bytes: usize, options: &Options, now_ns: u64) -> Option<u64> {
        self.chunks += 1;
        self.bytes += bytes;
        let full = self.chunks >= options.max_unread || self.bytes >= options.max_unread_bytes;
        if !full || self.overflow_at_ns.is_some() {
            return None;
        }
        self.overflow_at_ns = Some(now_ns.saturating_add(options.overflow_wait_ns));
        self.overflow_at_ns
    }
}

/// How a stream that ended treats what still comes for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Afterwards {
    /// Ended normally: delivered plain, counted.
    Late,
    /// Cancelled, failed, left or refused: discarded, counted.
    Discard,
    /// Refused because of a limit: discarded, counted twice over.
    Refused,
}

/// A stream that ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    wire: Option<NonZeroU32>,
    key: u32,
    pub(crate) afterwards: Afterwards,
    /// What an operation on it is answered with; absent after a normal end.
    pub(crate) error: Option<ErrorKind>,
}

/// The last streams that ended. Looked at only off the common path, so a scan from the newest serves.
#[derive(Debug, Default)]
pub(crate) struct EndedStreams(VecDeque<Ended>);

impl EndedStreams {
    pub(crate) fn push(
        &mut self,
        key: u32,
        wire: Option<NonZeroU32>,
        afterwards: Afterwards,
        error: Option<ErrorKind>,
    ) {
        if self.0.len() == limits::MAX_REMEMBERED_STREAMS {
            self.0.pop_front();
        }
        self.0.push_back(Ended {
            wire,
            key,
            afterwards,
            error,
        });
    }

    pub(crate) fn by_wire(&self, wire: NonZeroU32) -> Option<Ended> {
        self.0
            .iter()
            .rev()
            .find(|ended| ended.wire == Some(wire))
            .copied()
    }

    pub(crate) fn by_key(&self, key: u32) -> Option<Ended> {
        self.0.iter().rev().find(|ended| ended.key == key).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(numbers: &[u32]) -> (u32, u32, u32) {
        let mut half = ReceiveHalf::default();
        let mut counters = Counters::default();
        for number in numbers {
            half.note(*number, &mut counters);
        }
        (
            counters.get(Counter::Gap),
            counters.get(Counter::Reorder),
            counters.get(Counter::Repeat),
        )
    }

    #[test]
    fn numbers_in_order_count_nothing() {
        assert_eq!(counts(&[0, 1, 2, 3]), (0, 0, 0));
    }

    #[test]
    fn a_gap_counts_the_missing_once() {
        assert_eq!(counts(&[0, 3, 4]), (2, 0, 0));
        assert_eq!(counts(&[0, u32::MAX]), (u32::MAX - 1, 0, 0));
    }

    #[test]
    fn a_late_number_is_reordered_and_then_a_repeat() {
        assert_eq!(counts(&[0, 3, 1, 1]), (2, 1, 1));
        assert_eq!(counts(&[0, 200, 100]), (199, 1, 0));
        assert_eq!(
            counts(&[0, 200, 100, 100]),
            (199, 2, 0),
            "beyond the window nothing is remembered"
        );
        assert_eq!(counts(&[0, 64, 1]), (63, 1, 0));
        assert_eq!(
            counts(&[0, 1, 64, 1]),
            (62, 0, 1),
            "63 back is within the last 64"
        );
    }

    #[test]
    fn number_zero_again_is_a_repeat_however_late() {
        assert_eq!(counts(&[0, 0]), (0, 0, 1));
        assert_eq!(counts(&[3, 0]), (3, 0, 1));
        assert_eq!(counts(&[0, 500, 0]), (499, 0, 1));
    }

    #[test]
    fn the_memory_of_ended_streams_is_bounded() {
        let mut ended = EndedStreams::default();
        for number in 1..=2000 {
            ended.push(number, NonZeroU32::new(number), Afterwards::Late, None);
        }
        assert_eq!(ended.0.len(), limits::MAX_REMEMBERED_STREAMS);
        assert!(ended.by_key(1).is_none());
        assert!(ended.by_wire(NonZeroU32::new(2000).unwrap()).is_some());
    }
}
