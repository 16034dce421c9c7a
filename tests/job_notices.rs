//! Who is told what became of the runs of jobs.

use std::os::unix::fs::PermissionsExt as _;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::{Answer, Fault, Faulty, Hoist};

/// What is secret about an address.
const WORD: &str = "correct-horse-battery";

fn write(hoist: &Hoist, name: &str, header: &str, code: &str) -> String {
    let path = hoist.write(&format!("{name}.rhai"), format!("//! A job.\n{header}\n{code}"));
    path.to_str().unwrap().to_owned()
}

fn add(hoist: &Hoist, name: &str, header: &str, code: &str) {
    hoist.run(&["jobs", "add", &write(hoist, name, header, code)]).success();
}

fn history(hoist: &Hoist, name: &str) -> Vec<Value> {
    let told = hoist.run(&["--format", "json", "jobs", "history", name]);
    told.success().json().as_array().unwrap().clone()
}

fn ok() -> Fault {
    Fault::Answer(Answer::status(200))
}

/// The requests that came, as method and path, and what they said.
fn seen(server: &Faulty, part: &str) -> Vec<(String, String)> {
    let all = server
        .seen()
        .into_iter()
        .filter(|request| request.target.contains(part));
    all.map(|request| {
        (
            request.target.clone(),
            String::from_utf8_lossy(&request.body).into_owned(),
        )
    })
    .collect()
}

#[test]
fn those_whom_the_header_names_are_told_when_the_result_changes_or_always() {
    let (hoist, server) = (Hoist::new(), Faulty::alone());
    server.always("POST /", ok());
    let place = server.name();
    let key = hoist.write("key", format!("http://{place}/{WORD}/always\n"));
    let header = format!(
        "//! notify: slack:http://{place}/{WORD}/change\n//! notify: webhook:file:{} always\n//! notify: ping:http://{place}/{WORD}/ping?a=b\n//! allow: fs\n//! args: {}",
        key.display(),
        hoist.file("broken").display()
    );
    add(
        &hoist,
        "nightly",
        &header,
        "if fs::exists(args[0]) {\n    image::get(\"no-such\");\n}",
    );
    let run = || drop(hoist.run(&["jobs", "run", "nightly"]));
    run();
    assert_eq!(seen(&server, "change"), []);
    std::fs::write(hoist.file("broken"), "").unwrap();
    run();
    run();
    std::fs::remove_file(hoist.file("broken")).unwrap();
    run();
    run();

    let machine = hoist::runtime::host_name().unwrap();
    let changes = seen(&server, "change");
    assert_eq!(changes.len(), 2, "{changes:?}");
    let text = |at: usize| {
        let said: Value = serde_json::from_str(&changes[at].1).unwrap();
        said["text"].as_str().unwrap().to_owned()
    };
    assert!(
        text(0).starts_with(&format!("*nightly on {machine}: failed (1)*\n")),
        "{}",
        text(0)
    );
    assert!(
        text(0).contains("nightly.rhai:8: ") && text(0).contains("hoist jobs logs nightly 2"),
        "{}",
        text(0)
    );
    assert!(
        text(1).starts_with(&format!("*nightly on {machine}: ok again*\n")),
        "{}",
        text(1)
    );

    let all = seen(&server, "always");
    assert_eq!(all.len(), 5);
    let second: Value = serde_json::from_str(&all[1].1).unwrap();
    let facts = ["job", "machine", "run", "outcome", "trigger", "code", "reclaimed"].map(|key| second[key].clone());
    assert_eq!(json!(facts), json!(["nightly", machine, 2, "failed", "manual", 1, 0]));
    assert_eq!(
        (&second["error"]["kind"], &second["error"]["line"]),
        (&json!("not_found"), &json!(8))
    );
    assert!(
        second["seconds"].is_number() && second["effects"]["images_removed"] == 0,
        "{second}"
    );

    let pings: Vec<String> = seen(&server, "ping").into_iter().map(|(target, _)| target).collect();
    let ping = |step: &str| format!("/{WORD}/ping{step}?a=b");
    let (good, bad) = ([ping("/start"), ping("")], [ping("/start"), ping("/fail")]);
    assert_eq!(pings, [good.clone(), bad.clone(), bad, good.clone(), good].concat());

    for words in [
        &["jobs", "list"][..],
        &["jobs", "show", "nightly"],
        &["--format", "json", "jobs", "show", "nightly"],
        &["jobs", "history"],
        &["--format", "json", "jobs", "history"],
        &["jobs", "logs", "nightly", "2"],
        &["jobs", "why", "nightly"],
    ] {
        let output = hoist.run(words).success();
        let said = [output.stdout, output.stderr].concat();
        assert!(!said.contains(WORD), "{words:?}");
    }
    let told = [
        format!("slack:{place}"),
        format!("webhook:file:{}", key.display()),
        format!("ping:{place}"),
    ];
    assert_eq!(
        history(&hoist, "nightly")[3]["notices"],
        json!(told.each_ref().map(|to| json!({ "to": to })))
    );
    let log = hoist.run(&["jobs", "logs", "nightly", "2"]).success().stdout;
    assert!(
        log.ends_with(&told.map(|to| format!("[told {to}]\n")).concat()),
        "{log}"
    );
    let shown = hoist
        .run(&["--format", "json", "jobs", "show", "nightly"])
        .success()
        .json();
    assert_eq!(
        shown["notify"][0],
        json!(format!("slack:{place} when the result changes"))
    );
}

