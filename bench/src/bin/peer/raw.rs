//! tokio-tungstenite alone, and with an envelope by hand.

use std::collections::VecDeque;

use futures_util::{SinkExt, StreamExt};
use opentelemetry::trace::{SpanKind, TraceContextExt, Tracer};
use opentelemetry::{Context, global};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, accept_async, connect_async_with_config};

use crate::{Body, Failure, Mode, Run, by_hand};

pub(crate) async fn serve(mode: Mode, listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            if let Err(error) = echo(mode, stream).await {
                eprintln!("rust: {error}");
            }
        });
    }
}

async fn echo(mode: Mode, stream: TcpStream) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    let mut socket = accept_async(stream).await?;
    while let Some(message) = socket.next().await {
        let message = message?;
        let answer = match mode {
            Mode::Untraced => (message.is_text() || message.is_binary()).then_some(message),
            Mode::IdiomCall => by_hand::echo(&message, |parent| start(&parent, SpanKind::Server))?,
            _ => by_hand::echo(&message, |parent| parent)?,
        };
        if let Some(answer) = answer {
            socket.send(answer).await?;
        }
    }
    Ok(())
}

/// A span that ends when its context is dropped.
fn start(parent: &Context, kind: SpanKind) -> Context {
    let tracer = global::tracer("bench");
    let builder = tracer.span_builder("echo").with_kind(kind);
    parent.with_span(tracer.build_with_context(builder, parent))
}

pub(crate) struct Client {
    mode: Mode,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The spans of what is on its way.
    spans: VecDeque<Context>,
}

impl Client {
    pub(crate) async fn connect(mode: Mode, url: &str) -> Result<Self, Failure> {
        let (socket, _) = connect_async_with_config(url, None, true).await?;
        Ok(Self {
            mode,
            socket,
            spans: VecDeque::new(),
        })
    }

    pub(crate) async fn run(&mut self, run: &Run) -> Result<u64, Failure> {
        let (mut round_trips, mut on_way) = (0, 0);
        while on_way < run.window {
            self.send(&run.body).await?;
            on_way += 1;
        }
        while on_way > 0 {
            self.receive().await?;
            round_trips += 1;
            if run.goes_on() {
                self.send(&run.body).await?;
            } else {
                on_way -= 1;
            }
        }
        Ok(round_trips)
    }

    pub(crate) async fn close(&mut self) -> Result<(), Failure> {
        Ok(self.socket.close(None).await?)
    }

    async fn send(&mut self, body: &Body) -> Result<(), Failure> {
        let message = match (self.mode, body) {
            (Mode::Untraced, Body::Json(json)) => Message::text(json.get()),
            (Mode::Untraced, Body::Binary(bytes)) => Message::binary(bytes.clone()),
            (Mode::IdiomCall, body) => {
                let context = start(&Context::current(), SpanKind::Client);
                let message = by_hand::wrap(body, &context)?;
                self.spans.push_back(context);
                message
            }
            (_, body) => by_hand::wrap(body, &Context::current())?,
        };
        Ok(self.socket.send(message).await?)
    }

    async fn receive(&mut self) -> Result<(), Failure> {
        let message = self.socket.next().await.ok_or("the server has gone")??;
        if self.mode != Mode::Untraced {
            std::hint::black_box(by_hand::open(&message)?);
        }
        self.spans.pop_front();
        Ok(())
    }
}
