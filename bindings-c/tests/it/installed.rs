//! A consumer is built from the installed tree, through pkg-config and CMake, shared and static, outside the source tree.

use std::path::{Path, PathBuf};
use std::process::Command;

use wirespan_conformance::receiver::Receiver;

use crate::{root, run, scratch};

/// Installs into a scratch folder, by way of DESTDIR, and gives the prefix there.
fn install(folder: &Path) -> PathBuf {
    let stage = folder.join("stage");
    run(Command::new("make")
        .args(["--no-print-directory", "-C"])
        .arg(root())
        .arg("install")
        .arg(format!("PREFIX={}", folder.join("usr").display()))
        .arg(format!("DESTDIR={}", stage.display())));
    let installed = folder.join("usr");
    std::fs::rename(stage.join(installed.strip_prefix("/").unwrap()), &installed).unwrap();
    installed
}

/// Runs a quick start and looks at what it did.
fn check(program: &Path) {
    let receiver = Receiver::start().unwrap();
    let printed =
        run(Command::new(program).env("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint()));
    assert!(
        printed.contains("on the wire: {\"headers\":{\"traceparent\":\"00-"),
        "{printed}"
    );
    assert!(
        printed.contains("received: two pizzas\nexport: ok\n"),
        "{printed}"
    );
    let spans = receiver.store().spans();
    assert_eq!(spans.len(), 4, "{spans:?}");
    assert!(spans.iter().all(|span| span.service == "quickstart"));
    assert_eq!(spans.iter().filter(|span| span.name == "order").count(), 2);
}

/// The quick start of the README, which is the example.
fn quick_start() -> String {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let code = readme
        .split("```c\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap()
        .to_owned();
    let example = std::fs::read_to_string(root().join("examples/quickstart.c")).unwrap();
    assert!(
        code == example,
        "the quick start of README.md is not examples/quickstart.c"
    );
    code
}

#[test]
#[ignore = "needs the built library: make -C bindings-c test"]
fn a_consumer_builds_from_the_installed_tree() {
    let folder = scratch("installed");
    let prefix = install(&folder);
    let source = folder.join("quickstart.c");
    std::fs::write(&source, quick_start()).unwrap();
    let pkg_config = |arguments: &[&str]| {
        let flags = run(Command::new("pkg-config")
            .args(arguments)
            .arg("wirespan")
            .env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig")));
        flags
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let compile = |output: &str, flags: Vec<String>| {
        let output = folder.join(output);
        run(Command::new("cc")
            .arg(&source)
            .arg("-o")
            .arg(&output)
            .args(flags));
        output
    };

    let mut flags = pkg_config(&["--cflags", "--libs"]);
    flags.push(format!("-Wl,-rpath,{}", prefix.join("lib").display()));
    let shared = compile("shared", flags);
    let needed = run(Command::new("readelf").arg("-d").arg(&shared));
    assert!(needed.contains("[libwirespan.so.0.1]"), "{needed}");
    check(&shared);

    std::fs::create_dir(folder.join("static-only")).unwrap();
    std::fs::copy(
        prefix.join("lib/libwirespan.a"),
        folder.join("static-only/libwirespan.a"),
    )
    .unwrap();
    let mut flags = vec![format!("-L{}", folder.join("static-only").display())];
    flags.extend(
        pkg_config(&["--static", "--cflags", "--libs"])
            .into_iter()
            .filter(|flag| !flag.starts_with("-L")),
    );
    let linked = compile("static", flags);
    let needed = run(Command::new("readelf").arg("-d").arg(&linked));
    assert!(!needed.contains("libwirespan"), "{needed}");
    check(&linked);

    let lists = "cmake_minimum_required(VERSION 3.16)\nproject(consumer C)\nfind_package(Wirespan 0.1 REQUIRED)\n\
                 add_executable(shared quickstart.c)\ntarget_link_libraries(shared Wirespan::wirespan)\n\
                 add_executable(static quickstart.c)\ntarget_link_libraries(static Wirespan::wirespan_static)\n";
    std::fs::write(folder.join("CMakeLists.txt"), lists).unwrap();
    let build = folder.join("build");
    run(Command::new("cmake")
        .arg("-S")
        .arg(&folder)
        .arg("-B")
        .arg(&build)
        .arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display())));
    run(Command::new("cmake").arg("--build").arg(&build));
    check(&build.join("shared"));
    check(&build.join("static"));
}
