//! Durations as people write them: `30s`, `1h30m`, `7d`, `2w`.

use std::time::Duration;

use crate::error::{Error, Result};

const UNITS: [(&str, u64); 7] = [
    ("w", 7 * 86_400_000_000),
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

/// Parses numbers with units, largest first or not: `1h30m`, `1.5h`, `500ms`. A bare number is seconds.
pub fn parse_duration(text: &str) -> Result<Duration> {
    let invalid = || {
        Error::invalid(format!("`{}` is not a duration", text.escape_debug()))
            .hint("a duration is numbers with units `w d h m s ms us`, such as `7d`, `1h30m` or `500ms`")
    };
    let mut rest = text.trim();
    if let Ok(seconds) = rest.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    let mut micros = 0f64;
    if rest.is_empty() {
        return Err(invalid());
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(invalid)?;
        let number: f64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let (_, unit) = UNITS
            .iter()
            .find(|(name, _)| *name == &rest[..letters])
            .ok_or_else(invalid)?;
        micros += number * *unit as f64;
        rest = rest[letters..].trim_start();
    }
    if micros >= i64::MAX as f64 {
        return Err(invalid());
    }
    Ok(Duration::from_micros(micros.round() as u64))
}

/// Prints the two largest units that matter: `1h30m`, `7d`, `2.5s`, `12ms`.
pub fn format_duration(duration: Duration) -> String {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let seconds = micros / 1_000_000;
    match micros {
        0 => "0s".to_owned(),
        1..1_000 => format!("{micros}us"),
        1_000..1_000_000 => format!("{}ms", micros / 1_000),
        1_000_000..60_000_000 if micros % 1_000_000 >= 100_000 => format!("{:.1}s", micros as f64 / 1e6),
        _ => {
            let parts = [
                (seconds / 86_400, "d"),
                (seconds / 3_600 % 24, "h"),
                (seconds / 60 % 60, "m"),
                (seconds % 60, "s"),
            ];
            let first = parts.iter().position(|(n, _)| *n > 0).unwrap_or(3);
            let shown = parts[first..].iter().take(2).filter(|(n, _)| *n > 0);
            shown.map(|(n, unit)| format!("{n}{unit}")).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_people_write() {
        for (text, millis) in [
            ("30", 30_000),
            ("30s", 30_000),
            ("1h30m", 5_400_000),
            ("7d", 604_800_000),
            ("1.5h", 5_400_000),
            ("500ms", 500),
            ("1m 5s", 65_000),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text).unwrap(), Duration::from_millis(millis), "{text}");
        }
        for text in [
            "",
            "h",
            "1x",
            "-1s",
            "1h30",
            "1..5h",
            "5 minutes ago",
            "99999999999999999999d",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn prints_two_units() {
        for (millis, text) in [
            (0, "0s"),
            (12, "12ms"),
            (2_500, "2.5s"),
            (3_000, "3s"),
            (5_400_000, "1h30m"),
            (604_800_000, "7d"),
            (90_061_000, "1d1h"),
        ] {
            assert_eq!(format_duration(Duration::from_millis(millis)), text);
        }
    }
}
