//! Each way of mounting, with the same tests.

use super::*;
use std::fs;
use std::os::fd::{AsFd, AsRawFd};

/// An upper and a work directory, and layers of these names, topmost first.
struct Place {
    dir: tempfile::TempDir,
    lower: Vec<PathBuf>,
}

impl Place {
    fn new(names: impl IntoIterator<Item = String>) -> Place {
        Place::below(tempfile::tempdir().unwrap(), "", names)
    }

    fn below(dir: tempfile::TempDir, inner: &str, names: impl IntoIterator<Item = String>) -> Place {
        let base = dir.path().join(inner);
        let lower = names.into_iter().map(|name| base.join(name)).collect::<Vec<_>>();
        for path in lower.iter().chain([&base.join("upper"), &base.join("work")]) {
            fs::create_dir_all(path).unwrap();
        }
        Place { dir, lower }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.lower[0].parent().unwrap().join(name)
    }

    fn mount(&self, volatile: bool) -> Result<OwnedFd> {
        let (upper, work) = (self.path("upper"), self.path("work"));
        mount(&self.lower, &upper, &work, volatile, Attributes::NO_DEV, None)
    }

    fn mount_by(&self, rung: Rung, volatile: bool) -> Result<OwnedFd> {
        let (upper, work) = (&self.path("upper"), &self.path("work"));
        let writable = Some(Writable { upper, work, volatile });
        let lower = &self.lower;
        let attributes = Attributes::NO_DEV;
        Overlay {
            lower,
            writable,
            attributes,
            shift: None,
        }
        .mount_by(rung)
    }
}

fn named(names: &[&str]) -> Place {
    Place::new(names.iter().map(|name| (*name).to_owned()))
}

fn inside(root: &OwnedFd, path: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{path}", root.as_raw_fd()))
}

const RUNGS: [Rung; 3] = [Rung::Each, Rung::Joined, Rung::Classic];

#[test]
fn the_topmost_layer_wins_and_writes_land_in_upper() {
    for rung in RUNGS {
        let place = named(&["top", "middle", "bottom"]);
        fs::write(place.lower[0].join("f"), "top").unwrap();
        fs::write(place.lower[2].join("f"), "bottom").unwrap();
        fs::write(place.lower[1].join("g"), "middle").unwrap();
        let root = place.mount_by(rung, false).unwrap();
        assert_eq!(fs::read_to_string(inside(&root, "f")).unwrap(), "top", "{rung:?}");
        assert_eq!(fs::read_to_string(inside(&root, "g")).unwrap(), "middle");
        fs::write(inside(&root, "h"), "new").unwrap();
        drop(root);
        assert_eq!(fs::read_to_string(place.path("upper/h")).unwrap(), "new");
    }
}

#[test]
fn c20_any_path_can_be_a_layer() {
    let long = "x".repeat(250);
    for rung in RUNGS {
        for odd in ["a:b", "a,b", "a\\b", "a b", "a\\,b:c\"'=#\n", &long] {
            let names = ["top", odd, "bottom"].map(str::to_owned);
            let place = Place::below(tempfile::tempdir().unwrap(), odd, names);
            fs::write(place.lower[1].join("f"), "odd").unwrap();
            fs::write(place.lower[2].join("f"), "bottom").unwrap();
            let root = place.mount_by(rung, true).unwrap();
            assert_eq!(fs::read_to_string(inside(&root, "f")).unwrap(), "odd", "{rung:?} {odd}");
            fs::write(inside(&root, "new"), "").unwrap();
            assert!(place.path("upper/new").exists());
        }
    }
}

#[test]
fn c21_as_many_layers_as_the_kernel_stacks() {
    for count in [2, 12, 20, 127, 300, 498, 500] {
        let place = Place::new((0..count).map(|n| n.to_string()));
        for (n, layer) in place.lower.iter().enumerate() {
            fs::write(layer.join(format!("own-{n}")), "").unwrap();
            fs::write(layer.join("shared"), n.to_string()).unwrap();
        }
        for rung in RUNGS {
            // As many as always fit, see `Overlay::rung`.
            if rung == Rung::Joined && count > LONGEST_VALUE / LONGEST_NAME {
                continue;
            }
            let root = place.mount_by(rung, false).unwrap();
            let names = fs::read_dir(inside(&root, "")).unwrap().count();
            assert_eq!((rung, names), (rung, count + 1));
            assert_eq!(fs::read_to_string(inside(&root, "shared")).unwrap(), "0");
            drop(root);
            let (lower, writable) = (&place.lower, None);
            let attributes = Attributes::NO_DEV.with(Attributes::READ_ONLY);
            let view = Overlay {
                lower,
                writable,
                attributes,
                shift: None,
            }
            .mount_by(rung)
            .unwrap();
            assert!(inside(&view, &format!("own-{}", count - 1)).exists());
            let refused = fs::write(inside(&view, "new"), "").unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem, "{rung:?}");
        }
    }
}

