//! The compiled program against a plain reading of the profile, and against the real kernel.

use super::compile::compile;
use super::profile::{Circumstance, Condition, Operator, Verdict};
use super::syscalls::Arch;
use super::*;
use crate::runtime::capabilities::resolve;

/// One system call as a filter sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) number: u32,
    pub(super) audit: u32,
    pub(super) arguments: [u64; 6],
}

impl Call {
    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.number,
            4 => self.audit,
            16..64 => {
                let argument = self.arguments[(offset as usize - 16) / 8];
                if offset.is_multiple_of(8) {
                    argument as u32
                } else {
                    (argument >> 32) as u32
                }
            }
            _ => panic!("load from {offset}"),
        }
    }
}

/// Runs a program as the kernel does; panics on what its checker would refuse.
pub(super) fn interpret(program: &[Instruction], call: &Call) -> u32 {
    let (mut at, mut accumulator) = (0, 0);
    loop {
        let Instruction { code, jt, jf, k } = program[at];
        at += 1;
        let skip = |holds: bool| usize::from(if holds { jt } else { jf });
        match code {
            0x20 => accumulator = call.word(k),
            0x54 => accumulator &= k,
            0x05 => at += k as usize,
            0x15 => at += skip(accumulator == k),
            0x25 => at += skip(accumulator > k),
            0x35 => at += skip(accumulator >= k),
            0x06 => return k,
            _ => panic!("unknown instruction {code:#x}"),
        }
    }
}

fn holds(arch: Arch, name: &str, condition: &Condition, arguments: &[u64; 6]) -> bool {
    let mut argument = arguments[condition.index];
    if arch.is_narrow(name, condition.index) {
        argument &= u64::from(u32::MAX);
    }
    let value = condition.value;
    match condition.op {
        Operator::Equal => argument == value,
        Operator::NotEqual => argument != value,
        Operator::Less => argument < value,
        Operator::LessOrEqual => argument <= value,
        Operator::Greater => argument > value,
        Operator::GreaterOrEqual => argument >= value,
        Operator::MaskedEqual => argument & value == condition.value_two,
    }
}

/// What the profile says, read entry by entry.
fn evaluate(profile: &Profile, here: &Circumstance, call: &Call) -> Verdict {
    let served = [here.arch].into_iter().chain(profile.others(here.arch));
    let Some(arch) = served.into_iter().find(|arch| arch.audit() == call.audit) else {
        return Verdict::KILL_PROCESS;
    };
    if arch.foreign_from().is_some_and(|first| call.number >= first) {
        return Verdict::NO_SUCH_CALL;
    }
    let names = || profile.entries.iter().flat_map(|entry| &entry.names);
    let newest = names().filter_map(|name| arch.number(name)).max();
    if profile.default.is_errno() && newest.is_some_and(|newest| call.number > newest) {
        return Verdict::NO_SUCH_CALL;
    }
    let Some(name) = names().find(|name| arch.number(name) == Some(call.number)) else {
        return profile.default;
    };
    let entries = || {
        let entries = profile
            .entries
            .iter()
            .filter(|entry| entry.applies(here) && entry.verdict != profile.default);
        entries.filter(|entry| entry.names.contains(name))
    };
    if let Some(always) = entries().find(|entry| entry.conditions.is_empty()) {
        return always.verdict;
    }
    let matching = entries().find(|entry| {
        let mut indices: Vec<usize> = entry.conditions.iter().map(|condition| condition.index).collect();
        indices.dedup();
        match indices.len() == entry.conditions.len() {
            true => entry
                .conditions
                .iter()
                .all(|condition| holds(arch, name, condition, &call.arguments)),
            false => entry
                .conditions
                .iter()
                .any(|condition| holds(arch, name, condition, &call.arguments)),
        }
    });
    matching.map_or(profile.default, |entry| entry.verdict)
}

/// Each value a profile compares with, what is next to it, and the same with bits the kernel may not look at.
fn interesting_values(profile: &Profile) -> Vec<u64> {
    let conditions = profile.entries.iter().flat_map(|entry| &entry.conditions);
    let mut values: Vec<u64> = conditions
        .flat_map(|condition| [condition.value, condition.value_two])
        .collect();
    values.extend([0, 1, u64::from(u32::MAX), 1 << 32, u64::MAX]);
    let near = |value: u64| {
        [
            value.wrapping_sub(1),
            value,
            value.wrapping_add(1),
            value ^ 1 << 32,
            !value,
        ]
    };
    let mut values: Vec<u64> = values.into_iter().flat_map(near).collect();
    values.sort_unstable();
    values.dedup();
    values
}

