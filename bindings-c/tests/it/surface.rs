//! The header and the exports are what the code says, and every export is guarded.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{built, root, run};

fn sources(folder: &Path, all: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, all);
        } else {
            all.push((
                path.display().to_string(),
                fs::read_to_string(&path).unwrap(),
            ));
        }
    }
}

/// Every exported function: where it is, its name, and its body.
fn exports() -> Vec<(String, String, String)> {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    let mut all = Vec::new();
    for (path, text) in files {
        for item in text.split("#[unsafe(no_mangle)]").skip(1) {
            let name = item.split("extern \"C\" fn ").nth(1).unwrap();
            let name = name[..name.find('(').unwrap()].to_owned();
            let body = item[item.find("{\n").unwrap()..]
                .split("\n}\n")
                .next()
                .unwrap()
                .to_owned();
            all.push((path.clone(), name, body));
        }
    }
    assert!(all.len() > 60, "only {} exports were found", all.len());
    all
}

#[test]
fn the_committed_header_is_what_the_code_says() {
    let generated = fs::read_to_string(env!("WIRESPAN_HEADER")).unwrap();
    let committed = fs::read_to_string(root().join("include/wirespan.h")).unwrap();
    assert!(
        generated == committed,
        "include/wirespan.h is out of date: run make -C bindings-c header"
    );
}

#[test]
fn every_export_runs_inside_the_guard() {
    for (path, name, body) in exports() {
        let guarded = body.matches("guard(").count() == 1;
        assert!(guarded, "{path}: {name} does not run inside guard()");
        // What stands outside the closure is trivial: declarations of results, and handing them out.
        let before = &body[..body.find("guard(").unwrap()];
        assert!(
            !before.contains('?') && before.lines().count() <= 4,
            "{path}: {name} works in front of its guard"
        );
    }
}

#[test]
fn the_header_declares_every_export() {
    let header = fs::read_to_string(root().join("include/wirespan.h")).unwrap();
    for (path, name, _) in exports() {
        assert!(name.starts_with("wirespan_"), "{path}: {name}");
        assert!(
            header.contains(&format!("{name}(")),
            "{path}: {name} is not in wirespan.h"
        );
    }
}

#[test]
#[ignore = "needs the built library: make -C bindings-c test"]
fn the_shared_library_exports_these_names_and_no_other() {
    let listed = run(Command::new("nm")
        .args(["-D", "--defined-only"])
        .arg(built().join("libwirespan.so")));
    let listed: BTreeSet<&str> = listed
        .lines()
        .filter_map(|line| line.split(' ').nth(2))
        .collect();
    let exports = exports();
    let expected: BTreeSet<&str> = exports.iter().map(|(_, name, _)| name.as_str()).collect();
    assert_eq!(listed, expected);
}
