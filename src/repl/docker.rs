//! Docker's words, for those who have them in their fingers: what each is called here.

/// A word of Docker's command line, and a line that does the same.
const WORDS: [(&str, &str); 41] = [
    ("attach", "container::get(\"NAME\").follow(|line| print(line))"),
    (
        "build",
        "image::from_host(\"IMAGE\", [\"/bin/sh\"]), container::get(\"NAME\").commit(\"IMAGE\"): there are no Dockerfiles",
    ),
    (
        "commit",
        "container::get(\"NAME\").commit(\"IMAGE\", #{changes: [`CMD [\"sh\"]`]})",
    ),
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
    ("logs", "container::get(\"NAME\").logs(), .follow(|line| print(line))"),
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

/// What a line is here that begins with a word of Docker's, if it is one of a shell rather than of the language.
pub(super) fn command(line: &str) -> Option<String> {
    let meant = word_of(line).and_then(meaning)?;
    let talks = |word: &str| word.starts_with('-') && !word.starts_with("--") && word.contains(['i', 't']);
    let mut words = line.split_whitespace().skip_while(|word| PROGRAMS.contains(word));
    let verb = words.find(|word| *word != "container")?;
    let wants_terminal = ["exec", "run", "attach", "start"].contains(&verb) && words.any(talks);
    Some(match wants_terminal {
        true => format!(
            "{meant}; to talk with a program, run `hoist {}` in a shell",
            after_program(line)
        ),
        false => meant.to_owned(),
    })
}

const PROGRAMS: [&str; 3] = ["docker", "podman", "hoist"];

/// The words without those of a program before them; `run` behind `container`, as the short one runs scripts.
fn after_program(line: &str) -> String {
    let words: Vec<&str> = line
        .split_whitespace()
        .skip_while(|word| PROGRAMS.contains(word))
        .collect();
    let group = if words.first() == Some(&"run") {
        "container "
    } else {
        ""
    };
    format!("{group}{}", words.join(" "))
}

fn word_of(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    let first = words.next()?;
    let word = if PROGRAMS.contains(&first) {
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
    Some(word)
}

/// What is meant by a function that is not there, if its name is one of Docker's words.
pub(super) fn missing(report: &str) -> Option<&'static str> {
    let name = report.split_once("there is no function `")?.1.split('`').next()?;
    let word = match name.rsplit_once([':', '.']) {
        Some(("image:", "ls")) => "images",
        Some(("image:", "rm" | "delete" | "rmi")) => "rmi",
        Some(("image:", "rename")) => "tag",
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
            ("docker build -t x .", meaning("build")),
            ("docker image ls", meaning("images")),
            ("podman container rm x", meaning("rm")),
            ("hoist images", meaning("images")),
            ("docker nonsense", None),
            ("image::list()", None),
            ("", None),
        ] {
            assert_eq!(command(line).as_deref(), wanted, "{line}");
        }
        let talk = command("docker run -it debian").unwrap();
        assert!(
            talk.ends_with("run `hoist container run -it debian` in a shell"),
            "{talk}"
        );
        assert!(command("exec -it web sh").unwrap().contains("`hoist exec -it web sh`"));
    }
}
