//! A small disk of its own, to be filled, or to have its power cut: in a mount namespace that goes with the value.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{Output, program};

/// The disk. Nobody outside its namespace sees it by its name.
pub(crate) struct Disk {
    namespace: Child,
    kind: Kind,
    place: PathBuf,
    /// The file that a disk with a file system of its own is in.
    image: PathBuf,
}

/// What a disk is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// Memory.
    Tmpfs,
    /// An ext4 in a file. Nothing is written by time: what nobody asks for stays in memory.
    Ext4,
    /// An XFS in a file, of 300 MiB at least.
    Xfs,
    /// A Btrfs in a file. Nothing is written by time.
    Btrfs,
}

/// What the journal has when the power goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cut {
    /// Only what somebody waited for.
    AllLost,
    /// All that happened to names and sizes, but of what is in the files only what somebody waited for.
    ContentLost,
}

/// `EXT4_IOC_SHUTDOWN`, which takes the number of a way to go down, and is `XFS_IOC_GOINGDOWN` as well.
const SHUT_DOWN: &str = r#"sysopen(my $disk, $ARGV[0], 0) or die $!; my $how = pack("L", $ARGV[1]); ioctl($disk, 0x8004587d, $how) or die $!;"#;

const MOUNT: &str = r#"
    case $1 in
        Tmpfs) mount -t tmpfs -o "size=$2,mode=0755" tmpfs "$3" ;;
        Ext4) truncate -s "$2" "$4"
            mkfs.ext4 -q -F -m 0 -E lazy_itable_init=0,lazy_journal_init=0 "$4"
            mount -o loop,commit=600 "$4" "$3" ;;
        Xfs) truncate -s "$2" "$4"
            mkfs.xfs -q "$4"
            mount -o loop "$4" "$3" ;;
        Btrfs) truncate -s "$2" "$4"
            mkfs.btrfs -q -m single "$4" > /dev/null
            mount -o loop,commit=600 "$4" "$3" ;;
    esac
    echo ready
    read done"#;

/// Btrfs has no such call: its file as it is at that moment is what a disk has when the power goes.
const RESTART: &str = r#"
    case $5 in
        Btrfs) cp --sparse=always "$4" "$4.cut" ;;
        *) perl -e "$1" "$2" "$3" ;;
    esac
    umount "$2"
    case $5 in
        Ext4) mount -o loop,commit=600 "$4" "$2" ;;
        Xfs) mount -o loop "$4" "$2" ;;
        Btrfs) mv "$4.cut" "$4"
            mount -o loop,commit=600 "$4" "$2" ;;
    esac"#;

impl Disk {
    /// A disk of this size, such as `32m`, at a directory.
    pub(crate) fn mount(kind: Kind, place: &Path, size: &str) -> Disk {
        let image = place.with_extension("disk");
        let mut command = program("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-euc", MOUNT, "sh"])
            .args([&format!("{kind:?}"), size])
            .args([place, &image]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = [0; 6];
        let stdout = child.stdout.as_mut().unwrap();
        stdout
            .read_exact(&mut ready)
            .unwrap_or_else(|_| panic!("failed to mount a disk at `{}`", place.display()));
        Disk {
            namespace: child,
            kind,
            place: place.to_owned(),
            image,
        }
    }

    /// Cuts its power, and starts it again.
    pub(crate) fn cut_power(&self, cut: Cut) {
        let flag = match cut {
            Cut::AllLost => "2",
            Cut::ContentLost => "1",
        };
        let mut command = self.program("sh", Path::new("/"));
        command
            .args(["-euc", RESTART, "sh", SHUT_DOWN])
            .arg(&self.place)
            .arg(flag)
            .arg(&self.image)
            .arg(format!("{:?}", self.kind));
        Output::of(command, None).success();
    }

    /// Where a path of the namespace is to be seen from outside.
    pub(crate) fn view(&self, path: &Path) -> PathBuf {
        Path::new(&format!("/proc/{}/root", self.namespace.id())).join(path.strip_prefix("/").unwrap())
    }

    /// A program that will run in the namespace, in `dir`.
    pub(crate) fn program(&self, name: &str, dir: &Path) -> Command {
        let mut command = program("nsenter");
        command
            .arg(format!("--mount=/proc/{}/ns/mnt", self.namespace.id()))
            .arg(format!("--wdns={}", dir.display()))
            .arg(name);
        command
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(self.namespace.stdin.take());
        let _ = self.namespace.wait();
    }
}
