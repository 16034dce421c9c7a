//! A repository kept as another one is.

use std::sync::{Mutex, PoisonError};

use semver::VersionReq;
use serde::Deserialize;

use super::copy::CopyOptions;
use crate::error::{Error, Kind, Result};
use crate::host::{Host, Item, Matching, Report};
use crate::images::registry::Copied;
use crate::model::{Context, Pattern, Reference, Words, parse_version};

/// Options of `registry::mirror`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MirrorOptions {
    /// Patterns of tags; all by default.
    pub tags: Option<Words>,
    /// What versions must be: `>=1.2, <2`.
    pub semver: Option<String>,
    /// The newest so many versions.
    pub keep_last: Option<usize>,
    /// Of images for several platforms, these; all by default.
    pub platforms: Words,
    /// Also what says of itself that it is about an image.
    pub referrers: bool,
    /// Also tags made of an image's digest.
    pub digest_tags: bool,
    /// Take tags away at the destination that are not among those that are kept there.
    pub delete_extra: bool,
    /// How many tags at once.
    pub jobs: Option<usize>,
    /// Whether the registries' certificates must be right; if not, plain HTTP will do as well.
    pub tls_verify: Option<bool>,
    /// How often what fails is tried again.
    pub retries: Option<u32>,
}

impl MirrorOptions {
    fn copying(&self) -> CopyOptions {
        CopyOptions {
            platforms: self.platforms.clone(),
            referrers: self.referrers,
            digest_tags: self.digest_tags,
            force: false,
            tls_verify: self.tls_verify,
            retries: self.retries,
        }
    }

    /// The tags that are wanted, of those that are there. Where versions are asked for, tags that are none do not count.
    fn chosen(&self, tags: Vec<String>, matching: Matching<'_, String>) -> Result<Vec<String>> {
        let patterns = Pattern::each(self.tags.as_ref())?;
        let wanted = self.semver.as_deref().map(requirement).transpose()?;
        let mut found = Vec::new();
        for tag in tags {
            // What is about an image is no image of its own.
            let is_companion = tag.starts_with("sha256-") || tag.starts_with("sha512-");
            let fits = match patterns.is_empty() {
                true => !is_companion,
                false => patterns.iter().any(|pattern| pattern.matches(&tag)),
            };
            let version = parse_version(&tag).ok();
            let suits = wanted
                .as_ref()
                .is_none_or(|wanted| version.as_ref().is_some_and(|version| wanted.matches(version)));
            if fits && suits && matching.map_or(Ok(true), |matching| matching(&tag))? {
                found.push((version, tag));
            }
        }
        if let Some(count) = self.keep_last {
            found.retain(|(version, _)| version.is_some());
            found.sort_by(|one, other| other.cmp(one));
            found.truncate(count);
        }
        Ok(found.into_iter().map(|(_, tag)| tag).collect())
    }
}

impl Host {
    /// Has a repository have the tags of another, or some of them. What is there already costs one question for each tag on each side.
    ///
    /// What fails for one tag is in the report, and the others go on. Errors: those of listing the tags; `invalid` if there is nothing
    /// to keep and extra tags were to be deleted, which would be all.
    pub fn mirror(
        &self,
        ctx: &Context,
        from: &str,
        to: &str,
        options: &MirrorOptions,
        matching: Matching<'_, String>,
    ) -> Result<Report> {
        let (source, dest): (Reference, Reference) = (from.parse()?, to.parse()?);
        let asking = options.copying().asking();
        let tags = options.chosen(self.remote_tags(ctx, from, &asking)?, matching)?;
        if tags.is_empty() && options.delete_extra {
            let text = format!("`{from}` has no tag that is wanted, and all of `{to}` would be deleted");
            return Err(Error::invalid(text)
                .target(from)
                .hint("look at `tags`, `semver` and `matching`"));
        }
        let report = Mutex::new(Report::default());
        let copying = options.copying();
        let copy = |ctx: &Context, tag: &String| {
            let (from, to) = (source.with_tag(tag)?.to_string(), dest.with_tag(tag)?);
            let copied = self.copy_image(ctx, &from, &to.to_string(), &copying);
            ctx.check()?;
            let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
            match copied {
                Ok(copied) => report.kept.push(item(&to, &copied)),
                Err(error) => report.errors.push(failed(&to, &error)),
            }
            Ok(())
        };
        side_by_side(ctx, options.jobs.unwrap_or(3), &tags, &copy)?;
        let mut report = report.into_inner().unwrap_or_else(PoisonError::into_inner);
        report.kept.sort_by(|one, other| one.name.cmp(&other.name));
        if options.delete_extra {
            self.delete_extra(ctx, &dest, &tags, options, &mut report)?;
        }
        Ok(report)
    }

