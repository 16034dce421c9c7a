//! Signals as people name them: `SIGTERM`, `TERM`, `15`, `RTMIN+3`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Real-time signals start here for programs: the C library keeps the first two of the kernel's to itself (signal(7)).
const REAL_TIME_MIN: i32 = 34;
const REAL_TIME_MAX: i32 = 64;

/// A signal that can be sent, by its number on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Signal(i32);

impl Signal {
    /// Ends a process that can say no.
    pub const TERM: Signal = Signal(nix::sys::signal::Signal::SIGTERM as i32);
    /// Ends a process.
    pub const KILL: Signal = Signal(nix::sys::signal::Signal::SIGKILL as i32);

    /// The kernel's number.
    pub fn number(self) -> i32 {
        self.0
    }
}

impl FromStr for Signal {
    type Err = Error;

    fn from_str(text: &str) -> Result<Signal> {
        parse(text).map(Signal).ok_or_else(|| {
            Error::invalid(format!("`{}` is not a signal", text.escape_debug()))
                .target(text)
                .hint("a signal is a name such as `SIGTERM` or `TERM`, a number such as `15`, or `RTMIN+N`")
        })
    }
}

fn parse(text: &str) -> Option<i32> {
    let upper = text.to_ascii_uppercase();
    if upper.bytes().all(|byte| byte.is_ascii_digit()) {
        return upper.parse().ok().filter(|number| (1..=REAL_TIME_MAX).contains(number));
    }
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    let offset = |rest: &str| {
        if rest.is_empty() {
            Some(0)
        } else {
            rest.get(1..)?.parse().ok()
        }
    };
    let real_time = match (bare.strip_prefix("RTMIN"), bare.strip_prefix("RTMAX")) {
        (Some(rest), _) if rest.is_empty() || rest.starts_with('+') => Some(REAL_TIME_MIN.checked_add(offset(rest)?)?),
        (_, Some(rest)) if rest.is_empty() || rest.starts_with('-') => Some(REAL_TIME_MAX.checked_sub(offset(rest)?)?),
        _ => None,
    };
    match real_time {
        Some(number) => (REAL_TIME_MIN..=REAL_TIME_MAX).contains(&number).then_some(number),
        None => nix::sys::signal::Signal::from_str(&format!("SIG{bare}"))
            .ok()
            .map(|signal| signal as i32),
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match nix::sys::signal::Signal::try_from(self.0) {
            Ok(signal) => f.write_str(signal.as_str()),
            Err(_) if self.0 >= REAL_TIME_MIN => write!(f, "SIGRTMIN+{}", self.0 - REAL_TIME_MIN),
            Err(_) => write!(f, "{}", self.0),
        }
    }
}

impl TryFrom<String> for Signal {
    type Error = Error;
    fn try_from(text: String) -> Result<Signal> {
        text.parse()
    }
}

impl From<Signal> for String {
    fn from(signal: Signal) -> String {
        signal.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_read_as_docker_does() {
        for (text, number) in [
            ("SIGTERM", 15),
            ("term", 15),
            ("15", 15),
            ("SIGKILL", 9),
            ("RTMIN+3", 37),
            ("SIGRTMAX-1", 63),
            ("RTMIN", 34),
            ("64", 64),
        ] {
            let signal: Signal = text.parse().unwrap();
            assert_eq!(signal.number(), number, "{text}");
            assert_eq!(signal.to_string().parse::<Signal>().unwrap(), signal, "{text}");
        }
        for text in [
            "",
            "0",
            "65",
            "-9",
            "SIGNOPE",
            "RTMIN+31",
            "RTMIN-1",
            "SIG",
            "9 ",
            "99999999999",
            "RTMAX+1",
        ] {
            assert!(text.parse::<Signal>().is_err(), "{text:?}");
        }
    }
}
