//! Layers seen as one tree, by the kernel's overlay, in a mount namespace that goes with the value.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use tempfile::TempDir;

use super::{Hoist, program};

/// A read-only view of layers.
pub(crate) struct Merged {
    child: Child,
    dir: TempDir,
}

impl Merged {
    /// The layers of `lower`, topmost first and separated by colons, as `GraphDriver.Data.LowerDir` has them.
    pub(crate) fn new(lower: &str) -> Merged {
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        // An overlay needs two layers: under the lowest comes an empty one.
        let script = "mkdir \"$1/empty\" \"$1/merged\"
            mount -t overlay overlay -o \"ro,lowerdir=$2:$1/empty\" \"$1/merged\"
            echo ready
            read done";
        let mut command = program("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-euc", script, "sh"])
            .arg(dir.path())
            .arg(lower);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = [0; 6];
        let stdout = child.stdout.as_mut().unwrap();
        std::io::Read::read_exact(stdout, &mut ready)
            .unwrap_or_else(|_| panic!("failed to mount an overlay of `{lower}`"));
        Merged { child, dir }
    }

    /// What a container of an image in the store stacks, without the layer on top that has the places to mount on, which are the
    /// container's and not the image's.
    pub(crate) fn of(hoist: &Hoist, image: &str) -> Merged {
        let dirs = hoist.value(&format!(
            r#"container::create("{image}", ["true"]).inspect().GraphDriver.Data.LowerDir"#
        ));
        let dirs = dirs.as_str().unwrap().split(':');
        Merged::new(&dirs.filter(|dir| !dir.contains(".init-")).collect::<Vec<_>>().join(":"))
    }

    /// Where the tree is to be seen.
    pub(crate) fn path(&self) -> PathBuf {
        let inside = self.dir.path().join("merged");
        Path::new(&format!("/proc/{}/root", self.child.id())).join(inside.strip_prefix("/").unwrap())
    }
}

impl Drop for Merged {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
