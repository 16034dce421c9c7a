//! Volumes as people have them: made, found, told of, removed, and moved by archives.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Deserialize;

use super::image::Matching;
use super::{Host, Item, Report};
use crate::config::{Demand, Target, protected};
use crate::error::{Context as _, Error, Kind, Result};
use crate::images::{self, DiskUsage, Source};
use crate::model::{ContainerName, Context, Effect, Moment, Pairs, Pattern, Words, format_duration, random_hex};
use crate::runtime::files;
use crate::store::{Tx, VolumeRow};

/// What says that nobody gave a volume its name, as Docker writes it.
pub const ANONYMOUS: &str = "com.docker.volume.anonymous";

/// Options of `volume::create`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VolumeOptions {
    /// Labels.
    pub labels: Pairs,
    /// Options of the driver; there is one driver, and it has none.
    pub driver_opts: Pairs,
}

/// The filter map of `volume::list`, `volume::select` and `volume::prune`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VolumeFilter {
    /// In a clean-up: also those that people gave a name.
    pub all: bool,
    /// The name fits any of these patterns.
    pub name: Option<Words>,
    /// Has all these labels (`key` or `key=value`).
    pub label: Option<Words>,
    /// Has none of these labels.
    pub label_not: Option<Words>,
    /// Whether no container uses it.
    pub unused: Option<bool>,
    /// Made before this.
    pub older_than: Option<Moment>,
    /// Names that are never taken.
    pub keep: Option<Words>,
}

/// A volume, as it was when it was got. Clones are the same volume.
#[derive(Clone)]
pub struct Volume {
    host: Host,
    row: VolumeRow,
    users: Vec<String>,
}

impl PartialEq for Volume {
    fn eq(&self, other: &Volume) -> bool {
        self.row.name == other.row.name
    }
}

