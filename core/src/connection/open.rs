//! From nothing to an open connection: sessions, handshake spans, announcements and the hello.

use std::borrow::Cow;
use std::sync::Arc;

use crate::counters::Counter;
use crate::envelope::{self, Content, End, Form, Head, HeadFields, Opened, Recognition, Role};
use crate::error::Error;
use crate::names::{attribute, header};
use crate::trace::SpanContext;

use super::handshake::{common_version, header_value, parse_header};
use super::plan::{Attribute, Link, Parent, Plan, SpanEnd, SpanKey, SpanKind};
use super::session::{SessionRegistry, Vouch, session_id_from};
use super::{
    Connection, Event, HandshakeRequest, HandshakeResponse, Hello, Mode, Options, Peer,
    RequestAdditions, ResponseAdditions, SUBPROTOCOL, Session, State, SubprotocolAnnouncement,
    TraceScope, Trust, UrlParts, VERSION,
};

/// Where the server of a connection is; recorded as `server.address` and `server.port`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// Host name or address.
    pub address: Option<Box<str>>,
    /// Port.
    pub port: Option<u16>,
}

impl Endpoint {
    /// An IPv4 address that a socket for both families shows as `::ffff:192.0.2.1` is shown as the address that it is.
    fn shown(mut self) -> Self {
        let mapped = self.address.as_deref().and_then(|address| {
            let address: std::net::Ipv6Addr = address.parse().ok()?;
            address.to_ipv4_mapped()
        });
        if let Some(address) = mapped {
            self.address = Some(address.to_string().into());
        }
        self
    }
}

/// What an accepting side knows beside the request itself.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Accept<'a> {
    /// The sessions of this server; without one, sessions are neither continued nor guarded.
    pub registry: Option<&'a SessionRegistry>,
    /// The address of the peer, which bounds how many sessions it can hold.
    pub remote: Option<&'a str>,
    /// What the host's callback said of the proposed session.
    pub vouch: Vouch,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct RequestTarget<'a> {
    /// The host of the URL.
    pub host: &'a str,
    /// The application offers a subprotocol of its own.
    pub has_subprotocol: bool,
    /// An HTTP instrumentation puts the trace context into the request.
    pub has_trace_context: bool,
}

impl<'a> RequestTarget<'a> {
    /// Makes the target of a request without a subprotocol of the application and without an instrumentation.
    #[must_use]
    pub fn new(host: &'a str) -> Self {
        Self {
            host,
            ..Self::default()
        }
    }
}

impl Connection {
    /// Makes the connecting side. `entropy` is 128 random bits for the session id.
    ///
    /// # Errors
    ///
    /// [`crate::ErrorKind::InvalidArgument`] for options out of their bounds.
    pub fn client(
        options: impl Into<Arc<Options>>,
        endpoint: Endpoint,
        entropy: [u8; 16],
    ) -> Result<Self, Error> {
        let options = options.into();
        let (session, earlier) = match &options.session {
            Session::New => (session_id_from(entropy), None),
            Session::Resume(resumption) => (resumption.session_id.clone(), resumption.span.clone()),
        };
        let mut connection = Self::new(Role::Client, options, session)?;
        connection.endpoint = endpoint.shown();
        connection.spans.earlier = earlier;
        Ok(connection)
    }

    /// Makes the accepting side for a request. `entropy` is 128 random bits for the session id.
    ///
    /// # Errors
    ///
    /// [`crate::ErrorKind::InvalidArgument`] for options out of their bounds. Nothing that the peer sends is an error.
    pub fn server(
        options: impl Into<Arc<Options>>,
        request: &HandshakeRequest,
        accept: Accept<'_>,
        endpoint: Endpoint,
        entropy: [u8; 16],
    ) -> Result<Self, Error> {
        let mut connection = Self::new(Role::Server, options.into(), session_id_from(entropy))?;
        connection.endpoint = endpoint.shown();
        connection.registry = accept
            .registry
            .map(|registry| (registry.clone(), registry.new_connection()));
        connection.remote = accept.remote.map(Into::into);
        connection.asks_for_sessions = accept.vouch != Vouch::NoCallback;
        if connection.options.mode == Mode::Never {
            connection.register(accept.remote);
            return Ok(connection);
        }
        let (context, invalid) = request.context();
        connection.spans.remote = context;
        if let Some(counter) = invalid {
            connection.counters.add(counter, 1);
        }
        let mut proposed = None;
        if let Some((announcement, by_header)) = request.announcement() {
            connection.peer = Peer::Announced {
                version: announcement.version,
            };
            // By a header the answer goes into a header; a client that cannot see headers gets a hello.
            connection.announced = by_header;
            proposed = announcement.session;
        }
        match proposed {
            Some(id) if connection.honour(&id, accept.remote, accept.vouch) => {}
            Some(_) => {
                connection.counters.add(Counter::SessionReplaced, 1);
                connection.register(accept.remote);
            }
            None => connection.register(accept.remote),
        }
        Ok(connection)
    }

