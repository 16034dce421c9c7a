//! The harness finds what it is there to find: a test that rests on it would otherwise pass on nothing.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::harness::forge::{Files, Item, layer};
use crate::harness::tree::{Ignore, Tree};
use crate::harness::{
    Answer, Authority, Fault, Faulty, Filters, Hoist, Merged, Output, Peers, assert_same, inputs, program, tool,
};

/// A small tree with something of most kinds, the same on each call.
fn plant(root: &Path) {
    fs::create_dir_all(root.join("dir")).unwrap();
    fs::write(root.join("dir/file"), "content").unwrap();
    fs::hard_link(root.join("dir/file"), root.join("link")).unwrap();
    symlink("dir/file", root.join("symlink")).unwrap();
    tool(root, "mknod", &["null", "c", "1", "3"]);
    tool(root, "setfattr", &["--name", "user.note", "--value", "yes", "dir/file"]);
    for name in ["dir/file", "symlink", "null", "dir", "."] {
        tool(root, "touch", &["--no-dereference", "--date", "@1000000000.25", name]);
    }
}

#[test]
fn a_tree_is_compared_field_by_field() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    plant(&a);
    plant(&b);
    let right = Tree::read(&a);
    right.assert_same(&Tree::read(&b), Ignore::default());

    let changes: [(&str, &[&str], &str); 8] = [
        ("chmod", &["4755", "dir/file"], "mode is 4755, not 0644"),
        ("chown", &["7:8", "null"], "owner is 7:8, not 0:0"),
        (
            "touch",
            &["--date", "@1000000000.5", "dir"],
            "time is 1000000000.500000000, not 1000000000.250000000",
        ),
        (
            "setfattr",
            &["--name", "user.note", "--value", "no", "dir/file"],
            "extended attributes is [user.note=no], not [user.note=yes]",
        ),
        (
            "ln",
            &["--symbolic", "--force", "elsewhere", "symlink"],
            "target is \"elsewhere\", not \"dir/file\"",
        ),
        (
            "cp",
            &["--remove-destination", "dir/file", "link"],
            "link: hard link is absent, not \"dir/file\"",
        ),
        (
            "sh",
            &["-c", "rm null && mknod null c 1 5"],
            "device is (1, 5), not (1, 3)",
        ),
        ("sh", &["-c", "printf CONTENT > dir/file"], "dir/file: content is"),
    ];
    for (program, args, expected) in changes {
        fs::remove_dir_all(&b).unwrap();
        plant(&b);
        tool(&b, program, args);
        let lines = right.differences(&Tree::read(&b), Ignore::default());
        assert!(
            lines.iter().any(|line| line.contains(expected)),
            "`{expected}` is not in {lines:#?}"
        );
    }
}

#[test]
fn a_tree_with_more_or_less_in_it_is_another_tree() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    plant(dir.path());
    let right = Tree::read(dir.path());
    fs::remove_file(dir.path().join("null")).unwrap();
    fs::write(dir.path().join("new"), "").unwrap();
    let other = Tree::read(dir.path());
    let ignore = Ignore {
        root: true,
        ..Ignore::default()
    };
    assert_eq!(
        right.differences(&other, ignore),
        ["new: should not be there", "null: is missing"]
    );
    let ignore = Ignore {
        root: true,
        paths: &["new", "null"],
        ..Ignore::default()
    };
    assert!(right.differences(&other, ignore).is_empty());
}

#[test]
#[should_panic(expected = "left behind:\na mount:")]
fn a_mount_that_stays_is_found() {
    let hoist = Hoist::new();
    let target = hoist.file("mounted");
    fs::create_dir(&target).unwrap();
    tool(
        Path::new("/"),
        "mount",
        &["-t", "tmpfs", "tmpfs", target.to_str().unwrap()],
    );
    // Lazily, after the judgement: the harness waits for it, and then finds it.
    let _unmount = Unmount(target);
    drop(hoist);
}

struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = nix::mount::umount(&self.0);
        let _ = fs::remove_dir_all(self.0.ancestors().nth(2).unwrap());
    }
}

