//! The flags a container is made with: those of `docker run`, each an option of scripts under another name. One table says which.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::config::{self, Given, Parameter, Type};
use crate::error::{Error, Result};
use crate::host::ContainerOptions;

/// How a flag's words become the value of an option.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It is there or not.
    Switch,
    /// It is there, and then nothing of the option.
    Off,
    /// One text.
    Text,
    /// A number.
    Number,
    /// A time; a bare number is seconds.
    Time,
    /// A program without arguments; nothing takes it away.
    Program,
    /// Any number of texts.
    Words,
    /// Any number of `NAME=VALUE`.
    Pairs,
    /// `max-size=SIZE` and `max-file=N`, as keys of a map.
    Log,
    /// The same, where a name alone has the value it has here.
    Variables,
}

use Kind::{Log, Number, Off, Pairs, Program, Switch, Text, Time, Variables, Words};

/// A flag.
struct Flag {
    long: &'static str,
    short: Option<char>,
    option: &'static str,
    kind: Kind,
    value: &'static str,
    help: &'static str,
}

const fn flag(
    long: &'static str,
    short: Option<char>,
    option: &'static str,
    kind: Kind,
    value: &'static str,
    help: &'static str,
) -> Flag {
    Flag {
        long,
        short,
        option,
        kind,
        value,
        help,
    }
}

#[rustfmt::skip]
const FLAGS: &[Flag] = &[
    flag("add-host", None, "add_hosts", Words, "NAME:ADDRESS", "Add a line to /etc/hosts"),
    flag("blkio-weight", None, "blkio_weight", Number, "N", "Share of disk time, 10 to 1000"),
    flag("cap-add", None, "cap_add", Words, "CAPABILITY", "Give a capability"),
    flag("cap-drop", None, "cap_drop", Words, "CAPABILITY", "Take a capability, or ALL"),
    flag("cgroupns", None, "cgroupns", Text, "MODE", "From where it sees control groups: private or host"),
    flag("cpu-shares", Some('c'), "cpu_shares", Number, "N", "Share of processor time; 1024 is usual"),
    flag("cpus", None, "cpus", Number, "N", "The most processor time, such as 1.5"),
    flag("cpuset-cpus", None, "cpuset_cpus", Text, "LIST", "The processors to run on, such as 0-2,4"),
    flag("device", None, "devices", Words, "HOST[:INSIDE]", "Give a device of the host"),
    flag("device-cgroup-rule", None, "device_cgroup_rules", Words, "RULE", "Allow devices by number, such as 'c 1:* r'"),
    flag("dns", None, "dns", Words, "ADDRESS", "A name server for /etc/resolv.conf"),
    flag("entrypoint", None, "entrypoint", Program, "PROGRAM", "In place of the image's entrypoint"),
    flag("env", Some('e'), "env", Variables, "NAME[=VALUE]", "Set a variable; without a value, as it is here"),
    flag("env-file", None, "env_file", Words, "FILE", "Set variables from a file"),
    flag("health-cmd", None, "health.cmd", Text, "COMMAND", "What checks its health"),
    flag("health-interval", None, "health.interval", Time, "TIME", "How long between two checks; 30s is usual"),
    flag("health-retries", None, "health.retries", Number, "N", "Failures in a row that mean unhealthy; 3 is usual"),
    flag("health-start-interval", None, "health.start_interval", Time, "TIME", "How long between two checks at first; 5s is usual"),
    flag("health-start-period", None, "health.start_period", Time, "TIME", "How long failures do not count"),
    flag("health-timeout", None, "health.timeout", Time, "TIME", "How long a check may take; 30s is usual"),
    flag("hostname", None, "hostname", Text, "NAME", "The host name inside"),
    flag("init", None, "init", Switch, "", "Give it a first process that reaps and passes signals on"),
    flag("init-binary", None, "init_binary", Text, "FILE", "The program that is this first process"),
    flag("interactive", Some('i'), "interactive", Switch, "", "Pass standard input on"),
    flag("ipc", None, "ipc", Text, "MODE", "Whose shared memory: private, host or container:NAME"),
    flag("label", Some('l'), "labels", Pairs, "NAME=VALUE", "Set a label"),
    flag("log-opt", None, "log", Log, "NAME=VALUE", "max-size=SIZE and max-file=N: how much is kept of what it writes"),
    flag("memory", Some('m'), "memory", Text, "SIZE", "The most memory, such as 512m"),
    flag("memory-reservation", None, "memory_reservation", Text, "SIZE", "Memory to leave to it"),
    flag("memory-swap", None, "memory_swap", Text, "SIZE", "The most memory and swap together"),
    flag("mount", None, "mounts", Words, "type=…,target=…", "Show a directory, a volume or a memory file system inside"),
    flag("name", None, "name", Text, "NAME", "Its name"),
    flag("network", None, "network", Text, "MODE", "none, host or container:NAME"),
    flag("no-new-privileges", None, "no_new_privileges", Switch, "", "Setuid programs give no rights"),
    flag("no-healthcheck", None, "health", Off, "", "Check no health, whatever the image says"),
    flag("pid", None, "pid", Text, "MODE", "Which processes it sees: private, host or container:NAME"),
    flag("pids-limit", None, "pids_limit", Number, "N", "The most processes and threads"),
    flag("platform", None, "platform", Text, "OS/ARCH[/VARIANT]", "The platform the image is to be for"),
    flag("privileged", None, "privileged", Switch, "", "It may do all that this process may"),
    flag("pull", None, "pull", Text, "WHEN", "When a registry is asked for the image: missing, always, newer or never"),
    flag("read-only", None, "read_only", Switch, "", "The root file system refuses writes"),
    flag("restart", None, "restart", Text, "POLICY", "no, on-failure[:N], always or unless-stopped"),
    flag("rm", None, "rm", Switch, "", "Remove the container once it has ended"),
    flag("seccomp", None, "seccomp", Text, "PROFILE", "default, unconfined, or a profile's file"),
    flag("secret", None, "secrets", Words, "FILE", "Show a file of this machine in /run/secrets"),
    flag("security-opt", None, "security_opt", Words, "OPTION", "seccomp=… or no-new-privileges"),
    flag("shm-size", None, "shm_size", Text, "SIZE", "The size of /dev/shm"),
    flag("stop-signal", None, "stop_signal", Text, "SIGNAL", "What asks it to end"),
    flag("stop-timeout", None, "stop_timeout", Time, "SECONDS", "How long it may take to end after that"),
    flag("sysctl", None, "sysctls", Pairs, "NAME=VALUE", "A kernel setting of its own"),
    flag("tmpfs", None, "tmpfs", Words, "PATH[:OPTIONS]", "A memory file system"),
    flag("tty", Some('t'), "tty", Switch, "", "Give it a terminal"),
    flag("ulimit", None, "ulimits", Pairs, "NAME=SOFT[:HARD]", "A limit of each process"),
    flag("user", Some('u'), "user", Text, "USER[:GROUP]", "Whose program it is"),
    flag("userns", None, "userns", Text, "MODE", "Whose users it has: auto, host, or a range"),
    flag("uts", None, "uts", Text, "MODE", "Whose host name: private or host"),
    flag("volume", Some('v'), "volumes", Words, "SOURCE:PATH[:ro]", "Show a directory or a volume inside"),
    flag("workdir", Some('w'), "workdir", Text, "PATH", "The directory the command starts in"),
];

