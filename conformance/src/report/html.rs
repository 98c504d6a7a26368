//! The results as one page that needs nothing else: no script, no font, no other file.

use std::fmt::Write as _;

use serde_json::Value;

use super::markup::escaped;
use super::{Cell, Reached, Report, cut};
use crate::mutants::MutantRun;
use crate::run::{DriverRun, Failure, SPEC_VERSION};
use crate::suite::rules::{Rule, SPEC, rules};
use crate::suite::{Case, Suite};

/// Where the rules can be read.
const SPEC_ADDRESS: &str = concat!(
    env!("CARGO_PKG_REPOSITORY"),
    "/blob/main/conformance/SPEC.md"
);
/// A value is shown up to so many bytes; the JSON has all of it.
const MAX_VALUE: usize = 4096;

/// The name of the last row.
const TOTAL: &str = "total";

/// The report as a page.
#[must_use]
pub fn render(report: &Report<'_>) -> String {
    let mut out = String::new();
    let verdict = if report.is_good() {
        "everything as expected"
    } else {
        "not as expected"
    };
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Wirespan conformance: {verdict}</title><style>{STYLE}</style></head><body><main>\n\
         <h1>Wirespan conformance</h1>\n<p class=\"{}\">{} cases of specification {SPEC_VERSION}, suite {}, {} drivers: {verdict}.</p>\n",
        if report.is_good() { "good" } else { "bad" },
        report.cases.len(),
        env!("CARGO_PKG_VERSION"),
        report.runs.len(),
    );
    matrix(&mut out, report);
    drivers(&mut out, report);
    lines(
        &mut out,
        "Known failures and mutants: what is wrong",
        report.wrong,
    );
    if let Some(runs) = report.mutants {
        mutants(&mut out, runs);
    }
    let known = rules(SPEC);
    for (number, run) in report.runs.iter().enumerate() {
        failures(&mut out, report, (number, run), &known);
    }
    out.push_str("</main></body></html>\n");
    out
}

fn matrix(out: &mut String, report: &Report<'_>) {
    out.push_str(
        "<h2>Chapters</h2>\n<div class=\"wide\"><table class=\"matrix\"><thead><tr><th scope=\"col\" class=\"text\">chapter</th>",
    );
    for run in report.runs {
        let _ = write!(out, "<th scope=\"col\">{}</th>", escaped(&run.name));
    }
    out.push_str("</tr></thead><tbody>\n");
    for chapter in Suite::chapters(report.cases) {
        row(out, report, &chapter, |case| case.chapter == chapter);
    }
    row(out, report, TOTAL, |_| true);
    out.push_str("</tbody></table></div>\n");
}

fn row(out: &mut String, report: &Report<'_>, name: &str, of: impl Fn(&Case) -> bool) {
    let _ = write!(out, "<tr><th scope=\"row\">{}</th>", escaped(name));
    for (number, run) in report.runs.iter().enumerate() {
        let cell = Cell::of(report, run, &of);
        let class = match &cell {
            Cell { failed: 1.., .. } => "bad",
            Cell { known: 1.., .. } => "partly",
            Cell { passed: 0, .. } => "none",
            Cell { skipped: 1.., .. } => "partly",
            _ => "good",
        };
        let text = cell.text();
        let linked = cell.failed + cell.known > 0 && name != TOTAL;
        let text = if linked {
            format!("<a href=\"#{}\">{text}</a>", place(number, name))
        } else {
            text
        };
        let _ = write!(out, "<td class=\"{class}\">{text}</td>");
    }
    out.push_str("</tr>\n");
}

/// Where the failures of a driver in a chapter are on the page.
fn place(driver: usize, chapter: &str) -> String {
    escaped(&format!("driver-{}-{chapter}", driver + 1))
}

fn drivers(out: &mut String, report: &Report<'_>) {
    out.push_str("<h2>Drivers</h2>\n<div class=\"wide\"><table><thead><tr><th scope=\"col\" class=\"text\">driver</th><th scope=\"col\" class=\"text\">implementation</th>");
    for level in &crate::suite::LEVELS {
        let _ = write!(out, "<th scope=\"col\">{}</th>", level.name);
    }
    out.push_str("<th scope=\"col\">seconds</th></tr></thead><tbody>\n");
    for run in report.runs {
        let hello = &run.hello;
        let _ = write!(
            out,
            "<tr><th scope=\"row\">{}</th><td class=\"text\">{} {} ({})<br><code>{}</code></td>",
            escaped(&run.name),
            escaped(&hello.implementation),
            escaped(&hello.version),
            escaped(&hello.language),
            escaped(&run.command),
        );
        for (_, reached) in report.levels(run) {
            let class = match reached {
                Reached::Yes => "good",
                Reached::No => "bad",
                Reached::NotClaimed | Reached::Unknown => "none",
            };
            let _ = write!(out, "<td class=\"{class}\">{}</td>", reached.name());
        }
        let _ = writeln!(out, "<td>{:.2}</td></tr>", run.seconds);
    }
    out.push_str("</tbody></table></div>\n");
    for run in report.runs {
        lines(
            out,
            &format!("Beside the cases: {}", run.name),
            &run.problems,
        );
    }
}

