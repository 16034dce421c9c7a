//! Our programs against those that libseccomp makes of the same profiles, as runc uses it. Needs Debian's `python3-seccomp`.
//!
//! Where the two are meant to differ is told by [`expected`], with the reasons.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::json;

use super::compile::compile;
use super::profile::{Circumstance, Verdict};
use super::syscalls::{Arch, names};
use super::tests::{Call, interpret, set};
use super::*;

/// Reads a profile as Moby and runc do (`seccomp_linux.go` of both) and hands it to libseccomp rule by rule.
const PYTHON: &str = r#"
import json, seccomp, sys, tempfile

asked = json.load(sys.stdin)
profile, caps, kernel = asked["profile"], asked["capabilities"], tuple(asked["kernel"])
native, target = seccomp.Arch(), seccomp.Arch(getattr(seccomp.Arch, asked["arch"].upper()))

def action(name, number):
    number = 1 if number is None else number
    with_data = {"SCMP_ACT_ERRNO": seccomp.ERRNO, "SCMP_ACT_TRACE": seccomp.TRACE}
    without = {"SCMP_ACT_ALLOW": seccomp.ALLOW, "SCMP_ACT_LOG": seccomp.LOG, "SCMP_ACT_TRAP": seccomp.TRAP,
        "SCMP_ACT_KILL": seccomp.KILL, "SCMP_ACT_KILL_THREAD": seccomp.KILL, "SCMP_ACT_KILL_PROCESS": seccomp.KILL_PROCESS}
    return with_data[name](number) if name in with_data else without[name]

def counts(entry):
    yes, no = entry.get("includes") or {}, entry.get("excludes") or {}
    at_least = lambda text: kernel >= tuple(int(part) for part in text.split("."))
    return not (asked["go_arch"] in no.get("arches", [])
        or any(cap in caps for cap in no.get("caps", []))
        or "minKernel" in no and at_least(no["minKernel"])
        or yes.get("arches") and asked["go_arch"] not in yes["arches"]
        or any(cap not in caps for cap in yes.get("caps", []))
        or "minKernel" in yes and not at_least(yes["minKernel"]))

default = action(profile["defaultAction"], profile.get("defaultErrnoRet"))
made = seccomp.SyscallFilter(default)
is_native = made.exist_arch(target)
if not is_native:
    made.add_arch(target)
    made.remove_arch(native)

skipped = set()
for entry in filter(counts, profile.get("syscalls") or []):
    verdict = action(entry["action"], entry.get("errnoRet"))
    if verdict == default:
        continue
    conditions = [seccomp.Arg(one["index"], getattr(seccomp, one["op"][9:]), one["value"], one.get("valueTwo", 0))
        for one in entry.get("args") or []]
    indices = [one["index"] for one in entry.get("args") or []]
    repeated = len(set(indices)) < len(indices)
    for name in entry.get("names", []) + ([entry["name"]] if "name" in entry else []):
        number = seccomp.resolve_syscall(native, name)
        if seccomp.resolve_syscall(target, name) < 0:
            if name not in asked["numbers"]:
                continue
            # Newer than this libseccomp. It takes a bare number, of the native architecture only.
            if not is_native:
                skipped.add(asked["numbers"][name])
                continue
            number = asked["numbers"][name]
        for alternative in [[one] for one in conditions] if repeated else [conditions]:
            made.add_rule(verdict, number, *alternative)

with tempfile.TemporaryFile() as file:
    made.export_bpf(file)
    file.seek(0)
    program = file.read().hex()
known = {name: seccomp.resolve_syscall(target, name) for name in asked["numbers"]}
json.dump({"program": program, "skipped": sorted(skipped), "known": known}, sys.stdout)
"#;

/// Calls from here on are x32's.
const X32_BIT: u32 = 0x4000_0000;

/// What libseccomp made.
#[derive(Deserialize)]
struct Theirs {
    program: String,
    /// Calls it has no names for and could not be told of by number.
    skipped: BTreeSet<u32>,
    /// What it takes the numbers of our names to be; negative if it has none.
    known: BTreeMap<String, i64>,
}