#[test]
fn mail_goes_by_the_program_that_the_settings_name() {
    let hoist = Hoist::new();
    let program = hoist.write("sendmail", "#!/bin/sh\nprintf '%s\\n' \"$@\" > words\ncat > mail\n");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let settings = hoist.write("hoist.toml", format!("[jobs]\nsendmail = {program:?}\n"));
    add(&hoist, "nightly", "//! notify: mail:ops@example.org", "throw \"no\"");
    let output = hoist.run(&["--config", settings.to_str().unwrap(), "jobs", "run", "nightly"]);
    assert_eq!(output.status.code(), Some(1), "{}", output.stderr);
    assert_eq!(
        std::fs::read_to_string(hoist.file("words")).unwrap(),
        "-i\n--\nops@example.org\n"
    );
    let mail = std::fs::read_to_string(hoist.file("mail")).unwrap();
    assert!(
        mail.contains("Subject: nightly on ") && mail.contains("nightly.rhai:3: "),
        "{mail}"
    );
    assert_eq!(
        history(&hoist, "nightly")[0]["notices"],
        json!([{ "to": "mail:ops@example.org" }])
    );
}

#[test]
fn who_cannot_be_told_is_noted_and_changes_nothing() {
    let (hoist, server) = (Hoist::new(), Faulty::alone());
    server.once("POST /gone", Fault::Answer(Answer::status(502)));
    server.always("POST /gone", Fault::Answer(Answer::status(410)));
    server.always("POST /ping", Fault::Drop);
    let place = server.name();
    let header = format!(
        "//! notify: http://{place}/gone/{WORD} slack:env:NO_SUCH_URL always\n//! notify: ping:http://{place}/ping"
    );
    add(&hoist, "nightly", &header, "print(1)");
    hoist.run(&["jobs", "run", "nightly"]).success();
    let run = &history(&hoist, "nightly")[0];
    assert_eq!((&run["outcome"], &run["error"]), (&json!("ok"), &Value::Null));
    let notices = run["notices"].as_array().unwrap();
    let errors: Vec<&str> = notices.iter().filter_map(|told| told["error"].as_str()).collect();
    // The ping, at the beginning and at the end.
    assert_eq!((notices.len(), errors.len()), (4, 4), "{notices:?}");
    assert!(errors.iter().any(|error| error.contains("410")), "{errors:?}");
    assert!(
        errors.iter().any(|error| error.contains("`NO_SUCH_URL` is not set")),
        "{errors:?}"
    );
    assert_eq!(server.count("POST /gone"), 2, "one was sent again");
    for words in [
        ["jobs", "history"].as_slice(),
        &["jobs", "why", "nightly"],
        &["jobs", "logs", "nightly"],
    ] {
        let output = hoist.run(words).success();
        assert!(
            output.stdout.contains("slack:env:NO_SUCH_URL "),
            "{words:?}: {}",
            output.stdout
        );
        assert!(!output.stdout.contains(WORD), "{words:?}");
    }
}