fn assert_agrees(profile: &Profile, here: &Circumstance) {
    let program = compile(profile, here);
    assert!(program.len() <= MAX_INSTRUCTIONS);
    let check = |call: Call| {
        let (said, done) = (evaluate(profile, here, &call), interpret(&program, &call));
        assert_eq!(
            done,
            said.0,
            "{call:x?} on {:?} with {:?}",
            here.arch,
            here.capabilities.names()
        );
    };
    let values = interesting_values(profile);
    let names = profile.entries.iter().filter(|entry| !entry.conditions.is_empty());
    let names: Vec<&String> = names.flat_map(|entry| &entry.names).collect();
    for arch in [here.arch, Arch::I386] {
        let audit = arch.audit();
        let conditional: Vec<u32> = names.iter().filter_map(|name| arch.number(name)).collect();
        for number in (0..512).chain([1 << 30, (1 << 30) + 59, u32::MAX]) {
            let call = |arguments| Call {
                number,
                audit,
                arguments,
            };
            check(call([0; 6]));
            for value in values.iter().filter(|_| conditional.contains(&number)) {
                for other in [0, 3, *value] {
                    check(call([*value, other, 0, 0, 0, 0]));
                    check(call([other, *value, *value, 0, 0, 0]));
                }
            }
        }
    }
}

pub(super) fn set(names: &[&str]) -> CapSet {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

#[test]
fn the_default_profile_means_what_it_says_on_every_call() {
    for arch in [Arch::X86_64, Arch::Aarch64] {
        for capabilities in [
            CapSet::EMPTY,
            CapSet::container_default(),
            set(&["SYS_ADMIN"]),
            CapSet::from_bits(u64::MAX),
        ] {
            assert_agrees(
                Profile::docker_default(),
                &Circumstance {
                    arch,
                    kernel: (6, 1),
                    capabilities,
                },
            );
        }
        assert_agrees(
            Profile::docker_default(),
            &Circumstance {
                arch,
                kernel: (4, 4),
                capabilities: CapSet::EMPTY,
            },
        );
    }
}

#[test]
fn every_operator_action_and_combination_means_what_it_says() {
    let operators = ["EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ"];
    let mut entries = vec![
        r#"{"names":["read"],"action":"SCMP_ACT_KILL_PROCESS"}"#.to_owned(),
        r#"{"names":["write"],"action":"SCMP_ACT_TRACE","errnoRet":7}"#.to_owned(),
        r#"{"name":"open","action":"SCMP_ACT_TRAP"}"#.to_owned(),
        r#"{"names":["close","no_such_call"],"action":"SCMP_ACT_ERRNO","errnoRet":99}"#.to_owned(),
    ];
    let wide = ["lseek", "mmap", "mprotect", "munmap", "brk", "pread64", "pwrite64"];
    let narrow = [
        "socket",
        "socketpair",
        "ioctl",
        "fcntl",
        "personality",
        "prctl",
        "setns",
    ];
    for (index, operator) in operators.iter().enumerate() {
        for (name, value) in [
            (wide[index], 0x1_0000_0005_u64),
            (wide[index], 9),
            (narrow[index], 5),
            (narrow[index], 1 << 33),
        ] {
            entries.push(format!(
                r#"{{"names":["{name}"],"action":"SCMP_ACT_ERRNO","errnoRet":{},"args":[
                    {{"index":0,"value":{value},"valueTwo":{},"op":"SCMP_CMP_{operator}"}},
                    {{"index":1,"value":3,"op":"SCMP_CMP_{}"}}]}}"#,
                100 + entries.len(),
                value & 0x1_0000_0004,
                operators[(index + 3) % 6],
            ));
        }
    }
    entries.push(
        r#"{"names":["dup3"],"action":"SCMP_ACT_LOG","args":[{"index":0,"value":3,"op":"SCMP_CMP_EQ"},
            {"index":0,"value":8,"op":"SCMP_CMP_EQ"}]}"#
            .to_owned(),
    );
    for default in ["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL"] {
        let json = format!(r#"{{"defaultAction":"{default}","syscalls":[{}]}}"#, entries.join(","));
        let profile = Profile::parse(json.as_bytes()).unwrap();
        assert_agrees(
            &profile,
            &Circumstance {
                arch: Arch::X86_64,
                kernel: (6, 1),
                capabilities: CapSet::EMPTY,
            },
        );
    }
}

