//! Says on standard error how far a run is.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A line that is written over on a terminal, and now and then a line elsewhere.
#[derive(Debug)]
pub struct Progress {
    what: &'static str,
    total: usize,
    done: AtomicUsize,
    failed: AtomicUsize,
    terminal: bool,
    quiet: bool,
}

/// Elsewhere than on a terminal a line is written for so many cases.
const PLAIN_EVERY: usize = 1000;
/// On a terminal the line is written again for so many.
const TERMINAL_EVERY: usize = 20;

impl Progress {
    /// For `total` things called `what`.
    #[must_use]
    pub fn new(what: &'static str, total: usize, quiet: bool) -> Self {
        Self {
            what,
            total,
            done: AtomicUsize::new(0),
            failed: AtomicUsize::new(0),
            terminal: std::io::stderr().is_terminal(),
            quiet,
        }
    }

    /// One more is done.
    pub fn step(&self, failed: bool) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let failed = self
            .failed
            .fetch_add(usize::from(failed), Ordering::Relaxed)
            + usize::from(failed);
        let every = if self.terminal {
            TERMINAL_EVERY
        } else {
            PLAIN_EVERY
        };
        if self.quiet || !done.is_multiple_of(every) {
            return;
        }
        let (what, total) = (self.what, self.total);
        let mut out = std::io::stderr().lock();
        // Nobody misses a progress line that cannot be written.
        let _ = if self.terminal {
            write!(out, "\r\x1b[K{done}/{total} {what}, {failed} failed")
        } else {
            writeln!(out, "{done}/{total} {what}, {failed} failed")
        };
        let _ = out.flush();
    }

    /// All is done: the line goes away.
    pub fn finish(&self) {
        if self.terminal && !self.quiet {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}
