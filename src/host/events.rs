//! What happened, told to those who listen: the host's part of the journal, and reading it.

use jiff::Timestamp;
use serde::Deserialize;

use super::{Host, Image};
use crate::error::Result;
use crate::model::{Context, Moment, TimeSpan, Words};
use crate::runtime::{Event, Journal};

/// Which events are wanted.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventQuery {
    /// From then on; without it those to come.
    pub since: Option<Moment>,
    /// Up to then; without it there is no end.
    pub until: Option<Moment>,
    /// How long to listen.
    pub timeout: Option<TimeSpan>,
    /// Of what kind.
    pub filter: EventFilter,
}

/// Conditions, of which all given have to hold; of several words, one.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventFilter {
    /// `container`, `image` or `volume`.
    #[serde(rename = "type")]
    pub kind: Option<Words>,
    /// What happened, such as `die`, or its first word, such as `health_status`.
    pub event: Option<Words>,
    /// The container, by name or by the start of its id.
    pub container: Option<Words>,
    /// The image, by name or id, or that of the container.
    pub image: Option<Words>,
    /// The volume.
    pub volume: Option<Words>,
    /// Labels, as `key` or `key=value`; all have to be there.
    pub label: Option<Words>,
}

impl EventFilter {
    fn fits(&self, event: &Event) -> bool {
        let attribute = |name: &str| event.attributes.get(name).map(String::as_str);
        let any = |words: &Option<Words>, fits: &dyn Fn(&str) -> bool| {
            words.as_ref().is_none_or(|words| words.0.iter().any(|word| fits(word)))
        };
        let names = |word: &str| event.id.starts_with(word) || attribute("name") == Some(word);
        let action = event.action.split(':').next().unwrap_or_default();
        any(&self.kind, &|word| event.kind == word)
            && any(&self.event, &|word| event.action == word || action == word)
            && any(&self.container, &|word| event.kind == "container" && names(word))
            && any(&self.image, &|word| match event.kind.as_str() {
                "image" => names(word) || event.id.strip_prefix("sha256:").is_some_and(|id| id.starts_with(word)),
                _ => attribute("image") == Some(word),
            })
            && any(&self.volume, &|word| event.kind == "volume" && event.id == word)
            && self
                .label
                .iter()
                .flat_map(|words| &words.0)
                .all(|label| match label.split_once('=') {
                    Some((key, value)) => attribute(key) == Some(value),
                    None => attribute(label).is_some(),
                })
    }
}

impl Host {
    /// Hands over events as they happen, oldest first, until `take` returns false or the time is over; returns how many.
    ///
    /// Errors: those of `take`; `timeout` and `cancelled` by the context, not by the query's own limits.
    pub fn events(
        &self,
        ctx: &Context,
        query: &EventQuery,
        mut take: impl FnMut(Event) -> Result<bool>,
    ) -> Result<u64> {
        let now = Timestamp::now();
        let until = query.until.map(|moment| moment.resolve(now));
        let left = until.map(|until| std::time::Duration::try_from(until.duration_since(now)).unwrap_or_default());
        let limit = [left, query.timeout.map(|span| span.0)].into_iter().flatten().min();
        let inner = limit.map_or_else(|| ctx.child(), |limit| ctx.with_timeout(limit));
        let since = query.since.map(|moment| moment.resolve(now));
        let mut taken = 0;
        self.journal().follow(&inner, since, |event| {
            if until.is_some_and(|until| event.time > until) {
                return Ok(false);
            }
            if !query.filter.fits(&event) {
                return Ok(true);
            }
            taken += 1;
            take(event)
        })?;
        ctx.check().map(|()| taken)
    }

    fn journal(&self) -> Journal {
        Journal::of(&self.config().run_root)
    }

    /// Tells what happened; under dry-run nothing has.
    pub(super) fn tell(&self, event: &Event) {
        if self.plan().is_none() {
            self.count(|effects| effects.add(&event.kind, &event.action));
            self.journal().add(event);
        }
    }

    /// Tells what happened to an image, by this name if it is about one.
    pub(super) fn tell_image(&self, action: &str, image: &Image, name: &str) {
        self.tell_image_id(action, image.id().as_str(), name);
    }

    /// The same of an image that may be gone.
    pub(super) fn tell_image_id(&self, action: &str, id: &str, name: &str) {
        let event = Event::now("image", action, id);
        self.tell(&if name.is_empty() {
            event
        } else {
            event.with("name", name)
        });
    }

    /// Tells what happened to a volume.
    pub(super) fn tell_volume(&self, action: &str, name: &str) {
        self.tell(&Event::now("volume", action, name));
    }

    /// Tells of a clean-up.
    pub(super) fn tell_prune(&self, kind: &str, reclaimed: u64) {
        self.tell(&Event::now(kind, "prune", "").with("reclaimed", reclaimed.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_join_kinds_of_conditions_and_choose_among_words() {
        let event = Event::now("container", "health_status: healthy", "abc")
            .with("name", "web")
            .with("image", "nginx:1")
            .with("tier", "front");
        let fits = |json: &str| serde_json::from_str::<EventFilter>(json).unwrap().fits(&event);
        for filter in [
            "{}",
            r#"{"type": ["image", "container"]}"#,
            r#"{"event": "health_status"}"#,
            r#"{"event": "health_status: healthy", "container": "web"}"#,
            r#"{"container": "ab", "image": "nginx:1", "label": ["tier", "tier=front"]}"#,
        ] {
            assert!(fits(filter), "{filter}");
        }
        for filter in [
            r#"{"type": "image"}"#,
            r#"{"event": "health_status: unhealthy"}"#,
            r#"{"container": "we"}"#,
            r#"{"image": "nginx"}"#,
            r#"{"volume": "web"}"#,
            r#"{"label": ["tier", "tier=back"]}"#,
        ] {
            assert!(!fits(filter), "{filter}");
        }
    }
}
