//! The results for tools that read JUnit's XML.

use std::fmt::Write as _;

use super::markup::escaped;
use super::{Report, cut, terminal};
use crate::run::{DriverRun, Failure, Outcome};
use crate::suite::{Case, Suite};

/// A test suite for each driver and chapter.
#[must_use]
pub fn render(report: &Report<'_>) -> String {
    let mut out = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"wirespan-conformance\">\n",
    );
    for run in report.runs {
        for chapter in Suite::chapters(report.cases) {
            suite(&mut out, report, run, &chapter);
        }
        lines(&mut out, &run.name, &run.problems);
    }
    lines(&mut out, "known failures and mutants", report.wrong);
    if let Some(mutants) = report.mutants {
        let survivors: Vec<String> = mutants
            .iter()
            .filter(|run| !run.is_caught())
            .map(|run| format!("mutant {} is not caught: {}", run.id, run.description))
            .collect();
        lines(&mut out, "mutants", &survivors);
    }
    out.push_str("</testsuites>\n");
    out
}

fn suite(out: &mut String, report: &Report<'_>, run: &DriverRun, chapter: &str) {
    let [passed, failed, skipped] = run.count(report.cases, |case| case.chapter == chapter);
    let known = report
        .failures(run)
        .filter(|(case, failure)| case.chapter == chapter && failure.known.is_some())
        .count();
    let name = escaped(&format!("{}.{chapter}", run.name));
    let tests = passed + failed + skipped;
    let (failed, skipped) = (failed - known, skipped + known);
    let _ = writeln!(
        out,
        "<testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failed}\" skipped=\"{skipped}\">"
    );
    for (case, outcome) in report.cases.iter().zip(&run.outcomes) {
        if case.chapter == chapter
            && let Some(outcome) = outcome
        {
            test(out, &name, case, outcome);
        }
    }
    out.push_str("</testsuite>\n");
}

fn test(out: &mut String, suite: &str, case: &Case, outcome: &Outcome) {
    let id = escaped(&case.id);
    let _ = match outcome {
        Outcome::Passed => writeln!(out, "<testcase classname=\"{suite}\" name=\"{id}\"/>"),
        Outcome::Skipped => writeln!(
            out,
            "<testcase classname=\"{suite}\" name=\"{id}\"><skipped message=\"feature {} is not declared\"/></testcase>",
            escaped(&case.feature)
        ),
        Outcome::Failed(failure) => writeln!(
            out,
            "<testcase classname=\"{suite}\" name=\"{id}\">{}</testcase>",
            failed(case, failure)
        ),
    };
}

fn failed(case: &Case, failure: &Failure) -> String {
    if let Some(known) = &failure.known {
        return format!(
            "<skipped message=\"{}\"/>",
            escaped(&format!("known failure: {known}"))
        );
    }
    let text = cut(&terminal::explained(case, failure), 16_384);
    format!(
        "<failure message=\"{}\">{}</failure>",
        escaped(&failure.reason),
        escaped(&text)
    )
}

/// What failed beside cases.
fn lines(out: &mut String, name: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let (name, count) = (escaped(name), lines.len());
    let _ = writeln!(
        out,
        "<testsuite name=\"{name}\" tests=\"{count}\" failures=\"{count}\">"
    );
    for line in lines {
        let line = escaped(line);
        let _ = writeln!(
            out,
            "<testcase classname=\"{name}\" name=\"{line}\"><failure message=\"{line}\"/></testcase>"
        );
    }
    out.push_str("</testsuite>\n");
}
