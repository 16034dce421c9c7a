//! The rules of ARCHITECTURE.md that a machine can check: who may use whom, what may be used where, how files look.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

use crate::harness::source::{Source, code};

const MOST_LINES: usize = 700;

/// Files of tests that wait for what they test; each is to be listed in `main.rs` as soon as it passes.
const WAITING: [&str; 0] = [];

/// What may only be used in some modules: the thing, a pattern for it, and where it belongs.
const CONFINED: [(&str, &str, &[&str]); 11] = [
    ("`unsafe`", r"\bunsafe\b", &["sys"]),
    ("the crate `libc`", r"(^|[^:\w]|[^x]::)libc::", &["sys"]),
    (
        "the crate `nix`",
        r"\bnix::",
        &["model", "error", "sys", "config", "store", "web", "images", "runtime"],
    ),
    ("the crate `rusqlite`", r"\brusqlite\b", &["sys", "store"]),
    ("the crate `rhai`", r"\brhai::", &["bindings", "script"]),
    ("the crate `cgroups_rs`", r"\bcgroups_rs\b", &["runtime"]),
    ("the crate `tar`", r"\btar::", &["images"]),
    ("the crates of the terminal", r"\b(clap|rustyline)::", &["cli", "repl"]),
    // The core is blocking; only what talks with other machines has a reactor, and keeps it to itself.
    (
        "the crates of HTTP",
        r"\b(reqwest|tokio|rustls)::",
        &["images", "server", "web"],
    ),
    ("printing", r"\be?print(ln)?!", &["cli", "repl"]),
    // To a process of the runtime they are pipes to the one that started it; to `images` they are an archive.
    (
        "the standard streams",
        r"\bio::(stdin|stdout|stderr)\(",
        &["cli", "repl", "runtime", "images"],
    ),
];

/// The table at the top of `lib.rs`: rows by module, and who may use whom within a row.
struct Layers {
    rows: BTreeMap<String, u32>,
    arrows: BTreeSet<(String, String)>,
}

impl Layers {
    fn read() -> Layers {
        let text = include_str!("../src/lib.rs");
        let (mut rows, mut arrows) = (BTreeMap::new(), BTreeSet::new());
        let line = Regex::new(r"(?m)^//! \| (\d+) \| (.+) \|$").unwrap();
        let name = Regex::new("`(\\w+)`").unwrap();
        for row in line.captures_iter(text) {
            for group in row[2].split(',') {
                let names: Vec<String> = name.captures_iter(group).map(|found| found[1].to_owned()).collect();
                arrows.extend(names.windows(2).map(|pair| (pair[0].clone(), pair[1].clone())));
                rows.extend(names.into_iter().map(|name| (name, row[1].parse().unwrap())));
            }
        }
        Layers { rows, arrows }
    }

    fn allow(&self, user: &str, used: &str) -> bool {
        let is_arrow = self.arrows.contains(&(user.to_owned(), used.to_owned()));
        user == used || is_arrow || self.rows[used] < self.rows[user]
    }
}

/// The modules of the crate that the code names outside unit tests, which may look up, each with where: by `crate::`, in braces too, or by climbing with `super::`.
fn uses(source: &Source, known: &Layers) -> Vec<(String, usize)> {
    let depth = source.modules().len();
    let path = Regex::new(r"\b(crate|(?:super::)*super)::(\{[^;]*|\w+)").unwrap();
    let (product, mut found) = (source.product(), Vec::new());
    for capture in path.captures_iter(&product) {
        let (start, tail) = (capture.get(0).unwrap().start(), capture.get(2).unwrap().as_str());
        if &capture[1] != "crate" && capture[1].matches("super").count() < depth {
            continue;
        }
        let names = if tail.starts_with('{') {
            outer_names(tail)
        } else {
            vec![tail.to_owned()]
        };
        found.extend(
            names
                .into_iter()
                .filter(|name| known.rows.contains_key(name))
                .map(|name| (name, start)),
        );
    }
    found
}

/// The first name of each path in a braced list: `{a, b::{c, d}}` has `a` and `b`.
fn outer_names(list: &str) -> Vec<String> {
    let (mut depth, mut name, mut names) = (0, String::new(), Vec::new());
    for letter in list.chars() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        match letter {
            _ if depth == 0 => break,
            ',' if depth == 1 => names.push(std::mem::take(&mut name)),
            letter if depth == 1 && letter != '{' => name.push(letter),
            _ => {}
        }
    }
    names.push(name);
    names
        .iter()
        .filter_map(|name| Some(name.split("::").next()?.trim().to_owned()))
        .collect()
}

#[track_caller]
fn assert_none(complaints: &[String]) {
    assert!(
        complaints.is_empty(),
        "{} complaints:\n{}",
        complaints.len(),
        complaints.join("\n")
    );
}