fn lines(out: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(out, "<h3>{}</h3>\n<ul class=\"bad\">", escaped(title));
    for line in lines {
        let _ = writeln!(out, "<li>{}</li>", escaped(line));
    }
    out.push_str("</ul>\n");
}

fn mutants(out: &mut String, runs: &[MutantRun]) {
    let caught = runs.iter().filter(|run| run.is_caught()).count();
    let class = if caught == runs.len() { "good" } else { "bad" };
    let _ = writeln!(
        out,
        "<h2>Mutants</h2>\n<p class=\"{class}\">{caught} of {} caught.</p>\n<details><summary>Each mutant</summary>\n<div class=\"wide\"><table>\
         <thead><tr><th scope=\"col\" class=\"text\">mutant</th><th scope=\"col\" class=\"text\">fault</th><th scope=\"col\" class=\"text\">caught by</th></tr></thead><tbody>",
        runs.len()
    );
    for run in runs {
        let (class, by) = match (&run.problem, run.is_caught()) {
            (Some(problem), _) => ("bad", escaped(problem)),
            (None, false) => ("bad", "nothing".to_owned()),
            (None, true) => ("good", escaped(&run.caught_by.join(", "))),
        };
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\">{}</th><td class=\"text\">{}</td><td class=\"text {class}\">{by}</td></tr>",
            escaped(&run.id),
            escaped(&run.description),
        );
    }
    out.push_str("</tbody></table></div></details>\n");
}

fn failures(
    out: &mut String,
    report: &Report<'_>,
    (number, run): (usize, &DriverRun),
    known: &[Rule],
) {
    let mut chapter = None;
    for (case, failure) in report.failures(run) {
        if chapter.is_none() {
            let _ = writeln!(out, "<h2>Failures of {}</h2>", escaped(&run.name));
        }
        if chapter != Some(&case.chapter) {
            let _ = writeln!(
                out,
                "<h3 id=\"{}\">{}</h3>",
                place(number, &case.chapter),
                escaped(&case.chapter)
            );
            chapter = Some(&case.chapter);
        }
        one(out, case, failure, known);
    }
}

fn one(out: &mut String, case: &Case, failure: &Failure, known: &[Rule]) {
    let state = if failure.known.is_some() {
        "known"
    } else {
        "failed"
    };
    let _ = writeln!(
        out,
        "<details class=\"{state}\"><summary><code>{}</code> {}</summary>\n<p>{}</p>",
        escaped(&case.id),
        escaped(&case.title),
        escaped(&failure.reason),
    );
    if let Some(reason) = &failure.known {
        let _ = writeln!(out, "<p class=\"partly\">Known: {}</p>", escaped(reason));
    }
    out.push_str("<ul class=\"rules\">\n");
    for id in &case.rules {
        let text = known
            .iter()
            .find(|rule| rule.id == *id)
            .map_or("", |rule| rule.text.as_str());
        let id = escaped(id);
        let _ = writeln!(
            out,
            "<li><a href=\"{SPEC_ADDRESS}#{id}\">{id}</a> {}</li>",
            inline(text)
        );
    }
    out.push_str("</ul>\n");
    let what = match failure.step {
        Some(step) => format!("Step {step}"),
        None => format!("Input of {}", case.op),
    };
    value(out, &what, &failure.input);
    if failure.differences.is_empty() {
        value(out, "Expected", &failure.expected);
    } else {
        differences(out, failure);
        out.push_str("<details><summary>Whole output</summary>\n");
        value(out, "Expected", &failure.expected);
        value(out, "Got", failure.got.as_ref().unwrap_or(&Value::Null));
        out.push_str("</details>\n");
    }
    if !failure.errors.is_empty() {
        let _ = writeln!(
            out,
            "<h4>Standard error</h4>\n<pre>{}</pre>",
            escaped(&failure.errors)
        );
    }
    out.push_str("</details>\n");
}

/// The text of a rule: its code and its links to other rules, everything else as it is.
fn inline(text: &str) -> String {
    let mut out = String::new();
    for (index, part) in text.split('`').enumerate() {
        if index % 2 == 1 {
            let _ = write!(out, "<code>{}</code>", escaped(part));
            continue;
        }
        let mut rest = part;
        while let Some((before, name, anchor, behind)) = next_link(rest) {
            let (before, name, anchor) = (escaped(before), escaped(name), escaped(anchor));
            let _ = write!(
                out,
                "{before}<a href=\"{SPEC_ADDRESS}#{anchor}\">{name}</a>"
            );
            rest = behind;
        }
        out.push_str(&escaped(rest));
    }
    out
}

