//! System call names to numbers, from the table in `syscalls.tbl`.

use std::collections::HashMap;
use std::sync::LazyLock;

/// A processor architecture filters can be made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arch {
    X86_64,
    Aarch64,
}

/// What one architecture is called in all the places a filter meets it.
struct Facts {
    /// In profiles, which use Go's names.
    name: &'static str,
    /// To the kernel: `AUDIT_ARCH_*` of `linux/audit.h`.
    audit: u32,
    /// The first number that belongs to another call convention under the same architecture code.
    foreign_from: Option<u32>,
}

/// x32 calls come as x86_64 with this bit set (`__X32_SYSCALL_BIT` of `asm/unistd.h`).
const X32_BIT: u32 = 0x4000_0000;

const X86_64: Facts = Facts {
    name: "amd64",
    audit: 0xC000_003E,
    foreign_from: Some(X32_BIT),
};
const AARCH64: Facts = Facts {
    name: "arm64",
    audit: 0xC000_00B7,
    foreign_from: None,
};

static TABLE: LazyLock<HashMap<&'static str, [Option<u32>; 2]>> = LazyLock::new(|| {
    let rows = include_str!("syscalls.tbl")
        .lines()
        .filter(|line| !line.starts_with('#'));
    rows.filter_map(|row| {
        let mut columns = row.split(' ');
        let name = columns.next()?;
        Some((name, [columns.next()?.parse().ok(), columns.next()?.parse().ok()]))
    })
    .collect()
});

impl Arch {
    /// The one this program is built for.
    pub(super) const NATIVE: Arch = if cfg!(target_arch = "aarch64") {
        Arch::Aarch64
    } else {
        Arch::X86_64
    };

    fn facts(self) -> &'static Facts {
        match self {
            Arch::X86_64 => &X86_64,
            Arch::Aarch64 => &AARCH64,
        }
    }

    pub(super) fn name(self) -> &'static str {
        self.facts().name
    }

    pub(super) fn audit(self) -> u32 {
        self.facts().audit
    }

    pub(super) fn foreign_from(self) -> Option<u32> {
        self.facts().foreign_from
    }

    /// The number of a call, or `None` if this architecture has none of that name.
    pub(super) fn number(self, name: &str) -> Option<u32> {
        TABLE.get(name)?[self as usize]
    }
}

/// The names of all calls in the table.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    TABLE.keys().copied()
}

/// Whether the kernel reads only the low 32 bits of an argument, because its prototype says `int` or `unsigned int`.
/// A comparison must then do the same, or bits the kernel drops would change the filter's answer.
pub(super) fn is_narrow(name: &str, index: usize) -> bool {
    let narrow: &[usize] = match name {
        "socket" | "socketpair" => &[0, 1, 2],
        "personality" | "prctl" | "seccomp" | "bpf" | "keyctl" => &[0],
        "ioctl" | "fcntl" | "setns" => &[0, 1],
        "setsockopt" | "getsockopt" => &[0, 1, 2],
        _ => &[],
    };
    narrow.contains(&index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_is_read_and_no_number_is_used_twice() {
        let rows = include_str!("syscalls.tbl")
            .lines()
            .filter(|line| !line.starts_with('#'));
        assert_eq!(rows.count(), TABLE.len());
        for arch in [Arch::X86_64, Arch::Aarch64] {
            let mut numbers: Vec<u32> = TABLE.values().filter_map(|row| row[arch as usize]).collect();
            let count = numbers.len();
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), count, "{arch:?}");
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_numbers_are_the_c_librarys() {
        use nix::libc;
        for (name, number) in [
            ("read", libc::SYS_read),
            ("socket", libc::SYS_socket),
            ("clone", libc::SYS_clone),
            ("personality", libc::SYS_personality),
            ("keyctl", libc::SYS_keyctl),
            ("unshare", libc::SYS_unshare),
            ("clone3", libc::SYS_clone3),
            ("mseal", libc::SYS_mseal),
        ] {
            assert_eq!(Arch::X86_64.number(name).map(i64::from), Some(number), "{name}");
        }
        assert_eq!(Arch::Aarch64.number("open"), None);
        assert_eq!(Arch::Aarch64.number("openat"), Some(56));
    }
}
