//! Known failures.

use crate::{Folder, run};

fn with_known(kinds: &[&str], known: &str) -> (i32, String) {
    let folder = Folder::new();
    let file = folder.write("known.txt", known);
    let (ran, _) = run(kinds, &["--known-failures", file.to_str().unwrap()]);
    (ran.code, ran.out + &ran.err)
}

#[test]
fn a_known_failure_is_no_failure() {
    let (code, out) = with_known(&["error"], "# about this\n\ndemo/trigger # it is broken\n");
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("2 passed, 1 known, 2 skipped"), "{out}");
}

#[test]
fn a_known_failure_of_another_driver_is_a_failure() {
    let (code, out) = with_known(
        &["error", "unsupported"],
        "error: demo/tri* # it is broken\n",
    );
    assert_eq!(code, 1, "{out}");
    assert!(
        out.contains("FAILED demo/trigger with unsupported") && !out.contains("with error"),
        "{out}"
    );
}

#[test]
fn a_known_failure_that_passes_is_a_failure() {
    let (code, out) = with_known(
        &["error"],
        "demo/b* # not really\ndemo/trigger # it is broken\n",
    );
    assert_eq!(code, 1, "{out}");
    for case in ["demo/before", "demo/behind"] {
        assert!(
            out.contains(&format!(
                "known failures, line 1: {case} passes with error, and is listed as failing"
            )),
            "{out}"
        );
    }
}

#[test]
fn a_pattern_that_matches_nothing_is_a_failure() {
    let (code, out) = with_known(&["good"], "demo/nothing # ?\n");
    assert_eq!(code, 1, "{out}");
    assert!(
        out.contains("line 1: \"demo/nothing\" matches no case"),
        "{out}"
    );
    let (code, out) = with_known(&["good"], "other: demo/trigger # ?\n");
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("matches no driver"), "{out}");
}

#[test]
fn a_known_failure_without_a_reason_is_refused() {
    let (code, out) = with_known(&["error"], "demo/trigger\n");
    assert_eq!(code, 2, "{out}");
    assert!(
        out.contains("line 1: a known failure needs a reason"),
        "{out}"
    );
}
