//! Runs cases through drivers, several at a time.

pub mod compare;
mod driver;
mod process;
mod progress;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

pub use compare::Difference;
pub use driver::{Driver, Hello, Outcome, SPEC_VERSION};
pub use process::{CommandLine, Trouble};
pub use progress::Progress;

use crate::suite::{Case, Error, Prepared};

/// Why a case failed.
#[derive(Clone, Debug, Default)]
pub struct Failure {
    /// In a line.
    pub reason: String,
    /// Where the output is another, if there is one.
    pub differences: Vec<Difference>,
    /// The output, if there is one.
    pub got: Option<Value>,
    /// What it was given, as far as it matters: of a connection the step that is different first.
    pub input: Value,
    /// What must have come out of that.
    pub expected: Value,
    /// The number of that step, from 0.
    pub step: Option<usize>,
    /// What the driver wrote to standard error meanwhile.
    pub errors: String,
    /// Why it was expected to fail, if it was.
    pub known: Option<String>,
}

impl Failure {
    pub(crate) fn because(reason: String) -> Box<Self> {
        Box::new(Self {
            reason,
            ..Self::default()
        })
    }

    pub(crate) fn different(differences: Vec<Difference>, got: Value) -> Box<Self> {
        let place = differences.first().map_or("", |first| first.path.as_str());
        let reason = match (place, differences.len().saturating_sub(1)) {
            ("", _) => "the output differs".to_owned(),
            (place, 0) => format!("differs at {place}"),
            (place, more) => format!("differs at {place}, and at {more} more"),
        };
        Box::new(Self {
            reason,
            differences,
            got: Some(got),
            ..Self::default()
        })
    }

    /// Says what was asked: the case as it is written, or of a connection the one step that is different first.
    pub(crate) fn of(mut self: Box<Self>, case: &Case, prepared: &Prepared) -> Box<Self> {
        self.input = case.input.clone();
        self.expected = case.expect.clone().unwrap_or_default();
        let path = self
            .differences
            .first()
            .and_then(|first| first.path.strip_prefix("steps["));
        let number = path.and_then(|path| path.split_once(']')?.0.parse().ok());
        let step = |script: &Value, number: usize| script.get("steps")?.get(number).cloned();
        if case.op == "connection" {
            self.expected = prepared.expected.clone();
        }
        if let Some(number) = number
            && let Some(input) = step(&prepared.input, number)
        {
            self.input = input;
            self.expected = step(&prepared.expected, number).unwrap_or_default();
            self.got = self.got.and_then(|got| step(&got, number));
            self.step = Some(number);
        }
        self
    }
}

/// How cases are run.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Processes at a time, of all drivers together.
    pub jobs: usize,
    /// For one answer.
    pub limit: Duration,
    /// A driver is not asked any further after so many failures; none if all are wanted.
    pub enough_failures: Option<usize>,
}

/// What came out of a driver.
#[derive(Debug)]
pub struct DriverRun {
    /// The name in the results, unique.
    pub name: String,
    /// How it was started.
    pub command: String,
    /// What it says of itself.
    pub hello: Hello,
    /// For each case that was run; none for those after enough failures.
    pub outcomes: Vec<Option<Outcome>>,
    /// What is wrong with it beside cases.
    pub problems: Vec<String>,
    /// From the first case to the last.
    pub seconds: f64,
}

impl DriverRun {
    /// How many passed, failed and were skipped, of the cases for which `of` is true.
    #[must_use]
    pub fn count(&self, cases: &[&Case], of: impl Fn(&Case) -> bool) -> [usize; 3] {
        let mut counts = [0; 3];
        for (case, outcome) in cases.iter().zip(&self.outcomes) {
            let index = match outcome {
                _ if !of(case) => continue,
                Some(Outcome::Passed) => 0,
                Some(Outcome::Failed(_)) => 1,
                Some(Outcome::Skipped) => 2,
                None => continue,
            };
            if let Some(count) = counts.get_mut(index) {
                *count += 1;
            }
        }
        counts
    }
}

