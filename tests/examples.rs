//! The examples of the reference that need images: each is run by the program on a store of its own, and once more under dry-run.

use std::sync::Mutex;

use hoist::bindings::effects::Effect;
use hoist::script::docs::{self, Example};

use crate::harness::tree::{content, differing};
use crate::harness::{Hoist, Output};

/// What examples flagged `images` find in the store.
const PREPARATION: &str = r#"
    let programs = ["sh", "echo", "cat", "ls", "true", "false", "sleep"].map(|name| "/bin/" + name);
    image::from_host("tools:latest", programs).id"#;

/// How many examples run at a time: they mostly wait.
const WORKERS: usize = 4;

/// An example and where it is from.
struct Case {
    signature: String,
    effects: Vec<Effect>,
    example: Example,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for function in docs::functions() {
        for example in function.examples() {
            if example.flags.iter().any(|flag| flag == "images") {
                let (signature, effects, example) = (function.signature(), function.effects(), example.clone());
                cases.push(Case {
                    signature,
                    effects,
                    example,
                });
            }
        }
    }
    cases
}

fn prepared() -> Hoist {
    let hoist = Hoist::new();
    hoist.eval(PREPARATION).success();
    hoist
}

fn run(hoist: &Hoist, flags: &[&str], example: &Example) -> Output {
    let path = hoist.write("example.rhai", &example.code);
    hoist.run(&[flags, &["run", path.to_str().unwrap()]].concat())
}

/// What is wrong with how an example ended.
fn fault(case: &Case, output: &Output) -> Option<String> {
    let throws = case.example.flags.iter().find_map(|flag| flag.strip_prefix("throws="));
    let as_told = match throws {
        None => output.status.success(),
        Some(kind) => output.stderr.contains(&format!("error[{kind}]")),
    };
    (!as_told).then(|| {
        let (signature, code) = (&case.signature, &case.example.code);
        format!(
            "{signature}\n{code}\n--- stdout\n{}\n--- stderr\n{}",
            output.stdout, output.stderr
        )
    })
}

#[test]
fn every_example_that_needs_images_does_what_its_manual_says() {
    let left = Mutex::new(cases());
    let faults = Mutex::new(Vec::new());
    let count = left.lock().unwrap().len();
    assert!(count > 100, "only {count} examples were found");
    std::thread::scope(|threads| {
        for _ in 0..WORKERS {
            threads.spawn(|| {
                while let Some(case) = next(&left) {
                    let hoist = prepared().keeping_trash("1d");
                    let output = run(&hoist, &[], &case.example);
                    faults.lock().unwrap().extend(fault(&case, &output));
                }
            });
        }
    });
    let faults = faults.into_inner().unwrap();
    assert!(
        faults.is_empty(),
        "{} of {count} fail:\n\n{}",
        faults.len(),
        faults.join("\n\n")
    );
}

fn next(left: &Mutex<Vec<Case>>) -> Option<Case> {
    left.lock().unwrap().pop()
}

#[test]
fn under_dry_run_every_mutator_tells_what_it_would_do_and_changes_no_byte() {
    let hoist = prepared();
    let before = content(&hoist.root());
    let mutates = |effect: &Effect| matches!(effect, Effect::Run | Effect::Write | Effect::Delete | Effect::Exec);
    let mut faults = Vec::new();
    let mut count = 0;
    for case in cases() {
        if !case
            .effects
            .iter()
            .any(|effect| mutates(effect) || *effect == Effect::Fs)
        {
            continue;
        }
        count += 1;
        // What an example says of results may not hold where nothing really happens; that nothing happens must.
        let output = run(&hoist, &["--dry-run"], &case.example);
        if !output.stderr.contains("ACTION") {
            faults.push(format!("{} records nothing:\n{}", case.signature, output.stderr));
        }
        for path in differing(&before, &content(&hoist.root())) {
            faults.push(format!("{} changes `{}`", case.signature, path.display()));
        }
    }
    assert!(count > 40, "only {count} mutators were found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