#[test]
fn modules_use_lower_rows_only() {
    let layers = Layers::read();
    let mut complaints = Vec::new();
    for source in Source::below("src") {
        let Some(user) = source.modules().into_iter().next() else {
            continue;
        };
        assert!(
            layers.rows.contains_key(&user),
            "`{user}` is not in the table of src/lib.rs"
        );
        for (used, offset) in uses(&source, &layers) {
            if !layers.allow(&user, &used) {
                complaints.push(format!("{}: `{user}` must not use `{used}`", source.at(offset)));
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn the_table_of_layers_lists_every_module_and_nothing_else() {
    let module = Regex::new(r"(?m)^(?:pub )?mod (\w+);").unwrap();
    let modules: BTreeSet<String> = module
        .captures_iter(include_str!("../src/lib.rs"))
        .map(|found| found[1].to_owned())
        .collect();
    let listed: BTreeSet<String> = Layers::read().rows.into_keys().collect();
    assert_eq!(modules, listed);
}

#[test]
fn what_belongs_in_one_place_is_used_there_only() {
    let mut complaints = Vec::new();
    for (thing, pattern, homes) in CONFINED {
        let pattern = Regex::new(pattern).unwrap();
        for source in Source::below("src") {
            let module = source.modules().into_iter().next();
            if module.is_some_and(|module| homes.contains(&module.as_str())) {
                continue;
            }
            // A unit test may reach for a crate; `unsafe` is explained in one place, tests or not.
            let code = if thing == "`unsafe`" {
                source.code.clone()
            } else {
                source.product()
            };
            let found: Vec<_> = pattern.find_iter(&code).collect();
            if let Some(first) = found.first() {
                let (place, count) = (source.at(first.start()), found.len());
                complaints.push(format!("{place}: {thing} ({count} times) belongs in {homes:?}"));
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn every_file_has_a_header_and_a_readable_size() {
    let mut complaints = Vec::new();
    for source in ["src", "tests", "benches"].into_iter().flat_map(Source::below) {
        let (path, lines) = (source.path.display(), source.text.lines().count());
        if !source.text.starts_with("//! ") {
            complaints.push(format!(
                "{path}: starts without a `//!` header that says what it is responsible for"
            ));
        }
        if lines > MOST_LINES {
            complaints.push(format!("{path}: {lines} lines; look for the second noun in it"));
        }
    }
    assert_none(&complaints);
}

#[test]
fn nothing_is_left_for_later() {
    let comment = Regex::new(concat!(r"\b(TO", "DO|FIX", "ME|XX", "X|HA", r"CK)\b")).unwrap();
    let call = Regex::new(r"\b(todo|unimplemented)!|#\[ignore").unwrap();
    let mut complaints = Vec::new();
    for source in ["src", "tests", "benches"].into_iter().flat_map(Source::below) {
        let marks = comment.find_iter(&source.text).chain(call.find_iter(&source.code));
        complaints.extend(marks.map(|mark| format!("{}: `{}`", source.at(mark.start()), mark.as_str())));
    }
    assert_none(&complaints);
}

#[test]
fn globs_are_for_unit_tests() {
    let glob = Regex::new(r"(?m)^\s*(?:pub(?:\([a-z]+\))? )?use ([\w:]+::\*|[\w:]+::\{[^;]*\*[^;]*);").unwrap();
    let mut complaints = Vec::new();
    for source in ["src", "tests", "benches"].into_iter().flat_map(Source::below) {
        let found = glob.captures_iter(&source.code).filter(|found| &found[1] != "super::*");
        complaints
            .extend(found.map(|found| format!("{}: `use {}`", source.at(found.get(1).unwrap().start()), &found[1])));
    }
    // What a binding macro or the prelude of a test library asks for is imported inside a module of its own.
    complaints.retain(|complaint| !complaint.contains("prelude::*") && !complaint.contains("rhai::plugin::*"));
    assert_none(&complaints);
}

#[test]
fn no_test_is_forgotten() {
    let listed = include_str!("main.rs");
    let mut forgotten = Vec::new();
    for source in Source::below("tests") {
        let modules = source.modules();
        let [name] = &modules[..] else { continue };
        let is_listed = listed.contains(&format!("\nmod {name};"));
        if !is_listed && !WAITING.contains(&name.as_str()) {
            forgotten.push(name.clone());
        }
        assert!(
            !(is_listed && WAITING.contains(&name.as_str())),
            "`{name}` does not wait any more"
        );
    }
    assert_none(&forgotten);
}

#[test]
fn only_code_is_looked_at() {
    let text = "let a = \"unsafe\"; // unsafe\nlet b = r#\"un\"safe\"#; /* un /* nested */ safe */ fn f<'a>(c: &'a str) { '\\''; b'x'; r#type }";
    let blanked = code(text);
    assert_eq!(blanked.len(), text.len());
    assert!(!blanked.contains("safe"), "{blanked}");
    for kept in ["let a = ", "let b = ", "fn f<'a>(c: &'a str) {", "r#type }"] {
        assert!(blanked.contains(kept), "`{kept}` is gone: {blanked}");
    }
    assert_eq!(blanked.matches('\n').count(), 1);
}

#[test]
fn uses_are_found_however_they_are_written() {
    let layers = Layers::read();
    let text = "#[cfg(test)]\nmod tests { use crate::cli::x; fn f() {} }\nuse crate::{error::Error, store::{self, x}};\nfn f() { crate::host::x(); super::super::cli::y(); super::model::z(); }";
    let source = Source {
        path: "src/images/unpack.rs".into(),
        text: text.into(),
        code: code(text),
    };
    let found: Vec<_> = uses(&source, &layers).into_iter().map(|(name, _)| name).collect();
    assert_eq!(found, ["error", "store", "host", "cli"]);
    assert!(layers.allow("images", "store") && layers.allow("script", "bindings") && layers.allow("cli", "repl"));
    assert!(
        !layers.allow("images", "runtime") && !layers.allow("bindings", "script") && !layers.allow("store", "host")
    );
}
