//! Kernels older than this machine's, and all controllers in one hierarchy. Debian 12's kernel stacks layers only by options of one
//! text, and copies only mounts that are attached.

use crate::harness::{Guest, tool};
use crate::layers::{Model, tall};

/// The lines of a part of what the machine printed, after `--- NAME`.
fn part<'a>(printed: &'a str, name: &str) -> Vec<&'a str> {
    let (_, rest) = printed
        .split_once(&format!("--- {name}\n"))
        .unwrap_or_else(|| panic!("no `{name}` in:\n{printed}"));
    rest.lines().take_while(|line| !line.starts_with("--- ")).collect()
}

fn files(lines: &[&str]) -> Model {
    let pairs = lines
        .iter()
        .map(|line| line.split_once(':').unwrap_or_else(|| panic!("{line}")));
    pairs
        .map(|(path, text)| (path.to_owned(), format!("{text}\n")))
        .collect()
}

#[test]
fn images_run_and_commit_on_debian_12s_kernel() {
    // The first fit into one option of `fsconfig`, the others only into those of `mount(2)`.
    let (few, few_files) = tall(3);
    let (many, many_files) = tall(120);
    let script = r#"
        uname -r
        # As a kernel may be built: what is not asked for is on.
        for option in metacopy redirect_dir index xino_auto; do echo Y >/sys/module/overlay/parameters/$option; done
        hoist() { command hoist --root /var/hoist --run-root /run/hoist --trash 0 "$@"; }
        run() { hoist eval "container::run(\"$1\", [\"/bin/sh\", \"-c\", \"$2\"]).stdout"; }
        for image in few many; do
            hoist eval "let image = image::load(\"$image.tar\")[0]; image::tag(image.id, \"$image\"); 0" >/dev/null
            echo "--- $image files"; run $image "cd /; find t -type f -exec grep -H '' {} +"
            echo "--- $image mount"; run $image "grep ' / / ' /proc/self/mountinfo"
            echo "--- $image commit"
            hoist eval "let c = container::create(\"$image\", [\"/bin/sh\", \"-c\", \"rm /t/own/2; echo new >/t/new\"]);
                c.start(); c.wait(); c.commit(\"$image-2\"); c.diff().map(|d| \`\${d.kind} \${d.path}\`).to_string()"
            echo "--- $image committed"; run $image-2 "cd /; find t -type f -exec grep -H '' {} +"
        done
        echo "--- clean"
        hoist eval "for c in container::list(#{all: true}) { c.remove(); } image::prune(#{all: true}); image::list(#{all: true}).len()"
        ls /var/hoist/layers | wc -l
        grep -c hoist /proc/mounts || true
        echo "--- end""#;
    let printed = Guest::new().with("few.tar", &few).with("many.tar", &many).run(script);
    assert!(printed.starts_with("6.1."), "{printed}");
    for (image, mut model) in [("few", few_files), ("many", many_files)] {
        assert_eq!(files(&part(&printed, &format!("{image} files"))), model);
        let mount = part(&printed, &format!("{image} mount")).join("");
        // `xino` is shown where the layers are on several file systems only.
        for option in ["metacopy=off", "index=off", "redirect_dir=off"] {
            assert!(mount.contains(option), "{mount}");
        }
        let told = part(&printed, &format!("{image} commit")).join("");
        for change in ["added /t/new", "deleted /t/own/2"] {
            assert!(told.contains(change), "{told}");
        }
        model.remove("t/own/2");
        model.insert("t/new".into(), "new\n".into());
        assert_eq!(files(&part(&printed, &format!("{image} committed"))), model);
    }
    assert_eq!(part(&printed, "clean"), ["0", "0", "0"]);
}

/// What of a profile `apparmor_parser` would give to a kernel with AppArmor.
fn apparmor_profile(text: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("profile"), text).unwrap();
    let features = "/etc/apparmor.d/abi/3.0";
    let args = [
        "--skip-kernel-load",
        "--skip-cache",
        "--kernel-features",
        features,
        "--ofile",
        "binary",
        "profile",
    ];
    tool(dir.path(), "apparmor_parser", &args);
    std::fs::read(dir.path().join("binary")).unwrap()
}

