//! The handshake: who announces what, in headers, subprotocols and the query of the URL.

use crate::counters::Counter;
use crate::envelope::is_session_id;
use crate::limits;
use crate::names::header;
use crate::trace::{SpanContext, TraceParent, TraceState};

/// The version of the wire format that this library speaks.
pub const VERSION: u32 = 1;

/// Subprotocol, and start of the subprotocol, by which a client announces itself.
pub const SUBPROTOCOL: &str = "wirespan.v1";

/// What a peer said of itself: `wirespan: 1;session=ID`, or the same by subprotocol, query or hello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Announcement {
    /// The highest version that both sides speak.
    pub(crate) version: u32,
    /// The session id that it named.
    pub(crate) session: Option<String>,
}

/// Reads `1*DIGIT *("," 1*DIGIT)` and picks the highest version that this library speaks.
pub(crate) fn common_version(list: &str) -> Option<u32> {
    let mut common = None;
    for item in list.split(',') {
        let digits = trim(item);
        let well_formed = !digits.is_empty()
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && (digits.len() == 1 || !digits.starts_with('0'));
        if !well_formed {
            return None;
        }
        if digits.parse() == Ok(VERSION) {
            common = Some(VERSION);
        }
    }
    common
}

/// Reads the values of the handshake header `wirespan`. None, several or an unparsable one mean an unknown peer.
pub(crate) fn parse_header(values: &[String]) -> Option<Announcement> {
    let [value] = values else { return None };
    let mut parts = value.split(';');
    let version = common_version(parts.next()?)?;
    let mut session = None;
    for parameter in parts {
        if let Some((name, id)) = parameter.split_once('=')
            && trim(name).eq_ignore_ascii_case("session")
            && session.is_none()
            && is_session_id(trim(id))
        {
            session = Some(trim(id).to_owned());
        }
    }
    Some(Announcement { version, session })
}

/// Reads one subprotocol name.
fn parse_subprotocol(name: &str) -> Option<Announcement> {
    match name.strip_prefix(SUBPROTOCOL)? {
        "" => Some(Announcement {
            version: VERSION,
            session: None,
        }),
        rest => {
            let session = rest.strip_prefix('.').filter(|id| is_session_id(id))?;
            Some(Announcement {
                version: VERSION,
                session: Some(session.to_owned()),
            })
        }
    }
}

/// Reads the parameter `wirespan=1` or `wirespan=1.ID` of a URL's query. Repeated means unknown.
fn parse_query(query: &str) -> Option<Announcement> {
    let mut found = query
        .split('&')
        .filter_map(|part| part.strip_prefix("wirespan="));
    let value = found.next()?;
    if found.next().is_some() {
        return None;
    }
    let (version, session) = match value.split_once('.') {
        Some((version, session)) => (version, Some(session)),
        None => (value, None),
    };
    let session = session.filter(|id| is_session_id(id)).map(str::to_owned);
    common_version(version).map(|version| Announcement { version, session })
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

pub(crate) fn header_value(session: &str) -> String {
    format!("{VERSION};session={session}")
}

/// The part of an opening handshake request that concerns Wirespan, as an accepting side sees it.
///
/// Every header of the request can be passed in; only what is needed is kept, within bounds.
#[derive(Clone, Debug, Default)]
pub struct HandshakeRequest {
    announced: Vec<String>,
    traceparent: Vec<String>,
    tracestate: Vec<String>,
    subprotocols: Vec<String>,
    query: Option<Announcement>,
}

impl HandshakeRequest {
    /// Reads the headers of a request, in the order in which they came. Names compare without regard to ASCII case.
    pub fn from_headers<'a>(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut request = Self::default();
        for (name, value) in headers {
            let values = if name.eq_ignore_ascii_case(header::WIRESPAN) {
                &mut request.announced
            } else if name.eq_ignore_ascii_case(header::TRACEPARENT) {
                &mut request.traceparent
            } else if name.eq_ignore_ascii_case(header::TRACESTATE) {
                &mut request.tracestate
            } else if name.eq_ignore_ascii_case("sec-websocket-protocol") {
                &mut request.subprotocols
            } else {
                continue;
            };
            push_bounded(values, value);
        }
        request
    }

    /// Reads the query of the request's URL, without the question mark.
    #[must_use]
    pub fn with_query(mut self, query: &str) -> Self {
        if query.len() <= limits::MAX_HANDSHAKE_VALUE_BYTES {
            self.query = parse_query(query);
        }
        self
    }

    /// The session id that the client proposes, for the host's decision whether it vouches for it.
    #[must_use]
    pub fn proposed_session(&self) -> Option<String> {
        self.announcement()
            .and_then(|(announcement, _)| announcement.session)
    }

    /// The subprotocols that the client offers for the application, in its order, without ours.
    #[must_use]
    pub fn application_subprotocols(&self) -> Vec<&str> {
        self.offered()
            .filter(|name| parse_subprotocol(name).is_none())
            .collect()
    }

    /// The announcement, and whether it came by the header. The header counts before the other ways.
    pub(crate) fn announcement(&self) -> Option<(Announcement, bool)> {
        if !self.announced.is_empty() {
            return parse_header(&self.announced).map(|announcement| (announcement, true));
        }
        let mut by_subprotocol = self.offered().filter_map(parse_subprotocol);
        by_subprotocol
            .next()
            .or_else(|| self.query.clone())
            .map(|announcement| (announcement, false))
    }

    /// Our own subprotocol, if it is the only one that the client offers.
    pub(crate) fn ours_alone(&self) -> Option<&str> {
        let mut offered = self.offered();
        let only = offered
            .next()
            .filter(|name| parse_subprotocol(name).is_some())?;
        offered.next().is_none().then_some(only)
    }

    /// The trace context, and what to count if one was sent that is invalid, wholly or in its `tracestate`.
    pub(crate) fn context(&self) -> (Option<SpanContext>, Option<Counter>) {
        match TraceParent::from_values(self.traceparent.iter().map(String::as_bytes)) {
            Ok(Some(trace_parent)) => {
                let parsed = TraceState::from_values(self.tracestate.iter().map(String::as_bytes));
                let invalid = parsed.is_err().then_some(Counter::DroppedTracestate);
                let trace_state = parsed.unwrap_or_default();
                (
                    Some(SpanContext {
                        trace_parent,
                        trace_state,
                    }),
                    invalid,
                )
            }
            Ok(None) => (None, None),
            Err(_) => (None, Some(Counter::ContextInvalid)),
        }
    }

    fn offered(&self) -> impl Iterator<Item = &str> {
        self.subprotocols
            .iter()
            .flat_map(|value| value.split(','))
            .map(trim)
            .filter(|name| !name.is_empty())
    }
}

