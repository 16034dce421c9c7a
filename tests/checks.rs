//! `hoist check`, `hoist fmt` and errors for programs: what they print, write and end with.

use serde_json::Value;

use crate::harness::Hoist;

const WRONG: &str = "let image = image::get(\"app:1\");\nlet unused = 1;\nimage.tagg(\"app:2\");\ncontainer::run(image, \"true\", #{ memroy: 1 });\n";

#[test]
fn check_tells_all_that_is_wrong_and_runs_nothing() {
    let hoist = Hoist::new();
    let path = hoist.write("wrong.rhai", WRONG);
    let path = path.to_str().unwrap();
    let output = hoist.run(&["check", path]);
    let expected = format!(
        "warning: the variable `unused` is never used
 --> {path}:2:5
  |
2 | let unused = 1;
  |     ^^^^^^
help: take it away, or call it `_unused` if it has to be there

error: an Image has no method `tagg`
 --> {path}:3:7
  |
3 | image.tagg(\"app:2\");
  |       ^^^^
help: did you mean `tag`?

error: unknown option `memroy`
 --> {path}:4:34
  |
4 | container::run(image, \"true\", #{{ memroy: 1 }});
  |                                  ^^^^^^
help: did you mean `memory`? valid: "
    );
    assert!(output.stdout.starts_with(&expected), "{}", output.stdout);
    assert_eq!((output.status.code(), output.stderr.as_str()), (Some(2), ""));
    let lines = hoist.run(&["--format", "jsonl", "check", path]).stdout;
    let found: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = |at: usize, key: &str| found[at][key].clone();
    assert_eq!(
        [told(0, "kind"), told(1, "kind"), told(2, "kind")],
        ["unused", "unknown", "option"]
    );
    assert_eq!(
        (told(1, "line"), told(1, "column"), told(1, "file")),
        (3.into(), 7.into(), path.into())
    );
    let clean = hoist.write("clean.rhai", "print(image::list().len());\n");
    let output = hoist.run(&["check", clean.to_str().unwrap()]);
    assert_eq!((output.status.code(), output.stdout.as_str()), (Some(0), ""));
}

#[test]
fn fmt_writes_names_or_pipes_and_refuses_what_does_not_parse() {
    let hoist = Hoist::new();
    let path = hoist.write("a.rhai", "#!/usr/bin/env hoist\nif  true{print( 1 )} // why\n");
    let name = path.to_str().unwrap();
    let checked = hoist.run(&["fmt", "--check", name]);
    assert_eq!(
        (checked.status.code(), checked.stdout.as_str()),
        (Some(1), format!("{name}\n").as_str())
    );
    hoist.run(&["fmt", name]).success();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, "#!/usr/bin/env hoist\nif true { print(1) } // why\n");
    assert_eq!(hoist.run(&["fmt", "--check", name]).status.code(), Some(0));
    let broken = hoist.write("b.rhai", "let x = ;");
    let refused = hoist.run(&["fmt", broken.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(refused.stderr.contains("does not parse"), "{}", refused.stderr);
    assert_eq!(std::fs::read_to_string(&broken).unwrap(), "let x = ;");
}

#[test]
fn errors_for_programs_are_one_object_each() {
    let hoist = Hoist::new();
    let path = hoist.write(
        "fail.rhai",
        "fn inner() {\n  fs::read(\"/no/such/file\")\n}\ninner();\n",
    );
    let path = path.to_str().unwrap();
    let told = |args: &[&str]| -> Value {
        let output = hoist.run(&[&["--error-format", "json"], args].concat());
        serde_json::from_str(&output.stderr).unwrap_or_else(|error| panic!("{error}: {}", output.stderr))
    };
    let error = told(&["run", path]);
    assert_eq!(
        (&error["kind"], &error["line"], &error["column"]),
        (&"not_found".into(), &2.into(), &7.into())
    );
    assert_eq!(error["file"], path);
    assert_eq!(error["chain"][0], format!("in `inner`, called at {path}:4:1"));
    assert_eq!(told(&["eval", "slep(1)"])["hint"], "did you mean `sleep`?");
    assert_eq!(told(&["eval", "let x = ;"])["kind"], "syntax");
    assert_eq!(told(&["eval", "throw #{ a: 1 }"])["message"], "{\"a\":1}");
    let command = told(&["logs", "nobody"]);
    assert_eq!(
        (&command["kind"], &command["file"]),
        (&"not_found".into(), &Value::Null)
    );
}
