//! System call profiles of one's own, from the outside: what a profile refuses fails inside, at every start.

use std::fs;

use serde_json::{Value, json};

use crate::harness::Hoist;

/// Refuses to make directories, `chroot` without a capability it does not need, and one signal, each with an error nobody expects.
fn profile() -> Value {
    json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
        "syscalls": [
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 18, "comment": "EXDEV"},
            {"names": ["chroot"], "action": "SCMP_ACT_ERRNO", "errnoRet": 40, "excludes": {"caps": ["CAP_SYS_TIME"]}},
            // `kill` with a signal of 9.
            {"names": ["kill"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28, "args": [{"index": 1, "value": 9, "op": "SCMP_CMP_EQ"}]},
        ],
    })
}

/// What `expression` throws: kind and message.
#[track_caller]
fn thrown(hoist: &Hoist, expression: &str) -> (String, String) {
    let error = hoist.value(&format!(
        "let e = attempt(|| {expression}).error; [e.kind, e.message, e.hint]"
    ));
    assert!(error[2].is_string(), "{expression}: {error}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&error[0]), text(&error[1]))
}

/// Each command prints what the profile makes of it.
const COMMANDS: &str = "mkdir /x 2>&1; sleep 9 & kill -9 $! 2>&1; kill -15 $! && echo ended; chroot / true 2>&1";

#[test]
fn a_profile_decides_about_calls_arguments_and_capabilities() {
    let hoist = Hoist::with_busybox();
    let path = hoist.write("profile.json", profile().to_string());
    let path = path.display();
    for options in [
        format!(r#"seccomp: "{path}""#),
        format!(r#"security_opt: "seccomp={path}""#),
        format!(r#"seccomp: "{path}", security_opt: ["no-new-privileges=true", "seccomp={path}"]"#),
    ] {
        let run = |more: &str| {
            let script = format!(
                r#"container::run("busybox", {}, #{{{options}{more}, check: false}}).stdout"#,
                json!(COMMANDS)
            );
            let stdout = hoist.value(&script);
            stdout.as_str().unwrap().to_owned()
        };
        let refused = "mkdir: can't create directory '/x': Invalid cross-device link\n\
                       sh: can't kill pid 3: No space left on device\nended\n";
        let chroot = "chroot: can't change root directory to '/': Too many levels of symbolic links\n";
        assert_eq!(run(""), format!("{refused}{chroot}"), "{options}");
        assert_eq!(run(r#", cap_add: ["SYS_TIME"]"#), refused, "{options}");
    }
    let plain = format!(
        r#"container::run("busybox", {}).stdout"#,
        json!("mkdir /x && echo made")
    );
    assert_eq!(hoist.value(&plain), "made\n");
}

#[test]
fn a_container_keeps_its_profile_and_shows_it() {
    let hoist = Hoist::with_busybox();
    let path = hoist.write("profile.json", serde_json::to_vec_pretty(&profile()).unwrap());
    let script = format!(
        r#"container::create("busybox", "mkdir /x || sleep 1000", #{{name: "kept", security_opt: ["no-new-privileges", "seccomp={}"]}}).id"#,
        path.display()
    );
    hoist.eval(&script).success();
    fs::write(&path, r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#).unwrap();
    for _ in 0..2 {
        let script = r#"let c = container::get("kept"); c.start(); let r = c.exec("mkdir /y; grep NoNewPrivs /proc/self/status", #{check: false});
            c.reload(); let state = c.running; c.kill(); c.wait(); [state, r.stdout, r.stderr]"#;
        let stderr = "mkdir: can't create directory '/y': Invalid cross-device link\n";
        assert_eq!(hoist.value(script), json!([true, "NoNewPrivs:\t1\n", stderr]));
        if path.exists() {
            fs::remove_file(&path).unwrap();
        }
    }
    let shown = hoist.value(r#"container::get("kept").inspect().HostConfig.SecurityOpt"#);
    assert_eq!(shown, json!(["no-new-privileges", format!("seccomp={}", profile())]));
    let others = r#"[container::create("busybox").inspect().HostConfig.SecurityOpt,
        container::create("busybox", #{seccomp: "unconfined"}).inspect().HostConfig.SecurityOpt]"#;
    assert_eq!(hoist.value(others), json!([null, ["seccomp=unconfined"]]));
}

#[test]
fn a_wrong_profile_is_refused_before_there_is_a_container() {
    let hoist = Hoist::with_busybox();
    let rule = |rule: Value| json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["bpf"], "action": "SCMP_ACT_LOG"}, rule]});
    let cases = [
        (json!({"syscalls": []}), "invalid", "missing field `defaultAction`"),
        (
            rule(json!({"names": ["read"], "action": "SCMP_ACT_DENY"})),
            "invalid",
            "rule 2: unknown variant `SCMP_ACT_DENY`",
        ),
        (
            rule(json!({"names": ["read"], "action": "SCMP_ACT_LOG", "arg": []})),
            "invalid",
            "rule 2: unknown field `arg`",
        ),
        (
            rule(json!({"names": ["read"], "action": "SCMP_ACT_NOTIFY"})),
            "unsupported",
            "rule 2 (`read`): `SCMP_ACT_NOTIFY`",
        ),
        (
            rule(json!({"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5000})),
            "invalid",
            "rule 2 (`read`): ",
        ),
    ];
    for (profile, expected, part) in cases {
        let path = hoist.write("wrong.json", profile.to_string());
        let call = format!(r#"container::create("busybox", #{{seccomp: "{}"}})"#, path.display());
        let (kind, message) = thrown(&hoist, &call);
        assert_eq!(kind, expected, "{message}");
        assert!(
            message.contains(&path.display().to_string()) && message.contains(part),
            "{message}"
        );
    }
    for options in [
        r#"seccomp: "/no/such/file""#,
        r#"seccomp: "unconfind""#,
        r#"security_opt: ["apparmor="]"#,
        r#"security_opt: ["seccomp=unconfined"], seccomp: "default""#,
    ] {
        let (kind, message) = thrown(&hoist, &format!(r#"container::create("busybox", #{{{options}}})"#));
        assert_eq!(kind, "invalid", "{options}: {message}");
    }
    assert_eq!(hoist.value("container::list(#{all: true}).len()"), 0);
}

/// A 32-bit program of x86 of this code, which follows its only headers (elf(5)).
fn program_of_32_bits(code: &[u8]) -> Vec<u8> {
    const BASE: u32 = 0x0804_8000;
    const HEADERS: u32 = 52 + 32;
    let length = HEADERS + u32::try_from(code.len()).unwrap();
    let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x03\0".to_vec();
    for word in [1, BASE + HEADERS, 52, 0, 0] {
        file.extend(u32::to_le_bytes(word));
    }
    for half in [52u16, 32, 1, 0, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    for word in [1, 0, BASE, BASE, length, length, 5, 0x1000] {
        file.extend(u32::to_le_bytes(word));
    }
    file.extend(code);
    file
}

#[test]
#[cfg(target_arch = "x86_64")]
fn programs_of_32_bits_run_under_the_same_profile() {
    use std::os::unix::fs::PermissionsExt;
    let hoist = Hoist::with_busybox();
    // `exit(-call(0, 0, 0))`, with the number of the call: what it fails with is the exit code.
    let ending_with = |call: u8| {
        let registers = [0x31, 0xdb, 0x31, 0xc9, 0x31, 0xd2];
        [
            &[0xb8, call, 0, 0, 0][..],
            &registers,
            b"\xcd\x80\xf7\xd8\x89\xc3\xb8\x01\0\0\0\xcd\x80",
        ]
        .concat()
    };
    let dir = hoist.dir().join("programs");
    std::fs::create_dir(&dir).unwrap();
    // read() of nothing; mount() and reboot(), which the profile refuses.
    for (name, call) in [("read", 3), ("mount", 21), ("reboot", 88)] {
        let path = dir.join(name);
        std::fs::write(&path, program_of_32_bits(&ending_with(call))).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let run = |name: &str, options: &str| {
        let script = format!(
            r#"container::run("busybox", ["/p/{name}"], #{{volumes: ["{}:/p"], check: false{options}}}).code"#,
            dir.display()
        );
        hoist.value(&script)
    };
    const EPERM: i32 = 1;
    const EFAULT: i32 = 14;
    assert_eq!(run("read", ""), 0);
    assert_eq!(run("mount", ""), EPERM);
    assert_eq!(run("reboot", ""), EPERM);
    assert_eq!(run("mount", r#", cap_add: ["SYS_ADMIN"]"#), EFAULT);
    // A profile that does not list their architecture is not for them: they end by SIGSYS.
    let profile = hoist.dir().join("profile.json");
    std::fs::write(
        &profile,
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"]}"#,
    )
    .unwrap();
    assert_eq!(run("read", &format!(r#", seccomp: "{}""#, profile.display())), 128 + 31);
    std::fs::write(
        &profile,
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]}"#,
    )
    .unwrap();
    assert_eq!(run("read", &format!(r#", seccomp: "{}""#, profile.display())), 0);
}
