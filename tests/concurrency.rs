//! Many processes at once on one store: none waits for ever, no change is lost, and nobody sees what is not documented.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, fcntl_lock};
use serde_json::Value;

use crate::harness::fault::{self, Place};
use crate::harness::forge::{Files, Item, layer};
use crate::harness::{Hoist, Witness, inputs};

/// How many processes work at any moment.
const WORKERS: u64 = 16;

/// For how long, unless `HOIST_TEST_SECONDS` says otherwise.
const SECONDS: u64 = 20;

/// What an act may meet because of what others do meanwhile, and nothing else. An act on what only its own process names meets nothing.
const DOCUMENTED: [(&str, &[&str]); 10] = [
    ("load", &[]),
    ("tag", &["not_found"]),
    ("untag", &[]),
    // By the last name of an image that a container was made of.
    ("remove", &["not_found", "in_use"]),
    ("prune", &[]),
    ("list", &[]),
    ("run", &["not_found"]),
    ("save", &["not_found"]),
    // Of a container that somebody else's prune may take.
    ("commit", &["not_found"]),
    ("prune containers", &[]),
];

/// How often each act is chosen, in the order of the table.
const WEIGHTS: [u64; 10] = [4, 8, 4, 4, 2, 4, 3, 2, 2, 1];

/// Images that anybody loads, tags and removes.
const SHARED: [&str; 3] = ["shared:1", "shared:2", "example.org/busybox:docker"];

/// Numbers that look random and are the same for the same seed (xorshift).
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn act(&mut self) -> usize {
        let mut left = self.throw(WEIGHTS.iter().sum());
        let chosen = WEIGHTS.iter().position(|weight| {
            let found = left < *weight;
            left = left.saturating_sub(*weight);
            found
        });
        chosen.unwrap()
    }
}

/// One of those who work on the store, by one process after the other. It alone changes the names that begin with its own.
struct Worker<'a> {
    hoist: &'a Hoist,
    archives: &'a [String],
    number: u64,
    dice: Dice,
    /// What its names mean.
    names: BTreeMap<String, String>,
    /// Acts and what came of them.
    counts: BTreeMap<(&'static str, String), u64>,
}

