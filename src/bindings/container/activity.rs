//! What a container is doing right now.

use rhai::{Dynamic, Map, export_module};

use crate::bindings::amount::bytes;
use crate::bindings::duration::Duration;
use crate::bindings::time::Time;
use crate::bindings::value::{list, or_unit};
use crate::runtime::{Pressure, ProcessFacts, Stats};

fn map<const N: usize>(facts: [(&str, Dynamic); N]) -> Map {
    facts.into_iter().map(|(name, value)| (name.into(), value)).collect()
}

fn process(facts: &ProcessFacts) -> Map {
    map([
        ("pid", Dynamic::from(i64::from(facts.pid))),
        ("inside", i64::from(facts.inside).into()),
        ("parent", i64::from(facts.parent).into()),
        ("uid", i64::from(facts.uid).into()),
        ("state", facts.state.into()),
        ("started", Dynamic::from(Time::new(facts.started))),
        ("cpu", Dynamic::from(Duration::from(facts.cpu))),
        ("memory", bytes(facts.memory).into()),
        ("threads", bytes(facts.threads).into()),
        ("command", facts.command.join(" ").into()),
    ])
}

fn counts(stats: Stats) -> Map {
    let span = |span: Option<std::time::Duration>| or_unit(span.map(Duration::from));
    let count = |count: Option<u64>| or_unit(count.map(bytes));
    map([
        ("cpu", span(stats.cpu)),
        ("throttled", span(stats.throttled)),
        ("memory", count(stats.memory)),
        ("memory_peak", count(stats.memory_peak)),
        ("memory_limit", count(stats.memory_limit)),
        ("pids", count(stats.pids)),
        ("pids_limit", count(stats.pids_limit)),
        ("read", count(stats.read)),
        ("written", count(stats.written)),
        ("pressure", or_unit(stats.pressure.map(pressure))),
    ])
}

fn pressure(pressure: Pressure) -> Map {
    let share = |text: String| Dynamic::from(text.parse::<f64>().unwrap_or_default());
    map([
        ("cpu", share(pressure.cpu)),
        ("memory", share(pressure.memory)),
        ("io", share(pressure.io)),
    ])
}

/// What a container is doing.
#[export_module(manifest)]
pub mod methods {
    use super::{counts, list, process};
    use crate::bindings::options;
    use crate::bindings::prelude::*;
    use crate::host::Container;

    /// The processes of the container, as maps of `pid` (the host's number), `inside` (the container's own), `parent`, `uid`, `state`
    /// (`R` runs, `S` sleeps, `D` waits for a disk, `T` is stopped, `Z` has ended), `started`, `cpu`, `memory` (bytes), `threads` and
    /// `command`.
    ///
    /// Throws `conflict` unless it runs or is paused.
    ///
    /// ```rhai,images
    /// let c = container::run_detached("tools", ["sleep", "60"]);
    /// assert::eq(c.top()[0].command, "sleep 60");
    /// assert::eq(c.top()[0].inside, 1);
    /// c.remove(#{ force: true });
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn top(ctx: NativeCallContext, this: &mut Container) -> Scripted<Array> {
        native(&ctx, |_| Ok(list(this.processes()?.iter().map(process))))
    }

    /// What the container uses at this moment, as a map: `cpu` (processor time since the start) and `throttled` (time it had to wait
    /// for more), `memory` (bytes, without file cache that can be had back), `memory_peak`, `memory_limit`, `pids`, `pids_limit`, `read`
    /// and `written` (bytes of disks), and `pressure` (`cpu`, `memory`, `io`: percent of the last ten seconds in which something
    /// waited).
    ///
    /// What this machine does not count, and a limit that is not set, is `()`. Throws `conflict` unless it runs or is paused.
    ///
    /// ```rhai,images
    /// let c = container::run_detached("tools", ["sleep", "60"], #{ memory: 64.mib });
    /// assert::eq(c.stats().memory_limit, 64.mib);
    /// assert::eq(c.stats().pids, 1);
    /// c.remove(#{ force: true });
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn stats(ctx: NativeCallContext, this: &mut Container) -> Scripted<Map> {
        native(&ctx, |_| Ok(counts(this.stats()?)))
    }

    /// Changes limits and restart policy of the container, at once if it runs, and for its next starts; the others stay.
    ///
    /// Options: `memory`, `memory_swap`, `memory_reservation`, `cpus`, `cpu_shares`, `cpuset_cpus`, `pids_limit` (-1 for none) and
    /// `blkio_weight`, as for `container::run`, and `restart`, as for `container::run_detached`. Throws `invalid` for a limit out of range, `unsupported` where this machine lacks its
    /// controller, and `in_use` for less memory than the processes cannot do without; nothing has changed then.
    ///
    /// ```rhai,images
    /// let c = container::run_detached("tools", ["sleep", "60"], #{ memory: 64.mib });
    /// c.update(#{ memory: 128.mib, pids_limit: 20 });
    /// assert::eq(c.stats().memory_limit, 128.mib);
    /// c.remove(#{ force: true });
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn update(ctx: NativeCallContext, this: &mut Container, options: Map) -> Scripted<()> {
        native(&ctx, |_| this.update(&options::parse(options)?))
    }
}