#[test]
fn a_hook_that_hangs_keeps_no_run_waiting() {
    let (hoist, server) = (Hoist::new(), Faulty::alone());
    server.always("POST /", Fault::Hang);
    let header = format!("//! notify: http://{}/ always", server.name());
    add(&hoist, "nightly", &header, "print(1)");
    let mut hanging = Vec::new();
    for count in 1..=2 {
        let run = hoist.command(&["jobs", "run", "nightly"]).spawn();
        run.until(|| server.count("POST /") == count);
        hanging.push(run);
    }
    let outcomes: Vec<Value> = history(&hoist, "nightly")
        .iter()
        .map(|run| run["outcome"].clone())
        .collect();
    assert_eq!(outcomes, ["ok", "ok"]);
    for run in hanging {
        run.signal(Signal::SIGKILL);
        let _ = run.wait_only();
    }
}

#[test]
fn a_run_that_was_cut_off_and_a_time_that_was_missed_are_told_once() {
    let (hoist, server) = (Hoist::new(), Faulty::alone());
    server.always("POST /", ok());
    let header = format!(
        "//! schedule: 0 0 * * *\n//! timezone: UTC\n//! notify: http://{}/",
        server.name()
    );
    add(&hoist, "nightly", &header, "print(\"here\");\nloop { sleep(1.hours); }");
    let mut run = hoist.command(&["jobs", "run", "nightly"]).spawn();
    run.wait_for("here\n");
    run.signal(Signal::SIGKILL);
    let _ = run.wait_only();
    write(&hoist, "nightly", &header, "print(1)");
    hoist.run(&["jobs", "run", "nightly"]).success();
    let today = jiff::Timestamp::now().as_second() / 86_400;
    let later = jiff::Timestamp::from_second((today + 3) * 86_400 + 43_200).unwrap();
    let at = format!("--at={later}");
    hoist.run(&["jobs", "run", "--scheduled", &at, "nightly"]).success();
    let told: Vec<Value> = seen(&server, "/")
        .iter()
        .map(|(_, text)| serde_json::from_str::<Value>(text).unwrap()["outcome"].clone())
        .collect();
    assert_eq!(told, ["interrupted", "ok", "missed"]);
}

#[test]
fn a_mistake_in_whom_to_tell_is_told_with_its_line() {
    let hoist = Hoist::new();
    for (value, words) in [
        (
            format!("slak:https://hooks.example.org/{WORD}"),
            "`slak` says of nobody how to tell",
        ),
        (
            format!("slack:hooks.example.org/{WORD}"),
            "the address is no URL of HTTP",
        ),
        ("mail:ops".to_owned() + " at example", "`at` says of nobody"),
    ] {
        let path = write(&hoist, "wrong", &format!("//! notify: {value}"), "1");
        let output = hoist.run(&["jobs", "add", &path]);
        assert_eq!(output.status.code(), Some(2), "{value}");
        assert!(
            output.stderr.contains("line 2 of the header of") && output.stderr.contains(words),
            "{}",
            output.stderr
        );
        assert!(!output.stderr.contains(WORD), "{}", output.stderr);
    }
    let path = write(&hoist, "right", "//! schedule: @daily\n//! notify: ping:env:PING", "1");
    let checked = hoist.run(&["jobs", "check", &path]).success().stdout;
    assert!(checked.ends_with("  tells ping:env:PING at each run\n"), "{checked}");
}