#[test]
fn c21_layers_that_do_not_fit_are_told_and_not_cut_off() {
    let place = Place::new((0..20).map(|n| n.to_string()));
    let error = place.mount_by(Rung::Joined, false).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    assert!(
        error
            .message()
            .contains("255 bytes of mount options, and to name 20 layers"),
        "{error}"
    );
    assert_eq!(fitting("1:2".repeat(1365), 4095).unwrap().len(), 4095);
    assert_eq!(
        fitting("1:2".repeat(1365) + "1", 4095).unwrap_err().kind(),
        Kind::Unsupported
    );
}

#[test]
fn nothing_is_left_of_the_classic_way_but_the_mount() {
    let mounts = || fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let (before, dir) = (mounts(), std::env::current_dir().unwrap());
    let place = named(&["top", "bottom"]);
    let root = place.mount_by(Rung::Classic, false).unwrap();
    assert_eq!((mounts(), std::env::current_dir().unwrap()), (before, dir));
    fs::write(inside(&root, "f"), "").unwrap();
    fs::remove_dir_all(place.dir.path()).unwrap();
}

#[test]
fn c20_options_that_kernels_have_different_defaults_for_are_off() {
    for rung in RUNGS {
        let place = named(&["top", "bottom"]);
        fs::create_dir(place.lower[0].join("d")).unwrap();
        fs::write(place.lower[1].join("f"), "x").unwrap();
        let root = place.mount_by(rung, false).unwrap();
        // A copy whole, and no rename of a directory that lies below: neither leaves a reference to a layer.
        fs::set_permissions(inside(&root, "f"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(fs::read(place.path("upper/f")).unwrap(), b"x", "{rung:?}");
        let refused = fs::rename(inside(&root, "d"), inside(&root, "e")).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::CrossesDevices, "{rung:?}");
    }
}

#[test]
fn a_volatile_root_mounts_again() {
    let place = named(&["top"]);
    for _ in 0..2 {
        let root = place.mount(true).unwrap();
        fs::write(inside(&root, "f"), "x").unwrap();
    }
}

#[test]
fn a_missing_layer_is_named() {
    let place = named(&["top"]);
    fs::remove_dir(&place.lower[0]).unwrap();
    let error = place.mount(false).unwrap_err();
    let name = place.lower[0].display();
    assert_eq!(
        error.to_string(),
        format!("failed to mount the container's root: failed to stack `{name}`: no such file or directory")
    );
}

/// A user namespace with these lines as its map, and the process it belongs to.
#[expect(
    clippy::disallowed_methods,
    reason = "a process with a user namespace, started by the test"
)]
fn namespace(map: &str) -> (std::process::Child, OwnedFd) {
    let mut command = std::process::Command::new("unshare");
    command.args(["--user", "cat"]).stdin(std::process::Stdio::piped());
    let process = command.spawn().unwrap();
    let path = format!("/proc/{}/ns/user", process.id());
    let own = fs::read_link("/proc/self/ns/user").unwrap();
    while fs::read_link(&path).unwrap() == own {
        std::thread::yield_now();
    }
    for file in ["uid_map", "gid_map"] {
        fs::write(format!("/proc/{}/{file}", process.id()), map).unwrap();
    }
    (process, fs::File::open(path).unwrap().into())
}

#[test]
fn owners_are_shifted_on_the_way_in_and_out() {
    use std::os::unix::fs::{MetadataExt, chown};
    let (mut process, namespace) = namespace("0 700000 1000\n4294967294 0 1\n");
    for rung in RUNGS {
        let place = named(&["a", "b"]);
        fs::write(place.lower[1].join("file"), "text").unwrap();
        chown(place.lower[1].join("file"), Some(5), Some(6)).unwrap();
        let (upper, work) = (&place.path("upper"), &place.path("work"));
        let writable = Some(Writable {
            upper,
            work,
            volatile: false,
        });
        let overlay = Overlay {
            lower: &place.lower,
            writable,
            attributes: Attributes::NO_DEV,
            shift: Some(namespace.as_fd()),
        };
        let root = overlay.mount_by(rung).unwrap();
        let owner = |path: &Path| {
            let status = fs::symlink_metadata(path).unwrap();
            (status.uid(), status.gid())
        };
        assert_eq!(owner(&inside(&root, "file")), (700_005, 700_006), "{rung:?}");
        chown(inside(&root, "file"), Some(700_007), None).unwrap();
        fs::write(inside(&root, "new"), "").unwrap();
        chown(inside(&root, "new"), Some(700_000), Some(700_000)).unwrap();
        assert_eq!(
            (owner(&upper.join("file")), owner(&upper.join("new"))),
            ((7, 6), (0, 0)),
            "{rung:?}"
        );
    }
    process.kill().unwrap();
    process.wait().unwrap();
}
