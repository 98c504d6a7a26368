//! Makes wirespan.h in OUT_DIR, and gives the shared library its SONAME. The source tree is never written.

use std::path::Path;
use std::{env, error::Error, fs};

/// The files that the header is made of, in the order in which it shows them.
const SOURCES: [&str; 15] = [
    "types.rs",
    "misc.rs",
    "guard.rs",
    "options.rs",
    "tracer.rs",
    "session.rs",
    "connection/mod.rs",
    "connection/handshake.rs",
    "connection/calls.rs",
    "connection/receive.rs",
    "connection/events.rs",
    "propagator.rs",
    "baggage.rs",
    "carry.rs",
    "envelope.rs",
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = env::var("CARGO_MANIFEST_DIR")?;
    let root = Path::new(&root);
    let out = env::var("OUT_DIR")?;
    let out = Path::new(&out);

    let mut builder = cbindgen::Builder::new()
        .with_config(cbindgen::Config::from_file(root.join("cbindgen.toml"))?);
    for source in SOURCES.iter().chain(&["metrics.rs"]) {
        let path = root.join("src").join(source);
        println!("cargo::rerun-if-changed={}", path.display());
        builder = builder.with_src(path);
    }
    println!("cargo::rerun-if-changed=cbindgen.toml");
    builder.generate()?.write_to_file(out.join("wirespan.h"));
    // Tests and the Makefile find the header beside the library, whose place they know.
    println!(
        "cargo::rustc-env=WIRESPAN_HEADER={}",
        out.join("wirespan.h").display()
    );

    // Until 1.0 a minor version may change the ABI, so it is a part of the SONAME.
    let (major, minor) = (
        env::var("CARGO_PKG_VERSION_MAJOR")?,
        env::var("CARGO_PKG_VERSION_MINOR")?,
    );
    let abi = if major == "0" {
        format!("0.{minor}")
    } else {
        major
    };
    if env::var("CARGO_CFG_TARGET_OS")? == "linux" {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libwirespan.so.{abi}");
    }
    fs::write(out.join("abi"), abi)?;
    Ok(())
}
