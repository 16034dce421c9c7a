//! Whether a container does its work, as a command in it says again and again: Docker's health check.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::runtime::bundle::{self, Bundle};
use crate::runtime::exit;

/// How many results are kept.
const KEPT: usize = 5;
/// How much of a probe's output is kept, in bytes.
pub(in crate::runtime) const LARGEST_OUTPUT: usize = 4096;
/// The code of a probe that said nothing: it could not be run, or took too long.
pub(in crate::runtime) const NO_ANSWER: i32 = -1;

/// How health is checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// The program and its arguments.
    pub args: Vec<String>,
    /// Between the end of a probe and the next.
    pub interval: Duration,
    /// How long a probe may take.
    pub timeout: Duration,
    /// How long after the start failures do not count.
    pub start_period: Duration,
    /// As `interval`, within the start period and as long as no probe has succeeded.
    pub start_interval: Duration,
    /// How many failures in a row mean that it is unhealthy.
    pub retries: u32,
}

/// What is known of a container's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// No probe has succeeded yet, nor have enough failed.
    #[default]
    Starting,
    /// The last probe that counted succeeded, or not enough have failed since.
    Healthy,
    /// Too many probes in a row have failed.
    Unhealthy,
}

impl HealthStatus {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            HealthStatus::Starting => "starting",
            HealthStatus::Healthy => "healthy",
            HealthStatus::Unhealthy => "unhealthy",
        }
    }
}

/// The health of a container in one of its runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// What the probes come to.
    pub status: HealthStatus,
    /// How many have failed since the last success, or since the start period.
    pub failing_streak: u32,
    /// The last results, oldest first.
    pub log: Vec<ProbeResult>,
    /// When that run was started.
    #[serde(with = "exit::timestamp")]
    pub started: Timestamp,
}

/// What a probe said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeResult {
    /// When it was started.
    #[serde(with = "exit::timestamp")]
    pub start: Timestamp,
    /// When it ended.
    #[serde(with = "exit::timestamp")]
    pub end: Timestamp,
    /// Its exit code: 0 is healthy, all else is not. -1 if it could not be run or took too long.
    pub exit_code: i32,
    /// What it wrote, up to 4096 bytes, or why it has no code.
    pub output: String,
}

/// The health of a container in the run that was started then, or was so at its end.
pub fn health(bundle: &Bundle, started: Timestamp) -> Result<Health> {
    let known = bundle::read_json::<Health>(&bundle.health())?.filter(|health| health.started == started);
    Ok(known.unwrap_or_else(|| Health::new(started)))
}

impl Health {
    /// That of a run before its first probe.
    pub fn new(started: Timestamp) -> Health {
        Health {
            status: HealthStatus::Starting,
            failing_streak: 0,
            log: Vec::new(),
            started,
        }
    }

    /// Takes a result into account; returns whether the status is another one now.
    pub(in crate::runtime) fn take(&mut self, check: &HealthCheck, result: ProbeResult) -> bool {
        let before = self.status;
        if result.exit_code == 0 {
            self.failing_streak = 0;
            self.status = HealthStatus::Healthy;
        } else if !(before == HealthStatus::Starting && self.is_early(check, result.start)) {
            self.failing_streak = self.failing_streak.saturating_add(1);
            if self.failing_streak >= check.retries {
                self.status = HealthStatus::Unhealthy;
            }
        }
        if self.log.len() >= KEPT {
            self.log.remove(0);
        }
        self.log.push(result);
        self.status != before
    }

    /// How long to wait before the next probe.
    pub(in crate::runtime) fn interval(&self, check: &HealthCheck) -> Duration {
        match self.status {
            HealthStatus::Starting if self.is_early(check, Timestamp::now()) => check.start_interval,
            _ => check.interval,
        }
    }

    fn is_early(&self, check: &HealthCheck, when: Timestamp) -> bool {
        Duration::try_from(when.duration_since(self.started)).unwrap_or_default() < check.start_period
    }

    pub(in crate::runtime) fn write(&self, bundle: &Bundle) -> Result<()> {
        bundle::write_json(&bundle.health(), self, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check() -> HealthCheck {
        HealthCheck {
            args: vec!["true".to_owned()],
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(30),
            start_period: Duration::from_secs(10),
            start_interval: Duration::from_secs(5),
            retries: 2,
        }
    }

    fn result(second: i64, exit_code: i32) -> ProbeResult {
        let time = Timestamp::from_second(second).unwrap();
        ProbeResult {
            start: time,
            end: time,
            exit_code,
            output: second.to_string(),
        }
    }

    /// The status after each result of a container that was started at second 0.
    fn course(results: &[(i64, i32)]) -> Vec<(HealthStatus, u32)> {
        let mut health = Health::new(Timestamp::UNIX_EPOCH);
        let taken = results.iter().map(|(second, code)| {
            health.take(&check(), result(*second, *code));
            (health.status, health.failing_streak)
        });
        taken.collect()
    }

    #[test]
    fn enough_failures_in_a_row_make_it_unhealthy_and_one_success_healthy() {
        use HealthStatus::{Healthy, Starting, Unhealthy};
        assert_eq!(
            course(&[(11, 1), (12, 1), (13, 0), (14, 2), (15, -1)]),
            [
                (Starting, 1),
                (Unhealthy, 2),
                (Healthy, 0),
                (Healthy, 1),
                (Unhealthy, 2)
            ]
        );
    }

    #[test]
    fn failures_of_the_start_period_do_not_count_until_one_succeeds() {
        use HealthStatus::{Healthy, Starting, Unhealthy};
        assert_eq!(
            course(&[(1, 1), (2, 1), (9, 1), (10, 1)]),
            [(Starting, 0), (Starting, 0), (Starting, 0), (Starting, 1)]
        );
        assert_eq!(
            course(&[(1, 1), (2, 0), (3, 1), (4, 1)]),
            [(Starting, 0), (Healthy, 0), (Healthy, 1), (Unhealthy, 2)]
        );
    }

    #[test]
    fn the_last_five_results_are_kept() {
        let mut health = Health::new(Timestamp::UNIX_EPOCH);
        for second in 0..7 {
            health.take(&check(), result(second, 0));
        }
        let kept: Vec<_> = health.log.iter().map(|result| result.output.as_str()).collect();
        assert_eq!(kept, ["2", "3", "4", "5", "6"]);
    }
}
