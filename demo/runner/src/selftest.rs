//! `--test`: every mode, and every failure that a user may meet, each as a run of its own.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use wirespan_conformance::receiver::Receiver;
use wirespan_conformance::trace::Forest;

use crate::options::Options;
use crate::{checks, say};

/// Longest time for one run.
const LIMIT: Duration = Duration::from_secs(150);
/// How long children may take to vanish after the runner has.
const VANISH: Duration = Duration::from_secs(8);
/// The example of W3C Trace Context.
const FOREIGN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Runs all cases and says how many passed.
pub(crate) fn run(options: &Options) -> ExitCode {
    let suite = match Suite::new(options) {
        Ok(suite) => suite,
        Err(error) => {
            eprintln!("wirespan-demo: the tests cannot begin: {error}");
            return ExitCode::from(2);
        }
    };
    let (mut passed, mut failed) = (0, 0);
    for (name, case) in CASES {
        let begin = Instant::now();
        let result = case(&suite, name);
        let took = begin.elapsed().as_secs_f64();
        match result {
            Ok(()) => {
                passed += 1;
                say(format!("ok      {name} ({took:.1} s)"));
            }
            Err(problem) => {
                failed += 1;
                say(format!("FAILED  {name} ({took:.1} s): {problem}"));
            }
        }
    }
    say(format!("{passed} passed, {failed} failed"));
    ExitCode::from(u8::from(failed > 0))
}

type Case = fn(&Suite, &str) -> Result<(), String>;

const CASES: [(&str, Case); 22] = [
    ("order", |suite, name| {
        suite.expect(
            name,
            &["--fast"],
            0,
            &[
                "one trace, ",
                "the order was recognised",
                "kitchen found the kitchen's stall",
            ],
        )?;
        suite.has_files(name)
    }),
    ("real-time", |suite, name| {
        suite.expect(name, &[], 0, &["one trace, "])
    }),
    ("recordings", |suite, name| suite.every_recording(name)),
    ("two-devices", |suite, name| {
        suite.expect(
            name,
            &["--fast", "--devices", "2"],
            0,
            &["device-1", "device-2", "every span has the expected parent"],
        )
    }),
    ("unsampled", |suite, name| {
        suite.expect(
            name,
            &["--fast", "--unsampled"],
            0,
            &["nothing was exported", "sampled bit 0"],
        )
    }),
    ("foreign-parent", |suite, name| {
        suite.expect(
            name,
            &["--fast", "--parent", FOREIGN],
            0,
            &["one trace, 4bf92f3577b34da6a3ce929d0e0e4736"],
        )
    }),
    ("foreign-parent-unsampled", |suite, name| {
        let parent = FOREIGN.replace("-01", "-00");
        suite.expect(
            name,
            &["--fast", "--unsampled", "--parent", &parent],
            0,
            &["sampled bit 0"],
        )
    }),
    ("elsewhere", |suite, name| suite.exports_elsewhere(name)),
    ("kill-kitchen", |suite, name| {
        suite.expect(
            name,
            &["--fast", "--kill", "kitchen"],
            0,
            &["kitchen", "was ended by SIGKILL", "ended with error"],
        )
    }),
    ("kill-recogniser", |suite, name| {
        suite.expect(
            name,
            &["--kill", "recogniser"],
            0,
            &[
                "was ended by SIGKILL",
                "gateway: transcribe CLIENT ended with error",
            ],
        )
    }),
    ("kill-gateway", |suite, name| {
        suite.expect(
            name,
            &["--fast", "--kill", "gateway"],
            0,
            &[
                "was ended by SIGKILL",
                "device: order CLIENT ended with error",
            ],
        )
    }),
    ("kill-device", |suite, name| {
        suite.expect(
            name,
            &["--fast", "--kill", "device"],
            0,
            &[
                "was ended by SIGKILL",
                "gateway: order SERVER ended with error",
            ],
        )
    }),
    ("garbage", |suite, name| {
        suite.expect(name, &["--fast", "--garbage"], 0, &["one trace, "])
    }),
    ("dying-service", |suite, name| suite.dying_service(name)),
    ("wav-8-khz", |suite, name| {
        suite.wrong_wav(name, Some(wav(1, 8_000, 16)))
    }),
    ("wav-stereo", |suite, name| {
        suite.wrong_wav(name, Some(wav(2, 16_000, 16)))
    }),
    ("wav-garbage", |suite, name| {
        suite.wrong_wav(name, Some(b"RIFF this is no recording".to_vec()))
    }),
    ("wav-missing", |suite, name| suite.wrong_wav(name, None)),
    ("ports-in-use", |suite, name| suite.ports_in_use(name)),
    ("interrupt", |suite, name| {
        suite.interrupted(name, Signal::SIGINT, 130)
    }),
    ("terminate", |suite, name| {
        suite.interrupted(name, Signal::SIGTERM, 143)
    }),
    ("runner-killed", |suite, name| {
        suite.interrupted(name, Signal::SIGKILL, -1)
    }),
];

