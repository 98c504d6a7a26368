//! The command line.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use wirespan_conformance::check;
use wirespan_conformance::known::KnownFailures;
use wirespan_conformance::mutants::{MutantRun, MutantSet};
use wirespan_conformance::report::{Report, html, json, junit, terminal};
use wirespan_conformance::run::{self, CommandLine, Progress, Settings};
use wirespan_conformance::suite::{Case, Error, Selection, Suite, rules};

/// The conformance suite of Wirespan: asks drivers, which are programs in any language, and compares.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs cases through drivers.
    Run(Run),
    /// Lists cases.
    List(Choice),
    /// Looks for faults of the suite itself.
    Check(Check),
    /// Runs drivers with one fault each: every one must fail a case.
    Mutants(Mutants),
}

/// Which cases.
#[derive(Debug, Args)]
struct Choice {
    /// A folder of cases instead of those that are built in.
    #[arg(long, value_name = "DIR")]
    cases: Option<PathBuf>,
    /// Only cases with such an id, with `*` and `?`; may be repeated.
    #[arg(long = "filter", value_name = "GLOB")]
    filters: Vec<String>,
    /// Only cases of a level; may be repeated.
    #[arg(long = "level")]
    levels: Vec<String>,
    /// Only cases that need a feature; may be repeated.
    #[arg(long = "feature")]
    features: Vec<String>,
    /// Only cases that test a rule of SPEC.md; may be repeated.
    #[arg(long = "rule")]
    rules: Vec<String>,
}

/// How cases are run.
#[derive(Debug, Args)]
struct How {
    /// Processes at a time [default: the number of processors].
    #[arg(long)]
    jobs: Option<usize>,
    /// Seconds that an answer may take.
    #[arg(long, default_value_t = 10.0)]
    timeout: f64,
    /// No progress on standard error.
    #[arg(long)]
    quiet: bool,
}