    /// Adopts a proposed session id if the rules let it (SPEC, chapter "Sessions").
    fn honour(&mut self, proposed: &str, remote: Option<&str>, vouch: Vouch) -> bool {
        let vouched = match vouch {
            Vouch::Yes => true,
            Vouch::NoCallback => false,
            Vouch::No => return false,
        };
        if !vouched && self.options.trust != Trust::Continue {
            return false;
        }
        if let Some((registry, id)) = &self.registry {
            let own = Some(self.session.as_str());
            let Some(claim) = registry.claim(proposed, *id, remote, vouched, own) else {
                return false;
            };
            if claim.previous.is_some() {
                self.spans.earlier = claim.previous;
            }
            self.superseded = claim.superseded;
        }
        self.session = proposed.to_owned();
        true
    }

    /// Registers the id that this side generated.
    fn register(&mut self, remote: Option<&str>) {
        if let Some((registry, id)) = &self.registry {
            // A full registry is no failure: this session is not guarded and cannot be continued, that is all.
            if registry
                .claim(&self.session, *id, remote, false, None)
                .is_none()
            {
                self.counters.add(Counter::Limit, 1);
            }
        }
    }

    /// Says what else is known of the connection's URL: whether its scheme is `wss`, and its path, without the query. Naming sets
    /// that record it do so from the handshake on.
    pub fn set_url(&mut self, secure: bool, path: &str) {
        self.url = Some(UrlParts {
            secure,
            path: path.into(),
        });
    }

    /// Says which spans to start before the handshake, none to two. `http_span` is the span of an HTTP instrumentation
    /// that is current; `current` says whether any other span is.
    pub fn plan_handshake(&mut self, http_span: Option<&SpanContext>, current: bool) -> Vec<Plan> {
        self.spans.http = http_span.cloned();
        let by_role = match self.role {
            Role::Client => SpanKind::Client,
            Role::Server => SpanKind::Server,
        };
        let (parent, link) = match self.role {
            _ if http_span.is_some() => (Parent::Current, None),
            Role::Client if current => (Parent::Current, None),
            Role::Client => (Parent::Root, None),
            Role::Server => match (self.spans.remote.clone(), self.options.trust) {
                (Some(remote), Trust::Continue) => (Parent::Remote(remote), None),
                (Some(remote), Trust::Link) => (Parent::Root, Some(remote.trace_parent.into())),
                _ => (Parent::Root, None),
            },
        };
        let mut plans = Vec::new();
        let handshake_parent = match self.options.trace_scope {
            TraceScope::Connection => {
                let kind = if http_span.is_some() {
                    SpanKind::Internal
                } else {
                    by_role
                };
                let mut plan =
                    self.connection_plan(SpanKey::CONNECTION, "websocket.connection", kind, parent);
                plan.links.extend(link.map(Link::remote));
                plan.links.extend(self.spans.earlier.take().map(Link::own));
                plans.push(plan);
                self.spans.connection_open = true;
                None
            }
            TraceScope::Call if http_span.is_some() => return plans,
            TraceScope::Call => Some((parent, link)),
        };
        // Beside a connection span, which may end hours later, a short one records the start at once.
        let (kind, parent, link) = match handshake_parent {
            Some((parent, link)) => (by_role, parent, link),
            None => (SpanKind::Internal, Parent::Connection, None),
        };
        let mut plan =
            self.connection_plan(SpanKey::HANDSHAKE, "websocket.handshake", kind, parent);
        plan.links.extend(link.map(Link::remote));
        plan.links.extend(self.spans.earlier.take().map(Link::own));
        plans.push(plan);
        self.spans.handshake_open = true;
        plans
    }

    /// Says that the host has started a span of the connection, so that calls and later connections can link it.
    pub fn span_started(&mut self, span: SpanKey, context: &SpanContext) {
        match span {
            SpanKey::CONNECTION => self.spans.connection = Some(context.clone()),
            SpanKey::HANDSHAKE => self.spans.handshake = Some(context.clone()),
            _ => return,
        }
        self.remember_span();
    }

