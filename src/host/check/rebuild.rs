//! A new database from what can still be read of a damaged one and from what lies in the store: the index, manifests and
//! configurations, the directories of containers and volumes.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use jiff::Timestamp;

use super::{CheckOptions, Checked, Damage, Problem};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::host::container::KeptRow;
use crate::host::image::rows_of;
use crate::host::{Host, container, make_dir};
use crate::images::Content;
use crate::model::{Context, Digest};
use crate::store::{ContainerRow, ImageRow, LayerRow, Salvage, Store, Tx, VolumeRow};

impl Host {
    /// What a check finds in a store that cannot be opened because its database is damaged or gone. Under `repair` the database is
    /// made anew, and the rest of the store is checked then.
    ///
    /// Errors: `in_use` while another process has the database open.
    pub fn check_unopened(ctx: &Context, config: &Config, cause: &Error, options: CheckOptions) -> Result<Checked> {
        let database = config.root.join("hoist.db");
        let mut problem = Problem {
            kind: Damage::Database,
            object: database.display().to_string(),
            detail: cause.message().to_owned(),
            repaired: false,
            hint: cause.way_out().map(str::to_owned),
        };
        if !options.repair || config.dry_run {
            let problems = vec![problem];
            return Ok(Checked { ok: false, problems });
        }
        make_dir(&config.run_root)?;
        let (store, salvage) = Store::renew(&database)?;
        let rebuilt = Rebuild::new(config, salvage)?.fill(&store)?;
        drop(store);
        problem.detail = format!("{}; {rebuilt}", problem.detail);
        (problem.repaired, problem.hint) = (true, None);
        let mut checked = Host::open(config, None)?.check(ctx, options)?;
        checked.problems.insert(0, problem);
        Ok(checked)
    }

    /// Makes the database anew while it is open; returns what came of it, in words.
    pub(super) fn rebuild(&self) -> Result<String> {
        let salvage = self.store().renew_open()?;
        Rebuild::new(self.config(), salvage)?.fill(self.store())
    }

    /// An error if the store has content but no database: an empty one would make garbage of all.
    pub(in crate::host) fn miss_database(config: &Config) -> Result<()> {
        let database = config.root.join("hoist.db");
        let is_gone = std::fs::metadata(&database).map_or(true, |facts| facts.len() == 0);
        let has_some =
            |dir: &str| std::fs::read_dir(config.root.join(dir)).is_ok_and(|mut found| found.next().is_some());
        if !is_gone
            || !["containers", "content/blobs/sha256", "volumes"]
                .into_iter()
                .any(has_some)
        {
            return Ok(());
        }
        let text = format!(
            "the database `{}` is gone, but there are images or containers",
            database.display()
        );
        Err(Error::corrupt(text)
            .target(database.display().to_string())
            .hint(crate::store::REBUILD))
    }
}

/// Rows that are being put together.
struct Rebuild {
    content: Content,
    config: Config,
    salvage: Salvage,
    now: Timestamp,
}

/// What came of a rebuild, in numbers.
#[derive(Default)]
struct Count {
    images: usize,
    names: usize,
    containers: usize,
    volumes: usize,
}

impl Rebuild {
    fn new(config: &Config, salvage: Salvage) -> Result<Rebuild> {
        Ok(Rebuild {
            content: Content::open(&config.root, &config.limits)?,
            config: config.clone(),
            salvage,
            now: Timestamp::now(),
        })
    }

    fn fill(&self, store: &Store) -> Result<String> {
        let count = store.write_durably(|tx| {
            let mut count = Count::default();
            tx.restore_verbatim(&self.salvage);
            self.images(tx, &mut count)?;
            self.names(tx, &mut count)?;
            self.volumes(tx, &mut count)?;
            self.containers(tx, &mut count)?;
            tx.mark_index_stale()?;
            Ok(count)
        })?;
        let aside = match &self.salvage.aside {
            Some(aside) => format!("the damaged file is kept as `{}`", aside.display()),
            None => "there was no file to read".to_owned(),
        };
        Ok(format!(
            "rebuilt with {} images, {} names, {} containers and {} volumes; {aside}",
            count.images, count.names, count.containers, count.volumes
        ))
    }

