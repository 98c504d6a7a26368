//! Waking one task, with less work than `tokio::sync::Notify` does for many.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;
use futures_util::{Stream, StreamExt};

/// Something that one task waits for. It stays raised until that task has seen it.
#[derive(Debug, Default)]
pub(super) struct Signal {
    is_raised: AtomicBool,
    task: AtomicWaker,
}

impl Signal {
    /// Wakes the task that waits, or spares it its next wait.
    pub(super) fn raise(&self) {
        self.is_raised.store(true, Ordering::Release);
        self.task.wake();
    }

    /// Waits until it is raised, and lowers it.
    pub(super) async fn raised(&self) {
        poll_fn(|context| self.poll_raised(context)).await;
    }

    fn poll_raised(&self, context: &Context<'_>) -> Poll<()> {
        // Before the look at the flag: who raises it from here on wakes this task.
        self.task.register(context.waker());
        if self.is_raised.swap(false, Ordering::AcqRel) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.raise();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.raise();
    }
}

/// A stream that is looked at only after it has asked for it. The task of a connection wakes for other reasons too, and the
/// WebSocket library clears its read buffer, 128 KiB, each time it looks at the transport.
#[derive(Debug)]
pub(super) struct WhenWoken<S> {
    stream: S,
    signal: Arc<Signal>,
    /// Raises the signal.
    waker: Waker,
}

impl<S> WhenWoken<S> {
    pub(super) fn new(stream: S) -> Self {
        let signal = Arc::new(Signal::default());
        signal.raise();
        let waker = Waker::from(Arc::clone(&signal));
        Self {
            stream,
            signal,
            waker,
        }
    }
}

impl<S: Stream + Unpin> Stream for WhenWoken<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let this = &mut *self;
        if this.signal.poll_raised(context).is_pending() {
            return Poll::Pending;
        }
        let next = this
            .stream
            .poll_next_unpin(&mut Context::from_waker(&this.waker));
        if next.is_ready() {
            // More may be there, of which nobody says anything. Whoever got this looks again, so nobody need be woken.
            this.signal.is_raised.store(true, Ordering::Release);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures_util::{FutureExt, stream};

    use super::*;

    #[test]
    fn a_signal_is_seen_once_whether_it_comes_before_or_during_the_wait() {
        let signal = Signal::default();
        assert_eq!(signal.raised().now_or_never(), None);
        signal.raise();
        signal.raise();
        assert_eq!(signal.raised().now_or_never(), Some(()));
        assert_eq!(signal.raised().now_or_never(), None);
        let waiting = Arc::new(Signal::default());
        let waker = Waker::from(Arc::clone(&waiting));
        assert!(
            signal
                .poll_raised(&Context::from_waker(&waker))
                .is_pending()
        );
        signal.raise();
        assert_eq!(waiting.raised().now_or_never(), Some(()));
    }

    #[test]
    fn a_stream_is_looked_at_only_when_it_has_asked_for_it() {
        let (looks, items) = (AtomicUsize::new(0), AtomicUsize::new(2));
        let mut asked: Option<Waker> = None;
        let mut source = WhenWoken::new(stream::poll_fn(|context| {
            looks.fetch_add(1, Ordering::Relaxed);
            asked = Some(context.waker().clone());
            match items.load(Ordering::Relaxed) {
                0 => Poll::Pending,
                left => {
                    items.store(left - 1, Ordering::Relaxed);
                    Poll::Ready(Some(left))
                }
            }
        }));
        let mut next = || source.next().now_or_never().flatten();
        assert_eq!((next(), next(), next()), (Some(2), Some(1), None));
        assert_eq!(looks.load(Ordering::Relaxed), 3);
        // Woken for another reason.
        assert_eq!((next(), looks.load(Ordering::Relaxed)), (None, 3));
        items.store(1, Ordering::Relaxed);
        assert_eq!((next(), looks.load(Ordering::Relaxed)), (None, 3));
        drop(source);
        drop(asked);
    }
}
