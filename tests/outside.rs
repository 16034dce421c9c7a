//! What scripts ask of other machines, whom they tell, and programs of this machine.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::harness::{Answer, Authority, Fault, Faulty, Hoist};

const WORD: &str = "correct-horse-battery";

/// A program in the place of `sendmail` that keeps what it is given.
fn mailer(hoist: &Hoist, line: &str) -> PathBuf {
    let path = hoist.write(
        "sendmail",
        format!("#!/bin/sh\nprintf '%s\\n' \"$@\" > words\ncat > mail\n{line}\n"),
    );
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn ok(body: &str) -> Fault {
    Fault::Answer(Answer::status(200).body(body))
}

#[test]
fn requests_carry_what_they_are_given_and_secrets_are_seen_by_the_other_side_alone() {
    let (hoist, server) = (Hoist::new(), Faulty::alone());
    server.always("* /", ok(r#"{"a": [1]}"#));
    let script = format!(
        r#"let url = "http://{}/x?y=1"; let s = secret::env("WORD");
        let r = http::post(url, #{{json: #{{a: 1, token: s}}, headers: #{{"X-Key": s, "X-Plain": "p"}}, token: s}});
        assert::eq([r.status, r.ok, r.json(), r.text()], [200, true, #{{a: [1]}}, `{{"a": [1]}}`]);
        http::put(url, #{{form: #{{"a b": "c&d", word: s}}, username: "ann", password: s}});
        http::patch(url, #{{body: s}}); http::delete(url); http::head(url);
        print(http::get(url)); print(s); debug(r);"#,
        server.name()
    );
    let path = hoist.write("ask.rhai", script);
    let output = hoist
        .command(&["--audit", "audit.jsonl", "run", path.to_str().unwrap()])
        .env("WORD", WORD)
        .output()
        .success();
    let audit = std::fs::read_to_string(hoist.file("audit.jsonl")).unwrap();
    assert!(
        ![&output.stdout, &output.stderr, &audit]
            .iter()
            .any(|text| text.contains(WORD))
    );
    assert!(audit.contains(&format!("\"target\":\"{}\"", server.name())), "{audit}");
    let seen = server.seen();
    let methods: Vec<&str> = seen.iter().map(|request| request.method.as_str()).collect();
    assert_eq!(methods, ["POST", "PUT", "PATCH", "DELETE", "HEAD", "GET"]);
    assert_eq!(seen[0].body, format!(r#"{{"a":1,"token":"{WORD}"}}"#).as_bytes());
    assert_eq!(seen[0].header("x-key"), Some(WORD));
    assert_eq!(seen[0].header("authorization"), Some(format!("Bearer {WORD}").as_str()));
    assert_eq!(seen[0].header("content-type"), Some("application/json"));
    assert_eq!(seen[1].body, format!("a+b=c%26d&word={WORD}").as_bytes());
    assert!(seen[1].header("authorization").unwrap().starts_with("Basic YW5uOmNvcn"));
    assert_eq!(seen[2].body, WORD.as_bytes());
}

#[test]
fn answers_that_are_no_success_are_errors_of_their_kind_and_too_much_is_refused() {
    let (hoist, server) = (Hoist::new(), Faulty::alone());
    for (status, kind) in [
        (401, "unauthorized"),
        (403, "denied"),
        (404, "not_found"),
        (429, "rate_limited"),
        (500, "network"),
        (418, "invalid"),
    ] {
        server.always(
            &format!("GET /{status}"),
            Fault::Answer(Answer::status(status).body("no\nmore")),
        );
        let script = format!(
            r#"let url = "http://{}/{status}"; let e = attempt(|| http::get(url)).error; [e.kind, e.status, http::get(url, #{{check: false}}).status, e.message.contains("no")]"#,
            server.name()
        );
        assert_eq!(hoist.value(&script), json!([kind, status, status, true]));
    }
    server.always("GET /big", ok(&"x".repeat(5000)));
    server.always("GET /endless", Fault::Endless);
    for path in ["big", "endless"] {
        let script = format!(
            r#"let e = attempt(|| http::get("http://{}/{path}", #{{max_size: "4kB"}})).error; [e.kind, e.message.contains("4.00kB")]"#,
            server.name()
        );
        assert_eq!(hoist.value(&script), json!(["invalid", true]), "{path}");
    }
    // What is no address is not quoted, for it may be secret.
    let script = r#"attempt(|| http::get("ftp://secret/x")).error.message"#;
    assert_eq!(hoist.value(script), "the address is no URL of HTTP");
}

#[test]
fn what_may_pass_is_tried_again_and_what_hangs_is_given_up() {
    let (hoist, server) = (Hoist::new(), Faulty::alone());
    let get = |path: &str, options: &str| {
        hoist.value(&format!(
            r#"let r = attempt(|| http::get("http://{}/{path}", #{{{options}}}).text()); if r.ok {{ r.value }} else {{ r.error.kind }}"#,
            server.name()
        ))
    };
    server.times(
        2,
        "GET /soon",
        Fault::Answer(Answer::status(503).header("Retry-After", "0")),
    );
    server.always("GET /soon", ok("there"));
    assert_eq!(get("soon", "retries: 3"), "there");
    assert_eq!(server.count("GET /soon"), 3);
    server.once("GET /cut", Fault::Drop);
    server.always("GET /cut", ok("whole"));
    assert_eq!(get("cut", "retries: 1"), "whole");
    server.always("GET /hang", Fault::Hang);
    assert_eq!(get("hang", "timeout: 100.millis"), "timeout");
    server.always("GET /drip", Fault::Drip(1, Duration::from_secs(5)));
    let script = format!(
        r#"attempt(|| timeout(100.millis, || http::get("http://{}/hang"))).error.kind"#,
        server.name()
    );
    assert_eq!(hoist.value(&script), "timeout");
}

#[test]
fn redirects_keep_what_is_secret_at_home_and_go_where_they_may() {
    let (hoist, first, second) = (Hoist::new(), Faulty::alone(), Faulty::alone());
    let to = |place: String| Fault::Answer(Answer::status(302).header("Location", place));
    first.always("* /away", to(format!("http://{}/there", second.name())));
    first.always("* /around", to("/here".to_owned()));
    first.always("* /loop", to("/loop".to_owned()));
    first.always("* /here", ok("here"));
    second.always("* /there", ok("there"));
    let get = |path: &str, flags: &[&str]| {
        let script = format!(
            r#"let r = attempt(|| http::get("http://{}/{path}", #{{headers: #{{"X-Key": "{WORD}", Accept: "text/plain"}}, token: "{WORD}"}}).text()); print(if r.ok {{ r.value }} else {{ r.error.kind }})"#,
            first.name()
        );
        let path = hoist.write("get.rhai", script);
        hoist
            .run(&[flags, &["run", path.to_str().unwrap()]].concat())
            .success()
            .stdout
    };
    assert_eq!(get("around", &[]), "here\n");
    assert_eq!(first.seen().last().unwrap().header("x-key"), Some(WORD));
    assert_eq!(get("away", &[]), "there\n");
    second.assert_never_sent(WORD);
    assert_eq!(second.seen().last().unwrap().header("accept"), Some("text/plain"));
    assert_eq!(get("loop", &[]), "network\n");
    let allow = format!("--allow-net={}", first.name());
    assert_eq!(get("around", &[&allow]), "here\n");
    assert_eq!(get("away", &[&allow]), "denied\n");
    assert_eq!(get("around", &["--allow-net=example.org"]), "denied\n");
}

#[test]
fn certificates_are_verified_unless_an_authority_is_named() {
    let hoist = Hoist::new();
    let authority = Authority::new();
    let server = Faulty::with_tls(None, authority.sign(&["localhost", "127.0.0.1"]).server());
    server.always("GET /x", ok("by TLS"));
    let ca = hoist.write("ca.pem", authority.pem());
    for (options, said) in [
        ("#{}".to_owned(), "network"),
        ("#{tls_verify: false}".to_owned(), "by TLS"),
        (format!("#{{ca: {ca:?}}}"), "by TLS"),
    ] {
        let script = format!(
            r#"let r = attempt(|| http::get("https://{}/x", {options}).text()); if r.ok {{ r.value }} else {{ r.error.kind }}"#,
            server.name()
        );
        assert_eq!(hoist.value(&script), said, "{options}");
    }
}

#[test]
fn people_are_told_by_hooks_chat_and_mail() {
    let (hoist, server) = (Hoist::new(), Faulty::alone());
    server.once("POST /hook", Fault::Answer(Answer::status(502)));
    server.always("POST /hook", ok(""));
    server.always("POST /slack", ok("ok"));
    let program = mailer(&hoist, "");
    let script = format!(
        r##"notify::webhook("http://{0}/hook", #{{event: "pruned", size: 10.mib}}, #{{token: "{WORD}"}});
        notify::slack("http://{0}/slack", "*done*", #{{channel: "#ops"}});
        notify::mail(["a@example.org", "b@example.org"], "räumen", "frei: 1.2 GB\n", #{{from: "hoist@example.org", bcc: "c@example.org", sendmail: {program:?}}});
        0"##,
        server.name()
    );
    hoist.eval(&script).success();
    let seen = server.seen();
    assert_eq!(seen.len(), 3, "one was sent again");
    assert_eq!(seen[1].body, br#"{"event":"pruned","size":10485760}"#);
    assert_eq!(seen[1].header("authorization"), Some(format!("Bearer {WORD}").as_str()));
    assert_eq!(seen[2].body, br##"{"channel":"#ops","text":"*done*"}"##);
    let words = std::fs::read_to_string(hoist.file("words")).unwrap();
    assert_eq!(
        words,
        "-i\n-f\nhoist@example.org\n--\na@example.org\nb@example.org\nc@example.org\n"
    );
    let mail = std::fs::read_to_string(hoist.file("mail")).unwrap();
    let (head, body) = mail.split_once("\n\n").unwrap();
    assert!(
        head.contains("<a@example.org>") && head.contains("<b@example.org>") && !head.contains("c@example.org"),
        "{mail}"
    );
    assert!(
        head.contains("Subject: =?utf-8?") && body.contains("frei: 1.2 GB"),
        "{mail}"
    );
    // A program that does not take it says why; nothing can be smuggled into a mail or its program's words.
    let program = mailer(&hoist, "echo 'no such user' >&2; exit 67");
    for (to, subject, kind) in [
        ("a@example.org", "x", "exit_status"),
        ("-oQ/tmp", "x", "invalid"),
        ("a@b\\nBcc: c@d", "x", "invalid"),
        ("a@b", "x\\nBcc: c@d", "invalid"),
    ] {
        let script =
            format!(r#"attempt(|| notify::mail("{to}", "{subject}", "", #{{sendmail: {program:?}}})).error.kind"#);
        assert_eq!(hoist.value(&script), kind, "{to} {subject}");
    }
}

#[test]
fn a_dry_run_tells_nobody_and_says_whom_it_would() {
    let (hoist, server) = (Hoist::new(), Faulty::alone());
    server.always("* /", ok("[]"));
    let program = mailer(&hoist, "");
    let script = format!(
        r#"http::get("http://{0}/read"); let r = http::post("http://{0}/write", #{{token: secret::env("WORD")}}); if r.status == 200 {{ }}
        notify::webhook("http://{0}/hook", 1); notify::slack("http://{0}/slack", "x");
        notify::mail("a@example.org", "s", "t", #{{sendmail: {program:?}}}); host::exec("touch made");"#,
        server.name()
    );
    let path = hoist.write("tell.rhai", script);
    let output = hoist
        .command(&["--dry-run", "run", path.to_str().unwrap()])
        .env("WORD", WORD)
        .output()
        .success();
    assert_eq!(server.seen().len(), 1, "reading is real");
    assert!(!hoist.file("mail").exists() && !hoist.file("made").exists());
    for told in [
        "http::post",
        "notify::webhook",
        "notify::slack",
        "notify::mail",
        "host::exec",
        "`status` of an answer",
    ] {
        assert!(output.stderr.contains(told), "{told}: {}", output.stderr);
    }
    assert!(!output.stderr.contains(WORD));
    // A plan is a file, and would hold the secret.
    let planned = hoist
        .command(&["plan", path.to_str().unwrap(), "-o", "plan.json"])
        .env("WORD", WORD)
        .output();
    assert!(planned.stderr.contains("a plan is a file"), "{}", planned.stderr);
}

#[test]
fn programs_and_hosts_are_allowed_by_name() {
    let (hoist, server) = (Hoist::new(), Faulty::alone());
    server.always("* /", ok(""));
    let program = mailer(&hoist, "");
    let cases = [
        ("--allow-exec=host:uname", r#"host::exec(["uname"])"#.to_owned(), true),
        ("--allow-exec=uname", r#"host::exec(["uname"])"#.to_owned(), false),
        ("--allow-exec=host:uname", r#"host::exec("uname")"#.to_owned(), false),
        ("--deny-exec=host:/*", r#"host::exec(["uname"])"#.to_owned(), false),
        (
            "--allow-read",
            format!(r#"notify::mail("a@b", "s", "t", #{{sendmail: {program:?}}})"#),
            false,
        ),
        (
            "--allow-net=127.0.0.1",
            format!(r#"notify::slack("http://{}/", "x")"#, server.name()),
            true,
        ),
        (
            "--allow-net=localhost",
            format!(r#"notify::webhook("http://{}/", 1)"#, server.name()),
            false,
        ),
    ];
    for (flag, call, may) in cases {
        let path = hoist.write("call.rhai", &call);
        let output = hoist.run(&[flag, "run", path.to_str().unwrap()]);
        assert_eq!(
            output.status.code(),
            Some(if may { 0 } else { 3 }),
            "{flag} {call}: {}",
            output.stderr
        );
    }
}

#[test]
fn ctrl_c_ends_a_program_with_all_it_has_started() {
    let hoist = Hoist::new();
    let script = r#"host::exec("sleep 1000 & echo $! >> pids; setsid sh -c 'sleep 1000 & echo $! >> pids'; echo ready; wait", #{stream: true})"#;
    let path = hoist.write("long.rhai", script);
    let mut running = hoist.command(&["run", path.to_str().unwrap()]).spawn();
    running.wait_for("ready");
    running.signal(Signal::SIGINT);
    let (_, status) = running.wait();
    assert_eq!(status.code(), Some(130));
    let pids = std::fs::read_to_string(hoist.file("pids")).unwrap();
    assert_eq!(pids.lines().count(), 2);
    for pid in pids.lines() {
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(state.is_empty() || state.contains(") Z "), "{pid} runs on: {state}");
    }
}