/// Expands the special forms of cases.
///
/// # Errors
///
/// A case that cannot be expanded.
pub fn prepare(cases: &[&Case]) -> Result<Vec<Prepared>, Error> {
    let prepare = |case: &&Case| {
        case.prepare()
            .map_err(|error| Error::new(format!("{}: {error}", case.id)))
    };
    cases.iter().map(prepare).collect()
}

/// So many time-outs one after the other, and the driver is asked no further.
const ENOUGH_TIMEOUTS: usize = 5;

/// Runs all cases through all drivers.
///
/// # Errors
///
/// A driver that cannot be started or does not say hello.
pub fn run(
    commands: &[CommandLine],
    cases: &[&Case],
    prepared: &[Prepared],
    settings: &Settings,
    progress: &Progress,
) -> Result<Vec<DriverRun>, Error> {
    let lanes: Result<Vec<Lane<'_>>, Error> = commands
        .iter()
        .map(|command| Lane::start(command, cases.len(), settings))
        .collect();
    let lanes = lanes?;
    let work = Work {
        cases,
        prepared,
        settings,
        progress,
        lanes: &lanes,
        choosing: Mutex::default(),
    };
    thread::scope(|scope| {
        for _ in 0..settings.jobs.max(1) {
            scope.spawn(|| work.run());
        }
    });
    progress.finish();
    let mut runs: Vec<DriverRun> = Vec::new();
    for lane in lanes {
        let run = lane.into_run(&runs);
        runs.push(run);
    }
    Ok(runs)
}

/// One driver with what is still to be done for it.
struct Lane<'a> {
    command: &'a CommandLine,
    hello: Hello,
    /// The process that said hello first, till somebody takes it.
    first: Mutex<Option<Driver>>,
    workers: AtomicUsize,
    next: AtomicUsize,
    failures: AtomicUsize,
    timeouts: AtomicUsize,
    given_up: OnceLock<String>,
    outcomes: Vec<OnceLock<Outcome>>,
    problems: Mutex<Vec<String>>,
    begun: OnceLock<Instant>,
    done: Mutex<Option<Instant>>,
    stopped: AtomicBool,
}

impl<'a> Lane<'a> {
    fn start(command: &'a CommandLine, cases: usize, settings: &Settings) -> Result<Self, Error> {
        let driver = Driver::start(command, settings.limit)?;
        Ok(Self {
            command,
            hello: driver.hello.clone(),
            first: Mutex::new(Some(driver)),
            workers: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
            failures: AtomicUsize::new(0),
            timeouts: AtomicUsize::new(0),
            given_up: OnceLock::new(),
            outcomes: (0..cases).map(|_| OnceLock::new()).collect(),
            problems: Mutex::default(),
            begun: OnceLock::new(),
            done: Mutex::default(),
            stopped: AtomicBool::new(false),
        })
    }

    /// How many cases nobody has taken yet.
    fn left(&self) -> usize {
        self.outcomes
            .len()
            .saturating_sub(self.next.load(Ordering::Relaxed))
    }

    fn add_problem(&self, problem: String) {
        let mut problems = locked(&self.problems);
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }

    fn into_run(self, earlier: &[DriverRun]) -> DriverRun {
        let begun = self.begun.get().copied();
        let done = *locked(&self.done);
        let wanted = self.command.name.clone();
        let wanted = wanted
            .unwrap_or_else(|| format!("{} {}", self.hello.implementation, self.hello.language));
        let mut name = wanted.clone();
        for number in 2.. {
            if earlier.iter().all(|run| run.name != name) {
                break;
            }
            name = format!("{wanted} {number}");
        }
        DriverRun {
            name,
            command: self.command.text.clone(),
            hello: self.hello,
            outcomes: self
                .outcomes
                .into_iter()
                .map(OnceLock::into_inner)
                .collect(),
            problems: self
                .problems
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner),
            seconds: begun
                .zip(done)
                .map_or(0.0, |(begun, done)| (done - begun).as_secs_f64()),
        }
    }
}

struct Work<'a> {
    cases: &'a [&'a Case],
    prepared: &'a [Prepared],
    settings: &'a Settings,
    progress: &'a Progress,
    lanes: &'a [Lane<'a>],
    choosing: Mutex<()>,
}

