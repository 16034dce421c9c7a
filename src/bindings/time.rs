//! `time::` and `Time`: points in time, compared and printed.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rhai::export_module;

use super::object::Object;
use crate::error::{Error, Result};

/// A point in time, to the nanosecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(Timestamp);

impl Time {
    /// Now.
    pub fn now() -> Time {
        Time(Timestamp::now())
    }

    /// A point in time of the library of dates.
    pub fn new(timestamp: Timestamp) -> Time {
        Time(timestamp)
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    pub fn from_unix(seconds: i64) -> Result<Time> {
        Timestamp::from_second(seconds)
            .map(Time)
            .map_err(|cause| out_of_range(&cause))
    }

    /// What RFC 3339 calls a date-time; a date alone is its midnight, in UTC where no zone is given.
    pub fn parse(text: &str) -> Result<Time> {
        let exact = text.parse::<Timestamp>().ok();
        let local = || text.parse::<jiff::civil::DateTime>().ok()?.to_zoned(TimeZone::UTC).ok();
        exact.or_else(|| Some(local()?.timestamp())).map(Time).ok_or_else(|| {
            Error::invalid(format!("`{}` is not a time", text.escape_debug()))
                .target(text)
                .hint("a time is written as `2026-03-01T12:00:00Z` or `2026-03-01`")
        })
    }

    /// The point in time as the library of dates understands it.
    pub fn timestamp(self) -> Timestamp {
        self.0
    }
}

fn out_of_range(cause: &jiff::Error) -> Error {
    Error::invalid(format!("the time is out of range: {cause}"))
}

/// Text by a `strftime` format, in a zone.
fn format_in(time: Time, format: &str, zone: &str) -> Result<String> {
    let zone = TimeZone::get(zone).map_err(|_| {
        let error = Error::not_found(format!("there is no time zone `{}`", zone.escape_debug())).target(zone);
        error.hint("a zone is named as in the IANA database, such as `Europe/Berlin` or `UTC`")
    })?;
    let zoned = time.0.to_zoned(zone);
    jiff::fmt::strtime::format(format, &zoned).map_err(|cause| {
        let error = Error::invalid(format!("`{}` is not a format of times: {cause}", format.escape_debug()));
        error.hint("formats are those of `strftime`, such as `%Y-%m-%d %H:%M`")
    })
}

impl Object for Time {
    const NAME: &'static str = "Time";
    const COLUMNS: &'static [&'static str] = &["TIME"];

    fn text(&self) -> String {
        self.0.to_string()
    }

    fn cells(&self) -> Vec<String> {
        vec![self.text()]
    }

    fn json(&self) -> serde_json::Value {
        self.text().into()
    }
}

/// Points in time: now, from text, from a number.
#[export_module(manifest)]
pub mod functions {
    use super::Time;
    use crate::bindings::prelude::*;

    /// The present time.
    ///
    /// ```rhai
    /// assert::ok(time::now() > time::parse("2026-01-01"));
    /// ```
    pub fn now() -> Time {
        Time::now()
    }

    /// Reads a time such as `2026-03-01T12:00:00Z`; a date alone is midnight UTC.
    ///
    /// Throws `invalid` when the text is not a time.
    ///
    /// ```rhai
    /// assert::eq(time::parse("2026-03-01T12:30:00+02:00").hour, 10);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn parse(ctx: NativeCallContext, text: &str) -> Scripted<Time> {
        native(&ctx, |_| Time::parse(text))
    }

    /// The time so many seconds after 1970-01-01T00:00:00Z.
    ///
    /// ```rhai
    /// assert::eq(time::from_unix(0).to_string(), "1970-01-01T00:00:00Z");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn from_unix(ctx: NativeCallContext, seconds: INT) -> Scripted<Time> {
        native(&ctx, |_| Time::from_unix(seconds))
    }
}

fn utc(time: &Time) -> jiff::Zoned {
    time.timestamp().to_zoned(TimeZone::UTC)
}

/// The parts of a time, and calculating with it.
#[export_module(manifest)]
pub mod methods {
    use super::{Time, format_in, out_of_range, utc};
    use crate::bindings::duration::Duration;
    use crate::bindings::prelude::*;

    /// Seconds since 1970-01-01T00:00:00Z.
    ///
    /// ```rhai
    /// assert::eq(time::from_unix(86400).unix, 86400);
    /// ```
    #[rhai_fn(get = "unix", pure)]
    pub fn unix(this: &mut Time) -> INT {
        this.timestamp().as_second()
    }

    /// The year, in UTC.
    ///
    /// ```rhai
    /// assert::eq(time::parse("2026-03-01").year, 2026);
    /// ```
    #[rhai_fn(get = "year", pure)]
    pub fn year(this: &mut Time) -> INT {
        utc(this).year().into()
    }

