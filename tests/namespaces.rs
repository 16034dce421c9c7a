//! Containers that share namespaces with the host, or with each other.

use std::fs;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::harness::Hoist;

#[track_caller]
fn refused(hoist: &Hoist, expression: &str) -> (String, String) {
    let error = hoist.value(&format!("let e = attempt(|| {expression}).error; [e.kind, e.message]"));
    let text = |at: usize| error[at].as_str().map(str::to_owned);
    let both = text(0).zip(text(1));
    both.unwrap_or_else(|| panic!("`{expression}` threw nothing"))
}

/// What a shell command prints in a container with these options.
#[track_caller]
fn inside(hoist: &Hoist, command: &str, options: &str) -> String {
    let script = format!(
        r#"container::run("busybox", {}, #{{{options}}}).text()"#,
        json!(command)
    );
    hoist.value(&script).as_str().unwrap().trim().to_owned()
}

fn start(hoist: &Hoist, name: &str, command: &str, options: &str) {
    let script = format!(
        r#"container::run_detached("busybox", {}, #{{name: "{name}", {options}}}).pid"#,
        json!(command)
    );
    hoist.eval(&script).success();
}

fn exec(hoist: &Hoist, name: &str, command: &str) -> String {
    let script = format!(r#"container::get("{name}").exec({}).text()"#, json!(command));
    hoist.value(&script).as_str().unwrap().trim().to_owned()
}

/// What the kernel calls a namespace of a process.
fn namespace(process: &str, kind: &str) -> String {
    let link = fs::read_link(format!("/proc/{process}/ns/{kind}")).unwrap();
    link.to_string_lossy().into_owned()
}

fn namespace_of(hoist: &Hoist, name: &str, kind: &str) -> String {
    let pid = hoist.value(&format!(r#"container::get("{name}").pid"#));
    namespace(&pid.to_string(), kind)
}

fn kill_supervisor(hoist: &Hoist, name: &str) {
    let id = hoist.value(&format!(r#"container::get("{name}").id"#));
    let file = hoist
        .run_root()
        .join("containers")
        .join(id.as_str().unwrap())
        .join("state.json");
    let state: serde_json::Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let pid = i32::try_from(state["supervisor"]["pid"].as_i64().unwrap()).unwrap();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}

/// Whether any process of this machine was started with this word.
fn runs(word: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    lines.any(|line| {
        line.split(|byte| *byte == 0)
            .any(|argument| argument == word.as_bytes())
    })
}

#[test]
fn a_namespace_is_private_unless_the_hosts_is_asked_for() {
    let hoist = Hoist::with_busybox();
    for (option, kind) in [("pid", "pid"), ("ipc", "ipc"), ("uts", "uts"), ("cgroupns", "cgroup")] {
        let (show, host) = (format!("readlink /proc/self/ns/{kind}"), namespace("self", kind));
        assert_ne!(inside(&hoist, &show, ""), host, "{option}");
        assert_ne!(
            inside(&hoist, &show, &format!(r#"{option}: "private""#)),
            host,
            "{option}"
        );
        assert_eq!(inside(&hoist, &show, &format!(r#"{option}: "host""#)), host, "{option}");
        let wrong = format!(r#"container::run("busybox", ["true"], #{{{option}: "hots"}})"#);
        assert_eq!(refused(&hoist, &wrong).0, "invalid", "{option}");
    }
    // A further command is where the first one is.
    start(
        &hoist,
        "up",
        "sleep 1000",
        r#"pid: "host", ipc: "host", uts: "host", cgroupns: "host""#,
    );
    for kind in ["pid", "ipc", "uts", "cgroup"] {
        let shown = exec(&hoist, "up", &format!("readlink /proc/self/ns/{kind}"));
        assert_eq!(shown, namespace("self", kind));
    }
    assert_ne!(
        exec(&hoist, "up", "readlink /proc/self/ns/mnt"),
        namespace("self", "mnt")
    );
    let modes =
        r#"|c| { let h = c.inspect().HostConfig; [h.PidMode, h.IpcMode, h.UTSMode, h.CgroupnsMode, h.NetworkMode] }"#;
    let shown = hoist.value(&format!(r#"let f = {modes}; f.call(container::get("up"))"#));
    assert_eq!(shown, json!(["host", "host", "host", "host", "none"]));
    let shown = hoist.value(&format!(r#"let f = {modes}; f.call(container::create("busybox"))"#));
    assert_eq!(shown, json!(["", "private", "", "private", "none"]));
}

#[test]
fn what_goes_with_the_hosts_namespaces_is_the_hosts() {
    let hoist = Hoist::with_busybox();
    let own = std::process::id();
    assert_eq!(
        inside(&hoist, &format!("test -d /proc/{own} && echo yes"), r#"pid: "host""#),
        "yes"
    );
    let host_name = nix::unistd::gethostname().unwrap().into_string().unwrap();
    let show = "hostname; echo $HOSTNAME; cat /etc/hostname";
    let expected = [host_name.as_str(); 3].join("\n");
    assert_eq!(inside(&hoist, show, r#"uts: "host""#), expected);
    assert_eq!(nix::unistd::gethostname().unwrap().to_str(), Some(host_name.as_str()));
    let file = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
    fs::write(file.path(), "from the host").unwrap();
    let show = format!(
        "cat {}; grep -c ' /dev/shm .*nosuid,nodev,noexec' /proc/mounts",
        file.path().display()
    );
    assert_eq!(inside(&hoist, &show, r#"ipc: "host""#), "from the host1");
    // The view of the control groups is of all, and not to be written to.
    let show = "grep -c hoist/ /proc/self/cgroup >/dev/null && mkdir $(ls -d /sys/fs/cgroup/* | head -n 1)/x 2>&1 | grep -o 'Read-only.*'";
    assert_eq!(inside(&hoist, show, r#"cgroupns: "host""#), "Read-only file system");
}

/// There the death of the first process is not that of the others.
#[test]
fn a_container_among_foreign_processes_leaves_none() {
    let hoist = Hoist::with_busybox();
    start(&hoist, "owner", "sleep 1000", "");
    let act = |script: &str| {
        hoist
            .eval(&format!(r#"let c = container::get("guest"); {script}"#))
            .success();
    };
    for (number, pid) in [(1, "host"), (2, "container:owner")] {
        let word = |end: u32| format!("9{}.{number}{end}", std::process::id());
        let leave = |end| format!("sleep {} & (trap '' TERM; setsid sleep {}) & ", word(end), word(end));
        let options = format!(r#"pid: "{pid}""#);
        // It ends by itself.
        start(
            &hoist,
            "guest",
            &format!("mkfifo /fifo; {}read line < /fifo", leave(1)),
            &options,
        );
        exec(&hoist, "guest", &format!("{}echo > /fifo", leave(2)));
        act("c.wait()");
        assert!(!runs(&word(1)) && !runs(&word(2)), "with {pid}");
        act("c.remove()");
        // It is stopped, and when its supervisor was killed before, started again.
        start(&hoist, "guest", &format!("{}exec sleep 1000", leave(3)), &options);
        act("c.stop(#{timeout: 0.seconds})");
        assert!(!runs(&word(3)), "with {pid}");
        act("c.start()");
        exec(&hoist, "guest", &leave(4));
        kill_supervisor(&hoist, "guest");
        act("c.kill(); c.wait(); c.start()");
        assert!(!runs(&word(4)), "with {pid}");
        act("c.remove(#{force: true})");
        assert!(!runs(&word(3)), "with {pid}");
    }
    assert_eq!(hoist.value(r#"container::get("owner").status"#), "running");
}

#[test]
fn what_is_shared_cannot_be_chosen() {
    let hoist = Hoist::with_busybox();
    start(&hoist, "owner", "sleep 1000", "");
    let cases = [
        r#"uts: "host", hostname: "box""#,
        r#"uts: "container:owner""#,
        r#"cgroupns: "container:owner""#,
        r#"network: "container:owner", hostname: "box""#,
        r#"network: "container:owner", add_hosts: ["db:10.0.0.5"]"#,
        r#"network: "container:owner", dns: ["10.0.0.5"]"#,
        r#"network: "container:owner", sysctls: #{"net.core.somaxconn": 77}"#,
        r#"ipc: "host", sysctls: #{"kernel.shmmni": 55}"#,
        r#"ipc: "container:owner", sysctls: #{"fs.mqueue.msg_max": 9}"#,
        r#"ipc: "host", shm_size: 1.mib"#,
        r#"ipc: "container:owner", shm_size: 1.mib"#,
    ];
    for options in cases {
        let call = format!(r#"container::run("busybox", ["true"], #{{{options}}})"#);
        assert_eq!(refused(&hoist, &call).0, "invalid", "{options}");
    }
}

#[test]
fn containers_share_processes_memory_and_network() {
    let hoist = Hoist::with_busybox();
    start(&hoist, "owner", "echo mine > /dev/shm/left; exec sleep 1000", "");
    exec(&hoist, "owner", "touch /dev/mqueue/queue");
    let id = hoist
        .value(r#"container::get("owner").id"#)
        .as_str()
        .unwrap()
        .to_owned();
    let all = format!(
        r#"pid: "container:owner", ipc: "container:{id}", network: "container:{}""#,
        &id[..12]
    );
    start(&hoist, "guest", "sleep 1000", &all);
    for kind in ["pid", "ipc", "net"] {
        let shared = namespace_of(&hoist, "owner", kind);
        assert_eq!(namespace_of(&hoist, "guest", kind), shared);
        let show = format!("readlink /proc/self/ns/{kind}");
        assert_eq!(exec(&hoist, "guest", &show), shared);
        assert_eq!(inside(&hoist, &show, &all), shared);
    }
    for kind in ["mnt", "uts", "cgroup"] {
        assert_ne!(namespace_of(&hoist, "guest", kind), namespace_of(&hoist, "owner", kind));
    }
    // Its `/proc` is that of the processes it is among.
    assert_eq!(exec(&hoist, "guest", "tr '\\0' ' ' < /proc/1/cmdline"), "sleep 1000");
    assert_eq!(
        exec(&hoist, "guest", "cat /dev/shm/left; ls /dev/mqueue"),
        "mine\nqueue"
    );
    exec(&hoist, "guest", "echo theirs > /dev/shm/found");
    assert_eq!(exec(&hoist, "owner", "cat /dev/shm/found"), "theirs");
    let files = "hostname; cat /etc/hosts /etc/hostname";
    assert_eq!(exec(&hoist, "guest", files), exec(&hoist, "owner", files));
    let host = r#"let h = container::get("guest").inspect().HostConfig; [h.PidMode, h.IpcMode, h.NetworkMode]"#;
    let mode = format!("container:{id}");
    assert_eq!(hoist.value(host), json!([mode, mode, mode]));
    // Nothing else of the owner is seen: not its files, and nothing of the host.
    exec(&hoist, "owner", "touch /own");
    assert_eq!(exec(&hoist, "guest", "ls /own 2>/dev/null | wc -l"), "0");
    assert!(!Path::new("/dev/shm/found").exists());
}

#[test]
fn the_owner_of_a_namespace_must_run() {
    let hoist = Hoist::with_busybox();
    start(&hoist, "owner", "sleep 1000", "");
    for option in ["pid", "ipc", "network"] {
        let call = format!(r#"container::run("busybox", ["true"], #{{{option}: "container:nobody"}})"#);
        let message = format!("failed to share the {option} namespace of `nobody`: container `nobody` does not exist");
        assert_eq!(refused(&hoist, &call), ("not_found".to_owned(), message));
    }
    start(&hoist, "guest", "sleep 1000", r#"pid: "container:owner""#);
    // Whoever has a namespace of processes takes them all along.
    hoist
        .eval(r#"container::get("owner").kill(); container::get("guest").wait()"#)
        .success();
    assert_eq!(hoist.value(r#"container::get("guest").exit_code"#), 137);
    let message = "failed to start `guest`, which shares the pid namespace of `owner`: container `owner` is exited";
    let again = r#"container::get("guest").start()"#;
    assert_eq!(refused(&hoist, again), ("conflict".to_owned(), message.to_owned()));
    // The namespace it joins is the one its owner has then.
    hoist
        .eval(r#"container::get("owner").start(); container::get("guest").start()"#)
        .success();
    let shared = namespace_of(&hoist, "owner", "pid");
    assert_eq!(namespace_of(&hoist, "guest", "pid"), shared);
    hoist
        .eval(r#"container::get("owner").remove(#{force: true}); container::get("guest").wait()"#)
        .success();
    assert_eq!(refused(&hoist, again).0, "not_found");
    // What could not be started is not left behind.
    let stopped = r#"container::create("busybox", ["true"], #{name: "idle"}); attempt(|| container::run_detached("busybox", ["true"], #{name: "new", ipc: "container:idle"})).error.kind"#;
    assert_eq!(hoist.value(stopped), "conflict");
    assert_eq!(hoist.value(r#"container::exists("new")"#), false);
}

#[test]
fn name_servers_are_those_it_is_told_of_or_the_hosts() {
    let hoist = Hoist::with_busybox();
    let resolv = |options: &str| {
        let call = format!(r#"container::run("busybox", ["cat", "/etc/resolv.conf"], #{{{options}}}).stdout"#);
        hoist.value(&call).as_str().unwrap().to_owned()
    };
    let told = "nameserver 10.0.0.5\nnameserver fd00::1\n";
    let dns = r#"dns: ["10.0.0.5", "fd00::1"]"#;
    assert_eq!(resolv(dns), told);
    assert_eq!(resolv(&format!(r#"network: "host", {dns}"#)), told);
    assert_eq!(resolv(""), "");
    let own = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    assert_eq!(resolv(r#"network: "host""#), own);
    let (kind, message) = refused(
        &hoist,
        r#"container::create("busybox", ["true"], #{dns: ["one.one.one.one"]})"#,
    );
    assert_eq!(kind, "invalid");
    assert!(
        message.contains("`one.one.one.one` is not the address of a name server"),
        "{message}"
    );
}
