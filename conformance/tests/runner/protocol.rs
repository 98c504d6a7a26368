//! The walk-through of PROTOCOL.md.

use std::fs;

use crate::{Ran, here};

#[test]
fn the_example_is_shown_whole_and_is_short() {
    let example = fs::read_to_string(here("examples/driver.py")).unwrap();
    let protocol = fs::read_to_string(here("PROTOCOL.md")).unwrap();
    assert!(
        protocol.contains(&format!("```python\n{example}```\n")),
        "PROTOCOL.md shows another driver than examples/driver.py"
    );
    assert!(example.lines().count() < 100);
}

#[test]
fn the_example_passes_what_it_declares() {
    let command = format!("python3 '{}'", here("examples/driver.py").display());
    let ran = Ran::of(&["run", "--driver", &command]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(
        ran.out.contains("skipped") && !ran.out.contains("FAILED"),
        "{}",
        ran.out
    );
    let ran = Ran::of(&["run", "--driver", &command, "--feature", "traceparent"]);
    assert_eq!(ran.code, 0, "{}", ran.out);
    assert!(!ran.out.contains("skipped"), "{}", ran.out);
}
