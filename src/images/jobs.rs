//! The same work on many things, some at once.

use std::sync::{Mutex, PoisonError};

use crate::error::{Kind, Result};
use crate::model::Context;

/// Things worked on at once where each keeps threads of its own busy.
pub(crate) const FEW: usize = 2;

/// Does the work on all items, so many at once, and gives the results in their order; the first failure stops the rest and is what is told.
pub(crate) fn run<T: Send, R: Send>(
    ctx: &Context,
    at_once: usize,
    items: Vec<T>,
    work: impl Fn(&Context, T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let group = ctx.child();
    let jobs = at_once.min(items.len());
    let queue = Mutex::new(items.into_iter().enumerate());
    let worker = || {
        let mut done = Vec::new();
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((place, item)) = next else { return Ok(done) };
            done.push((place, work(&group, item).inspect_err(|_| group.cancel())?));
        }
    };
    if jobs == 1 {
        return in_order(ctx, vec![worker()]);
    }
    let results: Vec<Result<Vec<(usize, R)>>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(worker)).collect();
        let ended = workers
            .into_iter()
            .map(|worker| worker.join().expect("a worker does not panic"));
        ended.collect()
    });
    in_order(ctx, results)
}

/// All results, or the error that stopped the others rather than theirs.
fn in_order<R>(ctx: &Context, results: Vec<Result<Vec<(usize, R)>>>) -> Result<Vec<R>> {
    let (mut all, mut failures) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(done) => all.extend(done),
            Err(error) => failures.push(error),
        }
    }
    ctx.check()?;
    let cause = failures
        .iter()
        .position(|error| error.kind() != Kind::Cancelled)
        .unwrap_or(0);
    if !failures.is_empty() {
        return Err(failures.swap_remove(cause));
    }
    all.sort_by_key(|(place, _)| *place);
    Ok(all.into_iter().map(|(_, result)| result).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn results_keep_the_order_of_the_items() {
        let squares = run(&Context::new(), 2, (0..100).collect(), |_, n: u32| Ok(n * n)).unwrap();
        assert_eq!(squares, (0..100).map(|n| n * n).collect::<Vec<_>>());
    }

    #[test]
    fn the_first_failure_stops_the_rest_and_is_told() {
        let error = run(&Context::new(), 2, vec![0, 1, 2], |ctx, n| match n {
            0 => loop {
                ctx.check()?;
                std::thread::yield_now();
            },
            1 => Err::<(), _>(Error::corrupt("one")),
            _ => panic!("two was begun"),
        });
        assert_eq!(error.unwrap_err().message(), "one");
    }
}
