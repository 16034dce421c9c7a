//! What a container may do: its system call filter, its AppArmor profile, and whether programs can raise their rights. Said by
//! `seccomp` and `no_new_privileges`, or in Docker's words by `security_opt`.

use std::fs::File;
use std::io::Read;

use super::options::ContainerOptions;
use crate::error::{Context, Error, Kind, Result};
use crate::runtime::capabilities::{self, CapSet};
use crate::runtime::{Seccomp, apparmor, seccomp::Profile};

/// The most bytes of a profile; Docker's default one has 14 KiB.
const MAX_PROFILE: u64 = 1 << 20;

const FORM: &str =
    "it is read as `docker run --security-opt seccomp=FILE` does, see https://docs.docker.com/engine/security/seccomp";

/// All, resolved.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Security {
    pub(super) seccomp: Seccomp,
    pub(super) no_new_privileges: bool,
    /// Empty where none is asked for.
    pub(super) apparmor: String,
}

/// A setting that several options can say, as long as they say the same.
struct Said<T> {
    name: &'static str,
    value: Option<T>,
}

impl<T: PartialEq + std::fmt::Display> Said<T> {
    fn add(&mut self, value: T) -> Result<()> {
        match &self.value {
            Some(other) if *other != value => Err(Error::invalid(format!(
                "`{}` is both `{other}` and `{value}` in the options",
                self.name
            ))
            .hint("say it once, by an option of its own or in `security_opt`")),
            _ => {
                self.value = Some(value);
                Ok(())
            }
        }
    }
}

impl Security {
    /// Reads the options, and the profile if they name one: it is checked for a container with these capabilities, and kept as it is.
    pub(super) fn of(options: &ContainerOptions) -> Result<Security> {
        let mut seccomp = Said {
            name: "seccomp",
            value: options.seccomp.as_deref(),
        };
        let mut no_new_privileges = Said {
            name: "no_new_privileges",
            value: options.no_new_privileges,
        };
        let mut apparmor = Said {
            name: "apparmor",
            value: None,
        };
        for text in &options.security_opt.0 {
            match text.split_once('=') {
                Some(("seccomp", value)) => seccomp.add(value)?,
                Some(("apparmor", value)) if !value.is_empty() => apparmor.add(value)?,
                None if text == "no-new-privileges" => no_new_privileges.add(true)?,
                Some(("no-new-privileges", "true")) => no_new_privileges.add(true)?,
                Some(("no-new-privileges", "false")) => no_new_privileges.add(false)?,
                _ => return Err(unknown(text)),
            }
        }
        apparmor.value.map_or(Ok(()), apparmor::check)?;
        let (add, drop) = (&options.cap_add.0, &options.cap_drop.0);
        let own_users = options.user_namespace()?.is_own();
        let granted = || capabilities::granted(add, drop, options.privileged, own_users);
        Ok(Security {
            seccomp: match seccomp.value {
                None if options.privileged => Seccomp::Unconfined,
                None | Some("default") => Seccomp::Default,
                Some("unconfined") => Seccomp::Unconfined,
                Some(path) => profile(path, granted()?)?,
            },
            no_new_privileges: no_new_privileges.value.unwrap_or(false),
            apparmor: apparmor.value.unwrap_or_default().to_owned(),
        })
    }
}

fn unknown(text: &str) -> Error {
    crate::model::unknown(
        "security option",
        text,
        &[
            "seccomp=default",
            "seccomp=unconfined",
            "seccomp=FILE",
            "apparmor=PROFILE",
            "apparmor=unconfined",
            "no-new-privileges",
            "no-new-privileges=true",
            "no-new-privileges=false",
        ],
    )
}

fn profile(path: &str, capabilities: CapSet) -> Result<Seccomp> {
    let json = read(path)?;
    let checked = Profile::parse(json.as_bytes()).and_then(|profile| profile.compile(capabilities));
    checked.map_err(|error| {
        error
            .during(format!("read the seccomp profile `{}`", path.escape_debug()))
            .target(path)
            .hint(FORM)
    })?;
    Ok(Seccomp::Profile(compact(&json)))
}

fn read(path: &str) -> Result<String> {
    let what = || format!("read the seccomp profile `{}`", path.escape_debug());
    let mut json = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_PROFILE + 1).read_to_string(&mut json));
    let checked = read.during(what).and_then(|length| match length as u64 {
        0..=MAX_PROFILE => Ok(()),
        _ => Err(Error::invalid(format!("it has more than {MAX_PROFILE} bytes")).during(what())),
    });
    checked.map_err(|error| {
        error
            .with_kind(Kind::Invalid)
            .target(path)
            .hint("`seccomp` is `default`, `unconfined`, or the path of a profile in Docker's form")
    })?;
    Ok(json)
}

/// JSON without the space between its parts, as Docker keeps and shows a profile.
fn compact(json: &str) -> String {
    let (mut is_text, mut is_escaped) = (false, false);
    let keep = |c: &char| {
        let keep = is_text || !c.is_ascii_whitespace();
        is_text ^= *c == '"' && !is_escaped;
        is_escaped = is_text && *c == '\\' && !is_escaped;
        keep
    };
    json.chars().filter(keep).collect()
}

