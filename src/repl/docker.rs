//! Docker's words, for those who have them in their fingers: what each is called here.

/// A word of Docker's command line, and a line that does the same.
const WORDS: [(&str, &str); 40] = [
    ("attach", "container::get(\"NAME\").follow(|line| print(line))"),
    ("commit", "container::get(\"NAME\").commit(\"IMAGE\")"),
    (
        "cp",
        "container::get(\"NAME\").copy_out(\"/path\", \"here\"), .copy_in(\"here\", \"/path\")",
    ),
    ("containers", "container::list()"),
    ("create", "container::create(\"IMAGE\", \"COMMAND\", #{name: \"NAME\"})"),
    ("diff", "container::get(\"NAME\").diff()"),
    ("events", "system::events(#{since: \"1h\"})"),
    ("exec", "container::get(\"NAME\").exec(\"COMMAND\")"),
    ("export", "container::get(\"NAME\").export_tar(\"FILE\")"),
    ("df", "system::df()"),
    ("history", "image::history(\"IMAGE\")"),
    ("images", "image::list()"),
    ("import", "image::import_tar(\"FILE\", \"IMAGE\")"),
    ("info", "system::info()"),
    (
        "inspect",
        "image::inspect(\"IMAGE\"), container::get(\"NAME\").inspect()",
    ),
    ("kill", "container::get(\"NAME\").kill()"),
    ("load", "image::load(\"FILE\")"),
    ("login", "registry::login(\"HOST\", \"USER\", \"PASSWORD\")"),
    ("logout", "registry::logout(\"HOST\")"),
    ("logs", "container::get(\"NAME\").logs()"),
    ("ls", "image::list(), container::list()"),
    ("pause", "container::get(\"NAME\").pause()"),
    ("port", "container::get(\"NAME\").ports"),
    ("prune", "image::prune(), container::prune()"),
    ("ps", "container::list(), container::list(#{all: true})"),
    ("pull", "image::pull(\"IMAGE\")"),
    ("push", "image::push(\"IMAGE\")"),
    ("rename", "container::get(\"NAME\").rename(\"NEW\")"),
    ("restart", "container::get(\"NAME\").restart()"),
    ("rm", "container::get(\"NAME\").remove()"),
    ("rmi", "image::remove(\"IMAGE\")"),
    (
        "run",
        "container::run(\"IMAGE\", \"COMMAND\"), container::run_detached(\"IMAGE\", \"COMMAND\")",
    ),
    ("save", "image::save(\"IMAGE\", \"FILE\")"),
    ("start", "container::get(\"NAME\").start()"),
    ("stats", "container::get(\"NAME\").stats()"),
    ("stop", "container::get(\"NAME\").stop()"),
    ("tag", "image::tag(\"IMAGE\", \"NEW\")"),
    ("top", "container::get(\"NAME\").top()"),
    ("undo", "system::undo()"),
    ("wait", "container::get(\"NAME\").wait()"),
];

/// What a word of Docker's is here.
pub(super) fn meaning(word: &str) -> Option<&'static str> {
    WORDS.iter().find(|row| row.0 == word).map(|row| row.1)
}

/// The word of Docker's that a line begins with, if it is one of a shell rather than of the language.
pub(super) fn command(line: &str) -> Option<&'static str> {
    let mut words = line.split_whitespace();
    let first = words.next()?;
    let word = if matches!(first, "docker" | "podman" | "hoist") {
        words.next()?
    } else {
        first
    };
    // `docker image ls`, `docker system df`.
    let word = match (word, words.next()) {
        ("image", Some("ls" | "list")) => "images",
        ("container", Some("ls" | "list")) => "ps",
        ("image", Some("rm")) => "rmi",
        ("image" | "container" | "system", Some(word)) => word,
        (word, _) => word,
    };
    meaning(word)
}

/// What is meant by a function that is not there, if its name is one of Docker's words.
pub(super) fn missing(report: &str) -> Option<&'static str> {
    let name = report.split_once("there is no function `")?.1.split('`').next()?;
    let word = match name.rsplit_once([':', '.']) {
        Some(("image:", "ls")) => "images",
        Some(("image:", "rm" | "delete" | "rmi")) => "rmi",
        Some(("container:", "ls")) => "ps",
        Some((_, word)) => word,
        None => name,
    };
    meaning(word)
}

/// All of them, one a line.
pub(super) fn list() -> String {
    let rows = WORDS.map(|(word, line)| format!("  {word:<9} {line}\n"));
    format!("What Docker's words are here\n{}", rows.concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repl::manual::Manual;
    use crate::repl::token::tokens;

    #[test]
    fn every_word_leads_to_functions_that_there_are() {
        let manual = Manual::read();
        for (word, line) in WORDS {
            let tokens = tokens(line);
            for at in 0..tokens.len() {
                let name = match (tokens.get(at.wrapping_sub(2)), tokens.get(at.wrapping_sub(1))) {
                    (Some(module), Some(sign)) if sign.is("::") => format!("{}::{}", module.text, tokens[at].text),
                    (_, Some(sign)) if sign.is(".") => format!("Container.{}", tokens[at].text),
                    _ => continue,
                };
                assert!(manual.returns(&name).is_some(), "{word}: {name}");
            }
        }
    }

    #[test]
    fn lines_of_a_shell_are_known() {
        for (line, wanted) in [
            ("ps", meaning("ps")),
            ("docker ps -a", meaning("ps")),
            ("docker image ls", meaning("images")),
            ("podman container rm x", meaning("rm")),
            ("hoist images", meaning("images")),
            ("docker nonsense", None),
            ("image::list()", None),
            ("", None),
        ] {
            assert_eq!(command(line), wanted, "{line}");
        }
    }
}
