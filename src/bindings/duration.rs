//! `Duration`: an amount of time, printed and parsed as people write it.

use std::fmt;

use jiff::SignedDuration;
use rhai::{Dynamic, export_module};
use serde::de::{Deserialize, Deserializer, Visitor};

use super::object::Object;
use super::value::type_phrase;
use crate::error::{Error, Result};
use crate::model::{format_duration, parse_duration};

/// An amount of time, possibly negative, exact to the microsecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(i64);

impl Duration {
    /// The given number of microseconds.
    pub fn from_micros(micros: i64) -> Duration {
        Duration(micros)
    }

    /// A number of units, each of so many microseconds; what does not fit stops at the largest.
    pub fn of_units(count: f64, unit_micros: f64) -> Duration {
        Duration((count * unit_micros).round() as i64)
    }

    /// What a person wrote: `1h30m`, `500ms`, `7d`.
    pub fn parse(text: &str) -> Result<Duration> {
        Ok(parse_duration(text)?.into())
    }

    /// The amount in microseconds.
    pub fn micros(self) -> i64 {
        self.0
    }

    /// As the clock understands it; a negative amount is an error.
    pub fn to_std(self) -> Result<std::time::Duration> {
        let micros = u64::try_from(self.0)
            .map_err(|_| Error::invalid(format!("a wait cannot be negative, got `{}`", self.text())))?;
        Ok(std::time::Duration::from_micros(micros))
    }

    /// As text that loses nothing and parses back: `5400000000us`.
    pub fn exact(self) -> String {
        format!("{}us", self.0)
    }

    /// As the library of dates understands it.
    pub fn signed(self) -> SignedDuration {
        SignedDuration::from_micros(self.0)
    }
}

/// A duration as scripts may give it: a `Duration`, text, or a number of seconds.
pub fn from_value(value: &Dynamic) -> Result<Duration> {
    if let Some(duration) = value.read_lock::<Duration>() {
        return Ok(*duration);
    }
    match (value.as_int(), value.as_float(), value.as_immutable_string_ref()) {
        (Ok(seconds), ..) => Ok(Duration::of_units(seconds as f64, 1e6)),
        (_, Ok(seconds), _) => Ok(Duration::of_units(seconds, 1e6)),
        (.., Ok(text)) => Duration::parse(&text),
        _ => Err(Error::invalid(format!(
            "expected {EXPECTED}, got {}",
            type_phrase(value)
        ))),
    }
}

const EXPECTED: &str = "a duration, such as `30.seconds` or `\"1h30m\"`";

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Duration, D::Error> {
        struct Words;
        impl Visitor<'_> for Words {
            type Value = Duration;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED)
            }
            fn visit_i64<E: serde::de::Error>(self, seconds: i64) -> std::result::Result<Duration, E> {
                Ok(Duration::of_units(seconds as f64, 1e6))
            }
            fn visit_f64<E: serde::de::Error>(self, seconds: f64) -> std::result::Result<Duration, E> {
                Ok(Duration::of_units(seconds, 1e6))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> std::result::Result<Duration, E> {
                Duration::parse(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Words)
    }
}

impl From<std::time::Duration> for Duration {
    fn from(duration: std::time::Duration) -> Duration {
        Duration(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
    }
}

impl From<SignedDuration> for Duration {
    fn from(duration: SignedDuration) -> Duration {
        let limit = if duration.is_negative() { i64::MIN } else { i64::MAX };
        Duration(i64::try_from(duration.as_micros()).unwrap_or(limit))
    }
}

impl Object for Duration {
    const NAME: &'static str = "Duration";
    const COLUMNS: &'static [&'static str] = &["DURATION"];

    fn text(&self) -> String {
        let sign = if self.0 < 0 { "-" } else { "" };
        let amount = std::time::Duration::from_micros(self.0.unsigned_abs());
        format!("{sign}{}", format_duration(amount))
    }

    fn cells(&self) -> Vec<String> {
        vec![self.text()]
    }

    fn json(&self) -> serde_json::Value {
        (self.0 as f64 / 1e6).into()
    }
}

/// Amounts of time and how to calculate with them.
#[export_module(manifest)]
pub mod functions {
    use super::Duration;
    use crate::bindings::prelude::*;

