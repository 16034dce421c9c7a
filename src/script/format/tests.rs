//! Scripts as they are written, and in their form.

use std::path::Path;

use super::format;
use crate::script::testing::scripts;
use crate::script::{docs, engine};

/// The tree that the parser makes, without places and the names made of them.
fn tree(code: &str) -> String {
    let mut engine = engine::parser();
    engine.set_optimization_level(rhai::OptimizationLevel::None);
    let source = crate::script::runner::Source::text("t", code);
    let text = format!("{:?}", engine.compile(&source.code).unwrap());
    let places = regex::Regex::new(r"anon\$[0-9a-f]+|\b\d+:\d+(-(\d+:)?\d+)?|hash: \d+|\d{8,}").unwrap();
    let bare = places.replace_all(&text, "").into_owned();
    let mut letters: Vec<&str> = bare.split_whitespace().collect();
    // Functions are kept in no order.
    letters.sort_unstable();
    letters.join(" ")
}

#[test]
fn what_is_written_anyhow_comes_out_in_one_form() {
    for (code, expected) in [
        ("let x=1+2*-3 ;", "let x = 1 + 2 * -3;\n"),
        (
            "let f=|a,b|a+b;f . call( 1 , 2 )",
            "let f = |a, b| a + b; f.call(1, 2)\n",
        ),
        (
            "if !x{print( 1 )}else{ print(2) }",
            "if !x { print(1) } else { print(2) }\n",
        ),
        (
            "let m=#{a:1,\"b\":[1,2,],c:#{}};",
            "let m = #{ a: 1, \"b\": [1, 2], c: #{} };\n",
        ),
        ("for i in 0 .. 3{\nprint(i)\n}", "for i in 0..3 {\n    print(i)\n}\n"),
        ("for(a,i)in x{}", "for (a, i) in x {}\n"),
        ("defer(||{\nx()\n});", "defer(|| {\n    x()\n});\n"),
        (
            "let y=x\n.map(|i|{\ni.a\n})\n.len();",
            "let y = x\n    .map(|i| {\n        i.a\n    })\n    .len();\n",
        ),
        ("let z = a+\nb;", "let z = a +\n    b;\n"),
        ("f(#{\na: 1,\nb: 2\n});", "f(#{\n    a: 1,\n    b: 2,\n});\n"),
        ("\n\na();\n\n\n\nb(); // c\n// d\n\n", "a();\n\nb(); // c\n// d\n"),
        ("switch x{1=>2,_=>{3}}", "switch x { 1 => 2, _ => { 3 } }\n"),
        (
            "let a = x[0]?.b ?? [1][0]; return -1;",
            "let a = x[0]?.b ?? [1][0]; return -1;\n",
        ),
        ("if x !in [1] || y == () {}", "if x !in [1] || y == () {}\n"),
        (
            "#!/usr/bin/env hoist\n//! A.\nfn f( a ){a}",
            "#!/usr/bin/env hoist\n//! A.\nfn f(a) { a }\n",
        ),
        ("do { n+=1 } until n>=3;", "do { n += 1 } until n >= 3;\n"),
        ("let t = `a ${ x+1 } b`;", "let t = `a ${ x+1 } b`;\n"),
        ("try{a()}catch(e){throw e}", "try { a() } catch (e) { throw e }\n"),
        ("f(|| g(), #{until: 1})", "f(|| g(), #{ until: 1 })\n"),
    ] {
        assert_eq!(format("t", code).unwrap(), expected, "{code}");
        assert_eq!(format("t", expected).unwrap(), expected, "again: {code}");
        assert_eq!(tree(code), tree(expected), "{code}");
    }
}

#[test]
fn a_long_line_is_broken_where_its_items_are() {
    let words = (1..=12).map(|n| format!("\"word number {n}\"")).collect::<Vec<_>>();
    let formatted = format(
        "t",
        &format!("run(\"image\", #{{ cmd: 1, words: [{}] }});", words.join(", ")),
    )
    .unwrap();
    assert!(
        formatted.starts_with("run(\"image\", #{\n    cmd: 1,\n    words: [\n        \"word number 1\",\n"),
        "{formatted}"
    );
    assert!(
        formatted.ends_with("        \"word number 12\",\n    ],\n});\n"),
        "{formatted}"
    );
    assert_eq!(format("t", &formatted).unwrap(), formatted);
}

/// So long that nothing stands beside it on a line.
const LONG: &str =
    "\"a text which is so long that nothing else has room beside it, whatever that may be, on one line of a script\"";