impl Theirs {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test compares with what another library says"
    )]
    fn make(profile: &str, here: &Circumstance, arch: Arch) -> Theirs {
        let numbers = names().filter_map(|name| Some((name, arch.number(name)?)));
        let name = match arch {
            Arch::I386 => "X86".to_owned(),
            arch => format!("{arch:?}"),
        };
        let asked = json!({
            "profile": serde_json::from_str::<serde_json::Value>(profile).unwrap(),
            "capabilities": here.capabilities.names(),
            "kernel": [here.kernel.0, here.kernel.1],
            "arch": name,
            "go_arch": here.arch.name(),
            "numbers": numbers.collect::<BTreeMap<_, _>>(),
        });
        // The package belongs to Debian's own Python.
        let mut child = Command::new("/usr/bin/python3")
            .args(["-c", PYTHON])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the tests need python3");
        child
            .stdin
            .take()
            .unwrap()
            .write_all(asked.to_string().as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "the tests need Debian's python3-seccomp");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn instructions(&self) -> Vec<Instruction> {
        let digits: Vec<char> = self.program.chars().collect();
        let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
        let bytes: Vec<u8> = digits.chunks(2).map(byte).collect();
        let instruction = |one: &[u8; 8]| Instruction {
            code: u16::from_le_bytes([one[0], one[1]]),
            jt: one[2],
            jf: one[3],
            k: u32::from_le_bytes([one[4], one[5], one[6], one[7]]),
        };
        bytes.as_chunks::<8>().0.iter().map(instruction).collect()
    }
}

/// What our program is to say, by what libseccomp's says. The intended differences:
///
/// - A call of another architecture ends the process; runc leaves libseccomp's default, to end the thread, which lets the
///   other threads of a program go on as if nothing were.
/// - A call with the x32 bit does not exist (`ENOSYS`), as on a kernel without x32; to libseccomp it is of another architecture.
///   So is -1, which libseccomp lets through to the default because tracers skip calls by it.
/// - A call newer than all that a profile names does not exist, if the profile refuses by an error; runc patches
///   libseccomp's programs to the same end.
/// - Of an argument that the kernel takes as `int`, the upper half does not count; libseccomp compares what the kernel drops.
///
/// Two rules for one call with different verdicts whose conditions can hold at once are not compared: here the first decides,
/// there an order of arguments and operators that the profile does not tell, and if they are alike the container fails to start.
struct Expected {
    theirs: Vec<Instruction>,
    arch: Arch,
    names: BTreeMap<u32, &'static str>,
    /// The first number that does not exist.
    end: Option<u32>,
}

impl Expected {
    fn new(theirs: Vec<Instruction>, profile: &Profile, arch: Arch) -> Expected {
        let named = profile.entries.iter().flat_map(|entry| &entry.names);
        let newest = named.filter_map(|name| arch.number(name)).max();
        let end = newest.filter(|_| profile.default.is_errno()).map(|newest| newest + 1);
        let foreign = (arch == Arch::X86_64).then_some(X32_BIT);
        Expected {
            theirs,
            arch,
            names: names().filter_map(|name| Some((arch.number(name)?, name))).collect(),
            end: end.or(foreign),
        }
    }

    fn of(&self, call: &Call) -> u32 {
        if call.audit != self.arch.audit() {
            return Verdict::KILL_PROCESS.0;
        }
        if self.end.is_some_and(|end| call.number >= end) {
            return Verdict::NO_SUCH_CALL.0;
        }
        let mut seen = *call;
        for (index, argument) in seen.arguments.iter_mut().enumerate() {
            if self.arch == Arch::I386
                || self
                    .names
                    .get(&call.number)
                    .is_some_and(|name| self.arch.is_narrow(name, index))
            {
                *argument &= u64::from(u32::MAX);
            }
        }
        interpret(&self.theirs, &seen)
    }
}

/// Argument vectors for one call: each value it is compared with, what is next to it, and what differs in the upper half, in
/// all combinations over the arguments that are compared.
fn vectors(profile: &Profile, arch: Arch, number: u32) -> Vec<[u64; 6]> {
    let entries = profile.entries.iter();
    let mut compared: BTreeMap<usize, BTreeSet<u64>> = BTreeMap::new();
    for entry in entries.filter(|entry| entry.names.iter().any(|name| arch.number(name) == Some(number))) {
        for condition in &entry.conditions {
            let near = |value: u64| {
                [
                    value,
                    value.wrapping_sub(1),
                    value.wrapping_add(1),
                    value ^ 1 << 32,
                    !value,
                ]
            };
            let values = compared
                .entry(condition.index)
                .or_insert_with(|| BTreeSet::from([0, u64::MAX]));
            values.extend([condition.value, condition.value_two].into_iter().flat_map(near));
        }
    }
    let mut vectors = vec![[0; 6], [u64::MAX; 6]];
    for (index, values) in compared {
        let with = |vector: [u64; 6]| {
            values.iter().map(move |value| {
                let mut vector = vector;
                vector[index] = *value;
                vector
            })
        };
        vectors = vectors.into_iter().flat_map(with).collect();
    }
    vectors
}

