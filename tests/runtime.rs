//! Containers for real: a busybox root, the real kernel, the real supervisor. Needs root and `/bin/busybox` (static).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hoist::error::{Error, Kind};
use hoist::model::{ContainerId, Context};
use hoist::runtime::limits::Limits;
use hoist::runtime::{self, Bind, Bundle, ExecRequest, Exit, Output, Request, Signal, Status, Stdin, Stream, Tmpfs};

/// A place for containers with one busybox layer; all of them are deleted at the end.
struct Place {
    dir: tempfile::TempDir,
    bundles: std::cell::RefCell<Vec<Bundle>>,
}

/// What a run came to.
#[derive(Debug)]
struct Ran {
    exit: Exit,
    stdout: String,
    stderr: String,
}

impl Place {
    fn new() -> Place {
        runtime::set_executable(env!("CARGO_BIN_EXE_hoist"));
        let dir = tempfile::tempdir().unwrap();
        let layer = dir.path().join("layer");
        for name in ["bin", "etc", "proc", "tmp"] {
            fs::create_dir_all(layer.join(name)).unwrap();
        }
        let busybox = ["/bin/busybox", "/usr/bin/busybox"]
            .iter()
            .find(|path| Path::new(path).exists());
        fs::copy(busybox.expect("install busybox-static"), layer.join("bin/busybox")).unwrap();
        for applet in "sh true false cat echo id ls sleep hostname mount grep pwd touch kill env ping wc head yes dd mkdir ps stat seq".split(' ') {
            symlink("busybox", layer.join("bin").join(applet)).unwrap();
        }
        fs::write(
            layer.join("etc/passwd"),
            "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n",
        )
        .unwrap();
        fs::write(layer.join("etc/group"), "root:x:0:\nstaff:x:50:app\n").unwrap();
        Place {
            dir,
            bundles: Vec::new().into(),
        }
    }

    fn layer(&self) -> PathBuf {
        self.dir.path().join("layer")
    }

    fn request(&self, script: &str) -> Request {
        let args = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        Request {
            args,
            lower: vec![self.layer()],
            volatile: true,
            ..Request::default()
        }
    }

    fn create(&self, request: &Request) -> Bundle {
        self.try_create(request).unwrap()
    }

    fn try_create(&self, request: &Request) -> Result<Bundle, Error> {
        let id = ContainerId::generate().unwrap();
        let (dir, run_dir) = (
            self.dir.path().join("c").join(id.as_str()),
            self.dir.path().join("r").join(id.as_str()),
        );
        let bundle = Bundle { id, dir, run_dir };
        self.bundles.borrow_mut().push(bundle.clone());
        runtime::create(&bundle, request)?;
        Ok(bundle)
    }

    fn run(&self, request: &Request) -> Ran {
        run(&Context::new(), &self.create(request), Stdin::Null).unwrap()
    }

    fn sh(&self, script: &str) -> String {
        let ran = self.run(&self.request(script));
        assert_eq!(ran.exit.code, 0, "{script}: {}{}", ran.stdout, ran.stderr);
        ran.stdout
    }

    fn start(&self, request: &Request) -> Bundle {
        let bundle = self.create(&Request {
            volatile: false,
            ..request.clone()
        });
        runtime::start(&Context::new(), &bundle).unwrap();
        bundle
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for bundle in self.bundles.borrow().iter() {
            let deleted = runtime::delete(bundle);
            if !std::thread::panicking() {
                deleted.unwrap();
                assert!(leftovers(bundle).is_empty(), "{:?}", leftovers(bundle));
            }
        }
    }
}

fn run(ctx: &Context, bundle: &Bundle, stdin: Stdin) -> Result<Ran, Error> {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let output = Output {
        stdout: Box::new(|bytes| stdout.extend_from_slice(bytes)),
        stderr: Box::new(|bytes| stderr.extend_from_slice(bytes)),
    };
    let exit = runtime::run(ctx, bundle, stdin, output)?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Ran {
        exit,
        stdout: text(stdout),
        stderr: text(stderr),
    })
}

