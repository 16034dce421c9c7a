//! What a container changed, and an image made of it.

use super::{Container, Status};
use crate::error::{Context as _, Result};
use crate::host::image::{Changes, CommitOptions, Image};
use crate::images::{self, Change};
use crate::model::Context;
use crate::runtime;

impl Container {
    /// Makes an image of what it changed over its own; without a name the image is dangling.
    ///
    /// Errors: `invalid` for a bad name or change, `no_space`.
    pub fn commit(&self, ctx: &Context, name: Option<&str>, options: &CommitOptions) -> Result<Image> {
        let base = self.host.image(self.image_id().as_str())?;
        let upper = self.upper()?;
        let lowers = self.lowers(ctx)?;
        let changes = Changes {
            base: &base,
            upper: &upper,
            lowers: &lowers,
            created_by: self.command().join(" "),
            config: self.facts.recipe.config.clone(),
        };
        let _paused = match options.pause && self.now()?.status() == Status::Running && !self.host.imagines() {
            true => Some(Paused::new(self)?),
            false => None,
        };
        let image = self.host.commit_image(ctx, &changes, name, options)?;
        self.host.plays("container.commit", self.name(), &image.to_string());
        self.tell(
            "commit",
            &[("imageID", image.id().as_str()), ("imageRef", name.unwrap_or_default())],
        );
        Ok(image)
    }

    /// What it added, changed and deleted, as `docker diff` shows it.
    pub fn diff(&self, ctx: &Context) -> Result<Vec<Change>> {
        let lowers = self.lowers(ctx)?;
        images::upper_changes(ctx, &self.upper()?, &lowers)
    }

    /// Where its changes are; an empty directory for a container that exists under dry-run only.
    fn upper(&self) -> Result<std::path::PathBuf> {
        let upper = self.bundle().upper();
        if self.host.imagines() && !upper.exists() {
            let empty = self.host.scratch()?.dir.path().join("empty");
            std::fs::create_dir_all(&empty).map_err(|cause| crate::error::Error::internal(cause.to_string()))?;
            return Ok(empty);
        }
        Ok(upper)
    }

    /// Bytes of the files it has written.
    pub fn size(&self) -> Result<u64> {
        tree_size(&self.bundle().upper())
    }
}

/// Bytes of all regular files below a directory; nothing if it is absent.
fn tree_size(dir: &std::path::Path) -> Result<u64> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Ok(0);
    };
    let mut bytes = 0;
    for entry in entries {
        let entry = entry.during(|| format!("read the directory `{}`", dir.display()))?;
        // What vanishes meanwhile has no size.
        let Ok(facts) = entry.metadata() else { continue };
        bytes += if facts.is_dir() {
            tree_size(&entry.path())?
        } else {
            facts.len()
        };
    }
    Ok(bytes)
}

/// A container that is paused as long as this lives.
struct Paused<'a>(&'a Container);

impl Paused<'_> {
    fn new(container: &Container) -> Result<Paused<'_>> {
        runtime::pause(&container.bundle())?;
        Ok(Paused(container))
    }
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        // It may have been killed meanwhile; a container that cannot be thawed is seen as paused by whoever looks next.
        let _ = runtime::unpause(&self.0.bundle());
    }
}
