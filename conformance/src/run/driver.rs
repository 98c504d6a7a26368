//! A driver as the protocol sees it: who it is, and its answer to a case.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::Failure;
use super::compare::differences;
use super::process::{CommandLine, Process, Trouble};
use crate::suite::{self, Case, Error, Prepared};

/// What a driver says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Hello {
    /// The implementation under test.
    pub implementation: String,
    /// Its version.
    pub version: String,
    /// Its language.
    pub language: String,
    /// The versions of SPEC.md that it follows.
    pub spec: Vec<String>,
    /// What it can do.
    pub features: Vec<String>,
}

/// The version of SPEC.md that the cases test.
pub const SPEC_VERSION: &str = "1";

/// What became of a case.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It came out as expected.
    Passed,
    /// It did not, or nothing came out.
    Failed(Box<Failure>),
    /// The driver does not declare the feature.
    Skipped,
}

/// A driver that runs and has said hello.
#[derive(Debug)]
pub struct Driver {
    /// What it said.
    pub hello: Hello,
    process: Process,
}

impl Driver {
    /// Starts a driver and asks who it is.
    ///
    /// # Errors
    ///
    /// The command cannot be started, or its hello is none.
    pub fn start(command: &CommandLine, limit: Duration) -> Result<Self, Error> {
        let mut process = Process::start(command, limit)?;
        match greet(&mut process) {
            Ok(hello) => Ok(Self { hello, process }),
            Err(why) => {
                let errors = process.errors();
                let errors = if errors.is_empty() {
                    errors
                } else {
                    format!("\n{errors}")
                };
                Err(Error::new(format!(
                    "{}: hello: {why}{errors}",
                    command.text
                )))
            }
        }
    }

    /// Runs one case. After trouble, which is the second value, this driver is no longer alive.
    pub fn run(
        &mut self,
        case: &Case,
        prepared: &Prepared,
    ) -> (Result<(), Box<Failure>>, Option<Trouble>) {
        self.process.forget_errors();
        let mut request = Map::new();
        request.insert("do".to_owned(), "run".into());
        request.insert("op".to_owned(), case.op.as_str().into());
        request.insert("input".to_owned(), prepared.input.clone());
        let (mut failure, trouble) = match self.process.ask(request) {
            Ok(answer) => match judge(answer, prepared) {
                Ok(()) => return (Ok(()), None),
                Err(failure) => (failure, None),
            },
            Err(trouble) => (Failure::because(trouble.to_string()), Some(trouble)),
        };
        failure.errors = self.process.errors();
        (Err(failure), trouble)
    }

    /// Asks it to stop.
    ///
    /// # Errors
    ///
    /// What it did instead.
    pub fn stop(self) -> Result<(), Trouble> {
        self.process.stop()
    }
}

fn greet(process: &mut Process) -> Result<Hello, String> {
    let mut request = Map::new();
    request.insert("do".to_owned(), "hello".into());
    let answer = process
        .ask_first(request)
        .map_err(|trouble| trouble.to_string())?;
    let shown = Value::Object(answer.clone()).to_string();
    let hello: Hello = serde_json::from_value(Value::Object(answer))
        .map_err(|error| format!("{error} in {shown}"))?;
    if !hello.spec.iter().any(|version| version == SPEC_VERSION) {
        return Err(format!(
            "the driver follows spec {:?}, these cases are of {SPEC_VERSION:?}",
            hello.spec
        ));
    }
    let known = suite::features();
    if let Some(unknown) = hello
        .features
        .iter()
        .find(|feature| !known.contains(&feature.as_str()))
    {
        return Err(format!(
            "{unknown:?} is no feature; there are {}",
            known.join(", ")
        ));
    }
    Ok(hello)
}

/// Compares an answer with what was expected.
fn judge(mut answer: Map<String, Value>, prepared: &Prepared) -> Result<(), Box<Failure>> {
    let members: Vec<String> = answer.keys().cloned().collect();
    match members.as_slice() {
        [one] if one == "output" => {
            let got = answer.remove("output").unwrap_or_default();
            let differences = differences(&prepared.expected, &got);
            if differences.is_empty() {
                return Ok(());
            }
            Err(Failure::different(differences, got))
        }
        [one] if one == "unsupported" => Err(Failure::because(format!(
            "the driver declares the feature and answers unsupported: {}",
            text(answer.get("unsupported"))
        ))),
        [one] if one == "error" => Err(Failure::because(format!(
            "the driver failed: {}",
            text(answer.get("error"))
        ))),
        _ => Err(Failure::because(format!(
            "an answer has one of output, unsupported and error, not: {}",
            members.join(", ")
        ))),
    }
}

fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        other => other.map(Value::to_string).unwrap_or_default(),
    }
}
