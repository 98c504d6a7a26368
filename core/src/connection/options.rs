//! What a host can choose about a connection, with the defaults of the specification.

use crate::error::Error;
use crate::limits;
use crate::metrics::StreamMetricsOptions;
use crate::trace::{AllowList, SpanContext};

use super::naming::Naming;
use super::profile::Profile;

/// Whether envelopes are sent and read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// Only with a peer that announced itself.
    #[default]
    Auto,
    /// Also with a peer that said nothing: it is taken to speak version 1.
    Always,
    /// Nothing is written anywhere, nothing is read.
    Never,
}

/// Whether this side sends a hello on its own account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hello {
    /// Only where the specification asks for one.
    #[default]
    WhenAsked,
    /// As the first message, always.
    First,
    /// Never first, but one that comes as the first message is accepted.
    Expect,
}

/// Whether a client announces itself by a subprotocol, for peers that cannot see headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubprotocolAnnouncement {
    /// Not at all.
    #[default]
    Off,
    /// Last, beside at least one subprotocol of the application.
    Beside,
    /// Also where the application offers none.
    Alone,
}

/// What one trace spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TraceScope {
    /// One call; the handshake is a trace or a span of its own that calls link.
    #[default]
    Call,
    /// The whole connection, which gets a span as long as itself.
    Connection,
}

/// What an accepting side does with the context of a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trust {
    /// Continues its trace.
    #[default]
    Continue,
    /// Starts a new trace that links to it.
    Link,
    /// Reads nothing of it.
    Ignore,
}

/// Which peers get the trace context of the handshake, by the host of the URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hosts {
    /// Every host, as the official HTTP instrumentations do.
    #[default]
    All,
    /// Only these. `*.example.com` covers every name below `example.com`.
    Allow(Vec<String>),
    /// All but these.
    Deny(Vec<String>),
}

impl Hosts {
    /// Tells whether a host gets the trace context. Names compare without regard to ASCII case.
    #[must_use]
    pub fn allows(&self, host: &str) -> bool {
        let listed =
            |patterns: &[String]| patterns.iter().any(|pattern| matches_host(pattern, host));
        match self {
            Self::All => true,
            Self::Allow(patterns) => listed(patterns),
            Self::Deny(patterns) => !listed(patterns),
        }
    }
}

fn matches_host(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(domain) => host
            .len()
            .checked_sub(domain.len() + 1)
            .and_then(|dot| host.get(dot..))
            .is_some_and(|tail| tail.starts_with('.') && tail[1..].eq_ignore_ascii_case(domain)),
        None => pattern.eq_ignore_ascii_case(host),
    }
}

/// Which session id a client proposes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Session {
    /// A new one, made of the host's entropy.
    #[default]
    New,
    /// The id of an earlier connection, and the span that stands for it where this side remembers it.
    Resume(Resumption),
}

/// What a later connection needs to continue the session of an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resumption {
    /// The session id.
    pub session_id: String,
    /// The connection or handshake span of the earlier connection, to which the new one links.
    pub span: Option<SpanContext>,
}

