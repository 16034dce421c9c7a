//! Whose turn it is among tasks that run side by side: in order, and no more than so many at one host.

use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The tasks that are still to be begun.
pub(super) struct Turns {
    /// How many tasks of one crowd may be under way.
    most: usize,
    crowds: Mutex<Vec<Crowd>>,
    changed: Condvar,
}

/// Tasks at one host, or those that are at none.
#[derive(Default)]
struct Crowd {
    is_limited: bool,
    waiting: VecDeque<usize>,
    busy: usize,
}

/// A task that was begun; it is over when this is dropped.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    crowd: usize,
    /// The number of the task.
    pub(super) number: usize,
}

impl Turns {
    /// So many tasks, each whenever somebody is free.
    pub(super) fn new(count: usize) -> Turns {
        let all = Crowd {
            waiting: (0..count).collect(),
            ..Crowd::default()
        };
        Turns {
            most: usize::MAX,
            crowds: Mutex::new(vec![all]),
            changed: Condvar::new(),
        }
    }

    /// Tasks of which no more than `most` are to be under way at one of the hosts, which are told task by task.
    pub(super) fn at_hosts(most: usize, hosts: impl Iterator<Item = Option<String>>) -> Turns {
        let (mut crowds, mut places) = (Vec::new(), HashMap::new());
        for (number, host) in hosts.enumerate() {
            let is_limited = host.is_some();
            let place = *places.entry(host).or_insert_with(|| {
                crowds.push(Crowd {
                    is_limited,
                    ..Crowd::default()
                });
                crowds.len() - 1
            });
            crowds[place].waiting.push_back(number);
        }
        Turns {
            most,
            crowds: Mutex::new(crowds),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Crowd>> {
        self.crowds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next task, as soon as there is one that may begin; `None` when all have.
    pub(super) fn take(&self) -> Option<Turn<'_>> {
        let mut crowds = self.lock();
        loop {
            let may_begin = |crowd: &Crowd| !crowd.is_limited || crowd.busy < self.most;
            let open = crowds.iter().enumerate().filter(|(_, crowd)| may_begin(crowd));
            let next = open.filter_map(|(at, crowd)| Some((*crowd.waiting.front()?, at))).min();
            if let Some((number, crowd)) = next {
                crowds[crowd].waiting.pop_front();
                crowds[crowd].busy += 1;
                return Some(Turn {
                    turns: self,
                    crowd,
                    number,
                });
            }
            if crowds.iter().all(|crowd| crowd.waiting.is_empty()) {
                return None;
            }
            crowds = self.changed.wait(crowds).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut crowds = self.turns.lock();
        crowds[self.crowd].busy -= 1;
        if crowds[self.crowd].is_limited {
            self.turns.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_come_in_order_but_not_too_many_of_one_host() {
        let hosts = ["a", "a", "a", "b", ""].map(|host| (!host.is_empty()).then(|| host.to_owned()));
        let turns = Turns::at_hosts(2, hosts.into_iter());
        let begun: Vec<Turn<'_>> = (0..4).map_while(|_| turns.take()).collect();
        assert_eq!(begun.iter().map(|turn| turn.number).collect::<Vec<_>>(), [0, 1, 3, 4]);
        // The fifth has to wait for one of the first two.
        std::thread::scope(|threads| {
            let fifth = threads.spawn(|| turns.take().map(|turn| turn.number));
            drop(begun);
            assert_eq!(fifth.join().unwrap(), Some(2));
        });
        assert!(turns.take().is_none());
    }

    #[test]
    fn without_hosts_all_may_begin() {
        let turns = Turns::new(3);
        let begun: Vec<Turn<'_>> = std::iter::from_fn(|| turns.take()).collect();
        assert_eq!(begun.iter().map(|turn| turn.number).collect::<Vec<_>>(), [0, 1, 2]);
    }
}
