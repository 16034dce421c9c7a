//! How a configuration wants the kernel to treat a process: scheduler, disks, memory, personality (runtime-spec, `config.md#process`
//! and `config-linux.md`).

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use oci_spec::runtime::{
    ExecCPUAffinity, IOPriorityClass, Linux, LinuxIOPriority, LinuxMemoryPolicy, LinuxPersonality,
    LinuxPersonalityDomain, LinuxSchedulerFlag, LinuxSchedulerPolicy, MemoryPolicyFlagType, MemoryPolicyModeType,
    Process, Scheduler,
};

use crate::error::{Context, Error, Result};
use crate::sys::scheduling::{self, Scheduling};

/// What a process asks for. It needs capabilities that are about to go.
pub(in crate::runtime) fn of_process(process: &Process) -> Result<()> {
    process.scheduler().as_ref().map_or(Ok(()), schedule)?;
    process.io_priority().as_ref().map_or(Ok(()), order_accesses)
}

/// Has this process run where a further process of a container is to begin, before it is in the container's control groups
/// (runtime-spec, `config.md#process`, `execCPUAffinity`).
pub(in crate::runtime) fn begin_on(process: &Process) -> Result<()> {
    run_on(process, "initial", ExecCPUAffinity::initial)
}

/// The same where it is to stay, once it is in them: to enter a group lets a process run wherever the group may.
pub(in crate::runtime) fn stay_on(process: &Process) -> Result<()> {
    run_on(process, "final", ExecCPUAffinity::cpu_affinity_final)
}

/// Where it is to begin, as a mask of bits in the way the kernel writes them; `None` where it does not matter.
pub(in crate::runtime) fn beginning(process: &Process) -> Result<Option<String>> {
    let asked = process.exec_cpu_affinity().as_ref();
    let list = asked.and_then(|asked| asked.initial().as_deref());
    let Some(list) = list.filter(|list| !list.is_empty()) else {
        return Ok(None);
    };
    let words = mask(list, PROCESSORS)?;
    let (last, rest) = words.split_last().unwrap_or((&0, &[]));
    let rest = rest.iter().rev().map(|word| format!("{word:016x}"));
    Ok(Some(format!("0x{last:x}{}", rest.collect::<String>())))
}

/// Checks both lists.
pub(in crate::runtime) fn check_affinity(process: &Process) -> Result<()> {
    let asked = process.exec_cpu_affinity().as_ref();
    let lists = asked
        .into_iter()
        .flat_map(|asked| [asked.initial(), asked.cpu_affinity_final()]);
    let mut lists = lists.flatten();
    let checked = lists.try_for_each(|list| numbers(list, PROCESSORS).map(drop));
    checked.map_err(|error| error.during("read `process.execCPUAffinity`"))
}

fn run_on(process: &Process, name: &str, list: fn(&ExecCPUAffinity) -> &Option<String>) -> Result<()> {
    let asked = process.exec_cpu_affinity().as_ref();
    let Some(list) = asked
        .and_then(|asked| list(asked).as_deref())
        .filter(|list| !list.is_empty())
    else {
        return Ok(());
    };
    let what = || format!("run on the processors `{list}` of `process.execCPUAffinity.{name}`");
    let mut set = CpuSet::new();
    for number in numbers(list, PROCESSORS)? {
        set.set(number).during(what)?;
    }
    sched_setaffinity(Pid::from_raw(0), &set).during(what)
}

/// What a container asks for all of its processes.
pub(in crate::runtime) fn of_container(linux: &Linux) -> Result<()> {
    linux.personality().as_ref().map_or(Ok(()), personify)?;
    linux.memory_policy().as_ref().map_or(Ok(()), place_memory)
}

fn schedule(asked: &Scheduler) -> Result<()> {
    let policy = match asked.policy() {
        LinuxSchedulerPolicy::SchedOther => 0,
        LinuxSchedulerPolicy::SchedFifo => 1,
        LinuxSchedulerPolicy::SchedRr => 2,
        LinuxSchedulerPolicy::SchedBatch => 3,
        LinuxSchedulerPolicy::SchedIso => 4,
        LinuxSchedulerPolicy::SchedIdle => 5,
        LinuxSchedulerPolicy::SchedDeadline => 6,
    };
    let flags = asked.flags().iter().flatten().map(|flag| match flag {
        LinuxSchedulerFlag::SchedResetOnFork => 0x01,
        LinuxSchedulerFlag::SchedFlagReclaim => 0x02,
        LinuxSchedulerFlag::SchedFlagDLOverrun => 0x04,
        LinuxSchedulerFlag::SchedFlagKeepPolicy => 0x08,
        LinuxSchedulerFlag::SchedFlagKeepParams => 0x10,
        LinuxSchedulerFlag::SchedFlagUtilClampMin => 0x20,
        LinuxSchedulerFlag::SchedFlagUtilClampMax => 0x40,
    });
    let scheduling = Scheduling {
        policy,
        flags: flags.fold(0, |all, flag| all | flag),
        nice: asked.nice().unwrap_or(0),
        priority: u32::try_from(asked.priority().unwrap_or(0))
            .map_err(|_| Error::invalid("`process.scheduler.priority` is below zero"))?,
        runtime: asked.runtime().unwrap_or(0),
        deadline: asked.deadline().unwrap_or(0),
        period: asked.period().unwrap_or(0),
    };
    scheduling::set_scheduling(&scheduling).during(|| format!("set `process.scheduler` to {:?}", asked.policy()))
}

