//! Which images a list shows and a clean-up takes, with a reason for each.
//!
//! One filter serves both. Conditions are asked in order and the first that fails is the reason an image stays; conditions
//! that hold are, together, the reason it goes.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use serde::Deserialize;

use super::{Image, age};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::host::image::listing::Matching;
use crate::model::{ByteSize, Digest, Moment, Pattern, Platform, TimeSpan, Words, format_duration};

/// The filter map of `image::list`, `image::select` and `image::prune`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImageFilter {
    /// Without a name and without images made from it.
    pub dangling: Option<bool>,
    /// Not used by any container.
    pub unused: Option<bool>,
    /// Without a name, but with images made from it.
    pub intermediate: Option<bool>,
    /// Any name fits any of these patterns; a pattern without a colon is about the repository.
    pub reference: Option<Words>,
    /// Has all these labels (`key` or `key=value`).
    pub label: Option<Words>,
    /// Has none of these labels.
    pub label_not: Option<Words>,
    /// Made before this.
    pub older_than: Option<Moment>,
    /// Made after this.
    pub newer_than: Option<Moment>,
    /// Not run, saved or pushed for so long.
    pub not_used_for: Option<TimeSpan>,
    /// Larger than so many bytes, all layers counted.
    pub larger_than: Option<ByteSize>,
    /// For this platform.
    pub platform: Option<String>,
    /// The newest so many of each group stay.
    pub keep_last: Option<u64>,
    /// What groups `keep_last`: `repo`, or `label:KEY`.
    pub per: Option<String>,
    /// Names that are never taken.
    pub keep: Option<Words>,
    /// Take the least recently used until so many bytes of the disk are free.
    pub free_at_least: Option<ByteSize>,
    /// Take the least recently used until the images need no more than this.
    pub total_at_most: Option<ByteSize>,
    /// Intermediate images, too; in a clean-up, every image that nothing uses.
    pub all: bool,
    /// Whether what a clean-up removes is kept in the trash for a while, so that it can be brought back; `true` unless it is to make room.
    pub trash: Option<bool>,
}

/// What the verdicts are for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    List,
    Prune,
}

/// One image, whether it is taken, and why or why not.
pub(super) struct Verdict {
    pub(super) image: Image,
    pub(super) taken: bool,
    pub(super) reason: String,
}

impl ImageFilter {
    /// Whether what is removed may stay on the disk for a while.
    pub(super) fn uses_trash(&self) -> bool {
        !self.wants_room() && self.trash != Some(false)
    }

    /// Whether it is about room on the disk.
    pub(super) fn wants_room(&self) -> bool {
        self.free_at_least.is_some() || self.total_at_most.is_some()
    }
}

pub(super) fn selected(verdicts: Vec<Verdict>) -> Vec<Image> {
    verdicts
        .into_iter()
        .filter(|verdict| verdict.taken)
        .map(|verdict| verdict.image)
        .collect()
}

/// Judges every image of the store; the order is kept.
pub(super) fn decide(
    host: &Host,
    images: Vec<Image>,
    filter: &ImageFilter,
    matching: Matching<'_, Image>,
    purpose: Purpose,
) -> Result<Vec<Verdict>> {
    let conditions = Conditions::compile(filter, matching.is_some(), purpose)?;
    let ranks = conditions.ranks(&images);
    let mut verdicts = Vec::with_capacity(images.len());
    for image in images {
        let mut verdict = conditions.judge(image, &ranks);
        if verdict.taken
            && let Some(matching) = matching
        {
            match matching(&verdict.image)? {
                true => verdict.add("matching"),
                false => verdict.keep("not matching"),
            }
        }
        verdicts.push(verdict);
    }
    if purpose == Purpose::Prune {
        spare_what_stays(host, &mut verdicts);
        spare_what_is_needed(&mut verdicts);
    }
    limit_to_goal(host, filter, &mut verdicts)?;
    if purpose == Purpose::Prune {
        add_lone_parents(&mut verdicts);
        spare_what_stays(host, &mut verdicts);
    }
    Ok(verdicts)
}

impl Verdict {
    fn keep(&mut self, reason: impl Into<String>) {
        self.taken = false;
        self.reason = reason.into();
    }

    fn add(&mut self, reason: &str) {
        if !self.reason.is_empty() {
            self.reason.push_str(", ");
        }
        self.reason.push_str(reason);
    }
}

/// `Ok` is why an image fits, `Err` why it does not.
type Judgement = std::result::Result<String, String>;

