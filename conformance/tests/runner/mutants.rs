//! Mutants of the example driver.

use std::fs;

use serde_json::{Value, json};

use crate::{Folder, Ran, here};

/// Runs mutants of the example driver over the cases of its feature.
fn mutants(list: Value, source: &str, driver: &str) -> (Ran, Value) {
    let folder = Folder::new();
    fs::create_dir(folder.path("source")).unwrap();
    fs::copy(here("examples/driver.py"), folder.path("source/driver.py")).unwrap();
    let set = json!({"driver": driver, "source": source, "mutants": list});
    let file = folder.write("mutants.json", &set.to_string());
    let report = folder.path("report.json");
    let arguments = [
        "mutants",
        file.to_str().unwrap(),
        "--feature",
        "traceparent",
        "--json",
        report.to_str().unwrap(),
    ];
    let ran = Ran::of(&arguments);
    let report = fs::read_to_string(&report)
        .map_or(Value::Null, |text| serde_json::from_str(&text).unwrap());
    (ran, report)
}

fn mutant(id: &str, find: &str, replace: &str) -> Value {
    json!({"id": id, "description": format!("does {id}"), "file": "driver.py", "find": find, "replace": replace})
}

#[test]
fn mutants_are_caught_and_the_report_says_by_which_cases() {
    let list = json!([
        mutant("loses-the-random-flag", "& 3", "& 1"),
        mutant("takes-the-first", "len(values) > 1", "len(values) > 9")
    ]);
    let (ran, report) = mutants(list, "source", "python3 driver.py");
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let mutants = &report["mutants"];
    assert_eq!(
        json!([mutants["total"], mutants["caught"], mutants["survivors"]]),
        json!([2, 2, []])
    );
    let by = mutants["each"][0]["caught_by"].as_array().unwrap();
    assert!(
        by.contains(&json!("traceparent/random-flag-kept")),
        "{by:?}"
    );
    assert!((1..=3).contains(&by.len()), "{by:?}");
    assert!(
        ran.out
            .contains("loses-the-random-flag: traceparent/random-flag-kept"),
        "{}",
        ran.out
    );
}

#[test]
fn a_survivor_is_a_failure() {
    let list = json!([
        mutant("other-name", "\"example\"", "\"specimen\""),
        mutant("loses-the-random-flag", "& 3", "& 1")
    ]);
    let (ran, report) = mutants(list, "source", "python3 driver.py");
    assert_eq!(ran.code, 1, "{}", ran.out);
    assert_eq!(report["mutants"]["survivors"], json!(["other-name"]));
    assert!(
        ran.out
            .contains("mutant other-name is not caught: does other-name (no case fails)"),
        "{}",
        ran.out
    );
}

#[test]
fn a_mutant_that_does_not_start_is_not_caught() {
    let (ran, report) = mutants(
        json!([mutant("broken", "import json", "import jsonn")]),
        "source",
        "python3 driver.py",
    );
    assert_eq!(ran.code, 1, "{}", ran.out);
    assert_eq!(report["mutants"]["survivors"], json!(["broken"]));
    assert!(
        report["mutants"]["each"][0]["problem"]
            .as_str()
            .unwrap()
            .contains("jsonn"),
        "{report}"
    );
}

#[test]
fn a_stale_mutant_is_told_at_once() {
    for (find, times) in [("no such text", "0 times"), ("import", "5 times")] {
        let (ran, report) = mutants(
            json!([mutant("old", find, "x")]),
            "source",
            "python3 driver.py",
        );
        assert_eq!(ran.code, 2, "{}", ran.out);
        assert!(
            ran.err.contains("stale mutant old") && ran.err.contains(times),
            "{}",
            ran.err
        );
        assert!(report.is_null());
    }
}

#[test]
fn a_source_that_fails_already_catches_nothing() {
    let (ran, _) = mutants(
        json!([mutant("random", "& 3", "& 1")]),
        "source",
        &format!("python3 '{}' error", here("tests/drivers/bad.py").display()),
    );
    assert_eq!(ran.code, 2, "{}", ran.out);
    assert!(
        ran.err
            .contains("without a fault the driver of the mutants fails already"),
        "{}",
        ran.err
    );
}

#[test]
fn a_source_can_be_one_file_and_its_driver_elsewhere() {
    let list = json!([{"id": "random", "description": "loses the random flag", "find": "& 3", "replace": "& 1"}]);
    let (ran, _) = mutants(list, "source/driver.py", "python3 {source} {here}");
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
}

#[test]
fn a_run_takes_mutants_into_its_report() {
    let folder = Folder::new();
    let list = json!([
        mutant("other-name", "\"example\"", "\"<specimen>\""),
        mutant("random", "& 3", "& 1")
    ]);
    let set = json!({"driver": "python3 driver.py", "source": here("examples"), "mutants": list});
    let file = folder.write("mutants.json", &set.to_string());
    let (report, page) = (folder.path("report.json"), folder.path("report.html"));
    let driver = format!("python3 '{}'", here("examples/driver.py").display());
    let mut arguments = vec![
        "run",
        "--driver",
        &driver,
        "--feature",
        "traceparent",
        "--mutants",
        file.to_str().unwrap(),
    ];
    arguments.extend([
        "--json",
        report.to_str().unwrap(),
        "--html",
        page.to_str().unwrap(),
    ]);
    let ran = Ran::of(&arguments);
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    let report: Value = serde_json::from_str(&fs::read_to_string(report).unwrap()).unwrap();
    assert_eq!(
        json!([
            report["mutants"]["total"],
            report["mutants"]["survivors"],
            report["passed"]
        ]),
        json!([2, ["other-name"], false])
    );
    assert_eq!(report["drivers"]["example python"]["failed"], 0);
    assert!(
        fs::read_to_string(page)
            .unwrap()
            .contains("<p class=\"bad\">1 of 2 caught.</p>")
    );
}

#[test]
fn a_run_whose_mutants_cannot_be_run_is_reported_all_the_same() {
    let folder = Folder::new();
    let driver = format!("python3 '{}' error", here("tests/drivers/bad.py").display());
    let set = json!({"driver": driver, "source": here("examples"), "mutants": [mutant("random", "& 3", "& 1")]});
    let file = folder.write("mutants.json", &set.to_string());
    let report = folder.path("report.json");
    let example = format!("python3 '{}'", here("examples/driver.py").display());
    let arguments = [
        "run",
        "--driver",
        &example,
        "--feature",
        "traceparent",
        "--mutants",
        file.to_str().unwrap(),
        "--json",
        report.to_str().unwrap(),
    ];
    let ran = Ran::of(&arguments);
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    let report: Value = serde_json::from_str(&fs::read_to_string(report).unwrap()).unwrap();
    assert_eq!(
        json!([report["mutants"]["total"], report["mutants"]["caught"]]),
        json!([1, 0])
    );
    assert!(
        report["wrong"][0]
            .as_str()
            .unwrap()
            .starts_with("without a fault"),
        "{report}"
    );
    assert_eq!(report["drivers"]["example python"]["failed"], 0);
}
