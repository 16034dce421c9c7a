//! Images, containers, runs and reports as values of a script: named or held, compared, printed, passed to closures.

use serde_json::json;

use crate::harness::Hoist;

#[test]
fn a_thing_is_named_by_text_or_by_handle_wherever_one_is_asked_for() {
    let hoist = Hoist::with_busybox();
    let text = r#"
        let img = image::get("busybox");
        let c = container::create(img, #{ entrypoint: ["true"] });
        print([image::get(img) == img, image::get(img.short_id) == img, image::exists(img), container::get(c) == c]);
        print(container::get(c.short_id).image);
        print(image::tag(img, "other").tags);"#;
    hoist
        .script(text, &[])
        .success()
        .stdout_is("[true, true, true, true]\nbusybox:latest\n[\"busybox:latest\", \"other:latest\"]");
}

#[test]
fn what_a_condition_throws_ends_the_call_and_is_thrown_as_it_is() {
    let hoist = Hoist::with_busybox();
    let text = r#"
        try { image::prune(#{ unused: true, matching: |i| throw #{ mine: i.name } }); } catch (e) { print(e.mine); }
        print(image::select(#{ unused: true, matching: |i| i.size > 1.gib }).len());
        print(image::exists("busybox"));"#;
    hoist.script(text, &[]).success().stdout_is("busybox:latest\n0\ntrue");
    let output = hoist.eval("image::list(#{ matchin: |i| true })").fails_with(1);
    output.stderr_has(&["unknown option `matchin`", "did you mean `matching`?"]);
    hoist
        .eval("image::list(#{ matching: true })")
        .fails_with(1)
        .stderr_has(&["option `matching` must be a closure, got a bool"]);
    hoist
        .eval("image::list(#{ matching: |i| i.name })")
        .fails_with(1)
        .stderr_has(&["bool"]);
}

#[test]
fn streamed_output_goes_to_the_right_side_and_is_kept_as_well() {
    let hoist = Hoist::with_busybox();
    let text = r#"
        let run = container::run("busybox", "echo out; echo err >&2; printf end", #{ stream: true });
        print(`|${run.stdout.len()},${run.stderr.len()}`);"#;
    let output = hoist.script(text, &[]).success().stdout_is("out\nend|7,4");
    output.stderr_is("err");
}

#[test]
fn handles_are_json_for_programs() {
    let hoist = Hoist::with_busybox();
    let image = hoist.value("image::get(\"busybox\")");
    assert_eq!(image["tags"], json!(["busybox:latest"]));
    assert_eq!((&image["env"]["PATH"], &image["cmd"]), (&json!("/bin"), &json!(["sh"])));
    let run = hoist.value(r#"container::run("busybox", "echo hi; exit 3", #{ check: false })"#);
    assert_eq!(
        (&run["code"], &run["ok"], &run["stdout"]),
        (&json!(3), &json!(false), &json!("hi\n"))
    );
    let container = hoist.value(r#"container::create("busybox", ["true"], #{ name: "job" })"#);
    assert_eq!(
        (&container["name"], &container["status"]),
        (&json!("job"), &json!("created"))
    );
    let report = hoist.value("container::prune()");
    assert_eq!(report["removed"][0]["name"], "job");
}

#[test]
fn containers_are_listed_as_docker_lists_them() {
    let hoist = Hoist::with_busybox();
    let text = r#"
        container::run("busybox", ["sh", "-c", "exit 3"], #{ name: "ended", keep: true, check: false });
        table(container::list(#{ all: true }));"#;
    let output = hoist.script(text, &[]).success();
    let mut lines = output.stdout.lines();
    assert_eq!(
        lines.next().unwrap().split_whitespace().collect::<Vec<_>>().join(" "),
        "CONTAINER ID IMAGE COMMAND CREATED STATUS NAMES"
    );
    let row = lines.next().unwrap();
    for part in ["busybox", "\"sh -c exit 3\"", " ago", "Exited (3) ", "ended"] {
        assert!(row.contains(part), "`{part}` is not in: {row}");
    }
}
