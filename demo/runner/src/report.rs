//! What is shown and written at the end of a run.

use std::io::IsTerminal;
use std::path::Path;

use wirespan_conformance::trace::Forest;
use wirespan_conformance::trace::page::{Page, Sightings, render};
use wirespan_conformance::trace::streams::{streams, table};
use wirespan_conformance::trace::text::clean;
use wirespan_conformance::trace::tree::{Style, draw};

use crate::checks::{self, Verdict};
use crate::options::Options;
use crate::run::{Outcome, unsampled};
use crate::say;

/// Shows and writes everything; returns the exit code.
pub(crate) fn finish(options: &Options, outcome: &Outcome) -> u8 {
    let forest = Forest::new(
        outcome
            .receiver
            .as_ref()
            .map(|receiver| receiver.store().spans())
            .unwrap_or_default(),
    );
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    say("");
    for device in &outcome.devices {
        let Some(seen) = outcome.seen.get(device) else {
            continue;
        };
        if !seen.order.is_empty() {
            say(format!("order  {}", clean(&seen.order)));
        }
        if !seen.reply.is_empty() {
            say(format!("reply  {}", clean(&seen.reply_text())));
        }
    }
    if !forest.spans().is_empty() {
        say("");
        say(draw(&forest, Style { colour }).trim_end());
        let measured = streams(&forest);
        if !measured.is_empty() {
            say("");
            say(table(&forest, &measured).trim_end());
        }
    }
    let verdict = judge(options, outcome, &forest);
    if outcome.receiver.is_some()
        && let Err(error) = write(options, outcome, &forest, &verdict)
    {
        say(format!("{}: {error}", options.out.display()));
        return 2;
    }
    say("");
    for sentence in &verdict.holds {
        say(format!("{} {sentence}", mark(true, colour)));
    }
    for problem in &verdict.problems {
        say(format!("{} {}", mark(false, colour), clean(problem)));
    }
    for ending in &outcome.endings {
        say(format!("{} {}", mark(false, colour), clean(ending)));
    }
    if let Some(failure) = &outcome.failure {
        eprintln!("\nwirespan-demo: {failure}");
        return failure.exit_code();
    }
    u8::from(!verdict.problems.is_empty() || !outcome.endings.is_empty())
}

fn judge(options: &Options, outcome: &Outcome, forest: &Forest) -> Verdict {
    let mut verdict = Verdict::default();
    // A run that failed has its failure to show; its spans are there to look at.
    if outcome.failure.is_some() {
        return verdict;
    }
    let receiver = outcome.receiver.as_ref().map(|receiver| receiver.store());
    if let Some(killed) = &options.kill {
        if killed != "device" {
            for device in &outcome.devices {
                let told = !outcome.seen.get(device).is_some_and(|seen| seen.succeeded);
                verdict.note(
                    told,
                    format!("{device} says that the order failed"),
                    format!("{device} takes the order for done"),
                );
                let log = options.out.join(format!("{device}.log"));
                let message = crate::children::tail(&log)
                    .lines()
                    .last()
                    .unwrap_or_default()
                    .to_owned();
                say(format!("{device}: {message}"));
            }
        }
        if receiver.is_some() {
            extend(
                &mut verdict,
                checks::broken_off(forest, &outcome.devices, killed),
            );
        }
        return verdict;
    }
    for device in &outcome.devices {
        let Some(seen) = outcome.seen.get(device) else {
            continue;
        };
        let complete = !seen.order.is_empty() && !seen.reply.is_empty();
        verdict.note(
            complete,
            format!(
                "{device} has its order recognised and its reply, {} pieces",
                seen.reply.len()
            ),
            format!("{device} has no order or no reply"),
        );
        if let Some(spoken) = &seen.spoken {
            verdict.note(
                seen.order == *spoken,
                "the order was recognised word for word",
                format!("{device} said {spoken:?}, recognised was {:?}", seen.order),
            );
        }
    }
    if options.unsampled {
        match unsampled(&outcome.contexts) {
            Ok(count) => verdict.holds.push(format!(
                "the context travelled, sampled bit 0 ({count} seen by the gateway)"
            )),
            Err(problem) => verdict.problems.push(problem),
        }
        if receiver.is_some() {
            verdict.note(
                forest.spans().is_empty(),
                "nothing was exported",
                format!(
                    "{} spans were exported, though nothing is sampled",
                    forest.spans().len()
                ),
            );
        }
        return verdict;
    }
    match receiver {
        Some(store) => {
            // Before the order, and after it.
            let strangers = if options.garbage { 2 } else { 0 };
            extend(
                &mut verdict,
                checks::connected(forest, &outcome.devices, options.parent, strangers),
            );
            let (rejected, refused) =
                store.with(|received| (received.rejected_spans, received.refused_requests));
            if rejected + refused > 0 {
                verdict.problems.push(format!(
                    "{rejected} spans and {refused} requests were no valid OTLP"
                ));
            }
        }
        None => say("the spans went elsewhere: only what the devices saw was checked"),
    }
    verdict
}

