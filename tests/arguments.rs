//! What a script's header declares: help, checks before the first line, and typed values.

use crate::harness::Hoist;

const SCRIPT: &str = r#"#!/usr/bin/env hoist
//! Keeps the newest tags.
//! arg: keep int = 3 "tags to keep per repository"
//! arg: images string...? "what to copy"
//! flag: verbose -v "tell more"
//! flag: filter -f string... "which"
//! flag: larger -l size "at least so big"
//! flag: older-than duration = 7d "age"
//! flag: since time "not before"
//! flag: how choice(fast|slow) = fast "way"
fn inside() { arg::keep * 2 }
print([arg::keep, arg::images, arg::verbose, arg::filter, arg::larger, arg::older_than.to_string(), type_of(arg::since), arg::how, inside(), args.len()]);
"#;

const USAGE: &str = "usage: hoist run keep.rhai [FLAGS] [KEEP] [IMAGES...]";

#[test]
fn a_script_gets_what_its_header_declares() {
    let hoist = Hoist::new();
    hoist.write("keep.rhai", SCRIPT);
    let plain = r#"[3, [], false, [], (), "7d", "()", "fast", 6, 0]"#;
    hoist.run(&["run", "keep.rhai"]).success().stdout_is(plain);
    let words = "5 a --verbose b -fx -f y --larger=1MB --older-than 1h30m --since 2026-01-31 --how slow";
    let words: Vec<&str> = words.split(' ').collect();
    let told = r#"[5, ["a", "b"], true, ["x", "y"], 1000000, "1h30m", "Time", "slow", 10, 14]"#;
    for call in [
        ["run", "keep.rhai"].as_slice(),
        &["keep.rhai"],
        &["--dry-run", "keep.rhai"],
    ] {
        hoist.run(&[call, &words].concat()).success().stdout_is(told);
    }
    let planned = hoist
        .run(&[&["plan", "keep.rhai", "--"], &words[..]].concat())
        .success();
    planned.stderr_has(&["1h30m"]).stdout_is("nothing is to be done");
    let evaluated = hoist.run(&["eval", "//! arg: n int\narg::n + 1", "41"]);
    evaluated.success().stdout_is("42");
}

#[test]
fn words_that_are_wrong_are_refused_before_the_first_line() {
    let hoist = Hoist::new();
    hoist.write("keep.rhai", SCRIPT);
    for (words, message, hint) in [
        (
            ["many"].as_slice(),
            "error: `many` is no value for `keep`",
            "help: it must be a whole number",
        ),
        (
            &["--filtr", "x"],
            "error: unknown flag `--filtr`",
            "help: did you mean `--filter`?",
        ),
        (
            &["-vx"],
            "error: unknown flag `-x` in `-vx`",
            "help: flags are --verbose, --filter",
        ),
        (
            &["--how", "quick"],
            "error: `quick` is no value for `--how`",
            "help: it must be one of fast, slow",
        ),
        (&["-l"], "error: `-l` needs a value", "help: write `-l SIZE`"),
    ] {
        let refused = hoist.run(&[&["run", "keep.rhai"], words].concat()).fails_with(2);
        refused.stderr_has(&[message, hint, USAGE]).stdout_is("");
    }
    hoist
        .run(&["plan", "keep.rhai", "many"])
        .fails_with(2)
        .stderr_has(&["`keep`"]);
    let missing = hoist.script("//! arg: image image\nprint(1);", &[]).fails_with(2);
    missing.stderr_has(&["`image` is missing"]).stdout_is("");
}

#[test]
fn help_is_shown_without_running_the_script() {
    let hoist = Hoist::new();
    hoist.write("keep.rhai", SCRIPT.replace("print(", "this is ( no script"));
    for call in [["run", "keep.rhai", "--help"].as_slice(), &["keep.rhai", "5", "-h"]] {
        let help = hoist.run(call).success();
        help.stdout_has(&[
            "Keeps the newest tags.",
            "[KEEP] [IMAGES...]",
            "  -f, --filter STRING         which",
            "      --older-than DURATION   age (default: 7d)",
        ]);
    }
    hoist.write("said.rhai", "/// Says something.\nfn say() { print(args); }\nsay();");
    hoist
        .run(&["said.rhai", "--help"])
        .success()
        .stdout_has(&["Says something.\n\nUsage: hoist run said.rhai"]);
    hoist
        .run(&["said.rhai", "x", "--help"])
        .success()
        .stdout_is(r#"["x", "--help"]"#);
    hoist.write("silent.rhai", "print(args);");
    hoist
        .run(&["silent.rhai", "--help"])
        .success()
        .stdout_is(r#"["--help"]"#);
}

#[test]
fn a_wrong_header_is_an_error_with_its_line() {
    let hoist = Hoist::new();
    for (header, parts) in [
        (
            "//! arg: keep integer",
            [
                "line 1 of the header of `wrong.rhai`",
                "unknown type `integer`",
                "valid: string, int,",
            ],
        ),
        (
            "//! Keeps.\n//! flg: all",
            [
                "line 2 of the header of `wrong.rhai`",
                "unknown key `flg`",
                "did you mean `flag`",
            ],
        ),
        (
            "//! arg: a string...\n//! arg: b int",
            [
                "the header of `wrong.rhai`",
                "takes all that follows",
                "required arguments come first",
            ],
        ),
    ] {
        hoist.write("wrong.rhai", format!("{header}\nprint(1);"));
        let refused = hoist.run(&["run", "wrong.rhai"]).fails_with(2);
        refused.stderr_has(&parts).stdout_is("");
    }
    let misspelt = hoist
        .script("//! arg: keep int = 3\nprint(arg::kep);", &[])
        .fails_with(1);
    misspelt.stderr_has(&["arg::kep"]);
}