/// Runs both programs over every call there is, and a few that are none; returns how many were compared.
fn assert_same(json: &str, here: &Circumstance) -> usize {
    let profile = Profile::parse(json.as_bytes()).unwrap();
    let served: Vec<Arch> = [here.arch].into_iter().chain(profile.others(here.arch)).collect();
    served
        .iter()
        .map(|arch| assert_same_on(json, here, *arch, &served))
        .sum()
}

fn assert_same_on(json: &str, here: &Circumstance, arch: Arch, served: &[Arch]) -> usize {
    let profile = Profile::parse(json.as_bytes()).unwrap();
    let ours = compile(&profile, here);
    let theirs = Theirs::make(json, here, arch);
    let expected = Expected::new(theirs.instructions(), &profile, arch);
    let foreign = [
        0x4000_0003,
        Arch::X86_64.audit(),
        Arch::Aarch64.audit(),
        0xC000_00F3,
        0,
        u32::MAX,
    ];
    let foreign = foreign
        .iter()
        .filter(|audit| served.iter().all(|arch| arch.audit() != **audit));
    let foreign: Vec<u32> = foreign.copied().collect();
    let mut compared = 0;
    let numbers = (0..520).chain([1000, 0x3fff_ffff, 0x4000_0000, 0x4000_0001, 0x4000_0208, u32::MAX]);
    for number in numbers.filter(|number| !theirs.skipped.contains(number)) {
        for arguments in vectors(&profile, arch, number) {
            for audit in [arch.audit()].into_iter().chain(foreign.iter().copied()) {
                let call = Call {
                    number,
                    audit,
                    arguments,
                };
                assert_eq!(
                    interpret(&ours, &call),
                    expected.of(&call),
                    "{call:x?} on {here:?} under {json}"
                );
                compared += 1;
            }
        }
    }
    compared
}

fn here(arch: Arch, capabilities: CapSet) -> Circumstance {
    let kernel = (6, 1);
    Circumstance {
        arch,
        kernel,
        capabilities,
    }
}

#[test]
fn the_default_profile_is_what_libseccomp_makes_of_it() {
    let json = include_str!("default.json");
    let mut compared = 0;
    for arch in [Arch::X86_64, Arch::Aarch64] {
        for capabilities in [
            CapSet::EMPTY,
            CapSet::container_default(),
            set(&["SYS_ADMIN"]),
            set(&["SYS_PTRACE", "BPF", "SYSLOG", "SYS_CHROOT"]),
            CapSet::from_bits(u64::MAX),
        ] {
            compared += assert_same(json, &here(arch, capabilities));
        }
        let kernel = (4, 4);
        let old = Circumstance {
            kernel,
            ..here(arch, CapSet::EMPTY)
        };
        compared += assert_same(json, &old);
    }
    assert!(compared > 50_000, "{compared}");
}

