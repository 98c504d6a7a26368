//! Puts the cases into the binary, so that an installed runner needs no other file.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let cases = here.join("cases");
    println!("cargo::rerun-if-changed={}", cases.display());
    let mut files = Vec::new();
    collect(&cases, &mut files)?;
    files.sort();
    let mut list = String::from("&[\n");
    for file in files {
        let name: Vec<_> = file
            .strip_prefix(&cases)
            .unwrap_or(&file)
            .components()
            .map(|part| part.as_os_str().to_string_lossy())
            .collect();
        let _ = writeln!(list, "({:?}, include_str!({file:?})),", name.join("/"));
    }
    list.push(']');
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("cases.rs"), list)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path
            .extension()
            .is_some_and(|kind| kind == "json" || kind == "txt")
        {
            files.push(path);
        }
    }
    Ok(())
}
