//! Images on their way through networks that fail: what arrives is what was there, or an error says why nothing came and what to do.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::forge::{self, Files, Item, sha256};
use crate::harness::{Answer, Authority, Fault, Faulty, Hoist, Output, Registry};

/// Who asks wherever a table says nothing else, and is to be told to nobody that does not ask.
const NAME: &str = "ann";
const PASSWORD: &str = "hunter2-hunter2";
/// The same as HTTP shows it.
const BASIC: &str = "YW5uOmh1bnRlcjItaHVudGVyMg==";

/// What is done through a registry that fails.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Act {
    Pull,
    Push,
    CopyFrom,
    CopyTo,
    /// A copy to a layout, with what refers to the image.
    Referrers,
    /// Every tag of the repository.
    Tags,
}

const READ: &[Act] = &[Act::Pull, Act::CopyFrom];
const WRITE: &[Act] = &[Act::Push, Act::CopyTo];
const PULL: &[Act] = &[Act::Pull];

/// How it ends.
#[derive(Clone, Copy)]
enum Ends {
    Well,
    /// By an error of this kind, or one of these, whose message or hint has these words.
    By(&'static str, &'static [&'static str]),
}

struct Row {
    acts: &'static [Act],
    pattern: &'static str,
    times: usize,
    fault: Fault,
    ends: Ends,
}

fn once(acts: &'static [Act], pattern: &'static str, fault: Fault, ends: Ends) -> Row {
    Row {
        acts,
        pattern,
        times: 1,
        fault,
        ends,
    }
}

fn always(acts: &'static [Act], pattern: &'static str, fault: Fault, ends: Ends) -> Row {
    Row {
        times: usize::MAX,
        ..once(acts, pattern, fault, ends)
    }
}

fn said(status: u16) -> Fault {
    Fault::Answer(Answer::status(status).error("UNKNOWN", "the disk is in the shop"))
}

/// Bytes that do not compress, another stretch of them for each seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn layers(sizes: &[usize]) -> Vec<Vec<u8>> {
    let numbered = sizes.iter().zip(1..);
    numbered
        .map(|(size, seed)| forge::layer(&[(&format!("file-{seed}"), Item::File(&noise(seed, *size)))]))
        .collect()
}

/// A registry with an image, and a store that has it as well.
struct Site {
    registry: Registry,
    hoist: Hoist,
    digest: String,
    /// All that any program said.
    heard: Mutex<String>,
    number: AtomicUsize,
}

impl Site {
    fn new(sizes: &[usize]) -> Site {
        let (registry, hoist) = (Registry::new(), Hoist::new());
        let archive = hoist.write("app.tar", Files::oci(&layers(sizes), "app:1").pack());
        let there = registry.name("app:1");
        let script = format!(r#"image::load({archive:?})[0].push({there:?}, #{{compression: "none"}}).digest"#);
        let digest = hoist.value(&script).as_str().unwrap().to_owned();
        Site {
            registry,
            hoist,
            digest,
            heard: Mutex::default(),
            number: AtomicUsize::new(0),
        }
    }

    fn front(&self) -> Faulty {
        Faulty::before(self.registry.address.parse().unwrap())
    }

    /// Kind, message and hint of what is thrown; `ok`, the digest and nothing otherwise.
    fn attempt(&self, hoist: &Hoist, act: &str) -> [String; 3] {
        let script = format!(
            "let r = attempt(|| {act}); \
             if r.ok {{ [`ok`, r.value.digest, ``] }} else {{ let e = r.error; [e.kind, e.message, `${{e.hint}}`] }}"
        );
        let limits = "transfer_rate=64KiB,transfer_window=1";
        let words = [
            "--format",
            "json",
            "--log-level",
            "debug",
            "--limit",
            limits,
            "eval",
            &script,
        ];
        let output = hoist.command(&words).env("P", PASSWORD).output();
        self.hear(&output);
        let found = output.success().json();
        [0, 1, 2].map(|place| found[place].as_str().unwrap_or_else(|| panic!("{found}")).to_owned())
    }

    fn hear(&self, output: &Output) {
        let mut heard = self.heard.lock().unwrap();
        heard.push_str(&output.stdout);
        heard.push_str(&output.stderr);
    }

    fn play(&self, act: Act, row: &Row) {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let (front, puller) = (self.front(), (!WRITE.contains(&act)).then(Hoist::new));
        let hoist = puller.as_ref().unwrap_or(&self.hoist);
        let asking = format!(r#"username: "{NAME}", password: env::get("P"), retries: 1"#);
        let (read, written) = (front.name() + "/app:1", format!("{}/to-{number}:1", front.name()));
        let layout = format!("oci-dir:{}", hoist.file("layout").display());
        let expression = match act {
            Act::Pull => format!("image::pull({read:?}, #{{{asking}}})"),
            Act::Push => format!(r#"image::push("app:1", {written:?}, #{{compression: "none", {asking}}})"#),
            Act::CopyFrom => format!("registry::copy({read:?}, {layout:?}, #{{retries: 1}})"),
            Act::CopyTo => format!(
                "registry::copy({:?}, {written:?}, #{{retries: 1}})",
                self.registry.name("app:1")
            ),
            Act::Referrers => format!("registry::copy({read:?}, {layout:?}, #{{retries: 1, referrers: true}})"),
            Act::Tags => format!("image::pull(\"{}/app\", #{{all_tags: true, {asking}}})", front.name()),
        };
        front.times(row.times, row.pattern, row.fault.clone());
        let found = self.attempt(hoist, &expression);
        let about = format!("{act:?} {} {:?}: {found:#?}", row.pattern, short(&row.fault));
        assert!(front.count(row.pattern) > 0, "nothing met the fault: {about}");
        match row.ends {
            Ends::Well => assert_eq!(found[..2], ["ok", &self.digest], "{about}"),
            Ends::By(kind, words) => {
                assert!(kind.split('|').any(|kind| kind == found[0]), "{about}");
                let text = format!("{} {}", found[1], found[2]);
                let places = [
                    front.name(),
                    if WRITE.contains(&act) {
                        format!("to-{number}")
                    } else {
                        "app".to_owned()
                    },
                ];
                for word in words.iter().copied().chain(places.iter().map(String::as_str)) {
                    assert!(text.contains(word), "`{word}` is missing: {about}");
                }
                self.assert_nothing_came(hoist, number, &about);
                front.heal();
                assert_eq!(
                    self.attempt(hoist, &expression)[..2],
                    ["ok", &self.digest],
                    "afterwards, {about}"
                );
            }
        }
        if act == Act::Pull {
            assert_eq!(hoist.value("system::check().problems"), json!([]), "{about}");
        }
        assert_no_secret(hoist.root().parent().unwrap());
    }

    fn assert_nothing_came(&self, hoist: &Hoist, number: usize, about: &str) {
        if !std::ptr::eq(hoist, &self.hoist) {
            assert_eq!(hoist.value("image::list(#{all: true}).len()"), 0, "{about}");
            assert!(!hoist.file("layout/index.json").exists(), "{about}");
        }
        let there = self.registry.name(&format!("to-{number}:1"));
        assert_eq!(hoist.value(&format!("registry::exists({there:?})")), false, "{about}");
    }

    /// Plays all rows, some at a time.
    fn play_all(&self, rows: &[Row]) {
        let all = rows.iter().flat_map(|row| row.acts.iter().map(move |act| (*act, row)));
        let left = Mutex::new(all.collect::<Vec<_>>());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    loop {
                        let next = left.lock().unwrap().pop();
                        let Some((act, row)) = next else { return };
                        self.play(act, row);
                    }
                });
            }
        });
        for secret in [PASSWORD, BASIC] {
            assert!(!self.heard.lock().unwrap().contains(secret), "`{secret}` was told");
        }
        assert_eq!(self.registry.counts().1, 0, "uploads that failed are called off");
    }
}

