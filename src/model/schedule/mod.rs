//! When something is to be done: five fields of cron, `@every 6h`, or a calendar event of systemd, in a time zone.

mod calendar;
mod cron;
mod due;
mod timer;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan, Unit};

use crate::error::{Error, Result};
use crate::model::{format_duration, parse_duration};
use calendar::Calendar;
use cron::Cron;

pub use due::{Due, Missed, Slot, Timetable, share_of};

/// The shortest time between two runs that `@every` takes.
const LEAST: u64 = 1;

/// A schedule.
#[derive(Debug, Clone)]
pub struct Schedule {
    text: String,
    form: Form,
    zone: TimeZone,
}

#[derive(Debug, Clone)]
enum Form {
    Cron(Cron),
    Calendar(Calendar),
    /// Whole multiples of it since 1970, so that where it stands follows from the clock alone.
    Every(i64),
}

impl Schedule {
    /// Parses five fields of cron(5) or a nickname such as `@daily`, `@every 6h`, or a calendar event (systemd.time(7)), for a zone.
    ///
    /// Errors: `invalid`, with what was probably meant, also for what never comes, such as the 30th of February.
    pub fn parse(text: &str, zone: &TimeZone) -> Result<Schedule> {
        let text = text.trim();
        let fields = text.split_whitespace().count();
        let form = match text.strip_prefix("@every") {
            Some(span) => Form::Every(every(span)?),
            None if text.starts_with('@') || fields >= 5 => Form::Cron(Cron::parse(text)?),
            None => Form::Calendar(calendar_event(text)?),
        };
        let own = match &form {
            Form::Calendar(calendar) => calendar.zone.clone(),
            _ => None,
        };
        let schedule = Schedule {
            text: text.to_owned(),
            form,
            zone: own.unwrap_or_else(|| zone.clone()),
        };
        match schedule.next(Timestamp::from_second(0).expect("1970 is a time")) {
            Some(_) => Ok(schedule),
            None => Err(Error::invalid(format!("`{text}` never comes"))
                .hint("no such day or date exists: look at the days of the month")),
        }
    }

    /// The first time after `after`; `None` when there is none any more.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        match &self.form {
            Form::Every(seconds) => {
                let next = (after.as_second().div_euclid(*seconds) + 1) * seconds;
                Timestamp::from_second(next).ok()
            }
            Form::Cron(cron) => cron.next(after, &self.zone),
            Form::Calendar(calendar) => next_of(calendar, after, &self.zone),
        }
    }

    /// In English.
    pub fn words(&self) -> String {
        match &self.form {
            Form::Every(seconds) => {
                let span = std::time::Duration::from_secs(seconds.unsigned_abs());
                format!("every {}, counted from 1970 in UTC", format_duration(span))
            }
            Form::Cron(cron) => cron.words(),
            Form::Calendar(calendar) => calendar.words(),
        }
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The zone it is told in.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }
}

/// A time zone by its name of the time zone database. Errors: `invalid` if there is none of that name.
pub fn zone(name: &str) -> Result<TimeZone> {
    TimeZone::get(name).map_err(|_| {
        let error = Error::invalid(format!("there is no time zone `{name}`"));
        error.hint("a zone is named as in `Europe/Paris` or `UTC`")
    })
}

fn every(text: &str) -> Result<i64> {
    let span = parse_duration(text)?;
    let seconds = span.as_secs();
    if seconds < LEAST || span.subsec_nanos() > 0 {
        return Err(Error::invalid(format!(
            "`@every {}` is no number of whole seconds",
            text.trim()
        )));
    }
    i64::try_from(seconds).map_err(|_| Error::invalid(format!("`@every {}` is too long", text.trim())))
}

fn calendar_event(text: &str) -> Result<Calendar> {
    Calendar::parse(text).map_err(|error| match text.split_whitespace().count() {
        4 => Error::invalid(format!("`{text}` is neither five fields of cron nor a calendar event"))
            .hint("cron has minute, hour, day of the month, month and day of the week: `0 3 * * *`"),
        _ => error,
    })
}