impl Worker<'_> {
    fn work(&mut self, end: Instant) {
        while Instant::now() < end {
            let acts: Vec<_> = (0..=self.dice.throw(6)).map(|_| self.choose()).collect();
            let tries = acts.iter().map(|(_, script, _)| {
                format!("let r = attempt(|| {{ {script} }}); out.push(if r.ok {{ [true, r.value] }} else {{ [false, r.error.kind, `${{r.error}}`] }});")
            });
            let script = format!("let out = []; {} out", tries.collect::<String>());
            let results = self.hoist.value(&script);
            for ((act, script, name), result) in acts.into_iter().zip(results.as_array().unwrap()) {
                self.note(act, &script, name, result);
            }
        }
    }

    /// An act, its script, and the name of its own that it changes.
    fn choose(&mut self) -> (usize, String, Option<String>) {
        let act = self.dice.act();
        let at = |dice: &mut Dice, length: usize| usize::try_from(dice.throw(length as u64)).unwrap();
        let shared = SHARED[at(&mut self.dice, SHARED.len())];
        let own = format!("worker-{}:{}", self.number, self.dice.throw(4));
        let script = match DOCUMENTED[act].0 {
            "load" => format!(
                r#"image::load("{}").len()"#,
                self.archives[at(&mut self.dice, self.archives.len())]
            ),
            "tag" => return (act, format!(r#"image::tag("{shared}", "{own}").id"#), Some(own)),
            "untag" => {
                // Looked up first: an earlier act of the same process may have made or taken it.
                let script = format!(r#"if image::exists("{own}") {{ image::untag("{own}"); }} "gone""#);
                return (act, script, Some(own));
            }
            "remove" => format!(r#"image::remove("{shared}").removed.len()"#),
            "prune" => "image::prune().removed.len()".to_owned(),
            "list" => {
                "image::list(#{all: true}).map(|i| i.size).len() + container::list(#{all: true}).len()".to_owned()
            }
            "run" => r#"container::run("example.org/busybox:docker", ["/bin/true"]).code"#.to_owned(),
            "save" => {
                let file = self.hoist.file(&format!("saved-{}.tar", self.number));
                format!(r#"image::save("{shared}", "{}").size"#, file.display())
            }
            "commit" => {
                let make = format!(r#"let c = container::create("{shared}", ["sh"]); c.write_file("/new", "new");"#);
                let script = format!(r#"{make} let made = c.commit("{own}").id; attempt(|| c.remove()); made"#);
                return (act, script, Some(own));
            }
            _ => "container::prune().removed.len()".to_owned(),
        };
        (act, script, None)
    }

    fn note(&mut self, act: usize, script: &str, name: Option<String>, result: &Value) {
        let (act, allowed) = DOCUMENTED[act];
        let outcome = match result[0].as_bool().unwrap() {
            true => "ok",
            false => result[1].as_str().unwrap(),
        };
        assert!(
            outcome == "ok" || allowed.contains(&outcome),
            "{act}: `{script}`: {result}"
        );
        *self.counts.entry((act, outcome.to_owned())).or_default() += 1;
        let Some(name) = name.filter(|_| outcome == "ok") else {
            return;
        };
        match act {
            "untag" => drop(self.names.remove(&name)),
            _ => drop(self.names.insert(name, result[1].as_str().unwrap().to_owned())),
        }
    }
}

fn duration() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "who looks for rare races gives it more time")]
    let seconds = std::env::var("HOIST_TEST_SECONDS").ok();
    Duration::from_secs(seconds.map_or(SECONDS, |text| text.parse().unwrap()))
}

/// Archives of all shared images.
fn archives(hoist: &Hoist) -> Vec<String> {
    let common = layer(&[("etc/", Item::Dir), ("etc/name", Item::File(b"base"))]);
    let make = |number: u8| {
        let top = layer(&[("etc/more", Item::File(&[number; 3000])), ("bin/sh", Item::File(b""))]);
        let name = format!("shared:{number}");
        hoist.write(
            &format!("{number}.tar"),
            Files::docker(&[common.clone(), top], &name).pack(),
        )
    };
    let paths = [
        make(1),
        make(2),
        inputs::path("busybox.docker.tar"),
        inputs::path("busybox.podman.oci.tar"),
    ];
    paths.iter().map(|path| path.display().to_string()).collect()
}

#[test]
fn a_prune_takes_no_container_that_is_about_to_start() {
    let hoist = Hoist::with_busybox();
    // The channel to the supervisor: the container is made, and not started.
    let place = Place {
        call: "socketpair",
        number: 1,
    };
    for run in [
        r#"container::run_detached("busybox", ["true"]).wait()"#,
        r#"container::run("busybox", ["true"], #{keep: true}).code"#,
        r#"container::run("busybox", ["true"]).code"#,
    ] {
        fault::meanwhile(&hoist, run, place, || {
            let pruned = hoist.value("let r = container::prune(); [r.removed.len(), r.kept[0].reason]");
            assert_eq!(pruned, serde_json::json!([0, "belongs to a run"]), "{run}");
        });
        let lasts = usize::from(!run.contains(r#"["true"]).code"#));
        assert_eq!(hoist.value("container::prune().removed.len()"), lasts, "{run}");
    }
}

#[test]
fn what_was_to_last_stays_when_its_process_dies_before_it_starts() {
    let hoist = Hoist::with_busybox();
    let place = Place {
        call: "socketpair",
        number: 1,
    };
    assert!(fault::kill(
        &hoist,
        r#"container::run_detached("busybox", ["true"])"#,
        place
    ));
    assert_eq!(
        hoist.value("container::list(#{all: true}).map(|c| c.status)"),
        serde_json::json!(["created"])
    );
    assert_eq!(hoist.value("container::prune().removed.len()"), 1);
    assert!(fault::kill(&hoist, r#"container::run("busybox", ["true"])"#, place));
    assert_eq!(hoist.value("container::list(#{all: true}).len()"), 0);
}

#[test]
fn sixteen_processes_do_everything_at_once() {
    let hoist = Hoist::new();
    let archives = archives(&hoist);
    let mut witness = Witness::default();
    for shared in SHARED {
        let load: String = archives
            .iter()
            .map(|path| format!(r#"image::load("{path}");"#))
            .collect();
        let commit = format!(
            r#"let c = container::create("{shared}", ["sh"]); c.write_file("/new", "new"); c.commit("x:1"); c.remove();"#
        );
        hoist.eval(&format!("{load} {commit}")).success();
        witness.learn(&hoist);
    }
    hoist.eval(r#"image::remove("x:1"); image::prune();"#).success();
    let end = Instant::now() + duration();
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for number in 0..WORKERS {
            let (hoist, archives, done) = (&hoist, &archives, &done);
            scope.spawn(move || {
                let mut worker = Worker {
                    hoist,
                    archives,
                    number,
                    dice: Dice(0x9e37_79b9_7f4a_7c15 ^ (number + 1)),
                    names: BTreeMap::new(),
                    counts: BTreeMap::new(),
                };
                worker.work(end);
                done.lock().unwrap().push((number, worker.names, worker.counts));
            });
        }
    });
    let done = done.into_inner().unwrap();
    assert_eq!(done.len() as u64, WORKERS);
    let mut counts: BTreeMap<(&str, String), u64> = BTreeMap::new();
    for (number, names, own) in done {
        let script = format!(r#"image::list().map(|i| [i.id, i.tags.filter(|t| t.starts_with("worker-{number}:"))])"#);
        let mut found = BTreeMap::new();
        for image in hoist.value(&script).as_array().unwrap() {
            for tag in image[1].as_array().unwrap() {
                found.insert(tag.as_str().unwrap().to_owned(), image[0].as_str().unwrap().to_owned());
            }
        }
        assert_eq!(found, names, "worker {number}: a change is lost");
        own.into_iter()
            .for_each(|(act, count)| *counts.entry(act).or_default() += count);
    }
    println!("{counts:#?}, {} acts in all", counts.values().sum::<u64>());
    // Their first moves would be all that is left if everybody waited for somebody.
    assert!(
        DOCUMENTED
            .iter()
            .all(|(act, _)| counts.contains_key(&(*act, "ok".to_owned()))),
        "some act never came about"
    );
    hoist
        .eval("for c in container::list(#{all: true}) { c.remove(#{force: true}); }")
        .success();
    witness.check(&hoist, "at the end");
    hoist.assert_nothing_left();
}

/// The first to open a database has a lock on the index of its log for a moment, for which SQLite waits ten seconds. Stopped there,
/// or on a disk that is slow, it has it for longer.
#[test]
fn who_opens_the_store_waits_for_one_who_is_about_to() {
    const HELD: Duration = Duration::from_secs(12);
    let hoist = Hoist::new();
    hoist.eval("image::list()");
    let index = std::fs::File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(hoist.root().join("hoist.db-shm"))
        .unwrap();
    let begin = Instant::now();
    fcntl_lock(&index, FlockOperation::NonBlockingLockExclusive).unwrap();
    let waiting = hoist.command(&["eval", "image::list().len"]).spawn();
    waiting.until(|| begin.elapsed() > HELD);
    fcntl_lock(&index, FlockOperation::Unlock).unwrap();
    let (errors, status) = waiting.wait();
    assert!(status.success(), "{errors}");
}