/// Options that a command line says in other ways, or has no use for.
#[cfg(test)]
const OTHERWISE: [&str; 5] = ["check", "keep", "stdin", "stream", "timeout"];

/// The flags as parameters of a command.
pub fn parameters() -> impl Iterator<Item = Parameter> {
    FLAGS.iter().map(Flag::parameter)
}

/// Takes the flags out of what a command line tells, and returns what they say as the options of a new container.
///
/// Errors: `invalid`, of the flag that is wrong.
pub fn options(told: &mut Vec<(String, Given)>) -> Result<Value> {
    let mut options = Map::new();
    for flag in FLAGS {
        let variable = flag.long.replace('-', "_");
        let Some(at) = told.iter().position(|(name, _)| *name == variable) else {
            continue;
        };
        let Some(value) = flag.value(told.remove(at).1)? else {
            continue;
        };
        // Alone, so that what is wrong is said of its flag.
        let mut alone = Map::new();
        put(&mut alone, flag.option, value.clone());
        ContainerOptions::deserialize(Value::Object(alone)).map_err(|cause| {
            let shown = value.as_str().map_or(value.to_string(), str::to_owned);
            flag.refused(&shown, &cause.to_string())
        })?;
        put(&mut options, flag.option, value);
    }
    Ok(Value::Object(options))
}

impl Flag {
    fn parameter(&self) -> Parameter {
        let kind = match self.kind {
            Switch | Off => Type::Bool,
            _ => Type::Text,
        };
        let many = matches!(self.kind, Words | Pairs | Log | Variables);
        Parameter::of_flag(self.long, self.short, kind, many, self.value, self.help)
    }

    /// What the command line says of the option, if anything.
    fn value(&self, given: Given) -> Result<Option<Value>> {
        Ok(match given {
            Given::Bool(true) => Some(Value::Bool(self.kind == Switch)),
            Given::Text(word) => Some(self.one(word)?),
            Given::List(words) if !words.is_empty() => {
                let texts = words.into_iter().filter_map(|word| match word {
                    Given::Text(text) => Some(text),
                    _ => None,
                });
                Some(self.several(texts.collect())?)
            }
            _ => None,
        })
    }

