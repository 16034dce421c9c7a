//! Whose users a container has: the host's, or numbers of the host that are nobody else's.

use serde::{Deserialize, Serialize};

use super::recipe::Recipe;
use crate::error::{Error, Result};
use crate::model::{Words, unknown};
use crate::runtime::{IdMaps, IdRange};
use crate::store::ContainerRow;

/// How many users and groups a container gets.
const COUNT: u32 = 1 << 16;

/// Numbers of the host that are handed out where `/etc/subuid` does not say which, as systemd-nspawn has it: first and end.
const AREA: (u32, u32) = (0x8_0000, 0x7000_0000);

/// Whose numbers in `/etc/subuid` and `/etc/subgid` are handed out instead.
const OWNER: &str = "hoist";

/// The option, as given.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "expected `\"auto\"`, `\"host\"`, or a map of `uid` and `gid`")]
pub enum Userns {
    /// A word.
    Mode(String),
    /// Ranges, as `INSIDE:HOST:COUNT`.
    Maps(Ranges),
}

/// Ranges of users and groups; those of groups are those of users unless given.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ranges {
    uid: Words,
    #[serde(default)]
    gid: Option<Words>,
}

/// The setting.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum UserNamespace {
    /// The host's own.
    #[default]
    Host,
    /// A range of the host that no other container has, once there is a container.
    Auto(Option<IdRange>),
    /// These.
    Maps(IdMaps),
}

impl UserNamespace {
    pub(super) fn of(option: Option<&Userns>) -> Result<UserNamespace> {
        match option {
            None => Ok(UserNamespace::Host),
            Some(Userns::Mode(mode)) => match mode.as_str() {
                "host" => Ok(UserNamespace::Host),
                "auto" | "private" => Ok(UserNamespace::Auto(None)),
                other => Err(unknown("value of option `userns`", other, &["auto", "private", "host"])),
            },
            Some(Userns::Maps(ranges)) => {
                let uids = ranges
                    .uid
                    .0
                    .iter()
                    .map(|text| range(text))
                    .collect::<Result<Vec<_>>>()?;
                let gids = match &ranges.gid {
                    None => uids.clone(),
                    Some(gid) => gid.0.iter().map(|text| range(text)).collect::<Result<_>>()?,
                };
                let maps = IdMaps { uids, gids };
                maps.check()?;
                Ok(UserNamespace::Maps(maps))
            }
        }
    }

    pub(super) fn is_own(&self) -> bool {
        *self != UserNamespace::Host
    }

    pub(super) fn maps(&self) -> Option<IdMaps> {
        match self {
            UserNamespace::Host => None,
            UserNamespace::Auto(range) => range.map(|range| IdMaps {
                uids: vec![range],
                gids: vec![range],
            }),
            UserNamespace::Maps(maps) => Some(maps.clone()),
        }
    }

    /// Chooses a range, if that was left to us; no container of these has it, in whatever state it is.
    pub(super) fn settle(&mut self, containers: &[ContainerRow]) -> Result<()> {
        if *self == UserNamespace::Auto(None) {
            let recipes = containers
                .iter()
                .filter_map(|row| serde_json::from_str::<Recipe>(&row.options).ok());
            let maps = recipes.filter_map(|recipe| recipe.userns.maps());
            let ranges = maps.flat_map(|maps| maps.uids.into_iter().chain(maps.gids));
            let taken: Vec<(u32, u32)> = ranges
                .map(|range| (range.outside, range.outside.saturating_add(range.count)))
                .collect();
            let read = |file| std::fs::read_to_string(file).unwrap_or_default();
            let outside = free(taken, &read("/etc/subuid"), &read("/etc/subgid"))?;
            *self = UserNamespace::Auto(Some(IdRange {
                inside: 0,
                outside,
                count: COUNT,
            }));
        }
        Ok(())
    }

    /// In Docker's and Podman's words.
    pub(super) fn shown(&self) -> &'static str {
        match self {
            UserNamespace::Host => "",
            UserNamespace::Auto(_) => "auto",
            UserNamespace::Maps(_) => "private",
        }
    }
}