fn short(fault: &Fault) -> String {
    format!("{fault:?}").chars().take(200).collect()
}

/// Fails if a file below a directory has a password in it.
#[track_caller]
fn assert_no_secret(dir: &Path) {
    let patterns = ["-e", PASSWORD, "-e", BASIC];
    let mut grep = crate::harness::program("grep");
    grep.arg("-rlsF").args(patterns).arg(dir);
    assert_eq!(Output::of(grep, None).stdout, "");
}

#[test]
fn r36_what_breaks_on_the_way_comes_whole_or_not_at_all() {
    use Ends::{By, Well};
    let again = &["tried 2 times"];
    let site = Site::new(&[1_000, 150_000, 60_000]);
    let drip = || Fault::Drip(500, Duration::from_millis(50));
    let mut rows = vec![
        once(READ, "GET /blobs/", Fault::Reset(300), Well),
        once(READ, "GET /blobs/", Fault::Truncate(300), Well),
        once(READ, "GET /blobs/", Fault::Drop, Well),
        once(READ, "GET /manifests/", Fault::Reset(100), Well),
        once(READ, "GET /manifests/", Fault::Truncate(100), Well),
        once(PULL, "HEAD /manifests/", Fault::Drop, Well),
        once(READ, "GET /v2/", Fault::Drop, Well),
        always(READ, "GET /blobs/", Fault::Reset(0), By("network", again)),
        always(READ, "GET /blobs/", Fault::Drop, By("network", again)),
        always(READ, "GET /manifests/", Fault::Truncate(100), By("network", again)),
        always(READ, "* /v2/", Fault::Drop, By("network", again)),
        always(READ, "GET /blobs/", Fault::Length(7), By("corrupt|network", &[])),
        always(READ, "GET /blobs/", Fault::Length(-7), By("corrupt|network", &[])),
        always(READ, "GET /blobs/", Fault::Flip(20), By("corrupt", &["digest"])),
        always(READ, "GET /manifests/", Fault::Flip(20), By("corrupt", &["digest"])),
        always(READ, "GET /blobs/", Fault::Endless, By("corrupt", &[])),
        always(
            READ,
            "GET /manifests/",
            Fault::Endless,
            By("corrupt", &["`document`", "--limit"]),
        ),
        always(
            READ,
            "GET /blobs/",
            drip(),
            By("timeout", &["sends less than 65", "tried 2 times", "transfer_rate=0"]),
        ),
        always(
            READ,
            "GET /manifests/",
            Fault::Drip(1, Duration::from_millis(100)),
            By("timeout", again),
        ),
        always(PULL, "GET /blobs/", said(404), By("not_found", &["404", "in the shop"])),
        always(
            PULL,
            "GET /blobs/",
            said(503),
            By("network", &["503", "in the shop", "tried 2 times"]),
        ),
        always(
            READ,
            "GET /manifests/",
            Fault::Answer(Answer::status(200).body(vec![b' '; 5 << 20])),
            By("corrupt", &["`document`"]),
        ),
        always(
            READ,
            "GET /manifests/",
            Fault::Answer(Answer::status(200).body("[".repeat(100_000))),
            By("corrupt", &[]),
        ),
        always(
            READ,
            "GET /blobs/",
            Fault::Answer(Answer::status(307).header("Location", "?again")),
            By("network", &["sends on and on"]),
        ),
        always(
            READ,
            "GET /blobs/",
            Fault::Answer(Answer::status(307).header("Location", "http://169.254.169.254/latest")),
            By("denied", &["nobody is to be sent"]),
        ),
        once(&[Act::Tags], "GET /tags/", Fault::Truncate(5), Well),
        always(
            &[Act::Tags],
            "GET /tags/",
            Fault::Header("Link", r#"<?n=1000>; rel="next""#.to_owned()),
            By("corrupt", &["in a circle"]),
        ),
        always(
            &[Act::Tags],
            "GET /tags/",
            Fault::Header(
                "Link",
                r#"<http://127.0.0.1:1/v2/app/tags/list>; rel="next""#.to_owned(),
            ),
            By("denied", &["nobody is to be sent"]),
        ),
        // Whatever refers to itself is met once.
        always(
            &[Act::Referrers],
            "GET /referrers/",
            Fault::Answer(Answer::status(200).body(json!({"manifests": [{"digest": site.digest}]}).to_string())),
            Well,
        ),
    ];
    rows.push(always(
        PULL,
        "GET /blobs/",
        drip(),
        By("timeout", &["layer", " of 3 of `"]),
    ));
    for fault in [Fault::NoRange, Fault::WrongRange] {
        // What had come before is kept, and the answer to the question for the rest is another.
        rows.push(once(READ, "GET /blobs/", fault, Well));
    }
    for status in [408, 429, 500, 502, 503, 504] {
        rows.push(once(READ, "GET /manifests/", said(status), Well));
        rows.push(once(READ, "GET /blobs/", said(status), Well));
    }
    site.play_all(&rows);
}

#[test]
fn r36_what_breaks_on_the_way_back_is_there_or_was_never_seen() {
    use Ends::{By, Well};
    let site = Site::new(&[1_000, 150_000, 60_000]);
    let put = "PUT /blobs/uploads/";
    let mut rows = vec![
        once(WRITE, put, Fault::ResetUpload(1000), Well),
        once(WRITE, put, Fault::Drop, Well),
        once(WRITE, "HEAD /blobs/", Fault::Drop, Well),
        once(WRITE, "PUT /manifests/", Fault::Drop, Well),
        once(WRITE, "POST /blobs/uploads/", said(503), Well),
        always(WRITE, put, Fault::Drop, By("network", &["tried 2 times"])),
        always(
            WRITE,
            put,
            said(500),
            By("network", &["500", "in the shop", "tried 2 times"]),
        ),
        always(WRITE, put, said(403), By("denied", &["403", "in the shop", "password"])),
        always(
            WRITE,
            "PUT /manifests/",
            said(400),
            By("invalid", &["400", "in the shop"]),
        ),
        always(
            WRITE,
            "PUT /manifests/",
            Fault::Header("Docker-Content-Digest", format!("sha256:{}", "0".repeat(64))),
            By("corrupt", &["what the registry made of the manifest"]),
        ),
        always(
            WRITE,
            "POST /blobs/uploads/",
            Fault::Answer(Answer::status(202).header("Location", "http://169.254.169.254/up")),
            By("denied", &["nobody is to be sent"]),
        ),
    ];
    for status in [404, 408, 413, 416, 429, 500, 502, 503, 504] {
        rows.push(once(WRITE, put, said(status), Well));
    }
    // The registry has taken it, and says something else: the tag is what it was told.
    let last = rows
        .iter()
        .position(|row| matches!(row.fault, Fault::Header(..)))
        .unwrap();
    let lied = rows.remove(last);
    site.play_all(&rows);
    for act in lied.acts {
        let front = site.front();
        front.always(lied.pattern, lied.fault.clone());
        let there = format!("{}/lied:1", front.name());
        let expression = match act {
            Act::Push => format!(r#"image::push("app:1", {there:?}, #{{compression: "none"}})"#),
            _ => format!(
                "registry::copy({:?}, {there:?}, #{{force: true}})",
                site.registry.name("app:1")
            ),
        };
        let Ends::By(kind, words) = lied.ends else { panic!() };
        let found = site.attempt(&site.hoist, &expression);
        assert_eq!(found[0], kind, "{found:?}");
        assert!(words.iter().all(|word| found[1].contains(word)), "{found:?}");
    }
}

#[test]
fn r36_who_is_asked_too_often_is_believed() {
    let site = Site::new(&[1_000]);
    let (front, hoist) = (site.front(), Hoist::new());
    let pull = format!("image::pull(\"{}/app:1\", #{{retries: 1}})", front.name());
    let many = |answer: Answer| Fault::Answer(answer.error("TOOMANYREQUESTS", "you have had enough"));
    front.always("GET /manifests/", many(Answer::status(429)));
    let [kind, message, hint] = site.attempt(&hoist, &pull);
    assert_eq!(kind, "rate_limited");
    assert!(message.contains("you have had enough (tried 2 times)"), "{message}");
    assert!(hint.contains("log in"), "{hint}");
    front.heal();
    // Longer than anybody waits: it is not asked again at all.
    let before = front.count("GET /manifests/");
    front.always(
        "GET /manifests/",
        many(Answer::status(429).header("Retry-After", "3600")),
    );
    let [kind, message, hint] = site.attempt(&hoist, &pull);
    assert_eq!(
        (kind.as_str(), front.count("GET /manifests/") - before),
        ("rate_limited", 1),
        "{message}"
    );
    assert!(hint.starts_with("try again in 1h"), "{hint}");
    front.heal();
    front.once("GET /manifests/", many(Answer::status(429).header("Retry-After", "1")));
    assert_eq!(site.attempt(&hoist, &pull)[0], "ok");
}

#[test]
fn a_registry_that_hardly_takes_anything_is_given_up() {
    // More than all that lies between two programs.
    let site = Site::new(&[24 << 20]);
    let front = site.front();
    front.always("PUT /blobs/uploads/", Fault::Sip(1000, Duration::from_millis(50)));
    let push = |front: &Faulty| {
        format!(
            r#"image::push("app:1", "{}/slow:1", #{{compression: "none", retries: 1}})"#,
            front.name()
        )
    };
    let [kind, message, _] = site.attempt(&site.hoist, &push(&front));
    assert_eq!(kind, "timeout", "{message}");
    assert!(
        message.contains("takes less than 65") && message.contains("tried 2 times"),
        "{message}"
    );
    front.heal();
    assert_eq!(site.attempt(&site.hoist, &push(&front))[..2], ["ok", &site.digest]);
}

#[test]
fn s30_nobody_but_the_registry_learns_who_asks() {
    let site = Site::new(&[1_000]);
    let elsewhere = Faulty::alone();
    let (_, port) = elsewhere
        .name()
        .rsplit_once(':')
        .map(|(host, port)| (host.to_owned(), port.to_owned()))
        .unwrap();
    let token = "tttt-not-to-be-seen";
    let pull = |front: &Faulty| {
        let hoist = Hoist::new();
        let expression = format!(
            r#"image::pull("{}/app:1", #{{username: "{NAME}", password: env::get("P"), retries: 0}})"#,
            front.name()
        );
        let found = site.attempt(&hoist, &expression);
        assert_no_secret(hoist.root().parent().unwrap());
        found
    };
    let challenge = |kind: &str| Fault::Answer(Answer::status(401).header("WWW-Authenticate", kind));
    // A blob that lies elsewhere, at a registry that has seen the password.
    let layer = layers(&[1_000]).remove(0);
    elsewhere.always("GET /there", Fault::Answer(Answer::status(200).body(layer.clone())));
    let front = site.front();
    front.once("* /manifests/", challenge(r#"Basic realm="x""#));
    let place = format!("http://{}/there?signature=s", elsewhere.name());
    let blob: &str = Box::leak(format!("GET /blobs/sha256:{}", sha256(&layer)).into_boxed_str());
    front.always(blob, Fault::Answer(Answer::status(307).header("Location", &place)));
    assert_eq!(pull(&front)[..2], ["ok", &site.digest]);
    assert!(front.seen().iter().any(|request| request.text().contains(BASIC)));
    assert_eq!(elsewhere.count("GET /there?signature=s"), 1);
    // A token service on another host is asked as nobody.
    let realm = format!(r#"Bearer realm="http://localhost:{port}/token",service="x""#);
    let handed = json!({"token": token}).to_string();
    elsewhere.once("GET /token", Fault::Answer(Answer::status(200).body(handed.clone())));
    let front = site.front();
    front.once("* /manifests/", challenge(&realm));
    assert_eq!(pull(&front)[..2], ["ok", &site.digest]);
    assert!(front.seen().iter().any(|request| request.text().contains(token)));
    // Tokens have an end.
    let huge = json!({"token": "t".repeat(2 << 20)}).to_string();
    elsewhere.once("GET /token", Fault::Answer(Answer::status(200).body(huge)));
    let front = site.front();
    front.always("* /manifests/", challenge(&realm));
    let [kind, message, _] = pull(&front);
    assert_eq!(kind, "corrupt", "{message}");
    assert!(message.contains("the limit `token`"), "{message}");
    // Where clouds keep their own secrets nobody asks.
    let front = site.front();
    front.always(
        "* /manifests/",
        challenge(r#"Bearer realm="http://169.254.169.254/token?x=y""#),
    );
    let [kind, message, _] = pull(&front);
    assert_eq!(kind, "denied", "{message}");
    for secret in [PASSWORD, BASIC, NAME] {
        elsewhere.assert_never_sent(secret);
    }
    assert!(
        elsewhere
            .seen()
            .iter()
            .all(|request| request.header("authorization").is_none())
    );
    let heard = site.heard.lock().unwrap();
    for secret in [PASSWORD, BASIC, token, "signature=s"] {
        assert!(!heard.contains(secret), "`{secret}` was told");
    }
}

#[test]
fn a_script_that_fails_does_not_show_its_password() {
    let hoist = Hoist::new();
    for script in [
        format!(r#"image::pull("127.0.0.1:1/app", #{{username: "{NAME}", password: "{PASSWORD}", retries: 0}})"#),
        format!(r#"image::pull("127.0.0.1:1/app", #{{password: "{PASSWORD}", retrys: 0}})"#),
        format!(r#"registry::login("127.0.0.1:1", "{NAME}", "{PASSWORD}", #{{tls: true}})"#),
        format!("let password = `{PASSWORD}`; nope(password)"),
        r#"image::pull("127.0.0.1:1/app", #{username: "ann", password: 2468013579})"#.to_owned(),
        r#"image::push("app", "127.0.0.1:1/app", #{username: "ann", password: [2468013579]})"#.to_owned(),
    ] {
        let output = hoist.eval(&script);
        assert_ne!(output.status.code(), Some(0));
        let text = format!("{}{}", output.stdout, output.stderr);
        assert!(!text.contains(PASSWORD) && !text.contains("2468013579"), "{text}");
        assert!(text.contains("--> "), "{text}");
    }
}

#[test]
fn what_is_no_registry_says_what_is_wrong_with_it() {
    let site = Site::new(&[1_000]);
    let (authority, other) = (Authority::new(), Authority::new());
    let upstream = Some(site.registry.address.parse().unwrap());
    let good = authority.sign(&["localhost", "127.0.0.1"]);
    for (server, is_trusted, words) in [
        (good.server(), true, None),
        (good.server(), false, Some("UnknownIssuer")),
        (other.sign(&["127.0.0.1"]).server(), true, Some("certificate")),
        (authority.sign_expired(&["127.0.0.1"]).server(), true, Some("expired")),
        (
            authority.sign(&["elsewhere.example"]).server(),
            true,
            Some("not valid for name"),
        ),
    ] {
        let (front, hoist) = (Faulty::with_tls(upstream, server), Hoist::new());
        if is_trusted {
            let dir = hoist
                .root()
                .join("../home/.config/containers/certs.d")
                .join(front.name());
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("ca.crt"), authority.pem()).unwrap();
        }
        let pull = format!(
            "image::pull(\"{}/app:1\", #{{tls_verify: true, retries: 1}})",
            front.name()
        );
        let [kind, message, hint] = site.attempt(&hoist, &pull);
        let Some(words) = words else {
            assert_eq!((kind.as_str(), &message), ("ok", &site.digest));
            continue;
        };
        assert_eq!(kind, "network", "{message}");
        assert!(
            message.contains(words) && message.contains(&front.name()),
            "{words}: {message}"
        );
        assert!(hint.contains("`tls_verify: false`"), "{hint}");
        assert_eq!(front.seen().len(), 0, "nothing was said to it");
    }
    for (name, words) in [
        (
            "no-such-host.invalid/app:1",
            "failed to connect to `no-such-host.invalid`",
        ),
        ("127.0.0.1:1/app:1", "connection refused"),
    ] {
        let [kind, message, _] = site.attempt(&site.hoist, &format!("image::pull({name:?}, #{{retries: 1}})"));
        assert_eq!(kind, "network", "{message}");
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn s26_indexes_that_lead_on_and_on_end() {
    let front = Faulty::alone();
    let index = |inner: &Value| {
        json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [inner]})
            .to_string()
    };
    let media_type = "application/vnd.oci.image.index.v1+json";
    let mut inner = forge::descriptor(media_type, b"{}");
    let answer = |text: &str| Fault::Answer(Answer::status(200).header("Content-Type", media_type).body(text));
    front.always("GET /v2/ ", Fault::Answer(Answer::status(200)));
    let mut top = String::new();
    for _ in 0..7 {
        top = index(&inner);
        inner = forge::descriptor(media_type, top.as_bytes());
        inner["platform"] =
            json!({"os": "linux", "architecture": match std::env::consts::ARCH { "aarch64" => "arm64", _ => "amd64" }});
        let pattern = format!("GET /manifests/{}", inner["digest"].as_str().unwrap());
        front.always(&pattern, answer(&top));
    }
    front.always("* /manifests/1", answer(&top));
    front.always("* /v2/", Fault::Answer(Answer::status(200)));
    let hoist = Hoist::new();
    for act in [
        format!("image::pull(\"{}/app:1\")", front.name()),
        format!(
            "registry::copy(\"{}/app:1\", \"oci-dir:{}\")",
            front.name(),
            hoist.file("layout").display()
        ),
    ] {
        let output = hoist.eval(&act).fails_with(1);
        assert!(output.stderr.contains("`index_depth`"), "{}", output.stderr);
    }
}