/// What Docker shows as `HostConfig.SecurityOpt`: what is not the default, or nothing.
pub(super) fn shown(seccomp: &Seccomp, no_new_privileges: bool, apparmor: &str) -> Option<Vec<String>> {
    let seccomp = match seccomp {
        Seccomp::Default => None,
        Seccomp::Unconfined => Some("seccomp=unconfined".to_owned()),
        Seccomp::Profile(json) => Some(format!("seccomp={json}")),
    };
    let no_new_privileges = no_new_privileges.then(|| "no-new-privileges".to_owned());
    let apparmor = (!apparmor.is_empty()).then(|| format!("apparmor={apparmor}"));
    let all: Vec<String> = no_new_privileges.into_iter().chain(apparmor).chain(seccomp).collect();
    (!all.is_empty()).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Words;

    fn of(seccomp: Option<&str>, no_new_privileges: Option<bool>, words: &[&str]) -> Result<Security> {
        Security::of(&ContainerOptions {
            seccomp: seccomp.map(str::to_owned),
            no_new_privileges,
            security_opt: Words(words.iter().map(|word| (*word).to_owned()).collect()),
            ..Default::default()
        })
    }

    #[test]
    fn dockers_words_say_the_same() {
        let plain = of(None, None, &[]).unwrap();
        assert_eq!((plain.seccomp, plain.no_new_privileges), (Seccomp::Default, false));
        for (words, no_new_privileges) in [
            (&["seccomp=unconfined", "no-new-privileges"][..], true),
            (&["no-new-privileges=true", "seccomp=unconfined"], true),
            (&["no-new-privileges=false", "seccomp=unconfined"], false),
        ] {
            let said = of(None, None, words).unwrap();
            assert_eq!(
                said,
                of(Some("unconfined"), Some(no_new_privileges), &[]).unwrap(),
                "{words:?}"
            );
            assert_eq!(
                said,
                of(Some("unconfined"), Some(no_new_privileges), words).unwrap(),
                "{words:?}"
            );
        }
    }

    #[test]
    fn what_is_unknown_or_contradicts_is_refused() {
        for (seccomp, no_new_privileges, words) in [
            (Some("default"), None, &["seccomp=unconfined"][..]),
            (None, Some(false), &["no-new-privileges"]),
            (None, None, &["no-new-privileges", "no-new-privileges=false"]),
            (None, None, &["no-new-privileges=1"]),
            (None, None, &["no-new-privileges:true"]),
            (None, None, &["seccomp"]),
            (None, None, &["apparmor="]),
            (None, None, &["apparmor=unconfined", "apparmor=docker-default"]),
            (None, None, &["label=disable"]),
            (None, None, &[""]),
            (None, None, &["seccomp=/no/such/file"]),
            (Some("/"), None, &[]),
            (Some("/dev/zero"), None, &[]),
        ] {
            let error = of(seccomp, no_new_privileges, words).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid, "{words:?}: {error}");
            assert!(error.way_out().is_some(), "{words:?}: {error}");
        }
    }

    #[test]
    fn a_profile_is_kept_as_it_is_but_for_space() {
        let json = "{ \"defaultAction\" :\n\t\"SCMP_ACT_ALLOW\", \"syscalls\": [ {\"comment\": \"a \\\" b \\\\\", \
                    \"names\": [\"bpf\"], \"action\": \"SCMP_ACT_ERRNO\"} ] }\n";
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("profile.json");
        std::fs::write(&path, json).unwrap();
        let said = of(path.to_str(), None, &[]).unwrap();
        let kept = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"comment":"a \" b \\","names":["bpf"],"action":"SCMP_ACT_ERRNO"}]}"#;
        assert_eq!(said.seccomp, Seccomp::Profile(kept.to_owned()));
        assert_eq!(
            shown(&said.seccomp, true, "").unwrap(),
            ["no-new-privileges".to_owned(), format!("seccomp={kept}")]
        );
        assert_eq!(shown(&Seccomp::Default, false, ""), None);
    }

    #[test]
    fn a_wrong_profile_is_refused_with_its_name_and_rule() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("profile.json");
        let wrong = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["bpf"],"action":"SCMP_ACT_NOTIFY"}]}"#;
        std::fs::write(&path, wrong).unwrap();
        let error = of(path.to_str(), None, &[]).unwrap_err();
        let expected = format!(
            "failed to read the seccomp profile `{}`: rule 1 (`bpf`): ",
            path.display()
        );
        assert!(error.message().starts_with(&expected), "{error}");
        assert_eq!((error.kind(), error.subject()), (Kind::Unsupported, path.to_str()));
    }

    #[test]
    fn what_older_versions_kept_is_read() {
        for (kept, seccomp) in [
            ("\"default\"", Seccomp::Default),
            ("\"unconfined\"", Seccomp::Unconfined),
        ] {
            assert_eq!(serde_json::from_str::<Seccomp>(kept).unwrap(), seccomp);
            assert_eq!(serde_json::to_string(&seccomp).unwrap(), kept);
        }
        let profile = Seccomp::Profile("{}".to_owned());
        let kept = serde_json::to_string(&profile).unwrap();
        assert_eq!(serde_json::from_str::<Seccomp>(&kept).unwrap(), profile);
    }
}
