//! What the scale benchmark and its test share: two ends of a connection without a network, and steps on them.

use std::sync::Arc;

use wirespan::Error;
use wirespan::connection::{
    Accept, Connection, ContextRef, Endpoint, HandshakeRequest, HandshakeResponse, Message,
    Options, RequestTarget, SessionRegistry, StreamKey,
};
use wirespan::envelope::{Body, Form};
use wirespan::trace::TraceParent;

/// The method that the servers serve.
pub const METHOD: &str = "echo";
/// The parent of every call.
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// What all servers of a process share.
#[derive(Debug)]
pub struct Service {
    options: Arc<Options>,
    methods: Arc<[String]>,
    registry: SessionRegistry,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            options: Arc::default(),
            methods: Arc::from([METHOD.to_owned()]),
            registry: SessionRegistry::default(),
        }
    }
}

/// A client, its request, and the frames that it sends: one client's frames fit every server, since each server counts its
/// own streams.
#[derive(Debug)]
pub struct Client {
    /// The connecting side.
    pub connection: Connection,
    request: HandshakeRequest,
    carried: Option<TraceParent>,
}

impl Client {
    /// Makes a client that knows a server of this service.
    ///
    /// # Errors
    ///
    /// None but for a defect in Wirespan.
    pub fn connect(service: &Service) -> Result<Self, Error> {
        let mut connection =
            Connection::client(Arc::clone(&service.options), Endpoint::default(), [1; 16])?;
        let additions = connection.request(RequestTarget::new("localhost"), None);
        let request = HandshakeRequest::from_headers(pairs(&additions.headers));
        let mut server = service.new_server(&request, [1; 16])?;
        let answer = server.response(&request, None);
        let response = HandshakeResponse::from_headers(pairs(&answer.headers));
        connection.open_client(&response, 0)?;
        Ok(Self {
            connection,
            request,
            carried: TraceParent::parse(PARENT.as_bytes()).ok(),
        })
    }

    /// Opens a call and gives its key and its first frame.
    ///
    /// # Errors
    ///
    /// Those of `plan_call` and `send`.
    pub fn open(&mut self, body: Body<'_>, now_ns: u64) -> Result<(StreamKey, Vec<u8>), Error> {
        let (key, _) = self
            .connection
            .plan_call(Some(METHOD), self.carried, now_ns)?;
        Ok((key, self.send(key, body, now_ns)?))
    }

    /// Makes the next frame of a call.
    ///
    /// # Errors
    ///
    /// Those of `send`.
    pub fn send(&mut self, key: StreamKey, body: Body<'_>, now_ns: u64) -> Result<Vec<u8>, Error> {
        let carried = ContextRef {
            trace_parent: self.carried,
            ..ContextRef::default()
        };
        let message = Message::new(body);
        Ok(self
            .connection
            .send(key, message, &carried, now_ns)?
            .to_vec())
    }
}

impl Service {
    fn new_server(
        &self,
        request: &HandshakeRequest,
        entropy: [u8; 16],
    ) -> Result<Connection, Error> {
        let options = Arc::clone(&self.options);
        let mut accept = Accept::default();
        accept.registry = Some(&self.registry);
        accept.remote = Some("127.0.0.1");
        let endpoint = Endpoint {
            address: Some("127.0.0.1".into()),
            port: Some(8765),
        };
        let mut server = Connection::server(options, request, accept, endpoint, entropy)?;
        server.set_methods(Arc::clone(&self.methods));
        Ok(server)
    }

    /// Makes the server's side of a connection, as a host does: handshake, open, no event left. `number` makes its session id.
    ///
    /// # Errors
    ///
    /// None but for a defect in Wirespan.
    pub fn accept(&self, client: &Client, number: u64) -> Result<Connection, Error> {
        let mut server = self.new_server(&client.request, u128::from(number).to_be_bytes())?;
        drop(server.plan_handshake(None, false));
        drop(server.response(&client.request, None));
        server.open_server(0)?;
        drain(&mut server);
        Ok(server)
    }
}

/// Takes the events of a connection, as a host does after each step.
pub fn drain(connection: &mut Connection) {
    while connection.poll_event().is_some() {}
}

/// Receives a chunk and reads it. The plan of a call that it opens is the host's to act on, and is dropped here.
pub fn receive(
    server: &mut Connection,
    frame: &[u8],
    form: Form,
    now_ns: u64,
) -> (StreamKey, usize) {
    let received = server.receive(frame, form, now_ns);
    let (key, size) = (received.stream, received.payload.len());
    drop(received);
    server.take(key, size, now_ns);
    drain(server);
    (key, size)
}

/// Sends a chunk of an answer and gives its frame, in memory that a transport can own.
///
/// # Errors
///
/// Those of `send`.
pub fn answer(
    server: &mut Connection,
    key: StreamKey,
    body: Body<'_>,
    now_ns: u64,
) -> Result<Vec<u8>, Error> {
    let frame = server
        .send(key, Message::new(body), &ContextRef::default(), now_ns)?
        .to_vec();
    drain(server);
    Ok(frame)
}

fn pairs<'a>(headers: &'a [(&'static str, String)]) -> impl Iterator<Item = (&'a str, &'a [u8])> {
    headers
        .iter()
        .map(|(name, value)| (*name, value.as_bytes()))
}
