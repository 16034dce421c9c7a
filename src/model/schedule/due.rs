//! What is to be done about a schedule at a moment: a pure function of the schedule, the last time that was seen to, and the clock.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::Schedule;

/// A run that begins no later than this after its time is on time: a busy machine, or a `cron` that looks once a minute.
const LATE: SignedDuration = SignedDuration::from_secs(60);

/// A clock that was set back by more than this was wrong before; by less, what has been seen to is not done again (cron(8) takes the
/// same three hours).
const SET_BACK: SignedDuration = SignedDuration::from_hours(3);

/// How many missed times are counted one by one.
const MOST_COUNTED: u32 = 10_000;

/// A schedule with what a job says of it.
#[derive(Debug, Clone)]
pub struct Timetable {
    schedule: Schedule,
    /// How much later than the schedule says it is done on this machine.
    shift: SignedDuration,
    catch_up: bool,
}

/// Times that passed without a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed {
    /// The first of them.
    pub first: Timestamp,
    /// The last of them.
    pub last: Timestamp,
    /// How many; ten thousand stands for that and more.
    pub count: u32,
}

/// A time that has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// As the schedule says it, without the machine's own delay.
    pub at: Timestamp,
    /// Whether it makes up for one that was missed.
    pub is_late: bool,
}

/// What is to be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// What is to be noted as missed.
    pub missed: Option<Missed>,
    /// What is to be run.
    pub run: Option<Slot>,
    /// When to look again; `None` if nothing will ever come.
    pub next: Option<Timestamp>,
}

impl Due {
    /// What has been seen to once this is done, given what was before.
    pub fn seen(&self) -> Option<Timestamp> {
        let missed = self.missed.map(|missed| missed.last);
        self.run.map(|slot| slot.at).into_iter().chain(missed).max()
    }
}

impl Timetable {
    /// A schedule whose times come later by `shift`, and of which one that was missed is made up for if `catch_up` says so.
    pub fn new(schedule: Schedule, shift: Duration, catch_up: bool) -> Timetable {
        Timetable {
            schedule,
            shift: SignedDuration::try_from(shift).unwrap_or(SignedDuration::ZERO),
            catch_up,
        }
    }

    /// How much later than the schedule says it is done on this machine.
    pub fn shift(&self) -> SignedDuration {
        self.shift
    }

    /// The schedule.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// What is to be done at `now`, when everything up to `seen` has been seen to.
    ///
    /// Of several times that have come, the last one counts: it is run if it came just now, or if it is to be made up for. Those before
    /// it are missed. Where the clock was set back for good, the schedule goes on from what it shows now.
    pub fn look(&self, seen: Timestamp, now: Timestamp) -> Due {
        let clock = self.unshifted(now);
        let seen = if seen.duration_since(clock) > SET_BACK {
            clock
        } else {
            seen
        };
        let first = self.schedule.next(seen);
        let Some(first) = first.filter(|first| *first <= clock) else {
            let (missed, run) = (None, None);
            return Due {
                missed,
                run,
                next: self.shifted(first),
            };
        };
        let last = self.last_until(first, clock);
        let is_late = clock.duration_since(last) > LATE;
        let run = (!is_late || self.catch_up).then_some(Slot { at: last, is_late });
        Due {
            missed: self.missed(first, last, run.is_none()),
            run,
            next: self.shifted(self.schedule.next(clock)),
        }
    }

    /// The next times from `after` on, as they come on this machine.
    pub fn times(&self, after: Timestamp) -> impl Iterator<Item = Timestamp> {
        let first = self.schedule.next(self.unshifted(after));
        let all = std::iter::successors(first, |time| self.schedule.next(*time));
        all.filter_map(|time| self.shifted(Some(time)))
    }

    /// The last time up to `until`, of which `first` is one. Found by looking at spans that end there, each twice as long as the one
    /// before, since between the two may lie millions.
    fn last_until(&self, first: Timestamp, until: Timestamp) -> Timestamp {
        let mut span = SignedDuration::from_secs(64);
        loop {
            let from = until.checked_sub(span).unwrap_or(Timestamp::MIN);
            if from <= first {
                return self.run_up(first, until);
            }
            match self.schedule.next(from) {
                Some(time) if time <= until => return self.run_up(time, until),
                _ => span = span.checked_mul(2).unwrap_or(SignedDuration::MAX),
            }
        }
    }

    fn run_up(&self, mut time: Timestamp, until: Timestamp) -> Timestamp {
        while let Some(next) = self.schedule.next(time).filter(|next| *next <= until) {
            time = next;
        }
        time
    }

    /// The times from `first` on before `last`, and that one if it `counts`.
    fn missed(&self, first: Timestamp, last: Timestamp, counts: bool) -> Option<Missed> {
        let is_missed = |time: &Timestamp| *time < last || (counts && *time == last);
        let times = std::iter::successors(Some(first), |time| self.schedule.next(*time));
        let mut found: Option<Missed> = None;
        for time in times.take_while(is_missed).take(MOST_COUNTED as usize) {
            let (first, count) = found.map_or((time, 0), |missed| (missed.first, missed.count));
            found = Some(Missed {
                first,
                last: time,
                count: count + 1,
            });
        }
        match found {
            // What is not counted is missed nevertheless.
            Some(missed) if missed.count == MOST_COUNTED => Some(Missed { last, ..missed }),
            other => other,
        }
    }