#[test]
fn programs_run_under_their_apparmor_profiles() {
    let (few, _) = tall(3);
    let profile = apparmor_profile(
        "abi <abi/3.0>,\nprofile hoist-test flags=(attach_disconnected) {\n  file,\n  capability,\n  signal,\n  deny /t/own/2 r,\n}\n",
    );
    let script = r#"
        mount -t securityfs securityfs /sys/kernel/security
        cat profile >/sys/kernel/security/apparmor/.replace
        hoist() { command hoist --root /var/hoist --run-root /run/hoist "$@"; }
        cat >profiles.rhai <<'END'
            let image = image::load("few.tar")[0];
            image::tag(image.id, "few");
            let look = "cat /proc/self/attr/apparmor/current; cat /t/own/2 2>&1";
            let run = |profile| container::run("few", look, #{check: false, security_opt: ["apparmor=" + profile]}).text();
            print(container::run("few", look).text());
            print(run.call("unconfined"));
            print(run.call("hoist-test"));
            let c = container::run_detached("few", "while :; do sleep 1; done", #{security_opt: ["apparmor=hoist-test"]});
            print(c.exec("cat /proc/self/attr/apparmor/current").text());
            print(c.inspect().AppArmorProfile);
            c.remove(#{force: true});
            let e = attempt(|| container::run("few", "true", #{security_opt: ["apparmor=no-such"]})).error;
            print(`${e.kind}: ${e.hint}`);
END
        hoist run profiles.rhai"#;
    let printed = Guest::new().with("few.tar", &few).with("profile", &profile).run(script);
    let lines: Vec<&str> = printed.lines().collect();
    let confined = "hoist-test (enforce)";
    let expected = [
        "unconfined",
        "2",
        "unconfined",
        "2",
        confined,
        "cat: can't open '/t/own/2': Permission denied",
        confined,
        "hoist-test",
        "not_found: no such profile is loaded: `apparmor_parser --replace FILE` loads those of a file",
    ];
    assert_eq!(lines, expected, "{printed}");
}

/// What machines of today have, and the one these tests run on has not: all controllers in the unified hierarchy.
#[test]
fn limits_hold_and_change_and_are_counted_under_control_groups_v2() {
    let (few, _) = tall(3);
    let script = r#"
        # What the kernel says of a process it kills is not to come between the lines.
        echo 1 >/proc/sys/kernel/printk
        hoist() { command hoist --root /var/hoist --run-root /run/hoist "$@"; }
        hoist eval 'let image = image::load("few.tar")[0]; image::tag(image.id, "few"); 0' >/dev/null
        cat >limits.rhai <<'END'
            let options = #{name: "up", memory: 64.mib, memory_reservation: 32.mib, pids_limit: 9, cpus: 0.5, cpu_shares: 512, cpuset_cpus: "0"};
            let c = container::run_detached("few", ["/bin/sh", "-c", "while :; do :; done"], options);
            let busy = || { let s = c.stats(); while s.cpu < 300.millis || s.throttled == 0.seconds { s = c.stats(); } s };
            let s = timeout(5.minutes, busy);
            print(`stats ${s.memory_limit} ${s.pids} ${s.pids_limit} ${s.memory > 0} ${s.pressure.cpu >= 0.0}`);
            c.update(#{memory: 32.mib, memory_reservation: 16.mib, pids_limit: 3});
            print(`updated ${c.stats().memory_limit} ${c.stats().pids_limit}`);
            c.pause();
            let before = c.stats().cpu;
            let after = c.stats().cpu;
            print(`${c.reload().status} ${before == after}`);
            c.unpause();
            let forks = "for i in 1 2 3 4 5; do sleep 1000 & done";
            print(`forks ${c.exec(["/bin/sh", "-c", forks], #{check: false}).stderr.contains("fork")}`);
            print(`top ${c.top().filter(|p| p.inside == 1)[0].command}`);
            c.remove(#{force: true});
            let hog = ["/bin/sh", "-c", "dd if=/dev/zero of=/dev/shm/x bs=1M count=40"];
            let rule = ["/bin/sh", "-c", "mknod /x c 1 5; dd if=/x of=/dev/null bs=1 count=1 2>/dev/null && echo 1; mknod /y c 4 64; cat /dev/z"];
            let devices = #{check: false, cap_add: ["MKNOD"], devices: ["/dev/ttyS0:/dev/z:w"]};
            let ruled = container::run("few", rule, devices);
            print(`devices ${ruled.text()} ${ruled.stderr.lines().map(|l| l.contains("Operation not permitted")).filter(|b| b).len()}`);
            devices.device_cgroup_rules = ["c 4:64 m"];
            print(`rules ${container::run("few", ["/bin/sh", "-c", "mknod /y c 4 64"], devices).code}`);
            let hogged = container::run("few", hog, #{memory: 16.mib, check: false});
            print(`hog ${hogged.oom_killed} ${hogged.ok}`);
END
        hoist run limits.rhai
        cat /sys/fs/cgroup/cgroup.subtree_control
        ls -d /sys/fs/cgroup/hoist/*/ 2>/dev/null | wc -l"#;
    let printed = Guest::new().with("few.tar", &few).run(script);
    let lines: Vec<&str> = printed.lines().collect();
    let expected = [
        "stats 67108864 1 9 true true",
        "updated 33554432 3",
        "paused true",
        "forks true",
        "top /bin/sh -c while :; do :; done",
        "devices 1 2",
        "rules 0",
        "hog true false",
    ];
    assert_eq!(&lines[..expected.len().min(lines.len())], expected, "{printed}");
    assert!(lines[expected.len()].contains("memory"), "{printed}");
    assert_eq!(lines.last(), Some(&"0"), "{printed}");
}
