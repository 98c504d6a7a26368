//! A tap in the middle of a connection: it records the handshake and every message of both directions, and can do what an intermediary may do
//! (fragment) and what a network does (cut).

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::frames::{Assembler, Frame, Message};

/// What crossed the wire of one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recording {
    /// The head of the request, as it was sent.
    pub(crate) request: String,
    /// The head of the response.
    pub(crate) response: String,
    /// Messages from the client.
    pub(crate) sent: Vec<Message>,
    /// Messages from the server.
    pub(crate) received: Vec<Message>,
}

impl Recording {
    /// The values of a header of the request or response.
    pub(crate) fn header<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
        head.lines()
            .filter_map(|line| line.split_once(':'))
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }
}

#[derive(Default)]
struct Shared {
    connections: Mutex<Vec<Arc<Mutex<Recording>>>>,
}

/// A running tap; it stops when dropped.
pub(crate) struct Tap {
    address: SocketAddr,
    shared: Arc<Shared>,
    cut: watch::Sender<u64>,
    task: tokio::task::JoinHandle<()>,
}

impl Tap {
    /// Stands in front of a port of the loopback address. With `split`, data frames are fragmented to so many bytes.
    pub(crate) async fn start(port: u16, split: Option<usize>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let (cut, cuts) = watch::channel(0);
        let task = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    let recording = Arc::new(Mutex::new(Recording::default()));
                    lock(&shared.connections).push(Arc::clone(&recording));
                    let mut cuts = cuts.clone();
                    tokio::spawn(async move {
                        cuts.mark_unchanged();
                        let pumped = pump(client, port, split, recording, cuts).await;
                        if let Err(error) = pumped {
                            eprintln!("tap: {error}");
                        }
                    });
                }
            }
        });
        Ok(Self {
            address,
            shared,
            cut,
            task,
        })
    }

    /// Where clients connect to.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}/", self.address)
    }

    /// The connection of that number, in the order in which they came.
    pub(crate) fn recording(&self, connection: usize) -> Recording {
        lock(&self.shared.connections)
            .get(connection)
            .map(|recording| lock(recording).clone())
            .unwrap_or_default()
    }

    /// Cuts every open connection, as a network does: both ends see a reset.
    pub(crate) fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn pump(
    client: TcpStream,
    port: u16,
    split: Option<usize>,
    recording: Arc<Mutex<Recording>>,
    mut cuts: watch::Receiver<u64>,
) -> io::Result<()> {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut client, mut server) = (client, server);
    let head = read_head(&mut client).await?;
    server.write_all(&head.bytes).await?;
    lock(&recording).request = head.text;
    let head = read_head(&mut server).await?;
    client.write_all(&head.bytes).await?;
    let extensions = Recording::header(&head.text, "sec-websocket-extensions").join(",");
    lock(&recording).response = head.text;

    let up = Direction::new(
        split,
        extensions.contains("client_no_context_takeover"),
        Arc::clone(&recording),
        true,
    );
    let down = Direction::new(
        split,
        extensions.contains("server_no_context_takeover"),
        recording,
        false,
    );
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut up = tokio::spawn(up.run(from_client, to_server));
    let mut down = tokio::spawn(down.run(from_server, to_client));
    tokio::select! {
        ended = async { tokio::join!(&mut up, &mut down) } => {
            drop(ended);
            Ok(())
        }
        _ = cuts.changed() => {
            // The halves close here, with nothing said: what a broken network looks like from both ends.
            up.abort();
            down.abort();
            Ok(())
        }
    }
}

struct Head {
    bytes: Vec<u8>,
    text: String,
}

/// Reads the head of a request or response, byte by byte so that nothing behind it is taken.
async fn read_head(stream: &mut TcpStream) -> io::Result<Head> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        if bytes.len() > 64 * 1024 {
            return Err(io::Error::other("a head of more than 64 KiB"));
        }
        bytes.push(stream.read_u8().await?);
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Head { bytes, text })
}

struct Direction {
    split: Option<usize>,
    assembler: Assembler,
    recording: Arc<Mutex<Recording>>,
    from_client: bool,
}

impl Direction {
    fn new(
        split: Option<usize>,
        no_context_takeover: bool,
        recording: Arc<Mutex<Recording>>,
        from_client: bool,
    ) -> Self {
        Self {
            split,
            assembler: Assembler::new(no_context_takeover),
            recording,
            from_client,
        }
    }

    async fn run(mut self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut buffer = Vec::new();
        loop {
            let mut chunk = vec![0; 64 * 1024];
            let Ok(n) = from.read(&mut chunk).await else {
                return;
            };
            if n == 0 {
                let _ = to.shutdown().await;
                return;
            }
            buffer.extend(&chunk[..n]);
            let mut out = Vec::new();
            while let Some(frame) = Frame::take(&mut buffer) {
                if let Some(size) = self.split {
                    frame.write_split(size, &mut out);
                }
                if let Some(message) = self.assembler.add(&frame) {
                    let mut recording = lock(&self.recording);
                    if self.from_client {
                        recording.sent.push(message);
                    } else {
                        recording.received.push(message);
                    }
                }
            }
            if self.split.is_none() {
                out = chunk[..n].to_vec();
            }
            if to.write_all(&out).await.is_err() {
                return;
            }
        }
    }
}