/// The first `[name](#anchor)` of a text, with what stands before and behind it.
fn next_link(text: &str) -> Option<(&str, &str, &str, &str)> {
    let (front, rest) = text.split_once("](#")?;
    let (before, name) = front.rsplit_once('[')?;
    let (anchor, behind) = rest.split_once(')')?;
    Some((before, name, anchor, behind))
}

fn differences(out: &mut String, failure: &Failure) {
    out.push_str("<div class=\"wide\"><table><thead><tr><th scope=\"col\" class=\"text\">where</th><th scope=\"col\" class=\"text\">expected</th><th scope=\"col\" class=\"text\">got</th></tr></thead><tbody>\n");
    let shown = |value: &Option<Value>| match value {
        Some(value) => format!(
            "<code>{}</code>",
            escaped(&cut(&value.to_string(), MAX_VALUE))
        ),
        None => "<em>nothing</em>".to_owned(),
    };
    for one in &failure.differences {
        let path = if one.path.is_empty() {
            "output"
        } else {
            &one.path
        };
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\"><code>{}</code></th><td class=\"text good\">{}</td><td class=\"text bad\">{}</td></tr>",
            escaped(path),
            shown(&one.expected),
            shown(&one.got)
        );
    }
    out.push_str("</tbody></table></div>\n");
}

fn value(out: &mut String, title: &str, value: &Value) {
    let text = cut(&format!("{value:#}"), MAX_VALUE);
    let _ = writeln!(
        out,
        "<h4>{}</h4>\n<pre>{}</pre>",
        escaped(title),
        escaped(&text)
    );
}

/// Light and dark by the reader's setting; colours are never the only sign.
const STYLE: &str = "
:root{color-scheme:light dark;--paper:#fff;--ink:#1c2024;--soft:#60676f;--line:#d8dce0;--shade:#f4f5f7;--good:#11693b;--good-bg:#e3f4ea;--bad:#a3201d;--bad-bg:#fce8e6;--partly:#7a5200;--partly-bg:#fdf1d8;--link:#0b57c2}
@media(prefers-color-scheme:dark){:root{--paper:#15181b;--ink:#e4e7ea;--soft:#9aa2ab;--line:#343a40;--shade:#1e2226;--good:#7fd8a4;--good-bg:#16301f;--bad:#ff9d96;--bad-bg:#3a1917;--partly:#f0c674;--partly-bg:#33280f;--link:#8ab8ff}}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:72rem;margin:0 auto;padding:1.5rem 1rem 4rem}
h1{font-size:1.5rem;margin:0 0 .5rem}h2{font-size:1.15rem;margin:2rem 0 .6rem}h3,h4{font-size:.9rem;margin:1rem 0 .3rem}
a{color:var(--link)}code,pre{font:13px/1.45 ui-monospace,monospace}
p.good,p.bad,p.partly{display:inline-block;padding:.3rem .7rem;border-radius:.3rem;margin:.3rem 0}
.wide{overflow-x:auto}table{border-collapse:collapse}
th,td{border:1px solid var(--line);padding:.3rem .6rem;text-align:right;vertical-align:top;font-variant-numeric:tabular-nums}
thead th{background:var(--shade);font-weight:600}th[scope=row]{text-align:left;font-weight:500}
th.text{text-align:left}td a{color:inherit}td.text{text-align:left;overflow-wrap:anywhere}.matrix tbody tr:last-child>th{font-weight:600}
.good{background:var(--good-bg);color:var(--good)}.bad{background:var(--bad-bg);color:var(--bad)}.partly{background:var(--partly-bg);color:var(--partly)}.none{color:var(--soft)}
ul.bad{padding:.6rem .6rem .6rem 2rem;border-radius:.3rem}ul.rules{padding-left:1.2rem;color:var(--soft)}
details{border:1px solid var(--line);border-radius:.3rem;margin:.4rem 0;padding:.3rem .8rem}details>summary{cursor:pointer}
details.failed{border-left:4px solid var(--bad)}details.known{border-left:4px solid var(--partly)}details[open]>summary{margin-bottom:.5rem}
pre{background:var(--shade);padding:.6rem;border-radius:.3rem;overflow-x:auto;white-space:pre-wrap;overflow-wrap:anywhere;margin:.2rem 0}
";

#[cfg(test)]
mod tests {
    use super::inline;

    #[test]
    fn rules_are_shown_with_their_code_and_links() {
        let address = super::SPEC_ADDRESS;
        assert_eq!(
            inline("`<a>` is [no] link as [TX-6](#TX-6), and this [neither]: <link>."),
            format!(
                "<code>&lt;a&gt;</code> is [no] link as <a href=\"{address}#TX-6\">TX-6</a>, and this [neither]: &lt;link&gt;."
            )
        );
    }
}
