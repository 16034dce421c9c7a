//! Spans and points of time as options accept them.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{format_duration, parse_duration};
use crate::error::{Error, Result};

/// A length of time in options: text such as `7d`, or a number of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeSpan(pub Duration);

impl<'de> Deserialize<'de> for TimeSpan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<TimeSpan, D::Error> {
        #[derive(Deserialize)]
        #[serde(
            untagged,
            expecting = "expected a duration: text such as `7d`, or a number of seconds"
        )]
        enum Form {
            Seconds(u64),
            Fraction(f64),
            Text(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Seconds(seconds) => Ok(TimeSpan(Duration::from_secs(seconds))),
            Form::Fraction(seconds) => Duration::try_from_secs_f64(seconds)
                .map(TimeSpan)
                .map_err(serde::de::Error::custom),
            Form::Text(text) => parse_duration(&text).map(TimeSpan).map_err(serde::de::Error::custom),
        }
    }
}

impl Serialize for TimeSpan {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{}us", self.0.as_micros()))
    }
}

impl std::fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&format_duration(self.0))
    }
}

/// A point in time in options: an age (`7d` is a week ago), or a time in RFC 3339 form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// So long before now.
    Ago(TimeSpan),
    /// At this time.
    At(Timestamp),
}

impl Moment {
    /// The point in time this means now.
    pub fn resolve(self, now: Timestamp) -> Timestamp {
        match self {
            Moment::At(time) => time,
            Moment::Ago(span) => {
                let span = jiff::SignedDuration::try_from(span.0).unwrap_or(jiff::SignedDuration::MAX);
                now.checked_sub(span).unwrap_or(Timestamp::MIN)
            }
        }
    }
}

impl std::str::FromStr for Moment {
    type Err = Error;

    fn from_str(text: &str) -> Result<Moment> {
        if let Ok(span) = parse_duration(text) {
            return Ok(Moment::Ago(TimeSpan(span)));
        }
        text.parse::<Timestamp>().map(Moment::At).map_err(|_| {
            Error::invalid(format!("`{}` is neither an age nor a time", text.escape_debug()))
                .hint("an age is such as `7d` or `1h30m`, a time such as `2026-01-31T12:00:00Z`")
        })
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Moment, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected an age such as `7d`, or a time")]
        enum Form {
            Seconds(u64),
            Text(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Seconds(seconds) => Ok(Moment::Ago(TimeSpan(Duration::from_secs(seconds)))),
            Form::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Moment::Ago(span) => write!(f, "{span}"),
            Moment::At(time) => write!(f, "{time}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_accept_text_and_numbers() {
        let parse = |json: &str| serde_json::from_str::<TimeSpan>(json).map(|span| span.0);
        assert_eq!(parse("\"1h30m\"").unwrap(), Duration::from_secs(5400));
        assert_eq!(parse("30").unwrap(), Duration::from_secs(30));
        assert_eq!(parse("0.5").unwrap(), Duration::from_millis(500));
        assert!(parse("-1").is_err());
        let span = TimeSpan(Duration::from_millis(1500));
        assert_eq!(parse(&serde_json::to_string(&span).unwrap()).unwrap(), span.0);
    }

    #[test]
    fn an_age_counts_back_from_now() {
        let now: Timestamp = "2026-01-08T00:00:00Z".parse().unwrap();
        let week: Moment = "7d".parse().unwrap();
        assert_eq!(week.resolve(now).to_string(), "2026-01-01T00:00:00Z");
        let at: Moment = "2026-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(at.resolve(now), week.resolve(now));
        assert!("yesterday".parse::<Moment>().is_err());
    }
}
