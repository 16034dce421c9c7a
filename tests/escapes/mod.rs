//! Ways out of a container that worked on some engine once. Each test is the attack itself and names the CVE; where a few tools of
//! this machine make the naive version of what the engine does, the test first shows that the attack works on it.
//!
//! Attacks by the content of an image are in `hostile`, under the same kind of comment; [`every_known_way_is_tried`] looks at both.

mod processes;
mod rights;
mod roots;
mod words;

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::harness::forge::{Files, Item, layer};
use crate::harness::source::Source;
use crate::harness::{Hoist, inputs, tool};
use crate::hostile::Beside;

/// Known attacks on container engines that this one could be open to. Those on networks, ports and builds are not among them: there
/// is none of that yet.
const KNOWN: [&str; 40] = [
    "CVE-2016-3697",
    "CVE-2016-9962",
    "CVE-2018-15664",
    "CVE-2019-5736",
    "CVE-2019-14271",
    "CVE-2019-16884",
    "CVE-2019-19921",
    "CVE-2020-14370",
    "CVE-2020-15257",
    "CVE-2021-30465",
    "CVE-2021-41091",
    "CVE-2021-43784",
    "CVE-2022-0492",
    "CVE-2022-0811",
    "CVE-2022-1227",
    "CVE-2022-23648",
    "CVE-2022-24769",
    "CVE-2022-27649",
    "CVE-2022-27650",
    "CVE-2022-29162",
    "CVE-2022-2989",
    "CVE-2022-36109",
    "CVE-2023-25173",
    "CVE-2023-25809",
    "CVE-2023-27561",
    "CVE-2023-28642",
    "CVE-2024-21626",
    "CVE-2024-40635",
    "CVE-2024-45310",
    "CVE-2024-9341",
    "CVE-2024-9676",
    "CVE-2025-24965",
    "CVE-2025-31133",
    "CVE-2025-52881",
    "CVE-2026-30892",
    "CVE-2026-41579",
    "CVE-2026-46680",
    "CVE-2026-47766",
    "CVE-2026-53488",
    "CVE-2026-55686",
];

#[test]
fn every_known_way_is_tried() {
    let tests = ["tests/escapes", "tests/hostile"].map(Source::below);
    let comments: String = tests
        .iter()
        .flatten()
        .flat_map(|source| source.text.lines())
        .filter(|line| line.starts_with("///"))
        .collect();
    let missing: Vec<_> = KNOWN.iter().filter(|name| !comments.contains(*name)).collect();
    assert!(missing.is_empty(), "no test is about {missing:?}");
}

/// Loads busybox with a layer of these entries over it, as the image `attack`.
#[track_caller]
fn load_over_busybox(hoist: &Hoist, entries: &[(&str, Item<'_>)]) {
    let busybox = std::fs::read(inputs::path("busybox.tar")).unwrap();
    let files = Files::docker(&[busybox, layer(entries)], "attack:1");
    let path = hoist.write("attack.tar", files.pack());
    hoist.eval(&format!(r#"image::load({}).len()"#, json!(path))).success();
}

/// What a shell command prints in a container of the image `image`, with these options.
#[track_caller]
fn inside(hoist: &Hoist, image: &str, command: &str, options: &str) -> String {
    let script = format!(
        r#"container::run("{image}", ["/bin/sh", "-c", {}], #{{check: false, {options}}}).stdout"#,
        json!(command)
    );
    hoist.value(&script).as_str().unwrap().to_owned()
}

/// The kind of the error that an expression throws.
#[track_caller]
fn refused(hoist: &Hoist, expression: &str) -> String {
    let kind = hoist.value(&format!("attempt(|| {expression}).error?.kind"));
    kind.as_str()
        .unwrap_or_else(|| panic!("`{expression}` threw nothing"))
        .to_owned()
}

/// A naive engine: a shell script as root in a mount namespace of its own.
struct Naive<'a> {
    hoist: &'a Hoist,
    /// A directory of the host.
    outside: String,
}

impl Naive<'_> {
    fn new(beside: &Beside) -> Naive<'_> {
        let hoist = &beside.hoist;
        let outside = hoist.file("naive-outside");
        std::fs::create_dir_all(outside.join("dir/deep")).unwrap();
        let outside = outside.to_str().unwrap().to_owned();
        Naive { hoist, outside }
    }

    /// Runs the script, in which `$root` is a root file system of busybox with these entries over it, and gives what it prints.
    #[track_caller]
    fn run(&self, entries: &[(&str, Item<'_>)], script: &str) -> String {
        let root: PathBuf = self.hoist.file("naive");
        std::fs::create_dir_all(&root).unwrap();
        let unpack = |tar: &Path| {
            let tar = tar.to_str().unwrap();
            tool(&root, "tar", &["--extract", "--keep-directory-symlink", "--file", tar]);
        };
        unpack(&inputs::path("busybox.tar"));
        for (name, _) in entries {
            let path = root.join(name);
            let _ = std::fs::remove_dir_all(&path).or_else(|_| std::fs::remove_file(&path));
        }
        unpack(&self.hoist.write("naive.tar", layer(entries)));
        let script = format!("root={}; outside={}; {script}", root.display(), self.outside);
        let words = ["--mount", "--propagation", "private", "sh", "-euc", &script];
        tool(&self.hoist.dir(), "unshare", &words)
    }
}
