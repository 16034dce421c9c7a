//! A rule about devices, and what a list of them says: of each way to use a device, the last rule that speaks of it decides, and
//! where none does it is refused (runtime-spec, `config-linux.md#allowed-device-list`).

use std::str::FromStr;

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Block or character devices; their numbers are counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Such as disks.
    Block,
    /// Such as terminals.
    Character,
}

impl Kind {
    /// Both.
    pub(super) const ALL: [Kind; 2] = [Kind::Block, Kind::Character];

    pub(super) fn letter(self) -> char {
        match self {
            Kind::Block => 'b',
            Kind::Character => 'c',
        }
    }
}

/// Ways to use a device: make its node, read, write. Kept as letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Access(u8);

impl Access {
    /// Every way.
    pub const ALL: Access = Access(7);
    /// The letters, each with its bit in a program (`BPF_DEVCG_ACC_…`).
    const LETTERS: [(char, u8); 3] = [('r', 2), ('w', 4), ('m', 1)];

    /// The ways by their letters, such as `rw`; `None` for others, for none, and for one said twice.
    pub fn parse(letters: &str) -> Option<Access> {
        let mut access = Access(0);
        for letter in letters.chars() {
            let (_, bit) = Access::LETTERS.into_iter().find(|(known, _)| *known == letter)?;
            if access.0 & bit != 0 {
                return None;
            }
            access.0 |= bit;
        }
        (access.0 != 0).then_some(access)
    }

    pub(super) fn bits(self) -> u8 {
        self.0
    }

    pub(super) fn from_bits(bits: u8) -> Access {
        Access(bits & Access::ALL.0)
    }
}

impl Default for Access {
    fn default() -> Access {
        Access::ALL
    }
}

impl TryFrom<String> for Access {
    type Error = String;

    fn try_from(letters: String) -> std::result::Result<Access, String> {
        Access::parse(&letters).ok_or_else(|| format!("`{letters}` is not made of `r`, `w` and `m`"))
    }
}

impl From<Access> for String {
    fn from(access: Access) -> String {
        access.to_string()
    }
}

impl std::fmt::Display for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let held = Access::LETTERS.into_iter().filter(|(_, bit)| self.0 & bit != 0);
        held.into_iter().try_for_each(|(letter, _)| write!(f, "{letter}"))
    }
}

/// The devices a rule speaks of; what is `None` is any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Devices {
    /// The kind.
    pub kind: Option<Kind>,
    /// The first number, which stands for a driver.
    pub major: Option<u32>,
    /// The second.
    pub minor: Option<u32>,
}

impl Devices {
    /// All there are.
    pub const ALL: Devices = Devices {
        kind: None,
        major: None,
        minor: None,
    };
}

impl std::fmt::Display for Devices {
    /// As control groups write it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let number = |number: Option<u32>| number.map_or("*".to_owned(), |number| number.to_string());
        let kind = self.kind.map_or('a', Kind::letter);
        write!(f, "{kind} {}:{}", number(self.major), number(self.minor))
    }
}

/// Whether some ways to use some devices are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Allowed, or refused.
    pub allow: bool,
    /// Which devices.
    pub devices: Devices,
    /// Which ways.
    pub access: Access,
}

impl Rule {
    /// That everything is allowed.
    pub fn everything() -> Rule {
        Rule {
            allow: true,
            devices: Devices::ALL,
            access: Access::ALL,
        }
    }

    /// As an OCI configuration has it.
    pub fn to_oci(self) -> std::result::Result<LinuxDeviceCgroup, oci_spec::OciSpecError> {
        let kind = match self.devices.kind {
            None => LinuxDeviceType::A,
            Some(Kind::Block) => LinuxDeviceType::B,
            Some(Kind::Character) => LinuxDeviceType::C,
        };
        let mut rule = LinuxDeviceCgroupBuilder::default()
            .allow(self.allow)
            .typ(kind)
            .access(self.access.to_string());
        if let Some(major) = self.devices.major {
            rule = rule.major(major);
        }
        if let Some(minor) = self.devices.minor {
            rule = rule.minor(minor);
        }
        rule.build()
    }

    /// Reads a rule of an OCI configuration; one without `access` speaks of every way. Errors: `invalid`.
    pub fn from_oci(rule: &LinuxDeviceCgroup) -> Result<Rule> {
        let invalid = |why: &str| Err(Error::invalid(format!("`{rule}` is no rule about devices: {why}")));
        let kind = match rule.typ().unwrap_or_default() {
            LinuxDeviceType::A => None,
            LinuxDeviceType::B => Some(Kind::Block),
            LinuxDeviceType::C | LinuxDeviceType::U => Some(Kind::Character),
            LinuxDeviceType::P => return invalid("a FIFO is no device"),
        };
        // Some tools write -1 for any.
        let number = |number: Option<i64>| number.filter(|number| *number != -1).map(u32::try_from).transpose();
        let (Ok(major), Ok(minor)) = (number(rule.major()), number(rule.minor())) else {
            return invalid("its numbers are out of range");
        };
        let access = match rule.access().as_deref().unwrap_or_default() {
            "" => Some(Access::ALL),
            letters => Access::parse(letters),
        };
        let Some(access) = access else {
            return invalid("its access is not made of `r`, `w` and `m`");
        };
        Ok(Rule {
            allow: rule.allow(),
            devices: Devices { kind, major, minor },
            access,
        })
    }
}

impl FromStr for Rule {
    type Err = Error;

    /// As `docker run --device-cgroup-rule` takes it, which can only allow: `c 10:200 rw`, `b 8:* r`, `a *:* m`.
    fn from_str(text: &str) -> Result<Rule> {
        let number = |text: &str| match text {
            "*" => Some(None),
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok().map(Some),
            _ => None,
        };
        let parsed = || {
            let mut words = text.split(' ');
            let kind = match words.next()? {
                "a" => None,
                "b" => Some(Kind::Block),
                "c" => Some(Kind::Character),
                _ => return None,
            };
            let (major, minor) = words.next()?.split_once(':')?;
            let access = Access::parse(words.next()?)?;
            let devices = Devices {
                kind,
                major: number(major)?,
                minor: number(minor)?,
            };
            words.next().is_none().then_some(Rule {
                allow: true,
                devices,
                access,
            })
        };
        parsed().ok_or_else(|| {
            Error::invalid(format!("`{}` is no rule about devices", text.escape_debug()))
                .target(text)
                .hint("a rule is a kind (`b`, `c`, or `a` for both), two numbers or `*`, and letters of `rwm`: `c 10:200 rw`")
        })
    }
}
