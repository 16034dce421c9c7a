//! Programs and exceptions against what the rules mean, over all lists of a small world; and in the kernel.

use std::fs::OpenOptions;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use super::*;
use crate::error::Kind as ErrorKind;
use crate::sys::bpf::Instruction;

/// A question: one device, and ways to use it.
#[derive(Debug, Clone, Copy)]
struct Question {
    kind: Kind,
    major: u32,
    minor: u32,
    access: u8,
}

fn questions() -> Vec<Question> {
    let mut questions = Vec::new();
    for kind in Kind::ALL {
        for major in [1, 2, 9] {
            for minor in [3, 4, 9] {
                questions.extend((1..8).map(|access| Question {
                    kind,
                    major,
                    minor,
                    access,
                }));
            }
        }
    }
    questions
}

/// What the rules mean: each way by itself, by the last rule that speaks of it.
fn is_allowed(rules: &[Rule], asked: Question) -> bool {
    let fits = |rule: &&Rule| {
        rule.devices.kind.is_none_or(|kind| kind == asked.kind)
            && rule.devices.major.is_none_or(|major| major == asked.major)
            && rule.devices.minor.is_none_or(|minor| minor == asked.minor)
    };
    let ways = [1u8, 2, 4].into_iter().filter(|way| asked.access & way != 0);
    ways.into_iter().all(|way| {
        let last = rules
            .iter()
            .rev()
            .filter(fits)
            .find(|rule| rule.access.bits() & way != 0);
        last.is_some_and(|rule| rule.allow)
    })
}

/// Rules that speak of the same devices, of some of the same, and of others.
fn some_rules() -> Vec<Rule> {
    let texts = [
        "a *:* rwm",
        "c *:* m",
        "c 1:* r",
        "c *:3 w",
        "c 1:3 rw",
        "c 1:4 rwm",
        "b 2:3 rwm",
        "b *:* rw",
        "a 2:* r",
    ];
    let allowed = texts.iter().map(|text| text.parse::<Rule>().unwrap());
    allowed.flat_map(|rule| [rule, Rule { allow: false, ..rule }]).collect()
}

/// Every list of at most three of them.
fn lists() -> Vec<Vec<Rule>> {
    let rules = some_rules();
    let mut lists = vec![Vec::new()];
    let mut longest = lists.clone();
    for _ in 0..3 {
        longest = longest
            .iter()
            .flat_map(|list| rules.iter().map(move |rule| [list.as_slice(), &[*rule]].concat()))
            .collect();
        lists.extend(longest.clone());
    }
    lists
}

/// The kernel's machine, as far as these programs use it.
fn run(program: &[Instruction], asked: Question) -> u64 {
    let kind = if asked.kind == Kind::Block { 1 } else { 2 };
    let words = [u32::from(asked.access) << 16 | kind, asked.major, asked.minor];
    let mut registers = [0u64; 11];
    let mut at = 0;
    loop {
        let one = program[at];
        let (to, from) = (usize::from(one.registers & 15), usize::from(one.registers >> 4));
        let constant = i64::from(one.immediate).cast_unsigned();
        let mut is_taken = false;
        match one.code {
            0x61 => registers[to] = u64::from(words[usize::try_from(one.offset).unwrap() / 4]),
            0xbf => registers[to] = registers[from],
            0xb7 => registers[to] = constant,
            0x57 => registers[to] &= constant,
            0x77 => registers[to] >>= constant,
            0x05 => is_taken = true,
            0x55 => is_taken = registers[to] != constant,
            0x45 => is_taken = registers[to] & constant != 0,
            0x95 => return registers[0],
            code => panic!("operation {code:#x}"),
        }
        at += 1 + if is_taken {
            usize::try_from(one.offset).unwrap()
        } else {
            0
        };
    }
}

#[test]
fn programs_say_what_the_rules_mean() {
    let questions = questions();
    for rules in lists() {
        let program = program::compile(&rules);
        for asked in &questions {
            let answer = run(&program, *asked) == 1;
            assert_eq!(answer, is_allowed(&rules, *asked), "{rules:?} {asked:?}");
        }
    }
}

