//! Pulls and pushes that are killed at moments all over their time: the next one goes on, and nothing that has arrived goes twice.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use crate::harness::forge::{self, Files, Item};
use crate::harness::{Faulty, Hoist, Output, Registry, fault};

/// Kills of each kind.
const KILLS: usize = 200;
/// Layers, each with a blob of its own.
const LAYERS: usize = 12;
/// Blobs that are on their way at once.
const AT_ONCE: usize = 4;

/// Places between 0 and 1, the same each time.
fn moments() -> impl Iterator<Item = f64> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    })
}

/// A store with the image `app:1`.
fn filled() -> Hoist {
    let hoist = Hoist::new();
    let mut bytes = moments().map(|moment| (moment * 256.0) as u8);
    let layers: Vec<Vec<u8>> = (0..LAYERS)
        .map(|number| {
            let content: Vec<u8> = bytes.by_ref().take(20_000).collect();
            forge::layer(&[(&format!("file-{number}"), Item::File(&content))])
        })
        .collect();
    let archive = hoist.write("app.tar", Files::oci(&layers, "app:1").pack());
    hoist
        .eval(&format!(r#"image::load({archive:?})[0].tag("app:1").id"#))
        .success();
    hoist
}

#[expect(
    clippy::disallowed_methods,
    reason = "the moment itself is what is tested: no event marks it"
)]
fn wait(moment: Duration) {
    std::thread::sleep(moment);
}

/// How long a command takes that is left alone.
fn time(hoist: &Hoist, words: &[&str], between: impl Fn()) -> Duration {
    let mut times = [(); 3].map(|()| {
        between();
        let start = Instant::now();
        hoist.run(words).success();
        start.elapsed()
    });
    times.sort();
    times[1]
}

/// Kills a command at a moment; whether it was met alive.
fn kill(hoist: &Hoist, words: &[&str], moment: Duration) -> bool {
    let running = hoist.command(words).spawn();
    wait(moment);
    running.signal(Signal::SIGKILL);
    !running.wait().1.success()
}

#[test]
fn r32_a_pull_that_is_killed_at_any_moment_goes_on() {
    let (registry, source, hoist) = (Registry::new(), filled(), Hoist::new());
    let front = Faulty::before(registry.address.parse().unwrap());
    source
        .run(&["push", "--compression=none", "app:1", &registry.name("app:1")])
        .success();
    let id = source.value(r#"image::get("app:1").id"#);
    let name = format!("{}/app:1", front.name());
    let words = ["pull", &name];
    let script = format!(
        "let i = image::get({name:?}); let c = system::check(); i.remove(#{{force: true}}); [i.id, c.problems]"
    );
    let time = time(&hoist, &words, || drop(hoist.eval(&script)));
    hoist.eval(&script).success();
    let (mut moments, mut killed) = (moments().map(|moment| time.mul_f64(moment)), 0);
    while killed < KILLS {
        let (before, mut tries) = (front.count("GET /blobs/"), 1);
        while kill(&hoist, &words, moments.next().unwrap()) {
            tries += 1;
        }
        killed += tries - 1;
        // Each may have been about to fetch as many as go at once; all that came is used. The configuration comes each time.
        let asked = front.count("GET /blobs/") - before;
        assert!(
            asked <= LAYERS + tries * (AT_ONCE + 1),
            "{asked} blobs were asked for by {tries}"
        );
        let again = hoist.run(&words).success();
        assert!(!again.stderr.contains("fetched again"), "{}", again.stderr);
        assert_eq!(hoist.value(&script), json!([id, []]));
        assert_eq!(hoist.staged().len(), 0, "{:?}", hoist.staged());
    }
}

/// Between the first blob that gets its name and the image: all has come then, and nothing but the process knows of it.
#[test]
fn r32_a_pull_that_is_killed_before_its_image_is_in_sight_fetches_no_layer_again() {
    let (registry, source, hoist) = (Registry::new(), filled(), Hoist::new());
    let front = Faulty::before(registry.address.parse().unwrap());
    source
        .run(&["push", "--compression=none", "app:1", &registry.name("app:1")])
        .success();
    let name = format!("{}/app:1", front.name());
    let pull = format!("image::pull({name:?}).id");
    let id = source.value(r#"image::get("app:1").id"#);
    let mut killed = 0;
    fault::everywhere(&["linkat"], 3, |place| {
        let was_killed = fault::kill(&hoist, &pull, place);
        let before = front.count("GET /blobs/");
        assert_eq!(hoist.value(&pull), id);
        if was_killed {
            killed += 1;
            assert_eq!(
                front.count("GET /blobs/") - before,
                1,
                "{place}: the configuration alone"
            );
        }
        assert_eq!(hoist.value("system::check().problems"), json!([]), "{place}");
        assert_eq!(hoist.staged().len(), 0, "{place}: {:?}", hoist.staged());
        hoist
            .eval(&format!("image::get({name:?}).remove(#{{force: true}})"))
            .success();
        was_killed
    });
    assert!(killed > 3, "{killed}");
}

#[test]
fn r33_a_push_that_is_killed_at_any_moment_goes_on() {
    let (registry, hoist) = (Registry::new(), filled());
    let front = Faulty::before(registry.address.parse().unwrap());
    let digest = hoist.value(r#"image::get("app:1").digest"#);
    let number = std::cell::Cell::new(0);
    let there = || format!("{}/app{}:1", front.name(), number.get());
    let push = |there: &str| ["push", "--compression=none", "app:1", there].map(str::to_owned);
    let mut times = [(); 3].map(|()| {
        number.set(number.get() + 1);
        let start = Instant::now();
        hoist.run(&push(&there())).success();
        start.elapsed()
    });
    times.sort();
    let (mut moments, mut killed) = (moments().map(|moment| times[1].mul_f64(moment)), 0);
    while killed < KILLS {
        number.set(number.get() + 1);
        let (there, repository) = (there(), format!("app{}", number.get()));
        let words = push(&there);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        loop {
            // What is there when one begins is not sent by it.
            let (present, before) = (blobs(&registry, &repository), front.count("PUT /blobs/uploads/"));
            let was_killed = kill(&hoist, &words, moments.next().unwrap());
            front.settle();
            let sent = front.count("PUT /blobs/uploads/") - before;
            assert!(
                sent + present <= LAYERS + 1,
                "{present} were there, and {sent} were sent"
            );
            if !was_killed {
                assert_eq!(sent + present, LAYERS + 1);
                break;
            }
            killed += 1;
        }
        let there = registry.name(&format!("{repository}:1"));
        assert_eq!(hoist.value(&format!("registry::digest({there:?})")), digest);
    }
}

/// How many blobs a repository has.
fn blobs(registry: &Registry, repository: &str) -> usize {
    let mut find = crate::harness::program("find");
    find.arg(registry.repository(repository))
        .args(["-path", "*/_layers/*/link"]);
    Output::of(find, None).stdout.lines().count()
}
