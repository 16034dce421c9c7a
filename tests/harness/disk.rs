//! A small disk of its own, to be filled: a tmpfs in a mount namespace that goes with the value.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::program;

/// The disk. Nobody outside its namespace sees it by its name.
pub(crate) struct Disk(Child);

impl Disk {
    /// A disk of this size, such as `32m`, at a directory.
    pub(crate) fn mount(place: &Path, size: &str) -> Disk {
        let script = "mount -t tmpfs -o \"size=$1,mode=0755\" tmpfs \"$2\"; echo ready; read done";
        let mut command = program("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-euc", script, "sh"])
            .arg(size)
            .arg(place);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = [0; 6];
        let stdout = child.stdout.as_mut().unwrap();
        stdout
            .read_exact(&mut ready)
            .unwrap_or_else(|_| panic!("failed to mount a disk at `{}`", place.display()));
        Disk(child)
    }

    /// Where a path of the namespace is to be seen from outside.
    pub(crate) fn view(&self, path: &Path) -> PathBuf {
        Path::new(&format!("/proc/{}/root", self.0.id())).join(path.strip_prefix("/").unwrap())
    }

    /// A program that will run in the namespace, in `dir`.
    pub(crate) fn program(&self, name: &str, dir: &Path) -> Command {
        let mut command = program("nsenter");
        command
            .arg(format!("--mount=/proc/{}/ns/mnt", self.0.id()))
            .arg(format!("--wdns={}", dir.display()))
            .arg(name);
        command
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