fn range(text: &str) -> Result<IdRange> {
    let numbers: Option<Vec<u32>> = text.split(':').map(|number| number.parse().ok()).collect();
    match numbers.as_deref() {
        Some(&[inside, outside, count]) => Ok(IdRange { inside, outside, count }),
        _ => Err(
            Error::invalid(format!("`{}` is no range of users", text.escape_debug()))
                .target(text)
                .hint("a range is `INSIDE:HOST:COUNT`, such as `0:100000:65536`"),
        ),
    }
}

/// The first free number of `COUNT` ones.
fn free(mut taken: Vec<(u32, u32)>, subuid: &str, subgid: &str) -> Result<u32> {
    let (uids, gids) = (lines(subuid), lines(subgid));
    let own = |lines: &[(String, (u32, u32))]| {
        let own = lines.iter().filter(|(owner, _)| owner == OWNER);
        own.map(|(_, range)| *range).collect::<Vec<_>>()
    };
    let (own_uids, own_gids) = (own(&uids), own(&gids));
    let mut areas = Vec::new();
    for one in &own_uids {
        let both = own_gids.iter().map(|two| (one.0.max(two.0), one.1.min(two.1)));
        areas.extend(both.filter(|(first, end)| first < end));
    }
    if areas.is_empty() {
        areas.push(AREA);
        // What somebody else was given.
        taken.extend(uids.into_iter().chain(gids).map(|(_, range)| range));
    }
    let found = areas.into_iter().find_map(|(first, end)| {
        let mut at = first;
        while at.checked_add(COUNT).is_some_and(|after| after <= end) {
            match taken.iter().find(|(first, end)| at < *end && *first < at + COUNT) {
                None => return Some(at),
                Some((_, end)) => at = *end,
            }
        }
        None
    });
    found.ok_or_else(|| {
        Error::unsupported(format!("there are no {COUNT} users of the host left for a container")).hint(format!(
            "remove containers with `userns`, or give `{OWNER}` more in `/etc/subuid` and `/etc/subgid`"
        ))
    })
}

/// Who was given which numbers (subuid(5)): first and end.
fn lines(text: &str) -> Vec<(String, (u32, u32))> {
    let lines = text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (owner, first, count) = (fields.next()?, fields.next()?, fields.next()?);
        let (first, count): (u32, u32) = (first.trim().parse().ok()?, count.trim().parse().ok()?);
        Some((owner.to_owned(), (first, first.saturating_add(count))))
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_nobody_elses() {
        let first = AREA.0;
        assert_eq!(free(vec![], "", "").unwrap(), first);
        assert_eq!(free(vec![(first, first + COUNT)], "", "").unwrap(), first + COUNT);
        assert_eq!(free(vec![(first + 10, first + 20)], "", "").unwrap(), first + 20);
        // A user's own numbers are left alone, of users or groups.
        let line = format!("ann:{}:65536\n", first - 1000);
        assert_eq!(free(vec![], &line, "").unwrap(), first - 1000 + COUNT);
        assert_eq!(free(vec![], "", &line).unwrap(), first - 1000 + COUNT);
        let own = "ann:100000:65536\nhoist:200000:131072\n";
        assert_eq!(free(vec![], own, own).unwrap(), 200_000);
        assert_eq!(free(vec![(200_000, 265_536)], own, own).unwrap(), 265_536);
        assert!(free(vec![(200_000, 265_537)], own, own).is_err());
    }

    #[test]
    fn what_it_can_be_is_read() {
        let read = |json: &str| UserNamespace::of(Some(&serde_json::from_str(json).unwrap()));
        assert_eq!(read(r#""host""#).unwrap(), UserNamespace::Host);
        assert_eq!(read(r#""private""#).unwrap(), UserNamespace::Auto(None));
        let maps = read(r#"{"uid": ["0:1000:1", "1:100000:9"], "gid": "0:5:10"}"#)
            .unwrap()
            .maps()
            .unwrap();
        assert_eq!((maps.uids.len(), maps.gids[0].outside), (2, 5));
        for json in [
            r#""keep-id""#,
            r#"{"uid": "0:1"}"#,
            r#"{"uid": "0:x:1"}"#,
            r#"{"uid": "5:100:1"}"#,
            r#"{"uid": []}"#,
        ] {
            assert!(read(json).is_err(), "{json}");
        }
        assert!(serde_json::from_str::<Userns>(r#"{"uids": "0:1:1"}"#).is_err());
    }
}
