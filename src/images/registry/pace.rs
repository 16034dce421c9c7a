//! How fast something comes or goes: a transfer that drips is worth no more than one that stands still.

use std::time::Duration;

use crate::config::Limits;

/// What moved in the current window.
pub(super) struct Pace {
    /// Bytes a second that must move; none, if it is 0.
    rate: u64,
    window: Duration,
    waited: Duration,
    moved: u64,
}

impl Pace {
    /// A new one, by `transfer_rate` and `transfer_window`.
    pub(super) fn new(limits: &Limits) -> Pace {
        Pace {
            rate: limits.transfer_rate,
            window: Duration::from_secs(limits.transfer_window.max(1)),
            waited: Duration::ZERO,
            moved: 0,
        }
    }

    /// So long the other side was waited for, and this came of it.
    pub(super) fn count(&mut self, waited: Duration, moved: u64) {
        self.waited += waited;
        self.moved += moved;
    }

    /// How long to wait until a look is due.
    pub(super) fn left(&self) -> Duration {
        match self.rate {
            0 => Duration::MAX,
            _ => self.window.saturating_sub(self.waited),
        }
    }

    /// The rate that a whole window did not come to; the next window begins.
    pub(super) fn is_slow(&mut self) -> Option<u64> {
        if self.rate == 0 || self.waited < self.window {
            return None;
        }
        let needed = u128::from(self.rate) * self.waited.as_millis() / 1000;
        let is_slow = u128::from(self.moved) < needed;
        (self.waited, self.moved) = (Duration::ZERO, 0);
        is_slow.then_some(self.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(rate: u64, window: u64) -> Pace {
        Pace::new(&Limits {
            transfer_rate: rate,
            transfer_window: window,
            ..Limits::default()
        })
    }

    #[test]
    fn what_is_slower_than_that_for_a_window_is_slow() {
        let second = Duration::from_secs(1);
        let mut steady = pace(100, 3);
        for _ in 0..10 {
            steady.count(second, 100);
            assert_eq!(steady.is_slow(), None);
        }
        // One burst makes up for a pause in its window, and for none in the next.
        let mut burst = pace(100, 3);
        let slow = [300, 0, 0, 0, 299, 0].map(|moved| {
            burst.count(second, moved);
            burst.is_slow()
        });
        assert_eq!(slow, [None, None, None, None, None, Some(100)]);
        let mut any = pace(0, 3);
        any.count(second * 1000, 0);
        assert_eq!((any.is_slow(), any.left()), (None, Duration::MAX));
    }

    #[test]
    fn a_look_is_due_at_the_end_of_the_window() {
        let mut pace = pace(1, 3);
        pace.count(Duration::from_secs(2), 5);
        assert_eq!(pace.left(), Duration::from_secs(1));
        pace.count(Duration::from_secs(2), 5);
        assert_eq!((pace.left(), pace.is_slow()), (Duration::ZERO, None));
        assert_eq!(pace.left(), Duration::from_secs(3));
    }
}
