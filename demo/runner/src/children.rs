//! The services as child processes: their output, their end, and that none of them outlives the runner.
//!
//! Each child leads a process group of its own, so that whatever it starts ends with it; the kernel kills it when the runner
//! dies; and whatever is left is killed when [`Children`] is dropped.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;
use wirespan_conformance::trace::text::clean;

use crate::failure::Failure;

/// Longest line that is taken from a child; a longer one comes in parts.
const MAX_LINE_BYTES: u64 = 64 << 10;
/// How much of the end of a log is shown.
const TAIL_LINES: usize = 15;
const TAIL_BYTES: u64 = 8 << 10;
/// How long output may still come after a child has ended.
const OUTPUT_GRACE: Duration = Duration::from_secs(2);

/// Something that happened to a child.
#[derive(Debug)]
pub(crate) enum Event {
    /// It printed a line, at that time in Unix nanoseconds.
    Line {
        name: String,
        at_ns: u64,
        text: String,
    },
    /// It ended.
    Exit { name: String, status: ExitStatus },
}

/// The running services.
pub(crate) struct Children {
    logs: PathBuf,
    running: HashMap<String, Pid>,
    events: mpsc::UnboundedReceiver<Event>,
    sender: mpsc::UnboundedSender<Event>,
    signals: mpsc::UnboundedReceiver<i32>,
}

impl Children {
    /// None yet; from now on signals that end the runner are taken as [`Failure::Interrupted`].
    pub(crate) fn new(logs: &Path) -> Result<Self, Failure> {
        let (sender, events) = mpsc::unbounded_channel();
        let (interrupted, signals) = mpsc::unbounded_channel();
        for kind in [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ] {
            let mut stream = signal(kind)
                .map_err(|error| Failure::Other(format!("signals cannot be received: {error}")))?;
            let interrupted = interrupted.clone();
            tokio::spawn(async move {
                while stream.recv().await.is_some() {
                    let _ = interrupted.send(kind.as_raw_value());
                }
            });
        }
        Ok(Self {
            logs: logs.to_owned(),
            running: HashMap::new(),
            events,
            sender,
            signals,
        })
    }

    /// The log of a child.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    /// Starts a child; what it prints goes to its log and comes out as events.
    pub(crate) fn start(&mut self, name: &str, mut command: Command) -> Result<Pid, Failure> {
        let failed = |what: String| Failure::Service {
            name: name.to_owned(),
            what,
            tail: String::new(),
        };
        let path = self.log(name);
        // Emptied, then appended to by two writers: the child's standard error, and the runner with its standard output.
        let log = File::create(&path)
            .and_then(|_| OpenOptions::new().append(true).open(&path))
            .map_err(|error| failed(format!("has no log, {}: {error}", path.display())))?;
        let stderr = log
            .try_clone()
            .map_err(|error| failed(format!("has no log, {}: {error}", path.display())))?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .process_group(0);
        die_with_the_runner(&mut command);
        let mut child = command.spawn().map_err(|error| {
            let program = command.as_std().get_program().display().to_string();
            failed(format!(
                "cannot be started: {program}: {error} (was it built? make build)"
            ))
        })?;
        let pid = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .map(Pid::from_raw);
        let pid = pid.ok_or_else(|| failed("has no process id".to_owned()))?;
        self.running.insert(name.to_owned(), pid);
        let stdout = child.stdout.take();
        let (name, sender) = (name.to_owned(), self.sender.clone());
        tokio::spawn(async move {
            let lines = tokio::spawn(forward(name.clone(), stdout, log, sender.clone()));
            let status = child.wait().await;
            // What it has started ends with it.
            let _ = killpg(pid, Signal::SIGKILL);
            let _ = tokio::time::timeout(OUTPUT_GRACE, lines).await;
            let status = status.unwrap_or_else(|_| ExitStatus::from_raw(-1));
            let _ = sender.send(Event::Exit { name, status });
        });
        Ok(pid)
    }

    /// The next event; none when the time is up.
    pub(crate) async fn next(&mut self, deadline: Instant) -> Result<Option<Event>, Failure> {
        tokio::select! {
            biased;
            Some(number) = self.signals.recv() => Err(Failure::Interrupted(number)),
            Some(event) = self.events.recv() => {
                if let Event::Exit { name, .. } = &event {
                    self.running.remove(name);
                }
                Ok(Some(event))
            }
            () = tokio::time::sleep_until(deadline) => Ok(None),
        }
    }