/// The kernel's own look at exceptions (security/device_cgroup.c): where all is refused one must grant every way that is asked for,
/// where all is allowed none may refuse one.
fn v1_allows(exceptions: &exceptions::Exceptions, asked: Question) -> bool {
    let fits = |devices: &Devices| {
        devices.kind == Some(asked.kind)
            && devices.major.is_none_or(|major| major == asked.major)
            && devices.minor.is_none_or(|minor| minor == asked.minor)
    };
    let mut fitting = exceptions.list.iter().filter(|(devices, _)| fits(devices));
    match exceptions.allow {
        false => fitting.any(|(_, access)| asked.access & !access.bits() == 0),
        true => fitting.all(|(_, access)| asked.access & access.bits() == 0),
    }
}

#[test]
fn exceptions_of_v1_say_what_the_rules_mean_or_are_refused() {
    let (questions, mut refused) = (questions(), 0);
    for rules in lists() {
        let exceptions = match exceptions::of(&rules) {
            Ok(exceptions) => exceptions,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unsupported);
                // Only where something allowed is taken back again.
                assert!(
                    rules.windows(2).any(|pair| pair[0].allow && !pair[1].allow) || rules.len() == 3,
                    "{rules:?}"
                );
                refused += 1;
                continue;
            }
        };
        for asked in &questions {
            assert_eq!(
                v1_allows(&exceptions, *asked),
                is_allowed(&rules, *asked),
                "{rules:?} {asked:?}"
            );
        }
    }
    assert!(refused > 0);
    // What is only ever allowed after all was denied can always be said.
    for rules in lists().iter().filter(|list| list.iter().all(|rule| rule.allow)) {
        assert!(exceptions::of(rules).is_ok(), "{rules:?}");
    }
}

#[test]
fn rules_are_read_and_written() {
    for text in ["c 10:200 rw", "b 8:* r", "a *:* m"] {
        let rule: Rule = text.parse().unwrap();
        assert_eq!(format!("{} {}", rule.devices, rule.access), text);
        assert_eq!(Rule::from_oci(&rule.to_oci().unwrap()).unwrap(), rule);
    }
    for text in [
        "",
        "c",
        "c 1:3",
        "c 1:3 ",
        "c 1 rwm",
        "d 1:3 r",
        "c 1:3 x",
        "c 1:3 rr",
        "c -1:3 r",
        "c 1:3 r ",
        "c 1:99999999999 r",
    ] {
        assert_eq!(text.parse::<Rule>().unwrap_err().kind(), ErrorKind::Invalid, "{text}");
    }
    let read = |json: &str| Rule::from_oci(&serde_json::from_str(json).unwrap());
    assert_eq!(
        read(r#"{"allow": false, "major": -1}"#).unwrap(),
        Rule {
            allow: false,
            devices: Devices::ALL,
            access: Access::ALL
        }
    );
    for json in [
        r#"{"allow": true, "type": "p"}"#,
        r#"{"allow": true, "major": -2}"#,
        r#"{"allow": true, "access": "rx"}"#,
    ] {
        assert_eq!(read(json).unwrap_err().kind(), ErrorKind::Invalid, "{json}");
    }
}

#[test]
fn what_allows_everything_needs_no_rules() {
    let (all, some): (Rule, Rule) = ("a *:* rwm".parse().unwrap(), "c 1:3 r".parse().unwrap());
    let deny = |rule: Rule| Rule { allow: false, ..rule };
    assert!(allow_everything(&[]) && allow_everything(&[deny(some), all, some]));
    for rules in [&[some][..], &[all, deny(some)], &[deny(all), some]] {
        assert!(!allow_everything(rules), "{rules:?}");
    }
}

/// A group of v2 that is removed when the test ends.
struct Scratch(PathBuf, OwnedFd);

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir(&self.0).unwrap();
    }
}

#[test]
fn the_kernel_takes_programs_and_keeps_the_last() {
    let hierarchies = super::super::hierarchy::Hierarchy::detect().unwrap();
    let unified = hierarchies
        .iter()
        .find(|one| one.version == super::super::hierarchy::Version::V2);
    let unified = unified.expect("this test needs the unified hierarchy");
    let path = unified
        .mount_point
        .join(format!("hoist-test-{}", crate::model::random_hex(8).unwrap()));
    std::fs::create_dir(&path).unwrap();
    let group = Scratch(path.clone(), OpenOptions::new().read(true).open(&path).unwrap().into());
    for rules in [
        common(),
        vec!["c 1:5 r".parse().unwrap()],
        vec!["a *:* rwm".parse().unwrap()],
    ] {
        assert!(attach(group.1.as_fd(), &rules).unwrap());
        assert_eq!(bpf::device_programs(&group.1).unwrap().len(), 1);
    }
}
