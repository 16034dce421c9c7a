//! `hoist events`.

use clap::Args;
use serde_json::{Value, json};

use super::App;
use super::run::Told;
use crate::bindings::{Console, Format};
use crate::error::{Error, Result};
use crate::host::EventQuery;
use crate::model::unknown;
use crate::runtime::Event;

/// Show what happens to containers, images and volumes
///
/// One line for each, until Ctrl-C or --until; --format json and jsonl print what `docker events --format json` does.
#[derive(Args)]
pub(super) struct Events {
    /// Also what happened since then: a time, or how long ago, such as 10m
    #[arg(long, value_name = "TIME")]
    since: Option<String>,

    /// End there: at a time, or so long ago
    #[arg(long, value_name = "TIME")]
    until: Option<String>,

    /// Only what fits: type, event, container, image, volume or label; may be given several times
    #[arg(long, short, value_name = "KEY=VALUE")]
    filter: Vec<String>,
}

const KEYS: &[&str] = &["type", "event", "container", "image", "volume", "label"];

impl Events {
    pub(super) fn execute(self, app: &App) -> Result<u8> {
        let query = self.query()?;
        let session = app.session(Told::default())?;
        let is_json = session.settings().format != Format::Table;
        session.host()?.events(&session.context(), &query, |event| {
            let line = match is_json {
                true => docker(&event).to_string(),
                false => text(&event),
            };
            // Who reads no more has seen enough.
            Ok(app.terminal.data(&(line + "\n")).is_ok())
        })?;
        Ok(0)
    }

    fn query(&self) -> Result<EventQuery> {
        let mut filter = serde_json::Map::new();
        for condition in &self.filter {
            let (key, value) = condition.split_once('=').ok_or_else(|| {
                Error::invalid(format!("`{}` is not a filter", condition.escape_debug()))
                    .hint("a filter is `KEY=VALUE`, such as `event=die`")
            })?;
            if !KEYS.contains(&key) {
                return Err(unknown("filter", key, KEYS));
            }
            let values = filter.entry(key).or_insert_with(|| json!([]));
            if let Some(values) = values.as_array_mut() {
                values.push(value.into());
            }
        }
        let mut query = json!({ "filter": filter });
        for (key, value) in [("since", &self.since), ("until", &self.until)] {
            if let Some(value) = value {
                query[key] = json!(value);
            }
        }
        serde_json::from_value(query).map_err(|cause| Error::invalid(cause.to_string()))
    }
}

/// As Docker writes it.
fn docker(event: &Event) -> Value {
    let mut value = json!({
        "Type": event.kind,
        "Action": event.action,
        "Actor": { "ID": event.id, "Attributes": event.attributes },
        "scope": "local",
        "time": event.time.as_second(),
        "timeNano": i64::try_from(event.time.as_nanosecond()).unwrap_or(i64::MAX),
    });
    if event.kind == "container" {
        value["status"] = json!(event.action);
        value["id"] = json!(event.id);
        value["from"] = json!(event.attributes.get("image"));
    }
    value
}

fn text(event: &Event) -> String {
    let facts: Vec<String> = event
        .attributes
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let (time, facts) = (event.time, facts.join(", "));
    format!("{time:.9} {} {} {} ({facts})", event.kind, event.action, event.id)
}
