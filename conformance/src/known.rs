//! Known failures: listed with a reason, and wrong as soon as they no longer fail.

use wildmatch::WildMatch;

use crate::run::{DriverRun, Outcome};
use crate::suite::{Case, Error};

/// The lines of a file of known failures.
#[derive(Debug, Default)]
pub struct KnownFailures {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    line: usize,
    text: String,
    /// The drivers that it is about.
    drivers: WildMatch,
    ids: WildMatch,
    reason: String,
}

impl KnownFailures {
    /// Reads lines `pattern # reason` or `driver: pattern # reason`; empty lines and lines that begin with `#` say nothing.
    ///
    /// # Errors
    ///
    /// A line without a pattern or without a reason.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut entries = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let number = index + 1;
            let (pattern, reason) = line.split_once('#').unwrap_or((line, ""));
            let (pattern, reason) = (pattern.trim(), reason.trim());
            if reason.is_empty() {
                return Err(Error::new(format!(
                    "line {number}: a known failure needs a reason: {line:?}"
                )));
            }
            let (drivers, ids) = match pattern.split_once(':') {
                Some((drivers, ids)) => (drivers.trim(), ids.trim()),
                None => ("*", pattern),
            };
            entries.push(Entry {
                line: number,
                text: pattern.to_owned(),
                drivers: WildMatch::new(drivers),
                ids: WildMatch::new(ids),
                reason: reason.to_owned(),
            });
        }
        Ok(Self { entries })
    }

    /// Marks the failures that are known, and says which lines are no longer right: `all` are the cases of the suite, `cases` those
    /// that were run.
    pub fn apply(&self, runs: &mut [DriverRun], all: &[Case], cases: &[&Case]) -> Vec<String> {
        let mut wrong = Vec::new();
        for entry in &self.entries {
            let about = |name: &str| entry.drivers.matches(name);
            if !all.iter().any(|case| entry.ids.matches(&case.id)) {
                wrong.push(format!(
                    "known failures, line {}: {:?} matches no case",
                    entry.line, entry.text
                ));
            }
            if !runs.iter().any(|run| about(&run.name)) {
                wrong.push(format!(
                    "known failures, line {}: {:?} matches no driver",
                    entry.line, entry.text
                ));
            }
            for run in runs.iter_mut().filter(|run| about(&run.name)) {
                let matching = cases
                    .iter()
                    .zip(&mut run.outcomes)
                    .filter(|(case, _)| entry.ids.matches(&case.id));
                for (case, outcome) in matching {
                    match outcome {
                        Some(Outcome::Failed(failure)) => {
                            failure.known = Some(entry.reason.clone())
                        }
                        Some(Outcome::Passed) => wrong.push(format!(
                            "known failures, line {}: {} passes with {}, and is listed as failing",
                            entry.line, case.id, run.name
                        )),
                        Some(Outcome::Skipped) | None => {}
                    }
                }
            }
        }
        wrong
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_line_needs_a_reason() {
        assert!(KnownFailures::parse("a/b").is_err());
        assert!(KnownFailures::parse("a/b #  ").is_err());
        let known = KnownFailures::parse("# text\n\n a/* # because\nnode: b/c # that\n").unwrap();
        let seen: Vec<_> = known
            .entries
            .iter()
            .map(|one| (one.line, one.text.as_str(), one.reason.as_str()))
            .collect();
        assert_eq!(seen, [(3, "a/*", "because"), (4, "node: b/c", "that")]);
    }
}
