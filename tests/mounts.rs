//! Mounts in the words of `docker run --mount`.

use serde_json::json;

use crate::harness::Hoist;

#[test]
fn mounts_are_what_volumes_and_tmpfs_say_in_short() {
    let hoist = Hoist::with_busybox();
    let dir = hoist.dir().join("shared");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("file"), "the host's").unwrap();
    let look = "cat /b/file; echo; touch /b/new 2>/dev/null || echo read-only; echo kept > /v/kept; stat -c %a /t; df -k /t | tail -1 | awk '{print $2}'";
    let dir = dir.display();
    for mounts in [
        format!(
            r#"["type=bind,source={dir},target=/b,readonly", "source=data,target=/v", "type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1770"]"#
        ),
        format!(
            r#"[#{{type: "bind", source: "{dir}", target: "/b", read_only: true}}, #{{source: "data", target: "/v"}}, #{{type: "tmpfs", target: "/t", size: 1.mib, mode: "1770"}}]"#
        ),
    ] {
        let script = format!(
            r#"container::run("busybox", {}, #{{mounts: {mounts}}}).lines()"#,
            json!(look)
        );
        assert_eq!(
            hoist.value(&script),
            json!(["the host's", "read-only", "1770", "1024"]),
            "{mounts}"
        );
        let shown = format!(
            r#"let c = container::create("busybox", ["true"], #{{mounts: {mounts}}}); c.inspect().Mounts.map(|m| [m.Type, m.Destination, m.RW])"#
        );
        assert_eq!(
            hoist.value(&shown),
            json!([["bind", "/b", false], ["volume", "/v", true], ["tmpfs", "/t", true]])
        );
    }
    assert_eq!(
        hoist.value(r#"container::run("busybox", "cat /v/kept", #{volumes: ["data:/v"]}).text()"#),
        "kept"
    );
    for mount in [
        r#""/a:/b""#,
        r#""type=bind,target=/b""#,
        r#"#{source: "a", target: "/b", colour: "red"}"#,
        "1",
    ] {
        let call = format!(r#"attempt(|| container::create("busybox", ["true"], #{{mounts: [{mount}]}})).error.kind"#);
        assert_eq!(hoist.value(&call), "invalid", "{mount}");
    }
}
