//! From a policy to a filter program: a binary search over call numbers, then comparisons of arguments.
//!
//! Where several entries speak of one call, one without conditions on arguments outweighs those with, as in libseccomp;
//! otherwise the first that matches decides.

use std::collections::BTreeMap;

use super::profile::{Circumstance, Condition, Entry, Operator, Profile, Verdict};
use super::program::{Label, Program, Test};
use super::syscalls::Arch;
use crate::sys::seccomp::Instruction;

/// Offsets in the kernel's `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

/// All that is said of one call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Rules {
    always: Option<Verdict>,
    sometimes: Vec<Rule>,
}

/// A verdict for when all conditions hold.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    conditions: Vec<Comparison>,
    verdict: Verdict,
}

/// A condition, and whether the kernel reads only the low 32 bits of its argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Comparison {
    condition: Condition,
    narrow: bool,
}

/// Calls from `start` to the next range's start are treated alike.
struct Range {
    start: u32,
    rules: Rules,
}

pub(super) fn compile(profile: &Profile, here: &Circumstance) -> Vec<Instruction> {
    let mut program = Program::default();
    // Numbers mean other calls under another architecture, so a foreign one must not get as far as a search.
    let mut otherwise = program.ret(Verdict::KILL_PROCESS.0);
    // The machine's own is asked for first.
    let others: Vec<Arch> = profile.others(here.arch).collect();
    for arch in others.into_iter().chain([here.arch]) {
        let tree = search(&mut program, &ranges(profile, here, arch), profile.default);
        let number = program.load(NUMBER, tree);
        otherwise = program.test(Test::Equal, arch.audit(), number, otherwise);
    }
    let start = program.load(ARCH, otherwise);
    program.finish(start)
}

/// The whole number space of an architecture, cut where the treatment changes.
fn ranges(profile: &Profile, here: &Circumstance, arch: Arch) -> Vec<Range> {
    let always = |verdict| Rules {
        always: Some(verdict),
        sometimes: Vec::new(),
    };
    let mut cuts: BTreeMap<u32, Rules> = BTreeMap::from([(0, always(profile.default))]);
    for (number, rules) in rules(profile, here, arch) {
        cuts.insert(number, rules);
        cuts.entry(number + 1).or_insert_with(|| always(profile.default));
    }
    if let Some(newest) = newest(profile, arch).filter(|_| profile.default.is_errno()) {
        cuts.insert(newest + 1, always(Verdict::NO_SUCH_CALL));
    }
    if let Some(first) = arch.foreign_from() {
        cuts.insert(first, always(Verdict::NO_SUCH_CALL));
    }
    let mut ranges: Vec<Range> = cuts.into_iter().map(|(start, rules)| Range { start, rules }).collect();
    ranges.dedup_by(|next, before| next.rules == before.rules);
    ranges
}

/// The largest number the profile speaks of. What is newer its author could not know: programs are told the kernel lacks
/// it (`ENOSYS`) and fall back, where `EPERM` would make them give up.
fn newest(profile: &Profile, arch: Arch) -> Option<u32> {
    let names = profile.entries.iter().flat_map(|entry| &entry.names);
    names.filter_map(|name| arch.number(name)).max()
}

/// What the entries that count here say, by call number.
fn rules(profile: &Profile, here: &Circumstance, arch: Arch) -> BTreeMap<u32, Rules> {
    let mut calls: BTreeMap<u32, Rules> = BTreeMap::new();
    let counts = |entry: &&Entry| entry.applies(here) && entry.verdict != profile.default;
    for entry in profile.entries.iter().filter(counts) {
        for (name, number) in entry.names.iter().filter_map(|name| Some((name, arch.number(name)?))) {
            let rules = calls.entry(number).or_default();
            match entry.conditions.as_slice() {
                [] => _ = rules.always.get_or_insert(entry.verdict),
                conditions => rules
                    .sometimes
                    .extend(alternatives(arch, name, conditions, entry.verdict)),
            }
        }
    }
    for rules in calls.values_mut() {
        match rules.always {
            Some(_) => rules.sometimes.clear(),
            None => rules.always = Some(profile.default),
        }
    }
    calls
}

