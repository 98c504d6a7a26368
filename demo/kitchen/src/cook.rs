//! The cooks behind the queue, and what they answer.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::{FutureExt, Span, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue, global};
use tokio::sync::{Mutex, mpsc};
use wirespan::otel::Carry;

const COOKS: usize = 3;
/// Finds the spans of one connection.
const SESSION_ID: &str = wirespan::names::attribute::SESSION_ID;
/// Orders that wait before `send` waits too.
const QUEUED: usize = 16;
/// Between the words of an answer.
const GAPS_MS: [u64; 5] = [90, 60, 130, 75, 110];
/// Once in an answer the oven door sticks.
const STALL: Duration = Duration::from_millis(1600);

pub(crate) type Queue = mpsc::Sender<Ticket>;

/// An order on its way through the queue, with the context in which it was taken.
#[derive(Debug)]
pub(crate) struct Ticket {
    carry: Carry,
    session_id: String,
    order: String,
    words: mpsc::Sender<String>,
}

impl Ticket {
    pub(crate) fn new(
        carry: Carry,
        session_id: String,
        order: String,
    ) -> (Self, mpsc::Receiver<String>) {
        let (words, answer) = mpsc::channel(1);
        (
            Self {
                carry,
                session_id,
                order,
                words,
            },
            answer,
        )
    }
}

/// Starts the cooks.
pub(crate) fn open() -> Queue {
    let (queue, tickets) = mpsc::channel(QUEUED);
    let tickets = Arc::new(Mutex::new(tickets));
    for _ in 0..COOKS {
        tokio::spawn(work(Arc::clone(&tickets)));
    }
    queue
}

async fn work(tickets: Arc<Mutex<mpsc::Receiver<Ticket>>>) {
    loop {
        let next = tickets.lock().await.recv().await;
        let Some(Ticket {
            carry,
            session_id,
            order,
            words,
        }) = next
        else {
            return;
        };
        carry.run_async(cook(session_id, order, words)).await;
    }
}

/// Runs in the context of the order, however far from the task that took it.
async fn cook(session_id: String, order: String, words: mpsc::Sender<String>) {
    let mut span = global::tracer("kitchen").start("cook");
    span.set_attribute(KeyValue::new(SESSION_ID, session_id));
    let answer = answer(&order);
    span.set_attribute(KeyValue::new("kitchen.words", answer.len() as i64));
    serve(answer, words)
        .with_context(Context::current_with_span(span))
        .await;
}

async fn serve(answer: Vec<String>, words: mpsc::Sender<String>) {
    let stall_before = answer.len() / 2 + 1;
    for (index, word) in answer.into_iter().enumerate() {
        let gap = GAPS_MS
            .get(index % GAPS_MS.len())
            .copied()
            .unwrap_or_default();
        tokio::time::sleep(Duration::from_millis(gap)).await;
        if index == stall_before {
            Context::current()
                .span()
                .add_event("the oven door sticks", Vec::new());
            tokio::time::sleep(STALL).await;
        }
        if words.send(word).await.is_err() {
            // The caller has gone; nobody eats this.
            Context::current()
                .span()
                .set_attribute(KeyValue::new("kitchen.abandoned", true));
            return;
        }
    }
}

/// "i would like two large pizzas please" becomes "Two large pizzas coming right up", word by word.
fn answer(order: &str) -> Vec<String> {
    const POLITE: [&str; 17] = [
        "i", "i'd", "we", "would", "could", "can", "like", "want", "have", "get", "give", "take",
        "me", "us", "to", "please", "order",
    ];
    let words: Vec<&str> = order.split_whitespace().collect();
    let is_polite =
        |word: &&str| POLITE.contains(&word.to_lowercase().trim_matches([',', '.', '!', '?']));
    let from = words
        .iter()
        .position(|word| !is_polite(word))
        .unwrap_or(words.len());
    let to = words
        .iter()
        .rposition(|word| !is_polite(word))
        .map_or(from, |last| last + 1);
    let ordered = words.get(from..to).unwrap_or_default();
    let mut answer: Vec<String> = match ordered.split_first() {
        Some((first, rest)) => std::iter::once(capitalized(first))
            .chain(rest.iter().map(|word| (*word).to_owned()))
            .collect(),
        None => vec!["Nothing".to_owned()],
    };
    answer.extend(["coming", "right", "up"].map(str::to_owned));
    answer
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_repeats_the_order_without_its_politeness() {
        let said = |order: &str| answer(order).join(" ");
        assert_eq!(
            said("i would like two large pizzas with mushrooms please"),
            "Two large pizzas with mushrooms coming right up"
        );
        assert_eq!(said("one salad to go"), "One salad to go coming right up");
        assert_eq!(
            said("  Please, THREE soups.  "),
            "THREE soups. coming right up"
        );
        assert_eq!(said(""), "Nothing coming right up");
        assert_eq!(said("please"), "Nothing coming right up");
    }

    #[test]
    fn the_stall_is_one_by_the_rules_of_stream_metrics() {
        let longest = GAPS_MS.iter().max().copied().unwrap_or_default();
        let stall_ms = STALL.as_millis() as u64;
        assert!(stall_ms > 1000 && stall_ms > 5 * longest);
        // There is always an earlier interval to compare with: the shortest answer has four words.
        assert!(answer("").len() / 2 + 1 >= 2);
    }
}