    /// The month from 1 to 12, in UTC.
    ///
    /// ```rhai
    /// assert::eq(time::parse("2026-03-01").month, 3);
    /// ```
    #[rhai_fn(get = "month", pure)]
    pub fn month(this: &mut Time) -> INT {
        utc(this).month().into()
    }

    /// The day of the month from 1 to 31, in UTC.
    ///
    /// ```rhai
    /// assert::eq(time::parse("2026-03-09").day, 9);
    /// ```
    #[rhai_fn(get = "day", pure)]
    pub fn day(this: &mut Time) -> INT {
        utc(this).day().into()
    }

    /// The day of the week from 1 (Monday) to 7, in UTC.
    ///
    /// ```rhai
    /// assert::eq(time::parse("2026-03-01").weekday, 7);
    /// ```
    #[rhai_fn(get = "weekday", pure)]
    pub fn weekday(this: &mut Time) -> INT {
        utc(this).weekday().to_monday_one_offset().into()
    }

    /// The hour from 0 to 23, in UTC.
    ///
    /// ```rhai
    /// assert::eq(time::parse("2026-03-01T23:00:00Z").hour, 23);
    /// ```
    #[rhai_fn(get = "hour", pure)]
    pub fn hour(this: &mut Time) -> INT {
        utc(this).hour().into()
    }

    /// The minute from 0 to 59.
    ///
    /// ```rhai
    /// assert::eq(time::parse("2026-03-01T23:59:00Z").minute, 59);
    /// ```
    #[rhai_fn(get = "minute", pure)]
    pub fn minute(this: &mut Time) -> INT {
        utc(this).minute().into()
    }

    /// The second from 0 to 59.
    ///
    /// ```rhai
    /// assert::eq(time::parse("2026-03-01T23:59:58Z").second, 58);
    /// ```
    #[rhai_fn(get = "second", pure)]
    pub fn second(this: &mut Time) -> INT {
        utc(this).second().into()
    }

    /// How long ago it was; negative for a time to come.
    ///
    /// ```rhai
    /// assert::ok((time::now() - 2.hours).age >= 2.hours);
    /// ```
    #[rhai_fn(get = "age", pure)]
    pub fn age(this: &mut Time) -> Duration {
        Time::now().timestamp().duration_since(this.timestamp()).into()
    }

    /// Text by a `strftime` format, in UTC.
    ///
    /// ```rhai
    /// assert::eq(time::parse("2026-03-01").format("%d.%m.%Y"), "01.03.2026");
    /// ```
    #[rhai_fn(name = "format", return_raw, pure)]
    pub fn format(ctx: NativeCallContext, this: &mut Time, format: &str) -> Scripted<String> {
        native(&ctx, |_| format_in(*this, format, "UTC"))
    }

    /// Text by a `strftime` format, in a zone such as `Europe/Berlin`.
    ///
    /// Throws `not_found` when there is no such zone.
    ///
    /// ```rhai
    /// assert::eq(time::parse("2026-07-01").format("%H:%M", "Europe/Berlin"), "02:00");
    /// ```
    #[rhai_fn(name = "format", return_raw, pure)]
    pub fn format_zone(ctx: NativeCallContext, this: &mut Time, format: &str, zone: &str) -> Scripted<String> {
        native(&ctx, |_| format_in(*this, format, zone))
    }

    /// How long after the right one the left one is.
    #[rhai_fn(name = "-")]
    pub fn difference(left: Time, right: Time) -> Duration {
        left.timestamp().duration_since(right.timestamp()).into()
    }

    /// A time so much later.
    #[rhai_fn(name = "+", return_raw)]
    pub fn later(ctx: NativeCallContext, left: Time, right: Duration) -> Scripted<Time> {
        native(&ctx, |_| {
            Ok(Time::new(
                left.timestamp()
                    .checked_add(right.signed())
                    .map_err(|cause| out_of_range(&cause))?,
            ))
        })
    }

    /// A time so much earlier.
    #[rhai_fn(name = "-", return_raw)]
    pub fn earlier(ctx: NativeCallContext, left: Time, right: Duration) -> Scripted<Time> {
        native(&ctx, |_| {
            Ok(Time::new(
                left.timestamp()
                    .checked_sub(right.signed())
                    .map_err(|cause| out_of_range(&cause))?,
            ))
        })
    }

    /// Whether the left one is earlier.
    #[rhai_fn(name = "<")]
    pub fn before(left: Time, right: Time) -> bool {
        left < right
    }

    /// Whether the left one is not later.
    #[rhai_fn(name = "<=")]
    pub fn not_after(left: Time, right: Time) -> bool {
        left <= right
    }

    /// Whether the left one is later.
    #[rhai_fn(name = ">")]
    pub fn after(left: Time, right: Time) -> bool {
        left > right
    }

    /// Whether the left one is not earlier.
    #[rhai_fn(name = ">=")]
    pub fn not_before(left: Time, right: Time) -> bool {
        left >= right
    }
}
