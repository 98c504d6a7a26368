//! What came of the matrix: a table, JSON, and one page.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use serde_json::json;
use wirespan_conformance::trace::text::html;

/// What came of one scenario between two peers.
pub(crate) struct Result_ {
    pub(crate) client: String,
    pub(crate) server: String,
    pub(crate) scenario: &'static str,
    pub(crate) title: &'static str,
    pub(crate) problems: Vec<String>,
    pub(crate) skipped: Option<&'static str>,
    pub(crate) seconds: f64,
}

impl Result_ {
    fn state(&self) -> &'static str {
        match (self.problems.is_empty(), self.skipped) {
            (false, _) => "failed",
            (true, Some(_)) => "skipped",
            (true, None) => "passed",
        }
    }
}

/// Everything.
pub(crate) struct Matrix {
    /// Names with the libraries that they use.
    pub(crate) languages: Vec<(String, String)>,
    pub(crate) results: Vec<Result_>,
    pub(crate) seconds: f64,
}

impl Matrix {
    fn count(&self, state: &str) -> usize {
        self.results
            .iter()
            .filter(|result| result.state() == state)
            .count()
    }

    pub(crate) fn failed(&self) -> usize {
        self.count("failed")
    }

    fn pairs(&self) -> usize {
        let mut pairs: Vec<_> = self
            .results
            .iter()
            .map(|result| (&result.client, &result.server))
            .collect();
        pairs.sort_unstable();
        pairs.dedup();
        pairs.len()
    }

    fn scenarios(&self) -> BTreeMap<&'static str, &'static str> {
        self.results
            .iter()
            .map(|result| (result.scenario, result.title))
            .collect()
    }

    pub(crate) fn print(&self) {
        println!(
            "{} pairs, {} scenarios: {} passed, {} failed, {} skipped in {:.1} s",
            self.pairs(),
            self.scenarios().len(),
            self.count("passed"),
            self.failed(),
            self.count("skipped"),
            self.seconds
        );
    }

    /// Writes `live.json` and `live.html` into a folder.
    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let results: Vec<_> = self
            .results
            .iter()
            .map(|result| {
                json!({"client": result.client, "server": result.server, "scenario": result.scenario, "state": result.state(),
                       "problems": result.problems, "skipped": result.skipped, "seconds": result.seconds})
            })
            .collect();
        let report = json!({
            "pairs": self.pairs(), "scenarios": self.scenarios().len(), "passed": self.count("passed"), "failed": self.failed(),
            "skipped": self.count("skipped"), "seconds": self.seconds, "libraries": self.languages.iter().cloned().collect::<BTreeMap<_, _>>(),
            "results": results,
        });
        std::fs::write(folder.join("live.json"), format!("{report:#}\n"))?;
        std::fs::write(folder.join("live.html"), self.page())
    }

    fn page(&self) -> String {
        let mut page = String::from(HEAD);
        let _ = write!(
            page,
            "<h1>Live matrix</h1><p>{} ordered pairs, {} scenarios: <b>{}</b> passed, <b class=\"failed\">{}</b> failed, {} skipped, in {:.1} s.</p>",
            self.pairs(),
            self.scenarios().len(),
            self.count("passed"),
            self.failed(),
            self.count("skipped"),
            self.seconds
        );
        let libraries: Vec<String> = self
            .languages
            .iter()
            .map(|(name, library)| format!("{} ({})", html(name), html(library)))
            .collect();
        let _ = write!(page, "<p>Languages: {}.</p>", libraries.join(", "));
        self.table(&mut page);
        let failures: Vec<&Result_> = self
            .results
            .iter()
            .filter(|result| result.state() == "failed")
            .collect();
        if !failures.is_empty() {
            page.push_str("<h2>Failures</h2>");
        }
        for result in failures {
            let _ = write!(
                page,
                "<h3>{} → {}: {}</h3><ul>",
                html(&result.client),
                html(&result.server),
                html(result.scenario)
            );
            for problem in &result.problems {
                let _ = write!(page, "<li><code>{}</code></li>", html(problem));
            }
            page.push_str("</ul>");
        }
        page.push_str("</main></html>\n");
        page
    }

    /// A row for each scenario, a column for each pair.
    fn table(&self, page: &mut String) {
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        for result in &self.results {
            let pair = (result.client.as_str(), result.server.as_str());
            if !pairs.contains(&pair) {
                pairs.push(pair);
            }
        }
        page.push_str("<div class=\"wide\"><table><thead><tr><th>scenario</th>");
        for (client, server) in &pairs {
            let _ = write!(
                page,
                "<th class=\"pair\">{}<br>→ {}</th>",
                html(client),
                html(server)
            );
        }
        page.push_str("</tr></thead><tbody>");
        let mut seen = Vec::new();
        for result in &self.results {
            if seen.contains(&result.scenario) {
                continue;
            }
            seen.push(result.scenario);
            let _ = write!(
                page,
                "<tr><th>{}<small>{}</small></th>",
                html(result.scenario),
                html(result.title)
            );
            for (client, server) in &pairs {
                let cell = self.results.iter().find(|cell| {
                    cell.scenario == result.scenario
                        && cell.client == *client
                        && cell.server == *server
                });
                let (class, sign, title) = match cell {
                    Some(cell) if cell.state() == "passed" => {
                        ("passed", "✓", format!("{:.2} s", cell.seconds))
                    }
                    Some(cell) if cell.state() == "skipped" => {
                        ("skipped", "–", cell.skipped.unwrap_or_default().to_owned())
                    }
                    Some(cell) => ("failed", "✗", cell.problems.join("\n")),
                    None => ("skipped", "", String::new()),
                };
                let _ = write!(
                    page,
                    "<td class=\"{class}\" title=\"{}\">{sign}</td>",
                    html(&title)
                );
            }
            page.push_str("</tr>");
        }
        page.push_str("</tbody></table></div>");
    }
}

const HEAD: &str = r#"<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Wirespan: live matrix</title>
<style>
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 112rem; margin: 2rem auto; padding: 0 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { padding: .25rem .5rem; border-bottom: 1px solid color-mix(in srgb, currentColor 20%, transparent); text-align: left; }
tbody th { font-weight: 600; white-space: nowrap; } tbody small { display: block; font-weight: 400; opacity: .75; }
.pair { font-size: .75rem; font-weight: 400; vertical-align: bottom; }
td { text-align: center; } td.passed { color: light-dark(#137333, #81c995); } td.failed, .failed { color: light-dark(#b3261e, #f28b82); font-weight: 700; } td.skipped { opacity: .5; }
code { white-space: pre-wrap; overflow-wrap: anywhere; }
</style><main>"#;
