//! Who the container is, and what it may do to the kernel.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::{inside, load_over_busybox, refused};
use crate::harness::forge::Item;
use crate::harness::{Hoist, Output, program};
use crate::hostile::Beside;

/// CVE-2016-3697, CVE-2026-30892: a user in another form than expected is root.
#[test]
fn users_are_who_they_are_said_to_be() {
    let beside = Beside::with_busybox();
    let hoist = &beside.hoist;
    let passwd = b"root:x:0:0::/root:/bin/sh\n1000:x:0:0::/:/bin/sh\n1:x:0:0::/:/bin/sh\napp:x:33:34::/:/bin/sh\n: :0:0::/:/bin/sh\n";
    let group = b"root:x:0:\nstaff:x:50:\n1000:x:0:\n";
    load_over_busybox(
        hoist,
        &[
            ("etc", Item::Dir),
            ("etc/passwd", Item::File(passwd)),
            ("etc/group", Item::File(group)),
        ],
    );
    let known = [
        ("1", "1"),
        ("1:1", "1 1"),
        ("1000", "1000"),
        ("1000:1000", "1000 1000"),
        ("app", "33 34"),
        ("app:staff", "33 50"),
        ("app:7", "33 7"),
        ("00", "0"),
        ("007", "7"),
    ];
    let wrong = [
        "0x1",
        "1e3",
        " 1",
        "1 ",
        "1:",
        ":",
        "-1",
        "-1:0",
        "nobody-here",
        "app:nobody-here",
        "1:-1",
        "2147483648",
        "4294967295",
        "4294967296",
        "18446744073709551616",
        "1\n",
        "app\0",
        "+1",
        "１",
    ];
    let script = format!(
        r#"
        let c = container::run_detached("attack:1", ["/bin/sleep", "1000"]);
        let table = {}.map(|user| ["run", "exec"].map(|way| {{
            let look = ["/bin/sh", "-c", "/bin/id -u; /bin/id -g"];
            let r = attempt(|| if way == "run" {{ container::run("attack:1", look, #{{user: user}}) }} else {{ c.exec(look, #{{user: user}}) }});
            if r.ok {{ r.value.stdout }} else {{ r.error.kind }}
        }}));
        c.remove(#{{force: true}});
        table"#,
        json!(known.iter().map(|(user, _)| *user).chain(wrong).collect::<Vec<_>>())
    );
    let table = hoist.value(&script);
    for (at, (user, ids)) in known.iter().enumerate() {
        for seen in table[at].as_array().unwrap() {
            let words: Vec<_> = seen.as_str().unwrap().split_whitespace().collect();
            let ids: Vec<_> = ids.split(' ').collect();
            assert_eq!(words[..ids.len()], ids, "`{user}`");
        }
    }
    for (at, user) in wrong.iter().enumerate() {
        for kind in table[known.len() + at].as_array().unwrap() {
            // Of words that could be names there is no such user.
            let is_refused = kind == "invalid" || kind == "not_found";
            assert!(is_refused, "`{}`: {kind}", user.escape_debug());
        }
    }
    hoist.assert_nothing_left();
}

/// CVE-2022-24769, CVE-2022-27650, CVE-2022-29162, CVE-2022-27649: capabilities that are inheritable, so that a program with
/// capabilities of its own gets more than its user may have. CVE-2022-36109: groups of the engine's own.
#[test]
fn nothing_is_inherited() {
    let hoist = Hoist::with_busybox();
    let script = r#"
        let look = "grep -E '^(CapInh|CapAmb|Groups)' /proc/self/status | cut -f 2";
        let c = container::run_detached("busybox", ["sleep", "1000"], #{cap_add: ["SYS_PTRACE"]});
        let seen = [#{}, #{user: "9"}, #{cap_add: ["NET_RAW"]}, #{cap_add: ["ALL"], user: "9:9"}].map(|o| container::run("busybox", look, o).stdout);
        seen += [#{}, #{user: "9"}, #{user: "9:9"}].map(|o| c.exec(look, o).stdout);
        c.remove(#{force: true});
        seen"#;
    for seen in hoist.value(script).as_array().unwrap() {
        let lines: Vec<_> = seen.as_str().unwrap().lines().map(str::trim).collect();
        assert_eq!(
            lines.iter().filter(|line| **line == "0000000000000000").count(),
            2,
            "{lines:?}"
        );
        assert!(
            lines
                .iter()
                .all(|line| ["0000000000000000", "0", "9", ""].contains(line)),
            "{lines:?}"
        );
    }
}

/// CVE-2022-0492, CVE-2023-25809: control groups can be written to, and one of them names a program that the host runs.
#[test]
fn control_groups_are_shown_and_not_written_to() {
    let hoist = Hoist::with_busybox();
    let attack = "cd /sys/fs/cgroup || exit 1; \
        find . -name 'cgroup.procs' -o -name tasks -o -name release_agent -o -name notify_on_release -o -name '*limit_in_bytes' | \
        while read f; do (echo 0 > $f) 2>/dev/null && echo wrote $f; done; \
        for d in . */; do mkdir $d/new 2>/dev/null && echo made $d; done; \
        mkdir /tmp; mkdir /tmp/m; mount -t cgroup -o memory none /tmp/m 2>/dev/null && echo mounted; \
        mount -t cgroup2 none /tmp/m 2>/dev/null && echo mounted; mount -o remount,rw /sys/fs/cgroup 2>/dev/null && echo remounted; \
        unshare -U -r -m -C mount -t cgroup -o memory none /tmp/m 2>/dev/null && echo mounted by user; \
        ls | wc -l";
    for options in [
        "",
        r#"cgroupns: "host""#,
        r#"cgroupns: "host", pid: "host""#,
        r#"user: "9""#,
        r#"cap_add: ["DAC_OVERRIDE", "NET_ADMIN"]"#,
        r#"cgroupns: "host", read_only: true"#,
    ] {
        let seen = inside(&hoist, "busybox", attack, options);
        let count: u32 = seen.trim().parse().unwrap_or_else(|_| panic!("{options}: {seen}"));
        assert!(count > 0, "{options}: there were no groups to try");
    }
    hoist.assert_nothing_left();
}

/// CVE-2022-0811: a kernel setting that is the host's, by itself or behind one that is not.
#[test]
fn kernel_settings_of_the_host_are_refused() {
    let hoist = Hoist::with_busybox();
    let settings = || ["core_pattern", "panic"].map(|name| fs::read(format!("/proc/sys/kernel/{name}")).unwrap());
    let before = settings();
    for (name, value) in [
        ("kernel.core_pattern", "|/x"),
        ("kernel.panic", "1"),
        ("vm.swappiness", "1"),
        ("kernel.shm_rmid_forced+kernel.core_pattern", "1+|/x"),
        ("net.ipv4.ip_default_ttl/../../../kernel/core_pattern", "|/x"),
        ("net/../kernel/core_pattern", "|/x"),
        ("net..kernel.core_pattern", "|/x"),
        ("net.ipv4.ip_default_ttl\nkernel.core_pattern", "1"),
        ("kernel.msgmax\u{0}", "1"),
        ("", "1"),
        (".", "1"),
        ("net.", "1"),
    ] {
        let options = json!({ name: value });
        let call = format!(
            r#"container::run("busybox", ["true"], #{{sysctls: json::parse({})}})"#,
            json!(options.to_string())
        );
        let kind = refused(&hoist, &call);
        assert!(kind == "invalid" || kind == "not_found", "{name:?}: {kind}");
    }
    assert_eq!(settings(), before);
    hoist.assert_nothing_left();
}

/// GHSA-6fw5-f8r9-fgfm, GHSA-jq35-85cj-fj4p: what tells of other containers' work is hidden, whatever is shared with the host.
#[test]
fn what_is_hidden_is_hidden_in_every_combination() {
    let hoist = Hoist::with_busybox();
    let look = "for f in /proc/kcore /proc/keys /proc/timer_list /proc/interrupts /proc/sched_debug /proc/latency_stats /proc/timer_stats; do \
        [ -e $f ] && head -c 1 $f | wc -c; done; \
        for d in /proc/acpi /proc/scsi /proc/asound /sys/firmware /sys/devices/virtual/powercap /sys/fs/selinux /sys/devices/system/cpu/cpu0/thermal_throttle; do \
        [ -d $d ] && ls -A $d | wc -l; done; \
        for f in /proc/sysrq-trigger /proc/sys/kernel/core_pattern /proc/irq/default_smp_affinity; do [ -e $f ] && (echo x > $f) 2>/dev/null && echo wrote $f; done; \
        echo end";
    let spaces = ["pid", "ipc", "uts", "cgroupns", "network"];
    let script = format!(
        r#"
        let wrong = [];
        for set in 0..{count} {{
            let options = #{{}};
            let bit = 1;
            for name in {spaces} {{ if (set & bit) != 0 {{ options[name] = "host"; }} bit *= 2; }}
            let out = container::run("busybox", {look}, options).stdout;
            if out.split("\n").some(|l| l != "0" && l != "end" && l != "") || !out.contains("0") {{ wrong.push([options, out]); }}
        }}
        wrong"#,
        count = 1 << spaces.len(),
        spaces = json!(spaces),
        look = json!(look)
    );
    assert_eq!(hoist.value(&script), json!([]));
    hoist.assert_nothing_left();
}

/// CVE-2021-41091: users of the host go through the store, and run what containers have left there with other rights.
#[test]
fn the_store_is_closed_to_users_of_the_host() {
    let hoist = Hoist::with_busybox();
    hoist
        .eval(r#"container::run_detached("busybox", ["sleep", "1000"], #{name: "c", volumes: ["v:/v"]}).exec("cp /bin/busybox /v/su; chmod 4755 /v/su")"#)
        .success();
    // As a disk of its own often is: open to all, so that what is in it has to be closed itself.
    let root = hoist.root();
    fs::set_permissions(&root, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    for root in [root, hoist.run_root()] {
        let mut command = program("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "find", "-L"]);
        let open = [
            "-mindepth",
            "1",
            "(",
            "-type",
            "d",
            "-readable",
            "-o",
            "-type",
            "f",
            "-readable",
            ")",
        ];
        let seen = Output::of(command_with(command, &root, &open), None);
        let files: Vec<_> = seen.stdout.lines().collect();
        let known = ["hoist.db-reserve", "hoist.db-users", "run-root", "root"];
        let more: Vec<_> = files
            .iter()
            .filter(|file| !known.iter().any(|name| file.ends_with(name)))
            .collect();
        assert!(more.is_empty(), "{more:?}");
    }
    hoist.eval(r#"container::get("c").remove(#{force: true})"#).success();
}

fn command_with(mut command: Command, root: &Path, args: &[&str]) -> Command {
    command.arg(root).args(args);
    command
}