#[test]
fn comparisons_and_actions_are_what_libseccomp_makes_of_them() {
    let mut entries = vec![
        json!({"names": ["read", "preadv2"], "action": "SCMP_ACT_KILL_PROCESS"}),
        json!({"names": ["write"], "action": "SCMP_ACT_TRACE", "errnoRet": 7}),
        json!({"name": "openat", "action": "SCMP_ACT_TRAP"}),
        json!({"names": ["close"], "action": "SCMP_ACT_KILL_THREAD"}),
        json!({"names": ["fchmodat2", "listns", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": 4094}),
    ];
    let calls = [
        "lseek", "mmap", "mprotect", "munmap", "brk", "pread64", "socket", "ioctl", "prctl",
    ];
    for (at, operator) in ["EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ"].iter().enumerate() {
        for (next, value) in [5_u64, 0, 0x7e02_0000, 0x1_0000_0005, 0xffff_ffff, u64::MAX]
            .into_iter()
            .enumerate()
        {
            // One rule for a call on its own, so that no two overlap: each gets a profile below.
            let value_two = value & 0x1_0000_0004;
            let args =
                json!([{"index": at % 6, "value": value, "valueTwo": value_two, "op": format!("SCMP_CMP_{operator}")}]);
            let name = calls[(at + next) % calls.len()];
            let errno = 100 + entries.len();
            entries.push(json!({"names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": errno, "args": args}));
        }
    }
    let (plain, conditional) = entries.split_at(5);
    for (at, entry) in conditional.iter().enumerate() {
        let default = ["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_LOG"][at % 4];
        let entries: Vec<_> = plain.iter().chain([entry]).collect();
        let json = json!({"defaultAction": default, "defaultErrnoRet": 38, "syscalls": entries}).to_string();
        assert_same(&json, &here(Arch::X86_64, CapSet::EMPTY));
    }
}

#[test]
fn rules_that_combine_are_what_libseccomp_makes_of_them() {
    let arg =
        |index: usize, op: &str, value: u64| json!({"index": index, "op": format!("SCMP_CMP_{op}"), "value": value});
    let json = json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 13,
        "syscalls": [
            // All of several arguments.
            {"names": ["lseek", "mmap"], "action": "SCMP_ACT_ALLOW",
             "args": [arg(0, "GE", 3), arg(1, "LT", 1 << 40), arg(2, "NE", 1)]},
            // One argument twice: either.
            {"names": ["dup3", "lseek"], "action": "SCMP_ACT_ALLOW", "args": [arg(1, "EQ", 1 << 50), arg(1, "EQ", 9)]},
            // Several rules for one call, with errors of their own.
            {"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [arg(0, "EQ", 0)]},
            {"names": ["personality"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95, "args": [arg(0, "EQ", 8)]},
            {"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [arg(0, "EQ", 0xffff_ffff)]},
            {"names": ["mremap"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5, "args": [arg(0, "EQ", 1), arg(1, "EQ", 1)]},
            {"names": ["mremap"], "action": "SCMP_ACT_ERRNO", "errnoRet": 6, "args": [arg(0, "EQ", 1), arg(1, "EQ", 2)]},
            {"names": ["mremap"], "action": "SCMP_ACT_ERRNO", "errnoRet": 7, "args": [arg(0, "EQ", 2)]},
            // A rule without conditions outweighs one with them, wherever it stands.
            {"names": ["futex"], "action": "SCMP_ACT_ERRNO", "errnoRet": 11, "args": [arg(1, "EQ", 1)]},
            {"names": ["futex"], "action": "SCMP_ACT_ALLOW"},
            // What depends on the container and the machine.
            {"names": ["mount", "setns"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["mount"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_BPF", "CAP_PERFMON"]}},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN", "CAP_BPF"]},
             "args": [{"index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": 0x7e02_0000, "valueTwo": 0}]},
            {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
            {"names": ["process_vm_readv"], "action": "SCMP_ACT_ALLOW", "excludes": {"minKernel": "6.0"}},
            {"names": ["arch_prctl", "accept"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64", "x32"]}},
            {"names": ["kcmp"], "action": "SCMP_ACT_ALLOW", "excludes": {"arches": ["arm64"]}},
        ],
    })
    .to_string();
    for arch in [Arch::X86_64, Arch::Aarch64] {
        for capabilities in [
            CapSet::EMPTY,
            set(&["SYS_ADMIN"]),
            set(&["BPF"]),
            set(&["BPF", "PERFMON"]),
        ] {
            for kernel in [(4, 4), (4, 10), (6, 1)] {
                assert_same(
                    &json,
                    &Circumstance {
                        arch,
                        kernel,
                        capabilities,
                    },
                );
            }
        }
    }
}

#[test]
fn the_numbers_are_libseccomps() {
    // Of Linux 6.11 and later, but in a gap among old numbers.
    let late = ["uprobe", "uretprobe"];
    for arch in [Arch::X86_64, Arch::Aarch64, Arch::I386] {
        let theirs = Theirs::make(
            r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#,
            &here(arch, CapSet::EMPTY),
            arch,
        );
        let (known, newer): (BTreeMap<_, _>, BTreeMap<_, _>) =
            theirs.known.into_iter().partition(|(_, number)| *number >= 0);
        assert!(known.len() > 300, "{arch:?}: {}", known.len());
        // `socketcall` and `ipc`: i386 has both these and calls of their own, of which libseccomp names the older.
        let multiplexed = |number: i64| arch == Arch::I386 && matches!(number, 102 | 117);
        for (name, number) in known.into_iter().filter(|(_, number)| !multiplexed(*number)) {
            assert_eq!(arch.number(&name).map(i64::from), Some(number), "{name} on {arch:?}");
        }
        // Debian 12's knows the calls of Linux 6.6; what it does not know is to be newer.
        let older: Vec<_> = newer
            .keys()
            .filter(|name| arch.number(name).is_some_and(|number| number <= 452) && !late.contains(&name.as_str()))
            .collect();
        assert_eq!(older, Vec::<&String>::new(), "{arch:?}");
    }
}
