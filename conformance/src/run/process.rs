//! One running driver: lines to it, lines from it, and its end.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::suite::{Error, cut};

/// How a driver is started.
#[derive(Clone, Debug)]
pub struct CommandLine {
    /// As the user wrote it, without the name in front.
    pub text: String,
    /// The name in front of it, if there is one: `NAME=COMMAND`.
    pub name: Option<String>,
    /// Where it is started; here if nowhere else.
    pub folder: Option<PathBuf>,
    words: Vec<String>,
}

impl CommandLine {
    /// Splits a command line into words as a shell does; no shell runs it.
    ///
    /// # Errors
    ///
    /// An open quote, or no word at all.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (name, command) = match text.split_once('=') {
            Some((name, command)) if is_name(name) => (Some(name.to_owned()), command),
            _ => (None, text),
        };
        let words = shlex::split(command).filter(|words| !words.is_empty());
        let words = words.ok_or_else(|| Error::new(format!("{text:?} is no command line")))?;
        Ok(Self {
            text: command.to_owned(),
            name,
            folder: None,
            words,
        })
    }

    fn start(&self) -> Result<Child, Error> {
        let [program, arguments @ ..] = self.words.as_slice() else {
            return Err(Error::new("an empty command line"));
        };
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command
            .spawn()
            .map_err(|error| Error::new(format!("cannot start {program:?}: {error}")))
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Why there was no answer that can be judged. The process is at its end in any case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It took longer than the time limit.
    Timeout(Duration),
    /// It is gone, with this.
    Gone(String),
    /// It answered something else than the protocol says.
    Protocol(String),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Timeout(limit) => write!(f, "no answer within {} s", limit.as_secs_f64()),
            Self::Gone(how) => write!(f, "the driver {how} instead of answering"),
            Self::Protocol(what) => f.write_str(what),
        }
    }
}

/// A running driver.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    to: Option<Sender<String>>,
    from: Receiver<Line>,
    errors: Arc<Mutex<Tail>>,
    error_reader: Option<JoinHandle<()>>,
    seq: u64,
    limit: Duration,
    ended: bool,
}

#[derive(Debug)]
enum Line {
    Bytes(Vec<u8>),
    TooLong,
    End,
}

/// A longer line of an answer is no answer: no case needs one that is a tenth of it.
const MAX_LINE: usize = 64 * 1024 * 1024;
/// What is kept of standard error for one case.
const MAX_ERRORS: usize = 4096;
/// How long a driver may take to start and say hello: some languages start slowly, and builds run beside it.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long a driver may take to be gone after its last line.
const EXIT_WAIT: Duration = Duration::from_secs(5);