/// What a host can choose about a connection. The defaults are those of the specification, chapter "Options".
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Options {
    /// Whether envelopes are sent and read.
    pub mode: Mode,
    /// Whether this side sends a hello on its own account.
    pub hello: Hello,
    /// Whether a client announces itself in the query of the URL.
    pub query: bool,
    /// Whether a client announces itself by a subprotocol.
    pub subprotocol: SubprotocolAnnouncement,
    /// How long a client waits for a hello, in nanoseconds.
    pub hello_wait_ns: u64,
    /// What one trace spans.
    pub trace_scope: TraceScope,
    /// What an accepting side does with the context of a peer.
    pub trust: Trust,
    /// Which session id a client proposes.
    pub session: Session,
    /// Which baggage of a peer is kept.
    pub baggage_in: AllowList,
    /// Which baggage is sent to a peer.
    pub baggage_out: AllowList,
    /// Which hosts get the trace context in the handshake.
    pub hosts: Hosts,
    /// Which names and attributes spans have.
    pub naming: Naming,
    /// Whose messages these are: where they have room for headers.
    pub profile: Profile,
    /// An interval longer than this may be a stall, in nanoseconds.
    pub stall_threshold_ns: u64,
    /// Whether an empty first chunk is left out of the stream metrics.
    pub skip_empty_first: bool,
    /// How long a stream may be silent, in nanoseconds.
    pub idle_timeout_ns: u64,
    /// How long reading may pause for one reader, in nanoseconds.
    pub overflow_wait_ns: u64,
    /// Most handlers that run at once.
    pub max_running: usize,
    /// Most open streams, both sides together.
    pub max_streams: usize,
    /// Most unread chunks of a call.
    pub max_unread: usize,
    /// Most unread bytes of a call.
    pub max_unread_bytes: usize,
    /// Longest head of an envelope, in bytes.
    pub max_header_bytes: usize,
    /// Deepest nesting of a body that is looked at.
    pub max_nesting: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            hello: Hello::default(),
            query: false,
            subprotocol: SubprotocolAnnouncement::default(),
            hello_wait_ns: limits::HELLO_WAIT_NS,
            trace_scope: TraceScope::default(),
            trust: Trust::default(),
            session: Session::default(),
            baggage_in: AllowList::default(),
            baggage_out: AllowList::default(),
            hosts: Hosts::default(),
            naming: Naming::default(),
            profile: Profile::default(),
            stall_threshold_ns: limits::STALL_THRESHOLD_NS,
            skip_empty_first: false,
            idle_timeout_ns: limits::IDLE_TIMEOUT_NS,
            overflow_wait_ns: limits::OVERFLOW_WAIT_NS,
            max_running: limits::MAX_RUNNING,
            max_streams: limits::MAX_STREAMS,
            max_unread: limits::MAX_UNREAD,
            max_unread_bytes: limits::MAX_UNREAD_BYTES,
            max_header_bytes: limits::MAX_HEADER_BYTES,
            max_nesting: limits::MAX_NESTING,
        }
    }
}

/// The options that are time spans, so that a host can take them in the unit of its language.
pub const TIME_SPANS: [&str; 4] = [
    "hello_wait",
    "stall_threshold",
    "idle_timeout",
    "overflow_wait",
];

/// A value for [`Options::set`], in the types that every host language has.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum OptionValue {
    /// A word, a session id, or one name of a list.
    Text(String),
    /// A yes or no.
    Flag(bool),
    /// A count or a number of bytes; for time spans, nanoseconds.
    Number(u64),
    /// A list of names.
    List(Vec<String>),
}

impl Options {
    /// Sets an option by the name it has in the specification, so that every binding has the same words and the same
    /// errors. Time spans are given in nanoseconds.
    ///
    /// # Errors
    ///
    /// [`crate::ErrorKind::InvalidArgument`] names the option and what it can be. The options are then as they were.
    pub fn set(&mut self, name: &str, value: OptionValue) -> Result<(), Error> {
        let mut changed = self.clone();
        changed.apply(name, value)?;
        changed.check()?;
        *self = changed;
        Ok(())
    }