/// All conditions of an entry must hold, unless two speak of the same argument: then each is one alternative (runc does so).
fn alternatives(arch: Arch, name: &str, conditions: &[Condition], verdict: Verdict) -> Vec<Rule> {
    let compare = |condition: &Condition| Comparison {
        condition: *condition,
        narrow: arch.is_narrow(name, condition.index),
    };
    let comparisons: Vec<Comparison> = conditions.iter().map(compare).collect();
    let mut indices: Vec<usize> = conditions.iter().map(|condition| condition.index).collect();
    indices.sort_unstable();
    if indices.windows(2).any(|pair| pair[0] == pair[1]) {
        return comparisons
            .into_iter()
            .map(|one| Rule {
                conditions: vec![one],
                verdict,
            })
            .collect();
    }
    vec![Rule {
        conditions: comparisons,
        verdict,
    }]
}

fn search(program: &mut Program, ranges: &[Range], default: Verdict) -> Label {
    match ranges {
        [] => program.ret(default.0),
        [range] => decide(program, &range.rules, default),
        _ => {
            let (low, high) = ranges.split_at(ranges.len() / 2);
            let split = high[0].start;
            let high = search(program, high, default);
            let low = search(program, low, default);
            program.test(Test::GreaterOrEqual, split, high, low)
        }
    }
}

fn decide(program: &mut Program, rules: &Rules, default: Verdict) -> Label {
    let mut otherwise = program.ret(rules.always.unwrap_or(default).0);
    for rule in rules.sometimes.iter().rev() {
        let mut then = program.ret(rule.verdict.0);
        for comparison in rule.conditions.iter().rev() {
            then = compare(program, comparison, then, otherwise);
        }
        otherwise = then;
    }
    otherwise
}

/// Compares an argument of 64 bits in two halves, since the machine has 32.
fn compare(program: &mut Program, comparison: &Comparison, yes: Label, no: Label) -> Label {
    let condition = comparison.condition;
    let value = condition.value;
    match condition.op {
        Operator::Equal => equal(program, comparison, u64::MAX, value, yes, no),
        Operator::NotEqual => equal(program, comparison, u64::MAX, value, no, yes),
        Operator::MaskedEqual => equal(program, comparison, value, condition.value_two, yes, no),
        Operator::Greater => above(program, comparison, Test::Greater, yes, no),
        Operator::GreaterOrEqual => above(program, comparison, Test::GreaterOrEqual, yes, no),
        Operator::LessOrEqual => above(program, comparison, Test::Greater, no, yes),
        Operator::Less => above(program, comparison, Test::GreaterOrEqual, no, yes),
    }
}

fn halves(value: u64) -> (u32, u32) {
    ((value >> 32) as u32, value as u32)
}

/// Where the halves of an argument lie; both architectures are little-endian.
fn offsets(index: usize) -> (u32, u32) {
    let low = ARGUMENTS + 8 * index as u32;
    (low + 4, low)
}

fn equal(program: &mut Program, on: &Comparison, mask: u64, value: u64, yes: Label, no: Label) -> Label {
    let (high_offset, low_offset) = offsets(on.condition.index);
    let ((high_mask, low_mask), (high, low)) = (halves(mask), halves(value));
    let low = half_equal(program, low_offset, low_mask, low, yes, no);
    match (on.narrow || high_mask == 0, high) {
        // Bits nobody looks at are zero, so they equal zero and nothing else.
        (true, 0) => low,
        (true, _) => no,
        (false, _) => half_equal(program, high_offset, high_mask, high, low, no),
    }
}

fn half_equal(program: &mut Program, offset: u32, mask: u32, value: u32, yes: Label, no: Label) -> Label {
    let mut next = program.test(Test::Equal, value, yes, no);
    if mask != u32::MAX {
        next = program.and(mask, next);
    }
    program.load(offset, next)
}

/// The high half decides unless it is equal; then the low half does.
fn above(program: &mut Program, on: &Comparison, test: Test, yes: Label, no: Label) -> Label {
    let (high_offset, low_offset) = offsets(on.condition.index);
    let (high, low) = halves(on.condition.value);
    if on.narrow && high > 0 {
        return no;
    }
    let low = program.test(test, low, yes, no);
    let low = program.load(low_offset, low);
    if on.narrow {
        return low;
    }
    let same = program.test(Test::Equal, high, low, no);
    let greater = program.test(Test::Greater, high, yes, same);
    program.load(high_offset, greater)
}
