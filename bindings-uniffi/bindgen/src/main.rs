//! Writes the Kotlin and Swift sources of a built native library: `wirespan-uniffi-bindgen LIBRARY KOTLIN_DIR SWIFT_DIR`.

use anyhow::{Context, bail};
use camino::Utf8PathBuf;
use uniffi_bindgen::bindings::{GenerateOptions, TargetLanguage, generate};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [library, kotlin, swift] = arguments.as_slice() else {
        bail!("usage: wirespan-uniffi-bindgen LIBRARY KOTLIN_DIR SWIFT_DIR");
    };
    for (language, folder) in [
        (TargetLanguage::Kotlin, kotlin),
        (TargetLanguage::Swift, swift),
    ] {
        let name = format!("{language:?}");
        generate(GenerateOptions {
            languages: vec![language],
            source: Utf8PathBuf::from(library),
            out_dir: Utf8PathBuf::from(folder),
            ..GenerateOptions::default()
        })
        .with_context(|| format!("cannot write the {name} sources"))?;
    }
    Ok(())
}
