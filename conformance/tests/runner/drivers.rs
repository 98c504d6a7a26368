//! Whatever a driver does, its case fails with a clear reason and the run goes on.

use serde_json::{Value, json};

use crate::{Folder, Ran, bad, here, run};

/// Asserts that only the case `demo/trigger` failed, and gives its failure.
fn only_failure(kind: &str, more: &[&str]) -> Value {
    let (ran, report) = run(&[kind], more);
    assert_eq!(ran.code, 1, "{kind}: {}{}", ran.out, ran.err);
    let driver = &report["drivers"][kind];
    assert_eq!(
        json!([driver["passed"], driver["failed"], driver["skipped"]]),
        json!([2, 1, 2]),
        "{kind}: {}",
        ran.out
    );
    assert_eq!(report["passed"], false);
    let failure = driver["failures"][0].clone();
    assert_eq!(failure["case"], "demo/trigger", "{kind}");
    failure
}

fn reason(kind: &str) -> String {
    only_failure(kind, &[])["reason"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn a_good_driver_passes_and_what_it_does_not_declare_is_skipped() {
    let (ran, report) = run(&["good"], &[]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", ran.out);
    let driver = &report["drivers"]["good"];
    assert_eq!(
        json!([driver["passed"], driver["failed"], driver["skipped"]]),
        json!([3, 0, 2])
    );
    assert_eq!(report["cases"], 5);
    assert!(ran.out.contains("3 passed, 2 skipped"), "{}", ran.out);
}

#[test]
fn a_crash_fails_its_case_and_shows_what_the_driver_said() {
    let failure = only_failure("crash", &[]);
    assert_eq!(
        failure["reason"],
        "the driver ended with exit code 3 instead of answering"
    );
    assert_eq!(failure["stderr"], "about to crash");
    assert_eq!(failure["expected"], json!({"traceparent": "trigger"}));
    assert_eq!(failure["input"], json!({"values": ["trigger"]}));
    assert!(failure["got"].is_null());
}

#[cfg(unix)]
#[test]
fn a_driver_that_is_killed_fails_its_case() {
    assert!(reason("killed").contains("signal: 9"));
}

#[test]
fn a_time_out_fails_its_case_and_the_driver_starts_again() {
    let failure = only_failure("hang", &["--timeout", "1"]);
    assert_eq!(failure["reason"], "no answer within 1 s");
}

#[test]
fn a_driver_that_closes_its_output_fails_its_case() {
    assert_eq!(
        reason("closes"),
        "the driver closed its output instead of answering"
    );
}

#[test]
fn a_line_that_is_no_json_fails_its_case() {
    assert_eq!(
        reason("junk"),
        "this line is no JSON object: \"Traceback: \\u{1b}[31mred\""
    );
}

#[test]
fn a_wrong_or_missing_seq_fails_its_case() {
    assert_eq!(
        reason("wrong-seq"),
        "the answer has seq 4, the request had 3"
    );
    assert!(reason("no-seq").starts_with("the answer has no seq: "));
}

#[test]
fn an_answer_too_many_fails_the_case_behind_it() {
    let (ran, report) = run(&["twice"], &[]);
    assert_eq!(ran.code, 1);
    let failures = &report["drivers"]["twice"]["failures"];
    assert_eq!(failures[0]["case"], "demo/behind");
    assert_eq!(
        failures[0]["reason"],
        "the answer has seq 3, the request had 4"
    );
}

#[test]
fn unsupported_is_a_failure_where_the_feature_is_declared() {
    assert_eq!(
        reason("unsupported"),
        "the driver declares the feature and answers unsupported: no idea"
    );
}

#[test]
fn an_error_of_the_driver_is_a_failure() {
    assert_eq!(reason("error"), "the driver failed: it broke");
    assert!(reason("two-answers").starts_with("an answer has one of"));
    assert!(reason("no-answer").starts_with("an answer has one of"));
}

#[test]
fn another_output_is_a_failure_that_says_where() {
    let failure = only_failure("other-output", &[]);
    assert_eq!(failure["rules"], json!(["TC-1", "TC-2"]));
    let paths: Vec<&str> = failure["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths, ["traceparent", "more"]);
    assert_eq!(
        failure["differences"][1],
        json!({"path": "more", "got": [null]})
    );
    assert_eq!(failure["reason"], "differs at traceparent, and at 1 more");
}

#[test]
fn a_script_is_compared_step_by_step() {
    let (ran, report) = run(&["good connection traceparent tracestate"], &[]);
    assert_eq!(ran.code, 1, "{}", ran.out);
    let driver = &report["drivers"]["good"];
    assert_eq!(json!([driver["passed"], driver["failed"]]), json!([4, 1]));
    let failure = &driver["failures"][0];
    assert_eq!(failure["case"], "demo/script");
    assert_eq!(failure["step"], 3);
    assert_eq!(failure["input"], json!({"do": "deadline"}));
    assert_eq!(
        failure["expected"],
        json!({"deadline": {"$between": [1, 3]}})
    );
    assert_eq!(failure["got"], json!({"deadline": 4}));
    assert!(
        ran.out.contains("step 3: {\"do\":\"deadline\"}"),
        "{}",
        ran.out
    );
}

#[test]
fn a_driver_that_is_not_there_is_told_at_once() {
    let cases = here("tests/cases");
    let ran = Ran::of(&[
        "run",
        "--cases",
        cases.to_str().unwrap(),
        "--driver",
        "no-such-program --flag",
    ]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(
        ran.err.contains("cannot start \"no-such-program\""),
        "{}",
        ran.err
    );
}

#[test]
fn a_hello_that_is_none_is_told_at_once() {
    for (kind, what) in [
        ("hello-junk", "this line is no JSON object"),
        ("hello-dies", "cannot import implementation"),
        ("hello-spec", "the driver follows spec [\"2\"]"),
        ("good no-such-feature", "\"no-such-feature\" is no feature"),
    ] {
        let (ran, report) = run(&[kind], &[]);
        assert_eq!(ran.code, 2, "{kind}");
        assert!(ran.err.contains(what), "{kind}: {}", ran.err);
        assert!(report.is_null(), "{kind}");
    }
}

#[test]
fn an_end_other_than_0_after_stop_is_a_failure() {
    for (kind, what) in [
        ("stop-code", "exit code 5"),
        ("stop-talks", "a line behind the answer to stop"),
    ] {
        let (ran, report) = run(&[kind], &[]);
        assert_eq!(ran.code, 1, "{kind}");
        assert_eq!(report["drivers"][kind]["failed"], 0, "{kind}");
        assert!(
            report["drivers"][kind]["problems"][0]
                .as_str()
                .unwrap()
                .contains(what),
            "{kind}: {report}"
        );
        assert!(ran.out.contains(what), "{kind}: {}", ran.out);
    }
}

#[test]
fn a_driver_that_does_not_start_again_fails_the_rest() {
    let folder = Folder::new();
    let kind = format!("once '{}'", folder.path("started").display());
    let (ran, report) = run(&[&kind], &["--jobs", "1"]);
    assert_eq!(ran.code, 1);
    let failures = report["drivers"]["once"]["failures"]
        .as_array()
        .unwrap()
        .clone();
    let reasons: Vec<&str> = failures
        .iter()
        .map(|failure| failure["reason"].as_str().unwrap())
        .collect();
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert!(
        reasons[1].starts_with("the driver does not start again")
            && reasons[1].contains("not again"),
        "{reasons:?}"
    );
}

#[test]
fn a_driver_that_always_takes_too_long_is_not_waited_for_forever() {
    let driver = bad("always-hangs");
    let ran = Ran::of(&[
        "run",
        "--driver",
        &driver,
        "--feature",
        "traceparent",
        "--timeout",
        "0.2",
        "--jobs",
        "1",
        "--show",
        "9",
    ]);
    assert_eq!(ran.code, 1);
    assert_eq!(
        ran.out.matches("no answer within 0.2 s").count(),
        5,
        "{}",
        ran.out
    );
    assert!(
        ran.out
            .contains("not asked: 5 cases in a row took too long"),
        "{}",
        ran.out
    );
}

#[test]
fn drivers_run_side_by_side_under_names_of_their_own() {
    let first = bad("good");
    let command = first.split_once('=').unwrap().1;
    let cases = here("tests/cases");
    let ran = Ran::of(&[
        "run",
        "--cases",
        cases.to_str().unwrap(),
        "--driver",
        command,
        "--driver",
        command,
        "--jobs",
        "4",
    ]);
    assert_eq!(ran.code, 0, "{}", ran.out);
    assert!(
        ran.out
            .lines()
            .next()
            .unwrap()
            .trim()
            .eq("bad good             bad good 2"),
        "{}",
        ran.out
    );
}

#[test]
fn filters_choose_cases() {
    for (filter, count) in [
        (["--filter", "demo/b*"], 2),
        (["--filter", "demo/?rigger"], 1),
        (["--rule", "TC-2"], 1),
        (["--feature", "tracestate"], 1),
        (["--level", "calls"], 1),
    ] {
        let (ran, report) = run(
            &["good traceparent tracestate baggage propagate text binary"],
            &filter,
        );
        assert_eq!(
            (ran.code, &report["cases"]),
            (0, &json!(count)),
            "{filter:?}"
        );
        let levels = &report["drivers"]["good"]["levels"];
        assert_eq!(
            json!([levels["reader"], levels["carry"]]),
            json!(["unknown", "not claimed"]),
            "{filter:?}"
        );
    }
    let (ran, _) = run(&["good"], &["--filter", "nothing/*"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("no case is chosen"));
}
