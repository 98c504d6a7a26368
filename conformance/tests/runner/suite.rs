//! The suite's look at itself, and the schema of its files.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::{Folder, Ran, here};

fn schema() -> jsonschema::Validator {
    let schema: Value =
        serde_json::from_str(&fs::read_to_string(here("case.schema.json")).unwrap()).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "json") {
            found.push(path);
        }
    }
}

#[test]
fn every_case_file_follows_the_schema() {
    let schema = schema();
    let mut found = Vec::new();
    files(&here("cases"), &mut found);
    files(&here("tests/cases"), &mut found);
    assert!(found.len() > 20);
    for path in found {
        let file: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        if let Err(error) = schema.validate(&file) {
            panic!("{}: {}: {error}", path.display(), error.instance_path());
        }
    }
}

fn case() -> Value {
    json!({
        "id": "demo/one", "title": "one", "rules": ["A-1"], "level": "reader", "feature": "text", "op": "envelope.unwrap",
        "input": {}, "expect": {},
    })
}

fn with(member: &str, value: Value) -> Value {
    let mut case = case();
    case[member] = value;
    case
}

fn script(steps: Value) -> Value {
    let mut case = with("op", json!("connection"));
    case["level"] = json!("calls");
    case["feature"] = json!("connection");
    case["input"] = json!({"steps": steps});
    case.as_object_mut().unwrap().remove("expect");
    case
}

/// What `check` says of a suite of these cases, for a text of two rules.
fn faults(cases: Value, untested: &str) -> String {
    let folder = Folder::new();
    let spec = folder.write(
        "SPEC.md",
        "<a id=\"A-1\"></a>**[A-1]** One.\n<a id=\"A-2\"></a>**[A-2]** Two.\n",
    );
    folder.write(
        "cases/demo/file.json",
        &json!({"chapter": "demo", "cases": cases}).to_string(),
    );
    folder.write("cases/untested.txt", untested);
    let ran = Ran::of(&[
        "check",
        "--cases",
        folder.path("cases").to_str().unwrap(),
        "--spec",
        spec.to_str().unwrap(),
    ]);
    assert_eq!(
        ran.code,
        i32::from(!ran.out.ends_with(" 0 faults\n")),
        "{}{}",
        ran.out,
        ran.err
    );
    ran.out
}

#[test]
fn a_suite_without_faults_has_none() {
    assert_eq!(
        faults(json!([case()]), "# about\nA-2 # cannot be said as data\n"),
        "1 cases, 0 faults\n"
    );
    let mut steps = script(
        json!([{"do": "client"}, {"$list": {"do": "state", "expect": {"open": true}}, "times": 2}]),
    );
    steps["id"] = json!("demo/steps");
    steps["rules"] = json!(["A-2"]);
    assert_eq!(faults(json!([case(), steps]), ""), "2 cases, 0 faults\n");
}

#[test]
fn each_fault_is_found_by_the_schema_and_by_check() {
    let schema = schema();
    for (case, what) in [
        (with("id", json!("demo/Upper")), "the id must be"),
        (with("id", json!("demo/two--dashes")), "the id must be"),
        (with("id", json!("one")), "the id must be"),
        (with("title", json!(" ")), "has no title"),
        (with("rules", json!([])), "tests no rule"),
        (with("level", json!("writer")), "is no level"),
        (with("feature", json!("xml")), "has no feature"),
        (with("op", json!("envelope.open")), "has no operation"),
        (with("expected", json!({})), "unknown field"),
        (script(json!([])), "has no steps"),
        (script(json!([{"do": "jump"}])), "is no step"),
        (script(json!([{"on": "c"}])), "has no \"do\""),
        (
            script(json!([{"do": "state", "expect": {"opened_at": 1}}])),
            "is no result of a step",
        ),
        (
            script(json!([{"do": "state", "expect": {"events": [{"event": "bang"}]}}])),
            "\"bang\" is no event",
        ),
        (script(json!(["state"])), "step 0 is no object"),
    ] {
        let file = json!({"chapter": "demo", "cases": [case]});
        assert!(!schema.is_valid(&file), "{case}");
        let out = faults(json!([case]), "A-2 # x\n");
        assert!(out.contains(what), "{case}: {out}");
    }
}

#[test]
fn check_finds_what_a_schema_cannot_say() {
    let mut other_chapter = case();
    other_chapter["id"] = json!("other/one");
    let two = json!([case(), case()]);
    for (cases, untested, what) in [
        (
            json!([other_chapter]),
            "A-2 # x",
            "the id must begin with the chapter",
        ),
        (two, "A-2 # x", "this id stands in demo/file.json as well"),
        (
            json!([with("rules", json!(["A-1", "A-3"]))]),
            "A-2 # x",
            "A-3 is no rule of SPEC.md",
        ),
        (
            json!([case()]),
            "",
            "A-2 has no case, and does not stand in untested.txt",
        ),
        (json!([case()]), "A-2", "needs RULE # reason"),
        (
            json!([case()]),
            "A-2 # x\nA-1 # y",
            "untested.txt, line 2: A-1 has a case",
        ),
        (
            json!([case()]),
            "A-2 # x\nA-9 # y",
            "A-9 is no rule of SPEC.md",
        ),
        (
            json!([with("input", json!({"message": {"$repeat": "x"}}))]),
            "A-2 # x",
            "$repeat needs",
        ),
        (
            json!([with("input", json!({"at": {"$between": [1, 2]}}))]),
            "A-2 # x",
            "$between can only stand in what is expected",
        ),
        (
            json!([with("level", json!("sender"))]),
            "A-2 # x",
            "level sender has no operation",
        ),
    ] {
        let out = faults(cases, untested);
        assert!(out.contains(what), "{what}: {out}");
    }
}

