//! What is found in scripts that are wrong, and that nothing is found in those that are not.

use std::path::Path;

use super::*;
use crate::script::docs;
use crate::script::testing::scripts;

fn told(code: &str) -> String {
    let findings = check(&Source::text("t.rhai", code));
    let lines: Vec<String> = findings
        .iter()
        .map(|finding| {
            let hint = finding
                .hint
                .as_ref()
                .map(|hint| format!(" ({hint})"))
                .unwrap_or_default();
            format!(
                "{}:{} {}: {}{hint}",
                finding.line,
                finding.column,
                finding.problem.name(),
                finding.message
            )
        })
        .collect();
    lines.join("\n")
}

#[test]
fn what_is_wrong_is_found_where_it_is_and_all_of_it() {
    let mut faults = Vec::new();
    for (code, expected) in [
        (
            "//! arg: keep int = 3 \"how many\"\nprint(arg::kepp)",
            "2:7 unknown: the script's header does not declare `arg::kepp` (did you mean `arg::keep`?)",
        ),
        (
            "//! alow: run\nprint(1)",
            "1:1 header: failed to read line 1 of the header of `t.rhai`: unknown key `alow` (did you mean `allow`? valid: allow, arg, args, catch_up, flag, jitter, notify, on, options, overlap, retries, schedule, signals, timeout, timezone, usage)",
        ),
        ("let x = ;", "1:9 syntax: syntax error: unexpected `;`"),
        (
            "fs::raed(\"x\")",
            "1:1 unknown: there is no function `fs::raed` (did you mean `fs::read`?)",
        ),
        (
            "slep(1)",
            "1:1 unknown: there is no function `slep` (did you mean `sleep`?)",
        ),
        (
            "fss::read(\"x\")",
            "1:1 unknown: there is no module `fss` (did you mean `fs::`?)",
        ),
        (
            "fs::read()",
            "1:1 arguments: `fs::read` cannot be called with no arguments (it is called as `fs::read(path: string) -> string`)",
        ),
        (
            "fn greet(x) { x } greet(1, 2)",
            "1:19 arguments: `greet` cannot be called with 2 arguments (it is called as `greet(x)`)",
        ),
        (
            "image::get(\"a\").siz",
            "1:17 unknown: an Image has no property `siz` (did you mean `size`?)",
        ),
        (
            "let c = container::get(\"a\"); c.stopp()",
            "1:32 unknown: a Container has no method `stopp` (did you mean `stop`?)",
        ),
        (
            "[1].fliter(|x| x > 1)",
            "1:5 unknown: an array has no method `fliter` (did you mean `filter`?)",
        ),
        (
            "\"a\".pad(1)",
            "1:5 arguments: `string.pad` cannot be called with one argument (it is called as `string.pad(len: number, character: char)` or `string.pad(len: number, padding: string)`)",
        ),
        (
            "let c = container::get(\"a\"); c.stop(#{timout: 1})",
            "1:39 option: unknown option `timout` (did you mean `timeout`? valid: signal, timeout)",
        ),
        (
            "registry::serve(#{tls: #{crt: 1}})",
            "1:26 option: unknown key of `tls` `crt` (did you mean `cert`? valid: cert, key)",
        ),
        (
            "let x = 1;",
            "1:5 unused: the variable `x` is never used (take it away, or call it `_x` if it has to be there)",
        ),
        (
            "fn f(a, b) { a } print(f(1, 2))",
            "1:9 unused: the parameter `b` is never used (take it away, or call it `_b` if it has to be there)",
        ),
        (
            "fn f() { 1 } print(2)",
            "1:4 unused: the function `f` is never used (take it away, or call it `_f` if that is meant)",
        ),
        (
            "fn f() { return 1; print(2); } f()",
            "1:20 unreachable: this is never reached",
        ),
        (
            "if args.is_empty() { throw 1 } else { exit(2) } print(3)",
            "1:49 unreachable: this is never reached",
        ),
        (
            "v = 1;",
            "1:1 unknown: there is no variable `v` (variables are declared first: `let v = …`)",
        ),
        ("print(totl)", "1:7 unknown: there is no variable `totl`"),
        (
            "let total = 1; print(totl + total)",
            "1:22 unknown: there is no variable `totl` (did you mean `total`?)",
        ),
        (
            "//! allow: run\nimage::prune()",
            "2:1 denied: the script's header does not allow `image::prune` (add `delete` to its line `//! allow:`)",
        ),
        (
            "//! allow: pull=docker.io/library/*\nimage::pull(\"ghcr.io/x\"); image::pull(\"debian\"); image::pull(args[0])",
            "2:1 denied: the script's header does not allow `image::pull` to pull `ghcr.io/x:latest` (add `pull=ghcr.io/x:latest` to its line `//! allow:`)",
        ),
        (
            "//! allow: run=app:*, fs=/backup\ncontainer::run(\"app:1\", \"x\", #{ volumes: [\"/backup/a:/a\", \"/srv/b:/b\"] })",
            "2:1 denied: the script's header does not allow `container::run` to use the files in `/srv/b` (add `fs=/srv/b` to its line `//! allow:`)",
        ),
        (
            "//! allow: exec=web, delete=app:*\nlet c = container::get(\"db\"); c.stop(); image::remove(\"app:1\"); image::remove([\"app:1\", \"db:1\"])",
            "2:65 denied: the script's header does not allow `image::remove` to delete `db:1` (add `delete=db:1` to its line `//! allow:`)",
        ),
        (
            "import \"std/names\" as names; names::prts(\"a\")",
            "1:30 unknown: there is no function `names::prts` (did you mean `names::parts`?)",
        ),
        (
            // A module that imports another.
            "import \"std/retention\" as r; r::nope()",
            "1:30 unknown: there is no function `r::nope`",
        ),
        (
            "import \"std/names\" as names; names::parts()",
            "1:30 arguments: `names::parts` cannot be called with no arguments (it is called as `names::parts(name)`)",
        ),
        (
            "import \"std/names\" as names;",
            "1:23 unused: the import `names` is never used (take it away)",
        ),
        (
            "slep(1);\nfs::raed(2);",
            "1:1 unknown: there is no function `slep` (did you mean `sleep`?)\n2:1 unknown: there is no function `fs::raed` (did you mean `fs::read`?)",
        ),
        (
            "let f = |x| slep(x); f.call(1)",
            "1:13 unknown: there is no function `slep` (did you mean `sleep`?)",
        ),
        (
            "let c = image::get(\"a\"); let f = || c.siz; f.call()",
            "1:39 unknown: an Image has no property `siz` (did you mean `size`?)",
        ),
        (
            "print(image::list().filter(|i| i.nope).take(2).map(|i| i.nam))",
            "1:34 unknown: an Image has no property `nope`\n1:58 unknown: an Image has no property `nam` (did you mean `name`?)",
        ),
        (
            "let old = 1.days; for c in container::list() { if c.crated == old { print(c.name) } }",
            "1:53 unknown: a Container has no property `crated` (did you mean `created`?)",
        ),
        (
            "let sizes = parallel_map(volume::list().sort_by(|v| v.name), |v| v.sise); print(sizes)",
            "1:68 unknown: a Volume has no property `sise` (did you mean `size`?)",
        ),
        (
            "for word in [\"a\", \"b\"] { print(word.trimed()) }",
            "1:37 unknown: a string has no method `trimed` (did you mean `trimmed`?)",
        ),
        (
            "image::get(\"a\").size()",
            "1:17 unknown: an Image has no method `size` (it is a property, without brackets: `.size`)",
        ),
        (
            "image::get(\"a\").history",
            "1:17 unknown: an Image has no property `history` (it is a method, with brackets: `.history()`)",
        ),
        (
            "image::get(\"a\").tag",
            "1:17 unknown: an Image has no property `tag` (did you mean `tags`? `.tag()` is a method)",
        ),
        (
            "let c = container::get(\"a\"); print(c.State + c.Id + c.names); c.delete()",
            "1:38 unknown: a Container has no property `State` (did you mean `status`?)\n1:48 unknown: a Container has no property `Id` (did you mean `id`?)\n1:55 unknown: a Container has no property `names` (did you mean `name`?)\n1:65 unknown: a Container has no method `delete` (did you mean `remove`?)",
        ),
        (
            "container::ls(); container::get(\"a\").stop(#{Timeout: 1})",
            "1:1 unknown: there is no function `container::ls` (did you mean `container::list`?)\n1:45 option: unknown option `Timeout` (did you mean `timeout`? valid: signal, timeout)",
        ),
        (
            "(time::now() - time::now()).minuts",
            "1:29 unknown: a Duration has no property `minuts` (did you mean `minutes`?)",
        ),
    ] {
        let told = told(code);
        if told != expected {
            faults.push(format!("{code}\n{told}\n{expected}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

#[test]
fn nothing_is_said_where_it_is_not_sure() {
    let mut faults = Vec::new();
    for code in [
        "fn f(x) { x.anything().at_all } f(1)",
        "let m = #{f: |x| x + 1}; print(m.f(1)); print(m.unknown)",
        "let x = 1; x = \"a\"; print(x.len())",
        "let _unused = 1; fn _helper() { 1 } print(2)",
        "try { fs::read(\"x\") } catch (e) { print(e.kind) }",
        "let f = |a, b| a; print(f.call(1, 2))",
        "let n = 0; [1].for_each(|x| n += x); print(n)",
        "const LIMIT = 3; fn f() { global::LIMIT } print(f())",
        "for (item, at) in [1, 2] { print(item + at) }",
        "switch args.len() { 0 => print(1), 1..5 => print(2), _ => exit(3) }",
        "fn helper(x) { x } print([1].map(helper))",
        "fn twice(x) { x * 2 } print([1].map(Fn(\"twice\")))",
        "let list = [#{a: [1]}]; print(list[0].a[0].anything)",
        "let c = container::find(\"x\"); if c != () { c.stop(#{timeout: 1}) }",
        "//! allow: delete=ci/*, fs\nimage::prune(); print(fs::read(\"x\")); print(image::list())",
        "let when = 3.days; print(when.hours + 1.5.minutes.seconds)",
        "fn size() { this.len() } print([1].size())",
        "loop { if args.len() > 3 { break; } continue; }",
        "let x = if args.is_empty() { 1 } else { 2 }; print(x)",
        "fn only_for_importers(x) { x }",
    ] {
        let told = told(code);
        if !told.is_empty() {
            faults.push(format!("{code}\n{told}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

/// What a manual's example says of itself is enough; that it declares something to show how is no fault.
fn faults(name: &str, code: &str) -> Vec<String> {
    let findings = check(&Source::text(name, code));
    let told = findings
        .iter()
        .filter(|finding| finding.problem != Problem::Unused || !name.starts_with("manual"));
    told.map(|finding| format!("{name}: {finding:?}")).collect()
}

#[test]
fn every_script_module_and_example_is_clean() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut all, mut count) = (Vec::new(), 0);
    for path in scripts(&root.join("scripts"))
        .into_iter()
        .chain(scripts(&root.join("stdlib")))
    {
        count += 1;
        let source = Source::file(&path).unwrap();
        all.extend(check(&source).iter().map(|finding| finding.report(&source).to_string()));
    }
    for function in docs::functions() {
        for example in function
            .examples()
            .iter()
            .filter(|example| !example.flags.iter().any(|flag| flag.starts_with("throws")))
        {
            count += 1;
            all.extend(faults(&format!("manual of {}", function.signature()), &example.code));
        }
    }
    assert!(count > 300, "{count}");
    assert!(all.is_empty(), "{}", all.join("\n"));
}