#[test]
fn jumps_beyond_255_instructions_arrive() {
    let entries: Vec<String> = (0..300)
        .map(|value| {
            format!(
                r#"{{"names":["lseek","mmap","prctl"],"action":"SCMP_ACT_ERRNO","errnoRet":{},
                    "args":[{{"index":0,"value":{},"op":"SCMP_CMP_EQ"}}]}}"#,
                value % 7,
                value % 40
            )
        })
        .collect();
    let json = format!(
        r#"{{"defaultAction":"SCMP_ACT_KILL","syscalls":[{}]}}"#,
        entries.join(",")
    );
    let profile = Profile::parse(json.as_bytes()).unwrap();
    let here = Circumstance {
        arch: Arch::X86_64,
        kernel: (6, 1),
        capabilities: CapSet::EMPTY,
    };
    assert_agrees(&profile, &here);
    assert!(compile(&profile, &here).len() > 1500);
}

#[test]
fn bits_the_kernel_drops_do_not_open_a_refused_socket_family() {
    let program = Profile::docker_default()
        .compile(CapSet::container_default())
        .unwrap()
        .program;
    const AF_ALG: u64 = 38;
    for family in [AF_ALG, AF_ALG | 1 << 32, AF_ALG | 0xffff_ffff << 32] {
        let call = Call {
            number: Arch::NATIVE.number("socket").unwrap(),
            audit: Arch::NATIVE.audit(),
            arguments: [family, 0, 0, 0, 0, 0],
        };
        assert_eq!(interpret(&program, &call), 0x0005_0001, "{family:#x}");
    }
}

#[test]
fn a_stored_filter_is_the_same_and_a_damaged_one_is_refused() {
    let filter = Profile::docker_default().compile(CapSet::EMPTY).unwrap();
    let bytes = filter.to_bytes();
    assert_eq!(Filter::from_bytes(&bytes).unwrap(), filter);
    for bad in [&bytes[..bytes.len() - 1], &bytes[1..], &bytes[..16], &[]] {
        assert_eq!(Filter::from_bytes(bad).unwrap_err().kind(), crate::error::Kind::Corrupt);
    }
}

/// Loads the filter in a thread of its own (filters belong to threads) and makes the calls there.
fn under_filter(capabilities: CapSet, calls: Vec<(&'static str, [u64; 3])>) -> Vec<(&'static str, nix::Result<i64>)> {
    let filter = Profile::docker_default().compile(capabilities).unwrap();
    let thread = std::thread::spawn(move || {
        filter.load().unwrap();
        let number = |name| Arch::NATIVE.number(name).unwrap();
        calls
            .into_iter()
            .map(|(name, arguments)| (name, seccomp::call(number(name), arguments)))
            .collect()
    });
    thread.join().unwrap()
}

#[test]
fn the_kernel_takes_the_default_filter_and_refuses_what_it_refuses() {
    use nix::libc;
    let calls = vec![
        ("getpid", [0; 3]),
        ("keyctl", [0; 3]),
        ("mount", [0; 3]),
        ("unshare", [libc::CLONE_NEWUSER as u64, 0, 0]),
        ("clone", [libc::CLONE_NEWNS as u64 | libc::SIGCHLD as u64, 0, 0]),
        ("clone3", [0; 3]),
        ("io_uring_setup", [1, 0, 0]),
        ("socket", [38 | 1 << 32, 5, 0]),
        ("personality", [0xffff_ffff, 0, 0]),
        ("personality", [1, 0, 0]),
        ("rseq_slice_yield", [0; 3]),
    ];
    let results = under_filter(CapSet::container_default(), calls);
    let expected = [
        Ok(i64::from(std::process::id())),
        Err(Errno::EPERM),
        Err(Errno::EPERM),
        Err(Errno::EPERM),
        Err(Errno::EPERM),
        Err(Errno::ENOSYS),
        Err(Errno::EPERM),
        Err(Errno::EPERM),
        Ok(0),
        Err(Errno::EPERM),
        Err(Errno::ENOSYS),
    ];
    for ((name, result), expected) in results.into_iter().zip(expected) {
        assert_eq!(result, expected, "{name}");
    }
}

#[test]
fn capabilities_open_the_calls_that_need_them() {
    let with_admin = resolve(&["SYS_ADMIN".to_owned()], &[]).unwrap();
    // Past the filter, the kernel finds a null path, a null argument and a size of zero.
    let results = under_filter(
        with_admin,
        vec![("mount", [0; 3]), ("clone3", [0; 3]), ("keyctl", [0; 3])],
    );
    let codes: Vec<Errno> = results.into_iter().map(|(_, result)| result.unwrap_err()).collect();
    assert_eq!(codes, [Errno::EFAULT, Errno::EINVAL, Errno::EPERM]);
}