#[test]
fn a_file_in_the_folder_of_another_chapter_is_a_fault() {
    let folder = Folder::new();
    folder.write(
        "cases/other/file.json",
        &json!({"chapter": "demo", "cases": [case()]}).to_string(),
    );
    let cases = folder.path("cases");
    let ran = Ran::of(&["check", "--cases", cases.to_str().unwrap()]);
    assert!(
        ran.out
            .contains("is of chapter \"demo\", but lies in folder \"other\""),
        "{}",
        ran.out
    );
    let ran = Ran::of(&[
        "run",
        "--cases",
        cases.to_str().unwrap(),
        "--driver",
        "true",
    ]);
    assert_eq!(ran.code, 2, "{}", ran.err);
}

#[test]
fn the_list_names_every_case() {
    let ran = Ran::of(&[
        "list",
        "--cases",
        here("tests/cases").to_str().unwrap(),
        "--rule",
        "TC-2",
    ]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (
            0,
            "demo/trigger [TC-1, TC-2] what a bad driver is bad at: <b>\u{fffd}</b>\n"
        )
    );
}

/// Names in backquotes of a column of the table under a heading or a header row.
fn column(text: &str, header: &str, column: usize) -> Vec<String> {
    let (_, table) = text.split_once(header).unwrap();
    let rows = table
        .lines()
        .skip(1)
        .take_while(|line| line.starts_with('|'));
    let cells = rows.map(|row| row.split('|').nth(column).unwrap());
    cells
        .flat_map(|cell| {
            cell.split('`')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect()
}

fn sorted<T: Into<String>>(names: impl IntoIterator<Item = T>) -> Vec<String> {
    let mut names: Vec<String> = names.into_iter().map(Into::into).collect();
    names.sort();
    names.dedup();
    names
}

fn strings(value: &Value) -> Vec<String> {
    sorted(
        value
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one.as_str().unwrap()),
    )
}

#[test]
fn the_protocol_and_the_schema_have_the_names_that_the_runner_has() {
    use wirespan_conformance::check::{EVENTS, STEP_RESULTS, STEPS};
    use wirespan_conformance::suite::rules::SPEC;
    use wirespan_conformance::suite::{LEVELS, features};
    let protocol = fs::read_to_string(here("PROTOCOL.md")).unwrap();
    let schema: Value =
        serde_json::from_str(&fs::read_to_string(here("case.schema.json")).unwrap()).unwrap();
    let case = &schema["$defs"]["case"]["properties"];

    let levels = "| level | features | operations |\n";
    assert_eq!(column(&protocol, levels, 1), LEVELS.map(|level| level.name));
    assert_eq!(
        column(&protocol, levels, 2),
        LEVELS.map(|level| level.features).concat()
    );
    assert_eq!(
        column(&protocol, levels, 3),
        LEVELS.map(|level| level.operations).concat()
    );
    let spec = column(SPEC, "| level | rules | features |\n", 3);
    assert_eq!(spec, LEVELS.map(|level| level.features).concat());
    assert_eq!(
        strings(&case["level"]["enum"]),
        sorted(LEVELS.map(|level| level.name))
    );
    assert_eq!(strings(&case["feature"]["enum"]), sorted(features()));
    assert_eq!(
        strings(&case["op"]["enum"]),
        sorted(LEVELS.map(|level| level.operations).concat())
    );

    let steps = "| step | fields | result |\n";
    let defs = &schema["$defs"];
    assert_eq!(sorted(column(&protocol, steps, 1)), sorted(STEPS));
    assert_eq!(
        strings(&defs["step"]["anyOf"][1]["properties"]["do"]["enum"]),
        sorted(STEPS)
    );
    assert_eq!(
        strings(&defs["result"]["propertyNames"]["enum"]),
        sorted(STEP_RESULTS)
    );
    let events = "| event | fields |\n";
    assert_eq!(sorted(column(&protocol, events, 1)), sorted(EVENTS));
    let event = &defs["result"]["properties"]["events"]["items"]["properties"]["event"];
    assert_eq!(strings(&event["enum"]), sorted(EVENTS));
}

#[test]
fn the_runner_does_not_use_what_it_judges() {
    let manifest = fs::read_to_string(here("Cargo.toml")).unwrap();
    assert!(
        !manifest
            .lines()
            .any(|line| line.starts_with("wirespan ") || line.starts_with("wirespan="))
    );
}
