//! The commands of PEERS.md.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use opentelemetry::Context;
use opentelemetry::trace::FutureExt;
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde_json::{Map, Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex as AsyncMutex, mpsc};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message as Frame, protocol::CloseFrame};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use wirespan::Error;
use wirespan::connection::{Peer as Known, Resumption, Session};
use wirespan::tokio_tungstenite::{
    Acceptor, Call, Connector, Failure, Message, Server, TracedConnection,
};

use crate::serving::{self, Job, Log};
use crate::values::{Body, bodies, options, parent};

type Plain = Arc<AsyncMutex<mpsc::UnboundedReceiver<Message>>>;
type Raw = Arc<AsyncMutex<WebSocketStream<MaybeTlsStream<TcpStream>>>>;
type Answer = Result<Value, String>;

#[derive(Clone)]
enum Client {
    Traced(TracedConnection, Plain),
    Raw(Raw),
}

enum Serving {
    Traced(Server),
    Raw(tokio::task::JoinHandle<()>),
}

/// The peer, with what commands have named.
pub(crate) struct Peer {
    provider: SdkTracerProvider,
    queue: mpsc::Sender<Job>,
    clients: Mutex<HashMap<String, Client>>,
    servers: Mutex<HashMap<String, Serving>>,
    logs: Mutex<HashMap<String, Log>>,
    resumptions: Mutex<HashMap<String, Resumption>>,
}

