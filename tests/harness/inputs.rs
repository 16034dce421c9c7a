//! The files that `tests/inputs/make` made.

use std::path::{Path, PathBuf};

/// Where the inputs are.
pub(crate) fn dir() -> PathBuf {
    #[expect(
        clippy::disallowed_methods,
        reason = "the script that makes the inputs reads the same variable"
    )]
    let dir = std::env::var_os("HOIST_TEST_INPUTS");
    dir.map_or_else(|| PathBuf::from("/var/tmp/hoist-test-inputs"), PathBuf::from)
}

/// The input of this name, such as `debian.docker.tar`; a test without its input fails.
#[track_caller]
pub(crate) fn path(name: &str) -> PathBuf {
    let path = dir().join(name);
    assert!(
        path.exists(),
        "the input `{}` is missing: make the inputs with `tests/inputs/make`",
        path.display()
    );
    path
}

/// The image ID in an archive among the inputs, as another tool read it: `sha256:…`.
#[track_caller]
pub(crate) fn image_id(archive: &str) -> String {
    let text = std::fs::read_to_string(path(&format!("{archive}.id"))).unwrap();
    text.trim().to_owned()
}

/// Every archive of the image: what skopeo, podman, docker and crane wrote.
pub(crate) fn archives(image: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(path("."))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".id").map(str::to_owned))
        .filter(|name| name.split('.').next() == Some(image))
        .collect();
    names.sort();
    assert!(
        names.len() >= 8,
        "there are archives of `{image}` missing: make the inputs with `tests/inputs/make`"
    );
    names
}

/// The program of the project that makes and enters the peers' root.
pub(crate) fn peers_program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/inputs/peers")
}
