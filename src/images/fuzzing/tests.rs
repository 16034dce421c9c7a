//! Bounded runs of every target: from the same seeds the same bytes each time, so that what fails here fails everywhere.

use super::*;

/// A generator of numbers (xorshift64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }
}

/// Pieces that mean something somewhere.
const WORDS: [&[u8]; 16] = [
    b"\0",
    b"\xff",
    b"/",
    b"../",
    b"7777777",
    b"\x80\0\0\0\0\0\0\x01",
    b"99999999999999999999",
    b"-1",
    b"\n",
    b"=",
    b"\"",
    b"null",
    b"[",
    b"{}",
    b"sha256:",
    b".wh.",
];

fn mutate(bytes: &mut Vec<u8>, random: &mut Random, others: &[Vec<u8>]) {
    let at = random.below(bytes.len());
    let span = at..(at + random.below(40)).min(bytes.len());
    match random.below(9) {
        0 | 1 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
        2 if !bytes.is_empty() => bytes[at] = random.next().to_le_bytes()[0],
        3 => drop(bytes.drain(span)),
        4 => {
            let again = bytes[span].to_vec();
            bytes.splice(at..at, again);
        }
        5 => {
            let word = WORDS[random.below(WORDS.len())];
            bytes.splice(at..at, word.iter().copied());
        }
        6 => {
            let word = WORDS[random.below(WORDS.len())];
            let end = (at + word.len()).min(bytes.len());
            bytes.splice(at..end, word.iter().copied());
        }
        7 => {
            let other = &others[random.below(others.len())];
            let from = random.below(other.len());
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        _ => {
            // Whole blocks of a tar change places.
            let (one, two) = (random.below(bytes.len() / 512), random.below(bytes.len() / 512));
            for n in 0..if bytes.len() < 512 { 0 } else { 512 } {
                bytes.swap(one * 512 + n, two * 512 + n);
            }
        }
    }
}

/// Runs a target on its seeds and on `count` inputs made of them, and tells how many seeds and inputs were accepted.
fn run(name: &str, count: u64) -> (usize, u64) {
    let target = named(name);
    let seeds = (target.seeds)();
    let good = seeds.iter().filter(|seed| (target.run)(seed)).count();
    (target.run)(b"");
    let mut accepted = 0;
    for number in 1..=count {
        let mut random = Random(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut bytes = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(6) {
            mutate(&mut bytes, &mut random, &seeds);
        }
        match std::panic::catch_unwind(|| (target.run)(&bytes)) {
            Ok(is_accepted) => accepted += u64::from(is_accepted),
            Err(_) => panic!("`{name}`, input {number}: {}", bytes.escape_ascii()),
        }
    }
    (good, accepted)
}

/// Runs a target, some of whose seeds are good; that a fair part of the inputs is, too, shows that they are no mere noise.
#[track_caller]
fn check(name: &str, count: u64, good: usize) {
    let (seeds, accepted) = run(name, count);
    assert_eq!(seeds, good, "seeds of `{name}` that are accepted");
    assert!(
        accepted > count / 50,
        "{accepted} of {count} inputs of `{name}` were accepted"
    );
}

#[test]
fn tar_streams() {
    check("tar", 8000, 10);
}

#[test]
fn pax_records() {
    check("pax", 20_000, 9);
}

#[test]
fn layers() {
    check("layer", 8000, 11);
}

#[test]
fn documents() {
    check("document", 10_000, 5);
}

#[test]
fn references() {
    check("reference", 20_000, 10);
}

#[test]
fn archives() {
    check("archive", 2500, 5);
}

#[test]
fn framings() {
    check("framing", 6000, 6);
}
