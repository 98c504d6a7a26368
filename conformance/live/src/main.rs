//! The live matrix: `wirespan-live --peer rust=COMMAND --peer python=COMMAND … [--quick] [--scenario NAME] [--pair A:B] [--report FOLDER]`.
//!
//! Starts one process for each language (PEERS.md says what it can be asked), and runs every scenario between every ordered pair of
//! them. Exits with 0 only if everything that a scenario expects was seen.

mod frames;
mod peer;
mod report;
mod run;
mod scenarios;
mod tap;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use wirespan_conformance::receiver::Receiver;

use peer::Peer;
use report::{Matrix, Result_};
use run::Run;
use scenarios::{ALL, Outcome, Scenario};

/// Scenarios of a pair that run at the same time.
const AT_ONCE: usize = 6;
/// How long a scenario may take.
const TIMEOUT: Duration = Duration::from_secs(45);

struct Arguments {
    peers: Vec<(String, String)>,
    quick: bool,
    scenario: Option<String>,
    pair: Option<(String, String)>,
    folder: Option<PathBuf>,
}

fn arguments(mut given: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        peers: Vec::new(),
        quick: false,
        scenario: None,
        pair: None,
        folder: None,
    };
    while let Some(name) = given.next() {
        if name == "--quick" {
            arguments.quick = true;
            continue;
        }
        let value = given
            .next()
            .ok_or_else(|| format!("{name} needs a value"))?;
        let split = |by: char| {
            let (first, second) = value
                .split_once(by)
                .ok_or_else(|| format!("{name} {value:?}: expected A{by}B"))?;
            Ok::<_, String>((first.to_owned(), second.to_owned()))
        };
        match name.as_str() {
            "--peer" => arguments.peers.push(split('=')?),
            "--scenario" => arguments.scenario = Some(value),
            "--pair" => arguments.pair = Some(split(':')?),
            "--report" => arguments.folder = Some(value.into()),
            _ => return Err(format!("unknown argument {name}")),
        }
    }
    if arguments.peers.is_empty() {
        return Err("no peer: --peer NAME=COMMAND, once for each language".into());
    }
    Ok(arguments)
}

#[tokio::main]
async fn main() -> ExitCode {
    match arguments(std::env::args().skip(1)) {
        Ok(arguments) => match matrix(arguments).await {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(message) => failed(&message),
        },
        Err(message) => failed(&message),
    }
}

fn failed(message: &str) -> ExitCode {
    eprintln!("wirespan-live: {message}");
    ExitCode::from(2)
}

async fn matrix(arguments: Arguments) -> Result<bool, String> {
    let begin = Instant::now();
    let receiver = Receiver::start().map_err(|error| format!("no receiver: {error}"))?;
    let mut peers = Vec::new();
    for (name, command) in &arguments.peers {
        let peer = Peer::start(name, command, &receiver.endpoint()).await?;
        println!("{name}: {}", peer.library);
        peers.push(peer);
    }
    let chosen: Vec<&Scenario> = ALL
        .iter()
        .filter(|scenario| !arguments.quick || scenario.quick)
        .filter(|scenario| {
            arguments
                .scenario
                .as_deref()
                .is_none_or(|name| name == scenario.name)
        })
        .collect();
    if chosen.is_empty() {
        return Err("there is no such scenario".into());
    }
    let mut results = Vec::new();
    for (from, client) in peers.iter().enumerate() {
        for (to, server) in peers.iter().enumerate() {
            let wanted = arguments
                .pair
                .as_ref()
                .is_none_or(|(a, b)| *a == client.name && *b == server.name);
            if !wanted {
                continue;
            }
            // The third service is one of the languages that the pair does not have, where there is one.
            let third = (1..peers.len())
                .map(|step| &peers[(to + step) % peers.len()])
                .find(|peer| peer.name != client.name)
                .unwrap_or(&peers[from]);
            let pair = pair(client, server, third, &receiver, &chosen).await;
            let failures = pair
                .iter()
                .filter(|result| !result.problems.is_empty())
                .count();
            println!(
                "{} -> {}: {} scenarios, {failures} failed",
                client.name,
                server.name,
                pair.len()
            );
            for result in pair.iter().filter(|result| !result.problems.is_empty()) {
                println!("  {}", result.scenario);
                for problem in &result.problems {
                    println!("    {problem}");
                }
            }
            results.extend(pair);
        }
    }
    if results.is_empty() {
        return Err("no pair was run: --pair names peers that are not there".into());
    }
    let matrix = Matrix {
        languages: peers
            .iter()
            .map(|peer| (peer.name.clone(), peer.library.clone()))
            .collect(),
        results,
        seconds: begin.elapsed().as_secs_f64(),
    };
    matrix.print();
    if let Some(folder) = &arguments.folder {
        matrix
            .write(folder)
            .map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    Ok(matrix.failed() == 0)
}

async fn pair(
    client: &Peer,
    server: &Peer,
    third: &Peer,
    receiver: &Receiver,
    chosen: &[&'static Scenario],
) -> Vec<Result_> {
    let mut results = Vec::new();
    for group in chosen.chunks(AT_ONCE) {
        let running = group
            .iter()
            .map(|scenario| one(client, server, third, receiver, scenario));
        results.extend(join_all(running).await);
        if std::io::stdout().is_terminal() {
            print!(
                "\r{} -> {}: {}/{}\x1b[K\r",
                client.name,
                server.name,
                results.len(),
                chosen.len()
            );
            let _ = std::io::Write::flush(&mut std::io::stdout());
        }
    }
    results
}

/// Runs futures at the same time, in this task: what they wait for is elsewhere.
async fn join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut pending: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(move |context| {
        let mut all_done = true;
        for (future, output) in &mut pending {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => all_done = false,
                }
            }
        }
        if all_done {
            std::task::Poll::Ready(pending.drain(..).filter_map(|(_, output)| output).collect())
        } else {
            std::task::Poll::Pending
        }
    })
    .await
}

async fn one(
    client: &Peer,
    server: &Peer,
    third: &Peer,
    receiver: &Receiver,
    scenario: &'static Scenario,
) -> Result_ {
    let begin = Instant::now();
    let mut run = Run::new(client, server, third, receiver.store());
    let outcome = tokio::time::timeout(TIMEOUT, (scenario.run)(&mut run)).await;
    let mut skipped = None;
    match outcome {
        Ok(Ok(Outcome::Ran)) => {}
        Ok(Ok(Outcome::Skipped(why))) => skipped = Some(why),
        Ok(Err(problem)) => run.problem(problem),
        Err(_) => run.problem(format!("not done within {} s", TIMEOUT.as_secs())),
    }
    Result_ {
        client: client.name.clone(),
        server: server.name.clone(),
        scenario: scenario.name,
        title: scenario.title,
        problems: run.problems,
        skipped,
        seconds: begin.elapsed().as_secs_f64(),
    }
}
