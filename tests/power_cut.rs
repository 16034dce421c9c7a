//! The power goes at any moment: what is listed is whole, no file in sight is empty or short, and what had returned is still so.

use crate::acts::{self, Act};
use crate::harness::disk::{Cut, Kind};
use crate::harness::{Hoist, fault};

/// Between these calls nothing changes about what is on disk.
const CALLS: [&str; 8] = [
    "fsync",
    "mkdir",
    "pwrite64",
    "rename",
    "renameat2",
    "symlinkat",
    "syncfs",
    "unlinkat",
];

/// Cuts the power at every such call of the act and right after it, and looks at the store after each.
fn cut_everywhere(act: fn(&Hoist) -> Act) {
    cut_on(&Hoist::on_ext4("100m"), act, 3);
}

fn cut_on(hoist: &Hoist, act: fn(&Hoist) -> Act, grow: u32) {
    let act = act(hoist);
    let witness = act.witness(hoist);
    let mut cuts = 0;
    let mut look = |cut: Cut, when: &str| {
        cuts += 1;
        hoist.cut_power(cut);
        witness.doubt();
        witness.check(hoist, when);
        (act.look)(hoist, when);
    };
    for cut in [Cut::AllLost, Cut::ContentLost] {
        fault::everywhere(&CALLS, grow, |place| {
            hoist.eval(&act.before).success();
            let killed = fault::kill(hoist, &act.act, place);
            if killed {
                look(cut, &format!("{cut:?} at {place}"));
            }
            killed
        });
        hoist.eval(&act.before).success();
        hoist.eval(&act.act).success();
        look(cut, &format!("{cut:?} at the end"));
        assert_eq!(hoist.value(&act.done), true, "{cut:?}: it had returned, and is undone");
    }
    println!("cut the power {cuts} times");
}

#[test]
fn in_a_load() {
    cut_everywhere(acts::load);
}

#[test]
fn in_an_import() {
    cut_everywhere(acts::import);
}

#[test]
fn in_a_commit() {
    cut_everywhere(acts::commit);
}

#[test]
fn in_a_tag() {
    cut_everywhere(acts::tag);
}

#[test]
fn in_a_removal() {
    cut_everywhere(acts::removal);
}

#[test]
fn in_a_prune() {
    cut_everywhere(acts::prune);
}

#[test]
fn in_a_save() {
    cut_everywhere(acts::save);
}

#[test]
fn in_a_save_of_a_layout() {
    cut_everywhere(acts::save_layout);
}

#[test]
fn in_an_unpacking_for_a_container() {
    cut_everywhere(acts::create);
}

#[test]
fn in_a_removal_of_a_container_with_its_volume() {
    cut_everywhere(acts::removal_with_volume);
}

/// At fewer calls.
#[test]
fn on_xfs() {
    for act in [acts::load, acts::create] {
        cut_on(&Hoist::on(Kind::Xfs, "300m"), act, 1);
    }
}