#[test]
fn a_long_line_is_broken_as_a_person_would() {
    for (code, expected) in [
        ("if x { print(LONG); }", "if x {\n    print(LONG);\n}\n"),
        (
            "let x = if a { f(LONG) } else if b { 1 } else { 2 };",
            "let x = if a {\n    f(LONG)\n} else if b {\n    1\n} else {\n    2\n};\n",
        ),
        (
            "try { a(); b(LONG); } catch (e) { c() }",
            "try {\n    a();\n    b(LONG);\n} catch (e) {\n    c()\n}\n",
        ),
        (
            "fn f(x) { if x { y } g(LONG) }",
            "fn f(x) {\n    if x { y }\n    g(LONG)\n}\n",
        ),
        (
            "switch x { 1 => f(LONG), _ => { 3 } }",
            "switch x {\n    1 => f(LONG),\n    _ => { 3 }\n}\n",
        ),
        (
            "list.map(|x| #{ a: x, b: LONG });",
            "list.map(|x| #{\n    a: x,\n    b: LONG,\n});\n",
        ),
        (
            "defer(|| { let x = 1; f(LONG) });",
            "defer(|| {\n    let x = 1;\n    f(LONG)\n});\n",
        ),
        (
            "list.map(|x| if x { a(LONG) } else { 2 })",
            "list.map(|x| if x {\n    a(LONG)\n} else {\n    2\n})\n",
        ),
        (
            "f(|| { 1 }, LONG, #{ a: 1 });",
            "f(\n    || { 1 },\n    LONG,\n    #{ a: 1 },\n);\n",
        ),
        (
            "eq(f(x), [[1, LONG], [2, 3]]);",
            "eq(f(x), [\n    [1, LONG],\n    [2, 3],\n]);\n",
        ),
        (
            "let n = list.a().filter(|x| x == LONG).b().len();",
            "let n = list\n    .a()\n    .filter(\n        |x| x == LONG,\n    )\n    .b()\n    .len();\n",
        ),
        (
            "let m = #{\n    a: 1, b: LONG, c: 3,\n};",
            "let m = #{\n    a: 1,\n    b: LONG,\n    c: 3,\n};\n",
        ),
        (
            "let x = a && LONG == b || c;",
            "let x = a\n    && LONG == b\n    || c;\n",
        ),
        // Nothing is won by a line of its own.
        ("print(LONG);", "print(LONG);\n"),
    ] {
        let (code, expected) = (code.replace("LONG", LONG), expected.replace("LONG", LONG));
        assert_eq!(format("t", &code).unwrap(), expected, "{code}");
        assert_eq!(format("t", &expected).unwrap(), expected, "again: {code}");
        assert_eq!(tree(&code), tree(&expected), "{code}");
    }
}

#[test]
fn all_scripts_of_the_project_are_in_their_form() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = scripts(&root.join("scripts"))
        .into_iter()
        .chain(scripts(&root.join("stdlib")));
    let (mut others, mut count) = (Vec::new(), 0);
    for path in files {
        count += 1;
        let code = std::fs::read_to_string(&path).unwrap();
        if format("t", &code).unwrap() != code {
            others.push(path);
        }
    }
    assert!(count > 60 && others.is_empty(), "run `hoist fmt` over {others:?}");
}

#[test]
fn what_does_not_parse_is_refused_with_its_place() {
    let error = format("t.rhai", "let x = 1;\nlet y = ;").unwrap_err();
    assert!(error.message().starts_with("`t.rhai` does not parse: "), "{error}");
    assert!(error.message().ends_with("at line 2, column 9"), "{error}");
}

#[test]
fn every_script_and_example_keeps_its_meaning_and_a_second_time_changes_nothing() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = scripts(&root.join("scripts"))
        .into_iter()
        .chain(scripts(&root.join("stdlib")));
    let files = files.map(|path| std::fs::read_to_string(path).unwrap());
    let examples = docs::functions().into_iter().flat_map(|function| function.examples());
    let (mut faults, mut count) = (Vec::new(), 0);
    for code in files.chain(examples.map(|example| example.code)) {
        count += 1;
        let formatted = match format("t", &code) {
            Ok(formatted) => formatted,
            Err(error) => {
                faults.push(format!("{error}\n{code}\n{}", super::layout::layout(&code)));
                continue;
            }
        };
        if format("t", &formatted).ok().as_ref() != Some(&formatted) {
            faults.push(format!("twice is not once:\n{formatted}"));
        }
        if tree(&code) != tree(&formatted) {
            faults.push(format!("another tree:\n{formatted}"));
        }
    }
    assert!(count > 300 && faults.is_empty(), "{count}\n{}", faults.join("\n\n"));
}
