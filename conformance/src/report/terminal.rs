//! The results for people at a terminal.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Cell, Reached, Report, cut};
use crate::mutants::MutantRun;
use crate::run::{DriverRun, Failure};
use crate::suite::{Case, Suite};

/// Failures first, up to `show` of each driver, and then the table, so that the end of the output is the result.
#[must_use]
pub fn render(report: &Report<'_>, show: usize) -> String {
    let mut out = String::new();
    for run in report.runs {
        failures(&mut out, report, run, show);
    }
    out.push_str(&table(report));
    for run in report.runs {
        for problem in &run.problems {
            let _ = writeln!(out, "{}: {}", run.name, problem);
        }
    }
    for wrong in report.wrong {
        let _ = writeln!(out, "{}", wrong);
    }
    if let Some(runs) = report.mutants {
        out.push_str(&mutants(runs));
    }
    out
}

/// The mutants that survived, and how many there are.
#[must_use]
pub fn mutants(runs: &[MutantRun]) -> String {
    let mut out = String::new();
    let survivors = runs.iter().filter(|run| !run.is_caught());
    let mut caught = runs.len();
    for run in survivors {
        caught -= 1;
        let why = run.problem.as_deref().unwrap_or("no case fails");
        let _ = writeln!(
            out,
            "mutant {} is not caught: {} ({})",
            run.id, run.description, why
        );
    }
    let _ = writeln!(out, "mutants: {caught} of {} caught", runs.len());
    out
}

fn failures(out: &mut String, report: &Report<'_>, run: &DriverRun, show: usize) {
    let unexpected: Vec<_> = report
        .failures(run)
        .filter(|(_, failure)| failure.known.is_none())
        .collect();
    for (case, failure) in unexpected.iter().take(show) {
        let _ = writeln!(out, "FAILED {} with {}", case.id, run.name);
        out.push_str(&explained(case, failure));
        out.push('\n');
    }
    if let Some(more) = unexpected.len().checked_sub(show).filter(|more| *more > 0) {
        let _ = writeln!(
            out,
            "… and {more} more failures of {}, see --show, --json and --html\n",
            run.name
        );
    }
}

/// A failure, a line for each thing that there is to know.
pub(super) fn explained(case: &Case, failure: &Failure) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "  {} [{}]", case.title, case.rules.join(", "));
    let _ = writeln!(out, "  {}", failure.reason);
    if let Some(step) = failure.step {
        let _ = writeln!(out, "  step {step}: {}", one_line(&failure.input, 600));
    } else {
        let _ = writeln!(out, "  {}: {}", case.op, one_line(&failure.input, 600));
    }
    let shown = |value: &Option<Value>| {
        value
            .as_ref()
            .map_or_else(|| "nothing".to_owned(), |value| one_line(value, 400))
    };
    for one in &failure.differences {
        let path = if one.path.is_empty() {
            "output"
        } else {
            &one.path
        };
        let _ = writeln!(out, "    {}", path);
        let _ = writeln!(out, "      expected  {}", shown(&one.expected));
        let _ = writeln!(out, "      got       {}", shown(&one.got));
    }
    for line in failure.errors.lines() {
        let _ = writeln!(out, "  stderr: {}", line);
    }
    out
}

fn one_line(value: &Value, max: usize) -> String {
    cut(&value.to_string(), max)
}

/// A text without what would steer the terminal: names, reasons and outputs come from drivers.
#[must_use]
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '\n' | '\t' => character,
            other if other.is_control() => '\u{fffd}',
            other => other,
        })
        .collect()
}

fn table(report: &Report<'_>) -> String {
    let mut rows = vec![vec![String::new()]];
    for run in report.runs {
        push(&mut rows, 0, run.name.clone());
    }
    for chapter in Suite::chapters(report.cases) {
        rows.push(vec![chapter.clone()]);
        for run in report.runs {
            let last = rows.len() - 1;
            push(
                &mut rows,
                last,
                Cell::of(report, run, |case| case.chapter == chapter).text(),
            );
        }
    }
    rows.push(vec!["total".to_owned()]);
    rows.push(vec!["levels".to_owned()]);
    for run in report.runs {
        let last = rows.len() - 1;
        push(&mut rows, last - 1, Cell::of(report, run, |_| true).text());
        let reached: Vec<&str> = report
            .levels(run)
            .filter(|(_, reached)| *reached == Reached::Yes)
            .map(|(level, _)| level.name)
            .collect();
        let levels = match reached.as_slice() {
            [] if !report.complete => "(not all cases)".to_owned(),
            [] => "none".to_owned(),
            some => some.join(" "),
        };
        push(&mut rows, last, levels);
    }
    aligned(&rows)
}

fn push(rows: &mut [Vec<String>], row: usize, cell: String) {
    if let Some(row) = rows.get_mut(row) {
        row.push(cell);
    }
}

fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out
}