struct Suite {
    program: PathBuf,
    root: PathBuf,
    out: PathBuf,
    ports: Vec<String>,
}

struct Ran {
    code: i32,
    output: String,
}

impl Suite {
    fn new(options: &Options) -> io::Result<Self> {
        let out = options.out.join("test");
        fs::create_dir_all(&out)?;
        let program = std::env::current_exe()?;
        let ports = options
            .ports
            .iter()
            .map(|(service, port)| format!("{service}={port}"))
            .collect();
        Ok(Self {
            program,
            root: options.root.clone(),
            out,
            ports,
        })
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.out.join(name)
    }

    fn command(&self, name: &str, arguments: &[&str]) -> Result<Command, String> {
        let folder = self.folder(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let output = fs::File::create(folder.join("output")).map_err(|error| error.to_string())?;
        let errors = output.try_clone().map_err(|error| error.to_string())?;
        let mut command = Command::new(&self.program);
        command
            .arg("--root")
            .arg(&self.root)
            .arg("--out")
            .arg(&folder)
            .args(arguments);
        for port in &self.ports {
            command.args(["--port", port]);
        }
        command
            .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
            .current_dir(&self.root);
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        Ok(command)
    }

    fn output(&self, name: &str) -> String {
        let bytes = fs::read(self.folder(name).join("output")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn finish(&self, name: &str, child: Child) -> Result<Ran, String> {
        let code = wait(child, LIMIT)?;
        Ok(Ran {
            code,
            output: self.output(name),
        })
    }

    fn ran(&self, name: &str, arguments: &[&str]) -> Result<Ran, String> {
        let mut command = self.command(name, arguments)?;
        let child = command
            .spawn()
            .map_err(|error| format!("{}: {error}", self.program.display()))?;
        self.finish(name, child)
    }

    fn expect(
        &self,
        name: &str,
        arguments: &[&str],
        code: i32,
        says: &[&str],
    ) -> Result<(), String> {
        let ran = self.ran(name, arguments)?;
        self.judge(name, &ran, code, says)
    }

    fn judge(&self, name: &str, ran: &Ran, code: i32, says: &[&str]) -> Result<(), String> {
        let said = |what: String| {
            let lines: Vec<&str> = ran.output.lines().collect();
            let tail = lines[lines.len().saturating_sub(30)..].join("\n    ");
            format!(
                "{what}; {}:\n    {tail}",
                self.folder(name).join("output").display()
            )
        };
        if ran.code != code {
            return Err(said(format!("exit code {}, expected {code}", ran.code)));
        }
        if let Some(missing) = says.iter().find(|text| !ran.output.contains(**text)) {
            return Err(said(format!("it does not say {missing:?}")));
        }
        let left = living(&ran.output);
        if left.is_empty() {
            Ok(())
        } else {
            Err(said(format!("left running: {left:?}")))
        }
    }

    fn has_files(&self, name: &str) -> Result<(), String> {
        for (file, holds) in [
            ("trace.html", "</html>"),
            ("trace.json", "\"resourceSpans\""),
        ] {
            let path = self.folder(name).join(file);
            let text = fs::read_to_string(&path)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            if !text.contains(holds) {
                return Err(format!("{} does not hold {holds}", path.display()));
            }
        }
        Ok(())
    }

    /// Each recording in the repository is recognised word for word.
    fn every_recording(&self, name: &str) -> Result<(), String> {
        let list = self.root.join("demo/orders/orders.tsv");
        let list =
            fs::read_to_string(&list).map_err(|error| format!("{}: {error}", list.display()))?;
        // The first one has been run already.
        for order in list
            .lines()
            .filter_map(|line| line.split('\t').next())
            .skip(1)
        {
            let wav = format!("demo/orders/{order}.wav");
            let said = ["the order was recognised word for word"];
            self.expect(
                &format!("{name}-{order}"),
                &["--fast", "--wav", &wav],
                0,
                &said,
            )?;
        }
        Ok(())
    }

    /// With an endpoint set, the spans go there: here to a receiver of this process.
    fn exports_elsewhere(&self, name: &str) -> Result<(), String> {
        let receiver = Receiver::start().map_err(|error| error.to_string())?;
        let mut command = self.command(name, &["--fast"])?;
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint());
        let child = command.spawn().map_err(|error| error.to_string())?;
        let ran = self.finish(name, child)?;
        self.judge(
            name,
            &ran,
            0,
            &["exporting to http://127.0.0.1:", "the spans went elsewhere"],
        )?;
        let forest = Forest::new(receiver.store().spans());
        let verdict = checks::connected(&forest, &["device".to_owned()], None, 0);
        if verdict.problems.is_empty() {
            Ok(())
        } else {
            Err(verdict.problems.join("\n    "))
        }
    }

    /// A service that dies unasked is named, with its log, and fails the demo.
    fn dying_service(&self, name: &str) -> Result<(), String> {
        let mut child = self
            .command(name, &["--fast"])?
            .spawn()
            .map_err(|error| error.to_string())?;
        if !self.says(name, &mut child, "reply: ") {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!(
                "no reply came; {}",
                self.folder(name).join("output").display()
            ));
        }
        for (service, pid) in pids(&self.output(name)) {
            if service == "kitchen" {
                let _ = kill(pid, Signal::SIGKILL);
            }
        }
        let ran = self.finish(name, child)?;
        self.judge(
            name,
            &ran,
            2,
            &["wirespan-demo: kitchen was ended by SIGKILL in the middle of the order"],
        )
    }

    /// The device says what is wrong with a recording, and the demo passes it on.
    fn wrong_wav(&self, name: &str, bytes: Option<Vec<u8>>) -> Result<(), String> {
        let path = self.out.join(format!("{name}.wav"));
        let says: &[&str] = match bytes {
            Some(bytes) => {
                fs::write(&path, bytes).map_err(|error| format!("{}: {error}", path.display()))?;
                &[
                    "wirespan-demo: device ended with exit code",
                    "  device | device: ",
                ]
            }
            None => {
                let _ = fs::remove_file(&path);
                &["wirespan-demo: ", "no such file"]
            }
        };
        let path = path.display().to_string();
        self.expect(name, &["--fast", "--wav", &path], 2, says)
    }

    fn ports_in_use(&self, name: &str) -> Result<(), String> {
        let taken = TcpListener::bind(("127.0.0.1", 0)).map_err(|error| error.to_string())?;
        let port = taken
            .local_addr()
            .map_err(|error| error.to_string())?
            .port();
        for service in ["receiver", "kitchen", "recogniser", "gateway"] {
            let fixed = format!("{service}={port}");
            let told = format!("wirespan-demo: {service}");
            let arguments = ["--fast", "--port", &fixed];
            self.expect(
                &format!("{name}-{service}"),
                &arguments,
                2,
                &[&told, &port.to_string()],
            )?;
        }
        Ok(())
    }

    /// A signal in the middle leaves nothing running, even one that the runner cannot see.
    fn interrupted(&self, name: &str, signal: Signal, code: i32) -> Result<(), String> {
        let mut child = self
            .command(name, &[])?
            .spawn()
            .map_err(|error| error.to_string())?;
        let streams = self.says(name, &mut child, "device      streams");
        std::thread::sleep(Duration::from_millis(400));
        let id = i32::try_from(child.id()).map_err(|error| error.to_string())?;
        let _ = kill(Pid::from_raw(id), signal);
        if !streams {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!(
                "no device came up; {}",
                self.folder(name).join("output").display()
            ));
        }
        let ran = self.finish(name, child)?;
        let begin = Instant::now();
        while signal == Signal::SIGKILL
            && !living(&ran.output).is_empty()
            && begin.elapsed() < VANISH
        {
            std::thread::sleep(Duration::from_millis(50));
        }
        if pids(&ran.output).len() != 4 {
            return Err(format!(
                "four children have process ids in the output, found {:?}",
                pids(&ran.output)
            ));
        }
        self.judge(
            name,
            &ran,
            code,
            if signal == Signal::SIGKILL {
                &[]
            } else {
                &["interrupted by signal"]
            },
        )
    }

