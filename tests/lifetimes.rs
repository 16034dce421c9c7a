//! The life of a container over several runs, as scripts see it.

use serde_json::json;

use crate::harness::Hoist;

#[test]
fn a_restart_policy_is_told_counted_and_changed() {
    let hoist = Hoist::with_busybox();
    let make = r#"container::run_detached("busybox", "exit 4", #{name: "c", restart: "on-failure:2"}).wait()"#;
    assert_eq!(hoist.value(make), 4);
    let told = r#"let c = container::get("c"); while c.reload().status != "exited" { sleep(10.millis); }
        let i = c.inspect(); [c.restart_count, c.exit_code, i.RestartCount, i.HostConfig.RestartPolicy]"#;
    assert_eq!(
        hoist.value(told),
        json!([2, 4, 2, {"Name": "on-failure", "MaximumRetryCount": 2}])
    );
    let changed = r#"let c = container::get("c"); c.update(#{restart: "no"}); c.start(); c.wait(); [c.reload().status, c.inspect().HostConfig.RestartPolicy.Name]"#;
    assert_eq!(hoist.value(changed), json!(["exited", "no"]));
    let kind = |call: &str| hoist.value(&format!("attempt(|| {call}).error.kind"));
    for (call, options) in [
        ("run", r#"restart: "always""#),
        ("run_detached", r#"restart: "on-failure:x""#),
    ] {
        let call = format!(r#"container::{call}("busybox", ["true"], #{{{options}}})"#);
        assert_eq!(kind(&call), "invalid");
    }
    assert_eq!(hoist.value("container::list(#{all: true}).len()"), 1);
}