    fn one(&self, word: String) -> Result<Value> {
        Ok(match self.kind {
            Number => Value::Number(word.parse().map_err(|_| self.refused(&word, "it is no number"))?),
            Time if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()) => format!("{word}s").into(),
            Program => Vec::from_iter((!word.is_empty()).then_some(word)).into(),
            _ => word.into(),
        })
    }

    fn several(&self, words: Vec<String>) -> Result<Value> {
        match self.kind {
            Variables => Ok(words.iter().filter_map(|word| config::setting(word)).collect()),
            Log => self.bounds(&words),
            _ => Ok(words.into()),
        }
    }

    fn bounds(&self, words: &[String]) -> Result<Value> {
        let mut bounds = Map::new();
        for word in words {
            match word.split_once('=') {
                Some(("max-size", size)) => drop(bounds.insert("max_size".to_owned(), size.into())),
                Some(("max-file" | "max-files", files)) => {
                    let files: u32 = files
                        .parse()
                        .map_err(|_| self.refused(word, "it is no number of files"))?;
                    bounds.insert("max_files".to_owned(), files.into());
                }
                _ => return Err(self.refused(word, "there are `max-size=SIZE` and `max-file=N`")),
            }
        }
        Ok(Value::Object(bounds))
    }

    fn refused(&self, value: &str, why: &str) -> Error {
        Error::invalid(format!(
            "`{}` is no value for `--{}`: {why}",
            value.escape_debug(),
            self.long
        ))
    }
}

/// Sets an option, or with a dot a key of one that is a map; what is no map gives way.
fn put(options: &mut Map<String, Value>, option: &str, value: Value) {
    let Some((option, key)) = option.split_once('.') else {
        options.insert(option.to_owned(), value);
        return;
    };
    let map = options.entry(option).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(map) = map {
        map.insert(key.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Header, read_words};
    use crate::host::HealthOption;

    impl Flag {
        /// Its option as a whole.
        fn of(&self) -> &str {
            self.option.split('.').next().unwrap()
        }
    }

    /// The options of scripts, as serde lists them where one is unknown.
    fn known() -> Vec<String> {
        let unknown = serde_json::json!({"?": 1});
        let message = ContainerOptions::deserialize(unknown).unwrap_err().to_string();
        message.split('`').skip(3).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn every_option_has_a_flag() {
        let missing: Vec<String> = known()
            .into_iter()
            .filter(|option| !FLAGS.iter().any(|flag| flag.of() == option))
            .filter(|option| !OTHERWISE.contains(&option.as_str()))
            .collect();
        assert!(
            missing.is_empty(),
            "give these a row in `FLAGS`, or in `OTHERWISE`: {missing:?}"
        );
        let unknown = FLAGS
            .iter()
            .find(|flag| !known().iter().any(|option| option == flag.of()));
        assert!(unknown.is_none(), "{}", unknown.unwrap().long);
    }

    fn parse(words: &[&str]) -> Result<ContainerOptions> {
        let mut header = Header::default();
        header.parameters.extend(parameters());
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let mut told = read_words(&header, &words).unwrap();
        let read = options(&mut told)?;
        assert!(told.is_empty());
        Ok(ContainerOptions::deserialize(read).unwrap())
    }

    #[test]
    fn flags_are_options() {
        let words = [
            "-it",
            "-e",
            "A=1",
            "--env",
            "B=x=y",
            "-m",
            "64m",
            "--cpus",
            "0.5",
            "--pids-limit",
            "9",
        ];
        let options = parse(&words).unwrap();
        assert!(options.tty && options.interactive && !options.rm);
        assert_eq!(options.env.0.len(), 2);
        assert_eq!(options.memory.map(|size| size.0), Some(64 << 20));
        assert_eq!((options.cpus, options.pids_limit), (Some(0.5), Some(9)));
        let options = parse(&["--entrypoint", "", "--stop-timeout", "5", "-v", "/a:/b", "-v", "c:/d"]).unwrap();
        assert_eq!(options.entrypoint.unwrap().words().len(), 0);
        assert_eq!(options.stop_timeout.unwrap().0, std::time::Duration::from_secs(5));
        assert_eq!(options.volumes.0, ["/a:/b", "c:/d"]);
        let health = [
            "--health-cmd",
            "true",
            "--health-interval",
            "5",
            "--health-retries",
            "2",
        ];
        let HealthOption::Check(check) = parse(&health).unwrap().health else {
            panic!()
        };
        assert_eq!((check.retries, check.interval.unwrap().0.as_secs()), (Some(2), 5));
        assert!(matches!(
            parse(&["--no-healthcheck"]).unwrap().health,
            HealthOption::Off
        ));
    }

    #[test]
    fn what_is_wrong_is_said_of_its_flag() {
        for words in [["--memory", "much"], ["--cpus", "two"], ["--pids-limit", "1.5"]] {
            let error = parse(&words).unwrap_err().to_string();
            assert!(error.contains(words[0]) && error.contains(words[1]), "{error}");
        }
    }
}
