//! The suite looks at itself: what is wrong with its files, whatever an implementation does.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::suite::{Case, LEVELS, Suite, rules};

/// The steps of a connection script.
pub const STEPS: [&str; 26] = [
    "client",
    "server",
    "plan_handshake",
    "span_started",
    "request",
    "response",
    "open",
    "fail_handshake",
    "methods",
    "plain_policy",
    "call",
    "transfer",
    "send",
    "end",
    "leave",
    "cancel",
    "fail",
    "take",
    "receive",
    "on_time",
    "on_close",
    "on_superseded",
    "deadline",
    "state",
    "counters",
    "metrics",
];

/// What a connection says after a step.
pub const EVENTS: [&str; 8] = [
    "frame",
    "span_update",
    "span_end",
    "read_end",
    "pause_reading",
    "resume_reading",
    "ready",
    "session_changed",
];

/// The members that a step's expectation can have.
pub const STEP_RESULTS: [&str; 27] = [
    "raises",
    "events",
    "proposed",
    "subprotocols",
    "superseded",
    "plans",
    "headers",
    "subprotocol",
    "query",
    "stream",
    "plan",
    "message",
    "payload",
    "opened",
    "context",
    "link",
    "baggage",
    "deadline",
    "peer",
    "session",
    "open",
    "ready",
    "may_read",
    "streams",
    "counters",
    "sent",
    "received",
];

/// Everything that is wrong with the suite, a line each.
#[must_use]
pub fn check(suite: &Suite, spec: &str) -> Vec<String> {
    let mut wrong = suite.broken.clone();
    let known: BTreeSet<String> = rules::rules(spec).into_iter().map(|rule| rule.id).collect();
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for case in &suite.cases {
        let mut say = |what: String| wrong.push(format!("{}: {}: {what}", case.file, case.id));
        if let Some(other) = seen.insert(&case.id, &case.file) {
            say(format!("this id stands in {other} as well"));
        }
        check_names(case, &mut say);
        if case.rules.is_empty() {
            say("tests no rule".to_owned());
        }
        for rule in case.rules.iter().filter(|rule| !known.contains(*rule)) {
            say(format!("{rule} is no rule of SPEC.md"));
        }
        match case.prepare() {
            Ok(prepared) if case.op == "connection" => {
                check_steps(&prepared.input, &prepared.expected, &mut say);
            }
            Ok(prepared) if !prepared.input.is_object() => say("the input is no object".to_owned()),
            Ok(_) => {}
            Err(error) => say(error.to_string()),
        }
    }
    wrong.extend(check_coverage(suite, &known));
    wrong
}

fn check_names(case: &Case, say: &mut impl FnMut(String)) {
    match case.id.split_once('/') {
        Some((chapter, words)) => {
            if chapter != case.chapter {
                say(format!(
                    "the id must begin with the chapter, {}/",
                    case.chapter
                ));
            }
            if !is_kebab(words) {
                say("the id must be <chapter>/<words-with-dashes> in lower case".to_owned());
            }
        }
        None => say("the id must be <chapter>/<words-with-dashes>".to_owned()),
    }
    if case.title.trim().is_empty() {
        say("has no title".to_owned());
    }
    let Some(level) = LEVELS.iter().find(|level| level.name == case.level) else {
        say(format!("{:?} is no level", case.level));
        return;
    };
    if !level.features.contains(&case.feature.as_str()) {
        say(format!(
            "level {} has no feature {:?}",
            level.name, case.feature
        ));
    }
    if !level.operations.contains(&case.op.as_str()) {
        say(format!(
            "level {} has no operation {:?}",
            level.name, case.op
        ));
    }
}

fn is_kebab(words: &str) -> bool {
    words.split('-').all(|word| {
        !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    })
}

fn check_steps(input: &Value, expected: &Value, say: &mut impl FnMut(String)) {
    let steps = steps_of(input);
    if steps.is_empty() {
        say("has no steps".to_owned());
    }
    for (number, step) in steps.iter().enumerate() {
        match step.get("do").and_then(Value::as_str) {
            Some(name) if STEPS.contains(&name) => {}
            Some(name) => say(format!("step {number}: {name:?} is no step")),
            None => say(format!("step {number}: has no \"do\"")),
        }
    }
    for (number, one) in steps_of(expected).iter().enumerate() {
        let Some(members) = one.as_object() else {
            say(format!("step {number}: expects no object"));
            continue;
        };
        let events = one.get("events").and_then(Value::as_array);
        for event in events.map_or(&[][..], Vec::as_slice) {
            let name = event
                .get("event")
                .and_then(Value::as_str)
                .unwrap_or_default();
            if !EVENTS.contains(&name) {
                say(format!("step {number}: {name:?} is no event"));
            }
        }
        for name in members
            .keys()
            .filter(|name| !STEP_RESULTS.contains(&name.as_str()))
        {
            say(format!("step {number}: {name:?} is no result of a step"));
        }
    }
}

fn steps_of(script: &Value) -> &[Value] {
    script
        .get("steps")
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// Every rule has a case, or stands in `untested.txt` with a reason; what stands there has none.
fn check_coverage(suite: &Suite, known: &BTreeSet<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    let tested: BTreeSet<&str> = suite
        .cases
        .iter()
        .flat_map(|case| &case.rules)
        .map(String::as_str)
        .collect();
    let mut excused = BTreeSet::new();
    for (index, line) in suite.untested.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut say = |what: &str| wrong.push(format!("untested.txt, line {}: {what}", index + 1));
        let (rule, reason) = line.split_once('#').unwrap_or((line, ""));
        let rule = rule.trim();
        if reason.trim().is_empty() {
            say("needs RULE # reason");
        }
        if !known.contains(rule) {
            say(&format!("{rule} is no rule of SPEC.md"));
        }
        if tested.contains(rule) {
            say(&format!("{rule} has a case"));
        }
        excused.insert(rule);
    }
    let without = known
        .iter()
        .filter(|rule| !tested.contains(rule.as_str()) && !excused.contains(rule.as_str()));
    wrong.extend(
        without.map(|rule| format!("{rule} has no case, and does not stand in untested.txt")),
    );
    wrong
}