    fn shifted(&self, time: Option<Timestamp>) -> Option<Timestamp> {
        time?.checked_add(self.shift).ok()
    }

    fn unshifted(&self, time: Timestamp) -> Timestamp {
        time.checked_sub(self.shift).unwrap_or(Timestamp::MIN)
    }
}

/// The share of a jitter that this machine waits before the job of this name: always the same, spread evenly over machines and jobs.
pub fn share_of(jitter: Duration, machine: &str, job: &str) -> Duration {
    let whole = jitter.as_secs();
    if whole == 0 {
        return Duration::ZERO;
    }
    // FNV-1a, and a last mixing (MurmurHash3), so that names that differ at their end alone lie far apart.
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for byte in machine.bytes().chain([0]).chain(job.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    Duration::from_secs((hash ^ (hash >> 33)) % (whole + 1))
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn table(text: &str, catch_up: bool) -> Timetable {
        let schedule = Schedule::parse(text, &TimeZone::UTC).unwrap();
        Timetable::new(schedule, Duration::ZERO, catch_up)
    }

    #[test]
    fn what_has_just_come_is_run_and_nothing_before_its_time() {
        let daily = table("0 3 * * *", false);
        let seen = at("2026-03-01T03:00:00Z");
        let early = daily.look(seen, at("2026-03-02T02:59:59Z"));
        assert_eq!(
            (early.run, early.missed, early.next),
            (None, None, Some(at("2026-03-02T03:00:00Z")))
        );
        let due = daily.look(seen, at("2026-03-02T03:00:30Z"));
        let slot = Slot {
            at: at("2026-03-02T03:00:00Z"),
            is_late: false,
        };
        assert_eq!((due.run, due.missed), (Some(slot), None));
        assert_eq!(due.seen(), Some(slot.at));
        assert_eq!(daily.look(slot.at, at("2026-03-02T03:00:31Z")).run, None);
    }

    #[test]
    fn a_machine_that_was_off_for_a_month_makes_up_once() {
        let (seen, now) = (at("2026-03-01T03:00:00Z"), at("2026-03-31T12:00:00Z"));
        let due = table("0 3 * * *", true).look(seen, now);
        let missed = Missed {
            first: at("2026-03-02T03:00:00Z"),
            last: at("2026-03-30T03:00:00Z"),
            count: 29,
        };
        let slot = Slot {
            at: at("2026-03-31T03:00:00Z"),
            is_late: true,
        };
        assert_eq!((due.missed, due.run), (Some(missed), Some(slot)));
        let due = table("0 3 * * *", false).look(seen, now);
        assert_eq!(due.run, None);
        assert_eq!(due.missed.unwrap().count, 30);
        assert_eq!(due.seen(), Some(slot.at));
    }

    #[test]
    fn a_clock_that_was_years_ahead_stops_no_job() {
        let daily = table("0 3 * * *", true);
        let seen = at("2036-03-01T03:00:00Z");
        let now = at("2026-03-01T02:00:00Z");
        assert_eq!(daily.look(seen, now).next, Some(at("2026-03-01T03:00:00Z")));
        // A little back, as by a time server: what ran does not run again.
        let due = daily.look(at("2026-03-01T03:00:00Z"), at("2026-03-01T02:59:00Z"));
        assert_eq!((due.run, due.next), (None, Some(at("2026-03-02T03:00:00Z"))));
    }

    #[test]
    fn a_year_of_seconds_is_looked_at_quickly_and_told_as_many() {
        let due = table("@every 1s", false).look(at("2025-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z"));
        assert_eq!(due.run.unwrap().at, at("2026-01-01T00:00:00Z"));
        let missed = due.missed.unwrap();
        assert_eq!((missed.count, missed.first), (10_000, at("2025-01-01T00:00:01Z")));
    }

    #[test]
    fn a_delay_shifts_all_of_it() {
        let schedule = Schedule::parse("0 3 * * *", &TimeZone::UTC).unwrap();
        let table = Timetable::new(schedule, Duration::from_secs(600), false);
        let seen = at("2026-03-01T03:00:00Z");
        assert_eq!(
            table.look(seen, at("2026-03-02T03:09:59Z")).next,
            Some(at("2026-03-02T03:10:00Z"))
        );
        let due = table.look(seen, at("2026-03-02T03:10:00Z"));
        assert_eq!(due.run.unwrap().at, at("2026-03-02T03:00:00Z"));
        let times: Vec<_> = table.times(at("2026-03-02T03:05:00Z")).take(2).collect();
        assert_eq!(times, [at("2026-03-02T03:10:00Z"), at("2026-03-03T03:10:00Z")]);
    }

    #[test]
    fn shares_of_a_jitter_are_spread_and_stay() {
        let hour = Duration::from_secs(3600);
        let share = |machine: usize| share_of(hour, &format!("{machine:032x}"), "nightly").as_secs();
        assert_eq!(share(1), share(1));
        let mut quarters = [0; 4];
        for machine in 0..1000 {
            assert!(share(machine) <= 3600);
            quarters[usize::try_from(share(machine) / 901).unwrap()] += 1;
        }
        assert!(quarters.iter().all(|count| (150..350).contains(count)), "{quarters:?}");
        assert_eq!(share_of(Duration::ZERO, "a", "b"), Duration::ZERO);
    }
}
