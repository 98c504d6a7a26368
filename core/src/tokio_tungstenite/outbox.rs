//! What waits for the transport, and how much of it there may be.

use std::collections::VecDeque;

use ::tokio_tungstenite::tungstenite::Message;

/// Bytes that wait before senders wait too.
const SENDERS_WAIT_BYTES: usize = 1024 * 1024;
/// Bytes of the connection's own answers, such as refusals, that wait before reading stops. What is read makes answers, and a
/// peer that does not read these must not pile them up here. What the application sends does not count: two peers that
/// both send a lot still read, so that they never wait for each other.
const READING_STOPS_BYTES: usize = 1024 * 1024;

/// Who makes a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The application sends it, and waits for room before.
    Application,
    /// The connection answers by itself.
    Connection,
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: VecDeque<(Origin, Message)>,
    bytes: usize,
    answer_bytes: usize,
}

impl Outbox {
    pub(super) fn push(&mut self, origin: Origin, message: Message) {
        self.bytes += message.len();
        if origin == Origin::Connection {
            self.answer_bytes += message.len();
        }
        self.queue.push_back((origin, message));
    }

    pub(super) fn pop(&mut self) -> Option<Message> {
        let (origin, message) = self.queue.pop_front()?;
        self.bytes -= message.len();
        if origin == Origin::Connection {
            self.answer_bytes -= message.len();
        }
        Some(message)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether senders may add to it.
    pub(super) fn has_room(&self) -> bool {
        self.bytes < SENDERS_WAIT_BYTES
    }

    /// Whether more may be read, and with it more answers made.
    pub(super) fn has_room_for_answers(&self) -> bool {
        self.answer_bytes < READING_STOPS_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_wait_for_all_that_is_queued_and_reading_for_answers_only() {
        let mut outbox = Outbox::default();
        let large = || Message::binary(vec![0; SENDERS_WAIT_BYTES]);
        outbox.push(Origin::Application, large());
        assert_eq!(
            (outbox.has_room(), outbox.has_room_for_answers()),
            (false, true)
        );
        outbox.push(Origin::Connection, large());
        assert_eq!(
            (outbox.has_room(), outbox.has_room_for_answers()),
            (false, false)
        );
        assert!(outbox.pop().is_some());
        assert_eq!(
            (outbox.has_room(), outbox.has_room_for_answers()),
            (false, false)
        );
        assert!(outbox.pop().is_some());
        assert_eq!(
            (outbox.has_room(), outbox.has_room_for_answers()),
            (true, true)
        );
        assert!(outbox.pop().is_none());
    }
}
