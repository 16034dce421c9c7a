//! What the README shows is true: its scripts parse, and what it names is there.

use std::path::Path;

use regex::Regex;

const README: &str = include_str!("../README.md");

/// The fenced blocks in this language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fences = README.split("\n```").collect::<Vec<_>>();
    // Text and code take turns; a block starts with its language.
    let code = fences.iter().skip(1).step_by(2);
    code.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n'))
        .collect()
}

#[test]
fn its_scripts_parse() {
    let scripts = blocks("rhai");
    assert!(!scripts.is_empty(), "the README shows no script");
    for script in scripts {
        let parsed = rhai::Engine::new().compile(script);
        assert!(parsed.is_ok(), "{}\n{script}", parsed.unwrap_err());
    }
}

#[test]
fn its_commands_are_the_two_that_everything_else_calls() {
    let commands = blocks("sh").join("\n");
    let has = |line: &str| commands.lines().any(|command| command == line);
    assert!(
        has("cargo run --release -- run scripts/tour.rhai"),
        "the README does not say how to take the tour"
    );
    assert!(has(".ci/run"), "the README does not say how to run the tests");
    assert!(
        include_str!("../justfile").contains("\n    .ci/run\n"),
        "`just ci` is something else"
    );
}

#[test]
fn its_links_lead_somewhere() {
    let link = Regex::new(r"\]\(([^):#]+)\)").unwrap();
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lost: Vec<_> = link
        .captures_iter(README)
        .map(|found| found[1].to_owned())
        .filter(|path| !package.join(path).exists())
        .collect();
    assert!(lost.is_empty(), "{lost:?}");
}

#[test]
fn its_limits_are_those_there_are() {
    let limits = serde_json::to_value(hoist::config::Limits::default()).unwrap();
    let row = Regex::new(r"(?m)^\| `(\w+)` \| (\S+)").unwrap();
    let told: Vec<(String, u64)> = row
        .captures_iter(README)
        .map(|found| {
            (
                found[1].to_owned(),
                found[2].parse::<hoist::model::ByteSize>().unwrap().0,
            )
        })
        .collect();
    for (name, value) in limits.as_object().unwrap() {
        assert!(
            told.contains(&(name.clone(), value.as_u64().unwrap())),
            "the README does not say that `{name}` is {value}"
        );
    }
    assert_eq!(told.len(), limits.as_object().unwrap().len());
}
