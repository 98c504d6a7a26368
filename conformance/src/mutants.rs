//! Mutants: copies of an implementation with one fault each. A suite that lets one through does not test the rule that it breaks.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, io, process, thread};

use serde::Deserialize;

use crate::run::{self, CommandLine, Outcome, Progress, Settings};
use crate::suite::{Case, Error, unreadable};

/// A file of mutants.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MutantSet {
    /// The command that starts a driver, in the copy; `{source}` is the copy, `{here}` the folder of this file.
    driver: String,
    /// The file or folder that is copied, seen from the folder of this file.
    source: PathBuf,
    mutants: Vec<Mutant>,
    #[serde(skip)]
    here: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutant {
    id: String,
    description: String,
    /// The file that is changed, below the source; not needed where the source is a file.
    #[serde(default)]
    file: PathBuf,
    /// What stands there exactly once.
    find: String,
    replace: String,
}

/// What became of a mutant.
#[derive(Clone, Debug)]
pub struct MutantRun {
    /// Its id.
    pub id: String,
    /// Its fault.
    pub description: String,
    /// The first few cases that failed.
    pub caught_by: Vec<String>,
    /// Why it could not be judged.
    pub problem: Option<String>,
}

impl MutantRun {
    /// Whether a case failed.
    #[must_use]
    pub fn is_caught(&self) -> bool {
        self.problem.is_none() && !self.caught_by.is_empty()
    }
}

/// A mutant is stopped after so many failures.
const ENOUGH_FAILURES: usize = 3;

impl MutantSet {
    /// Reads a file of mutants, and looks whether each can be made.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or is no set; mutants whose text does not stand in the source exactly once.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
        let mut set: Self = serde_json::from_str(&text)
            .map_err(|error| Error::new(format!("{}: {error}", path.display())))?;
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        set.here = fs::canonicalize(folder).map_err(|error| unreadable(folder, &error))?;
        let mut stale = Vec::new();
        for (index, mutant) in set.mutants.iter().enumerate() {
            if set
                .mutants
                .iter()
                .take(index)
                .any(|earlier| earlier.id == mutant.id)
            {
                stale.push(format!("{}: two mutants have this id", mutant.id));
            }
            let file = set.source().join(&mutant.file);
            match fs::read_to_string(if mutant.file.as_os_str().is_empty() {
                set.source()
            } else {
                file
            }) {
                Ok(text) => match text.matches(&mutant.find).count() {
                    1 if mutant.find != mutant.replace => {}
                    1 => stale.push(format!("stale mutant {}: it changes nothing", mutant.id)),
                    count => stale.push(format!(
                        "stale mutant {}: its text stands there {count} times",
                        mutant.id
                    )),
                },
                Err(error) => stale.push(format!(
                    "stale mutant {}: {}: {error}",
                    mutant.id,
                    mutant.file.display()
                )),
            }
        }
        if stale.is_empty() {
            Ok(set)
        } else {
            Err(Error::new(format!(
                "{}: {}",
                path.display(),
                stale.join("\n  ")
            )))
        }
    }

    /// How many mutants there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.mutants.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.mutants.is_empty()
    }

    /// The mutants of a set that could not be run.
    pub fn not_run(&self) -> impl Iterator<Item = MutantRun> {
        let never = || Err(Error::new("not run"));
        self.mutants
            .iter()
            .map(move |mutant| mutant_run(mutant, never()))
    }

    fn source(&self) -> PathBuf {
        self.here.join(&self.source)
    }

    /// Runs the source as it is, which must pass, and then each mutant, `settings.jobs` at a time.
    ///
    /// # Errors
    ///
    /// The source cannot be copied or started, or fails cases as it is.
    pub fn run(
        &self,
        cases: &[&Case],
        settings: &Settings,
        progress: &Progress,
    ) -> Result<Vec<MutantRun>, Error> {
        let prepared = run::prepare(cases)?;
        let settings = Settings {
            jobs: settings.jobs,
            enough_failures: Some(ENOUGH_FAILURES),
            ..*settings
        };
        let single = Settings {
            jobs: 1,
            ..settings
        };
        let try_one = |mutant: Option<&Mutant>,
                       settings: &Settings|
         -> Result<Vec<String>, Error> {
            let copy = Copy::of(&self.source())?;
            if let Some(mutant) = mutant {
                copy.change(mutant)?;
            }
            let command = self.command(&copy)?;
            let silent = Progress::new("cases", cases.len(), true);
            let runs = run::run(&[command], cases, &prepared, settings, &silent)?;
            let failed = runs.iter().flat_map(|run| cases.iter().zip(&run.outcomes));
            let failed = failed.filter(|(_, outcome)| matches!(outcome, Some(Outcome::Failed(_))));
            Ok(failed.map(|(case, _)| case.id.clone()).collect())
        };
        let failing = try_one(None, &settings)?;
        if !failing.is_empty() {
            return Err(Error::new(format!(
                "without a fault the driver of the mutants fails already: {}",
                failing.join(", ")
            )));
        }
        let next = AtomicUsize::new(0);
        let done: Mutex<Vec<(usize, MutantRun)>> = Mutex::default();
        thread::scope(|scope| {
            for _ in 0..settings.jobs.max(1) {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(mutant) = self.mutants.get(index) else {
                            return;
                        };
                        let result = mutant_run(mutant, try_one(Some(mutant), &single));
                        progress.step(!result.is_caught());
                        run::locked(&done).push((index, result));
                    }
                });
            }
        });
        progress.finish();
        let mut done = done
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        done.sort_by_key(|(index, _)| *index);
        Ok(done.into_iter().map(|(_, run)| run).collect())
    }

    fn command(&self, copy: &Copy) -> Result<CommandLine, Error> {
        let here = self.here.to_string_lossy();
        let source = copy.target.to_string_lossy();
        let mut command = CommandLine::parse(
            &self
                .driver
                .replace("{here}", &here)
                .replace("{source}", &source),
        )?;
        command.folder = Some(copy.folder.clone());
        Ok(command)
    }
}