#[derive(Debug, Args)]
struct Run {
    /// The command that starts a driver, or NAME=COMMAND; may be repeated.
    #[arg(long = "driver", value_name = "COMMAND", required = true)]
    drivers: Vec<String>,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    how: How,
    /// A file of known failures, `pattern # reason` or `driver: pattern # reason` a line.
    #[arg(long, value_name = "FILE")]
    known_failures: Option<PathBuf>,
    /// Runs these mutants as well; may be repeated.
    #[arg(long = "mutants", value_name = "FILE")]
    mutants: Vec<PathBuf>,
    /// Failures of each driver that are shown in the terminal.
    #[arg(long, default_value_t = 20, value_name = "N")]
    show: usize,
    /// Writes the results as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes the results for tools that read JUnit.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Writes the results as one page.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Check {
    /// A folder of cases instead of those that are built in.
    #[arg(long, value_name = "DIR")]
    cases: Option<PathBuf>,
    /// A text of rules instead of the one that is built in.
    #[arg(long, value_name = "FILE")]
    spec: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Mutants {
    /// The mutants, see PROTOCOL.md.
    file: PathBuf,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    how: How,
    /// Writes the results as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Whether everything is as expected.
pub(crate) fn main() -> Result<bool, Error> {
    match Cli::parse().command {
        Command::Run(asked) => run(&asked),
        Command::List(asked) => list(&asked),
        Command::Check(asked) => check(&asked),
        Command::Mutants(asked) => mutants(&asked),
    }
}

fn run(asked: &Run) -> Result<bool, Error> {
    let suite = suite(asked.choice.cases.as_deref())?;
    let selection = asked.choice.selection();
    let cases = chosen(&suite, &selection)?;
    let known = match &asked.known_failures {
        Some(path) => KnownFailures::parse(&read(path)?)
            .map_err(|error| Error::new(format!("{}: {error}", path.display())))?,
        None => KnownFailures::default(),
    };
    let commands: Result<Vec<CommandLine>, Error> = asked
        .drivers
        .iter()
        .map(|text| CommandLine::parse(text))
        .collect();
    let commands = commands?;
    let sets: Result<Vec<MutantSet>, Error> = asked
        .mutants
        .iter()
        .map(|path| MutantSet::read(path))
        .collect();
    let sets = sets?;
    let prepared = run::prepare(&cases)?;
    let progress = Progress::new("cases", cases.len() * commands.len(), asked.how.quiet);
    let mut runs = run::run(
        &commands,
        &cases,
        &prepared,
        &asked.how.settings()?,
        &progress,
    )?;
    let mut wrong = known.apply(&mut runs, &suite.cases, &cases);
    let mut mutant_runs = Vec::new();
    for set in &sets {
        match run_set(set, &cases, &asked.how) {
            Ok(done) => mutant_runs.extend(done),
            // What the drivers did is worth its report all the same.
            Err(error) => {
                wrong.push(error.to_string());
                mutant_runs.extend(set.not_run());
            }
        }
    }
    let report = Report {
        cases: &cases,
        complete: selection.is_everything(),
        runs: &runs,
        wrong: &wrong,
        mutants: (!sets.is_empty()).then_some(mutant_runs.as_slice()),
    };
    print(&terminal::render(&report, asked.show))?;
    write(asked.json.as_deref(), || json::render(&report))?;
    write(asked.junit.as_deref(), || junit::render(&report))?;
    write(asked.html.as_deref(), || html::render(&report))?;
    Ok(report.is_good())
}

fn run_set(set: &MutantSet, cases: &[&Case], how: &How) -> Result<Vec<MutantRun>, Error> {
    let progress = Progress::new("mutants", set.len(), how.quiet);
    set.run(cases, &how.settings()?, &progress)
}

fn list(asked: &Choice) -> Result<bool, Error> {
    let suite = suite(asked.cases.as_deref())?;
    let mut out = String::new();
    for case in chosen(&suite, &asked.selection())? {
        out.push_str(&format!(
            "{} [{}] {}\n",
            case.id,
            case.rules.join(", "),
            case.title
        ));
    }
    print(&out)?;
    Ok(true)
}

fn check(asked: &Check) -> Result<bool, Error> {
    let suite = match &asked.cases {
        Some(folder) => Suite::read(folder)?,
        None => Suite::embedded(),
    };
    let spec = match &asked.spec {
        Some(path) => read(path)?,
        None => rules::SPEC.to_owned(),
    };
    let wrong = check::check(&suite, &spec);
    let mut out: String = wrong.iter().map(|line| format!("{line}\n")).collect();
    out.push_str(&format!(
        "{} cases, {} faults\n",
        suite.cases.len(),
        wrong.len()
    ));
    print(&out)?;
    Ok(wrong.is_empty())
}

fn mutants(asked: &Mutants) -> Result<bool, Error> {
    let set = MutantSet::read(&asked.file)?;
    let suite = suite(asked.choice.cases.as_deref())?;
    let cases = chosen(&suite, &asked.choice.selection())?;
    let runs = run_set(&set, &cases, &asked.how)?;
    let mut out: String = runs
        .iter()
        .filter(|run| run.is_caught())
        .map(|run| format!("{}: {}\n", run.id, run.caught_by.join(", ")))
        .collect();
    out.push_str(&terminal::mutants(&runs));
    print(&out)?;
    write(asked.json.as_deref(), || {
        format!(
            "{:#}\n",
            serde_json::json!({"mutants": json::mutants(&runs)})
        )
    })?;
    Ok(runs.iter().all(MutantRun::is_caught))
}

impl Choice {
    fn selection(&self) -> Selection {
        Selection {
            ids: self.filters.clone(),
            levels: self.levels.clone(),
            features: self.features.clone(),
            rules: self.rules.clone(),
        }
    }
}

impl How {
    fn settings(&self) -> Result<Settings, Error> {
        let limit = Duration::try_from_secs_f64(self.timeout)
            .map_err(|error| Error::new(format!("--timeout: {error}")))?;
        Ok(Settings {
            jobs: self
                .jobs
                .unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from)),
            limit,
            enough_failures: None,
        })
    }
}

/// The cases of the suite; files that cannot be read as cases are an error, lest their cases be missed.
fn suite(folder: Option<&Path>) -> Result<Suite, Error> {
    let suite = match folder {
        Some(folder) => Suite::read(folder)?,
        None => Suite::embedded(),
    };
    match suite.broken.first() {
        Some(broken) => Err(Error::new(broken.clone())),
        None => Ok(suite),
    }
}

fn chosen<'a>(suite: &'a Suite, selection: &Selection) -> Result<Vec<&'a Case>, Error> {
    let cases = selection.of(&suite.cases);
    if cases.is_empty() {
        return Err(Error::new("no case is chosen"));
    }
    Ok(cases)
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|error| Error::new(format!("{}: {error}", path.display())))
}

fn write(path: Option<&Path>, text: impl FnOnce() -> String) -> Result<(), Error> {
    let Some(path) = path else { return Ok(()) };
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    folder
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(path, text()))
        .map_err(|error| Error::new(format!("{}: {error}", path.display())))
}

fn print(text: &str) -> Result<(), Error> {
    match io::stdout()
        .lock()
        .write_all(terminal::clean(text).as_bytes())
    {
        // Whoever read the output has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Error::new(format!("standard output: {error}"))),
        Ok(()) => Ok(()),
    }
}