/// Keeps a value within bounds. One that is too long, not text, or one of too many leaves a mark that no grammar accepts,
/// so that the header is refused instead of being read in part.
fn push_bounded(values: &mut Vec<String>, value: &[u8]) {
    const REFUSED: &str = "\0";
    if values.len() > limits::MAX_HANDSHAKE_VALUES {
        return;
    }
    let readable = values.len() < limits::MAX_HANDSHAKE_VALUES
        && value.len() <= limits::MAX_HANDSHAKE_VALUE_BYTES;
    let text = std::str::from_utf8(value)
        .ok()
        .filter(|_| readable)
        .unwrap_or(REFUSED);
    values.push(text.to_owned());
}

/// The part of a handshake response that concerns Wirespan, as a connecting side sees it.
#[derive(Clone, Debug, Default)]
pub struct HandshakeResponse {
    pub(crate) announced: Vec<String>,
}

impl HandshakeResponse {
    /// Reads the headers of a response, in the order in which they came. Names compare without regard to ASCII case.
    pub fn from_headers<'a>(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut response = Self::default();
        for (name, value) in headers {
            if name.eq_ignore_ascii_case(header::WIRESPAN) {
                push_bounded(&mut response.announced, value);
            }
        }
        response
    }
}

/// What a connecting side adds to its request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestAdditions {
    /// Headers to add.
    pub headers: Vec<(&'static str, String)>,
    /// Subprotocol to offer behind those of the application.
    pub subprotocol: Option<String>,
    /// Parameter to add to the URL's query.
    pub query: Option<String>,
}

/// What an accepting side adds to its response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResponseAdditions {
    /// Headers to add.
    pub headers: Vec<(&'static str, String)>,
    /// Subprotocol to select where the application selected none.
    pub subprotocol: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(value: &str) -> Option<Announcement> {
        parse_header(&[value.to_owned()])
    }

    #[test]
    fn the_header_names_versions_and_a_session() {
        let plain = Announcement {
            version: 1,
            session: None,
        };
        assert_eq!(header("1"), Some(plain.clone()));
        assert_eq!(header(" 2 , 1 ; x=y"), Some(plain.clone()));
        let with_session = Announcement {
            version: 1,
            session: Some("abc".into()),
        };
        assert_eq!(header("1;session=abc"), Some(with_session.clone()));
        assert_eq!(
            header("1 ; Session = abc ; session=def"),
            Some(with_session)
        );
        assert_eq!(header("1;session=a b"), Some(plain));
        for refused in ["", "01", "2", "one", "1,", ",1", "+1", "1 1", "-1"] {
            assert_eq!(header(refused), None, "{refused:?}");
        }
        assert_eq!(parse_header(&["1".into(), "1".into()]), None);
    }

    #[test]
    fn the_subprotocol_announces_and_is_told_from_the_applications() {
        let offer = b"chat, wirespan.v1.s-1".as_slice();
        let request = HandshakeRequest::from_headers([("Sec-WebSocket-Protocol", offer)]);
        assert_eq!(request.proposed_session().as_deref(), Some("s-1"));
        assert_eq!(request.application_subprotocols(), ["chat"]);
        assert_eq!(request.ours_alone(), None);
        let alone =
            HandshakeRequest::from_headers([("sec-websocket-protocol", &b"wirespan.v1"[..])]);
        assert_eq!(alone.ours_alone(), Some("wirespan.v1"));
        let other =
            HandshakeRequest::from_headers([("sec-websocket-protocol", &b"wirespan.v10"[..])]);
        assert!(other.announcement().is_none());
        assert_eq!(other.application_subprotocols(), ["wirespan.v10"]);
    }

    #[test]
    fn the_query_announces() {
        let request = HandshakeRequest::default().with_query("a=b&wirespan=1.s");
        assert_eq!(request.proposed_session().as_deref(), Some("s"));
        assert!(
            HandshakeRequest::default()
                .with_query("wirespan=1&wirespan=1")
                .announcement()
                .is_none()
        );
        assert!(
            HandshakeRequest::default()
                .with_query("wirespan=2")
                .announcement()
                .is_none()
        );
    }

    #[test]
    fn values_are_bounded_before_they_are_read() {
        let long = vec![b'1'; limits::MAX_HANDSHAKE_VALUE_BYTES + 1];
        let request = HandshakeRequest::from_headers([("wirespan", long.as_slice())]);
        assert!(request.announcement().is_none());
        let many = (0..10_000).map(|_| ("tracestate", &b"a=b"[..]));
        assert_eq!(
            HandshakeRequest::from_headers(many).tracestate.len(),
            limits::MAX_HANDSHAKE_VALUES + 1
        );
    }
}
