//! The terminal of this process, handed over to a program: it passes on every key as it is, until it gets back what it was.

use std::io::stdin;

use nix::errno::Errno;
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use crate::error::{Context, Result};

/// A terminal that is raw (cfmakeraw(3)) as long as this lives.
pub(in crate::runtime) struct Raw {
    before: Termios,
}

impl Raw {
    /// Makes it raw if that is `wanted` and standard input is a terminal.
    pub(in crate::runtime) fn enter(wanted: bool) -> Result<Option<Raw>> {
        if !wanted {
            return Ok(None);
        }
        match tcgetattr(stdin()) {
            Err(Errno::ENOTTY) => Ok(None),
            before => {
                let raw = Raw {
                    before: before.during(|| "examine the terminal")?,
                };
                raw.again();
                Ok(Some(raw))
            }
        }
    }

    /// Makes it raw once more, after somebody else has had it.
    pub(in crate::runtime) fn again(&self) {
        let mut raw = self.before.clone();
        cfmakeraw(&mut raw);
        let _ = tcsetattr(stdin(), SetArg::TCSANOW, &raw);
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(stdin(), SetArg::TCSANOW, &self.before);
    }
}
