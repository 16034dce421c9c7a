//! Bounded runs of every target: from the same seeds the same bytes each time, so that what fails here fails everywhere.

use super::*;

/// Runs a target on its seeds and on `count` inputs made of them, and tells how many seeds and inputs were accepted.
fn run(name: &str, count: u64) -> (usize, u64) {
    let target = named(name);
    let seeds = (target.seeds)();
    let good = seeds.iter().filter(|seed| (target.run)(seed)).count();
    (target.run)(b"");
    let mut accepted = 0;
    for number in 1..=count {
        let mut random = Random::new(number);
        let mut bytes = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(6) {
            random.change(&mut bytes, &seeds);
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