fn exec(bundle: &Bundle, request: &ExecRequest, stdin: Stdin) -> Result<Ran, Error> {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let output = Output {
        stdout: Box::new(|bytes| stdout.extend_from_slice(bytes)),
        stderr: Box::new(|bytes| stderr.extend_from_slice(bytes)),
    };
    let exit = runtime::exec(&Context::new(), bundle, request, stdin, output)?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Ran {
        exit,
        stdout: text(stdout),
        stderr: text(stderr),
    })
}

fn command(script: &str) -> ExecRequest {
    ExecRequest {
        args: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        ..ExecRequest::default()
    }
}

fn status(bundle: &Bundle) -> Status {
    runtime::state(bundle).unwrap().status
}

/// Waits until something is so; what is waited for is another process's doing, which has no descriptor to wait on.
fn until(what: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !what() {
        assert!(Instant::now() < end, "it never happened");
        Context::new().sleep(Duration::from_millis(2)).unwrap();
    }
}

/// Mounts, control groups and files that still bear a container's id.
fn leftovers(bundle: &Bundle) -> Vec<String> {
    let id = bundle.id.as_str();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut left: Vec<String> = mounts
        .lines()
        .filter(|line| line.contains(id))
        .map(str::to_owned)
        .collect();
    for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
        for group in ["hoist", "process_api/hoist"] {
            let path = hierarchy.path().join(group).join(id);
            left.extend(path.exists().then(|| path.display().to_string()));
        }
    }
    left.extend(
        [&bundle.dir, &bundle.run_dir]
            .into_iter()
            .filter(|dir| dir.exists())
            .map(|dir| dir.display().to_string()),
    );
    left
}

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
fn a_container_sees_itself_alone() {
    let place = Place::new();
    let bundle = place.create(&place.request("echo $$; hostname; cat /etc/hostname; echo $HOSTNAME"));
    let id = bundle.id.short().to_owned();
    let ran = run(&Context::new(), &bundle, Stdin::Null).unwrap();
    assert_eq!(ran.stdout, format!("1\n{id}\n{id}\n{id}\n"));
    assert_eq!(
        place.sh("ls /proc/self/fd").split_whitespace().collect::<Vec<_>>(),
        ["0", "1", "2", "3"]
    );
    assert!(place.sh("ls /proc | grep -c '^[0-9]'").trim().parse::<u32>().unwrap() <= 3);
    // Nothing of the host's mounts is left, in particular no path of this test.
    let mounts = place.sh("cat /proc/self/mountinfo");
    let outside = |line: &&str| {
        line.split(' ')
            .nth(4)
            .is_some_and(|at| at.contains("oldroot") || at.starts_with("/mnt"))
    };
    assert_eq!(mounts.lines().find(outside), None, "{mounts}");
    // Loopback alone, and up (IFF_UP | IFF_LOOPBACK).
    assert_eq!(
        place.sh("cd /sys/class/net; ls; cat lo/flags; cat /proc/sys/net/ipv4/ping_group_range"),
        "lo\n0x9\n0\t2147483647\n"
    );
}

#[test]
fn rights_are_no_more_than_the_default() {
    let place = Place::new();
    let args = ["cat", "/proc/self/status"].map(str::to_owned).to_vec();
    let status = place
        .run(&Request {
            args,
            ..place.request("")
        })
        .stdout;
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    // CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE SYS_CHROOT SETFCAP
    for (set, bits) in [
        ("CapInh", 0),
        ("CapPrm", 0x8004_05fb),
        ("CapEff", 0x8004_05fb),
        ("CapBnd", 0x8004_05fb),
        ("CapAmb", 0),
    ] {
        assert_eq!(u64::from_str_radix(&field(set), 16).unwrap(), bits, "{set}");
    }
    assert_eq!(
        (field("Seccomp:"), field("NoNewPrivs:"), field("Umask:")),
        ("2".into(), "0".into(), "0022".into())
    );
    for field_name in ["SigBlk", "SigIgn", "SigCgt"] {
        assert_eq!(u64::from_str_radix(&field(field_name), 16).unwrap(), 0, "{field_name}");
    }
    let strict = Request {
        no_new_privileges: true,
        user: "app".into(),
        ..place.request("cat /proc/self/status")
    };
    let status = place.run(&strict).stdout;
    assert!(
        status.contains("NoNewPrivs:\t1") && status.contains("CapEff:\t0000000000000000"),
        "{status}"
    );
}

