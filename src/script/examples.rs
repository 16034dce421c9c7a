//! The examples of manuals, run as a user would run them.

use std::panic::AssertUnwindSafe;

use super::docs::Example;
use super::runner::{self, Source};
use super::suite;
use crate::bindings::Session;

/// What an example needs beyond a session, in the flags of its fence.
const KNOWN: [&str; 4] = ["no_run", "root", "images", "test"];

/// Runs an example in a session; the error says what was wrong with it. `no_run` is only compiled.
pub fn run(session: &Session, example: &Example) -> std::result::Result<(), String> {
    let throws = example.flags.iter().find_map(|flag| flag.strip_prefix("throws="));
    if let Some(flag) = example
        .flags
        .iter()
        .find(|flag| !KNOWN.contains(&flag.as_str()) && !flag.starts_with("throws="))
    {
        return Err(format!("the fence has the unknown flag `{flag}`"));
    }
    if example.flags.iter().any(|flag| flag == "test") {
        return suite::run_example(&example.code);
    }
    let source = Source::text("example", &example.code);
    if example.flags.iter().any(|flag| flag == "no_run") {
        return runner::check(session, &source);
    }
    let run = AssertUnwindSafe(|| runner::run(session, &source));
    let finished = std::panic::catch_unwind(run).map_err(|_| "it panicked".to_owned())?;
    let kind = finished.failure.as_ref().map(|failure| failure.error().kind().name());
    match (kind, throws) {
        (None, None) => Ok(()),
        (Some(kind), Some(expected)) if kind == expected => Ok(()),
        (_, expected) => {
            let expected = expected.map_or("no error".to_owned(), |kind| format!("an error of kind {kind}"));
            Err(format!(
                "expected {expected}, got: {}",
                finished.report.unwrap_or_else(|| "none".to_owned())
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::effects::Effect;
    use crate::script::{docs, testing};

    /// Examples that need a prepared store or the kernel run in the suite instead.
    fn runs_here(example: &Example) -> bool {
        !example.flags.iter().any(|flag| flag == "root" || flag == "images")
    }

    #[test]
    fn every_example_does_what_its_manual_says() {
        let mut faults = Vec::new();
        let mut count = 0;
        for function in docs::functions() {
            for example in function.examples().iter().filter(|example| runs_here(example)) {
                count += 1;
                let (session, _) = testing::session(false);
                if let Err(fault) = run(&session, example) {
                    faults.push(format!("{}: {fault}\n{}", function.signature(), example.code));
                }
            }
        }
        assert!(count > 100, "only {count} examples were found");
        assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    }

    #[test]
    fn under_dry_run_files_look_changed_and_no_file_is_made() {
        let mut recorded = 0;
        for function in docs::functions()
            .iter()
            .filter(|function| function.effects().contains(&Effect::Fs))
        {
            for example in function.examples().iter().filter(|example| runs_here(example)) {
                let (session, _) = testing::session(true);
                let outcome = run(&session, example);
                assert_eq!(outcome, Ok(()), "{}", example.code);
                for action in session.plan().unwrap().actions() {
                    recorded += 1;
                    assert!(
                        !std::path::Path::new(&action.target).exists(),
                        "{}: {action:?}",
                        example.code
                    );
                }
            }
        }
        assert!(recorded > 10);
    }
}