/// A filter with its patterns compiled and its moments fixed.
struct Conditions {
    filter: ImageFilter,
    purpose: Purpose,
    reference: Vec<Pattern>,
    keep: Vec<Pattern>,
    platform: Option<Platform>,
    group: Group,
    now: Timestamp,
}

/// What images are counted together by `keep_last`.
enum Group {
    Repository,
    Label(String),
}

/// For each image, the best place it has in any of its groups, counted from 1, with that group's name.
type Ranks = HashMap<Digest, (u64, String)>;

impl Conditions {
    fn compile(filter: &ImageFilter, has_more: bool, purpose: Purpose) -> Result<Conditions> {
        let group = match filter.per.as_deref() {
            None | Some("repo") => Group::Repository,
            Some(per) => match per.strip_prefix("label:").filter(|key| !key.is_empty()) {
                Some(key) => Group::Label(key.to_owned()),
                None => {
                    return Err(Error::invalid(format!("option `per` cannot be `{per}`"))
                        .hint("valid: `repo`, or `label:` and a label's name"));
                }
            },
        };
        if filter.per.is_some() && filter.keep_last.is_none() {
            return Err(Error::invalid("option `per` needs `keep_last`").hint("say how many of each group stay"));
        }
        let mut filter = filter.clone();
        if purpose == Purpose::Prune && !has_more && filter.is_empty() {
            filter.dangling = Some(true);
        }
        let platform = filter.platform.as_deref().map(str::parse).transpose()?;
        let (reference, keep) = (
            Pattern::each(filter.reference.as_ref())?,
            Pattern::each(filter.keep.as_ref())?,
        );
        Ok(Conditions {
            reference,
            keep,
            platform,
            group,
            now: Timestamp::now(),
            filter,
            purpose,
        })
    }

    /// Counts the images in scope of the filter, newest first within each group.
    fn ranks(&self, images: &[Image]) -> Ranks {
        let mut ranks = Ranks::new();
        if self.filter.keep_last.is_none() {
            return ranks;
        }
        let mut counts: HashMap<String, u64> = HashMap::new();
        for image in images.iter().filter(|image| self.scope(image).is_ok()) {
            for group in self.groups(image) {
                let count = counts.entry(group.clone()).or_default();
                *count += 1;
                let best = ranks.entry(image.id().clone()).or_insert((*count, group.clone()));
                if *count < best.0 {
                    *best = (*count, group);
                }
            }
        }
        ranks
    }

    fn groups(&self, image: &Image) -> HashSet<String> {
        match &self.group {
            Group::Repository => image
                .references()
                .iter()
                .map(|name| name.familiar_repository())
                .collect(),
            Group::Label(key) => image
                .labels()
                .get(key)
                .map(|value| format!("{key}={value}"))
                .into_iter()
                .collect(),
        }
    }

    fn judge(&self, image: Image, ranks: &Ranks) -> Verdict {
        let mut verdict = Verdict {
            image,
            taken: true,
            reason: String::new(),
        };
        let judgements = [Self::kind, Self::scope, Self::time, Self::amount];
        for judgement in judgements {
            match judgement(self, &verdict.image) {
                Ok(reason) if reason.is_empty() => {}
                Ok(reason) => verdict.add(&reason),
                Err(reason) => {
                    verdict.keep(reason);
                    return verdict;
                }
            }
        }
        match self.keeping(&verdict.image, ranks) {
            Ok(reason) if reason.is_empty() => {}
            Ok(reason) => verdict.add(&reason),
            Err(reason) => verdict.keep(reason),
        }
        if verdict.taken && verdict.reason.is_empty() {
            verdict.reason = "unused".to_owned();
        }
        verdict
    }

    /// Dangling, intermediate, unused.
    fn kind(&self, image: &Image) -> Judgement {
        let filter = &self.filter;
        let shows_intermediate = filter.all || filter.intermediate.is_some();
        if image.intermediate() && !shows_intermediate {
            return Err("intermediate".to_owned());
        }
        let mut reasons = Vec::new();
        flag(filter.dangling, image.dangling(), "dangling", &mut reasons)?;
        flag(filter.intermediate, image.intermediate(), "intermediate", &mut reasons)?;
        match (filter.unused, image.used_by()) {
            (None, _) => {}
            (Some(true), []) => reasons.push("unused".to_owned()),
            (Some(false), []) => return Err("unused".to_owned()),
            (Some(true), users) => return Err(used_by(users)),
            (Some(false), users) => reasons.push(used_by(users)),
        }
        Ok(reasons.join(", "))
    }