#[test]
#[should_panic(expected = "left behind:\nprocess ")]
fn a_process_that_stays_is_found() {
    let hoist = Hoist::new();
    let mut child = program("sh")
        .args(["-c", "read nothing", hoist.root().to_str().unwrap()])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(hoist)));
    drop(child.stdin.take());
    child.wait().unwrap();
    judged.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

#[test]
#[should_panic(expected = "left behind:\na control group:")]
fn a_control_group_that_stays_is_found() {
    let hoist = Hoist::new();
    let id = format!("harness-{}", std::process::id());
    let container = hoist.root().join("containers").join(&id);
    fs::create_dir(&container).unwrap();
    fs::remove_dir(&container).unwrap();
    let group = Path::new("/sys/fs/cgroup/pids/hoist").join(&id);
    fs::create_dir_all(&group).unwrap();
    let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(hoist)));
    fs::remove_dir(&group).unwrap();
    judged.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

#[test]
fn filters_hide_what_differs_from_run_to_run() {
    let id = "0123456789ab".repeat(6);
    let text = format!(
        "sha256:{} {} 2026-01-02T03:04:05Z 3 hours ago 1.5ms /var/x/y  ",
        &id[..64],
        &id[..12]
    );
    let filtered = Filters::new().path(Path::new("/var/x"), "[X]").apply(&text);
    assert_same(
        &filtered,
        "[DIGEST] [SHORT-ID] [TIME] [AGE] [DURATION] [X]/y",
        "filters",
    );
}

#[test]
#[should_panic(expected = "line 2 differs\nexpected: b\n  actual: c")]
fn texts_are_compared_line_by_line() {
    assert_same("a\nc", "a\nb", "texts");
}

#[test]
#[should_panic(expected = "it should have ended with 3: `sh -c echo out; exit 4`")]
fn an_exit_code_is_compared_and_reported_with_the_output() {
    let mut command = program("sh");
    command.args(["-c", "echo out; exit 4"]);
    Output::of(command, None).fails_with(3);
}

#[test]
fn the_peers_are_there_and_leave_nothing() {
    let peers = Peers::new();
    peers
        .podman(&[
            "load",
            "--quiet",
            "--input",
            inputs::path("busybox.docker.tar").to_str().unwrap(),
        ])
        .success();
    let seen = peers
        .podman(&[
            "run",
            "--rm",
            "--network",
            "none",
            "example.org/busybox:docker",
            "echo",
            "hello",
        ])
        .success();
    assert_eq!(seen.text(), "hello");
    let id = peers
        .podman(&["image", "inspect", "--format", "{{.Id}}", "example.org/busybox:docker"])
        .success();
    assert_eq!(format!("sha256:{}", id.text()), inputs::image_id("busybox.docker.tar"));
}

#[test]
fn every_tool_has_written_every_image() {
    for image in ["busybox", "debian", "layers"] {
        let archives = inputs::archives(image);
        assert_eq!(archives.len(), 8, "{archives:?}");
        for archive in archives {
            assert!(inputs::image_id(&archive).starts_with("sha256:"), "{archive}");
        }
    }
}

#[test]
fn layers_are_seen_as_one_tree() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    for (path, content) in [
        ("low/kept", "low"),
        ("low/covered", "low"),
        ("high/covered", "high"),
        ("high/new", "high"),
    ] {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    tool(&dir.path().join("high"), "mknod", &["gone", "c", "0", "0"]);
    fs::write(dir.path().join("low/gone"), "low").unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let merged = Merged::new(&format!("{}:{}", at("high"), at("low")));
    let read = |name: &str| fs::read_to_string(merged.path().join(name)).ok();
    assert_eq!(read("kept").as_deref(), Some("low"));
    assert_eq!(read("covered").as_deref(), Some("high"));
    assert_eq!(read("gone"), None);
    assert_eq!(Tree::read(&merged.path()).0.len(), 4);
}

/// So that a forged archive with one lie in it is refused for that lie.
#[test]
fn forged_archives_without_a_lie_are_good_to_others() {
    let peers = Peers::new();
    let layers = [
        layer(&[("dir", Item::Dir), ("dir/file", Item::File(b"text"))]),
        layer(&[("link", Item::Symlink("dir"))]),
    ];
    for (files, transport) in [
        (Files::docker(&layers, "example.org/a:1"), "docker-archive"),
        (Files::oci(&layers, "a"), "oci-archive"),
    ] {
        let path = peers.file(transport);
        fs::write(&path, files.pack()).unwrap();
        let copy = format!("dir:{}", peers.file("copy").display());
        peers
            .run(&[
                "skopeo",
                "copy",
                "--quiet",
                &format!("{transport}:{}", path.display()),
                &copy,
            ])
            .success();
    }
}

