//! The results for programs.

use serde_json::{Map, Value, json};

use super::Report;
use crate::mutants::MutantRun;
use crate::run::{Difference, DriverRun, Failure, SPEC_VERSION};
use crate::suite::{Case, Suite};

/// The report as JSON, with a new line at the end.
#[must_use]
pub fn render(report: &Report<'_>) -> String {
    let drivers = report
        .runs
        .iter()
        .map(|run| (run.name.clone(), driver(report, run)));
    let mut whole = json!({
        "spec": SPEC_VERSION,
        "suite": env!("CARGO_PKG_VERSION"),
        "cases": report.cases.len(),
        "complete": report.complete,
        "passed": report.is_good(),
        "drivers": drivers.collect::<Map<String, Value>>(),
        "wrong": report.wrong,
    });
    if let Some(runs) = report.mutants {
        whole["mutants"] = mutants(runs);
    }
    format!("{whole:#}\n")
}

/// The part about mutants.
#[must_use]
pub fn mutants(runs: &[MutantRun]) -> Value {
    let survivors: Vec<&str> = runs
        .iter()
        .filter(|run| !run.is_caught())
        .map(|run| run.id.as_str())
        .collect();
    let each: Vec<Value> = runs
        .iter()
        .map(|run| json!({"id": run.id, "description": run.description, "caught_by": run.caught_by, "problem": run.problem}))
        .collect();
    json!({"total": runs.len(), "caught": runs.len() - survivors.len(), "survivors": survivors, "each": each})
}

fn driver(report: &Report<'_>, run: &DriverRun) -> Value {
    let [passed, failed, skipped] = run.count(report.cases, |_| true);
    let known = report
        .failures(run)
        .filter(|(_, failure)| failure.known.is_some())
        .count();
    let levels = report
        .levels(run)
        .map(|(level, reached)| (level.name.to_owned(), reached.name().into()));
    let chapters = Suite::chapters(report.cases).into_iter().map(|chapter| {
        let [passed, failed, skipped] = run.count(report.cases, |case| case.chapter == chapter);
        (
            chapter,
            json!({"passed": passed, "failed": failed, "skipped": skipped}),
        )
    });
    let failures: Vec<Value> = report
        .failures(run)
        .map(|(case, one)| failure(case, one))
        .collect();
    json!({
        "implementation": run.hello.implementation,
        "version": run.hello.version,
        "language": run.hello.language,
        "features": run.hello.features,
        "command": run.command,
        "passed": passed,
        "failed": failed,
        "known": known,
        "skipped": skipped,
        "seconds": run.seconds,
        "levels": levels.collect::<Map<String, Value>>(),
        "chapters": chapters.collect::<Map<String, Value>>(),
        "problems": run.problems,
        "failures": failures,
    })
}

fn failure(case: &Case, failure: &Failure) -> Value {
    let differences: Vec<Value> = failure.differences.iter().map(difference).collect();
    json!({
        "case": case.id,
        "title": case.title,
        "rules": case.rules,
        "op": case.op,
        "reason": failure.reason,
        "step": failure.step,
        "input": failure.input,
        "expected": failure.expected,
        "got": failure.got,
        "differences": differences,
        "stderr": failure.errors,
        "known": failure.known,
    })
}

/// What is absent is left out, so that it is told from `null`.
fn difference(one: &Difference) -> Value {
    let mut shown = json!({"path": one.path});
    if let Some(expected) = &one.expected {
        shown["expected"] = expected.clone();
    }
    if let Some(got) = &one.got {
        shown["got"] = got.clone();
    }
    shown
}
