//! `container::` and `Container`: commands run to their end, and containers that live on.

pub mod activity;
pub mod acts;
pub mod facts;
pub mod namespace;

use rhai::{Array, Dynamic, INT, Map};
use serde_json::{Value, json};

use super::Manifests;
use super::amount::{ago, span};
use super::object::Object;
use super::time::Time;
use crate::host::{Container, Mount};
use crate::runtime::{Health, HealthStatus, ProbeResult, Status};

/// How much of a command a table shows, as Docker's does.
const SHOWN_COMMAND: usize = 20;

/// The functions of `container::`.
pub(super) fn functions() -> Manifests {
    vec![&namespace::functions::RHAI_MANIFEST]
}

/// The getters and methods of `Container`.
pub(super) fn methods() -> Manifests {
    vec![
        &facts::getters::RHAI_MANIFEST,
        &acts::methods::RHAI_MANIFEST,
        &activity::methods::RHAI_MANIFEST,
    ]
}

/// A mount as a map of `kind`, `source`, `target` and `read_only`.
fn mount(mount: &Mount) -> Map {
    super::value::from_json(&json!(mount)).try_cast().unwrap_or_default()
}

/// Health as a map.
fn health(health: &Health) -> Map {
    let result = |result: &ProbeResult| {
        Dynamic::from(Map::from([
            ("start".into(), Dynamic::from(Time::new(result.start))),
            ("end".into(), Dynamic::from(Time::new(result.end))),
            ("exit_code".into(), INT::from(result.exit_code).into()),
            ("output".into(), result.output.clone().into()),
        ]))
    };
    Map::from([
        ("status".into(), health.status.name().into()),
        ("failing_streak".into(), INT::from(health.failing_streak).into()),
        ("log".into(), health.log.iter().map(result).collect::<Array>().into()),
    ])
}

/// The state in the words of `docker ps`.
fn state_phrase(container: &Container) -> String {
    let up = || {
        let age = container
            .started()
            .map(|time| jiff::Timestamp::now().duration_since(time));
        let age = age.and_then(|age| std::time::Duration::try_from(age).ok());
        format!("Up {}", span(age.unwrap_or_default()))
    };
    match container.status() {
        Status::Created => "Created".to_owned(),
        Status::Running => match container.health() {
            Some(health) if health.status == HealthStatus::Starting => format!("{} (health: starting)", up()),
            Some(health) => format!("{} ({})", up(), health.status.name()),
            None => up(),
        },
        Status::Paused => format!("{} (Paused)", up()),
        Status::Restarting => "Restarting".to_owned(),
        Status::Removing => "Removal In Progress".to_owned(),
        Status::Dead => "Dead".to_owned(),
        Status::Exited => exit_phrase(container),
    }
}

fn exit_phrase(container: &Container) -> String {
    let code = container
        .exit_code()
        .map_or_else(|| "?".to_owned(), |code| code.to_string());
    let when = container.finished().map(|time| format!(" {}", ago(time)));
    format!("Exited ({code}){}", when.unwrap_or_default())
}

fn shown_command(words: &[String]) -> String {
    let line = words.join(" ");
    match line.char_indices().nth(SHOWN_COMMAND) {
        Some(_) => {
            let head: String = line.chars().take(SHOWN_COMMAND - 1).collect();
            format!("\"{head}…\"")
        }
        None => format!("\"{line}\""),
    }
}

impl Object for Container {
    const NAME: &'static str = "Container";
    const COLUMNS: &'static [&'static str] = &["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "NAMES"];

    fn text(&self) -> String {
        self.to_string()
    }

    fn debug(&self) -> String {
        format!("Container({}, {}, {})", self.name(), self.id().short(), self.status())
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.id().short().to_owned(),
            self.image().to_owned(),
            shown_command(&self.command()),
            ago(self.created()),
            state_phrase(self),
            self.name().to_owned(),
        ]
    }

    fn json(&self) -> Value {
        let time = |time: Option<jiff::Timestamp>| time.map(|time| time.to_string());
        json!({
            "id": self.id().as_str(),
            "short_id": self.id().short(),
            "name": self.name(),
            "image": self.image(),
            "image_id": self.image_id().as_str(),
            "cmd": self.command(),
            "status": self.status().to_string(),
            "running": self.running(),
            "exit_code": self.exit_code(),
            "oom_killed": self.oom_killed(),
            "error": self.error(),
            "pid": self.pid(),
            "created": self.created().to_string(),
            "started": time(self.started()),
            "finished": time(self.finished()),
            "labels": self.labels(),
            "mounts": self.mounts(),
            "networks": self.networks(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_command_is_cut_between_characters() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(shown_command(&words("echo hi")), "\"echo hi\"");
        assert_eq!(
            shown_command(&words("echo 123456789012345")),
            "\"echo 123456789012345\""
        );
        assert_eq!(
            shown_command(&words("echo ääääääääääääääääää")),
            "\"echo ääääääääääääää…\""
        );
    }
}
