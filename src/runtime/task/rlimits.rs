//! Resource limits of single processes (setrlimit(2)), in Docker's short names.

use std::fmt;
use std::str::FromStr;

use oci_spec::OciSpecError;
use oci_spec::runtime::{PosixRlimit, PosixRlimitBuilder, PosixRlimitType};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::unknown;

/// The names, as `ulimits` has them; those of the OCI configuration are `RLIMIT_` and the same in capitals.
const NAMES: [(&str, PosixRlimitType); 16] = [
    ("as", PosixRlimitType::RlimitAs),
    ("core", PosixRlimitType::RlimitCore),
    ("cpu", PosixRlimitType::RlimitCpu),
    ("data", PosixRlimitType::RlimitData),
    ("fsize", PosixRlimitType::RlimitFsize),
    ("locks", PosixRlimitType::RlimitLocks),
    ("memlock", PosixRlimitType::RlimitMemlock),
    ("msgqueue", PosixRlimitType::RlimitMsgqueue),
    ("nice", PosixRlimitType::RlimitNice),
    ("nofile", PosixRlimitType::RlimitNofile),
    ("nproc", PosixRlimitType::RlimitNproc),
    ("rss", PosixRlimitType::RlimitRss),
    ("rtprio", PosixRlimitType::RlimitRtprio),
    ("rttime", PosixRlimitType::RlimitRttime),
    ("sigpending", PosixRlimitType::RlimitSigpending),
    ("stack", PosixRlimitType::RlimitStack),
];

/// One limit of each process in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// Such as `nofile`.
    pub name: String,
    /// What holds until a process raises it.
    pub soft: u64,
    /// What a process may raise it to.
    pub hard: u64,
}

impl Rlimit {
    /// A limit from its name and `SOFT`, or `SOFT:HARD`; `-1` or `unlimited` is none.
    ///
    /// Errors: `invalid` for an unknown name, for what is no number, and for a soft limit above the hard one.
    pub fn parse(name: &str, value: &str) -> Result<Rlimit> {
        if !NAMES.iter().any(|(known, _)| *known == name) {
            return Err(unknown("limit in `ulimits`", name, &NAMES.map(|(known, _)| known)));
        }
        let (soft, hard) = value.split_once(':').unwrap_or((value, value));
        let amount = |text: &str| match text {
            "-1" | "unlimited" => Some(u64::MAX),
            number => u64::from_str(number).ok(),
        };
        let (Some(soft), Some(hard)) = (amount(soft), amount(hard)) else {
            return Err(Error::invalid(format!("`{}` is not a limit", value.escape_debug()))
                .target(name)
                .hint("write it as a number, `SOFT:HARD`, or `unlimited`"));
        };
        if soft > hard {
            return Err(Error::invalid(format!("the soft limit of `{name}` is above its hard limit")).target(name));
        }
        let name = name.to_owned();
        Ok(Rlimit { name, soft, hard })
    }

    /// As the OCI configuration has it.
    pub(in crate::runtime) fn to_oci(&self) -> std::result::Result<PosixRlimit, OciSpecError> {
        let known = NAMES.iter().find(|(known, _)| *known == self.name);
        let (_, typ) = known.ok_or_else(|| OciSpecError::Other(format!("unknown limit `{}`", self.name)))?;
        PosixRlimitBuilder::default()
            .typ(*typ)
            .soft(self.soft)
            .hard(self.hard)
            .build()
    }
}

impl fmt::Display for Rlimit {
    /// As `--ulimit` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}:{}", self.name, shown(self.soft), shown(self.hard))
    }
}

/// An amount as people write it.
pub(in crate::runtime) fn shown(amount: u64) -> String {
    match amount {
        u64::MAX => "unlimited".to_owned(),
        amount => amount.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_docker_writes_them() {
        for (value, text) in [
            ("1024", "nofile=1024:1024"),
            ("1:2", "nofile=1:2"),
            ("7:-1", "nofile=7:unlimited"),
            ("unlimited", "nofile=unlimited:unlimited"),
        ] {
            assert_eq!(Rlimit::parse("nofile", value).unwrap().to_string(), text);
        }
        for (name, value) in [
            ("nofile", "x"),
            ("nofile", "2:1"),
            ("nofile", "-1:5"),
            ("nofile", ""),
            ("files", "1"),
        ] {
            assert!(Rlimit::parse(name, value).is_err(), "{name}={value}");
        }
        let error = Rlimit::parse("nofiles", "1").unwrap_err();
        assert!(error.way_out().unwrap().contains("did you mean `nofile`?"), "{error}");
    }

    #[test]
    fn every_name_has_its_place_in_the_configuration() {
        for (name, typ) in NAMES {
            let limit = Rlimit::parse(name, "3:4").unwrap().to_oci().unwrap();
            assert_eq!((limit.typ(), limit.soft(), limit.hard()), (typ, 3, 4));
            assert_eq!(typ.to_string(), format!("RLIMIT_{}", name.to_uppercase()));
        }
    }
}
