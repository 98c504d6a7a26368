//! Tests of the runner with drivers that misbehave, of the suite, and of the walk-through in PROTOCOL.md.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod drivers;
mod known;
mod mutants;
mod protocol;
mod reports;
mod suite;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

/// The folder of this crate.
fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A folder that goes away with its test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!(
            "wirespan-runner-test-{}-{number}",
            std::process::id()
        ));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What the runner did.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    fn of(arguments: &[&str]) -> Self {
        let output = Command::new(env!("CARGO_BIN_EXE_wirespan-conformance"))
            .args(arguments)
            .output()
            .unwrap();
        Self {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Runs the small cases of these tests through bad drivers.
fn run(kinds: &[&str], more: &[&str]) -> (Ran, Value) {
    let folder = Folder::new();
    let json = folder.path("deep/report.json");
    let cases = here("tests/cases");
    let drivers: Vec<String> = kinds.iter().map(|kind| bad(kind)).collect();
    let mut arguments = vec![
        "run",
        "--cases",
        cases.to_str().unwrap(),
        "--json",
        json.to_str().unwrap(),
    ];
    for driver in &drivers {
        arguments.extend(["--driver", driver]);
    }
    arguments.extend(more);
    let ran = Ran::of(&arguments);
    let report =
        fs::read_to_string(&json).map_or(Value::Null, |text| serde_json::from_str(&text).unwrap());
    (ran, report)
}

/// The command of a bad driver; a `kind` can have arguments.
fn bad(kind: &str) -> String {
    let script = here("tests/drivers/bad.py");
    let name = kind.split(' ').next().unwrap();
    format!("{name}=python3 '{}' {kind}", script.display())
}
