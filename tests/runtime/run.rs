//! Running a program to its end: what goes in, what comes out, and how it ended.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use hoist::error::Kind;
use hoist::model::Context;
use hoist::runtime::{self, Bind, Contents, Output, Request, Status, Stdin, Tmpfs};

use super::place::{Place, run, status};

#[test]
fn a_program_runs_and_its_output_and_code_come_back() {
    let place = Place::new();
    let ran = place.run(&place.request("echo out; echo err >&2; exit 7"));
    assert_eq!(
        (ran.exit.code, ran.exit.signal, ran.stdout.as_str(), ran.stderr.as_str()),
        (7, None, "out\n", "err\n")
    );
    let ran = place.run(&place.request("kill -9 $$; sleep 9"));
    // The first process of a namespace is immune to signals it sends itself.
    assert_eq!(ran.exit.code, 0);
    let much = place.sh("dd if=/dev/zero bs=1000 count=3000 2>/dev/null");
    assert_eq!(much.len(), 3_000_000);
}

#[test]
fn input_is_read_to_its_end() {
    let place = Place::new();
    let bundle = place.create(&place.request("wc -c; cat"));
    let ran = run(&Context::new(), &bundle, Stdin::Bytes(vec![b'x'; 1_000_000])).unwrap();
    assert_eq!(ran.stdout.trim_start(), "1000000\n", "{}", ran.stderr);
    let ran = run(
        &Context::new(),
        &place.create(&place.request("cat; echo end")),
        Stdin::Null,
    )
    .unwrap();
    assert_eq!(ran.stdout, "end\n");
}