/// Nothing that the matrix sends is too large.
fn unbounded() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(None)
        .max_frame_size(None)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn text(command: &Value, name: &str) -> String {
    command[name].as_str().unwrap_or_default().to_owned()
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Peer {
    pub(crate) fn new(provider: SdkTracerProvider) -> Self {
        Self {
            provider,
            queue: serving::queue(),
            clients: Mutex::default(),
            servers: Mutex::default(),
            logs: Mutex::default(),
            resumptions: Mutex::default(),
        }
    }

    pub(crate) async fn answer(&self, command: &Value) -> Answer {
        match command["do"].as_str().unwrap_or_default() {
            "hello" => Ok(json!({
                "language": "rust", "library": "tokio-tungstenite 0.30", "deflate": false, "roles": ["client", "server"],
            })),
            "serve" => self.serve(command).await,
            "connect" => self.connect(command).await,
            "call" => self.call(command).await,
            "calls" => self.calls(command).await,
            "transfer" => self.transfer(command).await,
            "send" => self.send(command).await,
            "recv" => self.recv(command).await,
            "logged" => self.logged(command).await,
            "state" => self.state(command),
            "close" => self.close(command).await,
            "stop_serving" => self.stop_serving(command).await,
            "flush" => {
                let provider = self.provider.clone();
                let flushed = tokio::task::spawn_blocking(move || provider.force_flush());
                flushed.await.map_err(said)?.map_err(said)?;
                Ok(json!({}))
            }
            other => Err(format!("there is no command {other:?}")),
        }
    }

    async fn serve(&self, command: &Value) -> Answer {
        let name = text(command, "as");
        if command["raw"] == true {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(said)?;
            let port = listener.local_addr().map_err(said)?.port();
            let task = tokio::spawn(serve_raw(listener));
            lock(&self.servers).insert(name, Serving::Raw(task));
            return Ok(json!({"port": port}));
        }
        let log = Log::default();
        let handlers = serving::of_server(Arc::clone(&log), self.queue.clone());
        let acceptor = Acceptor::new(options(command)?)
            .config(unbounded())
            .handlers(handlers);
        let server = acceptor.serve(("127.0.0.1", 0)).await.map_err(said)?;
        let port = server.local_addr().port();
        lock(&self.logs).insert(name.clone(), log);
        lock(&self.servers).insert(name, Serving::Traced(server));
        Ok(json!({"port": port}))
    }

    async fn connect(&self, command: &Value) -> Answer {
        let (name, url) = (text(command, "as"), text(command, "url"));
        if command["raw"] == true {
            let socket = connect_raw(&url, &command["headers"]).await?;
            let socket = Client::Raw(Arc::new(AsyncMutex::new(socket)));
            lock(&self.clients).insert(name, socket);
            return Ok(json!({"session": "", "peer": "unknown"}));
        }
        let mut options = options(command)?;
        if let Some(earlier) = command["resume"].as_str() {
            let resumption = lock(&self.resumptions).get(earlier).cloned();
            let resumption =
                resumption.ok_or_else(|| format!("no connection was named {earlier}"))?;
            options.session = Session::Resume(resumption);
        }
        let (plain, received) = mpsc::unbounded_channel();
        let connector = Connector::new(options)
            .config(unbounded())
            .handlers(serving::of_client(plain));
        let connecting = connector.connect(url).with_context(parent(command));
        let connection = connecting.await.map_err(said)?;
        let answer = json!({"session": connection.session_id(), "peer": known(connection.peer())});
        lock(&self.resumptions).insert(name.clone(), connection.resumption());
        let client = Client::Traced(connection, Arc::new(AsyncMutex::new(received)));
        lock(&self.clients).insert(name, client);
        Ok(answer)
    }

    fn client(&self, command: &Value) -> Result<Client, String> {
        let name = text(command, "on");
        let client = lock(&self.clients).get(&name).cloned();
        client.ok_or_else(|| format!("there is no connection {name}"))
    }

    fn traced(&self, command: &Value) -> Result<TracedConnection, String> {
        match self.client(command)? {
            Client::Traced(connection, _) => Ok(connection),
            Client::Raw(_) => Err("the connection knows nothing of Wirespan".to_owned()),
        }
    }

    async fn call(&self, command: &Value) -> Answer {
        let connection = self.traced(command)?;
        let (replies, error) = call(&connection, command, &bodies(command)?).await;
        let mut answer = Map::new();
        answer.insert("replies".to_owned(), replies);
        if let Some(error) = error {
            answer.insert("error".to_owned(), error.into());
        }
        Ok(answer.into())
    }

    async fn calls(&self, command: &Value) -> Answer {
        let connection = self.traced(command)?;
        let mut command = command.clone();
        command["interleave"] = true.into();
        let mut running = Vec::new();
        for number in 0..command["count"].as_u64().unwrap_or_default() {
            let mut numbered = Vec::new();
            for body in bodies(&command)? {
                let Body::Text(json) = body else {
                    return Err("calls send texts".to_owned());
                };
                let inner: String = serde_json::from_str(&json).map_err(said)?;
                numbered.push(Body::Text(
                    Value::from(format!("{number}:{inner}")).to_string(),
                ));
            }
            let (connection, command) = (connection.clone(), command.clone());
            running.push(tokio::spawn(async move {
                call(&connection, &command, &numbered).await
            }));
        }
        let mut replies = Vec::new();
        for one in running {
            replies.push(one.await.map_err(said)?.0);
        }
        Ok(json!({"replies": replies}))
    }

    async fn transfer(&self, command: &Value) -> Answer {
        let connection = self.traced(command)?;
        let bodies = bodies(command)?;
        let transfer = async {
            let transfer = connection.transfer(command["method"].as_str())?;
            for body in &bodies {
                transfer.send(body.outgoing()).await?;
            }
            transfer.end().await
        };
        transfer.with_context(parent(command)).await.map_err(said)?;
        Ok(json!({}))
    }

    async fn send(&self, command: &Value) -> Answer {
        let body = Body::read(&command["message"])?;
        match self.client(command)? {
            Client::Traced(connection, _) => {
                let sending = connection
                    .send(body.outgoing())
                    .with_context(parent(command));
                sending.await.map_err(said)?;
            }
            Client::Raw(socket) => {
                let frame = match body {
                    Body::Text(text) => Frame::text(text),
                    Body::Binary(bytes) => Frame::binary(bytes),
                };
                socket.lock().await.send(frame).await.map_err(said)?;
            }
        }
        Ok(json!({}))
    }

    async fn recv(&self, command: &Value) -> Answer {
        match self.client(command)? {
            Client::Traced(_, plain) => {
                let message = plain.lock().await.recv().await;
                let message = message.ok_or("the connection is closed")?;
                let mut answer = json!({"message": Body::of(&message).show()});
                if let Some(span) = message.context().and_then(wirespan::otel::span_context) {
                    answer["context"] = span.trace_parent.to_header().into();
                }
                Ok(answer)
            }
            Client::Raw(socket) => loop {
                let frame = socket
                    .lock()
                    .await
                    .next()
                    .await
                    .ok_or("the connection is closed")?;
                match frame.map_err(said)? {
                    Frame::Text(text) => {
                        return Ok(json!({"message": Body::Text(text.to_string()).show()}));
                    }
                    Frame::Binary(bytes) => {
                        return Ok(json!({"message": Body::Binary(bytes.to_vec()).show()}));
                    }
                    Frame::Close(_) => return Err("the connection is closed".to_owned()),
                    _ => {}
                }
            },
        }
    }

    async fn logged(&self, command: &Value) -> Answer {
        let log = lock(&self.logs).get(&text(command, "on")).cloned();
        let log = log.ok_or("there is no such server")?;
        let count = command["count"].as_u64().unwrap_or_default();
        loop {
            let messages = lock(&log).clone();
            if messages.len() as u64 >= count {
                return Ok(json!({"messages": messages}));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn state(&self, command: &Value) -> Answer {
        let connection = self.traced(command)?;
        let counters = connection.counters();
        let counted = counters.iter().filter(|(_, count)| *count > 0);
        let counters: Map<String, Value> = counted
            .map(|(counter, count)| (counter.name().to_owned(), count.into()))
            .collect();
        Ok(
            json!({"session": connection.session_id(), "peer": known(connection.peer()), "counters": counters}),
        )
    }

    async fn close(&self, command: &Value) -> Answer {
        let code = command["code"]
            .as_u64()
            .and_then(|code| u16::try_from(code).ok());
        let code = code.unwrap_or(1000);
        match self.client(command)? {
            Client::Traced(connection, _) => connection.close_with(code, "").await.map_err(said)?,
            Client::Raw(socket) => {
                let frame = CloseFrame {
                    code: code.into(),
                    reason: "".into(),
                };
                let mut socket = socket.lock().await;
                socket.close(Some(frame)).await.map_err(said)?;
                // The answer of the peer ends the connection.
                while let Some(Ok(_)) = socket.next().await {}
            }
        }
        Ok(json!({}))
    }

    async fn stop_serving(&self, command: &Value) -> Answer {
        let server = lock(&self.servers).remove(&text(command, "on"));
        match server.ok_or("there is no such server")? {
            Serving::Traced(server) => server.shutdown(Duration::from_secs(1)).await,
            Serving::Raw(task) => task.abort(),
        }
        Ok(json!({}))
    }
}

fn known(peer: Known) -> &'static str {
    match peer {
        Known::Announced { .. } => "announced",
        Known::Always => "always",
        _ => "unknown",
    }
}

/// Makes a call as a command says; gives the replies, and the kind of the error that ended it.
async fn call(
    connection: &TracedConnection,
    command: &Value,
    bodies: &[Body],
) -> (Value, Option<String>) {
    let replies = Mutex::new(Vec::new());
    let calling = connection.call_with(command["method"].as_str(), async |call: &mut Call| {
        exchange(call, command, bodies, &replies).await
    });
    let ended = calling.with_context(parent(command)).await;
    let own = ended.err().and_then(|failure| {
        let error = failure.error().downcast_ref::<Error>()?;
        Some(error.kind().name().to_owned())
    });
    (lock(&replies).clone().into(), own)
}

async fn exchange(
    call: &mut Call,
    command: &Value,
    bodies: &[Body],
    replies: &Mutex<Vec<Value>>,
) -> Result<(), Failure> {
    let end = command["end"].as_str().unwrap_or("normal");
    for body in bodies {
        call.send(body.outgoing()).await?;
        if command["interleave"] == true
            && let Some(reply) = call.next().await
        {
            lock(replies).push(Body::of(&reply?).show());
        }
    }
    if end == "normal" {
        call.end().await?;
    }
    while let Some(reply) = call.next().await {
        lock(replies).push(Body::of(&reply?).show());
        if end != "normal" {
            break;
        }
    }
    match end {
        "cancel" => call.cancel(),
        "raise" => return Err(Failure::new("Boom", "as it was told")),
        _ => {}
    }
    Ok(())
}

/// A server that knows nothing of Wirespan: every message goes back as it came.
async fn serve_raw(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let accepted =
                tokio_tungstenite::accept_async_with_config(stream, Some(unbounded())).await;
            let Ok(mut socket) = accepted else { return };
            while let Some(Ok(frame)) = socket.next().await {
                let is_message = frame.is_text() || frame.is_binary();
                if is_message && socket.send(frame).await.is_err() {
                    return;
                }
            }
        });
    }
}

async fn connect_raw(
    url: &str,
    headers: &Value,
) -> Result<WebSocketStream<MaybeTlsStream<TcpStream>>, String> {
    let mut request = url.into_client_request().map_err(said)?;
    for header in headers.as_array().into_iter().flatten() {
        let part = |at: usize| header[at].as_str().unwrap_or_default();
        let name: HeaderName = part(0).parse().map_err(said)?;
        let value: HeaderValue = part(1).parse().map_err(said)?;
        request.headers_mut().append(name, value);
    }
    let connecting = tokio_tungstenite::connect_async_with_config(request, Some(unbounded()), true);
    // Nothing is current here: the library is used as it is.
    Ok(connecting
        .with_context(Context::new())
        .await
        .map_err(said)?
        .0)
}
