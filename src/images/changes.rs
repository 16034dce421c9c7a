//! Dockerfile lines that change how an image runs (Dockerfile reference): `CMD`, `ENV`, `LABEL`, …; no line makes a layer.

use serde_json::{Map, Value};

use super::config::{Healthcheck, RunConfig};
use crate::error::{Error, Result};
use crate::model::{parse_duration, unknown};

const INSTRUCTIONS: [&str; 12] = [
    "CMD",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "HEALTHCHECK",
    "LABEL",
    "ONBUILD",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// Applies lines in order, all or none. Errors: `invalid`, naming the line.
pub fn apply(config: &mut RunConfig, lines: &[String]) -> Result<()> {
    let mut next = config.clone();
    let mut has_cmd = false;
    for (at, line) in lines.iter().enumerate() {
        let in_line = |error: Error| {
            error.during(format_args!(
                "apply line {} of the changes, `{}`",
                at + 1,
                line.escape_debug()
            ))
        };
        apply_line(&mut next, line.trim(), &mut has_cmd).map_err(in_line)?;
    }
    *config = next;
    Ok(())
}

fn apply_line(config: &mut RunConfig, line: &str, has_cmd: &mut bool) -> Result<()> {
    let (instruction, rest) = line
        .split_once(char::is_whitespace)
        .map_or((line, ""), |(word, rest)| (word, rest.trim()));
    let instruction = instruction.to_ascii_uppercase();
    if !INSTRUCTIONS.contains(&instruction.as_str()) {
        return Err(unknown("instruction", &instruction, &INSTRUCTIONS));
    }
    if rest.is_empty() {
        return Err(Error::invalid(format!("`{instruction}` needs an argument")));
    }
    match instruction.as_str() {
        "CMD" => {
            config.cmd = Some(command(config, rest));
            *has_cmd = true;
        }
        "ENTRYPOINT" => {
            config.entrypoint = Some(command(config, rest));
            // A command meant for another entry point makes no sense to this one.
            if !*has_cmd {
                config.cmd = None;
            }
        }
        "ENV" => pairs(rest)?
            .iter()
            .for_each(|(name, value)| config.set_env(name, value)),
        "LABEL" => config.labels.extend(pairs(rest)?),
        "EXPOSE" => words(rest)?.iter().try_for_each(|word| expose(config, word))?,
        "VOLUME" => {
            let paths = json_list(rest).map_or_else(|| words(rest), Ok)?;
            config.volumes.extend(paths.into_iter().map(|path| (path, empty())));
        }
        "USER" => config.user = rest.to_owned(),
        "WORKDIR" => config.working_dir = join(&config.working_dir, &unquoted(rest)?),
        "STOPSIGNAL" => config.stop_signal = Some(rest.to_owned()),
        "SHELL" => {
            let bad = || Error::invalid("`SHELL` needs a JSON list of words, such as `[\"/bin/bash\", \"-c\"]`");
            config.shell = Some(json_list(rest).filter(|shell| !shell.is_empty()).ok_or_else(bad)?);
        }
        "HEALTHCHECK" => config.healthcheck = Some(healthcheck(config, rest)?),
        _ => config.on_build.get_or_insert_default().push(rest.to_owned()),
    }
    Ok(())
}

fn empty() -> Value {
    Value::Object(Map::new())
}

fn json_list(text: &str) -> Option<Vec<String>> {
    text.starts_with('[').then(|| serde_json::from_str(text).ok()).flatten()
}

/// The words of a JSON list, or the text run by the image's shell.
fn command(config: &RunConfig, text: &str) -> Vec<String> {
    json_list(text).unwrap_or_else(|| {
        let shell = config
            .shell
            .clone()
            .unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()]);
        shell.into_iter().chain([text.to_owned()]).collect()
    })
}

/// `A=1 B="two words"`, or in the old form `A everything else`.
fn pairs(text: &str) -> Result<Vec<(String, String)>> {
    let words = words(text)?;
    if !words[0].contains('=') {
        let (name, value) = text
            .split_once(char::is_whitespace)
            .ok_or_else(|| Error::invalid(format!("`{text}` has no value")))?;
        return Ok(vec![(name.to_owned(), value.trim().to_owned())]);
    }
    let pair = |word: String| match word.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(Error::invalid(format!("`{word}` is not of the form `name=value`"))),
    };
    words.into_iter().map(pair).collect()
}

/// Words as a shell would split them: quotes join, a backslash takes the next letter as it is.
fn words(text: &str) -> Result<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None::<char>);
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            ('"' | '\'', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (c, Some(open)) if c == open => quote = None,
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(letters.next()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(Error::invalid("a quote is not closed"));
    }
    words.extend(word);
    Ok(words)
}

fn unquoted(text: &str) -> Result<String> {
    Ok(words(text)?.join(" "))
}

/// `80`, `80/udp`, `8000-8010/tcp`.
fn expose(config: &mut RunConfig, word: &str) -> Result<()> {
    let bad = || Error::invalid(format!("`{word}` is not a port")).hint("a port is `80`, `80/udp` or `8000-8010`");
    let (ports, protocol) = word.split_once('/').unwrap_or((word, "tcp"));
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (first, last): (u16, u16) = (first.parse().map_err(|_| bad())?, last.parse().map_err(|_| bad())?);
    let protocol = protocol.to_ascii_lowercase();
    if first == 0 || first > last || !["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
        return Err(bad());
    }
    config
        .exposed_ports
        .extend((first..=last).map(|port| (format!("{port}/{protocol}"), empty())));
    Ok(())
}