#[test]
fn user_directory_and_environment_are_the_ones_asked_for() {
    let place = Place::new();
    let script = "id -u; id -g; id -G; pwd; echo $HOME $A; touch /tmp/x && echo hi > /dev/stdout";
    fs::set_permissions(place.layer().join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    let request = Request {
        user: "app".to_owned(),
        cwd: "/srv/made/here".to_owned(),
        env: vec!["A=1".to_owned(), "A=2".to_owned()],
        ..place.request(script)
    };
    assert_eq!(
        place.run(&request).stdout,
        "1000\n1001\n1001 50\n/srv/made/here\n/home/app 2\nhi\n"
    );
    let request = Request {
        user: "nobody".to_owned(),
        ..place.request("true")
    };
    let error = run(&Context::new(), &place.create(&request), Stdin::Null).unwrap_err();
    assert_eq!(
        error.message(),
        "there is no user `nobody` in the container's `/etc/passwd`"
    );
}

#[test]
fn volumes_and_memory_file_systems_are_where_they_should_be() {
    let place = Place::new();
    let host = place.dir.path().join("host");
    fs::create_dir(&host).unwrap();
    fs::write(host.join("file"), "from the host").unwrap();
    let bind = |source: &Path, target: &str, read_only| Bind {
        source: source.into(),
        target: target.into(),
        read_only,
        shifted: false,
    };
    let request = Request {
        binds: vec![
            bind(&host, "/data/rw", false),
            bind(&host, "/data/ro", true),
            bind(&host.join("file"), "/etc/one", true),
        ],
        tmpfs: vec![Tmpfs {
            target: "/scratch".into(),
            options: vec!["size=64k".into()],
        }],
        read_only: true,
        ..place.request(
            "cat /etc/one; echo; echo new > /data/rw/new; cat /data/ro/new; touch /data/ro/x; touch /etc/one; touch /x
             echo y > /scratch/y; dd if=/dev/zero of=/scratch/z bs=1k count=100 2>/dev/null || echo full",
        )
    };
    let ran = place.run(&request);
    assert_eq!(ran.stdout, "from the host\nnew\nfull\n");
    assert_eq!(ran.stderr.matches("Read-only file system").count(), 3, "{}", ran.stderr);
    assert_eq!(fs::read_to_string(host.join("new")).unwrap(), "new\n");
    let request = Request {
        binds: vec![bind(Path::new("/nowhere"), "/x", false)],
        ..place.request("true")
    };
    let error = run(&Context::new(), &place.create(&request), Stdin::Null).unwrap_err();
    assert_eq!(
        error.message(),
        "failed to mount `/nowhere` on `/x`: no such file or directory"
    );
}

#[test]
fn a_program_that_cannot_run_is_told_by_code_and_message() {
    let place = Place::new();
    fs::write(place.layer().join("bin/plain"), "text").unwrap();
    fs::write(place.layer().join("bin/script"), "#!/bin/absent\n").unwrap();
    fs::set_permissions(place.layer().join("bin/script"), fs::Permissions::from_mode(0o755)).unwrap();
    for (program, kind, code) in [
        ("absent", Kind::NotFound, 127),
        ("/bin/absent", Kind::NotFound, 127),
        ("plain", Kind::Denied, 126),
        ("/bin/plain", Kind::Denied, 126),
        ("/etc", Kind::Denied, 126),
        ("script", Kind::NotFound, 127),
    ] {
        let bundle = place.create(&Request {
            args: vec![program.to_owned()],
            ..place.request("")
        });
        let error = run(&Context::new(), &bundle, Stdin::Null).unwrap_err();
        let state = runtime::state(&bundle).unwrap();
        assert_eq!(
            (error.kind(), state.status, state.exit.unwrap().code),
            (kind, Status::Exited, code),
            "{program}: {error}"
        );
        assert!(
            error.message().starts_with(&format!("failed to run `{program}`")),
            "{error}"
        );
    }
}

#[test]
fn no_exit_is_lost() {
    let place = Place::new();
    for _ in 0..100 {
        let bundle = place.create(&Request {
            args: vec!["true".to_owned()],
            ..place.request("")
        });
        assert_eq!(run(&Context::new(), &bundle, Stdin::Null).unwrap().exit.code, 0);
        runtime::delete(&bundle).unwrap();
    }
}

#[test]
fn a_cancelled_or_late_run_is_killed_and_gone() {
    let place = Place::new();
    let bundle = place.create(&place.request("echo up; sleep 1000"));
    let ctx = Context::new();
    let error = runtime::run(
        &ctx,
        &bundle,
        &Contents::default(),
        Stdin::Null,
        Output {
            stdout: Box::new(|_| ctx.cancel()),
            stderr: Box::new(|_| {}),
        },
    )
    .err()
    .unwrap();
    assert_eq!(error.kind(), Kind::Cancelled);
    assert_eq!(status(&bundle), Status::Exited);
    let limited = Context::new().with_timeout(Duration::from_millis(300));
    let bundle = place.create(&place.request("yes"));
    assert_eq!(run(&limited, &bundle, Stdin::Null).unwrap_err().kind(), Kind::Timeout);
    let request = Request {
        timeout: Some(Duration::from_millis(200)),
        ..place.request("sleep 1000")
    };
    let ran = place.run(&request);
    assert_eq!(
        (ran.exit.timed_out, ran.exit.code, ran.exit.signal),
        (true, 137, Some(9))
    );
}

#[test]
fn a_caller_that_dies_takes_its_container_along() {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    use std::os::unix::process::CommandExt;
    let place = Place::new();
    let bundle = place.create(&place.request("echo up; sleep 1000"));
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
    #[allow(clippy::disallowed_methods, reason = "stands in for a caller, which then dies")]
    let mut supervisor = std::process::Command::new(env!("CARGO_BIN_EXE_hoist"))
        .arg0("hoist-supervisor")
        .args([bundle.dir.as_os_str(), bundle.run_dir.as_os_str()])
        .args([bundle.id.as_str(), "attached"])
        .stdin(std::process::Stdio::null())
        .stdout(theirs)
        .spawn()
        .unwrap();
    // The connection's first message is that the program runs.
    assert!(
        nix::sys::socket::recv(
            std::os::fd::AsRawFd::as_raw_fd(&ours),
            &mut [0; 1024],
            nix::sys::socket::MsgFlags::empty()
        )
        .unwrap()
            > 0
    );
    assert_eq!(status(&bundle), Status::Running);
    drop(ours);
    supervisor.wait().unwrap();
    assert_eq!(runtime::state(&bundle).unwrap().exit.unwrap().signal, Some(9));
}
