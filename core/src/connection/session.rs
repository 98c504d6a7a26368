//! Sessions: ids that name one connection to both of its ends and survive a reconnect.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashMap;

use crate::limits;
use crate::trace::SpanContext;

/// Names a connection within a [`SessionRegistry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(u64);

impl ConnectionId {
    /// The number of the id, for hosts that keep tables.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// What the host's callback said of a proposed session id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Vouch {
    /// There is no callback.
    #[default]
    NoCallback,
    /// The peer may use the id.
    Yes,
    /// The peer may not use the id, or proposed none that the callback could be asked about.
    No,
}

/// The sessions of an accepting side: which are live, and which spans earlier connections had.
///
/// Clones share one registry. It is bounded, in all and for each remote address; the oldest sessions that are not live
/// are forgotten first.
#[derive(Clone, Debug)]
pub struct SessionRegistry(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    sessions: FxHashMap<Box<str>, Entry>,
    per_remote: FxHashMap<Box<str>, Remote>,
    /// Sessions in the order in which they stopped to be live; an entry is stale if the session came back since.
    idle: VecDeque<(Box<str>, ConnectionId)>,
    next_connection: u64,
    max_sessions: usize,
    max_per_remote: usize,
}

/// The sessions of one remote address.
#[derive(Debug, Default)]
struct Remote {
    /// How many are live or remembered.
    held: usize,
    /// As [`Inner::idle`], of this remote alone.
    idle: VecDeque<(Box<str>, ConnectionId)>,
}

#[derive(Debug)]
struct Entry {
    connection: ConnectionId,
    live: bool,
    remote: Option<Box<str>>,
    span: Option<SpanContext>,
}

/// What came of a claim on a session id.
#[derive(Debug)]
pub(crate) struct Claim {
    /// The span of the earlier connection of this session.
    pub(crate) previous: Option<SpanContext>,
    /// The live connection that lost the session.
    pub(crate) superseded: Option<ConnectionId>,
}

impl Default for SessionRegistry {
    fn default() -> Self {
        Self::with_limits(limits::MAX_SESSIONS, limits::MAX_SESSIONS_PER_REMOTE)
    }
}

