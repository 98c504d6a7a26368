//! Counters of everything that was dropped, ignored or out of order; readable by the host at any time.

/// What was dropped, ignored or out of order: a closed list, so that it can label a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(usize)]
pub enum Counter {
    /// A trace context that does not follow the grammar.
    ContextInvalid,
    /// A header whose value is invalid.
    HeaderInvalid,
    /// A header that stands twice.
    HeaderRepeated,
    /// A head over its limit; the message was delivered plain.
    HeadTooLong,
    /// Baggage left out.
    DroppedBaggage,
    /// Vendor data left out, whole or in part.
    DroppedTracestate,
    /// A header of the application left out.
    DroppedHeader,
    /// A `content` that does not fit its body.
    ContentMismatch,
    /// A message that came again.
    Repeat,
    /// Messages that never came.
    Gap,
    /// A message behind a later one.
    Reorder,
    /// A message behind the end of its direction, delivered plain.
    Late,
    /// A message not delivered.
    Discarded,
    /// A message of an unknown stream, delivered plain.
    Unmatched,
    /// A stream refused because of a limit.
    Limit,
    /// A call ended because nobody read it.
    Overflow,
    /// A call ended because of a deadline.
    Timeout,
    /// A session id that was not honoured.
    SessionReplaced,
    /// A message from a peer of the same role.
    Role,
    /// An envelope of an unknown version or with an unknown critical part.
    Version,
    /// A clock that stepped back.
    ClockBack,
}

impl Counter {
    /// Every counter, in the order of the specification.
    pub const ALL: [Self; 21] = [
        Self::ContextInvalid,
        Self::HeaderInvalid,
        Self::HeaderRepeated,
        Self::HeadTooLong,
        Self::DroppedBaggage,
        Self::DroppedTracestate,
        Self::DroppedHeader,
        Self::ContentMismatch,
        Self::Repeat,
        Self::Gap,
        Self::Reorder,
        Self::Late,
        Self::Discarded,
        Self::Unmatched,
        Self::Limit,
        Self::Overflow,
        Self::Timeout,
        Self::SessionReplaced,
        Self::Role,
        Self::Version,
        Self::ClockBack,
    ];

    /// The name used in every language and as the label of the metric `wirespan.dropped`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ContextInvalid => "context_invalid",
            Self::HeaderInvalid => "header_invalid",
            Self::HeaderRepeated => "header_repeated",
            Self::HeadTooLong => "head_too_long",
            Self::DroppedBaggage => "dropped_baggage",
            Self::DroppedTracestate => "dropped_tracestate",
            Self::DroppedHeader => "dropped_header",
            Self::ContentMismatch => "content_mismatch",
            Self::Repeat => "repeat",
            Self::Gap => "gap",
            Self::Reorder => "reorder",
            Self::Late => "late",
            Self::Discarded => "discarded",
            Self::Unmatched => "unmatched",
            Self::Limit => "limit",
            Self::Overflow => "overflow",
            Self::Timeout => "timeout",
            Self::SessionReplaced => "session_replaced",
            Self::Role => "role",
            Self::Version => "version",
            Self::ClockBack => "clock_back",
        }
    }
}

/// How often each [`Counter`] was raised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters([u32; Counter::ALL.len()]);

impl Counters {
    /// Adds `n` to a counter, which stays at its maximum instead of wrapping.
    pub fn add(&mut self, counter: Counter, n: u32) {
        let slot = &mut self.0[counter as usize];
        *slot = slot.saturating_add(n);
    }

    /// The value of a counter.
    #[must_use]
    pub fn get(&self, counter: Counter) -> u32 {
        self.0[counter as usize]
    }

    /// All counters with their values, in the order of the specification.
    pub fn iter(&self) -> impl Iterator<Item = (Counter, u32)> + '_ {
        Counter::ALL
            .into_iter()
            .map(|counter| (counter, self.get(counter)))
    }
}
