//! Files in and out of a container, running or not.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::Container;
use crate::error::{Context as _, Result};
use crate::images;
use crate::model::Context;
use crate::runtime::{self, files};

impl Container {
    /// The directories it is stacked on, topmost first; its image's for one that exists under dry-run only.
    pub(super) fn lowers(&self, ctx: &Context) -> Result<Vec<PathBuf>> {
        let bundle = self.bundle();
        if !self.host.imagines() || bundle.upper().exists() {
            return runtime::lowers(&bundle);
        }
        let stored = self.host.image(self.image_id().as_str())?.stored()?;
        self.host.unpacked(ctx, &[&stored])?.lowers(ctx, &stored.layers)
    }

    /// Its files as it sees them itself.
    fn root(&self) -> Result<OwnedFd> {
        runtime::root(&self.bundle())
    }

    /// Copies a host file or directory inside. Into a directory that exists it goes under its own name, as `docker cp` does.
    ///
    /// Errors: `not_found` for either side; `conflict` where a directory is in the way; `denied` on a read-only volume.
    pub fn copy_in(&self, ctx: &Context, host_path: &str, path: &str) -> Result<()> {
        if self
            .host
            .plays("container.copy_in", self.name(), &format!("{host_path} to {path}"))
        {
            return Ok(());
        }
        if host_path == "-" {
            let unpacked = images::unpack_tar(ctx, self.host.content(), images::Source::Standard)?;
            let put = files::put(ctx, self.root()?.as_fd(), unpacked.dir(), path);
            return put.map_err(|error| error.target(self.name()));
        }
        let (root, owner) = (self.root()?, runtime::root_owner(&self.bundle())?);
        files::copy_in(ctx, root.as_fd(), owner, host_path, path).map_err(|error| error.target(self.name()))
    }

    /// Copies a file or directory out to the host. Into a directory that exists it goes under its own name.
    ///
    /// Errors: `not_found` for either side; `conflict` where a directory is in the way.
    pub fn copy_out(&self, ctx: &Context, path: &str, host_path: &str) -> Result<()> {
        if self
            .host
            .plays("container.copy_out", self.name(), &format!("{path} to {host_path}"))
        {
            let host_path = Path::new(host_path);
            let name = Path::new(path).file_name().filter(|_| host_path.is_dir());
            let aside = self
                .host
                .aside(&name.map_or_else(|| host_path.to_owned(), |name| host_path.join(name)))?;
            let imagined = self
                .host
                .imagined()
                .files
                .get(&(self.id().clone(), path.to_owned()))
                .cloned();
            return match imagined {
                Some(content) => std::fs::write(&aside, content).during(|| format!("write `{}`", aside.display())),
                // One of the dry run has no files.
                None if !self.bundle().dir.exists() => {
                    std::fs::write(&aside, []).during(|| format!("write `{}`", aside.display()))
                }
                None => files::copy_out(ctx, self.root()?.as_fd(), path, &aside.to_string_lossy())
                    .map_err(|error| error.target(self.name())),
            };
        }
        if host_path == "-" {
            return self.copy_to_stream(ctx, path);
        }
        files::copy_out(ctx, self.root()?.as_fd(), path, host_path).map_err(|error| error.target(self.name()))
    }

    /// Writes a file or directory to standard output as a tarball, owners and attributes included.
    fn copy_to_stream(&self, ctx: &Context, path: &str) -> Result<()> {
        let staging = self.host.content().stage()?;
        let dir = staging.free_path();
        std::fs::create_dir(&dir).during(|| format!("make the directory `{}`", dir.display()))?;
        let taken = files::take(ctx, self.root()?.as_fd(), path, &dir);
        taken.map_err(|error| error.target(self.name()))?;
        images::export_content(ctx, &dir, Path::new("-")).map(drop)
    }

    /// Under dry-run, notes what would be in a file inside.
    pub fn imagine_file(&self, path: &str, content: Vec<u8>) {
        let place = (self.id().clone(), path.to_owned());
        self.host.imagined().files.insert(place, content);
    }

    /// The content of a file inside. Errors: `not_found`; `invalid` if it is no regular file or has more than 64 MiB.
    pub fn read_file(&self, path: &str) -> Result<Vec<u8>> {
        if let Some(content) = self.host.imagined().files.get(&(self.id().clone(), path.to_owned())) {
            return Ok(content.clone());
        }
        files::read_file(self.root()?.as_fd(), path).map_err(|error| error.target(self.name()))
    }

    /// Writes a file inside, in place of what it held; its directory must exist. A new file has mode 0644 and belongs to root.
    pub fn write_file(&self, path: &str, content: &[u8]) -> Result<()> {
        if self.host.plays(
            "container.write_file",
            self.name(),
            &format!("{path}, {} bytes", content.len()),
        ) {
            self.imagine_file(path, content.to_vec());
            return Ok(());
        }
        let (root, owner) = (self.root()?, runtime::root_owner(&self.bundle())?);
        files::write_file(root.as_fd(), owner, path, content).map_err(|error| error.target(self.name()))
    }

    /// Writes its whole file system, volumes excepted, to a tarball on the host; an existing file is replaced once the new one
    /// is whole. Returns the bytes of the tarball.
    ///
    /// Errors: `denied`, `no_space`.
    pub fn export_tar(&self, ctx: &Context, path: &Path) -> Result<u64> {
        let dry = self
            .host
            .plays("container.export_tar", self.name(), &path.display().to_string());
        let path = &if dry { self.host.aside(path)? } else { path.to_owned() };
        if dry && !self.bundle().dir.exists() {
            // A container of the dry run has no files; its export is a tarball of nothing.
            std::fs::write(path, [0; 1024]).during(|| format!("write `{}`", path.display()))?;
            return Ok(0);
        }
        let dirs: Vec<PathBuf> = std::iter::once(self.bundle().upper())
            .chain(self.lowers(ctx)?)
            .collect();
        images::export(ctx, &dirs, path)
            .map_err(|error| error.during(format!("export container `{self}` to `{}`", path.display())))
    }
}
