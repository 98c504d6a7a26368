//! Wirespan over tokio-tungstenite.

use futures_util::future::try_join_all;
use tokio::net::TcpListener;
use wirespan::connection::Options;
use wirespan::envelope::Form;
use wirespan::tokio_tungstenite::{
    Acceptor, Call, Handlers, Message, Outgoing, Server, TracedConnection, connect,
};

use crate::{Body, Failure, Mode, Run};

pub(crate) fn serve(listener: TcpListener) -> Result<Server, Failure> {
    let handlers = Handlers::new()
        .on("echo", |mut call| async move {
            while let Some(chunk) = call.next().await {
                call.send(outgoing(&chunk?)).await?;
            }
            Ok(())
        })
        .on("answer", |mut call| async move {
            if let Some(asked) = call.next().await {
                call.send_last(outgoing(&asked?)).await?;
            }
            Ok(())
        })
        .on_message(|connection, message| async move {
            // A peer that has gone needs no answer.
            let _ = connection.send(outgoing(&message)).await;
        });
    let acceptor = Acceptor::new(Options::default()).handlers(handlers);
    Ok(acceptor.serve_on(listener)?)
}

/// What was received, to be sent as it came: its text is a JSON document.
fn outgoing(message: &Message) -> Outgoing<'_> {
    match (message.form(), message.text()) {
        (Form::Text, Some(text)) => Outgoing::json_text(text),
        _ => message.bytes().clone().into(),
    }
}

fn outgoing_body(body: &Body) -> Outgoing<'_> {
    match body {
        Body::Json(json) => Outgoing::json_text(json.get()),
        Body::Binary(bytes) => bytes.as_slice().into(),
    }
}

pub(crate) struct Client {
    mode: Mode,
    connection: TracedConnection,
}

impl Client {
    pub(crate) async fn connect(mode: Mode, url: &str) -> Result<Self, Failure> {
        let connection = connect(url, Options::default()).await?;
        Ok(Self { mode, connection })
    }

    pub(crate) async fn run(&self, run: &Run) -> Result<u64, Failure> {
        match self.mode {
            Mode::Stream => {
                let chunks = async |call: &mut Call| self.chunks(call, run).await;
                self.connection.call_with("echo", chunks).await
            }
            Mode::Call => {
                let callers = (0..run.window).map(|_| self.calls(run));
                Ok(try_join_all(callers).await?.iter().sum())
            }
            _ => self.plain(run).await,
        }
    }

    pub(crate) async fn close(&self) {
        self.connection.close().await;
    }

    async fn plain(&self, run: &Run) -> Result<u64, Failure> {
        let (mut round_trips, mut on_way) = (0, 0);
        while on_way < run.window {
            self.connection.send(outgoing_body(&run.body)).await?;
            on_way += 1;
        }
        while on_way > 0 {
            self.connection.recv().await.ok_or("the server has gone")?;
            round_trips += 1;
            if run.goes_on() {
                self.connection.send(outgoing_body(&run.body)).await?;
            } else {
                on_way -= 1;
            }
        }
        Ok(round_trips)
    }

    async fn chunks(&self, call: &mut Call, run: &Run) -> Result<u64, Failure> {
        let (mut round_trips, mut on_way) = (0, 0);
        while on_way < run.window {
            call.send(outgoing_body(&run.body)).await?;
            on_way += 1;
        }
        while on_way > 0 {
            call.next().await.ok_or("the server has gone")??;
            round_trips += 1;
            if run.goes_on() {
                call.send(outgoing_body(&run.body)).await?;
            } else {
                on_way -= 1;
            }
        }
        call.end().await?;
        while let Some(rest) = call.next().await {
            rest?;
        }
        Ok(round_trips)
    }

    /// One call after the other.
    async fn calls(&self, run: &Run) -> Result<u64, Failure> {
        let mut round_trips = 0;
        while run.goes_on() {
            let one = async |call: &mut Call| {
                call.send_last(outgoing_body(&run.body)).await?;
                while let Some(answer) = call.next().await {
                    answer?;
                }
                Ok::<_, Failure>(())
            };
            self.connection.call_with("answer", one).await?;
            round_trips += 1;
        }
        Ok(round_trips)
    }
}
