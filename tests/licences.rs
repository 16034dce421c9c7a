//! What the program is made of may be given away under its own licence: every crate's licence is on the list of deny.toml.

use std::collections::BTreeMap;
use std::process::Command;

use regex::Regex;

use crate::harness::Output;

/// The licences deny.toml allows everywhere, and those it allows one crate.
struct Allowed {
    everywhere: Vec<String>,
    for_one: BTreeMap<String, Vec<String>>,
}

impl Allowed {
    fn read() -> Allowed {
        let text = include_str!("../deny.toml");
        let list = Regex::new(r"(?m)^allow = \[([^\]]*)\]").unwrap();
        let exception = Regex::new(r#"(?m)^\s+\{ crate = "([^"]+)", allow = \[([^\]]*)\]"#).unwrap();
        let for_one = exception
            .captures_iter(text)
            .map(|found| (found[1].to_owned(), strings(&found[2])));
        Allowed {
            everywhere: strings(&list.captures(text).unwrap()[1]),
            for_one: for_one.collect(),
        }
    }

    fn allows(&self, package: &str, licence: &str) -> bool {
        let licence = licence.trim_end_matches('+');
        let own = self.for_one.get(package).into_iter().flatten();
        self.everywhere.iter().chain(own).any(|allowed| allowed == licence)
    }

    /// Whether an SPDX expression can be met: one side of each `OR`, both sides of each `AND`.
    fn satisfied(&self, package: &str, expression: &str) -> bool {
        let expression = expression.replace('/', " OR ");
        match (split(&expression, " OR "), split(&expression, " AND ")) {
            (Some((one, other)), _) => self.satisfied(package, one) || self.satisfied(package, other),
            (None, Some((one, other))) => self.satisfied(package, one) && self.satisfied(package, other),
            (None, None) => match expression
                .trim()
                .strip_prefix('(')
                .and_then(|inner| inner.strip_suffix(')'))
            {
                Some(inner) => self.satisfied(package, inner),
                None => self.allows(package, expression.trim()),
            },
        }
    }
}

fn strings(list: &str) -> Vec<String> {
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Splits at the first operator outside parentheses.
fn split<'a>(expression: &'a str, operator: &str) -> Option<(&'a str, &'a str)> {
    expression.match_indices(operator).find_map(|(at, _)| {
        let left = &expression[..at];
        let is_outside = left.matches('(').count() == left.matches(')').count();
        is_outside.then(|| (left, &expression[at + operator.len()..]))
    })
}

#[test]
fn every_dependency_may_be_given_away() {
    let allowed = Allowed::read();
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    #[expect(
        clippy::disallowed_methods,
        reason = "`cargo` finds its crates and its compiler by the environment"
    )]
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--offline",
        "--filter-platform",
        &host,
    ]);
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    let metadata = Output::of(cargo, None).success().json();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(
        packages.len() > 50,
        "this is not the whole list: {} packages",
        packages.len()
    );
    let refused: Vec<String> = packages
        .iter()
        .map(|package| {
            (
                package["name"].as_str().unwrap(),
                package["license"].as_str().unwrap_or("none"),
            )
        })
        .filter(|(name, licence)| !allowed.satisfied(name, licence))
        .map(|(name, licence)| format!("{name}: {licence}"))
        .collect();
    assert!(
        refused.is_empty(),
        "licences that deny.toml does not allow:\n{}",
        refused.join("\n")
    );
}

#[test]
fn expressions_mean_what_spdx_says() {
    let allowed = Allowed::read();
    for good in [
        "MIT",
        "MIT/Apache-2.0",
        "GPL-3.0 OR MIT",
        "(MIT OR Apache-2.0) AND Unicode-3.0",
        "Apache-2.0 WITH LLVM-exception OR X",
    ] {
        assert!(allowed.satisfied("any", good), "{good}");
    }
    for bad in [
        "none",
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "(MIT OR GPL-3.0) AND GPL-3.0",
        "MPL-2.0+",
    ] {
        assert!(!allowed.satisfied("any", bad), "{bad}");
    }
    assert!(allowed.satisfied("smartstring", "MPL-2.0+"));
}