    /// Makes a duration from text such as `1h30m`, `500ms` or `7d`.
    ///
    /// Throws `invalid` when the text is not a duration.
    ///
    /// ```rhai
    /// assert::eq(duration("1h30m"), 90.minutes);
    /// assert::eq(duration("1h30m").minutes, 90.0);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn duration(ctx: NativeCallContext, text: &str) -> Scripted<Duration> {
        native(&ctx, |_| Duration::parse(text))
    }

    /// The length in days.
    ///
    /// ```rhai
    /// assert::eq(36.hours.days, 1.5);
    /// ```
    #[rhai_fn(get = "days", pure)]
    pub fn days(this: &mut Duration) -> FLOAT {
        this.micros() as f64 / 86_400e6
    }

    /// The length in hours.
    ///
    /// ```rhai
    /// assert::eq(90.minutes.hours, 1.5);
    /// ```
    #[rhai_fn(get = "hours", pure)]
    pub fn hours(this: &mut Duration) -> FLOAT {
        this.micros() as f64 / 3_600e6
    }

    /// The length in minutes.
    ///
    /// ```rhai
    /// assert::eq(90.seconds.minutes, 1.5);
    /// ```
    #[rhai_fn(get = "minutes", pure)]
    pub fn minutes(this: &mut Duration) -> FLOAT {
        this.micros() as f64 / 60e6
    }

    /// The length in seconds.
    ///
    /// ```rhai
    /// assert::eq(2.minutes.seconds, 120.0);
    /// ```
    #[rhai_fn(get = "seconds", pure)]
    pub fn seconds(this: &mut Duration) -> FLOAT {
        this.micros() as f64 / 1e6
    }

    /// The length in whole milliseconds.
    ///
    /// ```rhai
    /// assert::eq(2.seconds.millis, 2000);
    /// ```
    #[rhai_fn(get = "millis", pure)]
    pub fn millis(this: &mut Duration) -> INT {
        this.micros() / 1_000
    }

    /// The length in whole microseconds.
    ///
    /// ```rhai
    /// assert::eq(2.millis.micros, 2000);
    /// ```
    #[rhai_fn(get = "micros", pure)]
    pub fn micros(this: &mut Duration) -> INT {
        this.micros()
    }

    /// The length without its sign.
    ///
    /// ```rhai
    /// assert::eq((1.hours - 2.hours).abs(), 1.hours);
    /// ```
    #[rhai_fn(pure)]
    pub fn abs(this: &mut Duration) -> Duration {
        Duration::from_micros(this.micros().saturating_abs())
    }

    /// The sum.
    #[rhai_fn(name = "+")]
    pub fn add(left: Duration, right: Duration) -> Duration {
        Duration::from_micros(left.micros().saturating_add(right.micros()))
    }

    /// The difference, which may be negative.
    #[rhai_fn(name = "-")]
    pub fn subtract(left: Duration, right: Duration) -> Duration {
        Duration::from_micros(left.micros().saturating_sub(right.micros()))
    }

    /// The same length the other way.
    #[rhai_fn(name = "-")]
    pub fn negate(value: Duration) -> Duration {
        Duration::from_micros(value.micros().saturating_neg())
    }

    /// So many times as long.
    #[rhai_fn(name = "*")]
    pub fn times(left: Duration, right: INT) -> Duration {
        Duration::from_micros(left.micros().saturating_mul(right))
    }

    /// So many times as long.
    #[rhai_fn(name = "*")]
    pub fn times_float(left: Duration, right: FLOAT) -> Duration {
        Duration::of_units(left.micros() as f64, right)
    }

    /// One of so many equal parts.
    #[rhai_fn(name = "/", return_raw)]
    pub fn divided(ctx: NativeCallContext, left: Duration, right: INT) -> Scripted<Duration> {
        native(&ctx, |_| {
            let micros = left.micros().checked_div(right);
            micros
                .map(Duration::from_micros)
                .ok_or_else(|| Error::invalid("a duration cannot be divided by zero"))
        })
    }

    /// How many times the right one fits into the left one.
    #[rhai_fn(name = "/")]
    pub fn ratio(left: Duration, right: Duration) -> FLOAT {
        left.micros() as f64 / right.micros() as f64
    }

    /// Whether the left one is shorter.
    #[rhai_fn(name = "<")]
    pub fn less(left: Duration, right: Duration) -> bool {
        left < right
    }

    /// Whether the left one is not longer.
    #[rhai_fn(name = "<=")]
    pub fn at_most(left: Duration, right: Duration) -> bool {
        left <= right
    }

    /// Whether the left one is longer.
    #[rhai_fn(name = ">")]
    pub fn greater(left: Duration, right: Duration) -> bool {
        left > right
    }

    /// Whether the left one is not shorter.
    #[rhai_fn(name = ">=")]
    pub fn at_least(left: Duration, right: Duration) -> bool {
        left >= right
    }
}
