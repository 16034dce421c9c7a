//! Which failures are worth another try, and how long to wait before it.

use std::time::Duration;

use jiff::Timestamp;

/// How often something is tried, and how long it rests in between.
#[derive(Debug, Clone)]
pub struct Retry {
    /// Tries in all; at least one is made.
    pub tries: u32,
    /// Before the second try. It doubles with each, up to `longest`, and chance takes up to half of it.
    pub first: Duration,
    /// The longest rest, and the longest that a server may ask for; one that asks for more is believed, and not asked again.
    pub longest: Duration,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry {
            tries: 5,
            first: Duration::from_millis(500),
            longest: Duration::from_secs(60),
        }
    }
}

impl Retry {
    /// How long to rest after this many tries; `None` to give up.
    pub fn rest(&self, tried: u32, asked: Option<Duration>) -> Option<Duration> {
        if tried >= self.tries || asked.is_some_and(|asked| asked > self.longest) {
            return None;
        }
        let doubled = self
            .first
            .saturating_mul(1 << (tried.max(1) - 1).min(16))
            .min(self.longest);
        // Many that failed together are not to come back together.
        let chance = f64::from(getrandom::u32().unwrap_or(0)) / f64::from(u32::MAX);
        Some(asked.unwrap_or_default().max(doubled.mul_f64(1.0 - chance / 2.0)))
    }
}

/// Whether a server that answers so may answer otherwise soon.
pub fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

/// What the header `Retry-After` asks for: seconds, or a date (RFC 9110, 10.2.3).
pub fn retry_after(header: &str, now: Timestamp) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let then = jiff::fmt::rfc2822::parse(header).ok()?.timestamp();
    Some(Duration::try_from(then.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r36_servers_ask_for_seconds_or_name_a_date() {
        let now: Timestamp = "1994-11-06T08:49:30Z".parse().unwrap();
        for (header, seconds) in [
            ("7", Some(7)),
            (" 120 ", Some(120)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(7)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(retry_after(header, now), seconds.map(Duration::from_secs), "{header}");
        }
    }

    #[test]
    fn r36_rests_grow_differ_and_end() {
        let retry = Retry {
            tries: 4,
            first: Duration::from_secs(1),
            longest: Duration::from_secs(3),
        };
        for (tried, most) in [(1, 1), (2, 2), (3, 3)] {
            let rest = retry.rest(tried, None).unwrap();
            assert!(
                rest <= Duration::from_secs(most) && rest >= Duration::from_secs(most) / 2,
                "{rest:?}"
            );
        }
        assert_eq!(retry.rest(4, None), None);
        assert_eq!(
            retry.rest(1, Some(Duration::from_secs(3))),
            Some(Duration::from_secs(3))
        );
        assert_eq!(retry.rest(1, Some(Duration::from_secs(4))), None);
    }
}
