//! What a server serves, and a client (PEERS.md, "What a server serves").

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::trace::{FutureExt, TraceContextExt, Tracer};
use opentelemetry::{Context, global};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use wirespan::connection::Options;
use wirespan::otel::Carry;
use wirespan::tokio_tungstenite::{Call, Failure, Handlers, TracedConnection, connect};

use crate::values::Body;

/// What transfers have brought.
pub(crate) type Log = Arc<Mutex<Vec<Value>>>;

/// An item of the queue: the context that it travels in, the call to answer, its chunk, and who waits for the worker.
pub(crate) struct Job {
    carry: Carry,
    call: Arc<Call>,
    body: Body,
    done: oneshot::Sender<()>,
}

/// Starts the worker behind the queue.
pub(crate) fn queue() -> mpsc::Sender<Job> {
    let (queue, mut jobs) = mpsc::channel::<Job>(64);
    tokio::spawn(async move {
        while let Some(job) = jobs.recv().await {
            job.carry.run_async(work(job.call, job.body)).await;
            // Whoever took the call may be gone.
            let _ = job.done.send(());
        }
    });
    queue
}

async fn work(call: Arc<Call>, body: Body) {
    let span = global::tracer("peer").start("work");
    let context = Context::current_with_span(span);
    let sent = call
        .send(body.outgoing())
        .with_context(context.clone())
        .await;
    context.span().end();
    if let Err(error) = sent {
        eprintln!("rust: queue: {error}");
    }
}

pub(crate) fn of_server(log: Log, queue: mpsc::Sender<Job>) -> Handlers {
    Handlers::new()
        .on("echo", echo)
        .on("count", count)
        .on("burst", burst)
        .on("ask", ask)
        .on("relay", relay)
        .on("queue", move |call| through(queue.clone(), call))
        .on("fail", fail)
        .on("slow", slow)
        .on("log", move |call| keep(Arc::clone(&log), call))
        .on_message(|connection, message| async move {
            if let Err(error) = connection.send(Body::of(&message).outgoing()).await {
                eprintln!("rust: a plain message: {error}");
            }
        })
}

/// A client serves `confirm` alone; its plain messages go into a queue.
pub(crate) fn of_client(
    plain: mpsc::UnboundedSender<wirespan::tokio_tungstenite::Message>,
) -> Handlers {
    Handlers::new()
        .on("confirm", |mut call| async move {
            let first = first(&mut call).await?;
            call.send(first.outgoing()).await?;
            Ok(())
        })
        .on_message(move |_, message| {
            // Nobody may be left to read.
            let _ = plain.send(message);
            std::future::ready(())
        })
}

async fn first(call: &mut Call) -> Result<Body, Failure> {
    match call.next().await {
        Some(message) => Ok(Body::of(&message?)),
        None => Err(Failure::new("empty", "the call has no chunk")),
    }
}

async fn echo(mut call: Call) -> Result<(), Failure> {
    while let Some(message) = call.next().await {
        call.send(Body::of(&message?).outgoing()).await?;
    }
    Ok(())
}

async fn count(mut call: Call) -> Result<(), Failure> {
    let mut chunks = 0;
    while let Some(message) = call.next().await {
        message?;
        chunks += 1;
    }
    Ok(call.send(chunks.to_string()).await?)
}

async fn burst(mut call: Call) -> Result<(), Failure> {
    let Body::Text(number) = first(&mut call).await? else {
        return Err(Failure::new("binary", "a number is text"));
    };
    for n in 0..number.parse::<u64>()? {
        call.send(n.to_string()).await?;
    }
    Ok(())
}

async fn ask(mut call: Call) -> Result<(), Failure> {
    let question = first(&mut call).await?;
    let answers = collect(call.connection(), "confirm", &question).await?;
    for answer in answers {
        call.send(answer.outgoing()).await?;
    }
    Ok(())
}

async fn relay(mut call: Call) -> Result<(), Failure> {
    let Body::Text(order) = first(&mut call).await? else {
        return Err(Failure::new("binary", "an order is text"));
    };
    let order: Value = serde_json::from_str(&order)?;
    let text = |name: &str| order[name].as_str().unwrap_or_default().to_owned();
    let onward = connect(text("url"), Options::default()).await?;
    let answers = collect(&onward, "echo", &Body::Text(text("text"))).await?;
    for answer in answers {
        call.send(answer.outgoing()).await?;
    }
    onward.close().await;
    Ok(())
}

/// Makes a call with one message; gives all that was answered.
async fn collect(on: &TracedConnection, method: &str, body: &Body) -> Result<Vec<Body>, Failure> {
    on.call_with(method, async |call: &mut Call| {
        call.send_last(body.outgoing()).await?;
        let mut answers = Vec::new();
        while let Some(answer) = call.next().await {
            answers.push(Body::of(&answer?));
        }
        Ok::<_, Failure>(answers)
    })
    .await
}

async fn through(queue: mpsc::Sender<Job>, mut call: Call) -> Result<(), Failure> {
    let body = first(&mut call).await?;
    let (done, finished) = oneshot::channel();
    let job = Job {
        carry: Carry::capture(),
        call: Arc::new(call),
        body,
        done,
    };
    let gone = |_| Failure::new("queue", "the worker has ended");
    let call = Arc::clone(&job.call);
    queue.send(job).await.map_err(|_| gone(()))?;
    finished.await.map_err(|_| gone(()))?;
    drop(call);
    Ok(())
}

async fn fail(mut call: Call) -> Result<(), Failure> {
    first(&mut call).await?;
    Err(Failure::new("Boom", "as it was told"))
}

async fn slow(mut call: Call) -> Result<(), Failure> {
    let first = first(&mut call).await?;
    call.send(first.outgoing()).await?;
    let connection = call.connection().clone();
    let ended = async {
        while let Some(Ok(_)) = call.next().await {}
        connection.closed().await;
    };
    // Either way the call is over.
    let _ = tokio::time::timeout(Duration::from_secs(10), ended).await;
    Ok(())
}

async fn keep(log: Log, mut call: Call) -> Result<(), Failure> {
    while let Some(message) = call.next().await {
        let shown = Body::of(&message?).show();
        log.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(shown);
    }
    Ok(())
}
