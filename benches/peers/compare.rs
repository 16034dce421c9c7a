//! Contestants in turn, and what their times have to do with each other.

use std::time::{Duration, Instant};

/// One side of a comparison: what comes before each round, unmeasured, and what is measured.
pub(crate) struct Contestant<'a> {
    name: &'a str,
    prepare: Box<dyn Fn() + 'a>,
    run: Box<dyn Fn() + 'a>,
    /// How often one run does the thing that is compared.
    times: usize,
    /// How long one run rests in between.
    rests: Duration,
}

impl<'a> Contestant<'a> {
    pub(crate) fn new<T>(name: &'a str, run: impl Fn() -> T + 'a) -> Contestant<'a> {
        Contestant {
            name,
            prepare: Box::new(|| ()),
            run: Box::new(move || drop(run())),
            times: 1,
            rests: Duration::ZERO,
        }
    }

    pub(crate) fn before<T>(mut self, prepare: impl Fn() -> T + 'a) -> Contestant<'a> {
        self.prepare = Box::new(move || drop(prepare()));
        self
    }

    pub(crate) fn times(mut self, times: usize) -> Contestant<'a> {
        self.times = times;
        self
    }

    /// What is compared has a rest before each time, which does not count.
    pub(crate) fn resting(mut self, rest: Duration) -> Contestant<'a> {
        self.rests = rest * u32::try_from(self.times).unwrap();
        self
    }

    fn measure(&self, rest: Duration) -> f64 {
        (self.prepare)();
        std::thread::sleep(rest);
        let start = Instant::now();
        (self.run)();
        (start.elapsed() - self.rests).as_secs_f64() / self.times as f64
    }
}

/// Runs the contestants in turn, and prints a line each; the first is the one that the others are compared with. Of several rounds
/// an additional first one warms caches and does not count.
pub(crate) fn compare(case: &str, rounds: usize, rest: Duration, contestants: &[Contestant<'_>]) {
    let mut seconds = vec![Vec::new(); contestants.len()];
    let warming = usize::from(rounds > 1);
    for round in 0..rounds + warming {
        for (contestant, seconds) in contestants.iter().zip(&mut seconds) {
            let measured = contestant.measure(rest);
            if round >= warming {
                seconds.push(measured);
            }
        }
    }
    let how = if rest.is_zero() {
        String::new()
    } else {
        format!(", after {} ms of rest", rest.as_millis())
    };
    println!("{case}{how} ({rounds} rounds)");
    for (contestant, times) in contestants.iter().zip(&seconds) {
        println!("{}", line(contestant.name, times, &seconds[0]));
    }
}

fn line(name: &str, times: &[f64], own: &[f64]) -> String {
    let best = times.iter().copied().fold(f64::INFINITY, f64::min);
    let (typical, best) = (show(median(times.to_vec())), show(best));
    let line = format!("  {name:<8} median {typical:>10}   best {best:>10}");
    if name == "hoist" {
        return line;
    }
    let ratio = median(own.iter().zip(times).map(|(own, other)| own / other).collect());
    format!("{line}   hoist / it {ratio:.3}")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn show(seconds: f64) -> String {
    if seconds < 0.001 {
        format!("{:.2} µs", seconds * 1e6)
    } else if seconds < 1.0 {
        format!("{:.2} ms", seconds * 1e3)
    } else {
        format!("{seconds:.2} s")
    }
}
