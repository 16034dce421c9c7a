//! The system calls that read and apply capability sets, as bit masks of capability numbers.
//! It knows no names and no defaults. All calls concern the calling thread.

use nix::errno::Errno;

/// One thread's sets, as `capget(2)` has them. Bit `n` is capability number `n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sets {
    /// What the kernel checks.
    pub effective: u64,
    /// What may be made effective.
    pub permitted: u64,
    /// What a program with file capabilities may keep over `execve`.
    pub inheritable: u64,
}

/// `_LINUX_CAPABILITY_VERSION_3` of `linux/capability.h`: two 32-bit words per set.
const VERSION_3: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Words {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

impl Sets {
    /// The calling thread's sets.
    pub fn get() -> nix::Result<Sets> {
        let mut header = Header {
            version: VERSION_3,
            pid: 0,
        };
        let mut words = [Words::default(); 2];
        // SAFETY: both pointers are to live values of the layout `capget(2)` states for version 3: one header, two data words.
        let code = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, words.as_mut_ptr()) };
        Errno::result(code)?;
        let join = |of: fn(&Words) -> u32| u64::from(of(&words[0])) | u64::from(of(&words[1])) << 32;
        Ok(Sets {
            effective: join(|w| w.effective),
            permitted: join(|w| w.permitted),
            inheritable: join(|w| w.inheritable),
        })
    }

    /// Makes these the calling thread's sets (`capset(2)`).
    pub fn apply(self) -> nix::Result<()> {
        let header = Header {
            version: VERSION_3,
            pid: 0,
        };
        let half = |set: u64, index: u32| (set >> (32 * index) & u64::from(u32::MAX)) as u32;
        let words: [Words; 2] = std::array::from_fn(|i| {
            let i = i as u32;
            Words {
                effective: half(self.effective, i),
                permitted: half(self.permitted, i),
                inheritable: half(self.inheritable, i),
            }
        });
        // SAFETY: both pointers are to live values of the layout `capset(2)` states for version 3; the kernel only reads them.
        let code = unsafe { libc::syscall(libc::SYS_capset, &raw const header, words.as_ptr()) };
        Errno::result(code).map(drop)
    }
}

/// The bounding set: what no `execve` can go beyond. Its end tells the kernel's last capability, as the second value.
pub fn bounding() -> nix::Result<(u64, u64)> {
    let (mut held, mut known) = (0, 0);
    for number in 0..64 {
        match prctl(libc::PR_CAPBSET_READ, number, 0) {
            Ok(answer) => {
                known |= 1 << number;
                held |= u64::from(answer == 1) << number;
            }
            // The first number the kernel does not know is EINVAL (`PR_CAPBSET_READ(2const)`).
            Err(Errno::EINVAL) => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok((held, known))
}

/// Drops everything but `keep` from the bounding set; needs `CAP_SETPCAP`.
pub fn limit_bounding(keep: u64) -> nix::Result<()> {
    // To drop what is not there changes nothing, so nobody needs to look.
    for number in (0..64).filter(|number| keep >> number & 1 == 0) {
        match prctl(libc::PR_CAPBSET_DROP, number, 0) {
            Ok(_) => {}
            // The first number the kernel does not know.
            Err(Errno::EINVAL) => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Whether the permitted set outlives the change from user 0 to another (`PR_SET_KEEPCAPS`).
pub fn keep_over_setuid(keep: bool) -> nix::Result<()> {
    prctl(libc::PR_SET_KEEPCAPS, u64::from(keep), 0).map(drop)
}

/// Makes the ambient set exactly `set`; each must be permitted and inheritable already.
pub fn set_ambient(set: u64) -> nix::Result<()> {
    ambient(libc::PR_CAP_AMBIENT_CLEAR_ALL, 0)?;
    for number in (0..64).filter(|number| set >> number & 1 == 1) {
        ambient(libc::PR_CAP_AMBIENT_RAISE, number)?;
    }
    Ok(())
}

fn ambient(act: i32, number: u64) -> nix::Result<()> {
    prctl(libc::PR_CAP_AMBIENT, act as u64, number).map(drop)
}

fn prctl(option: i32, second: u64, third: u64) -> nix::Result<i32> {
    // SAFETY: the options used here take plain numbers, no pointers; unused arguments must be zero and are.
    Errno::result(unsafe { libc::prctl(option, second, third, 0u64, 0u64) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs in a thread of its own: capability sets belong to threads, so the others of the test process keep theirs.
    fn alone<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
        std::thread::spawn(act).join().unwrap()
    }

    #[test]
    fn sets_are_applied_and_read_back() {
        let (before, after) = alone(|| {
            let before = Sets::get().unwrap();
            let fewer = before.permitted & 0b1_1111;
            Sets {
                effective: fewer & 0b1,
                permitted: fewer,
                inheritable: 0,
            }
            .apply()
            .unwrap();
            (before, Sets::get().unwrap())
        });
        assert_eq!(
            after,
            Sets {
                effective: before.permitted & 1,
                permitted: before.permitted & 0b1_1111,
                inheritable: 0
            }
        );
        // What was given up cannot be taken back.
        let error = alone(|| {
            Sets::default().apply().unwrap();
            Sets {
                effective: 1,
                permitted: 1,
                inheritable: 0,
            }
            .apply()
            .unwrap_err()
        });
        assert_eq!(error, Errno::EPERM);
    }

    #[test]
    fn the_bounding_set_shrinks_to_what_is_kept() {
        let (before, after) = alone(|| {
            let before = bounding().unwrap();
            limit_bounding(0b1001).unwrap();
            (before, bounding().unwrap())
        });
        assert_eq!(after, (before.0 & 0b1001, before.1));
    }

    #[test]
    fn ambient_needs_permitted_and_inheritable() {
        alone(|| {
            assert_eq!(set_ambient(1).unwrap_err(), Errno::EPERM);
            Sets {
                effective: 1,
                permitted: 1,
                inheritable: 1,
            }
            .apply()
            .unwrap();
            set_ambient(1).unwrap();
            assert_eq!(
                prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_IS_SET as u64, 0),
                Ok(1)
            );
        });
    }
}
