//! The reports for other programs.

use std::fs;
use std::process::{Command, Stdio};

use std::io::Write;

use crate::{Folder, run};

/// The counts and the messages of a JUnit file, read by an XML parser.
const READ_JUNIT: &str = "
import sys, xml.etree.ElementTree as tree
root = tree.parse(sys.stdin).getroot()
suites = [(suite.get('name'), suite.get('tests'), suite.get('failures'), suite.get('skipped')) for suite in root]
failures = [(test.get('name'), failure.get('message')) for test in root.iter('testcase') for failure in test.iter('failure')]
print(suites, failures)
";

#[test]
fn junit_is_xml_with_the_right_counts() {
    let folder = Folder::new();
    let path = folder.path("junit.xml");
    let (ran, _) = run(&["other-output"], &["--junit", path.to_str().unwrap()]);
    assert_eq!(ran.code, 1);
    let mut python = Command::new("python3")
        .args(["-c", READ_JUNIT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python
        .stdin
        .take()
        .unwrap()
        .write_all(&fs::read(&path).unwrap())
        .unwrap();
    let output = python.wait_with_output().unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap().trim(),
        "[('other-output.demo', '5', '1', '2')] [('demo/trigger', 'differs at traceparent, and at 1 more')]"
    );
}

#[test]
fn the_page_needs_nothing_else_and_escapes_everything() {
    let folder = Folder::new();
    let path = folder.path("report.html");
    let (ran, _) = run(
        &["other-output", "good"],
        &["--html", path.to_str().unwrap()],
    );
    assert_eq!(ran.code, 1);
    let page = fs::read_to_string(&path).unwrap();
    assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"));
    assert!(page.contains("what a bad driver is bad at: &lt;b&gt;\u{fffd}&lt;/b&gt;"));
    for forbidden in [
        "<script", "<link", "<img", "<iframe", "src=", "@import", "url(", "\u{1b}",
    ] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    assert!(page.contains("conformance/SPEC.md#TC-2\">TC-2</a>"));
    assert!(page.contains(
        "<td class=\"bad\"><a href=\"#driver-1-demo\">2 passed, 1 FAILED, 2 skipped</a></td><td class=\"partly\">3 passed, 2 skipped</td>"
    ));
}

#[test]
fn nothing_of_a_driver_steers_the_terminal() {
    let (ran, _) = run(&["other-output"], &[]);
    assert!(ran.out.contains("alert('x')"), "{}", ran.out);
    assert!(!ran.out.contains('\u{1b}'));
}