#[test]
fn what_tells_of_the_host_is_hidden_and_what_changes_it_is_read_only() {
    let place = Place::new();
    assert_eq!(
        place.sh("cat /proc/kcore /proc/keys /proc/timer_list /proc/interrupts; ls /sys/firmware"),
        ""
    );
    for path in [
        "/proc/sys/kernel/core_pattern",
        "/sys/class/net/lo/mtu",
        "/sys/kernel/profiling",
    ] {
        let ran = place.run(&place.request(&format!("echo x > {path}")));
        assert!(
            ran.exit.code != 0 && ran.stderr.contains("ead-only"),
            "{path}: {}",
            ran.stderr
        );
    }
    let nodes = place
        .sh("stat -c '%n %t:%T %a' /dev/null /dev/zero /dev/tty; ls /dev; echo x > /dev/null; echo hi > /dev/shm/x");
    assert!(
        nodes.starts_with("/dev/null 1:3 666\n/dev/zero 1:5 666\n/dev/tty 5:0 666\n"),
        "{nodes}"
    );
    let devices = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero";
    assert_eq!(nodes.lines().skip(3).collect::<Vec<_>>().join(" "), devices);
}

#[test]
fn limits_hold_and_are_seen_from_inside() {
    let place = Place::new();
    let limits = Limits {
        memory: Some(16 << 20),
        pids: Some(8),
        cpus: Some(0.5),
        ..Limits::default()
    };
    let bite = "for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done; wait";
    let ran = place.run(&Request {
        limits: limits.clone(),
        timeout: Some(Duration::from_secs(2)),
        ..place.request(bite)
    });
    assert!(ran.stderr.contains("can't fork"), "{ran:?}");
    let args = ["dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"]
        .map(str::to_owned)
        .to_vec();
    let ran = place.run(&Request {
        limits: limits.clone(),
        args,
        ..place.request("")
    });
    assert_eq!((ran.exit.oom_killed, ran.exit.code), (true, 137), "{ran:?}");
    // Its own groups are the top, and it cannot write to them.
    let script = "cat /proc/self/cgroup; cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes pids/pids.max; echo 1 > pids/tasks; mkdir x";
    let ran = place.run(&Request {
        limits,
        ..place.request(script)
    });
    let (groups, rest) = ran.stdout.split_at(ran.stdout.find("\n16777216").unwrap());
    assert!(groups.lines().all(|line| line.ends_with(":/")), "{groups}");
    assert_eq!(rest, "\n16777216\n8\n");
    assert_eq!(ran.stderr.matches("ead-only file system").count(), 2, "{}", ran.stderr);
    let limits = Limits {
        memory: Some(1),
        ..Limits::default()
    };
    let request = Request {
        limits,
        ..place.request("true")
    };
    assert_eq!(place.try_create(&request).unwrap_err().kind(), Kind::Invalid);
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
fn an_image_cannot_lead_mounts_out_of_its_root() {
    let place = Place::new();
    let outside = place.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, place.layer().join("data")).unwrap();
    symlink("../../../../../../../../..", place.layer().join("dev")).unwrap();
    symlink("/run/absent/resolv.conf", place.layer().join("etc/resolv.conf")).unwrap();
    let request = Request {
        cwd: "/data/deep".to_owned(),
        tmpfs: vec![Tmpfs {
            target: "/data/scratch".into(),
            options: Vec::new(),
        }],
        ..place.request("pwd; ls /data")
    };
    let ran = run(&Context::new(), &place.create(&request), Stdin::Null);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    // A `/dev` that is a link to the root would cover everything; that is the image's own loss.
    drop(ran);
    fs::remove_file(place.layer().join("dev")).unwrap();
    let ran = place.run(&request);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert!(ran.stdout.contains("deep\nscratch\n"), "{ran:?}");
    fs::remove_dir(place.layer().join("proc")).unwrap();
    symlink("etc", place.layer().join("proc")).unwrap();
    let error = run(&Context::new(), &place.create(&request), Stdin::Null).unwrap_err();
    assert_eq!(
        error.message(),
        "failed to mount `/proc`: `/proc` is a link in the image"
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
        Stdin::Null,
        Output {
            stdout: Box::new(|_| ctx.cancel()),
            stderr: Box::new(|_| {}),
        },
    )
    .unwrap_err();
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
fn a_detached_container_keeps_its_log_and_its_end() {
    let place = Place::new();
    let bundle = place.start(&place.request("echo one; echo two >&2; printf three; exit 3"));
    let exit = runtime::wait(&Context::new(), &bundle).unwrap();
    assert_eq!(exit.code, 3);
    let state = runtime::state(&bundle).unwrap();
    assert_eq!((state.status, state.exit.as_ref()), (Status::Exited, Some(&exit)));
    let lines = runtime::logs(&bundle).unwrap().map(Result::unwrap);
    let mut lines: Vec<_> = lines
        .map(|line| (line.stream, String::from_utf8(line.text).unwrap(), line.partial))
        .collect();
    lines.sort_by_key(|line| line.0 as u8);
    let expected = [
        (Stream::Stdout, "one", false),
        (Stream::Stdout, "three", true),
        (Stream::Stderr, "two", false),
    ];
    assert_eq!(
        lines,
        expected.map(|(stream, text, partial)| (stream, text.to_owned(), partial))
    );
    // It can be started again, and its log goes on.
    runtime::start(&Context::new(), &bundle).unwrap();
    runtime::wait(&Context::new(), &bundle).unwrap();
    assert_eq!(runtime::logs(&bundle).unwrap().count(), 6);
}

#[test]
fn stop_asks_and_then_kills() {
    let place = Place::new();
    let polite = place.start(&place.request("trap 'exit 5' TERM; echo up; while true; do sleep 0.05; done"));
    until(|| runtime::logs(&polite).unwrap().count() == 1);
    runtime::stop(&Context::new(), &polite, Signal::TERM, Duration::from_secs(10)).unwrap();
    assert_eq!(runtime::state(&polite).unwrap().exit.unwrap().code, 5);
    let deaf = place.start(&place.request("trap '' TERM; sleep 1000"));
    runtime::stop(&Context::new(), &deaf, Signal::TERM, Duration::from_millis(100)).unwrap();
    assert_eq!(runtime::state(&deaf).unwrap().exit.unwrap().signal, Some(9));
    // Stopping what is stopped does nothing; killing it is refused.
    runtime::stop(&Context::new(), &deaf, Signal::TERM, Duration::from_secs(10)).unwrap();
    assert_eq!(
        runtime::kill(&deaf, "KILL".parse().unwrap()).unwrap_err().kind(),
        Kind::Conflict
    );
    assert_eq!(
        runtime::wait(&Context::new(), &place.create(&place.request("true")))
            .unwrap_err()
            .kind(),
        Kind::Conflict
    );
}

#[test]
fn a_waiter_gives_up_when_told_and_a_container_goes_on() {
    let place = Place::new();
    let bundle = place.start(&place.request("sleep 1000"));
    let ctx = Context::new().with_timeout(Duration::from_millis(50));
    assert_eq!(runtime::wait(&ctx, &bundle).unwrap_err().kind(), Kind::Timeout);
    assert_eq!(status(&bundle), Status::Running);
    assert_eq!(
        runtime::start(&Context::new(), &bundle).unwrap_err().kind(),
        Kind::Conflict
    );
    runtime::kill(&bundle, "KILL".parse().unwrap()).unwrap();
    assert_eq!(runtime::wait(&Context::new(), &bundle).unwrap().code, 137);
}

#[test]
fn a_paused_container_stands_still_and_can_be_killed() {
    let place = Place::new();
    let bundle = place.start(&place.request("while true; do echo x; sleep 0.01; done"));
    runtime::pause(&bundle).unwrap();
    assert_eq!(status(&bundle), Status::Paused);
    assert_eq!(
        exec(&bundle, &command("true"), Stdin::Null).unwrap_err().kind(),
        Kind::Conflict
    );
    assert_eq!(runtime::pause(&bundle).unwrap_err().kind(), Kind::Conflict);
    runtime::unpause(&bundle).unwrap();
    assert_eq!(status(&bundle), Status::Running);
    let before = runtime::logs(&bundle).unwrap().count();
    until(|| runtime::logs(&bundle).unwrap().count() > before);
    runtime::pause(&bundle).unwrap();
    runtime::kill(&bundle, "KILL".parse().unwrap()).unwrap();
    assert_eq!(runtime::wait(&Context::new(), &bundle).unwrap().code, 137);
}

#[test]
fn a_command_runs_inside_a_running_container() {
    let place = Place::new();
    let request = Request {
        env: vec!["A=1".into(), "B=1".into()],
        cwd: "/tmp".into(),
        ..place.request("echo mark > /mark; sleep 1000")
    };
    let bundle = place.start(&request);
    until(|| exec(&bundle, &command("cat /mark"), Stdin::Null).unwrap().stdout == "mark\n");
    let ran = exec(
        &bundle,
        &ExecRequest {
            env: vec!["B=2".into()],
            ..command("echo $A $B; pwd; id -u; cat; exit 4")
        },
        Stdin::Bytes(b"in".to_vec()),
    );
    let ran = ran.unwrap();
    assert_eq!(
        (ran.stdout.as_str(), ran.exit.code),
        ("1 2\n/tmp\n0\nin", 4),
        "{}",
        ran.stderr
    );
    let request = ExecRequest {
        user: "app".into(),
        cwd: "/etc".into(),
        ..command("id -u; id -G; pwd; echo $HOME; echo x > /dev/stderr")
    };
    let ran = exec(&bundle, &request, Stdin::Null).unwrap();
    assert_eq!(
        (ran.stdout.as_str(), ran.stderr.as_str()),
        ("1000\n1001 50\n/etc\n/home/app\n", "x\n")
    );
    let status = exec(&bundle, &command("cat /proc/self/status"), Stdin::Null)
        .unwrap()
        .stdout;
    assert!(
        status.contains("CapEff:\t00000000800405fb") && status.contains("CapInh:\t0000000000000000"),
        "{status}"
    );
    assert!(status.contains("Seccomp:\t2"), "{status}");
    // The same namespaces and control groups as the first process.
    let same = "for n in mnt pid uts ipc net cgroup; do stat -L -c %i /proc/1/ns/$n /proc/self/ns/$n; done; cat /proc/1/cgroup /proc/self/cgroup";
    let ran = exec(&bundle, &command(same), Stdin::Null).unwrap();
    let lines: Vec<_> = ran.stdout.lines().collect();
    assert!(lines[..12].chunks(2).all(|pair| pair[0] == pair[1]), "{}", ran.stdout);
    let groups = &lines[12..];
    assert_eq!(groups[..groups.len() / 2], groups[groups.len() / 2..]);
    for (program, kind) in [("absent", Kind::NotFound), ("/etc", Kind::Denied)] {
        let request = ExecRequest {
            args: vec![program.to_owned()],
            ..ExecRequest::default()
        };
        assert_eq!(exec(&bundle, &request, Stdin::Null).unwrap_err().kind(), kind);
    }
    let fds = exec(
        &bundle,
        &ExecRequest {
            args: vec!["ls".into(), "/proc/self/fd".into()],
            ..ExecRequest::default()
        },
        Stdin::Null,
    );
    assert_eq!(
        fds.unwrap().stdout.split_whitespace().collect::<Vec<_>>(),
        ["0", "1", "2", "3"]
    );
}

#[test]
fn a_cancelled_command_is_killed_and_one_left_behind_does_not_hold_the_caller() {
    let place = Place::new();
    let bundle = place.start(&place.request("sleep 1000"));
    let ctx = Context::new();
    let output = Output {
        stdout: Box::new(|_| ctx.cancel()),
        stderr: Box::new(|_| {}),
    };
    let error = runtime::exec(&ctx, &bundle, &command("echo up; exec sleep 500"), Stdin::Null, output).unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled);
    assert!(
        !exec(&bundle, &command("ps"), Stdin::Null)
            .unwrap()
            .stdout
            .contains("sleep 500")
    );
    let ran = exec(&bundle, &command("yes & echo done"), Stdin::Null).unwrap();
    assert_eq!(ran.exit.code, 0);
    // The end of the container is the end of a command in it.
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| exec(&bundle, &command("exec sleep 501"), Stdin::Null));
        until(|| {
            exec(&bundle, &command("ps"), Stdin::Null)
                .unwrap()
                .stdout
                .contains("sleep 501")
        });
        runtime::kill(&bundle, "KILL".parse().unwrap()).unwrap();
        assert_eq!(waiting.join().unwrap().unwrap().exit.code, 137);
    });
}

