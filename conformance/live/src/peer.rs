//! A peer: one process for each language, asked by JSON lines.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::oneshot;

/// How long a command may take.
const TIMEOUT: Duration = Duration::from_secs(20);

type Pending = Arc<Mutex<HashMap<u64, oneshot::Sender<Result<Value, String>>>>>;

/// A running peer; its process is killed when this is dropped.
pub(crate) struct Peer {
    /// The language, which is also the name of its service.
    pub(crate) name: String,
    /// What it said of itself.
    pub(crate) library: String,
    /// Its library can compress.
    pub(crate) deflate: bool,
    /// Ports of its servers by their names.
    ports: tokio::sync::Mutex<HashMap<String, u16>>,
    stdin: tokio::sync::Mutex<ChildStdin>,
    pending: Pending,
    next: AtomicU64,
    _child: Child,
}

impl Peer {
    /// Starts a peer's command and waits until it answers.
    pub(crate) async fn start(name: &str, command: &str, endpoint: &str) -> Result<Self, String> {
        let words = shlex::split(command).filter(|words| !words.is_empty());
        let words = words.ok_or_else(|| format!("peer {name}: {command:?} is no command"))?;
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .arg(name)
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
            .env_remove("OTEL_SDK_DISABLED")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("peer {name}: {} cannot be started: {error}", words[0]))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(format!("peer {name}: it has no pipes"));
        };
        let pending = Pending::default();
        tokio::spawn(read_answers(
            name.to_owned(),
            BufReader::new(stdout),
            Arc::clone(&pending),
        ));
        let mut peer = Self {
            name: name.to_owned(),
            library: String::new(),
            deflate: false,
            ports: tokio::sync::Mutex::default(),
            stdin: tokio::sync::Mutex::new(stdin),
            pending,
            next: AtomicU64::new(1),
            _child: child,
        };
        let hello = peer.ask("hello", json!({})).await?;
        peer.library = hello["library"].as_str().unwrap_or_default().to_owned();
        peer.deflate = hello["deflate"].as_bool().unwrap_or_default();
        Ok(peer)
    }

    /// Sends a command and waits for its answer.
    pub(crate) async fn ask(&self, command: &str, mut fields: Value) -> Result<Value, String> {
        let seq = self.next.fetch_add(1, Ordering::Relaxed);
        fields["seq"] = json!(seq);
        fields["do"] = json!(command);
        let (answer, answered) = oneshot::channel();
        self.pending
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(seq, answer);
        let line = format!("{fields}\n");
        let written = self.stdin.lock().await.write_all(line.as_bytes()).await;
        written.map_err(|error| format!("{}: it is gone: {error}", self.name))?;
        match tokio::time::timeout(TIMEOUT, answered).await {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(Ok(Err(error))) => Err(format!("{}: {command}: {error}", self.name)),
            Ok(Err(_)) => Err(format!("{}: it has ended", self.name)),
            Err(_) => Err(format!(
                "{}: {command}: no answer within {} s",
                self.name,
                TIMEOUT.as_secs()
            )),
        }
    }

    /// The port of a server with these options, started at its first use and kept for the whole matrix.
    pub(crate) async fn port(&self, server: &str, fields: Value) -> Result<u16, String> {
        // Held while it starts: scenarios that run at once share it.
        let mut ports = self.ports.lock().await;
        if let Some(port) = ports.get(server) {
            return Ok(*port);
        }
        let mut fields = fields;
        fields["as"] = json!(server);
        let answer = self.ask("serve", fields).await?;
        let port = answer["port"]
            .as_u64()
            .and_then(|port| u16::try_from(port).ok());
        let port = port.ok_or_else(|| format!("{}: serve: no port in {answer}", self.name))?;
        ports.insert(server.to_owned(), port);
        Ok(port)
    }
}

async fn read_answers(
    name: String,
    stdout: BufReader<tokio::process::ChildStdout>,
    pending: Pending,
) {
    let mut lines = stdout.lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let answer: Value = match serde_json::from_str(&line) {
            Ok(answer) => answer,
            Err(_) => {
                eprintln!("{name}: {line}");
                continue;
            }
        };
        let waiting = answer["seq"].as_u64().and_then(|seq| {
            pending
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&seq)
        });
        let Some(waiting) = waiting else {
            eprintln!("{name}: an answer to nothing: {line}");
            continue;
        };
        let result = match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer["ok"].clone()),
        };
        // Whoever asked may have given up.
        let _ = waiting.send(result);
    }
    pending
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clear();
}
