//! A person at the prompt: `hoist repl` in a terminal, in a dumb one, and at the end of a pipe.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::harness::{Hoist, Screen, Served};

const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";

/// The prompt in a terminal that can do all.
fn start(hoist: &Hoist) -> Screen {
    let mut screen = hoist.command(&["repl"]).env("TERM", "xterm").on_screen();
    screen.wait_for("hoist> ");
    screen
}

/// Types a line and waits for what it shows.
#[track_caller]
fn line(screen: &mut Screen, typed: &str, shown: &str) {
    screen.press(typed);
    screen.press("\r");
    // Until the editor has let go of the line, what is shown is what was typed.
    screen.wait_for("\x1b[?2004l");
    if !shown.is_empty() {
        screen.wait_for(shown);
    }
    screen.wait_for("> ");
}

/// Throws away what is typed: what comes after is of the next line only once this one is given up.
#[track_caller]
fn give_up(screen: &mut Screen) {
    screen.press(CTRL_C);
    screen.wait_for("\x1b[?2004l");
    screen.wait_for("hoist> ");
}

#[track_caller]
fn leave(mut screen: Screen) {
    screen.press(CTRL_D);
    assert_eq!(screen.code(), 0);
}

/// What a person types at a terminal that can do nothing, and all that it shows.
#[test]
fn a_dumb_terminal_shows_a_conversation_as_it_is() {
    let hoist = Hoist::new();
    let mut screen = hoist.command(&["repl"]).on_screen();
    for line in TRANSCRIPT.lines() {
        for prompt in ["hoist> ", "plan> "] {
            if let Some(typed) = line.strip_prefix(prompt) {
                screen.wait_for(prompt);
                screen.press(typed);
                screen.press("\n");
            }
        }
    }
    assert_eq!(screen.code(), 7);
    let shown = screen.shown().replace('\r', "");
    assert_eq!(shown, TRANSCRIPT);
}

const TRANSCRIPT: &str = r#"hoist> let x = [1, 2];
hoist> x.len() + 40
42
hoist> _ * 10
420
hoist> [#{name: "a", n: 1}, #{name: "b", n: 2}]
N   NAME
1   a
2   b
hoist> duratoin("1h")
error: there is no function `duratoin`
 --> <line 5>:1:1
  |
1 | duratoin("1h")
  | ^^^^^^^^
help: did you mean `duration`?
hoist> :plan on
what lines would do is told, and not done; `:plan off` ends that, and forgets what was defined meanwhile
plan> fs::write("here", "x");
would be done:
ACTION      TARGET   DETAIL
fs::write   here     1B
plan> :plan off
lines are done again
hoist> fs::exists("here")
false
hoist> exit(7)
"#;

#[test]
fn lines_from_a_pipe_are_answered_without_a_prompt() {
    let hoist = Hoist::new();
    let lines = "let x = [1,\n  2];\nx.len() + 40\n_ * 10\n[#{name: \"a\", n: 1}, #{name: \"b\", n: 2}]\nlet y = ;\n:what\nexit(7)\n";
    let output = hoist.command(&["repl"]).stdin(lines).output();
    assert_eq!(output.stdout, "42\n420\nN   NAME\n1   a\n2   b\n");
    assert_eq!(
        output.stderr,
        "error: syntax error: unexpected `;`\n --> <line 5>:1:9\n  |\n1 | let y = ;\n  |         ^\n\
         error: unknown command `:what`\nhelp: valid: :help, :doc, :time, :plan, :save, :load, :reset, :quit\n"
    );
    assert_eq!(output.status.code(), Some(7));
    assert!(!hoist.dir().parent().unwrap().join("home/.local").exists());
}

#[test]
fn what_is_typed_is_completed() {
    let hoist = Hoist::with_busybox();
    hoist.eval("image::tag(\"busybox\", \"team/tools:1.0\"); container::create(\"busybox\", [\"true\"], #{name: \"worker\"}); ()").success();
    let mut screen = start(&hoist);
    for (typed, shown) in [
        ("image::get(\"team/\t\").ta\tgs[0]", "team/tools:1.0"),
        ("image::list()[0].short_\t.len()", "12"),
        ("image::list().filter(|i| i.dang\t).len()", "0"),
        ("container::get(\"wor\t\").sta\ttus", "created"),
        (
            "fs::basename(\"/etc/host\x1b[D\x1b[C\") + json::stri\t\"x\")",
            "host\"x\"",
        ),
    ] {
        line(&mut screen, typed, shown);
    }
    // Several ways to go on are shown.
    screen.press("image::sa\t\t");
    screen.wait_for("save");
    give_up(&mut screen);
    leave(screen);
}

#[test]
fn tags_are_completed_by_asking_their_registry() {
    let hoist = Hoist::with_busybox();
    let served = Served::start(&hoist, &[]);
    let name = format!("{}/busybox", served.name());
    let mut screen = start(&hoist);
    line(&mut screen, &format!("registry::exists(\"{name}:lat\t\")"), "true");
    leave(screen);
    served.stop();
}

#[test]
fn ctrl_c_ends_what_runs_and_clears_what_is_typed() {
    let hoist = Hoist::new();
    let mut screen = start(&hoist);
    line(&mut screen, "let x = 41;", "");
    screen.press("x + (\r");
    screen.press("nonsense");
    give_up(&mut screen);
    screen.press("print(\"rea\" + \"dy\"); sleep(1.hours)\r");
    screen.wait_for("ready\r\n");
    screen.press(CTRL_C);
    screen.wait_for("error[cancelled]");
    screen.wait_for("hoist> ");
    screen.press("print(\"rea\" + \"dy\"); loop { }\r");
    screen.wait_for("ready\r\n");
    screen.press(CTRL_C);
    screen.wait_for("error[cancelled]");
    screen.wait_for("hoist> ");
    line(&mut screen, "x + 1", "42");
    leave(screen);
}

#[test]
fn the_history_is_kept_without_passwords_and_searched() {
    let hoist = Hoist::new();
    let mut one = start(&hoist);
    let mut other = start(&hoist);
    line(&mut one, "let first = 1;", "");
    line(&mut other, "let other = 2;", "");
    line(&mut one, "let password = \"hunter2\";", "");
    line(&mut one, " let unkept = 3;", "");
    line(&mut one, "[1,\r2].len()", "2");
    leave(one);
    leave(other);
    let file = hoist.dir().parent().unwrap().join("home/.local/state/hoist/history");
    let kept = fs::read_to_string(&file).unwrap();
    let mut lines: Vec<&str> = kept.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "#V2",
            "[1,\\n2].len()",
            "let first = 1;",
            "let other = 2;",
            "let password = \"***\";"
        ]
    );
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let mut screen = start(&hoist);
    // Ctrl-R finds what was typed in another conversation.
    screen.press("\x12oth");
    screen.wait_for("other = ");
    screen.press("\r");
    screen.wait_for("hoist> ");
    line(&mut screen, "other + 40", "42");
    leave(screen);
}