    fn remember_span(&self) {
        if let Some((registry, id)) = &self.registry
            && let Some(span) = self.own_span()
        {
            registry.remember_span(&self.session, *id, span);
        }
    }

    /// The plan of a span that stands for the connection, with where it leads if the naming set says so.
    fn connection_plan(
        &self,
        span: SpanKey,
        name: &'static str,
        kind: SpanKind,
        parent: Parent,
    ) -> Plan {
        let mut plan = self.plan(span, name, kind, parent);
        if !self.options.naming.has_destination() {
            return plan;
        }
        let attributes = &mut plan.attributes;
        if let Some(url) = &self.url {
            attributes.push(Attribute::str(attribute::ENDPOINT, url.path.to_string()));
        }
        if let (Some(url), Some(address)) = (&self.url, &self.endpoint.address) {
            let scheme = if url.secure { "wss" } else { "ws" };
            // An IPv6 address stands in brackets there (RFC 3986, section 3.2.2).
            let host: Cow<'_, str> = if address.contains(':') {
                format!("[{address}]").into()
            } else {
                address.as_ref().into()
            };
            let destination = match self.endpoint.port {
                Some(port) => format!("{scheme}://{host}:{port}"),
                None => format!("{scheme}://{host}"),
            };
            attributes.push(Attribute::str(attribute::DESTINATION, destination));
        }
        let role = match self.role {
            Role::Client => "client",
            Role::Server => "server",
        };
        attributes.push(Attribute::str(attribute::CONNECTION_TYPE, role));
        plan
    }

    pub(super) fn plan(
        &self,
        span: SpanKey,
        name: impl Into<Cow<'static, str>>,
        kind: SpanKind,
        parent: Parent,
    ) -> Plan {
        let mut attributes = Vec::with_capacity(5);
        attributes.push(Attribute::str(attribute::SESSION_ID, self.session.clone()));
        attributes.push(Attribute::str(
            attribute::NETWORK_PROTOCOL_NAME,
            "websocket",
        ));
        if let Some(address) = &self.endpoint.address {
            attributes.push(Attribute::str(
                attribute::SERVER_ADDRESS,
                address.to_string(),
            ));
        }
        if let Some(port) = self.endpoint.port {
            attributes.push(Attribute::i64(attribute::SERVER_PORT, i64::from(port)));
        }
        if let Some(previous) = &self.previous_session {
            attributes.push(Attribute::str(
                attribute::SESSION_PREVIOUS_ID,
                previous.clone(),
            ));
        }
        Plan {
            span,
            name: name.into(),
            kind,
            parent,
            links: Vec::new(),
            attributes,
        }
    }

    /// What a client adds to its request. The context in it is that of the handshake span, else of the connection span, where the
    /// host has started them ([`Connection::span_started`]); else `current`, the span that is current.
    pub fn request(
        &mut self,
        target: RequestTarget<'_>,
        current: Option<&SpanContext>,
    ) -> RequestAdditions {
        let mut additions = RequestAdditions::default();
        if self.options.mode == Mode::Never {
            return additions;
        }
        self.announced = true;
        additions
            .headers
            .push((header::WIRESPAN, header_value(&self.session)));
        let own = self.spans.handshake.as_ref();
        let own = own.or(self.spans.connection.as_ref());
        if let Some(span) = own.or(current)
            && !target.has_trace_context
            && self.options.hosts.allows(target.host)
        {
            additions
                .headers
                .push((header::TRACEPARENT, span.trace_parent.to_header()));
            if !span.trace_state.is_empty() {
                let value = span
                    .trace_state
                    .truncated(crate::limits::MAX_TRACESTATE_BYTES);
                additions
                    .headers
                    .push((header::TRACESTATE, value.into_owned()));
            }
        }
        let by_subprotocol = match self.options.subprotocol {
            SubprotocolAnnouncement::Off => false,
            SubprotocolAnnouncement::Beside => target.has_subprotocol,
            SubprotocolAnnouncement::Alone => true,
        };
        additions.subprotocol = by_subprotocol.then(|| format!("{SUBPROTOCOL}.{}", self.session));
        additions.query = self
            .options
            .query
            .then(|| format!("wirespan={VERSION}.{}", self.session));
        additions
    }

    /// What a server adds to its response. `selected` is the subprotocol that the application selected.
    pub fn response(
        &mut self,
        request: &HandshakeRequest,
        selected: Option<&str>,
    ) -> ResponseAdditions {
        let mut additions = ResponseAdditions::default();
        if self.options.mode == Mode::Never {
            return additions;
        }
        if self.announced {
            additions
                .headers
                .push((header::WIRESPAN, header_value(&self.session)));
        }
        if selected.is_none() {
            additions.subprotocol = request.ours_alone().map(str::to_owned);
        }
        additions
    }

    /// Opens the connecting side: the upgrade was answered.
    ///
    /// # Errors
    ///
    /// [`crate::ErrorKind::InvalidState`] if it was opened or closed before, or is the accepting side.
    pub fn open_client(&mut self, response: &HandshakeResponse, now_ns: u64) -> Result<(), Error> {
        self.require_handshake(Role::Client)?;
        self.state = State::Open;
        if self.options.mode != Mode::Never {
            if let Some(announcement) = parse_header(&response.announced) {
                self.peer = Peer::Announced {
                    version: announcement.version,
                };
                if let Some(session) = announcement.session {
                    self.replace_session(&session);
                }
            }
            self.greet(now_ns);
        }
        self.end_handshake(None);
        Ok(())
    }

    /// Opens the accepting side: the upgrade was sent.
    ///
    /// # Errors
    ///
    /// [`crate::ErrorKind::InvalidState`] if it was opened or closed before, or is the connecting side.
    pub fn open_server(&mut self, now_ns: u64) -> Result<(), Error> {
        self.require_handshake(Role::Server)?;
        self.state = State::Open;
        self.remember_span();
        if self.options.mode != Mode::Never {
            self.greet(now_ns);
        }
        self.end_handshake(None);
        Ok(())
    }

    /// Says that the handshake failed: its spans end with this error type, and the connection is closed.
    pub fn fail_handshake(&mut self, error_type: &str) {
        if self.state != State::Handshake {
            return;
        }
        self.state = State::Closed;
        self.end_handshake(Some(error_type));
        if std::mem::take(&mut self.spans.connection_open) {
            let end = SpanEnd::new(SpanKey::CONNECTION, Some(error_type.to_owned().into()));
            self.events.push_back(Event::SpanEnd(Box::new(end)));
        }
        if let Some((registry, id)) = &self.registry {
            registry.forget(&self.session, *id);
        }
    }

    fn require_handshake(&self, role: Role) -> Result<(), Error> {
        if self.role != role {
            return Err(Error::invalid_state("the connection has the other role"));
        }
        match self.state {
            State::Handshake => Ok(()),
            State::Open => Err(Error::invalid_state("the connection is open already")),
            State::Closed => self.require_open(),
        }
    }

    pub(super) fn end_handshake(&mut self, error_type: Option<&str>) {
        if std::mem::take(&mut self.spans.handshake_open) {
            let error_type = error_type.map(|name| name.to_owned().into());
            let end = SpanEnd::new(SpanKey::HANDSHAKE, error_type);
            self.events.push_back(Event::SpanEnd(Box::new(end)));
        }
    }

    /// Sends a hello where one is due, and waits for one where one may come.
    fn greet(&mut self, now_ns: u64) {
        if self.options.mode == Mode::Always && self.peer == Peer::Unknown {
            self.peer = Peer::Always;
        }
        // A server answers a client that announced itself without a header, since that client cannot see a header.
        let asked = self.role == Role::Server
            && !self.announced
            && matches!(self.peer, Peer::Announced { .. });
        if asked || self.options.hello == Hello::First {
            self.send_hello();
        }
        let cannot_see_headers =
            self.options.subprotocol != SubprotocolAnnouncement::Off || self.options.query;
        let may_come = cannot_see_headers || self.options.hello == Hello::Expect;
        if self.role == Role::Client && may_come && !matches!(self.peer, Peer::Announced { .. }) {
            let until_ns = now_ns.saturating_add(self.options.hello_wait_ns);
            self.hello.wait_until_ns = Some(until_ns);
        }
    }

    fn send_hello(&mut self) {
        self.announced = true;
        let version = VERSION.to_string();
        let fields = HeadFields {
            hello: Some((&version, self.role)),
            session: Some(&self.session),
            content: Some(Content::None),
            ..HeadFields::default()
        };
        let mut bytes = Vec::new();
        // A hello is far below the smallest limit that can be configured.
        if envelope::write_head(
            &mut bytes,
            Form::Text,
            &fields,
            self.options.max_header_bytes,
        )
        .is_ok()
        {
            bytes.extend_from_slice(b"null}");
            self.events.push_back(Event::Frame {
                form: Form::Text,
                bytes,
            });
        }
    }

    /// Looks whether the first message is a hello that was asked for. Returns true if the message is used up.
    pub(super) fn take_hello(&mut self, message: &[u8], form: Form) -> bool {
        let asked_for = self.announced || self.options.hello == Hello::Expect;
        if form != Form::Text
            || !asked_for
            || self.options.mode == Mode::Never
            || matches!(self.peer, Peer::Announced { .. })
        {
            return false;
        }
        let opened = envelope::open(
            message,
            form,
            Recognition::Canonical,
            self.options.max_header_bytes,
        );
        let Opened::Envelope { head, .. } = opened else {
            return false;
        };
        let Some(role) = head.role else { return false };
        let common = head.versions.as_deref().and_then(common_version);
        let (Some(version), true) = (common, is_hello(&head)) else {
            return false;
        };
        if role == self.role {
            self.counters.add(Counter::Role, 1);
            return true;
        }
        self.peer = Peer::Announced { version };
        if let Some(session) = head.session.as_deref() {
            self.take_session(session);
        }
        if !self.announced {
            self.send_hello();
        }
        true
    }

    /// Takes the session id that a peer names after the handshake: the server's wins, a client's is a proposal. A callback
    /// decided over the request; what comes later it has not vouched for.
    pub(super) fn take_session(&mut self, session: &str) {
        match self.role {
            Role::Client => self.replace_session(session),
            Role::Server if session == self.session => {}
            Role::Server => {
                let generated = self.session.clone();
                let remote = self.remote.clone();
                let vouch = if self.asks_for_sessions {
                    Vouch::No
                } else {
                    Vouch::NoCallback
                };
                if self.honour(session, remote.as_deref(), vouch) {
                    self.remember_span();
                    self.session_changed(generated);
                } else {
                    self.counters.add(Counter::SessionReplaced, 1);
                }
            }
        }
    }

    /// Tells whether the peer can still name a session: with the answer of the handshake, a hello, or, taken to speak version 1,
    /// its first message. A host whose spans cannot have an attribute replaced sets the session id when this is over.
    #[must_use]
    pub fn session_may_change(&self) -> bool {
        match (self.state, self.peer) {
            _ if self.options.mode == Mode::Never => false,
            (State::Closed, _) | (State::Open, Peer::Announced { .. }) => false,
            (State::Handshake, peer) => self.role == Role::Client || peer == Peer::Unknown,
            (State::Open, Peer::Always) => !self.hello.session_named,
            (State::Open, Peer::Unknown) => {
                !self.hello.received_any && (self.announced || self.options.hello == Hello::Expect)
            }
        }
    }

    /// Takes the server's id, keeps the own proposal beside it, and updates the open spans.
    fn replace_session(&mut self, session: &str) {
        if session == self.session || !envelope::is_session_id(session) {
            return;
        }
        let previous = std::mem::replace(&mut self.session, session.to_owned());
        self.previous_session = Some(previous.clone());
        self.session_changed(previous);
    }

    fn session_changed(&mut self, previous: String) {
        let mut attributes = vec![Attribute::str(attribute::SESSION_ID, self.session.clone())];
        if let Some(previous) = &self.previous_session {
            attributes.push(Attribute::str(
                attribute::SESSION_PREVIOUS_ID,
                previous.clone(),
            ));
        }
        let own = [
            (SpanKey::CONNECTION, self.spans.connection_open),
            (SpanKey::HANDSHAKE, self.spans.handshake_open),
        ];
        let own = own
            .into_iter()
            .filter_map(|(span, open)| open.then_some(span));
        let mut open: Vec<SpanKey> = own
            .chain(self.streams.keys().map(|key| SpanKey(*key)))
            .collect();
        open.sort_unstable();
        for span in open {
            self.events.push_back(Event::SpanUpdate {
                span,
                attributes: attributes.clone(),
            });
        }
        self.events.push_back(Event::SessionChanged { previous });
    }

    /// Ends the wait for a hello: the first message or the time came.
    pub(super) fn settle_hello(&mut self) {
        if self.hello.wait_until_ns.take().is_some() {
            self.events.push_back(Event::Ready);
        }
    }
}

fn is_hello(head: &Head<'_>) -> bool {
    head.content == Some(Content::None)
        && !head.drops.header_repeated
        && head.stream.is_none()
        && head.end != Some(End::Error)
}
