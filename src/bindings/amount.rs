//! Amounts of the host as scripts and tables have them: bytes as numbers, ages in words.

use std::time::Duration;

use jiff::Timestamp;
use rhai::INT;

const UNITS: [(&str, u64); 7] = [
    ("year", 365 * 86_400),
    ("month", 30 * 86_400),
    ("week", 7 * 86_400),
    ("day", 86_400),
    ("hour", 3_600),
    ("minute", 60),
    ("second", 1),
];

/// A number of bytes as a script's number.
pub fn bytes(count: u64) -> INT {
    INT::try_from(count).unwrap_or(INT::MAX)
}

/// How long ago a time was, in whole numbers of the largest unit that fits twice, so that no age is off by half.
pub fn ago(then: Timestamp) -> String {
    let age = Duration::try_from(Timestamp::now().duration_since(then)).unwrap_or_default();
    format!("{} ago", span(age))
}

/// A span in whole numbers of the largest unit that fits twice.
pub fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    match UNITS.iter().find(|(_, unit)| seconds >= 2 * unit) {
        Some((name, unit)) => format!("{} {name}s", seconds / unit),
        None if seconds == 1 => "1 second".to_owned(),
        None => "less than a second".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_unit_that_fits_twice_is_told() {
        for (seconds, text) in [
            (0, "less than a second"),
            (1, "1 second"),
            (119, "119 seconds"),
            (120, "2 minutes"),
            (7_199, "119 minutes"),
            (172_800, "2 days"),
            (3 * 365 * 86_400, "3 years"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_time_to_come_is_now() {
        let later = Timestamp::now() + Duration::from_secs(3_600);
        assert_eq!(ago(later), "less than a second ago");
    }
}
