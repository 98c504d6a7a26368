//! Carry through channels, across tasks and threads.

use std::sync::mpsc as std_mpsc;
use std::time::Duration;

use opentelemetry::trace::{FutureExt, TraceContextExt};
use opentelemetry::{Context, Value};
use tokio::sync::mpsc;
use wirespan::otel::Carry;
use wirespan::trace::AllowList;

use crate::harness::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_behind_a_tokio_channel_works_in_the_senders_trace() {
    let app = root("app");
    let (queue, mut items) = mpsc::channel(1);
    let worker = tokio::spawn(async move {
        let (carry, item): (Carry, u32) = items.recv().await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        carry
            .run_async(async move {
                tokio::task::yield_now().await;
                child("work");
                item + 1
            })
            .await
    });
    async { queue.send((Carry::capture(), 41)).await.unwrap() }
        .with_context(app.clone())
        .await;
    assert_eq!(worker.await.unwrap(), 42);
    app.span().end();
    let spans = of_trace(span_of(&app).trace_id()).await;
    let named = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    assert_child(named("work"), &span_of(&app));
    assert_eq!(spans.len(), 2, "a hop makes no span");
    match attribute(named("app"), "websocket.queue.wait") {
        Some(Value::F64(wait)) => assert!((0.02..5.0).contains(&wait), "{wait}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_behind_a_std_channel_works_in_the_senders_trace() {
    let app = root("app");
    let (queue, items) = std_mpsc::channel::<(Carry, &str)>();
    let worker = std::thread::spawn(move || {
        let (carry, item) = items.recv().unwrap();
        let length = carry.run(|| {
            child("work");
            item.len()
        });
        assert!(
            !Context::current().has_active_span(),
            "nothing stays attached"
        );
        length
    });
    {
        let _current = app.clone().attach();
        queue.send((Carry::capture(), "four")).unwrap();
    }
    assert_eq!(worker.join().unwrap(), 4);
    let spans = of_trace(span_of(&app).trace_id()).await;
    assert_child(&spans[0], &span_of(&app));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_that_was_taken_over_ends_with_the_carry() {
    let run = root("run");
    Carry::take_over(run.clone()).run(|| child("inside"));
    let spans = of_trace(span_of(&run).trace_id()).await;
    assert_eq!(
        spans.iter().map(|span| &*span.name).collect::<Vec<_>>(),
        ["inside", "run"]
    );

    let dropped = root("dropped");
    let (queue, items) = std_mpsc::channel();
    queue.send(Carry::take_over(dropped.clone())).unwrap();
    drop(items);
    drop(queue);
    assert_eq!(
        of_trace(span_of(&dropped).trace_id()).await.len(),
        1,
        "unread, it leaks nothing"
    );

    let panicked = root("panicked");
    let carry = Carry::take_over(panicked.clone());
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        carry.run(|| panic!("on purpose"));
    }));
    assert!(result.is_err());
    assert_eq!(of_trace(span_of(&panicked).trace_id()).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_carry_across_a_broker() {
    let app = root("app");
    let sent = Carry::of(app.clone()).with_session("s-1");
    let headers = sent.to_headers(&AllowList::none());
    let names: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["traceparent", "session", "sent"]);
    tokio::time::sleep(Duration::from_millis(10)).await;
    let fields = headers
        .iter()
        .map(|(name, value)| (*name, value.as_bytes()));
    let mut carry = Carry::from_headers(fields, &AllowList::none());
    assert_eq!(carry.session_id(), Some("s-1"));
    assert_eq!(carry.link().unwrap(), sent.link().unwrap());
    let wait = carry.arrive().unwrap();
    assert!(
        wait >= Duration::from_millis(5) && wait < Duration::from_secs(5),
        "{wait:?}"
    );
    assert_eq!(carry.arrive(), Some(wait), "the wait is measured once");
    carry.run(|| child("process"));
    let spans = of_trace(span_of(&app).trace_id()).await;
    assert_child(&spans[0], &span_of(&app));
    assert!(spans[0].parent_span_is_remote);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_usable_headers_the_current_context_stays() {
    let app = root("app");
    let _current = app.clone().attach();
    let wrong = [("traceparent", &b"00-zz"[..]), ("sent", b"soon")];
    let mut carry = Carry::from_headers(wrong, &AllowList::none());
    assert_eq!(carry.arrive(), None);
    assert_eq!(span_of(carry.context()), span_of(&app));
}