    /// Waits until the output holds a text; not longer than the run lasts.
    fn says(&self, name: &str, child: &mut Child, text: &str) -> bool {
        let begin = Instant::now();
        while begin.elapsed() < LIMIT {
            let ended = !matches!(child.try_wait(), Ok(None));
            if self.output(name).contains(text) {
                return true;
            }
            if ended {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

/// Waits for the end and gives the exit code, -1 after a signal.
fn wait(mut child: Child, limit: Duration) -> Result<i32, String> {
    let begin = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status.code().unwrap_or(-1)),
            Ok(None) if begin.elapsed() > limit => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("it hangs: not done after {} s", limit.as_secs()));
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(20)),
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// The children that a run has named: `kitchen     listens at … (pid 123)`.
fn pids(output: &str) -> Vec<(String, Pid)> {
    let of_line = |line: &str| {
        let (before, pid) = line.strip_suffix(')')?.split_once("(pid ")?;
        Some((
            before.split_whitespace().next()?.to_owned(),
            Pid::from_raw(pid.parse().ok()?),
        ))
    };
    output.lines().filter_map(of_line).collect()
}

/// Those of them that still run.
fn living(output: &str) -> Vec<String> {
    let lives = |pid: Pid| {
        // A zombie has ended; whoever took it over will reap it.
        let state = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
        match state {
            Ok(state) => !state
                .rsplit(')')
                .next()
                .is_some_and(|rest| rest.trim_start().starts_with('Z')),
            Err(_) => kill(pid, None).is_ok() && !Path::new("/proc/self").exists(),
        }
    };
    pids(output)
        .into_iter()
        .filter(|(_, pid)| lives(*pid))
        .map(|(name, pid)| format!("{name} {pid}"))
        .collect()
}

/// A second of silence.
fn wav(channels: u16, rate: u32, bits: u16) -> Vec<u8> {
    let block = channels * bits / 8;
    let length = rate * u32::from(block);
    let mut wav = Vec::with_capacity(44 + length as usize);
    wav.extend_from_slice(b"RIFF");
    wav.extend_from_slice(&(36 + length).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt ");
    wav.extend_from_slice(&16_u32.to_le_bytes());
    wav.extend_from_slice(&1_u16.to_le_bytes());
    wav.extend_from_slice(&channels.to_le_bytes());
    wav.extend_from_slice(&rate.to_le_bytes());
    wav.extend_from_slice(&(rate * u32::from(block)).to_le_bytes());
    wav.extend_from_slice(&block.to_le_bytes());
    wav.extend_from_slice(&bits.to_le_bytes());
    wav.extend_from_slice(b"data");
    wav.extend_from_slice(&length.to_le_bytes());
    wav.resize(44 + length as usize, 0);
    wav
}

#[cfg(test)]
mod tests {
    #[test]
    fn process_ids_are_read_from_the_output() {
        let output = "receiver    listens at 127.0.0.1:1\nkitchen     listens at 127.0.0.1:2 (pid 42)\n(pid x)\n";
        let found = super::pids(output);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].0.as_str(), found[0].1.as_raw()), ("kitchen", 42));
    }

    #[test]
    fn a_process_that_lives_is_found_and_one_that_does_not_is_not() {
        assert_eq!(
            super::living(&format!("me (pid {})", std::process::id())).len(),
            1
        );
        assert!(super::living("me (pid 4194300)").is_empty());
    }
}