/// The first time after `after`, as systemd takes it: what the clock passes over is left out, and what it shows twice counts once, the
/// first time.
fn next_of(calendar: &Calendar, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let mut from = after.to_zoned(zone.clone()).datetime().round(Unit::Second).ok()?;
    if from
        .to_zoned(zone.clone())
        .is_ok_and(|zoned| zoned.timestamp() <= after)
        || zone.to_ambiguous_zoned(from).is_ambiguous()
    {
        from = from.checked_sub(1.second()).ok()?;
    }
    loop {
        let wall = calendar.next(from)?;
        let candidate = zone.to_ambiguous_zoned(wall);
        let is_passed_over = matches!(candidate.offset(), jiff::tz::AmbiguousOffset::Gap { .. });
        if !is_passed_over {
            let time = candidate.earlier().ok()?.timestamp();
            if time > after {
                return Some(time);
            }
        }
        from = wall.checked_add(SignedDuration::from_secs(1)).ok()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(text: &str, name: &str) -> Schedule {
        Schedule::parse(text, &zone(name).unwrap()).unwrap()
    }

    /// The next times after one, in UTC.
    fn times(text: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let schedule = schedule(text, zone);
        let first = schedule.next(after.parse().unwrap());
        let all = std::iter::successors(first, |time| schedule.next(*time));
        all.take(count).map(|time| time.to_string()).collect()
    }

    #[test]
    fn cron_passes_over_no_night_and_runs_none_twice() {
        let spring = times("30 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", 2);
        assert_eq!(spring, ["2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"]);
        let autumn = times("30 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", 2);
        assert_eq!(autumn, ["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"]);
        let hourly = times("0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", 4);
        assert_eq!(
            hourly,
            [
                "2026-10-25T00:00:00Z",
                "2026-10-25T01:00:00Z",
                "2026-10-25T02:00:00Z",
                "2026-10-25T03:00:00Z"
            ]
        );
    }

    #[test]
    fn a_calendar_event_takes_the_clock_as_systemd_does() {
        let spring = times("02:30", "Europe/Berlin", "2026-03-28T12:00:00Z", 1);
        assert_eq!(spring, ["2026-03-30T00:30:00Z"]);
        let autumn = times("*:30", "Europe/Berlin", "2026-10-24T23:10:00Z", 3);
        assert_eq!(
            autumn,
            ["2026-10-24T23:30:00Z", "2026-10-25T00:30:00Z", "2026-10-25T02:30:00Z"]
        );
        // A zone of its own counts more.
        assert_eq!(
            times("Mon 12:00 UTC", "Asia/Tokyo", "2026-11-22T00:00:00Z", 1),
            ["2026-11-23T12:00:00Z"]
        );
        let last = times("*-*~7/1 06:00", "UTC", "2027-02-21T07:00:00Z", 2);
        assert_eq!(last, ["2027-02-22T06:00:00Z", "2027-02-23T06:00:00Z"]);
    }

    #[test]
    fn every_stands_where_the_clock_says() {
        let times = times("@every 6h", "Europe/Berlin", "2026-11-22T06:00:00Z", 2);
        assert_eq!(times, ["2026-11-22T12:00:00Z", "2026-11-22T18:00:00Z"]);
    }

    #[test]
    fn a_mistake_is_told_with_what_was_meant() {
        for (text, message, hint) in [
            (
                "* */15 * * * *",
                "has 6 fields",
                "there is no field for seconds: `*/15 * * * *`?",
            ),
            ("61 * * * *", "`61` is no minute in `61 * * * *`", "minutes are 0 to 59"),
            (
                "0 3 * * MONDAYS",
                "`MONDAYS` is no day of the week",
                "days of the week are",
            ),
            ("0 0 31 2 *", "`0 0 31 2 *` never comes", "no such day"),
            ("*-02-30", "`*-02-30` never comes", "no such day"),
            (
                "0 3 * *",
                "is neither five fields of cron nor a calendar event",
                "cron has minute",
            ),
            ("@reboot", "`@reboot` is no schedule", "`hoist system boot`"),
            ("@nightly", "`@nightly` is no schedule", "valid: @hourly"),
            ("@every 0s", "is no number of whole seconds", ""),
            ("Mon 25:00", "the hour `25` has 25, which is not within 0 to 23", ""),
            ("Sat..Mon", "end before they begin", "write `Sat,Sun,Mon`"),
            (
                "2:30 Europe/Pariss",
                "there is no time zone `Europe/Pariss`",
                "a zone is named as in",
            ),
            ("nightly", "`nightly` is neither a date nor a time", "a date is"),
            ("*-*-* 3:00:00.5", "is no whole one", ""),
            ("*-*-5..1", "ends before it begins", ""),
            ("*-*-*/0", "no step", ""),
            ("", "is no", ""),
        ] {
            let error = Schedule::parse(text, &TimeZone::UTC).unwrap_err();
            assert!(error.message().contains(message), "{text}: {error}");
            assert!(
                error.way_out().unwrap_or_default().contains(hint),
                "{text}: {:?}",
                error.way_out()
            );
        }
    }

    #[test]
    fn a_schedule_is_told_in_english() {
        for (text, words) in [
            ("0 3 * * *", "At 03:00"),
            ("@every 6h", "every 6h, counted from 1970 in UTC"),
            ("Mon..Wed 03:00", "at 03:00, on Monday, Tuesday, Wednesday"),
            ("*:30", "at minute 30 of every hour, every day"),
            ("*-*~1 2:5:7", "at 02:05:07, on day 1 from the end of the month"),
            (
                "2030-1,7-* 0/6:15",
                "at hour 0 and every 6 from there, minute 15, every day, in month 1, 7, in 2030",
            ),
        ] {
            assert_eq!(schedule(text, "UTC").words(), words, "{text}");
        }
    }
}