impl SessionRegistry {
    /// Makes an empty registry with the default bounds.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes an empty registry with smaller bounds.
    #[must_use]
    pub fn with_limits(max_sessions: usize, max_per_remote: usize) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            sessions: FxHashMap::default(),
            per_remote: FxHashMap::default(),
            idle: VecDeque::new(),
            next_connection: 1,
            max_sessions: max_sessions.clamp(1, limits::MAX_SESSIONS),
            max_per_remote: max_per_remote.clamp(1, limits::MAX_SESSIONS_PER_REMOTE),
        })))
    }

    /// Number of sessions that are live or remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().sessions.len()
    }

    /// Tells whether no session is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn new_connection(&self) -> ConnectionId {
        let mut inner = self.lock();
        let id = ConnectionId(inner.next_connection);
        inner.next_connection += 1;
        id
    }

    /// Registers a session for a connection, in place of `instead_of` if that is its own. A live session is given only to a
    /// peer that was vouched for; `None` means that the claim is refused, and nothing has changed.
    pub(crate) fn claim(
        &self,
        session_id: &str,
        connection: ConnectionId,
        remote: Option<&str>,
        vouched: bool,
        instead_of: Option<&str>,
    ) -> Option<Claim> {
        let mut inner = self.lock();
        let mut claim = Claim {
            previous: None,
            superseded: None,
        };
        let known = inner.sessions.get(session_id);
        if let Some(entry) = known {
            if entry.live && entry.connection != connection {
                if !vouched {
                    return None;
                }
                claim.superseded = Some(entry.connection);
            }
            claim.previous.clone_from(&entry.span);
        }
        let given_up = instead_of
            .and_then(|id| inner.sessions.get(id))
            .filter(|entry| entry.connection == connection);
        // A session that is known already, or that stands in place of this connection's own, takes no more room. Nothing is
        // given up before the claim is sure.
        let frees = [known, given_up];
        let frees = frees.iter().flatten();
        let room_in_all = frees.clone().next().is_some();
        let room_of_remote = frees.clone().any(|entry| entry.remote.as_deref() == remote);
        if !inner.has_room(remote, room_of_remote, room_in_all) {
            return None;
        }
        inner.remove(session_id);
        if let Some(id) = instead_of {
            inner.remove_of(id, connection);
        }
        if let Some(remote) = remote {
            inner.per_remote.entry(remote.into()).or_default().held += 1;
        }
        let span = claim.previous.clone();
        let entry = Entry {
            connection,
            live: true,
            remote: remote.map(Into::into),
            span,
        };
        inner.sessions.insert(session_id.into(), entry);
        Some(claim)
    }

    /// Remembers the span that stands for the connection of a session.
    pub(crate) fn remember_span(
        &self,
        session_id: &str,
        connection: ConnectionId,
        span: &SpanContext,
    ) {
        if let Some(entry) = self.lock().sessions.get_mut(session_id)
            && entry.connection == connection
        {
            entry.span = Some(span.clone());
        }
    }

    /// Marks a session as no longer live, unless another connection has taken it over.
    pub(crate) fn release(&self, session_id: &str, connection: ConnectionId) {
        let mut inner = self.lock();
        if let Some(entry) = inner.sessions.get_mut(session_id)
            && entry.connection == connection
            && entry.live
        {
            entry.live = false;
            let remote = entry.remote.clone();
            if let Some(remote) = remote {
                inner.note_idle(&remote, session_id, connection);
            }
            inner.idle.push_back((session_id.into(), connection));
            inner.drop_stale();
        }
    }

    /// Forgets a session that this connection will not use after all.
    pub(crate) fn forget(&self, session_id: &str, connection: ConnectionId) {
        self.lock().remove_of(session_id, connection);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every method leaves the tables consistent, so a panic elsewhere while the lock was held harms nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Makes room for one more session, and tells whether there is some; where something is given up for it, there is.
    fn has_room(&mut self, remote: Option<&str>, of_remote: bool, in_all: bool) -> bool {
        if let Some(remote) = remote.filter(|_| !of_remote) {
            while let Some(known) = self.per_remote.get_mut(remote)
                && known.held >= self.max_per_remote
            {
                let Some((session_id, connection)) = known.idle.pop_front() else {
                    return false;
                };
                if self.is_idle(&session_id, connection) {
                    self.remove(&session_id);
                }
            }
        }
        while !in_all && self.sessions.len() >= self.max_sessions {
            let Some((session_id, connection)) = self.idle.pop_front() else {
                return false;
            };
            if self.is_idle(&session_id, connection) {
                self.remove(&session_id);
            }
        }
        true
    }

    fn is_idle(&self, session_id: &str, connection: ConnectionId) -> bool {
        self.sessions
            .get(session_id)
            .is_some_and(|entry| !entry.live && entry.connection == connection)
    }

    fn remove_of(&mut self, session_id: &str, connection: ConnectionId) {
        if self
            .sessions
            .get(session_id)
            .is_some_and(|entry| entry.connection == connection)
        {
            self.remove(session_id);
        }
    }

    fn remove(&mut self, session_id: &str) {
        let Some(entry) = self.sessions.remove(session_id) else {
            return;
        };
        if let Some(remote) = entry.remote
            && let Some(known) = self.per_remote.get_mut(&remote)
        {
            known.held -= 1;
            if known.held == 0 {
                self.per_remote.remove(&remote);
            }
        }
    }

    /// Notes that a session of a remote stopped to be live; entries of sessions that came back go before they pile up.
    fn note_idle(&mut self, remote: &str, session_id: &str, connection: ConnectionId) {
        let Some(known) = self.per_remote.get_mut(remote) else {
            return;
        };
        known.idle.push_back((session_id.into(), connection));
        if known.idle.len() <= 2 * (known.held + 16) {
            return;
        }
        let mut idle = std::mem::take(&mut known.idle);
        idle.retain(|(id, connection)| self.is_idle(id, *connection));
        if let Some(known) = self.per_remote.get_mut(remote) {
            known.idle = idle;
        }
    }

    /// Keeps the queue of idle sessions from outgrowing the table when sessions come and go.
    fn drop_stale(&mut self) {
        if self.idle.len() <= 2 * self.max_sessions.min(self.sessions.len() + 16) {
            return;
        }
        let idle = std::mem::take(&mut self.idle);
        self.idle = idle
            .into_iter()
            .filter(|(id, connection)| self.is_idle(id, *connection))
            .collect();
    }
}