#[test]
fn long_results_come_by_pages() {
    let hoist = Hoist::new();
    let mut screen = start(&hoist);
    screen.press("let l = []; for i in 1..101 { l.push(`<${i}>`); } l\r");
    screen.wait_for("<29>\r\n");
    screen.wait_for("-- 29 of 100 lines: Space, Enter, or q --");
    screen.press("\r");
    screen.wait_for("<30>\r\n");
    screen.press(" ");
    screen.wait_for("<59>\r\n");
    screen.press("q");
    screen.wait_for("hoist> ");
    assert!(!screen.shown().contains("<60>"));
    screen.press("l\r");
    screen.wait_for("-- 29 of 100");
    screen.press(CTRL_C);
    screen.wait_for("hoist> ");
    line(&mut screen, "l.len()", "100");
    leave(screen);
    // The person's own pager.
    let mut screen = hoist
        .command(&["repl"])
        .env("TERM", "xterm")
        .env("PAGER", "sed 's/<//' | tail -2")
        .on_screen();
    screen.wait_for("hoist> ");
    line(
        &mut screen,
        "let l = []; for i in 1..101 { l.push(`<${i}>`); } l",
        "99>\r\n100>\r\n",
    );
    assert!(!screen.shown().contains("<50>"));
    leave(screen);
}

#[test]
fn colours_are_shown_where_they_are_wanted() {
    let hoist = Hoist::new();
    let mut screen = start(&hoist);
    line(&mut screen, "let x = 1;", "");
    assert!(screen.shown().contains("\x1b[35mlet\x1b[0m"), "{}", screen.shown());
    // What was typed before is hinted, and taken over by the right arrow.
    screen.press("let");
    screen.wait_for("\x1b[90m x = 1;\x1b[0m");
    screen.press("\x1b[C\r");
    screen.wait_for("hoist> ");
    screen.press("fs::read(");
    screen.wait_for("\x1b[90mpath: string)\x1b[0m");
    give_up(&mut screen);
    leave(screen);
    let mut screen = hoist
        .command(&["repl"])
        .env("TERM", "xterm")
        .env("NO_COLOR", "1")
        .on_screen();
    screen.wait_for("hoist> ");
    line(&mut screen, "let y = 1;", "");
    screen.press(CTRL_D);
    assert_eq!(screen.code(), 0);
    assert!(!screen.shown().contains("\x1b[3"), "{}", screen.shown());
}

#[test]
fn under_a_plan_lines_are_told_and_not_done() {
    let hoist = Hoist::with_busybox();
    let mut screen = start(&hoist);
    line(&mut screen, "let i = image::get(\"busybox\"); let l = [i];", "");
    screen.press(":plan on\r");
    screen.wait_for("plan> ");
    line(&mut screen, "i.tag(\"busybox:2\").name", "would be done:");
    line(
        &mut screen,
        "container::run(\"busybox\", \"true\", #{name: \"c\"}).code",
        "would be done:",
    );
    line(&mut screen, "l[0].remove().removed.len()", "would be done:");
    line(&mut screen, "image::list().len()", "0");
    screen.press(":plan off\r");
    screen.wait_for("hoist> ");
    line(&mut screen, "image::list()[0].tags.len()", "1");
    leave(screen);
    assert_eq!(
        hoist.value("image::list()[0].tags"),
        serde_json::json!(["busybox:latest"])
    );
}
