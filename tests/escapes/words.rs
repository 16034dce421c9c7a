//! Words of a script that become paths, names of control groups, lines of files.

use serde_json::json;

use super::refused;
use crate::hostile::Beside;

/// Words that are more than one thing.
const WORDS: [&str; 12] = [
    "..",
    "../x",
    "a/../../x",
    "/etc/x",
    "a\nb",
    "a\0b",
    "a;b",
    "a b",
    "{a}",
    "$(a)",
    "a\u{202e}b",
    "",
];

/// Names of things are words of one line that are no paths.
#[test]
fn names_are_only_names() {
    let beside = Beside::with_busybox();
    let hoist = &beside.hoist;
    for word in WORDS {
        let word = json!(word);
        let mut calls = vec![
            format!(r#"container::create("busybox", ["true"], #{{hostname: {word} + "\n"}})"#),
            format!(r#"container::create("busybox", ["true"], #{{network: "container:" + {word}}})"#),
            format!(r#"container::create("busybox", ["true"], #{{volumes: ["./" + {word} + ":/v"]}})"#),
            format!(r#"container::create("busybox", ["true"], #{{add_hosts: [{word} + ":1.2.3.4"]}})"#),
            format!(r#"container::get({word})"#),
        ];
        if word != "" {
            calls.push(format!(r#"container::create("busybox", ["true"], #{{name: {word}}})"#));
            calls.push(format!(r#"image::get("busybox").tag({word} + ":1")"#));
        }
        for call in calls {
            let kind = refused(hoist, &call);
            assert!(["invalid", "not_found"].contains(&kind.as_str()), "{call}: {kind}");
        }
    }
    assert_eq!(hoist.value("container::list(#{all: true}).len()"), 0);
    beside.assert_untouched();
}