/// A directory relative to another, without `.` and `..`.
fn join(base: &str, path: &str) -> String {
    let whole = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("{base}/{path}")
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn healthcheck(config: &RunConfig, text: &str) -> Result<Healthcheck> {
    if text.eq_ignore_ascii_case("none") {
        return Ok(Healthcheck {
            test: vec!["NONE".to_owned()],
            ..Healthcheck::default()
        });
    }
    let mut check = Healthcheck::default();
    let mut rest = text;
    while let Some(option) = rest.strip_prefix("--") {
        let (option, after) = option.split_once(char::is_whitespace).unwrap_or((option, ""));
        let (name, value) = option
            .split_once('=')
            .ok_or_else(|| Error::invalid(format!("`--{option}` has no value")))?;
        set_probe(&mut check, name, value)?;
        rest = after.trim_start();
    }
    let (word, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    if !word.eq_ignore_ascii_case("cmd") || command.trim().is_empty() {
        return Err(Error::invalid(
            "a health check is `NONE` or options and then `CMD` with a command",
        ));
    }
    let command = command.trim();
    check.test = match json_list(command) {
        Some(words) => std::iter::once("CMD".to_owned()).chain(words).collect(),
        None if config.shell.is_none() => vec!["CMD-SHELL".to_owned(), command.to_owned()],
        None => std::iter::once("CMD".to_owned())
            .chain(self::command(config, command))
            .collect(),
    };
    Ok(check)
}

fn set_probe(check: &mut Healthcheck, name: &str, value: &str) -> Result<()> {
    let time = || parse_duration(value).map(|time| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX));
    match name {
        "interval" => check.interval = time()?,
        "timeout" => check.timeout = time()?,
        "start-period" => check.start_period = time()?,
        "start-interval" => check.start_interval = time()?,
        "retries" => {
            check.retries = value
                .parse()
                .map_err(|_| Error::invalid(format!("`{value}` is not a number of retries")))?;
        }
        _ => {
            return Err(unknown(
                "option",
                name,
                &["interval", "timeout", "start-period", "start-interval", "retries"],
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(lines: &[&str]) -> Result<RunConfig> {
        let mut config = RunConfig {
            cmd: Some(vec!["old".into()]),
            working_dir: "/srv".into(),
            ..RunConfig::default()
        };
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        apply(&mut config, &lines).map(|()| config)
    }

    #[test]
    fn every_instruction_does_what_the_reference_says() {
        let config = applied(&[
            "ENV A=1 B=\"two words\" C='$x' D=e\\ f",
            "env OLD the rest",
            "LABEL a.b=\"c d\"",
            "EXPOSE 80 53/udp 90-92",
            "USER 1:2",
            "VOLUME /a /b",
            "VOLUME [\"/c d\"]",
            "WORKDIR sub/../x",
            "STOPSIGNAL SIGINT",
            "ENTRYPOINT [\"/e\", \"f\"]",
            "ONBUILD RUN x",
            "HEALTHCHECK --interval=5s --retries=3 CMD curl -f x",
        ])
        .unwrap();
        assert_eq!(config.env, ["A=1", "B=two words", "C=$x", "D=e f", "OLD=the rest"]);
        assert_eq!(config.labels["a.b"], "c d");
        assert_eq!(
            config.exposed_ports.keys().collect::<Vec<_>>(),
            ["53/udp", "80/tcp", "90/tcp", "91/tcp", "92/tcp"]
        );
        assert_eq!(config.volumes.keys().collect::<Vec<_>>(), ["/a", "/b", "/c d"]);
        assert_eq!((config.working_dir.as_str(), config.user.as_str()), ("/srv/x", "1:2"));
        assert_eq!(
            (config.entrypoint, config.cmd),
            (Some(vec!["/e".into(), "f".into()]), None)
        );
        let check = config.healthcheck.unwrap();
        assert_eq!(
            (check.test, check.interval, check.retries),
            (vec!["CMD-SHELL".into(), "curl -f x".into()], 5_000_000_000, 3)
        );
    }

    #[test]
    fn the_shell_form_uses_the_shell_and_a_given_command_stays() {
        let config = applied(&["SHELL [\"/bin/bash\", \"-c\"]", "CMD echo hi", "ENTRYPOINT /e"]).unwrap();
        assert_eq!(config.cmd.unwrap(), ["/bin/bash", "-c", "echo hi"]);
    }

    #[test]
    fn a_bad_line_is_named_and_nothing_changes() {
        for line in [
            "CMDD x",
            "CMD",
            "ENV =x",
            "EXPOSE 0",
            "EXPOSE 9-8",
            "EXPOSE x",
            "LABEL a=\"b",
            "HEALTHCHECK --x=1 CMD y",
            "SHELL sh",
            "ENV A",
            "",
        ] {
            let error = applied(&["USER x", line]).unwrap_err();
            assert!(error.message().contains("line 2"), "{error}");
        }
        let mut config = RunConfig::default();
        assert!(apply(&mut config, &["USER x".into(), "NOPE".into()]).is_err());
        assert_eq!(config, RunConfig::default());
    }
}