    /// Names, labels, platform: what the filter is about, before time and amount.
    fn scope(&self, image: &Image) -> Judgement {
        let mut reasons = Vec::new();
        if let Some(words) = &self.filter.reference {
            match first_match(&self.reference, image) {
                Some(name) => reasons.push(format!("name `{name}` fits")),
                None => return Err(format!("no name fits `{}`", words.0.join("`, `"))),
            }
        }
        let labels = image.labels();
        let has = |wanted: &str| match wanted.split_once('=') {
            Some((key, value)) => labels.get(key).is_some_and(|found| found == value),
            None => labels.contains_key(wanted),
        };
        for wanted in self.filter.label.iter().flat_map(|words| &words.0) {
            match has(wanted) {
                true => reasons.push(format!("label `{wanted}`")),
                false => return Err(format!("no label `{wanted}`")),
            }
        }
        if let Some(label) = self
            .filter
            .label_not
            .iter()
            .flat_map(|words| &words.0)
            .find(|label| has(label))
        {
            return Err(format!("has label `{label}`"));
        }
        if let Some(platform) = &self.platform {
            match image.platform().fits(platform) {
                true => reasons.push(format!("for {platform}")),
                false => return Err(format!("for {}", image.platform())),
            }
        }
        Ok(reasons.join(", "))
    }

    /// Age and last use.
    fn time(&self, image: &Image) -> Judgement {
        let mut reasons = Vec::new();
        let made = image.created().unwrap_or(image.facts.row.added);
        let old = format!("made {} ago", format_duration(age(made, self.now)));
        if let Some(limit) = self.filter.older_than {
            match made < limit.resolve(self.now) {
                true => reasons.push(format!("{old}, older than {limit}")),
                false => return Err(format!("{old}, not older than {limit}")),
            }
        }
        if let Some(limit) = self.filter.newer_than {
            match made > limit.resolve(self.now) {
                true => reasons.push(format!("{old}, newer than {limit}")),
                false => return Err(format!("{old}, not newer than {limit}")),
            }
        }
        if let Some(limit) = self.filter.not_used_for {
            let idle = age(image.last_used(), self.now);
            let used = format!("last used {} ago", format_duration(idle));
            match idle >= limit.0 {
                true => reasons.push(used),
                false => return Err(used),
            }
        }
        Ok(reasons.join(", "))
    }

    fn amount(&self, image: &Image) -> Judgement {
        match self.filter.larger_than {
            None => Ok(String::new()),
            Some(limit) if image.size() > limit.0 => Ok(format!("larger than {limit}")),
            Some(limit) => Err(format!("not larger than {limit}")),
        }
    }

    /// What spares an image that fits otherwise.
    fn keeping(&self, image: &Image, ranks: &Ranks) -> Judgement {
        if let Some(name) = first_match(&self.keep, image) {
            return Err(format!("name `{name}` is kept"));
        }
        let Some(newest) = self.filter.keep_last else {
            return Ok(String::new());
        };
        match ranks.get(image.id()) {
            Some((rank, group)) if *rank <= newest => Err(format!("among the newest {newest} of {group}")),
            Some((_, group)) => Ok(format!("not among the newest {newest} of {group}")),
            // Without a group there is nothing it could be older than.
            None if self.purpose == Purpose::Prune => Err("in no group that `keep_last` counts".to_owned()),
            None => Ok(String::new()),
        }
    }
}

impl ImageFilter {
    /// Whether nothing says which images are meant.
    fn is_empty(&self) -> bool {
        let ImageFilter {
            dangling,
            unused,
            intermediate,
            reference,
            label,
            label_not,
            older_than,
            newer_than,
            ..
        } = self;
        let ImageFilter {
            not_used_for,
            larger_than,
            platform,
            keep_last,
            free_at_least,
            total_at_most,
            all,
            ..
        } = self;
        let flags = [dangling, unused, intermediate].iter().all(|flag| flag.is_none());
        let names = [reference, label, label_not].iter().all(|words| words.is_none()) && platform.is_none();
        let times = older_than.is_none() && newer_than.is_none() && not_used_for.is_none();
        let amounts = [larger_than, free_at_least, total_at_most]
            .iter()
            .all(|size| size.is_none());
        flags && names && times && amounts && keep_last.is_none() && !all
    }
}

/// By which containers, of many the first ones.
pub(in crate::host) fn used_by(users: &[String]) -> String {
    const MOST: usize = 3;
    let (shown, left) = users.split_at(users.len().min(MOST));
    let names = shown
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ");
    match (users.len(), left.len()) {
        (1, _) => format!("used by container {names}"),
        (_, 0) => format!("used by containers {names}"),
        (_, more) => format!("used by containers {names} and {more} more"),
    }
}

