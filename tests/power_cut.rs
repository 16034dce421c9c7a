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
    cut_on(Kind::Ext4, "100m", act, &[Cut::AllLost, Cut::ContentLost], 3);
}

fn cut_on(kind: Kind, size: &str, act: fn(&Hoist) -> Act, cuts_of: &[Cut], grow: u32) {
    let hoist = &Hoist::on(kind, size);
    let act = act(hoist);
    let witness = act.witness(hoist);
    let mut cuts = 0;
    let mut look = |cut: Cut, when: &str| {
        cuts += 1;
        hoist.cut_power(cut);
        if matches!(kind, Kind::Btrfs) {
            // What one file waits for is on disk there without what was done elsewhere before it: content that was removed may be back.
            hoist.eval("image::prune()").success();
        }
        witness.doubt();
        witness.check(hoist, when);
        (act.look)(hoist, when);
    };
    for cut in cuts_of.iter().copied() {
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
        cut_on(Kind::Xfs, "300m", act, &[Cut::AllLost, Cut::ContentLost], 1);
    }
}

/// There is one way to cut its power.
#[test]
fn on_btrfs() {
    for act in [acts::load, acts::create] {
        cut_on(Kind::Btrfs, "300m", act, &[Cut::AllLost], 1);
    }
}
