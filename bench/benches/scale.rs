//! Many connections in one process: `scale CONNECTIONS` prints memory, and CPU time and allocations per message;
//! bench/README.md explains it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use allocation_counter::measure;
use rustix::time::{ClockId, clock_gettime};
use wirespan::connection::{Connection, StreamKey};
use wirespan::envelope::{Body, Form};
use wirespan_bench::{Client, Service, answer, receive};

const STREAMS: usize = 10;
const FEW: usize = 10;
const BODY: [u8; 256] = [b'x'; 256];
const STEP_NS: u64 = 20_000_000;
const SAMPLES: usize = 9;
/// Messages of a sample, both ways together.
const MESSAGES: usize = 200_000;

/// Servers and the one client whose frames all of them get.
struct Group {
    client: Client,
    keys: Vec<StreamKey>,
    servers: Vec<Connection>,
    now_ns: u64,
}

impl Group {
    fn new(service: &Service, connections: usize) -> Self {
        let mut client = Client::connect(service).unwrap();
        let servers = (0..connections)
            .map(|n| service.accept(&client, n as u64).unwrap())
            .collect();
        let keys = Vec::new();
        let mut group = Self {
            client: Client::connect(service).unwrap(),
            keys,
            servers,
            now_ns: 0,
        };
        for _ in 0..STREAMS {
            let (key, frame) = client.open(Body::Binary(&BODY), 0).unwrap();
            group.keys.push(key);
            for server in &mut group.servers {
                receive(server, &frame, Form::Binary, 0);
            }
        }
        group.client = client;
        group
    }

    /// CPU time per message: each server gets a chunk of each stream and answers it, so often as makes enough messages.
    fn cpu_ns(&mut self) -> f64 {
        let passes = MESSAGES.div_ceil(self.servers.len() * STREAMS * 2);
        let frames: Vec<Vec<Vec<u8>>> = (0..passes)
            .map(|_| {
                let chunk =
                    |key: &StreamKey| self.client.send(*key, Body::Binary(&BODY), 0).unwrap();
                self.keys.iter().map(chunk).collect()
            })
            .collect();
        let started = cpu_time_ns();
        for pass in &frames {
            self.now_ns += STEP_NS;
            for server in &mut self.servers {
                for frame in pass {
                    let (stream, _) = receive(server, frame, Form::Binary, self.now_ns);
                    answer(server, stream, Body::Binary(&BODY), self.now_ns).unwrap();
                }
            }
        }
        (cpu_time_ns() - started) / (passes * self.servers.len() * STREAMS * 2) as f64
    }

    /// Allocations per message: of an answer, and of a received chunk.
    fn allocations(&mut self) -> (f64, f64) {
        let (key, now_ns) = (self.keys[0], self.now_ns + STEP_NS);
        self.now_ns = now_ns;
        let frame = self.client.send(key, Body::Binary(&BODY), now_ns).unwrap();
        let (mut encode, mut decode) = (0, 0);
        for server in &mut self.servers {
            let mut stream = key;
            let received = measure(|| (stream, _) = receive(server, &frame, Form::Binary, now_ns));
            let sent = measure(|| drop(answer(server, stream, Body::Binary(&BODY), now_ns)));
            decode += received.count_total;
            encode += sent.count_total;
        }
        let messages = self.servers.len() as f64;
        (encode as f64 / messages, decode as f64 / messages)
    }

    fn median_cpu_ns(&mut self) -> f64 {
        // The first chunks allocate the histograms.
        self.cpu_ns();
        self.cpu_ns();
        let mut samples: Vec<f64> = (0..SAMPLES).map(|_| self.cpu_ns()).collect();
        samples.sort_by(f64::total_cmp);
        samples[SAMPLES / 2]
    }
}

/// CPU time of this process's only thread, in nanoseconds.
fn cpu_time_ns() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

fn main() {
    let connections: usize = std::env::args()
        .skip(1)
        .find_map(|word| word.parse().ok())
        .unwrap();
    let service = Service::default();
    let mut few = Group::new(&service, FEW);
    let mut all = None;
    let held = measure(|| all = Some(Group::new(&service, connections)));
    let mut all = all.unwrap();
    let few_ns = few.median_cpu_ns();
    let (mut all_ns, mut busy) = (0.0, held);
    busy += measure(|| all_ns = all.median_cpu_ns());
    let (encode_allocations, decode_allocations) = few.allocations();
    println!(
        "{}",
        serde_json::json!({
            "idle_bytes": held.bytes_current as f64 / connections as f64,
            "busy_bytes": busy.bytes_current as f64 / connections as f64,
            "few_ns": few_ns,
            "all_ns": all_ns,
            "encode_allocations": encode_allocations,
            "decode_allocations": decode_allocations,
        })
    );
}