#[test]
fn the_root_is_seen_running_and_stopped() {
    let place = Place::new();
    let request = Request {
        tmpfs: vec![Tmpfs {
            target: "/m".into(),
            options: Vec::new(),
        }],
        ..place.request("echo a > /m/f; echo b > /f; sleep 1000")
    };
    let bundle = place.start(&request);
    let read = |path: &str| {
        let root = runtime::root(&bundle).unwrap();
        fs::read_to_string(format!(
            "/proc/self/fd/{}/{path}",
            std::os::fd::AsRawFd::as_raw_fd(&root)
        ))
        .ok()
    };
    until(|| read("f").is_some());
    assert_eq!(read("m/f").as_deref(), Some("a\n"));
    // What would be exported has no volumes, and cannot be written to.
    let view = runtime::view(&bundle).unwrap();
    let at = |path: &str| format!("/proc/self/fd/{}/{path}", std::os::fd::AsRawFd::as_raw_fd(&view));
    assert_eq!(fs::read_to_string(at("f")).unwrap(), "b\n");
    assert!(Path::new(&at("bin/busybox")).exists() && !Path::new(&at("m/f")).exists());
    assert!(fs::write(at("g"), "").is_err());
    runtime::stop(&Context::new(), &bundle, Signal::TERM, Duration::ZERO).unwrap();
    assert_eq!((read("m/f"), read("f").as_deref()), (None, Some("b\n")));
}

#[test]
fn a_killed_supervisor_is_told_and_cleaned_up_after() {
    let place = Place::new();
    let bundle = place.start(&place.request("sleep 1000"));
    let record: serde_json::Value =
        serde_json::from_slice(&fs::read(bundle.run_dir.join("state.json")).unwrap()).unwrap();
    let supervisor = i32::try_from(record["supervisor"]["pid"].as_i64().unwrap()).unwrap();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(supervisor),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    // Until the supervisor is seen to be gone, this one is refused for the supervisor's sake, then for the container's.
    assert_eq!(status(&bundle), Status::Running);
    runtime::kill(&bundle, "KILL".parse().unwrap()).unwrap();
    until(|| status(&bundle) == Status::Dead);
    assert_eq!(runtime::wait(&Context::new(), &bundle).unwrap().code, 255);
    runtime::start(&Context::new(), &bundle).unwrap();
    assert_eq!(status(&bundle), Status::Running);
    runtime::delete(&bundle).unwrap();
    runtime::delete(&bundle).unwrap();
    assert_eq!(runtime::state(&bundle).unwrap_err().kind(), Kind::NotFound);
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
