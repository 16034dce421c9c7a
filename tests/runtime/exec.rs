//! Further commands in a running container.

use hoist::error::Kind;
use hoist::model::Context;
use hoist::runtime::{self, ExecRequest, Output, Request, Stdin};

use super::place::{Place, command, exec, until};

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