impl Volume {
    fn read(host: &Host, tx: &Tx, row: VolumeRow) -> Result<Volume> {
        let mut users = Vec::new();
        for id in tx.users_of_volume(&row.name)? {
            users.extend(tx.container(&id)?.map(|row| row.name));
        }
        users.sort();
        Ok(Volume {
            host: host.clone(),
            row,
            users,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.row.name
    }

    /// Where its files are.
    pub fn path(&self) -> PathBuf {
        self.host.volume_path(&self.row.name)
    }

    /// When it was made.
    pub fn created(&self) -> Timestamp {
        self.row.created
    }

    /// Its labels.
    pub fn labels(&self) -> BTreeMap<String, String> {
        serde_json::from_str(&self.row.labels).unwrap_or_default()
    }

    /// The names of the containers that use it, running or not.
    pub fn used_by(&self) -> &[String] {
        &self.users
    }

    /// Whether nobody gave it its name.
    pub fn is_anonymous(&self) -> bool {
        self.labels().contains_key(ANONYMOUS)
    }

    /// What its files take of the disk, in bytes; 0 of one that exists under dry-run only.
    pub fn size(&self, ctx: &Context) -> Result<u64> {
        match self.path().exists() {
            true => DiskUsage::default().of(ctx, &self.path()),
            false => Ok(0),
        }
    }

    /// Removes it. Errors: `in_use` while a container uses it, `denied` if it is protected.
    pub fn remove(&self) -> Result<()> {
        self.host.remove_volume(self.name())
    }

    /// Writes its files to a tarball; an existing file is replaced once the new one is whole. Returns the bytes of the tarball.
    ///
    /// Containers that use it may go on meanwhile: what they write then is in it or not. Errors: `denied`, `no_space`.
    pub fn save(&self, ctx: &Context, path: &Path) -> Result<u64> {
        let dry = self
            .host
            .planned("Volume.save", self.name(), &format!("to {}", path.display()));
        let path = &if dry { self.host.aside(path)? } else { path.to_owned() };
        if !self.path().exists() {
            std::fs::write(path, [0; 1024]).during(|| format!("write `{}`", path.display()))?;
            return Ok(1024);
        }
        let what = || format!("save the volume `{}` to `{}`", self.name(), path.display());
        images::export(ctx, &[self.path()], path).during(what)
    }

    /// Puts the files of a tarball, which may be compressed, over those it has; owners and attributes are those of the tarball.
    ///
    /// All of it is read before the first file comes. Errors: `corrupt`, `not_found`, `no_space`.
    pub fn load(&self, ctx: &Context, path: &Path) -> Result<()> {
        let input = self.host.input(path);
        let what = || format!("load the volume `{}` from `{}`", self.name(), path.display());
        let unpacked = images::unpack_tar(ctx, self.host.new_content()?, Source::named(&input)).during(what)?;
        if self
            .host
            .planned("Volume.load", self.name(), &format!("from {}", path.display()))
        {
            return Ok(());
        }
        files::merge(ctx, unpacked.dir(), &self.path()).during(what)
    }
}

impl Host {
    /// Makes a volume, or gives the one that has the name already; without a name it gets one that nobody has.
    ///
    /// Errors: `invalid` for what is no name, `unsupported` for options of drivers.
    pub fn create_volume(&self, name: Option<&str>, options: &VolumeOptions) -> Result<Volume> {
        if let Some(option) = options.driver_opts.0.keys().next() {
            return Err(Error::unsupported(format!("volumes have no driver option `{option}`"))
                .hint("what is elsewhere on this machine is shown to a container by the option `mounts`, or by `volumes: [\"/path:/path\"]`"));
        }
        let mut labels = options.labels.0.clone();
        let name = match name {
            Some(name) => name.to_owned(),
            None => {
                labels.insert(ANONYMOUS.to_owned(), String::new());
                random_hex(32)?
            }
        };
        name.parse::<ContainerName>().map_err(|_| {
            Error::invalid(format!("`{}` is no name of a volume", name.escape_debug()))
                .target(&name)
                .hint("a name has letters, digits, `_`, `.` and `-`, two at least; a directory of this machine is an absolute path")
        })?;
        if let Some(found) = self.find_volume(&name)? {
            return Ok(found);
        }
        self.planned("volume::create", &name, "");
        self.make_volume(&VolumeRow {
            name: name.clone(),
            created: Timestamp::now(),
            labels: serde_json::to_string(&labels).unwrap_or_default(),
        })?;
        self.volume(&name)
    }

    /// The volume of a name, if there is one.
    pub fn find_volume(&self, name: &str) -> Result<Option<Volume>> {
        self.store()
            .read(|tx| tx.volume(name)?.map(|row| Volume::read(self, tx, row)).transpose())
    }

    /// The volume of a name. Errors: `not_found`.
    pub fn volume(&self, name: &str) -> Result<Volume> {
        self.find_volume(name)?
            .ok_or_else(|| Error::not_found(format!("volume `{name}` does not exist")).target(name))
    }

    /// The volumes that fit the filter, by name.
    pub fn volumes(&self, filter: &VolumeFilter, matching: Matching<'_, Volume>) -> Result<Vec<Volume>> {
        let verdicts = self.judge_volumes(filter, matching, false)?;
        Ok(taken(verdicts))
    }

    /// The volumes that [`Host::prune_volumes`] would remove under the same filter.
    pub fn select_volumes(&self, filter: &VolumeFilter, matching: Matching<'_, Volume>) -> Result<Vec<Volume>> {
        let verdicts = self.judge_volumes(filter, matching, true)?;
        Ok(taken(verdicts))
    }

    /// Removes a volume that no container uses. Errors: `not_found`, `in_use`, `denied` if it is protected.
    pub fn remove_volume(&self, name: &str) -> Result<()> {
        let volume = self.volume(name)?;
        if let Some(reason) = self.config().protect.volume(name) {
            return Err(protected(&format!("volume `{name}`"), name, &reason));
        }
        let in_use = |users: &[String]| {
            let users = users.join("`, `");
            Error::new(Kind::InUse, format!("volume `{name}` is used by container `{users}`"))
                .target(name)
                .hint("remove the container first")
        };
        if !volume.users.is_empty() {
            return Err(in_use(&volume.users));
        }
        if self.planned("volume::remove", name, "") {
            return self.store().write(|tx| tx.delete_volume(name)).map(drop);
        }
        self.remove_unused_volumes(&[name.to_owned()])?;
        match self.find_volume(name)? {
            Some(volume) if !volume.users.is_empty() => Err(in_use(&volume.users)),
            _ => Ok(()),
        }
    }

    /// Removes volumes that no container uses and that fit the filter: those that nobody gave a name, or under `all` any.
    pub fn prune_volumes(
        &self,
        ctx: &Context,
        filter: &VolumeFilter,
        matching: Matching<'_, Volume>,
    ) -> Result<Report> {
        let mut report = Report::default();
        for (volume, is_taken, reason) in self.judge_volumes(filter, matching, true)? {
            ctx.check()?;
            let size = volume.size(ctx).unwrap_or(0);
            let item = |reason: String| Item {
                id: volume.name().to_owned(),
                name: volume.name().to_owned(),
                reason,
                size,
            };
            match volume.remove_if(is_taken) {
                None => report.kept.push(item(reason)),
                Some(Ok(())) => {
                    report.reclaimed += size;
                    report.removed.push(item(reason));
                }
                // Another process was faster.
                Some(Err(error)) if error.kind() == Kind::NotFound => {}
                Some(Err(error)) => report.errors.push(item(error.to_string())),
            }
        }
        self.tell_prune("volume", report.reclaimed);
        Ok(report)
    }

    fn judge_volumes(
        &self,
        filter: &VolumeFilter,
        matching: Matching<'_, Volume>,
        prune: bool,
    ) -> Result<Vec<Verdict>> {
        let conditions = Conditions::new(filter, prune)?;
        let all = self.store().read(|tx| {
            let rows = tx.volumes()?.into_iter();
            rows.map(|row| Volume::read(self, tx, row)).collect::<Result<Vec<_>>>()
        })?;
        let mut verdicts = Vec::new();
        for volume in all {
            let (mut is_taken, mut reason) = match conditions.judge(&volume) {
                Ok(reason) => (true, reason),
                Err(reason) => (false, reason),
            };
            if let Some(matching) = matching.filter(|_| is_taken)
                && !matching(&volume)?
            {
                (is_taken, reason) = (false, "not matching".to_owned());
            }
            if let Some(spared) = self.spares_volume(&volume).filter(|_| is_taken && prune) {
                (is_taken, reason) = (false, spared);
            }
            verdicts.push((volume, is_taken, reason));
        }
        Ok(verdicts)
    }

    /// Why a clean-up passes over a volume that it would take.
    fn spares_volume(&self, volume: &Volume) -> Option<String> {
        let config = self.config();
        config.protect.volume(volume.name()).or_else(|| {
            let target = Target::Object(vec![volume.name().to_owned()]);
            config.permissions.spares(&Demand::new(Effect::Delete, target))
        })
    }
}

impl Volume {
    fn remove_if(&self, is_taken: bool) -> Option<Result<()>> {
        is_taken.then(|| self.remove())
    }
}

/// A volume, whether it is taken, and why or why not.
type Verdict = (Volume, bool, String);

fn taken(verdicts: Vec<Verdict>) -> Vec<Volume> {
    let taken = verdicts.into_iter().filter(|(_, is_taken, _)| *is_taken);
    taken.map(|(volume, ..)| volume).collect()
}

struct Conditions<'a> {
    filter: &'a VolumeFilter,
    names: Vec<Pattern>,
    keep: Vec<Pattern>,
    prune: bool,
    now: Timestamp,
}

impl Conditions<'_> {
    fn new(filter: &VolumeFilter, prune: bool) -> Result<Conditions<'_>> {
        Ok(Conditions {
            names: Pattern::each(filter.name.as_ref())?,
            keep: Pattern::each(filter.keep.as_ref())?,
            filter,
            prune,
            now: Timestamp::now(),
        })
    }

    /// `Ok` is why a volume fits, `Err` why it does not.
    fn judge(&self, volume: &Volume) -> std::result::Result<String, String> {
        let filter = self.filter;
        let mut reasons = vec![self.use_of(volume)?];
        let fits = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(volume.name()));
        if filter.name.is_some() && !fits(&self.names) {
            return Err("name does not fit".to_owned());
        }
        if fits(&self.keep) {
            return Err("name is kept".to_owned());
        }
        let labels = volume.labels();
        let has = |wanted: &&String| match wanted.split_once('=') {
            Some((key, value)) => labels.get(key).is_some_and(|found| found == value),
            None => labels.contains_key(wanted.as_str()),
        };
        let mut wanted = filter.label.iter().flat_map(|words| &words.0);
        if let Some(missing) = wanted.find(|wanted| !has(wanted)) {
            return Err(format!("no label `{missing}`"));
        }
        let mut unwanted = filter.label_not.iter().flat_map(|words| &words.0);
        if let Some(found) = unwanted.find(has) {
            return Err(format!("label `{found}`"));
        }
        if let Some(limit) = filter.older_than {
            let old = format!(
                "made {} ago",
                format_duration(super::image::age(volume.created(), self.now))
            );
            match volume.created() < limit.resolve(self.now) {
                true => reasons.push(old),
                false => return Err(old),
            }
        }
        reasons.retain(|reason| !reason.is_empty());
        Ok(reasons.join(", "))
    }

    fn use_of(&self, volume: &Volume) -> std::result::Result<String, String> {
        let shown = match volume.used_by() {
            [] => "unused".to_owned(),
            users => super::image::used_by(users),
        };
        let is_unused = volume.used_by().is_empty();
        if self.filter.unused.is_some_and(|wanted| wanted != is_unused) || (self.prune && !is_unused) {
            return Err(shown);
        }
        match self.prune && !self.filter.all && !volume.is_anonymous() {
            true => Err("has a name".to_owned()),
            false => Ok(shown),
        }
    }
}