/// A further process of a driver is worth its start only for so many cases.
const CASES_PER_PROCESS: usize = 100;

impl Work<'_> {
    /// One worker: takes the lane where the fewest are, till no lane needs another.
    fn run(&self) {
        while let Some(lane) = self.choose() {
            lane.begun.get_or_init(Instant::now);
            self.drain(lane);
            *locked(&lane.done) = Some(Instant::now());
            lane.workers.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn choose(&self) -> Option<&Lane<'_>> {
        // Chosen and entered under one lock, or two workers would both be the first of a lane.
        let _choosing = locked(&self.choosing);
        let needs = |lane: &&Lane<'_>| {
            let workers = lane.workers.load(Ordering::Relaxed);
            lane.left() > workers * CASES_PER_PROCESS
        };
        let lane = self
            .lanes
            .iter()
            .filter(needs)
            .min_by_key(|lane| lane.workers.load(Ordering::Relaxed))?;
        lane.workers.fetch_add(1, Ordering::Relaxed);
        Some(lane)
    }

    /// Runs the cases of a lane in one process, which is started again whenever it is needed.
    fn drain(&self, lane: &Lane<'_>) {
        let mut driver = locked(&lane.first).take();
        loop {
            let index = lane.next.fetch_add(1, Ordering::Relaxed);
            let (Some(case), Some(prepared), Some(slot)) = (
                self.cases.get(index),
                self.prepared.get(index),
                lane.outcomes.get(index),
            ) else {
                break;
            };
            if lane.stopped.load(Ordering::Relaxed) {
                continue;
            }
            let outcome = self.one(lane, &mut driver, case, prepared);
            self.progress.step(matches!(outcome, Outcome::Failed(_)));
            let _ = slot.set(outcome);
        }
        if let Some(Err(trouble)) = driver.map(Driver::stop) {
            lane.add_problem(format!("stop: {trouble}"));
        }
    }

    fn one(
        &self,
        lane: &Lane<'_>,
        driver: &mut Option<Driver>,
        case: &Case,
        prepared: &Prepared,
    ) -> Outcome {
        if !lane.hello.features.contains(&case.feature) {
            return Outcome::Skipped;
        }
        let outcome = match self.ask(lane, driver, case, prepared) {
            Ok(()) => Outcome::Passed,
            Err(failure) => Outcome::Failed(failure.of(case, prepared)),
        };
        if matches!(outcome, Outcome::Failed(_)) {
            let failures = lane.failures.fetch_add(1, Ordering::Relaxed) + 1;
            if self
                .settings
                .enough_failures
                .is_some_and(|enough| failures >= enough)
            {
                lane.stopped.store(true, Ordering::Relaxed);
            }
        }
        outcome
    }

    fn ask(
        &self,
        lane: &Lane<'_>,
        driver: &mut Option<Driver>,
        case: &Case,
        prepared: &Prepared,
    ) -> Result<(), Box<Failure>> {
        if let Some(why) = lane.given_up.get() {
            return Err(Failure::because(format!("not asked: {why}")));
        }
        let running = match driver {
            Some(running) => running,
            None => match Driver::start(lane.command, self.settings.limit) {
                Ok(started) => driver.insert(started),
                Err(error) => {
                    let why = format!("the driver does not start again: {error}");
                    let _ = lane.given_up.set(why.clone());
                    return Err(Failure::because(why));
                }
            },
        };
        let (outcome, trouble) = running.run(case, prepared);
        match &trouble {
            Some(Trouble::Timeout(_)) => {
                if lane.timeouts.fetch_add(1, Ordering::Relaxed) + 1 >= ENOUGH_TIMEOUTS {
                    let _ = lane
                        .given_up
                        .set(format!("{ENOUGH_TIMEOUTS} cases in a row took too long"));
                }
            }
            _ => lane.timeouts.store(0, Ordering::Relaxed),
        }
        if trouble.is_some() {
            *driver = None;
        }
        outcome
    }
}

/// Nobody panics while holding one of these locks; if somebody did, the data would still be whole.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
