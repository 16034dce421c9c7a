//! A machine with another kernel than this one's: a virtual one, of the program under test, busybox and a script.
//!
//! It is emulated, for not every machine that runs the tests can lend its processor; it starts in some seconds.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::hoist::PROGRAM;
use super::{Output, inputs, program, tool};

/// What the machine does before it runs the script: its root becomes one that can be pivoted away from, which the first is not.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
if [ "$1" != again ]; then
    mount -t tmpfs -o size=80% tmpfs /new
    cp -a /bin /lib /lib64 /files /init /new/
    cd /new && mkdir proc sys dev tmp run var
    rm -r /files /bin/hoist
    exec /bin/busybox switch_root /new /init again
fi
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t cgroup2 cgroup /sys/fs/cgroup
insmod /files/overlay.ko
cd /files
echo "=== start"
code=0
sh -eu /files/script 2>/tmp/errors || code=$?
[ $code = 0 ] || cat /tmp/errors
echo "=== end $code"
poweroff -f
"#;

/// A machine that has not been started.
pub(crate) struct Guest {
    dir: TempDir,
    archive: Cpio,
}

impl Guest {
    /// A machine with Debian 12's kernel, Linux 6.1, and with `hoist` and busybox in its path.
    pub(crate) fn new() -> Guest {
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let mut archive = Cpio::create(&dir.path().join("initrd"));
        for name in ["bin", "lib", "lib64", "files", "new", "dev"] {
            archive.directory(name);
        }
        archive.file("init", INIT.as_bytes());
        archive.file("bin/busybox", &fs::read(inputs::path("peers/usr/bin/busybox")).unwrap());
        archive.file(
            "files/overlay.ko",
            &fs::read(inputs::path("kernel/overlay.ko")).unwrap(),
        );
        // Without what only a debugger reads, it fits into the memory of a small machine.
        tool(dir.path(), "strip", &["-o", "hoist", PROGRAM]);
        archive.file("bin/hoist", &fs::read(dir.path().join("hoist")).unwrap());
        for library in libraries(dir.path()) {
            let to = if library.starts_with("/lib64") { "lib64" } else { "lib" };
            let name = library.file_name().unwrap().to_str().unwrap();
            archive.file(&format!("{to}/{name}"), &fs::read(&library).unwrap());
        }
        Guest { dir, archive }
    }

    /// Puts a file into `/files`, in which the script runs.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, content: &[u8]) -> Guest {
        self.archive.file(&format!("files/{name}"), content);
        self
    }

    /// Starts the machine, runs a shell script on it, and returns what that printed; its errors are shown if it fails.
    #[track_caller]
    pub(crate) fn run(mut self, script: &str) -> String {
        self.archive.file("files/script", script.as_bytes());
        self.archive.end();
        let kernel = inputs::path("kernel/vmlinuz");
        let mut command = program("qemu-system-x86_64");
        command
            .args([
                "-accel",
                "tcg",
                "-m",
                "1024",
                "-display",
                "none",
                "-serial",
                "stdio",
                "-no-reboot",
            ])
            .args([
                "-append",
                "console=ttyS0 quiet panic=-1",
                "-initrd",
                "initrd",
                "-kernel",
            ])
            .arg(kernel)
            .current_dir(self.dir.path());
        let console = Output::of(command, None).success().stdout.replace('\r', "");
        let printed = console
            .split_once("=== start\n")
            .and_then(|(_, rest)| rest.split_once("=== end 0\n"));
        printed
            .unwrap_or_else(|| panic!("the machine did not get to the end of the script:\n{console}"))
            .0
            .to_owned()
    }
}

/// The libraries that the program is linked with, and what links them.
fn libraries(dir: &Path) -> Vec<PathBuf> {
    let listed = tool(dir, "ldd", &[PROGRAM]);
    let paths = listed.split_whitespace().filter(|word| word.starts_with('/'));
    paths.map(PathBuf::from).collect()
}

/// An archive as the kernel unpacks it into its first root (Documentation/driver-api/early-userspace/buffer-format.rst).
struct Cpio {
    file: File,
    count: u32,
}

impl Cpio {
    fn create(path: &Path) -> Cpio {
        let file = File::create(path).unwrap();
        Cpio { file, count: 0 }
    }

    fn directory(&mut self, name: &str) {
        self.entry(name, 0o040_755, &[]);
    }

    /// A file that can be executed.
    fn file(&mut self, name: &str, content: &[u8]) {
        self.entry(name, 0o100_755, content);
    }

    fn end(&mut self) {
        self.entry("TRAILER!!!", 0, &[]);
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.count += 1;
        let (length, name_length) = (
            u32::try_from(content.len()).unwrap(),
            u32::try_from(name.len()).unwrap() + 1,
        );
        let fields = [self.count, mode, 0, 0, 1, 0, length, 0, 0, 0, 0, name_length, 0];
        let header: String = fields.iter().map(|field| format!("{field:08x}")).collect();
        self.padded(&[b"070701", header.as_bytes(), name.as_bytes(), b"\0"].concat());
        self.padded(content);
    }

    fn padded(&mut self, bytes: &[u8]) {
        self.file.write_all(bytes).unwrap();
        self.file.write_all(&[0; 3][..bytes.len().wrapping_neg() % 4]).unwrap();
    }
}