fn extend(verdict: &mut Verdict, more: Verdict) {
    verdict.holds.extend(more.holds);
    verdict.problems.extend(more.problems);
}

fn write(
    options: &Options,
    outcome: &Outcome,
    forest: &Forest,
    verdict: &Verdict,
) -> std::io::Result<()> {
    let Some(receiver) = &outcome.receiver else {
        return Ok(());
    };
    std::fs::write(
        options.out.join("trace.json"),
        receiver.store().to_otlp_json(),
    )?;
    let mut page = Page {
        title: "One spoken order, one trace".to_owned(),
        subtitle: "A C device streams speech to a Node.js gateway, which calls a Python recogniser and a Rust kitchen, all over WebSockets."
            .to_owned(),
        ..Page::default()
    };
    for device in &outcome.devices {
        let Some(seen) = outcome.seen.get(device) else {
            continue;
        };
        let suffix = if outcome.devices.len() > 1 {
            format!(" ({device})")
        } else {
            String::new()
        };
        page.facts
            .push((format!("Order{suffix}"), seen.order.clone()));
        page.facts
            .push((format!("Reply{suffix}"), seen.reply_text()));
        let orders = Sightings {
            label: format!("{device} prints the order"),
            service: device.clone(),
            seen: seen.orders.clone(),
        };
        let reply = Sightings {
            label: format!("{device} prints the reply"),
            service: device.clone(),
            seen: seen.reply.clone(),
        };
        page.sightings.extend([orders, reply]);
    }
    let mut problems = verdict.problems.clone();
    problems.extend(outcome.endings.iter().cloned());
    problems.extend(outcome.failure.as_ref().map(ToString::to_string));
    // Where a service was killed on purpose, or nothing was sampled, there is no connected trace to speak of.
    let checked = options.kill.is_none() && !options.unsampled;
    page.problems = (checked || !problems.is_empty()).then_some(problems);
    std::fs::write(options.out.join("trace.html"), render(&page, forest))?;
    say("");
    let shown = |name: &str| {
        let path = options.out.join(name);
        let here = std::env::current_dir().ok();
        let short = here
            .as_deref()
            .and_then(|here| path.strip_prefix(here).ok())
            .map(Path::to_path_buf);
        short.unwrap_or(path)
    };
    say(format!("page   {}", shown("trace.html").display()));
    say(format!("spans  {}", shown("trace.json").display()));
    Ok(())
}

fn mark(well: bool, colour: bool) -> &'static str {
    match (well, colour) {
        (true, true) => "\x1b[32m✓\x1b[0m",
        (false, true) => "\x1b[31m✗\x1b[0m",
        (true, false) => "✓",
        (false, false) => "✗",
    }
}
