//! Facts that stand in more than one place: each copy is compared with the one that counts.

use wirespan::counters::Counter;
use wirespan::names::header;
use wirespan::{ErrorKind, Refusal};

const SPEC: &str = include_str!("../../../conformance/SPEC.md");

/// The words in backquotes of the line of SPEC.md that starts so.
fn words(start: &str) -> Vec<&'static str> {
    let line = SPEC.lines().find(|line| line.starts_with(start));
    let line = line.unwrap_or_else(|| panic!("SPEC.md has no line that starts with {start:?}"));
    line.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_package_has_the_version_of_the_workspace() {
    let version = env!("CARGO_PKG_VERSION");
    let package: serde_json::Value =
        serde_json::from_str(include_str!("../../../bindings-node/package.json")).unwrap();
    assert_eq!(package["version"], version, "bindings-node/package.json");
    let lock: serde_json::Value =
        serde_json::from_str(include_str!("../../../bindings-node/package-lock.json")).unwrap();
    assert_eq!(lock["version"], version, "bindings-node/package-lock.json");
    let python = include_str!("../../../bindings-python/pyproject.toml");
    assert!(
        python.contains("dynamic = [\"version\"]"),
        "pyproject.toml takes the version of the workspace"
    );
    let maven = include_str!("../../../bindings-uniffi/kotlin/pom.xml");
    let artifact = format!("<artifactId>wirespan</artifactId>\n  <version>{version}</version>");
    assert!(maven.contains(&artifact), "bindings-uniffi/kotlin/pom.xml");
    let workspace = include_str!("../../../Cargo.toml");
    let dependency = format!("wirespan = {{ path = \"core\", version = \"{version}\"");
    assert!(
        workspace.contains(&dependency),
        "Cargo.toml, workspace.dependencies"
    );
}

#[test]
fn the_specification_numbers_the_kinds_of_errors_as_the_library_does() {
    let line = SPEC
        .lines()
        .find(|line| line.starts_with("Error kinds and their numbers"));
    let expected: Vec<String> = ErrorKind::ALL
        .iter()
        .map(|kind| format!("`{}` {}", kind.name(), kind.code()))
        .collect();
    assert!(line.unwrap().contains(&expected.join(", ")));
}

#[test]
fn the_specification_names_the_reasons_of_a_refusal() {
    assert_eq!(
        words("Reasons of a refusal"),
        Refusal::ALL.map(Refusal::name)
    );
}

#[test]
fn the_specification_lists_every_counter() {
    let table = SPEC.split("| counter | counts |").nth(1).unwrap();
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let names: Vec<&str> = rows
        .flat_map(|row| row.split('|').nth(1).unwrap().split(','))
        .map(str::trim)
        .collect();
    let mut listed = names.clone();
    let mut known = Counter::ALL.map(Counter::name).to_vec();
    listed.sort_unstable();
    known.sort_unstable();
    assert_eq!(listed, known);
}

#[test]
fn the_specification_lists_the_reserved_headers_in_their_order() {
    let table = SPEC.split("| header | when | value |").nth(1).unwrap();
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let names: Vec<&str> = rows
        .flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2))
        .collect();
    assert_eq!(names, header::RESERVED);
}

#[test]
fn the_readme_shows_the_examples_as_they_stand() {
    let readme = include_str!("../../../README.md");
    for (name, source) in [
        (
            "core/examples/quick_start.rs",
            include_str!("../../examples/quick_start.rs"),
        ),
        (
            "bindings-python/examples/quick_start.py",
            include_str!("../../../bindings-python/examples/quick_start.py"),
        ),
        (
            "bindings-node/examples/quick-start.mjs",
            include_str!("../../../bindings-node/examples/quick-start.mjs"),
        ),
        (
            "bindings-c/examples/quickstart.c",
            include_str!("../../../bindings-c/examples/quickstart.c"),
        ),
    ] {
        assert!(readme.contains(source), "README.md differs from {name}");
    }
}

/// The anchor of a heading, as hosting sites make it.
fn slug(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// The texts that stand between `start` and `end`, wherever `start` stands.
fn between<'a>(start: &str, end: &str) -> Vec<&'a str> {
    let parts = SPEC.split(start).skip(1);
    parts.filter_map(|part| part.split(end).next()).collect()
}

#[test]
fn every_anchor_of_the_specification_is_unique_and_every_link_leads_to_one() {
    let mut anchors: Vec<String> = between("<a id=\"", "\"")
        .into_iter()
        .map(str::to_owned)
        .collect();
    for line in SPEC.lines().filter(|line| line.starts_with('#')) {
        anchors.push(slug(line.trim_start_matches('#').trim()));
    }
    anchors.sort_unstable();
    let doubled: Vec<&[String]> = anchors
        .windows(2)
        .filter(|pair| pair[0] == pair[1])
        .collect();
    assert!(doubled.is_empty(), "doubled: {doubled:?}");
    let links = between("](#", ")");
    assert!(links.len() > 20, "the links were not found");
    let dangling: Vec<&str> = links
        .into_iter()
        .filter(|link| anchors.binary_search(&(*link).to_owned()).is_err())
        .collect();
    assert!(dangling.is_empty(), "dangling: {dangling:?}");
}

#[test]
fn every_rule_of_the_specification_stands_at_the_anchor_of_its_id() {
    let rules = between("<a id=\"", "</a>");
    assert!(rules.len() > 100, "the rules were not found");
    for rule in rules {
        let id = rule.split('"').next().unwrap_or_default();
        let shown = [format!("</a>**[{id}]**"), format!("</a>[{id}]")];
        let anchor = format!("<a id=\"{id}\">");
        assert!(
            shown
                .iter()
                .any(|text| SPEC.contains(&format!("{anchor}{text}"))),
            "{id} is not shown behind its anchor"
        );
    }
}
