//! Times and results of jobs as people read them.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::host::{JobRun, RunOutcome};
use crate::model::{ByteSize, format_duration};

/// `Mon 2026-11-23 03:00:00 +01:00`.
pub(super) fn shown(time: Timestamp, zone: &TimeZone) -> String {
    time.to_zoned(zone.clone())
        .strftime("%a %Y-%m-%d %H:%M:%S %:z")
        .to_string()
}

/// `in 3h20m`, `5m ago`, `now`.
pub(super) fn relative(time: Timestamp, now: Timestamp) -> String {
    let span = time.duration_since(now);
    let length = |seconds: u64| format_duration(Duration::from_secs(seconds));
    match span.as_secs() {
        0 => "now".to_owned(),
        seconds @ 1.. => format!("in {}", length(seconds.unsigned_abs())),
        seconds => format!("{} ago", length(seconds.unsigned_abs())),
    }
}

/// How long a run took, or has taken so far.
pub(super) fn took(run: &JobRun, now: Timestamp) -> String {
    let so_far = || {
        let is_running = run.outcome() == RunOutcome::Running;
        let span = is_running.then(|| now.duration_since(run.started()))?;
        Duration::try_from(span).ok()
    };
    run.duration().or_else(so_far).map(format_duration).unwrap_or_default()
}

/// What a run gave back to the disk; nothing if that is nothing.
pub(super) fn reclaimed(run: &JobRun) -> String {
    match run.effects().reclaimed {
        0 => String::new(),
        bytes => ByteSize(bytes).to_string(),
    }
}