impl Process {
    /// Starts the driver. Nothing is asked yet.
    ///
    /// # Errors
    ///
    /// The program cannot be started.
    pub(super) fn start(command: &CommandLine, limit: Duration) -> Result<Self, Error> {
        let mut child = command.start()?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(Error::new("a driver without standard streams"));
        };
        // One request is under way at a time, so this holds few; it must never block whoever watches the clock.
        let (to, lines) = channel();
        thread::spawn(move || write_lines(stdin, &lines));
        let (sender, from) = sync_channel(16);
        thread::spawn(move || read_lines(stdout, &sender));
        let errors = Arc::new(Mutex::new(Tail::default()));
        let kept = Arc::clone(&errors);
        let error_reader = thread::spawn(move || keep_tail(stderr, &kept));
        Ok(Self {
            child,
            to: Some(to),
            from,
            errors,
            error_reader: Some(error_reader),
            seq: 0,
            limit,
            ended: false,
        })
    }

    /// Sends a request and waits for its answer, which comes without its `seq`.
    ///
    /// # Errors
    ///
    /// [`Trouble`]; after it this driver is ended and answers nothing more.
    pub(super) fn ask(
        &mut self,
        request: Map<String, Value>,
    ) -> Result<Map<String, Value>, Trouble> {
        self.ask_within(request, self.limit)
    }

    /// As [`Self::ask`], for the first request: the start of the driver counts in.
    ///
    /// # Errors
    ///
    /// As [`Self::ask`].
    pub(super) fn ask_first(
        &mut self,
        request: Map<String, Value>,
    ) -> Result<Map<String, Value>, Trouble> {
        self.ask_within(request, self.limit.max(START_LIMIT))
    }

    fn ask_within(
        &mut self,
        mut request: Map<String, Value>,
        limit: Duration,
    ) -> Result<Map<String, Value>, Trouble> {
        self.seq += 1;
        request.insert("seq".to_owned(), self.seq.into());
        let mut line = Value::Object(request).to_string();
        line.push('\n');
        if let Some(to) = &self.to {
            // A driver that is gone is noticed by its output.
            let _ = to.send(line);
        }
        let answer = self.answer(limit);
        if answer.is_err() {
            self.kill();
        }
        answer
    }

    fn answer(&mut self, limit: Duration) -> Result<Map<String, Value>, Trouble> {
        let line = match self.from.recv_timeout(limit) {
            Ok(Line::Bytes(line)) => line,
            Ok(Line::TooLong) => {
                return Err(Trouble::Protocol(format!(
                    "a line of more than {MAX_LINE} bytes"
                )));
            }
            Ok(Line::End) | Err(RecvTimeoutError::Disconnected) => {
                return Err(Trouble::Gone(self.how_it_ended()));
            }
            Err(RecvTimeoutError::Timeout) => return Err(Trouble::Timeout(limit)),
        };
        let mut answer = match serde_json::from_slice(&line) {
            Ok(Value::Object(answer)) => answer,
            _ => {
                return Err(Trouble::Protocol(format!(
                    "this line is no JSON object: {}",
                    shown(&line)
                )));
            }
        };
        match answer.remove("seq") {
            Some(seq) if seq.as_u64() == Some(self.seq) => Ok(answer),
            Some(seq) => Err(Trouble::Protocol(format!(
                "the answer has seq {seq}, the request had {}",
                self.seq
            ))),
            None => Err(Trouble::Protocol(format!(
                "the answer has no seq: {}",
                shown(&line)
            ))),
        }
    }

    /// Forgets what was written to standard error so far, so that what comes belongs to the next case.
    pub(super) fn forget_errors(&self) {
        self.errors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// The end of what was written to standard error since.
    #[must_use]
    pub(super) fn errors(&mut self) -> String {
        if self.ended {
            // What it wrote on its way out is the best clue; a grandchild may hold the pipe open for longer.
            let start = Instant::now();
            while self
                .error_reader
                .as_ref()
                .is_some_and(|reader| !reader.is_finished())
                && start.elapsed() < Duration::from_millis(300)
            {
                thread::sleep(Duration::from_millis(2));
            }
        }
        self.errors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .text()
    }

    /// Asks the driver to stop and waits for it.
    ///
    /// # Errors
    ///
    /// What it did instead of answering and ending with 0.
    pub(super) fn stop(mut self) -> Result<(), Trouble> {
        let mut request = Map::new();
        request.insert("do".to_owned(), "stop".into());
        self.ask(request)?;
        self.to = None;
        match self.from.recv_timeout(EXIT_WAIT) {
            Ok(Line::End) | Err(RecvTimeoutError::Disconnected) => {}
            Ok(Line::Bytes(line)) => {
                return Err(Trouble::Protocol(format!(
                    "a line behind the answer to stop: {}",
                    shown(&line)
                )));
            }
            Ok(Line::TooLong) => {
                return Err(Trouble::Protocol(
                    "more output behind the answer to stop".to_owned(),
                ));
            }
            Err(RecvTimeoutError::Timeout) => {
                return Err(Trouble::Protocol("the driver stays after stop".to_owned()));
            }
        }
        match self.wait() {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(Trouble::Protocol(format!(
                "after stop the driver {}",
                ending(status)
            ))),
            None => Err(Trouble::Protocol("the driver stays after stop".to_owned())),
        }
    }

    fn how_it_ended(&mut self) -> String {
        self.wait()
            .map_or_else(|| "closed its output".to_owned(), ending)
    }

    fn wait(&mut self) -> Option<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                self.ended = true;
                return Some(status);
            }
            if start.elapsed() > EXIT_WAIT {
                return None;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn kill(&mut self) {
        self.to = None;
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        // With the children of a wrapper such as npm or a shell.
        #[cfg(unix)]
        let _ = rustix::process::kill_process_group(
            rustix::process::Pid::from_child(&self.child),
            rustix::process::Signal::KILL,
        );
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn ending(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("ended with exit code {code}"),
        None => format!("was ended by {status}"),
    }
}

/// A line for a message, cut and without control characters.
fn shown(line: &[u8]) -> String {
    let text = cut(String::from_utf8_lossy(line).trim_end(), 200);
    format!("{text:?}")
}

fn write_lines(mut stdin: ChildStdin, lines: &Receiver<String>) {
    while let Ok(line) = lines.recv() {
        if stdin
            .write_all(line.as_bytes())
            .and_then(|()| stdin.flush())
            .is_err()
        {
            // Whoever sends notices by the output.
            return;
        }
    }
}

fn read_lines(stdout: ChildStdout, lines: &SyncSender<Line>) {
    let mut reader = BufReader::new(stdout);
    loop {
        let mut line = Vec::new();
        let read = (&mut reader)
            .take(MAX_LINE as u64)
            .read_until(b'\n', &mut line);
        let sent = match read {
            Ok(0) | Err(_) => {
                let _ = lines.send(Line::End);
                return;
            }
            Ok(MAX_LINE..) => {
                let _ = lines.send(Line::TooLong);
                return;
            }
            Ok(_) => lines.send(Line::Bytes(line)),
        };
        if sent.is_err() {
            return;
        }
    }
}

/// The last bytes of standard error.
#[derive(Debug, Default)]
struct Tail {
    bytes: Vec<u8>,
    cut: bool,
}

impl Tail {
    fn push(&mut self, more: &[u8]) {
        self.bytes.extend_from_slice(more);
        if let Some(over) = self
            .bytes
            .len()
            .checked_sub(MAX_ERRORS)
            .filter(|over| *over > 0)
        {
            self.bytes.drain(..over);
            self.cut = true;
        }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.cut = false;
    }

    fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        let text = text.trim();
        if self.cut {
            format!("… {text}")
        } else {
            text.to_owned()
        }
    }
}

fn keep_tail(mut stderr: ChildStderr, kept: &Mutex<Tail>) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stderr.read(&mut buffer) {
        let more = buffer.get(..read).unwrap_or_default();
        kept.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(more);
    }
}