    fn delete_extra(
        &self,
        ctx: &Context,
        dest: &Reference,
        tags: &[String],
        options: &MirrorOptions,
        report: &mut Report,
    ) -> Result<()> {
        let asking = options.copying().asking();
        let there = match self.remote_tags(ctx, &dest.repository(), &asking) {
            // A dry run has copied nothing.
            Err(error) if error.kind() == Kind::NotFound => Vec::new(),
            there => there?,
        };
        let is_extra =
            |tag: &&String| !tags.contains(tag) && !tag.starts_with("sha256-") && !tag.starts_with("sha512-");
        for tag in there.iter().filter(is_extra) {
            let name = dest.with_tag(tag)?;
            if let Some(reason) = self.config().protect.remote(&name) {
                report.kept.push(stays(&name, reason));
                continue;
            }
            match self.remote_delete_tag(ctx, &name.to_string(), &asking) {
                Ok(()) => report.removed.push(Item {
                    id: String::new(),
                    name: name.familiar(),
                    reason: "not among the tags that are mirrored".to_owned(),
                    size: 0,
                }),
                Err(error) => report.errors.push(failed(&name, &error)),
            }
        }
        Ok(())
    }
}

fn requirement(text: &str) -> Result<VersionReq> {
    VersionReq::parse(text).map_err(|cause| {
        Error::invalid(format!(
            "`{}` is no requirement of versions: {cause}",
            text.escape_debug()
        ))
        .target(text)
        .hint("such as `>=1.2, <2`, `^1.4` or `~2.3`")
    })
}

fn item(name: &Reference, copied: &Copied) -> Item {
    Item {
        id: copied.digest.to_string(),
        name: name.familiar(),
        reason: if copied.unchanged { "unchanged" } else { "copied" }.to_owned(),
        size: copied.moved.sent,
    }
}

fn failed(name: &Reference, error: &Error) -> Item {
    stays(name, error.to_string())
}

fn stays(name: &Reference, reason: String) -> Item {
    Item {
        id: String::new(),
        name: name.familiar(),
        reason,
        size: 0,
    }
}

/// The work on all items, so many at a time; ends with the first error.
fn side_by_side<T: Sync>(
    ctx: &Context,
    at_once: usize,
    items: &[T],
    work: &(impl Fn(&Context, &T) -> Result<()> + Sync),
) -> Result<()> {
    let queue = Mutex::new(items.iter());
    let worker = || {
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(item) = next else { return Ok(()) };
            work(ctx, item)?;
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..at_once.clamp(1, 32)).map(|_| scope.spawn(worker)).collect();
        let ended = workers
            .into_iter()
            .map(|worker| worker.join().expect("a worker does not panic"));
        ended.collect::<Vec<_>>().into_iter().collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_chosen_by_pattern_version_and_number() {
        let tags = [
            "latest",
            "v1.2.0",
            "1.10.0",
            "1.9.1",
            "2.0.0-rc.1",
            "2.0.0",
            "sha256-ab.sig",
        ];
        let chosen = |options: MirrorOptions| {
            options
                .chosen(tags.iter().map(|tag| (*tag).to_owned()).collect(), None)
                .unwrap()
                .join(" ")
        };
        let default = MirrorOptions::default();
        assert_eq!(chosen(default.clone()), "latest v1.2.0 1.10.0 1.9.1 2.0.0-rc.1 2.0.0");
        let semver = |text: &str| MirrorOptions {
            semver: Some(text.to_owned()),
            ..MirrorOptions::default()
        };
        assert_eq!(chosen(semver(">=1.2, <2")), "v1.2.0 1.10.0 1.9.1");
        let last = |count| MirrorOptions {
            keep_last: Some(count),
            ..MirrorOptions::default()
        };
        assert_eq!(chosen(last(3)), "2.0.0 2.0.0-rc.1 1.10.0");
        let patterns = MirrorOptions {
            tags: Some(Words(vec!["1.*".to_owned(), "sha256-*".to_owned()])),
            ..MirrorOptions::default()
        };
        assert_eq!(chosen(patterns), "1.10.0 1.9.1 sha256-ab.sig");
        assert!(semver("many").chosen(vec!["1.0.0".to_owned()], None).is_err());
    }
}
