//! Source lines as they may be shown: what a script says in so many words of a password is left out.

use std::ops::Range;

/// What the names of secret things have in them, in lower case.
const SECRET: [&str; 4] = ["password", "passwd", "secret", "token"];
/// What stands for a text that is left out.
const MASK: &str = "***";

/// A script without what it says in so many words of a password.
pub fn masked(code: &str) -> String {
    let (mut shown, mut at) = (String::new(), 0);
    for hidden in secrets(code).into_iter().filter(|hidden| !hidden.is_empty()) {
        shown.push_str(&code[at..hidden.start]);
        shown.push_str(MASK);
        at = hidden.end;
    }
    shown + &code[at..]
}

/// A line of a script, its number and the column in it that is meant both from 1; the column then.
pub(super) fn line(code: &str, number: usize, column: usize) -> Option<(String, usize)> {
    let start: usize = code.split_inclusive('\n').take(number - 1).map(str::len).sum();
    let text = code.get(start..)?.lines().next()?;
    let (mut shown, mut at, mut moved) = (String::new(), 0, column);
    for hidden in secrets(code) {
        let from = hidden.start.clamp(start, start + text.len()) - start;
        let to = hidden.end.clamp(start, start + text.len()) - start;
        if from == to {
            continue;
        }
        let (before, length) = (text[..from].chars().count(), text[from..to].chars().count());
        moved = match column - 1 {
            place if place >= before + length => moved + MASK.len() - length.min(moved),
            place if place >= before => (moved - (place - before)).max(1),
            _ => moved,
        };
        shown.push_str(&text[at..from]);
        shown.push_str(MASK);
        at = to;
    }
    shown.push_str(&text[at..]);
    Some((shown, moved))
}

/// What is open: a bracket, or the script itself.
#[derive(Default)]
struct Open {
    /// Whether what is in it now is the value of something secret.
    is_secret: bool,
    /// Whether it has the arguments of `login`, whose third is the password.
    is_login: bool,
    commas: usize,
}

/// Where the texts and numbers are that are values of secret things, without their quotes.
fn secrets(code: &str) -> Vec<Range<usize>> {
    let (mut found, mut open, mut at) = (Vec::new(), vec![Open::default()], 0);
    while let Some(letter) = code[at..].chars().next() {
        let rest = &code[at..];
        if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        }
        if rest.starts_with("/*") {
            at += rest.find("*/").map_or(rest.len(), |end| end + 2);
            continue;
        }
        if let Some((content, end)) = text(code, at).or_else(|| number(code, at)) {
            let is_compared = names_secret(code[..at].trim_end_matches(['=', '!', ' ', '#']));
            if is_compared
                || open
                    .iter()
                    .any(|open| open.is_secret || open.is_login && open.commas == 2)
            {
                found.push(content);
            }
            at = end;
            continue;
        }
        note(&mut open, code, at, letter);
        at += letter.len_utf8();
    }
    found
}

/// What a letter outside of texts changes.
fn note(open: &mut Vec<Open>, code: &str, at: usize, letter: char) {
    let (before, after) = (&code[..at], &code[at + letter.len_utf8()..]);
    match letter {
        '(' | '[' | '{' => open.push(Open {
            is_login: letter == '(' && before.trim_end().ends_with("login"),
            ..Open::default()
        }),
        ')' | ']' | '}' if open.len() > 1 => _ = open.pop(),
        _ => {}
    }
    let Some(now) = open.last_mut() else { return };
    match letter {
        ',' => (now.is_secret, now.commas) = (false, now.commas + 1),
        ';' => now.is_secret = false,
        ':' | '=' if after.starts_with(letter) || before.ends_with([':', '=', '!', '<', '>']) => {}
        ':' | '=' => now.is_secret |= names_secret(before),
        _ => {}
    }
}

/// Whether what ends here names something secret: `password`, `"db_password"`, `m["token"]`.
fn names_secret(before: &str) -> bool {
    let before = before.trim_end_matches(|letter: char| letter.is_whitespace() || "\"'`]+".contains(letter));
    let name = before.rsplit(|letter: char| !letter.is_alphanumeric() && letter != '_' && letter != '-');
    let name = name.map(str::to_lowercase).next().unwrap_or_default();
    SECRET.iter().any(|part| name.contains(part))
}

