//! `registries.conf`, version 2, and what lies beside it (containers-registries.conf(5)), but for what it says of short names: a script means
//! the same images on every machine, those that Docker means.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Location;
use super::prefix::covered;
use crate::error::{Context as _, Error, Result};
use crate::model::Reference;

/// What all files together say.
#[derive(Debug, Default)]
pub(super) struct Conf {
    registries: BTreeMap<String, Registry>,
}

/// What is said of the references with a prefix.
#[derive(Debug)]
pub(super) struct Registry {
    pub(super) prefix: String,
    /// What stands in place of the prefix; empty for the prefix itself.
    pub(super) location: String,
    pub(super) insecure: bool,
    pub(super) blocked: bool,
    pub(super) mirrors: Vec<Mirror>,
    /// The file that says it.
    pub(super) file: String,
}

/// Another place for the same.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Mirror {
    pub(super) location: String,
    #[serde(default)]
    pub(super) insecure: bool,
    #[serde(default)]
    pub(super) pull_from_mirror: Subset,
}

/// What a mirror is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Subset {
    #[default]
    All,
    DigestOnly,
    TagOnly,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    #[serde(default)]
    registry: Vec<Table>,
    /// Version 1 had a table of this name.
    registries: Option<toml::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Table {
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    mirror_by_digest_only: bool,
    #[serde(default)]
    mirror: Vec<Mirror>,
}

impl Conf {
    /// The first of the files, and over it those of the directories, by name.
    ///
    /// Errors: `invalid` with file and line, `denied`.
    pub(super) fn read(files: &[PathBuf], dirs: &[PathBuf]) -> Result<Conf> {
        let mut conf = Conf::default();
        for file in files {
            if conf.read_file(file)? {
                break;
            }
        }
        for dir in dirs {
            for file in drop_ins(dir)? {
                conf.read_file(&file)?;
            }
        }
        Ok(conf)
    }

    /// Whether the file is there.
    fn read_file(&mut self, path: &Path) -> Result<bool> {
        let what = || format!("read the settings of registries in `{}`", path.display());
        let text = match std::fs::read_to_string(path) {
            Err(cause)
                if matches!(
                    cause.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(false);
            }
            text => text.during(what)?,
        };
        let way_out = || {
            let file = path.display();
            format!(
                "correct `{file}` (see containers-registries.conf(5)), or name another file in CONTAINERS_REGISTRIES_CONF"
            )
        };
        let said = self.apply(&path.display().to_string(), &text);
        said.during(what).map_err(|error| error.hint(way_out())).map(|()| true)
    }

    fn apply(&mut self, name: &str, text: &str) -> Result<()> {
        let file: File = toml::from_str(text).map_err(|cause| {
            let before = cause.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            Error::invalid(format!("line {line}: {}", cause.message().replace('\n', ", "))).source(cause)
        })?;
        if file.registries.is_some() {
            return Err(Error::invalid("it has the form of version 1, which is no longer read"));
        }
        for table in file.registry {
            let registry = table.registry(name)?;
            self.registries.insert(registry.prefix.clone(), registry);
        }
        Ok(())
    }

    /// What is said of a reference: by the longest prefix.
    pub(super) fn registry(&self, reference: &Reference) -> Option<&Registry> {
        let text = reference.to_string();
        let fitting = self
            .registries
            .values()
            .filter(|found| covered(&text, &found.prefix).is_some());
        fitting.max_by_key(|found| found.prefix.len())
    }
}

impl Table {
    fn registry(self, file: &str) -> Result<Registry> {
        let location = plain(&self.location)?;
        let prefix = match plain(&self.prefix)? {
            prefix if prefix.is_empty() => location.clone(),
            prefix => prefix,
        };
        if prefix.is_empty() {
            return Err(Error::invalid("a `[[registry]]` has neither `prefix` nor `location`"));
        }
        let mut mirrors = self.mirror;
        for mirror in &mut mirrors {
            mirror.location = plain(&mirror.location)?;
            if mirror.location.is_empty() {
                return Err(Error::invalid(format!("a mirror of `{prefix}` has no `location`")));
            }
            if self.mirror_by_digest_only {
                mirror.pull_from_mirror = Subset::DigestOnly;
            }
        }
        Ok(Registry {
            prefix,
            location,
            insecure: self.insecure,
            blocked: self.blocked,
            mirrors,
            file: file.to_owned(),
        })
    }
}

impl Registry {
    /// The reference with another location in place of the prefix.
    pub(super) fn at(&self, reference: &Reference, location: &str, insecure: bool) -> Result<Location> {
        let text = reference.to_string();
        let Some(end) = covered(&text, &self.prefix).filter(|_| !location.is_empty() && location != self.prefix) else {
            return Ok(Location {
                reference: reference.clone(),
                insecure,
            });
        };
        let bad = |_| {
            let file = &self.file;
            Error::invalid(format!(
                "`{location}` in `{file}` is no location that `{text}` could be at"
            ))
            .hint(format!(
                "a location is a host and perhaps a path, as `mirror.example.com/hub`; correct it in `{file}`"
            ))
        };
        let moved: Reference = format!("{location}{}", &text[end..]).parse().map_err(bad)?;
        match location.split('/').next() == Some(moved.registry()) {
            true => Ok(Location {
                reference: moved,
                insecure,
            }),
            false => Err(bad(Error::internal("it names no host"))),
        }
    }
}

/// A location without the slash that it may end with.
fn plain(location: &str) -> Result<String> {
    if location.contains("://") {
        return Err(Error::invalid(format!(
            "`{location}` has a scheme, which a location must not have"
        )));
    }
    Ok(location.trim_end_matches('/').to_owned())
}

/// The files of a directory of settings, in the order of their names.
fn drop_ins(dir: &Path) -> Result<Vec<PathBuf>> {
    let what = || format!("list `{}`", dir.display());
    let entries = match std::fs::read_dir(dir) {
        Err(cause)
            if matches!(
                cause.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        entries => entries.during(what)?,
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = paths.collect::<std::io::Result<Vec<_>>>().during(what)?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
    paths.sort();
    Ok(paths)
}
