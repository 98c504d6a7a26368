//! The core names no host language and no runtime: what it depends on is compared with a list of bans.

use std::collections::BTreeSet;
use std::process::Command;

/// Foreign interfaces and runtimes, by the name of their crate.
const BANNED: [&str; 13] = [
    "pyo3",
    "pyo3-ffi",
    "napi",
    "napi-sys",
    "napi-derive",
    "uniffi",
    "cbindgen",
    "jni",
    "libc",
    "tokio",
    "mio",
    "async-std",
    "wasm-bindgen",
];

/// Names of all crates that the core links with these features.
fn dependencies(features: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--package",
            "wirespan",
            "--edges",
            "normal",
            "--prefix",
            "none",
        ])
        .args([
            "--no-default-features",
            "--features",
            features,
            "--format",
            "{p}",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let tree = String::from_utf8(output.stdout).expect("names are ASCII");
    tree.lines()
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_core_depends_on_no_foreign_interface_and_no_runtime() {
    for features in ["", "opentelemetry"] {
        let found = dependencies(features);
        assert!(
            found.contains("wirespan") && found.contains("serde"),
            "the tree is read: {found:?}"
        );
        let banned: Vec<_> = BANNED
            .into_iter()
            .filter(|name| found.contains(*name))
            .collect();
        assert!(banned.is_empty(), "features {features:?} bring {banned:?}");
    }
}