    /// Images of which a row was read, and all others that a manifest among the content describes, but for those in the trash.
    fn images(&self, tx: &Tx, count: &mut Count) -> Result<()> {
        for row in self.salvage.images.values() {
            if Digest::of(&row.config) == row.id
                && let Some(layers) = self.layers(row)
            {
                count.images += usize::from(tx.insert_image(row, &layers)?);
            }
        }
        let trashed: HashSet<Digest> = tx.all_trashed_content()?.into_iter().collect();
        for manifest in self.content.blobs()? {
            if let Ok(image) = self.content.described_image(&manifest)
                && !trashed.contains(&image.id)
            {
                let (row, layers) = rows_of(image, None, self.now)?;
                count.images += usize::from(tx.insert_image(&row, &layers)?);
            }
        }
        Ok(())
    }

    /// The layers of a row that was read: read as well, or described by its manifest.
    fn layers(&self, row: &ImageRow) -> Option<Vec<LayerRow>> {
        let described = self.content.described_layers(&row.manifest, &row.config).ok();
        let count = crate::images::Config::parse(&row.config).ok()?.rootfs.diff_ids.len();
        let layers = described.map(|layers| layers.into_iter().map(LayerRow::from).collect());
        self.salvage.layers_of(&row.id, count).or(layers)
    }

    /// Names that were read, and for those that were not, what the index says.
    fn names(&self, tx: &Tx, count: &mut Count) -> Result<()> {
        for (name, image) in self.salvage.names.values() {
            if tx.image(image)?.is_some() {
                tx.set_reference(name, image, self.now)?;
                count.names += 1;
            }
        }
        for (name, manifest) in self.content.read_index().unwrap_or_default() {
            let image = tx.images_by_manifest(&manifest)?.into_iter().next();
            if let Some(image) = image.filter(|_| !self.salvage.names.contains_key(&name.to_string())) {
                tx.set_reference(&name, &image.id, self.now)?;
                count.names += 1;
            }
        }
        Ok(())
    }

    fn volumes(&self, tx: &Tx, count: &mut Count) -> Result<()> {
        for row in self.salvage.volumes.values() {
            count.volumes += usize::from(tx.insert_volume(row)?);
        }
        let dirs = names_in(&self.config.root.join("volumes")).into_iter();
        for name in dirs.filter(|name| !name.starts_with('.')) {
            let row = VolumeRow {
                name,
                created: self.now,
                labels: "{}".to_owned(),
            };
            count.volumes += usize::from(tx.insert_volume(&row)?);
        }
        Ok(())
    }

    /// Containers that were read, and all others that keep their row in their directory. One that ended with its process has none:
    /// its process is gone.
    fn containers(&self, tx: &Tx, count: &mut Count) -> Result<()> {
        let dir = self.config.root.join("containers");
        let mut known = BTreeSet::new();
        let read = self.salvage.containers.values().cloned();
        let kept = names_in(&dir).into_iter().filter_map(|id| KeptRow::read(&dir.join(id)));
        for mut row in read.chain(kept) {
            if !known.insert(row.id.as_str().to_owned()) {
                continue;
            }
            if tx.container_by_name(&row.name)?.is_some() {
                row.name = format!("{}-{}", row.name, row.id.short());
            }
            self.container(tx, &row)?;
            count.containers += 1;
        }
        Ok(())
    }

    fn container(&self, tx: &Tx, row: &ContainerRow) -> Result<()> {
        if tx.image(&row.image)?.is_none() {
            // Without a row for its image the container could have none, and its directory would be garbage.
            tx.insert_image(&ImageRow::lost(&row.image, self.now), &[])?;
        }
        tx.insert_container(row)?;
        for volume in container::volumes_in(row) {
            match tx.use_volume(&row.id, &volume) {
                Err(error) if error.kind() != Kind::Internal => return Err(error),
                // A volume that was not read and has no directory: the check tells of it.
                _ => {}
            }
        }
        Ok(())
    }
}

fn names_in(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}
