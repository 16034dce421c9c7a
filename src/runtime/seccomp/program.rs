//! An assembler for the classic BPF the kernel's system call filters are made of (`linux/filter.h`, seccomp(2)).
//!
//! Jumps in classic BPF only go forward and at most 255 instructions far. The program is therefore written from its
//! end to its start: every target is known when a jump to it is made, and what is too far away gets a stepping stone.

use std::collections::HashMap;

use crate::sys::seccomp::Instruction;

const LOAD_WORD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const RETURN: u16 = 0x06;

/// A comparison of the accumulator with a constant; the value is the operation's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Test {
    Equal = 0x15,
    Greater = 0x25,
    GreaterOrEqual = 0x35,
}

/// A place in the program, counted from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Label(usize);

/// How far a shared `return` may be for it to be used again without a stepping stone.
const NEAR: usize = 200;
/// The longest conditional jump, less the two stepping stones that may still come before it.
const REACH: usize = 250;

/// A program in the making, last instruction first.
#[derive(Default)]
pub(super) struct Program {
    reversed: Vec<Instruction>,
    returns: HashMap<u32, Label>,
}

impl Program {
    /// Ends the filter with this answer to the kernel.
    pub(super) fn ret(&mut self, answer: u32) -> Label {
        if let Some(label) = self.returns.get(&answer)
            && self.reversed.len() - label.0 <= NEAR
        {
            return *label;
        }
        let label = self.push(RETURN, 0, 0, answer);
        self.returns.insert(answer, label);
        label
    }

    /// Loads a 32-bit word of the call's data, then goes on at `next`.
    pub(super) fn load(&mut self, offset: u32, next: Label) -> Label {
        self.fall_through_to(next);
        self.push(LOAD_WORD, 0, 0, offset)
    }

    /// Keeps only these bits of the accumulator, then goes on at `next`.
    pub(super) fn and(&mut self, mask: u32, next: Label) -> Label {
        self.fall_through_to(next);
        self.push(AND, 0, 0, mask)
    }

    /// Goes to `yes` if the comparison holds, else to `no`.
    pub(super) fn test(&mut self, test: Test, value: u32, yes: Label, no: Label) -> Label {
        if yes == no {
            return yes;
        }
        let (yes, no) = (self.within_reach(yes), self.within_reach(no));
        let distance =
            |to: Label| u8::try_from(self.reversed.len() - 1 - to.0).expect("targets are brought within reach");
        let (jt, jf) = (distance(yes), distance(no));
        self.push(test as u16, jt, jf, value)
    }

    /// The instructions in the order the kernel wants; `start` is where they begin.
    pub(super) fn finish(mut self, start: Label) -> Vec<Instruction> {
        self.fall_through_to(start);
        self.reversed.reverse();
        self.reversed
    }

    fn within_reach(&mut self, label: Label) -> Label {
        if self.reversed.len() - label.0 <= REACH {
            label
        } else {
            self.jump(label)
        }
    }

    fn fall_through_to(&mut self, label: Label) {
        if label.0 + 1 != self.reversed.len() {
            self.jump(label);
        }
    }

    fn jump(&mut self, to: Label) -> Label {
        let distance = self.reversed.len() - 1 - to.0;
        self.push(
            JUMP,
            0,
            0,
            u32::try_from(distance).expect("a program is far shorter than 4 GiB"),
        )
    }

    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) -> Label {
        self.reversed.push(Instruction { code, jt, jf, k });
        Label(self.reversed.len() - 1)
    }
}