fn mutant_run(mutant: &Mutant, result: Result<Vec<String>, Error>) -> MutantRun {
    let (caught_by, problem) = match result {
        Ok(failed) => (failed, None),
        // A mutant that does not even start shows nothing about the cases.
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    MutantRun {
        id: mutant.id.clone(),
        description: mutant.description.clone(),
        caught_by,
        problem,
    }
}

/// A copy of the source in a folder of its own, which goes away with it.
struct Copy {
    root: PathBuf,
    /// Where the driver is started: the copied folder, or the folder of the copied file.
    folder: PathBuf,
    /// The copied file or folder.
    target: PathBuf,
}

impl Copy {
    fn of(source: &Path) -> Result<Self, Error> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let root = env::temp_dir().join(format!("wirespan-mutant-{}-{number}", process::id()));
        fs::create_dir(&root).map_err(|error| unreadable(&root, &error))?;
        let target = root.join(source.file_name().unwrap_or("source".as_ref()));
        let copy = Self {
            folder: if source.is_dir() {
                target.clone()
            } else {
                root.clone()
            },
            root,
            target,
        };
        copy_all(source, &copy.target).map_err(|error| unreadable(source, &error))?;
        Ok(copy)
    }

    fn change(&self, mutant: &Mutant) -> Result<(), Error> {
        let path = if mutant.file.as_os_str().is_empty() {
            self.target.clone()
        } else {
            self.target.join(&mutant.file)
        };
        let text = fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
        fs::write(&path, text.replacen(&mutant.find, &mutant.replace, 1))
            .map_err(|error| unreadable(&path, &error))
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // What cannot be removed lies in the folder for temporary files.
        let _ = fs::remove_dir_all(&self.root);
    }
}

fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        return fs::copy(from, to).map(|_| ());
    }
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy_all(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}
