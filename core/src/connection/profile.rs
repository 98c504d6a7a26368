//! Profiles: what Wirespan knows of somebody else's message schema (SPEC AD-1). Each is data.

/// A protocol whose messages have room of their own for headers. Toward such a peer nothing is wrapped: text messages that are
/// JSON objects get the headers into that room, and are delivered whole; all others go as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Profile {
    /// The member of a message that holds its headers, an object of strings.
    slot: Option<&'static str>,
}

impl Profile {
    /// No schema is known: messages go into envelopes.
    pub const NONE: Self = Self { slot: None };

    /// `class MessageWithHeaders { Map<String, String> headers; … }`: the member `headers`.
    pub const SEED: Self = Self {
        slot: Some("headers"),
    };

    /// The words of option `profile`.
    pub(super) const WORDS: [(&'static str, Self); 2] =
        [("none", Self::NONE), ("seed", Self::SEED)];

    pub(super) const fn slot(self) -> Option<&'static str> {
        self.slot
    }
}
