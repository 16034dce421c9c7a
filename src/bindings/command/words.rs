//! Facts as Docker words them.

use rhai::{Array, Map};

use crate::bindings::time::Time;
use crate::error::{Error, Result};
use crate::host::Container;
use crate::model::suggest;
use crate::runtime::Status;
use jiff::Timestamp;

/// How much of a command is shown.
const SHOWN: usize = 20;

pub(super) fn filters(conditions: &Array, known: &Array) -> Result<Map> {
    let known: Vec<String> = known.iter().map(ToString::to_string).collect();
    let mut filters = Map::new();
    for condition in conditions {
        let condition = condition.to_string();
        let (name, value) = condition.split_once('=').ok_or_else(|| {
            Error::invalid(format!(
                "invalid argument \"{condition}\" for \"-f, --filter\" flag: invalid filter '{condition}'"
            ))
            .hint("a filter is `NAME=VALUE`")
        })?;
        if !known.iter().any(|one| one == name) {
            let near = suggest(name, known.iter().map(String::as_str));
            let hint = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("filters are {}", known.join(", ")),
            };
            return Err(Error::invalid(format!("invalid filter '{name}'")).hint(hint));
        }
        let values = filters.entry(name.into()).or_insert_with(|| Array::new().into());
        if let Some(mut values) = values.write_lock::<Array>() {
            values.push(value.to_owned().into());
        }
    }
    Ok(filters)
}

pub(super) fn has_label(labels: &Map, condition: &str) -> bool {
    match condition.split_once('=') {
        Some((name, value)) => labels.get(name).is_some_and(|known| known.to_string() == value),
        None => labels.contains_key(condition),
    }
}

pub(super) fn labels(labels: &Map) -> String {
    let all: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    all.join(",")
}

pub(super) fn ago(time: Time) -> String {
    format!("{} ago", since(time.timestamp()))
}

fn since(time: Timestamp) -> String {
    span(Timestamp::now().duration_since(time).as_secs().max(0))
}

/// As Docker counts (`units.HumanDuration`): whole units, each up to twice the next.
fn span(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    match seconds {
        ..1 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..60 => format!("{seconds} seconds"),
        _ if minutes == 1 => "About a minute".to_owned(),
        _ if minutes < 60 => format!("{minutes} minutes"),
        _ if hours == 1 => "About an hour".to_owned(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        _ if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        _ if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

pub(super) fn status(container: &Container) -> String {
    let up = || {
        container
            .started()
            .map_or_else(String::new, |time| format!("Up {}", since(time)))
    };
    let ended = || {
        container
            .finished()
            .map_or_else(String::new, |time| format!(" {} ago", since(time)))
    };
    let code = container.exit_code().unwrap_or(0);
    match container.status() {
        Status::Created => "Created".to_owned(),
        Status::Running => match container.health() {
            Some(health) if health.status.name() == "starting" => format!("{} (health: starting)", up()),
            Some(health) => format!("{} ({})", up(), health.status.name()),
            None => up(),
        },
        Status::Paused => format!("{} (Paused)", up()),
        Status::Restarting => format!("Restarting ({code}){}", ended()),
        Status::Exited => format!("Exited ({code}){}", ended()),
        Status::Dead => "Dead".to_owned(),
        Status::Removing => "Removal In Progress".to_owned(),
    }
}

pub(super) fn command(words: &Array, whole: bool) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(&word.to_string())).collect();
    let line = words.join(" ");
    let line = if whole { line } else { short(&line, SHOWN) };
    format!("\"{line}\"")
}

/// A word as a shell would have to be given it.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "_-./:=,@%+".contains(letter);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// No longer than that, the last letter being the mark of what is left out.
pub(super) fn short(text: &str, length: usize) -> String {
    match text.chars().count() > length {
        true => text.chars().take(length.saturating_sub(1)).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

/// `localhost:5000/app` and `1.2` of `localhost:5000/app:1.2`.
pub(super) fn parts(name: &str) -> Array {
    let at = name.rfind(':').filter(|at| !name[*at..].contains('/'));
    let (repository, tag) = at.map_or((name, "<none>"), |at| (&name[..at], &name[at + 1..]));
    vec![repository.to_owned().into(), tag.to_owned().into()]
}

/// As Docker counts memory (`units.BytesSize`): powers of 1024, four digits.
pub(super) fn memory(bytes: u64) -> String {
    counted(bytes, 4, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"])
}

/// As Docker counts (`units.HumanSizeWithPrecision`): powers of a thousand, so many digits.
pub(super) fn size(bytes: u64, digits: usize) -> String {
    counted(bytes, digits, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB", "EB"])
}

fn counted(bytes: u64, digits: usize, step: f64, units: &[&str]) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a few digits are shown")]
    let (mut amount, mut unit) = (bytes as f64, 0);
    while amount >= step && unit + 1 < units.len() {
        amount /= step;
        unit += 1;
    }
    let before = format!("{amount:.0}").len();
    let text = format!("{amount:.*}", digits.saturating_sub(before));
    let text = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    };
    text + units[unit]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Taken from Docker's own tests, and from its output.
    #[test]
    fn times_and_sizes_are_dockers() {
        for (seconds, text) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (45, "45 seconds"),
            (61, "About a minute"),
            (180, "3 minutes"),
            (3600, "About an hour"),
            (2 * 3600, "2 hours"),
            (47 * 3600, "47 hours"),
            (48 * 3600, "2 days"),
            (10 * 24 * 3600, "10 days"),
            (21 * 24 * 3600, "3 weeks"),
            (70 * 24 * 3600, "2 months"),
            (3 * 365 * 24 * 3600, "3 years"),
        ] {
            assert_eq!(span(seconds), text);
        }
        for (bytes, digits, text) in [
            (0, 3, "0B"),
            (75, 3, "75B"),
            (2_065_302, 3, "2.07MB"),
            (2_065_302, 4, "2.065MB"),
            (1000, 3, "1kB"),
            (117_000_000, 3, "117MB"),
            (1_500_000_000, 3, "1.5GB"),
        ] {
            assert_eq!(size(bytes, digits), text);
        }
        assert_eq!(
            (memory(25_276_514_304), memory(434_176)),
            ("23.54GiB".to_owned(), "424KiB".to_owned())
        );
    }

    #[test]
    fn commands_are_cut_as_dockers() {
        let command =
            |words: &[&str], whole| command(&words.iter().map(|word| (*word).to_owned().into()).collect(), whole);
        assert_eq!(command(&["sh", "-c", "exit 3"], false), "\"sh -c 'exit 3'\"");
        assert_eq!(command(&["sleep", "1000"], false), "\"sleep 1000\"");
        assert_eq!(
            command(&["/docker-entrypoint.sh", "nginx"], false),
            "\"/docker-entrypoint.…\""
        );
        assert_eq!(
            command(&["/docker-entrypoint.sh", "nginx"], true),
            "\"/docker-entrypoint.sh nginx\""
        );
    }
}
