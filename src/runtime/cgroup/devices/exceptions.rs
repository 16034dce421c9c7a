//! From rules to what v1 can hold: one answer for all devices, and exceptions to it, all of the same kind
//! (kernel Documentation/admin-guide/cgroup-v1/devices.rst).
//!
//! The sets of devices that rules speak of, cut with one another until no cut is new, have each one answer: that of the rules that
//! speak of all of the set. As exceptions they say the same as the rules if smaller sets only ever grant more (exceptions to a no), or
//! only ever less (exceptions to a yes). A list of rules for which neither holds is one v1 has no words for.

use super::rule::{Access, Devices, Kind, Rule};
use crate::error::{Error, Result};

/// What is written to a group.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Exceptions {
    /// The answer for every device but those.
    pub(super) allow: bool,
    /// What is allowed where all is refused, or the other way round.
    pub(super) list: Vec<(Devices, Access)>,
}

/// Errors: `unsupported` for rules that v1 cannot say.
pub(super) fn of(rules: &[Rule]) -> Result<Exceptions> {
    let sets = sets(rules);
    let answers: Vec<(Devices, u8)> = sets.iter().map(|set| (*set, granted(rules, set))).collect();
    for allow in [false, true] {
        if is_monotone(&answers, allow) {
            return Ok(exceptions(&answers, allow));
        }
    }
    Err(Error::unsupported(
        "control groups v1 cannot take back for some devices what rules grant for more, and do the opposite elsewhere",
    )
    .hint("say it in rules that only allow, after one that denies all"))
}

/// Sets of one kind each, and their cuts.
fn sets(rules: &[Rule]) -> Vec<Devices> {
    let mut sets: Vec<Devices> = Vec::new();
    let any = Kind::ALL.map(|kind| Devices {
        kind: Some(kind),
        ..Devices::ALL
    });
    let said = rules.iter().flat_map(|rule| {
        Kind::ALL
            .into_iter()
            .filter(|kind| rule.devices.kind.is_none_or(|one| one == *kind))
            .map(|kind| Devices {
                kind: Some(kind),
                ..rule.devices
            })
    });
    for set in any.into_iter().chain(said) {
        add(&mut sets, set);
    }
    let mut next = 0;
    while let Some(set) = sets.get(next).copied() {
        next += 1;
        let cuts: Vec<Devices> = sets[..next - 1].iter().filter_map(|other| cut(&set, other)).collect();
        cuts.into_iter().for_each(|cut| add(&mut sets, cut));
    }
    sets
}

fn add(sets: &mut Vec<Devices>, set: Devices) {
    if !sets.contains(&set) {
        sets.push(set);
    }
}

/// The devices that are in both.
fn cut(one: &Devices, other: &Devices) -> Option<Devices> {
    let number = |one: Option<u32>, other: Option<u32>| match (one, other) {
        (Some(one), Some(other)) if one != other => None,
        (one, other) => Some(one.or(other)),
    };
    if matches!((one.kind, other.kind), (Some(one), Some(other)) if one != other) {
        return None;
    }
    Some(Devices {
        kind: one.kind.or(other.kind),
        major: number(one.major, other.major)?,
        minor: number(one.minor, other.minor)?,
    })
}

fn covers(larger: &Devices, smaller: &Devices) -> bool {
    cut(larger, smaller).as_ref() == Some(smaller)
}

/// The ways that the rules which speak of all of a set grant for it.
fn granted(rules: &[Rule], set: &Devices) -> u8 {
    let fitting = rules.iter().filter(|rule| covers(&rule.devices, set));
    fitting.fold(0, |granted, rule| match rule.allow {
        true => granted | rule.access.bits(),
        false => granted & !rule.access.bits(),
    })
}

/// Whether a set never says less than one it lies in: less grants where all is refused, less refusals where all is allowed.
fn is_monotone(answers: &[(Devices, u8)], allow: bool) -> bool {
    answers.iter().all(|(larger, more)| {
        let within = answers.iter().filter(|(smaller, _)| covers(larger, smaller));
        within.into_iter().all(|(_, less)| match allow {
            false => more & !less == 0,
            true => less & !more == 0,
        })
    })
}

fn exceptions(answers: &[(Devices, u8)], allow: bool) -> Exceptions {
    let said = answers.iter().map(|(set, granted)| {
        let bits = if allow { !granted } else { *granted };
        (*set, Access::from_bits(bits))
    });
    let said: Vec<(Devices, Access)> = said.filter(|(_, access)| access.bits() != 0).collect();
    // What a larger set says is said already.
    let is_new = |set: &Devices, access: Access| {
        !said
            .iter()
            .any(|(other, wider)| other != set && covers(other, set) && access.bits() & !wider.bits() == 0)
    };
    let list = said.iter().copied().filter(|(set, access)| is_new(set, *access));
    Exceptions {
        allow,
        list: list.collect(),
    }
}
