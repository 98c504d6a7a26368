//! The task of a connection: reads, writes, and watches the clock.

use std::sync::Arc;
use std::time::Duration;

use ::tokio_tungstenite::WebSocketStream;
use ::tokio_tungstenite::tungstenite::protocol::CloseFrame;
use ::tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use ::tokio_tungstenite::tungstenite::{Error as WsError, Message as WsMessage, Utf8Bytes};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};

use super::handlers::Runner;
use super::message::Incoming;
use super::shared::{Shared, Write};
use super::signal::WhenWoken;

/// How long a closing handshake may take.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// Runs a connection until it has closed. However this ends, what is open ends too.
pub(super) async fn drive<S>(
    shared: Arc<Shared>,
    stream: WebSocketStream<S>,
    handlers: Option<Runner>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let closes = Closes(shared);
    let shared = &*closes.0;
    let (mut sink, source) = stream.split();
    let mut source = WhenWoken::new(source);
    // Reading and writing never wait for each other, so two peers that both write a lot cannot block each other.
    // What is queued goes out before more is read.
    let broken = tokio::select! {
        biased;
        () = write_then_wait(shared, &mut sink) => None,
        read = read(shared, &mut source, handlers.as_ref()) => read.err(),
    };
    if let Some(code) = broken {
        // The peer is told, if it still listens.
        let frame = CloseFrame {
            code,
            reason: Utf8Bytes::default(),
        };
        let _ = tokio::time::timeout(CLOSE_WAIT, sink.send(WsMessage::Close(Some(frame)))).await;
        shared.close(Some((code.into(), String::new())));
    }
}

/// Closes what is left open when the task ends or is dropped with its runtime.
struct Closes(Arc<Shared>);

impl Drop for Closes {
    fn drop(&mut self) {
        self.0.close(None);
    }
}

/// Takes messages until the transport ends. An error is the close code for a peer that broke the protocol.
async fn read(
    shared: &Shared,
    source: &mut (impl Stream<Item = Result<WsMessage, WsError>> + Unpin),
    handlers: Option<&Runner>,
) -> Result<(), CloseCode> {
    let receive = |message: Incoming| {
        if shared.receive(&message)
            && let Some(handlers) = handlers
        {
            handlers.start_waiting();
        }
    };
    let timer = sleep_until(Instant::now());
    tokio::pin!(timer);
    loop {
        let (may_read, deadline) = shared.reading();
        // Mostly a deadline moves away with each message: a timer that fires early, and is set anew then, is cheaper.
        if let Some(deadline) = deadline.map(Instant::from_std)
            && (deadline < timer.deadline() || timer.is_elapsed())
        {
            timer.as_mut().reset(deadline);
        }
        tokio::select! {
            biased;
            () = shared.to_read.raised() => {}
            () = &mut timer, if deadline.is_some() => {
                shared.finish(|core, now_ns| core.on_time(now_ns));
            }
            message = source.next(), if may_read => match message {
                Some(Ok(WsMessage::Text(text))) => receive(Incoming::Text(text)),
                Some(Ok(WsMessage::Binary(bytes))) => receive(Incoming::Binary(bytes)),
                // The library answers a close frame, and pings, as it is read on.
                Some(Ok(WsMessage::Close(frame))) => shared.peer_closes(match frame {
                    Some(frame) => (frame.code.into(), frame.reason.as_str().to_owned()),
                    // RFC 6455, section 7.1.5: a close frame without a code.
                    None => (1005, String::new()),
                }),
                Some(Ok(WsMessage::Ping(_) | WsMessage::Pong(_) | WsMessage::Frame(_))) => {}
                Some(Err(error)) => return close_code(&error).map_or(Ok(()), Err),
                None => return Ok(()),
            }
        }
        // One read of the transport can bring thousands of messages; writing gets its turn in between.
        tokio::task::coop::consume_budget().await;
    }
}

/// The close code to answer an error of the transport with; none where nobody is there to be answered.
fn close_code(error: &WsError) -> Option<CloseCode> {
    use ::tokio_tungstenite::tungstenite::error::ProtocolError;
    match error {
        // The peer is gone.
        WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        WsError::Protocol(_) | WsError::AttackAttempt => Some(CloseCode::Protocol),
        WsError::Capacity(_) => Some(CloseCode::Size),
        WsError::Utf8(_) => Some(CloseCode::Invalid),
        _ => None,
    }
}

/// Writes what there is to write. When that is over, the reading side gets some time to see the end of the transport.
async fn write_then_wait(
    shared: &Shared,
    sink: &mut (impl Sink<WsMessage, Error = WsError> + Unpin),
) {
    let too_long = async {
        shared.to_close.raised().await;
        tokio::time::sleep(CLOSE_WAIT).await;
    };
    tokio::select! {
        _ = write(shared, sink) => {}
        // Closing was asked for while the transport takes nothing.
        () = too_long => return,
    }
    shared.stop_writing();
    tokio::time::sleep(CLOSE_WAIT).await;
}

async fn write(
    shared: &Shared,
    sink: &mut (impl Sink<WsMessage, Error = WsError> + Unpin),
) -> Result<(), WsError> {
    loop {
        match shared.next_to_write() {
            Write::Message(message) => sink.feed(message).await?,
            Write::Flush => {
                sink.flush().await?;
                shared.to_write.raised().await;
            }
            Write::Close(code, reason) => {
                let frame = CloseFrame {
                    code: code.into(),
                    reason: reason.into(),
                };
                return sink.send(WsMessage::Close(Some(frame))).await;
            }
            // The library's answer to a close frame may still wait to be written.
            Write::Stop => return sink.flush().await,
        }
    }
}