    fn apply(&mut self, name: &str, value: OptionValue) -> Result<(), Error> {
        match name {
            "mode" => {
                self.mode = word(
                    name,
                    &value,
                    &[
                        ("auto", Mode::Auto),
                        ("always", Mode::Always),
                        ("never", Mode::Never),
                    ],
                )?;
            }
            "hello" => {
                self.hello = word(
                    name,
                    &value,
                    &[
                        ("when_asked", Hello::WhenAsked),
                        ("first", Hello::First),
                        ("expect", Hello::Expect),
                    ],
                )?;
            }
            "query" => self.query = flag(name, &value)?,
            "subprotocol" => {
                self.subprotocol = word(
                    name,
                    &value,
                    &[
                        ("off", SubprotocolAnnouncement::Off),
                        ("beside", SubprotocolAnnouncement::Beside),
                        ("alone", SubprotocolAnnouncement::Alone),
                    ],
                )?;
            }
            "hello_wait" => self.hello_wait_ns = number(name, &value)?,
            "trace_scope" => {
                self.trace_scope = word(
                    name,
                    &value,
                    &[
                        ("call", TraceScope::Call),
                        ("connection", TraceScope::Connection),
                    ],
                )?;
            }
            "trust" => {
                self.trust = word(
                    name,
                    &value,
                    &[
                        ("continue", Trust::Continue),
                        ("link", Trust::Link),
                        ("ignore", Trust::Ignore),
                    ],
                )?;
            }
            "session" => {
                self.session = match value {
                    OptionValue::Text(text) if text == "new" => Session::New,
                    OptionValue::Text(session_id) => Session::Resume(Resumption {
                        session_id,
                        span: None,
                    }),
                    _ => return Err(wrong(name, "must be \"new\" or a session id")),
                }
            }
            "baggage_in" => self.baggage_in = allow_list(name, value)?,
            "baggage_out" => self.baggage_out = allow_list(name, value)?,
            "hosts" => self.hosts = hosts(name, value)?,
            "naming" => {
                self.naming = word(
                    name,
                    &value,
                    &[("otel", Naming::Otel), ("loongsuite", Naming::Loongsuite)],
                )?;
            }
            "profile" => self.profile = word(name, &value, &Profile::WORDS)?,
            "stall_threshold" => self.stall_threshold_ns = number(name, &value)?,
            "skip_empty_first" => self.skip_empty_first = flag(name, &value)?,
            "idle_timeout" => self.idle_timeout_ns = number(name, &value)?,
            "overflow_wait" => self.overflow_wait_ns = number(name, &value)?,
            "max_running" => self.max_running = count(name, &value)?,
            "max_streams" => self.max_streams = count(name, &value)?,
            "max_unread" => self.max_unread = count(name, &value)?,
            "max_unread_bytes" => self.max_unread_bytes = count(name, &value)?,
            "max_header_bytes" => self.max_header_bytes = count(name, &value)?,
            "max_nesting" => self.max_nesting = count(name, &value)?,
            _ => return Err(wrong(name, "is no option of a connection")),
        }
        Ok(())
    }

    /// Checks that every option is within its bounds.
    ///
    /// # Errors
    ///
    /// [`crate::ErrorKind::InvalidArgument`] names the option and its bounds.
    pub fn check(&self) -> Result<(), Error> {
        let at_most = |name: &'static str, value: usize, low: usize, high: usize| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(wrong(
                    name,
                    &format!("must be from {low} to {high}, not {value}"),
                ))
            }
        };
        at_most("max_streams", self.max_streams, 1, limits::MAX_STREAMS)?;
        at_most("max_unread", self.max_unread, 1, limits::MAX_UNREAD)?;
        at_most(
            "max_unread_bytes",
            self.max_unread_bytes,
            1,
            limits::MAX_UNREAD_BYTES,
        )?;
        at_most("max_running", self.max_running, 1, limits::MAX_STREAMS)?;
        at_most(
            "max_header_bytes",
            self.max_header_bytes,
            limits::MIN_MAX_HEADER_BYTES,
            limits::MAX_HEADER_BYTES,
        )?;
        at_most("max_nesting", self.max_nesting, 0, limits::MAX_NESTING)?;
        if let Session::Resume(resumption) = &self.session
            && !crate::envelope::is_session_id(&resumption.session_id)
        {
            return Err(wrong(
                "session",
                "must be 1 to 128 characters of A-Z a-z 0-9 . _ ~ -",
            ));
        }
        Ok(())
    }

    pub(crate) fn metrics(&self) -> StreamMetricsOptions {
        StreamMetricsOptions {
            stall_threshold_ns: self.stall_threshold_ns,
            skip_empty_first: self.skip_empty_first,
        }
    }
}

fn wrong(name: &str, message: &str) -> Error {
    Error::invalid_argument(name.to_owned(), message.to_owned())
}