/// The text that begins here, if one does: where its content is, and where it ends. One that is not closed goes to the end.
fn text(code: &str, at: usize) -> Option<(Range<usize>, usize)> {
    let rest = &code[at..];
    let marks = rest.bytes().take_while(|byte| *byte == b'#').count();
    if marks > 0 && rest[marks..].starts_with('"') {
        let (start, close) = (at + marks + 1, format!("\"{}", "#".repeat(marks)));
        let end = code[start..].find(&close).map_or(code.len(), |length| start + length);
        return Some((start..end, (end + close.len()).min(code.len())));
    }
    let quote = rest.chars().next().filter(|letter| "\"'`".contains(*letter))?;
    let start = at + 1;
    let mut letters = code[start..].char_indices();
    while let Some((place, letter)) = letters.next() {
        match letter {
            '\\' if quote != '`' => _ = letters.next(),
            _ if letter == quote => return Some((start..start + place, start + place + 1)),
            _ => {}
        }
    }
    Some((start..code.len(), code.len()))
}

/// The number that begins here, if one does.
fn number(code: &str, at: usize) -> Option<(Range<usize>, usize)> {
    let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    let begins = code[at..].starts_with(|letter: char| letter.is_ascii_digit()) && !code[..at].ends_with(is_name);
    let length = code[at..].find(|letter| !is_name(letter)).unwrap_or(code.len() - at);
    begins.then_some((at..at + length, at + length))
}

#[cfg(test)]
mod tests {
    use super::line;

    fn shown(code: &str) -> String {
        line(code, 1, 1).unwrap().0
    }

    #[test]
    fn s34_what_a_script_says_of_a_password_is_left_out() {
        for (code, wanted) in [
            (r#"f("a", #{password: "p"});"#, r#"f("a", #{password: "***"});"#),
            (
                r#"f(#{"db_password": "p" + "q", a: "b"})"#,
                r#"f(#{"db_password": "***" + "***", a: "b"})"#,
            ),
            ("let my_token = `p ${x}`; f(`a`)", "let my_token = `***`; f(`a`)"),
            (r##"let SECRET=#"p"q"#; g("a")"##, r##"let SECRET=#"***"#; g("a")"##),
            (
                r#"f(#{secrets: #{db: "p", x: "q"}, cmd: ["a"]})"#,
                r#"f(#{secrets: #{db: "***", x: "***"}, cmd: ["a"]})"#,
            ),
            (
                r#"registry::login("h", "u", "p", #{a: "b"})"#,
                r#"registry::login("h", "u", "***", #{a: "b"})"#,
            ),
            (r#"m["token"] = "p\"q""#, r#"m["token"] = "***""#),
            (r#"if password == "p" { f("a") }"#, r#"if password == "***" { f("a") }"#),
            (
                r#"f(#{username: "ann"}) // password: "#,
                r#"f(#{username: "ann"}) // password: "#,
            ),
            (
                r#"let c = secret::env("NAME"); f(#{password: 3, a: 4})"#,
                r#"let c = secret::env("NAME"); f(#{password: ***, a: 4})"#,
            ),
            (r#"let password = ""; f("#, r#"let password = ""; f("#),
            (r#"let password = "p"#, r#"let password = "***"#),
        ] {
            assert_eq!(shown(code), wanted, "{code}");
        }
    }

    #[test]
    fn a_whole_script_loses_its_passwords_and_nothing_else() {
        let code = "let a = 1;\nregistry::login(\"h\", \"u\", \"p\");\nlet token = \"\"; print(\"x\")";
        assert_eq!(super::masked(code), code.replace("\"p\"", "\"***\""));
    }

    #[test]
    fn lines_are_told_apart_and_the_column_stays_with_its_word() {
        let code = "let password =\n  `one\ntwo` + boom(\"a\");\nf(#{password: \"a long one\"}).x";
        assert_eq!(line(code, 2, 3), Some(("  `***".to_owned(), 3)));
        assert_eq!(line(code, 3, 8), Some(("***` + boom(\"***\");".to_owned(), 8)));
        let (text, column) = line(code, 4, 30).unwrap();
        assert_eq!((text.as_str(), &text[column - 1..]), ("f(#{password: \"***\"}).x", "x"));
        assert_eq!(line(code, 4, 20).map(|(_, column)| column), Some(16));
        assert_eq!(line(code, 4, 3).map(|(_, column)| column), Some(3));
        assert_eq!(line("a", 9, 1), None);
        assert_eq!(line("", 1, 1), None);
    }
}
