//! The commands that come with the program: scripts, each compiled only when it is called.

/// A command.
#[derive(Debug)]
pub struct Command {
    /// Its name, which is that of its file as well.
    pub name: &'static str,
    /// Its names in groups: `container ls`.
    pub also: &'static [&'static str],
    /// Under what `--help` lists it; empty for one that is in its group alone.
    pub section: &'static str,
    /// The script.
    pub code: &'static str,
}

macro_rules! command {
    ($section:expr, $name:literal $(, $also:literal)*) => {
        Command {
            name: $name,
            also: &[$($also),*],
            section: $section,
            code: include_str!(concat!("../../stdlib/commands/", $name, ".rhai")),
        }
    };
}

const COMMON: &str = "Common Commands";
const OTHER: &str = "Commands";
const GROUPED: &str = "";

/// All of them, as `--help` lists them.
pub const COMMANDS: &[Command] = &[
    command!(COMMON, "run", "container run"),
    command!(COMMON, "exec", "container exec"),
    command!(COMMON, "ps", "container ls", "container list", "container ps"),
    command!(COMMON, "pull", "image pull"),
    command!(COMMON, "push", "image push"),
    command!(COMMON, "images", "image ls", "image list"),
    command!(COMMON, "login", "registry login"),
    command!(COMMON, "logout", "registry logout"),
    command!(COMMON, "search", "image search"),
    command!(COMMON, "version"),
    command!(COMMON, "info", "system info"),
    command!(OTHER, "attach", "container attach"),
    command!(OTHER, "commit", "container commit"),
    command!(OTHER, "cp", "container cp"),
    command!(OTHER, "create", "container create"),
    command!(OTHER, "df", "system df"),
    command!(OTHER, "diff", "container diff"),
    command!(OTHER, "events", "system events"),
    command!(OTHER, "export", "container export"),
    command!(OTHER, "history", "image history"),
    command!(OTHER, "import", "image import"),
    command!(OTHER, "inspect"),
    command!(OTHER, "kill", "container kill"),
    command!(OTHER, "load", "image load"),
    command!(OTHER, "logs", "container logs"),
    command!(OTHER, "pause", "container pause"),
    command!(OTHER, "port", "container port"),
    command!(OTHER, "prune", "system prune"),
    command!(OTHER, "rename", "container rename"),
    command!(OTHER, "restart", "container restart"),
    command!(OTHER, "rm", "container rm", "container remove"),
    command!(OTHER, "rmi", "image rm", "image remove"),
    command!(OTHER, "save", "image save"),
    command!(OTHER, "start", "container start"),
    command!(OTHER, "stats", "container stats"),
    command!(OTHER, "stop", "container stop"),
    command!(OTHER, "tag", "image tag"),
    command!(OTHER, "top", "container top"),
    command!(OTHER, "unpause", "container unpause"),
    command!(OTHER, "update", "container update"),
    command!(OTHER, "wait", "container wait"),
    command!(GROUPED, "boot", "system boot"),
    command!(GROUPED, "container-inspect", "container inspect"),
    command!(GROUPED, "container-prune", "container prune"),
    command!(GROUPED, "image-inspect", "image inspect"),
    command!(GROUPED, "image-prune", "image prune"),
    command!(GROUPED, "system-trash", "system trash"),
    command!(GROUPED, "volume-create", "volume create"),
    command!(GROUPED, "volume-inspect", "volume inspect"),
    command!(GROUPED, "volume-ls", "volume ls", "volume list"),
    command!(GROUPED, "volume-prune", "volume prune"),
    command!(GROUPED, "volume-rm", "volume rm", "volume remove"),
];

/// The groups, and what they are about.
pub const GROUPS: &[(&str, &str)] = &[
    ("container", "Manage containers"),
    ("image", "Manage images"),
    ("registry", "Manage logins to registries"),
    ("system", "Manage the store"),
    ("volume", "Manage volumes"),
];

impl Command {
    /// The command that words begin with, and how many they are: `container ls` before `container`.
    pub fn find(words: &[String]) -> Option<(&'static Command, usize)> {
        let first = words.first()?;
        if let Some(second) = words.get(1) {
            let both = format!("{first} {second}");
            if let Some(command) = COMMANDS.iter().find(|command| command.also.contains(&both.as_str())) {
                return Some((command, 2));
            }
        }
        let alone = |command: &&Command| command.name == first && command.section != GROUPED;
        COMMANDS.iter().find(alone).map(|command| (command, 1))
    }

    /// What it is called in help: its short name, or the one in its group.
    pub fn shown(&self) -> &'static str {
        match (self.section, self.also) {
            (GROUPED, [name, ..]) => name,
            _ => self.name,
        }
    }

    /// The first line of what it says of itself.
    pub fn summary(&self) -> &'static str {
        let line = self.code.lines().next().unwrap_or_default();
        line.trim_start_matches("//!").trim()
    }

    /// The commands of a group, with the words they have there.
    pub fn of_group(group: &str) -> Vec<(&'static str, &'static Command)> {
        let mut all: Vec<(&str, &Command)> = COMMANDS
            .iter()
            .filter_map(|command| {
                let name = command
                    .also
                    .iter()
                    .find_map(|name| name.strip_prefix(group)?.strip_prefix(' '));
                Some((name?, command))
            })
            .collect();
        all.sort_unstable_by_key(|(name, _)| *name);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Header;
    use crate::script::testing;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_command_is_found_by_each_of_its_names() {
        for (line, name, count) in [
            ("ps -a", "ps", 1),
            ("container ls -a", "ps", 2),
            ("image prune", "image-prune", 2),
            ("system df", "df", 2),
            ("rm x", "rm", 1),
        ] {
            let (command, taken) = Command::find(&words(line)).unwrap();
            assert_eq!((command.name, taken), (name, count), "{line}");
        }
        for line in ["container", "image-prune", "frob", "container frob"] {
            assert!(Command::find(&words(line)).is_none(), "{line}");
        }
    }

    #[test]
    fn every_command_has_a_header_and_compiles() {
        let engine = testing::engine();
        for command in COMMANDS {
            let header = Header::read(command.name, command.code).unwrap_or_else(|error| panic!("{error}"));
            assert!(!header.about.is_empty() && header.usage.is_some(), "{}", command.name);
            assert!(!command.summary().ends_with('.'), "{}", command.name);
            engine
                .compile(command.code)
                .unwrap_or_else(|error| panic!("{}: {error}", command.name));
        }
    }

    #[test]
    fn every_file_is_a_command() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/stdlib/commands");
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert!(
                COMMANDS.iter().any(|command| command.name == name),
                "{name} is not in the table"
            );
        }
    }
}