/// Writes 128 random bits as a session id: 32 lower-case hexadecimal digits.
pub(crate) fn session_id_from(entropy: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(entropy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_session_moves_only_when_vouched_for() {
        let registry = SessionRegistry::new();
        let (first, second) = (registry.new_connection(), registry.new_connection());
        assert!(registry.claim("s", first, None, false, None).is_some());
        assert!(registry.claim("s", second, None, false, None).is_none());
        let claim = registry.claim("s", second, None, true, None).unwrap();
        assert_eq!(claim.superseded, Some(first));
        // The old connection's end does not touch the session of the new one.
        registry.release("s", first);
        assert!(registry.claim("s", first, None, false, None).is_none());
    }

    #[test]
    fn a_session_that_is_not_live_is_continued_with_its_span() {
        let registry = SessionRegistry::new();
        let (first, second) = (registry.new_connection(), registry.new_connection());
        let span = SpanContext::from(crate::trace::TraceParent {
            trace_id: [1; 16],
            span_id: [2; 8],
            flags: crate::trace::TraceFlags::SAMPLED,
        });
        registry.claim("s", first, None, false, None).unwrap();
        registry.remember_span("s", first, &span);
        registry.release("s", first);
        let claim = registry.claim("s", second, None, false, None).unwrap();
        assert_eq!(claim.previous, Some(span));
        assert_eq!(claim.superseded, None);
    }

    #[test]
    fn the_registry_is_bounded_in_all_and_per_remote() {
        let registry = SessionRegistry::with_limits(3, 2);
        let connection = registry.new_connection();
        assert!(
            registry
                .claim("a", connection, Some("10.0.0.1"), false, None)
                .is_some()
        );
        assert!(
            registry
                .claim("b", connection, Some("10.0.0.1"), false, None)
                .is_some()
        );
        assert!(
            registry
                .claim("c", connection, Some("10.0.0.1"), false, None)
                .is_none()
        );
        assert!(
            registry
                .claim("c", connection, Some("10.0.0.2"), false, None)
                .is_some()
        );
        assert!(
            registry
                .claim("d", connection, Some("10.0.0.3"), false, None)
                .is_none()
        );
        registry.release("a", connection);
        assert!(
            registry
                .claim("d", connection, Some("10.0.0.3"), false, None)
                .is_some()
        );
        assert_eq!(registry.len(), 3);
        // The session that made room has given its place back to its remote.
        registry.release("b", connection);
        assert!(
            registry
                .claim("e", connection, Some("10.0.0.1"), false, None)
                .is_some()
        );
    }

    #[test]
    fn a_remote_at_its_bound_forgets_its_own_oldest_idle_session() {
        let registry = SessionRegistry::with_limits(10, 2);
        for number in 0..100 {
            let connection = registry.new_connection();
            let session = format!("s{number}");
            assert!(
                registry
                    .claim(&session, connection, Some("10.0.0.1"), false, None)
                    .is_some(),
                "{session}"
            );
            registry.release(&session, connection);
        }
        assert_eq!(registry.len(), 2);
        assert!(registry.lock().sessions.contains_key("s98"));
    }

    #[test]
    fn coming_and_going_does_not_grow_the_queue_of_idle_sessions() {
        let registry = SessionRegistry::with_limits(10, 10);
        for _ in 0..10_000 {
            let connection = registry.new_connection();
            registry.claim("s", connection, None, false, None).unwrap();
            registry.release("s", connection);
        }
        assert!(registry.lock().idle.len() <= 64);
    }

    #[test]
    fn session_ids_are_lower_case_hex() {
        assert_eq!(session_id_from([0xAB; 16]), "ab".repeat(16));
        assert_eq!(session_id_from([0; 16]), "0".repeat(32));
    }
}
