//! What came out, for terminals, programs and browsers.

pub mod html;
pub mod json;
pub mod junit;
mod markup;
pub mod terminal;

use crate::mutants::MutantRun;
use crate::run::{DriverRun, Failure, Outcome};
use crate::suite::{Case, LEVELS, Level, cut};

/// Everything that a report says.
#[derive(Debug)]
pub struct Report<'a> {
    /// The cases that were run.
    pub cases: &'a [&'a Case],
    /// Whether these are all cases, so that levels can be claimed.
    pub complete: bool,
    /// What came out, for each driver.
    pub runs: &'a [DriverRun],
    /// What is wrong with the list of known failures and with sets of mutants.
    pub wrong: &'a [String],
    /// What became of mutants, if some were run.
    pub mutants: Option<&'a [MutantRun]>,
}

/// How far a driver is with a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// All features are declared and all cases pass.
    Yes,
    /// All features are declared, and something fails.
    No,
    /// Not all features are declared.
    NotClaimed,
    /// Not all cases of the suite were run, or the level has none.
    Unknown,
}

impl Reached {
    /// For the results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Yes => "reached",
            Self::No => "not reached",
            Self::NotClaimed => "not claimed",
            Self::Unknown => "unknown",
        }
    }
}

impl<'a> Report<'a> {
    /// Whether everything is as expected.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let fine = |run: &DriverRun| {
            run.problems.is_empty()
                && self
                    .failures(run)
                    .all(|(_, failure)| failure.known.is_some())
        };
        self.wrong.is_empty()
            && self.runs.iter().all(fine)
            && self
                .mutants
                .is_none_or(|mutants| mutants.iter().all(MutantRun::is_caught))
    }

    /// The failures of a driver, with their cases.
    pub fn failures<'r>(
        &'r self,
        run: &'r DriverRun,
    ) -> impl Iterator<Item = (&'a Case, &'r Failure)> {
        let both = self.cases.iter().zip(&run.outcomes);
        both.filter_map(|(case, outcome)| match outcome {
            Some(Outcome::Failed(failure)) => Some((*case, &**failure)),
            _ => None,
        })
    }

    /// How far a driver is with each level.
    pub fn levels<'r>(
        &'r self,
        run: &'r DriverRun,
    ) -> impl Iterator<Item = (&'static Level, Reached)> {
        LEVELS.iter().map(|level| {
            let [passed, failed, skipped] = run.count(self.cases, |case| case.level == level.name);
            let declared = level
                .features
                .iter()
                .all(|feature| run.hello.features.iter().any(|one| one == feature));
            let reached = match (passed, failed + skipped) {
                _ if !declared => Reached::NotClaimed,
                (0, 0) => Reached::Unknown,
                _ if !self.complete => Reached::Unknown,
                (_, 0) => Reached::Yes,
                _ => Reached::No,
            };
            (level, reached)
        })
    }
}

/// What a cell of the table says.
struct Cell {
    passed: usize,
    failed: usize,
    known: usize,
    skipped: usize,
}

impl Cell {
    fn of(report: &Report<'_>, run: &DriverRun, of: impl Fn(&Case) -> bool) -> Self {
        let known = report
            .failures(run)
            .filter(|(case, failure)| of(case) && failure.known.is_some())
            .count();
        let [passed, failed, skipped] = run.count(report.cases, of);
        Self {
            passed,
            failed: failed - known,
            known,
            skipped,
        }
    }

    fn text(&self) -> String {
        let counts = [
            (self.passed, "passed"),
            (self.failed, "FAILED"),
            (self.known, "known"),
            (self.skipped, "skipped"),
        ];
        let parts: Vec<String> = counts
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        parts.join(", ")
    }
}
