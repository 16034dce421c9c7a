//! From rules to a program for v2, which the kernel asks whenever a process of the group opens a device or makes its node
//! (`BPF_PROG_TYPE_CGROUP_DEVICE`).
//!
//! It keeps the ways that are asked for and not yet granted in a register, and goes through the rules from the last one: a rule that
//! fits grants its ways, or refuses if it speaks of one that is left. Nothing left is a yes, the end of the rules a no.

use super::rule::{Kind, Rule};
use crate::sys::bpf::Instruction;

/// The register of the answer, and that of the question's address.
const ANSWER: u8 = 0;
const QUESTION: u8 = 1;
/// What was asked: kind, ways left, numbers.
const KIND: u8 = 2;
const LEFT: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

const LOAD_WORD: u8 = 0x61;
const MOVE: u8 = 0xbf;
const MOVE_CONSTANT: u8 = 0xb7;
const AND: u8 = 0x57;
const SHIFT_RIGHT: u8 = 0x77;
const JUMP_UNLESS_EQUAL: u8 = 0x55;
const JUMP_IF_ANY: u8 = 0x45;
const JUMP: u8 = 0x05;
const EXIT: u8 = 0x95;

/// The instructions for a list of rules.
pub(super) fn compile(rules: &[Rule]) -> Vec<Instruction> {
    // `struct bpf_cgroup_dev_ctx`: the ways above the kind in one word, then the numbers.
    let mut program = vec![
        load(KIND, 0),
        Instruction {
            code: MOVE,
            registers: LEFT | KIND << 4,
            offset: 0,
            immediate: 0,
        },
        constant(AND, KIND, 0xffff),
        constant(SHIFT_RIGHT, LEFT, 16),
        load(MAJOR, 4),
        load(MINOR, 8),
    ];
    for rule in rules.iter().rev() {
        program.extend(step(rule));
    }
    program.extend(answer(0));
    program
}

/// One rule; where it does not fit, what comes after it decides.
fn step(rule: &Rule) -> Vec<Instruction> {
    let kind = rule.devices.kind.map(|kind| match kind {
        Kind::Block => 1,
        Kind::Character => 2,
    });
    let tests = [(KIND, kind), (MAJOR, rule.devices.major), (MINOR, rule.devices.minor)];
    let tests: Vec<(u8, u32)> = tests
        .into_iter()
        .filter_map(|(register, value)| Some((register, value?)))
        .collect();
    let decision = decide(rule);
    let count = tests.len();
    let tests = tests.into_iter().enumerate().map(|(at, (register, value))| {
        let skipped = count - at - 1 + decision.len();
        jump(JUMP_UNLESS_EQUAL, register, value, skipped)
    });
    tests.chain(decision.iter().copied()).collect()
}

fn decide(rule: &Rule) -> Vec<Instruction> {
    let bits = u32::from(rule.access.bits());
    let [value, exit] = answer(u32::from(rule.allow));
    match rule.allow {
        true => vec![
            constant(AND, LEFT, !bits & 7),
            jump(JUMP_IF_ANY, LEFT, 7, 2),
            value,
            exit,
        ],
        false => vec![jump(JUMP_IF_ANY, LEFT, bits, 1), jump(JUMP, 0, 0, 2), value, exit],
    }
}

fn answer(value: u32) -> [Instruction; 2] {
    [constant(MOVE_CONSTANT, ANSWER, value), constant(EXIT, 0, 0)]
}

fn load(register: u8, offset: i16) -> Instruction {
    Instruction {
        code: LOAD_WORD,
        registers: register | QUESTION << 4,
        offset,
        immediate: 0,
    }
}

fn constant(code: u8, register: u8, value: u32) -> Instruction {
    Instruction {
        code,
        registers: register,
        offset: 0,
        immediate: value.cast_signed(),
    }
}

fn jump(code: u8, register: u8, value: u32, skipped: usize) -> Instruction {
    Instruction {
        offset: i16::try_from(skipped).expect("a step has a handful of instructions"),
        ..constant(code, register, value)
    }
}