fn word<T: Copy>(name: &str, value: &OptionValue, words: &[(&str, T)]) -> Result<T, Error> {
    if let OptionValue::Text(text) = value
        && let Some((_, meaning)) = words.iter().find(|(word, _)| word == text)
    {
        return Ok(*meaning);
    }
    let list: Vec<String> = words
        .iter()
        .map(|(word, _)| format!("\"{word}\""))
        .collect();
    Err(wrong(name, &format!("must be one of {}", list.join(", "))))
}

fn flag(name: &str, value: &OptionValue) -> Result<bool, Error> {
    match value {
        OptionValue::Flag(flag) => Ok(*flag),
        _ => Err(wrong(name, "must be true or false")),
    }
}

fn number(name: &str, value: &OptionValue) -> Result<u64, Error> {
    match value {
        OptionValue::Number(number) => Ok(*number),
        _ => Err(wrong(name, "must be a number that is not negative")),
    }
}

fn count(name: &str, value: &OptionValue) -> Result<usize, Error> {
    usize::try_from(number(name, value)?).map_err(|_| wrong(name, "is too large"))
}

fn names(name: &str, value: OptionValue) -> Result<Vec<String>, Error> {
    match value {
        OptionValue::List(list) => Ok(list),
        OptionValue::Text(text) => Ok(vec![text]),
        _ => Err(wrong(name, "must be a list of names")),
    }
}

fn allow_list(name: &str, value: OptionValue) -> Result<AllowList, Error> {
    Ok(AllowList::from_names(names(name, value)?))
}

fn hosts(name: &str, value: OptionValue) -> Result<Hosts, Error> {
    let mut patterns = names(name, value)?;
    if patterns == ["all"] {
        return Ok(Hosts::All);
    }
    let denied = patterns
        .iter()
        .filter(|pattern| pattern.starts_with('!'))
        .count();
    if denied == 0 {
        return Ok(Hosts::Allow(patterns));
    }
    if denied < patterns.len() {
        return Err(wrong(
            name,
            "must hold either allowed hosts or denied ones (\"!host\"), not both",
        ));
    }
    for pattern in &mut patterns {
        pattern.remove(0);
    }
    Ok(Hosts::Deny(patterns))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn hosts_match_names_and_domains() {
        let hosts = Hosts::Allow(vec!["api.example.com".into(), "*.internal".into()]);
        assert!(hosts.allows("API.example.com"));
        assert!(hosts.allows("db.internal"));
        assert!(!hosts.allows("internal"));
        assert!(!hosts.allows("evilinternal"));
        assert!(!Hosts::Deny(vec!["x".into()]).allows("x"));
        assert!(Hosts::Deny(vec!["x".into()]).allows("y"));
    }

    #[test]
    fn wrong_options_say_what_they_can_be() {
        let mut options = Options::default();
        let error = options
            .set("mode", OptionValue::Text("sometimes".into()))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert_eq!(
            error.to_string(),
            "invalid_argument: mode: must be one of \"auto\", \"always\", \"never\""
        );
        let error = options.set("modus", OptionValue::Flag(true)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid_argument: modus: is no option of a connection"
        );
        let error = options
            .set("max_header_bytes", OptionValue::Number(100))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid_argument: max_header_bytes: must be from 2048 to 16384, not 100"
        );
        let error = options
            .set("session", OptionValue::Text("a b".into()))
            .unwrap_err();
        assert_eq!(error.field(), Some("session"));
    }

    #[test]
    fn a_list_of_hosts_is_allowed_or_denied() {
        let mut options = Options::default();
        options
            .set("hosts", OptionValue::List(vec!["!a".into(), "!b".into()]))
            .unwrap();
        assert_eq!(options.hosts, Hosts::Deny(vec!["a".into(), "b".into()]));
        let mixed = OptionValue::List(vec!["a".into(), "!b".into()]);
        assert_eq!(
            options.set("hosts", mixed).unwrap_err().field(),
            Some("hosts")
        );
        options
            .set("hosts", OptionValue::Text("all".into()))
            .unwrap();
        assert_eq!(options.hosts, Hosts::All);
    }
}
