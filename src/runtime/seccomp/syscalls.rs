//! System call names to numbers, from the table in `syscalls.tbl`.

use std::collections::HashMap;
use std::sync::LazyLock;

/// A processor architecture filters can be made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arch {
    X86_64,
    Aarch64,
    /// 32-bit programs on x86-64.
    I386,
}

/// What one architecture is called in all the places a filter meets it.
struct Facts {
    /// In the conditions of profiles, which use Go's names.
    name: &'static str,
    /// In their lists of architectures, which use libseccomp's.
    token: &'static str,
    /// To the kernel: `AUDIT_ARCH_*` of `linux/audit.h`.
    audit: u32,
    /// The first number that belongs to another call convention under the same architecture code.
    foreign_from: Option<u32>,
}

/// x32 calls come as x86_64 with this bit set (`__X32_SYSCALL_BIT` of `asm/unistd.h`).
const X32_BIT: u32 = 0x4000_0000;

const X86_64: Facts = Facts {
    name: "amd64",
    token: "SCMP_ARCH_X86_64",
    audit: 0xC000_003E,
    foreign_from: Some(X32_BIT),
};
const AARCH64: Facts = Facts {
    name: "arm64",
    token: "SCMP_ARCH_AARCH64",
    audit: 0xC000_00B7,
    foreign_from: None,
};

const I386: Facts = Facts {
    name: "386",
    token: "SCMP_ARCH_X86",
    audit: 0x4000_0003,
    foreign_from: None,
};

static TABLE: LazyLock<HashMap<&'static str, [Option<u32>; 3]>> = LazyLock::new(|| {
    let rows = include_str!("syscalls.tbl")
        .lines()
        .filter(|line| !line.starts_with('#'));
    rows.filter_map(|row| {
        let mut columns = row.split(' ');
        let name = columns.next()?;
        let mut number = || Some(columns.next()?.parse().ok());
        Some((name, [number()?, number()?, number()?]))
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
            Arch::I386 => &I386,
        }
    }

    /// The other call conventions of the same machine that filters can be made for.
    pub(super) fn others(self) -> &'static [Arch] {
        match self {
            Arch::X86_64 => &[Arch::I386],
            Arch::Aarch64 | Arch::I386 => &[],
        }
    }

    pub(super) fn token(self) -> &'static str {
        self.facts().token
    }

    /// Whether the kernel reads only the low 32 bits of an argument.
    pub(super) fn is_narrow(self, name: &str, index: usize) -> bool {
        self == Arch::I386 || is_narrow(name, index)
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

/// Whether the prototype of a call says `int` or `unsigned int` for an argument.
/// A comparison must then do the same, or bits the kernel drops would change the filter's answer.
fn is_narrow(name: &str, index: usize) -> bool {
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
        for arch in [Arch::X86_64, Arch::Aarch64, Arch::I386] {
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
        for (name, number) in [
            ("read", 3),
            ("socketcall", 102),
            ("mmap2", 192),
            ("socket", 359),
            ("futex_time64", 422),
            ("mseal", 462),
        ] {
            assert_eq!(Arch::I386.number(name), Some(number), "{name}");
        }
        assert_eq!(Arch::X86_64.number("socketcall"), None);
        assert_eq!(Arch::Aarch64.number("open"), None);
        assert_eq!(Arch::Aarch64.number("openat"), Some(56));
    }
}