fn flag(wanted: Option<bool>, is: bool, name: &str, reasons: &mut Vec<String>) -> std::result::Result<(), String> {
    let word = if is { name.to_owned() } else { format!("not {name}") };
    match wanted {
        None => Ok(()),
        Some(wanted) if wanted == is => {
            reasons.push(word);
            Ok(())
        }
        Some(_) => Err(word),
    }
}

/// The first name that fits any pattern. A pattern may be of the name as people write it, of the whole name, or, without a
/// colon, of the repository.
fn first_match(patterns: &[Pattern], image: &Image) -> Option<String> {
    let fits = |pattern: &Pattern, texts: &[String]| texts.iter().any(|text| pattern.matches(text));
    image.references().iter().find_map(|name| {
        let texts = [
            name.familiar(),
            name.to_string(),
            name.familiar_repository(),
            name.repository(),
        ];
        patterns
            .iter()
            .any(|pattern| fits(pattern, &texts))
            .then(|| name.familiar())
    })
}

/// Keeps what is protected, and what is not allowed to go.
fn spare_what_stays(host: &Host, verdicts: &mut [Verdict]) {
    for verdict in verdicts.iter_mut().filter(|verdict| verdict.taken) {
        if let Some(reason) = host.spares_image(&verdict.image) {
            verdict.keep(reason);
        }
    }
}

/// Keeps what a container uses, and what an image that stays is made from.
fn spare_what_is_needed(verdicts: &mut [Verdict]) {
    for verdict in verdicts.iter_mut().filter(|verdict| verdict.taken) {
        if let Some(user) = verdict.image.used_by().first() {
            verdict.keep(format!("used by container `{user}`"));
        }
    }
    until_settled(verdicts, |verdict, taken| {
        let child = verdict.image.facts.children.iter().find(|child| !taken.contains(child));
        let reason = child.map(|child| format!("image {} is made from it", child.short()));
        let spared = reason.filter(|_| verdict.taken);
        spared.map(|reason| verdict.keep(reason)).is_some()
    });
}

/// Asks about every verdict, knowing which images are taken, until a round changes nothing: an image that is kept keeps its
/// parent, which keeps its own.
fn until_settled(verdicts: &mut [Verdict], mut change: impl FnMut(&mut Verdict, &HashSet<Digest>) -> bool) {
    loop {
        let taken = verdicts.iter().filter(|verdict| verdict.taken);
        let taken: HashSet<Digest> = taken.map(|verdict| verdict.image.id().clone()).collect();
        let changed = verdicts
            .iter_mut()
            .filter_map(|verdict| change(verdict, &taken).then_some(()))
            .count();
        if changed == 0 {
            return;
        }
    }
}

/// With a goal, takes the least recently used ones only, and no more than the goal needs.
fn limit_to_goal(host: &Host, filter: &ImageFilter, verdicts: &mut [Verdict]) -> Result<()> {
    let mut goals = Vec::new();
    if let Some(most) = filter.total_at_most {
        let total: u64 = host.store().read(|tx| tx.total_size())?;
        goals.push((total.saturating_sub(most.0), format!("images within {most}")));
    }
    if let Some(least) = filter.free_at_least {
        let free = host.content().free_space()? + host.trash_size()?;
        goals.push((least.0.saturating_sub(free), format!("{least} free")));
    }
    let Some((bytes, goal)) = goals.into_iter().max() else {
        return Ok(());
    };
    let mut order: Vec<usize> = (0..verdicts.len()).filter(|at| verdicts[*at].taken).collect();
    order.sort_by_key(|at| verdicts[*at].image.last_used());
    let mut sum = 0;
    for at in order {
        let verdict = &mut verdicts[at];
        if sum >= bytes {
            verdict.keep(format!("{goal} already"));
        } else {
            sum += verdict.image.unique_size()?;
            verdict.add(&format!("least recently used, for {goal}"));
        }
    }
    Ok(())
}

/// Takes unnamed, unused images all of whose children go: intermediate images go with their last child.
fn add_lone_parents(verdicts: &mut [Verdict]) {
    until_settled(verdicts, |verdict, taken| {
        let image = &verdict.image;
        let is_free = !verdict.taken && image.intermediate() && image.used_by().is_empty();
        if !is_free || !image.facts.children.iter().all(|child| taken.contains(child)) {
            return false;
        }
        verdict.taken = true;
        verdict.reason = "its last child goes".to_owned();
        true
    });
}
