//! Which containers a list shows and a clean-up takes, with a reason for each.

use jiff::Timestamp;
use serde::Deserialize;

use super::{Container, Status};
use crate::error::Result;
use crate::host::image::Matching;
use crate::model::{Moment, Pattern, Words, format_duration};

/// The filter map of `container::list`, `container::select` and `container::prune`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContainerFilter {
    /// Not only running ones.
    pub all: bool,
    /// In any of these states.
    pub status: Option<Words>,
    /// The name fits any of these patterns.
    pub name: Option<Words>,
    /// Made from any of these images, by name or start of the id.
    pub ancestor: Option<Words>,
    /// Has all these labels (`key` or `key=value`).
    pub label: Option<Words>,
    /// Ended with this code.
    pub exited: Option<i32>,
    /// On this network.
    pub network: Option<String>,
    /// Shows this volume or host path.
    pub volume: Option<String>,
    /// Made before this.
    pub older_than: Option<Moment>,
    /// Names that are never taken.
    pub keep: Option<Words>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    List,
    Prune,
}

pub(super) struct Verdict {
    pub(super) container: Container,
    pub(super) taken: bool,
    pub(super) reason: String,
}

/// `Ok` is why a container fits, `Err` why it does not.
type Judgement = std::result::Result<String, String>;

struct Conditions<'a> {
    filter: &'a ContainerFilter,
    statuses: Vec<Status>,
    names: Vec<Pattern>,
    keep: Vec<Pattern>,
    purpose: Purpose,
    now: Timestamp,
}

pub(super) fn decide(
    containers: Vec<Container>,
    filter: &ContainerFilter,
    matching: Matching<'_, Container>,
    purpose: Purpose,
) -> Result<Vec<Verdict>> {
    let conditions = Conditions::compile(filter, purpose)?;
    let mut verdicts = Vec::with_capacity(containers.len());
    for container in containers {
        let (mut taken, mut reason) = match conditions.judge(&container) {
            Ok(reason) => (true, reason),
            Err(reason) => (false, reason),
        };
        if taken
            && let Some(matching) = matching
            && !matching(&container)?
        {
            (taken, reason) = (false, "not matching".to_owned());
        }
        if taken
            && purpose == Purpose::Prune
            && let Some(spared) = container.host.spares_container(&container)
        {
            (taken, reason) = (false, spared);
        }
        verdicts.push(Verdict {
            container,
            taken,
            reason,
        });
    }
    Ok(verdicts)
}

impl Conditions<'_> {
    fn compile(filter: &ContainerFilter, purpose: Purpose) -> Result<Conditions<'_>> {
        let statuses = filter.status.iter().flat_map(|words| &words.0).map(|text| text.parse());
        Ok(Conditions {
            statuses: statuses.collect::<Result<_>>()?,
            names: Pattern::each(filter.name.as_ref())?,
            keep: Pattern::each(filter.keep.as_ref())?,
            filter,
            purpose,
            now: Timestamp::now(),
        })
    }

    fn judge(&self, container: &Container) -> Judgement {
        let mut reasons = vec![self.status(container)?];
        reasons.extend(self.facts(container)?);
        if self.keep.iter().any(|pattern| pattern.matches(container.name())) {
            return Err("name is kept".to_owned());
        }
        reasons.retain(|reason| !reason.is_empty());
        Ok(reasons.join(", "))
    }

    fn status(&self, container: &Container) -> Judgement {
        let status = container.status();
        let shown = match container.exit_code() {
            Some(code) if status == Status::Exited => format!("exited with code {code}"),
            _ => status.to_string(),
        };
        if self.purpose == Purpose::Prune && container.has_owner() {
            // About to start, or to be removed by whoever made it.
            return Err("belongs to a run".to_owned());
        }
        let ended = matches!(status, Status::Created | Status::Exited | Status::Dead);
        let fits = match (self.purpose, self.statuses.is_empty()) {
            (Purpose::Prune, true) => ended,
            (Purpose::Prune, false) => ended && self.statuses.contains(&status),
            (Purpose::List, false) => self.statuses.contains(&status),
            (Purpose::List, true) => {
                let lives = matches!(status, Status::Running | Status::Paused | Status::Restarting);
                self.filter.all || self.filter.exited.is_some() || lives
            }
        };
        if fits { Ok(shown) } else { Err(shown) }
    }

    fn facts(&self, container: &Container) -> std::result::Result<Vec<String>, String> {
        let filter = self.filter;
        let mut reasons = Vec::new();
        if filter.name.is_some() && !self.names.iter().any(|pattern| pattern.matches(container.name())) {
            return Err("name does not fit".to_owned());
        }
        if let Some(images) = &filter.ancestor
            && !images.0.iter().any(|image| is_ancestor(image, container))
        {
            return Err(format!("made from {}", container.image()));
        }
        for wanted in filter.label.iter().flat_map(|words| &words.0) {
            if !has_label(wanted, container) {
                return Err(format!("no label `{wanted}`"));
            }
        }
        if let Some(code) = filter.exited
            && (container.status() != Status::Exited || container.exit_code() != Some(code))
        {
            return Err(format!("not exited with code {code}"));
        }
        if let Some(network) = &filter.network
            && !container.networks().contains(network)
        {
            return Err(format!("not on network `{network}`"));
        }
        if let Some(volume) = &filter.volume
            && !container
                .mounts()
                .iter()
                .any(|mount| mount.source == *volume || mount.target == *volume)
        {
            return Err(format!("without volume `{volume}`"));
        }
        if let Some(limit) = filter.older_than {
            let age = crate::host::image::age(container.created(), self.now);
            let old = format!("made {} ago", format_duration(age));
            match container.created() < limit.resolve(self.now) {
                true => reasons.push(old),
                false => return Err(old),
            }
        }
        Ok(reasons)
    }
}

fn is_ancestor(image: &str, container: &Container) -> bool {
    let same_name = |a: &str, b: &str| match (
        a.parse::<crate::model::Reference>(),
        b.parse::<crate::model::Reference>(),
    ) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    };
    let id = container.image_id();
    let is_id = id.as_str() == image || (image.len() >= 4 && id.hex().starts_with(image));
    is_id || same_name(image, container.image())
}

fn has_label(wanted: &str, container: &Container) -> bool {
    match wanted.split_once('=') {
        Some((key, value)) => container.labels().get(key).is_some_and(|found| found == value),
        None => container.labels().contains_key(wanted),
    }
}
