//! The cases: where they come from, and what stands in them.

pub mod forms;
mod levels;
pub mod rules;
mod select;

use std::path::{Path, PathBuf};
use std::{fmt, fs};

use serde::Deserialize;
use serde_json::{Value, json};

pub use levels::{LEVELS, Level, features};
pub use select::Selection;

/// What is wrong with the suite, or with what the runner was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(String);

impl Error {
    /// An error that says `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// A case as it stands in its file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// `<chapter>/<kebab-words>`; never changed.
    pub id: String,
    /// What is tested, for people.
    pub title: String,
    /// The rules of SPEC.md that say what comes out.
    pub rules: Vec<String>,
    /// The level that needs it.
    pub level: String,
    /// The feature that a driver must declare.
    pub feature: String,
    /// What the driver is asked to do.
    pub op: String,
    /// With what.
    pub input: Value,
    /// What must come out; for `connection` it stands in the steps.
    #[serde(default, deserialize_with = "present")]
    pub expect: Option<Value>,
    /// More, for people.
    #[serde(default)]
    pub note: Option<String>,
    /// The folder of its file.
    #[serde(skip)]
    pub chapter: String,
    /// Its file, below the folder of the cases.
    #[serde(skip)]
    pub file: String,
}

/// Tells `"expect": null` from no `expect`.
fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

/// A case as it is run: the special forms are expanded, and what is expected is apart from what the driver gets.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// What the driver gets.
    pub input: Value,
    /// What must come out; `$between` still stands in it.
    pub expected: Value,
}

impl Case {
    /// Expands the special forms and takes the expectations out of the steps of a connection.
    ///
    /// # Errors
    ///
    /// A special form that cannot be expanded; a connection whose steps are no list of objects; a missing or a superfluous `expect`.
    pub fn prepare(&self) -> Result<Prepared, Error> {
        let mut input = forms::expand(&self.input)?;
        let expected = match (&self.expect, self.op.as_str()) {
            (None, "connection") => take_expectations(&mut input)?,
            (Some(_), "connection") => {
                return Err(Error::new("a connection's expectations stand in its steps"));
            }
            (Some(expected), _) => forms::expand_expected(expected)?,
            (None, _) => return Err(Error::new("has no \"expect\"")),
        };
        Ok(Prepared { input, expected })
    }
}

fn take_expectations(input: &mut Value) -> Result<Value, Error> {
    let Some(Value::Array(steps)) = input.get_mut("steps") else {
        return Err(Error::new("a connection needs a list \"steps\""));
    };
    let mut expected = Vec::with_capacity(steps.len());
    for (number, step) in steps.iter_mut().enumerate() {
        let Value::Object(step) = step else {
            return Err(Error::new(format!("step {number} is no object")));
        };
        expected.push(step.remove("expect").unwrap_or_else(|| json!({})));
    }
    Ok(json!({ "steps": expected }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseFile {
    #[serde(rename = "$schema")]
    #[expect(dead_code, reason = "for editors")]
    schema: Option<String>,
    chapter: String,
    cases: Vec<Case>,
}

/// All cases, and what stands beside them.
#[derive(Debug, Default)]
pub struct Suite {
    /// In the order of their files.
    pub cases: Vec<Case>,
    /// What is wrong with whole files: each with its name.
    pub broken: Vec<String>,
    /// The text of `untested.txt`.
    pub untested: String,
}

const EMBEDDED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/cases.rs"));

impl Suite {
    /// The cases that this binary was built with.
    #[must_use]
    pub fn embedded() -> Self {
        let mut suite = Self::default();
        for (name, text) in EMBEDDED {
            suite.add(name, text);
        }
        suite
    }

    /// The cases below a folder.
    ///
    /// # Errors
    ///
    /// A folder or a file that cannot be read.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let mut files = Vec::new();
        collect(folder, &mut files)?;
        files.sort();
        let mut suite = Self::default();
        for path in files {
            let text = fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
            let parts: Vec<_> = path
                .strip_prefix(folder)
                .unwrap_or(&path)
                .components()
                .collect();
            let name: Vec<_> = parts
                .iter()
                .map(|part| part.as_os_str().to_string_lossy())
                .collect();
            suite.add(&name.join("/"), &text);
        }
        Ok(suite)
    }

    fn add(&mut self, name: &str, text: &str) {
        if name == "untested.txt" {
            text.clone_into(&mut self.untested);
            return;
        }
        if !name.ends_with(".json") {
            return;
        }
        match serde_json::from_str::<CaseFile>(text) {
            Ok(file) => {
                let folder = name.split_once('/').map_or("", |(folder, _)| folder);
                if folder != file.chapter {
                    self.broken.push(format!(
                        "{name}: is of chapter {:?}, but lies in folder {folder:?}",
                        file.chapter
                    ));
                }
                self.cases.extend(file.cases.into_iter().map(|case| Case {
                    chapter: file.chapter.clone(),
                    file: name.to_owned(),
                    ..case
                }));
            }
            Err(error) => self.broken.push(format!("{name}: {error}")),
        }
    }

    /// The chapters, in the order of their first case.
    #[must_use]
    pub fn chapters(cases: &[&Case]) -> Vec<String> {
        let mut chapters: Vec<String> = Vec::new();
        for case in cases {
            if !chapters.contains(&case.chapter) {
                chapters.push(case.chapter.clone());
            }
        }
        chapters
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    let entries = fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
    for entry in entries {
        let path = entry.map_err(|error| unreadable(folder, &error))?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::new(format!("{}: {error}", path.display()))
}

/// A text that is cut where it is too long to be read.
pub(crate) fn cut(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let end = (0..=max).rev().find(|end| text.is_char_boundary(*end));
    let kept = end.and_then(|end| text.get(..end)).unwrap_or_default();
    format!("{kept}… ({} bytes)", text.len())
}