fn order_accesses(asked: &LinuxIOPriority) -> Result<()> {
    let class = match asked.class() {
        IOPriorityClass::IoprioClassRt => 1,
        IOPriorityClass::IoprioClassBe => 2,
        IOPriorityClass::IoprioClassIdle => 3,
    };
    let level = u8::try_from(asked.priority()).ok().filter(|level| *level < 8);
    let level = level.ok_or_else(|| Error::invalid("`process.ioPriority.priority` is not between 0 and 7"))?;
    scheduling::set_io_priority(class, level).during(|| "set `process.ioPriority`")
}

fn personify(asked: &LinuxPersonality) -> Result<()> {
    if asked.flags().as_ref().is_some_and(|flags| !flags.is_empty()) {
        return Err(Error::unsupported("flags in `linux.personality` are not supported"));
    }
    let persona = match asked.domain() {
        LinuxPersonalityDomain::PerLinux => 0,
        LinuxPersonalityDomain::PerLinux32 => 0x08,
    };
    scheduling::set_personality(persona).during(|| "set `linux.personality`")
}

fn place_memory(asked: &LinuxMemoryPolicy) -> Result<()> {
    let mode: u32 = match asked.mode() {
        MemoryPolicyModeType::MpolDefault => 0,
        MemoryPolicyModeType::MpolPreferred => 1,
        MemoryPolicyModeType::MpolBind => 2,
        MemoryPolicyModeType::MpolInterleave => 3,
        MemoryPolicyModeType::MpolLocal => 4,
        MemoryPolicyModeType::MpolPreferredMany => 5,
        MemoryPolicyModeType::MpolWeightedInterleave => 6,
    };
    let flags = asked.flags().iter().flatten().map(|flag| match flag {
        MemoryPolicyFlagType::MpolFNumaBalancing => 1 << 13,
        MemoryPolicyFlagType::MpolFRelativeNodes => 1 << 14,
        MemoryPolicyFlagType::MpolFStaticNodes => 1 << 15,
    });
    let mode = flags.fold(mode, |all, flag| all | flag);
    let nodes = mask(asked.nodes().as_deref().unwrap_or_default(), NODES)?;
    scheduling::set_memory_policy(mode, &nodes).during(|| "set `linux.memoryPolicy`")
}

/// What the numbers of a list are.
const NODES: &str = "memory nodes";
const PROCESSORS: &str = "processors";

/// The numbers of a list as a mask of bits.
fn mask(list: &str, what: &str) -> Result<Vec<u64>> {
    let mut words = Vec::new();
    for number in numbers(list, what)? {
        words.resize(words.len().max(number / 64 + 1), 0);
        words[number / 64] |= 1 << (number % 64);
    }
    Ok(words)
}

/// The numbers of a list such as `0-2,4`, which is one of `what`.
fn numbers(list: &str, what: &str) -> Result<Vec<usize>> {
    const MOST: usize = 1024;
    let refuse = || Error::invalid(format!("`{}` is not a list of {what}", list.escape_debug()));
    let mut all = Vec::new();
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.parse::<usize>().ok().filter(|number| *number < MOST);
        let (first, last) = number(first)
            .zip(number(last))
            .filter(|(first, last)| first <= last)
            .ok_or_else(refuse)?;
        all.extend(first..=last);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_nodes_is_a_mask() {
        assert_eq!(mask("", NODES).unwrap(), Vec::<u64>::new());
        assert_eq!(mask("0-2,4", NODES).unwrap(), [0b1_0111]);
        assert_eq!(mask("64", NODES).unwrap(), [0, 1]);
        for bad in ["x", "3-1", "0-", "-1", "4096"] {
            assert!(mask(bad, NODES).is_err(), "{bad}");
        }
    }
}