    /// Whether it has not ended yet.
    pub(crate) fn is_running(&self, name: &str) -> bool {
        self.running.contains_key(name)
    }

    /// Sends a signal to a child and to what it has started.
    pub(crate) fn signal(&self, name: &str, signal: Signal) {
        if let Some(pid) = self.running.get(name) {
            let _ = killpg(*pid, signal);
        }
    }

    /// Asks a child to finish and waits for its end; kills it when the time is up. Says what was wrong with its end, and with
    /// that of any other that ended meanwhile.
    pub(crate) async fn stop(&mut self, name: &str, grace: Duration) -> Vec<String> {
        let mut wrong = Vec::new();
        self.signal(name, Signal::SIGTERM);
        let mut deadline = Instant::now() + grace;
        let mut killed = false;
        while self.is_running(name) {
            match self.next(deadline).await {
                Ok(Some(Event::Exit {
                    name: ended,
                    status,
                })) => {
                    let well = status.success() || status.signal() == Some(Signal::SIGTERM as i32);
                    let expected = killed && ended == name;
                    if !well && !expected {
                        wrong.push(format!("{ended} {}", ending(status)));
                    }
                }
                Ok(Some(_)) => {}
                // It was killed, so it ends; only the news of it is late.
                Ok(None) if killed => break,
                // Whoever interrupts wants no more waiting.
                Ok(None) | Err(_) => {
                    self.signal(name, Signal::SIGKILL);
                    killed = true;
                    deadline = Instant::now() + OUTPUT_GRACE * 2;
                    wrong.push(format!(
                        "{name} did not finish within {} s of SIGTERM and was killed",
                        grace.as_secs()
                    ));
                }
            }
        }
        wrong
    }

    /// The failure of a child that has ended, with the end of its log.
    pub(crate) fn failure(&self, name: &str, what: impl Into<String>) -> Failure {
        Failure::Service {
            name: name.to_owned(),
            what: what.into(),
            tail: tail(&self.log(name)),
        }
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        for pid in self.running.values() {
            let _ = killpg(*pid, Signal::SIGKILL);
        }
    }
}

/// How a process ended, in words.
pub(crate) fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => match Signal::try_from(signal) {
            Ok(signal) => format!("was ended by {signal}"),
            Err(_) => format!("was ended by signal {signal}"),
        },
        (None, None) => "ended".to_owned(),
    }
}

/// The last lines of a log, without control characters.
pub(crate) fn tail(path: &Path) -> String {
    let Ok(mut file) = File::open(path) else {
        return String::new();
    };
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let from = length.saturating_sub(TAIL_BYTES);
    let mut bytes = Vec::new();
    if file.seek(SeekFrom::Start(from)).is_err()
        || file.take(TAIL_BYTES).read_to_end(&mut bytes).is_err()
    {
        return String::new();
    }
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let kept = &lines[lines.len().saturating_sub(TAIL_LINES)..];
    kept.iter()
        .map(|line| clean(line))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The time now, in Unix nanoseconds.
pub(crate) fn now_ns() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

async fn forward(
    name: String,
    stdout: Option<impl AsyncRead + Unpin>,
    mut log: File,
    sender: mpsc::UnboundedSender<Event>,
) {
    let Some(stdout) = stdout else { return };
    let mut reader = BufReader::new(stdout);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader)
            .take(MAX_LINE_BYTES)
            .read_until(b'\n', &mut line)
            .await
        {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let at_ns = now_ns();
        // A full disk loses the log, not the run.
        let _ = log.write_all(&line);
        let text = String::from_utf8_lossy(&line)
            .trim_end_matches(['\r', '\n'])
            .to_owned();
        if sender
            .send(Event::Line {
                name: name.clone(),
                at_ns,
                text,
            })
            .is_err()
        {
            return;
        }
    }
}

/// Asks the kernel to kill the child when the runner dies, however it dies.
#[cfg(target_os = "linux")]
fn die_with_the_runner(command: &mut Command) {
    let runner = nix::unistd::getpid();
    let arrange = move || {
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
        // The runner may have died before this was arranged.
        if nix::unistd::getppid() == runner {
            Ok(())
        } else {
            Err(std::io::ErrorKind::Interrupted.into())
        }
    };
    // SAFETY: between fork and exec the closure makes only the system calls prctl and getppid, which are async-signal-safe, and
    // allocates nothing. The signal is bound to the thread that forks: that is the main thread, which lives as long as the runner.
    unsafe {
        command.pre_exec(arrange);
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with_the_runner(_: &mut Command) {}
