//! System call filters: a policy compiled for one container, and loaded into its first process.
//!
//! `default.json` is the default profile of the Moby project (Docker), <https://github.com/moby/profiles>,
//! Copyright Moby contributors, under the Apache License, Version 2.0; it is used unchanged.
//! This module does not decide when a filter is loaded, nor which capabilities a container has.

mod compile;
#[cfg(test)]
mod differential_tests;
mod profile;
mod program;
mod syscalls;
#[cfg(test)]
mod tests;

use std::os::fd::OwnedFd;
use std::sync::{LazyLock, Mutex, PoisonError};

use nix::errno::Errno;

use crate::error::{Context, Error, Result};
use crate::runtime::capabilities::CapSet;
use crate::sys::seccomp::{self, Instruction, MAX_INSTRUCTIONS, NEW_LISTENER};
use profile::{Circumstance, parse_kernel};
use syscalls::Arch;

pub use profile::Profile;

static DOCKER_DEFAULT: LazyLock<Profile> =
    LazyLock::new(|| Profile::parse(include_bytes!("default.json")).expect("the built-in profile is valid"));

/// Whether a kernel, by its release, is older than a version. Errors: `invalid` for what is no release.
pub(super) fn kernel_before(release: &str, version: (u32, u32)) -> Result<bool> {
    parse_kernel(release).map(|kernel| kernel < version)
}

impl Profile {
    /// Docker's default profile: what containers get unless asked otherwise.
    pub fn docker_default() -> &'static Profile {
        &DOCKER_DEFAULT
    }

    /// The filter for this machine and a container with these capabilities.
    /// Only calls of the machine's own architecture pass, and of those the profile lists beside it; any other kills the process.
    /// `invalid` if the profile is too large for the kernel.
    pub fn compile(&self, capabilities: CapSet) -> Result<Filter> {
        let kernel = nix::sys::utsname::uname().during(|| "read the kernel's version")?;
        let kernel = parse_kernel(&kernel.release().to_string_lossy())?;
        let program = compile::compile(
            self,
            &Circumstance {
                arch: Arch::NATIVE,
                kernel,
                capabilities,
            },
        );
        match program.len() {
            0..=MAX_INSTRUCTIONS => Ok(Filter {
                program,
                flags: self.flags | if self.notifies { NEW_LISTENER } else { 0 },
            }),
            len => Err(Error::invalid(format!(
                "the seccomp profile needs {len} instructions, and the kernel takes {MAX_INSTRUCTIONS}"
            ))
            .hint("say the same with fewer rules and comparisons")),
        }
    }
}

/// A compiled filter, ready to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    program: Vec<Instruction>,
    flags: u32,
}

/// The first bytes of a stored filter, with the version of its form.
const MAGIC: [u8; 8] = *b"hoistsf1";

/// The last filter made of Docker's default profile, and for which capabilities.
static LAST_DEFAULT: Mutex<Option<(CapSet, Filter)>> = Mutex::new(None);

/// Does ahead what most containers begin with.
pub(super) fn prepare() {
    // What fails now is tried again.
    let _ = Filter::docker_default(CapSet::container_default());
}

impl Filter {
    /// That of Docker's default profile; made once by a process that needs it for the same capabilities again.
    pub fn docker_default(capabilities: CapSet) -> Result<Filter> {
        let mut last = LAST_DEFAULT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, filter)) = last.as_ref().filter(|(known, _)| *known == capabilities) {
            return Ok(filter.clone());
        }
        let filter = Profile::docker_default().compile(capabilities)?;
        *last = Some((capabilities, filter.clone()));
        Ok(filter)
    }

    /// Applies the filter to the calling thread and all it will start; there is no way back. Of a profile that has somebody asked about
    /// calls, returns where they are read and answered.
    /// `denied` unless the thread has `CAP_SYS_ADMIN` or no_new_privs, `unsupported` if the kernel has no filters.
    pub fn load(&self) -> Result<Option<OwnedFd>> {
        seccomp::load(&self.program, self.flags)
            .during(|| "load the seccomp filter")
            .map_err(|error| {
                let source = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
                match source.and_then(std::io::Error::raw_os_error).map(Errno::from_raw) {
                    Some(Errno::ENOSYS) => error.with_kind(crate::error::Kind::Unsupported),
                    _ => error,
                }
            })
    }

    /// Whether it has somebody asked about calls.
    pub fn asks(&self) -> bool {
        self.flags & NEW_LISTENER != 0
    }

    /// How many instructions it has.
    pub fn len(&self) -> usize {
        self.program.len()
    }

    /// Whether it has no instructions; such a one cannot be loaded.
    pub fn is_empty(&self) -> bool {
        self.program.is_empty()
    }

    /// The filter as bytes, to be kept for another start on the same machine.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(Arch::NATIVE.audit().to_le_bytes());
        bytes.extend(self.flags.to_le_bytes());
        for one in &self.program {
            bytes.extend(one.code.to_le_bytes());
            bytes.extend([one.jt, one.jf]);
            bytes.extend(one.k.to_le_bytes());
        }
        bytes
    }

    /// The filter that [`Filter::to_bytes`] made; `corrupt` if these bytes are none, or of another architecture.
    /// The kernel checks the program itself when it is loaded.
    pub fn from_bytes(bytes: &[u8]) -> Result<Filter> {
        let corrupt = || Error::corrupt("the stored seccomp filter is not one of this machine");
        let rest = bytes.strip_prefix(&MAGIC).ok_or_else(corrupt)?;
        let rest = rest
            .strip_prefix(&Arch::NATIVE.audit().to_le_bytes())
            .ok_or_else(corrupt)?;
        let (flags, rest) = rest.split_first_chunk::<4>().ok_or_else(corrupt)?;
        let (chunks, rest) = rest.as_chunks::<8>();
        if chunks.is_empty() || chunks.len() > MAX_INSTRUCTIONS || !rest.is_empty() {
            return Err(corrupt());
        }
        let instruction = |&[c0, c1, jt, jf, k0, k1, k2, k3]: &[u8; 8]| Instruction {
            code: u16::from_le_bytes([c0, c1]),
            jt,
            jf,
            k: u32::from_le_bytes([k0, k1, k2, k3]),
        };
        Ok(Filter {
            program: chunks.iter().map(instruction).collect(),
            flags: u32::from_le_bytes(*flags),
        })
    }
}