/// What comes for a request by a connection of its own, to its end, however it comes.
fn ask(wire: &mut (impl Read + Write), method: &str, target: &str, headers: &str) -> (Vec<u8>, Option<ErrorKind>) {
    write!(
        wire,
        "{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n"
    )
    .unwrap();
    let mut answer = Vec::new();
    let end = wire.read_to_end(&mut answer).err().map(|error| error.kind());
    (answer, end)
}

#[test]
fn faults_are_what_they_are_called() {
    let real = Faulty::alone();
    let blob: Vec<u8> = (0..100).collect();
    real.always(
        "GET /blob",
        Fault::Answer(Answer::status(200).header("Connection", "close").body(blob.clone())),
    );
    let faulty = Faulty::before(real.address());
    let get = |headers: &str| {
        ask(
            &mut TcpStream::connect(faulty.address()).unwrap(),
            "GET",
            "/blob",
            headers,
        )
    };
    let body = |answer: &[u8]| answer.split(|byte| *byte == b'\n').next_back().unwrap().to_vec();
    let text = |answer: &[u8]| String::from_utf8_lossy(answer).into_owned();
    faulty.once("GET /blob", Fault::Truncate(7));
    let (answer, end) = get("");
    assert_eq!((body(&answer).len(), end), (7, None));
    assert!(text(&answer).contains("Content-Length: 100\r\n"), "{}", text(&answer));
    faulty.once("GET /blob", Fault::Reset(7));
    assert_eq!(get("").1, Some(ErrorKind::ConnectionReset));
    faulty.once("GET /blob", Fault::Drop);
    assert_eq!(get(""), (Vec::new(), Some(ErrorKind::ConnectionReset)));
    faulty.once("GET /blob", Fault::Length(-1));
    assert!(text(&get("").0).contains("Content-Length: 99\r\n"));
    faulty.once("GET /blob", Fault::Flip(0));
    assert_ne!(body(&get("").0), blob);
    faulty.once("GET /blob", Fault::WrongRange);
    let (answer, _) = get("Range: bytes=50-\r\n");
    assert!(text(&answer).starts_with("HTTP/1.1 206 ") && text(&answer).contains("Content-Range: bytes 0-49/100\r\n"));
    faulty.once(
        "GET /blob",
        Fault::Answer(Answer::status(429).header("Retry-After", "1")),
    );
    assert!(text(&get("Authorization: Basic c2VjcmV0\r\n").0).contains("Retry-After: 1\r\n"));
    assert_eq!(faulty.count("GET /blob"), 7);
    assert_eq!(real.count("GET /blob"), 5);
    real.assert_never_sent("c2VjcmV0");
    assert!(faulty.seen()[6].header("authorization") == Some("Basic c2VjcmV0"));
}

#[test]
fn a_faulty_registry_shows_the_certificate_it_was_given() {
    let authority = Authority::new();
    let try_with = |signed: &rustls::ServerConfig| {
        let faulty = Faulty::with_tls(None, std::sync::Arc::new(signed.clone()));
        let mut roots = rustls::RootCertStore::empty();
        let pem = authority.pem().as_bytes();
        roots
            .add(rustls::pki_types::pem::PemObject::from_pem_slice(pem).unwrap())
            .unwrap();
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = rustls::ClientConnection::new(config.into(), "localhost".try_into().unwrap()).unwrap();
        let mut wire = rustls::StreamOwned::new(client, TcpStream::connect(faulty.address()).unwrap());
        wire.write_all(b"GET /v2/ HTTP/1.1\r\n\r\n")?;
        wire.read_exact(&mut [0; 8])
    };
    try_with(&authority.sign(&["localhost"]).server()).unwrap();
    for bad in [
        authority.sign(&["elsewhere"]),
        authority.sign_expired(&["localhost"]),
        Authority::new().sign(&["localhost"]),
    ] {
        let error = try_with(&bad.server()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
    }
}
