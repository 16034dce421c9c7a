//! Files as a script sees them: the real ones and, under dry-run, what the script has done so far laid over them.
//!
//! Under dry-run nothing real is changed: each change is recorded in the plan and kept here, so that later reads see its result and the
//! script's branches go the way they would.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{Context as _, Error, Result};
use crate::host::Plan;
use crate::model::{ByteSize, Context, random_hex};

/// No file larger than this is read into a script.
const LARGEST: u64 = 256 << 20;

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A directory, or a symbolic link to one.
    Directory,
    /// Anything else.
    File,
}

/// What a dry run has put at a path.
#[derive(Debug, Clone)]
enum Node {
    Bytes(Vec<u8>),
    /// The same bytes as a real file.
    Like(PathBuf),
    /// A new directory; nothing real shows through it.
    Directory,
    Gone,
}

/// The files of a session.
#[derive(Debug, Default)]
pub struct Files {
    overlay: Mutex<BTreeMap<PathBuf, Node>>,
}

/// Files together with the plan that changes go to; without one they are carried out.
pub struct View<'a> {
    /// The files.
    pub files: &'a Files,
    /// The plan of a dry run.
    pub plan: Option<&'a Plan>,
    /// Ends what takes long.
    pub context: Context,
    /// Whether a file that a directory led to may be used.
    pub judge: Option<Judge<'a>>,
}

/// Errors: `denied` for a path that is not allowed.
pub type Judge<'a> = Box<dyn Fn(&Path) -> Result<()> + 'a>;

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).during(|| format!("use the path `{}`", path.display()))
}

fn missing(what: &str, path: &Path) -> Error {
    Error::not_found("no such file or directory").during(format!("{what} `{}`", path.display()))
}

impl View<'_> {
    fn overlay(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Node>> {
        self.files.overlay.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a dry run has done to a path, or to a directory above it.
    fn node(&self, path: &Path) -> Result<Option<Node>> {
        if self.plan.is_none() {
            return Ok(None);
        }
        let path = absolute(path)?;
        let overlay = self.overlay();
        if let Some(node) = overlay.get(&path) {
            return Ok(Some(node.clone()));
        }
        let above = path.ancestors().skip(1).any(|above| overlay.contains_key(above));
        Ok(above.then_some(Node::Gone))
    }

    fn put(&self, path: &Path, node: Node) -> Result<()> {
        let path = absolute(path)?;
        let mut overlay = self.overlay();
        if matches!(node, Node::Gone) {
            overlay.retain(|other, _| !other.starts_with(&path));
        }
        overlay.insert(path, node);
        Ok(())
    }

    /// Under dry-run, shows a file that is elsewhere.
    pub fn imagine(&self, path: &Path, real: PathBuf) -> Result<()> {
        self.put(path, Node::Like(real))
    }

    /// Carries out a change, or under dry-run records it and keeps its result.
    fn change(
        &self,
        action: &str,
        path: &Path,
        detail: &str,
        real: impl FnOnce() -> Result<()>,
        planned: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let target = path.display().to_string();
        let done = match self.plan {
            None => real(),
            Some(plan) => {
                planned()?;
                plan.record(action, &target, detail);
                Ok(())
            }
        };
        done.map_err(|error| error.target(target))
    }

    /// What is at a path; `None` when nothing is.
    pub fn kind(&self, path: &Path) -> Result<Option<Kind>> {
        Ok(match self.node(path)? {
            Some(Node::Gone) => None,
            Some(Node::Directory) => Some(Kind::Directory),
            Some(_) => Some(Kind::File),
            None => match std::fs::metadata(path) {
                Ok(facts) if facts.is_dir() => Some(Kind::Directory),
                Ok(_) => Some(Kind::File),
                Err(_) => path.symlink_metadata().ok().map(|_| Kind::File),
            },
        })
    }

    /// A file, to be read piece by piece.
    pub fn open(&self, path: &Path) -> Result<Box<dyn Read>> {
        let real = match self.node(path)? {
            Some(Node::Bytes(bytes)) => return Ok(Box::new(Cursor::new(bytes))),
            Some(Node::Gone) => return Err(missing("read", path)),
            Some(Node::Directory) => return Err(Error::invalid(format!("`{}` is a directory", path.display()))),
            Some(Node::Like(real)) => real,
            None => path.to_owned(),
        };
        Ok(Box::new(
            std::fs::File::open(&real).during(|| format!("read `{}`", path.display()))?,
        ))
    }

    /// The bytes of a file.
    pub fn read(&self, path: &Path) -> Result<Vec<u8>> {
        let what = || format!("read `{}`", path.display());
        let mut bytes = Vec::new();
        self.open(path)?
            .take(LARGEST + 1)
            .read_to_end(&mut bytes)
            .during(what)?;
        match bytes.len() as u64 > LARGEST {
            true => Err(Error::invalid(format!(
                "`{}` is larger than {} bytes",
                path.display(),
                LARGEST
            ))),
            false => Ok(bytes),
        }
    }

    /// The size of a file in bytes.
    pub fn size(&self, path: &Path) -> Result<u64> {
        let real = match self.node(path)? {
            Some(Node::Bytes(bytes)) => return Ok(bytes.len() as u64),
            Some(Node::Gone) => return Err(missing("look at", path)),
            Some(Node::Directory) => return Ok(0),
            Some(Node::Like(real)) => real,
            None => path.to_owned(),
        };
        let facts = std::fs::metadata(real).during(|| format!("look at `{}`", path.display()))?;
        Ok(facts.len())
    }

    /// The names in a directory, sorted.
    pub fn names(&self, path: &Path) -> Result<Vec<String>> {
        let node = self.node(path)?;
        let what = || format!("list `{}`", path.display());
        if matches!(node, Some(Node::Gone)) {
            return Err(missing("list", path));
        }
        let mut names = BTreeSet::new();
        if node.is_none() {
            for entry in std::fs::read_dir(path).during(what)? {
                names.insert(entry.during(what)?.file_name().to_string_lossy().into_owned());
            }
        }
        if self.plan.is_some() {
            self.overlay_names(&absolute(path)?, &mut names);
        }
        Ok(names.into_iter().collect())
    }

    fn overlay_names(&self, directory: &Path, names: &mut BTreeSet<String>) {
        for (path, node) in self
            .overlay()
            .iter()
            .filter(|(path, _)| path.parent() == Some(directory))
        {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match node {
                Node::Gone => names.remove(&name),
                _ => names.insert(name),
            };
        }
    }

    fn check_parent(&self, path: &Path) -> Result<()> {
        match absolute(path)?.parent() {
            Some(parent) if self.kind(parent)? != Some(Kind::Directory) => Err(missing("write", path)),
            _ => Ok(()),
        }
    }

    /// Writes a file, replacing what it held.
    pub fn write(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let detail = ByteSize(bytes.len() as u64).to_string();
        let real = || std::fs::write(path, bytes).during(|| format!("write `{}`", path.display()));
        self.change("fs::write", path, &detail, real, || {
            self.check_parent(path)?;
            self.put(path, Node::Bytes(bytes.to_vec()))
        })
    }

    /// Adds to the end of a file, which is made if it is not there.
    pub fn append(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let detail = ByteSize(bytes.len() as u64).to_string();
        let real = || {
            let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
            let written = file.and_then(|mut file| file.write_all(bytes));
            written.during(|| format!("append to `{}`", path.display()))
        };
        self.change("fs::append", path, &detail, real, || {
            self.check_parent(path)?;
            let mut whole = if self.kind(path)?.is_some() {
                self.read(path)?
            } else {
                Vec::new()
            };
            whole.extend_from_slice(bytes);
            self.put(path, Node::Bytes(whole))
        })
    }

    /// Makes a directory and those above it; one that is there is left as it is.
    pub fn make_directory(&self, path: &Path) -> Result<()> {
        if self.kind(path)? == Some(Kind::Directory) {
            return Ok(());
        }
        let real = || std::fs::create_dir_all(path).during(|| format!("make the directory `{}`", path.display()));
        self.change("fs::mkdir", path, "", real, || {
            let whole = absolute(path)?;
            for above in whole.ancestors() {
                match self.kind(above)? {
                    None => self.put(above, Node::Directory)?,
                    Some(Kind::Directory) => break,
                    Some(Kind::File) => return Err(Error::already_exists(format!("`{}` is a file", above.display()))),
                }
            }
            Ok(())
        })
    }

    /// Removes a file or an empty directory, or with `recursive` a directory with all below it.
    pub fn remove(&self, path: &Path, recursive: bool) -> Result<()> {
        let what = || format!("remove `{}`", path.display());
        let real = || {
            let is_directory = std::fs::symlink_metadata(path).during(what)?.is_dir();
            match (is_directory, recursive) {
                (true, true) => std::fs::remove_dir_all(path),
                (true, false) => std::fs::remove_dir(path),
                (false, _) => std::fs::remove_file(path),
            }
            .during(what)
        };
        self.change("fs::remove", path, "", real, || {
            let kind = self.kind(path)?.ok_or_else(|| missing("remove", path))?;
            if kind == Kind::Directory && !recursive && !self.names(path)?.is_empty() {
                return Err(Error::conflict("directory not empty").during(what()));
            }
            self.put(path, Node::Gone)
        })
    }

    /// Copies a file, or a directory with all below it.
    pub fn copy(&self, from: &Path, to: &Path) -> Result<()> {
        self.context.check()?;
        // A link in a directory may lead out of it.
        if let Some(judge) = &self.judge {
            judge(from)?;
            judge(to)?;
        }
        if self.kind(from)? == Some(Kind::Directory) {
            if absolute(to)?.starts_with(absolute(from)?) {
                return Err(Error::invalid(format!(
                    "`{}` is inside `{}`",
                    to.display(),
                    from.display()
                )));
            }
            self.make_directory(to)?;
            return self
                .names(from)?
                .iter()
                .try_for_each(|name| self.copy(&from.join(name), &to.join(name)));
        }
        let real = || copy_one(from, to).during(|| format!("copy `{}` to `{}`", from.display(), to.display()));
        self.change("fs::copy", from, &format!("to {}", to.display()), real, || {
            self.check_parent(to)?;
            self.put(to, self.contents(from)?)
        })
    }

    fn contents(&self, path: &Path) -> Result<Node> {
        match self.node(path)? {
            Some(Node::Gone) => Err(missing("copy", path)),
            Some(node) => Ok(node),
            None if self.kind(path)?.is_none() => Err(missing("copy", path)),
            None => Ok(Node::Like(path.to_owned())),
        }
    }

    /// Renames a file or directory within its file system.
    pub fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let real = || std::fs::rename(from, to).during(|| format!("rename `{}` to `{}`", from.display(), to.display()));
        self.change("fs::rename", from, &format!("to {}", to.display()), real, || {
            self.check_parent(to)?;
            self.move_node(from, to)?;
            self.put(from, Node::Gone)
        })
    }

    fn move_node(&self, from: &Path, to: &Path) -> Result<()> {
        if self.kind(from)? != Some(Kind::Directory) {
            return self.put(to, self.contents(from)?);
        }
        self.put(to, Node::Directory)?;
        self.names(from)?
            .iter()
            .try_for_each(|name| self.move_node(&from.join(name), &to.join(name)))
    }

    /// A new empty directory or file of which only its owner can see the contents.
    pub fn temporary(&self, kind: Kind) -> Result<PathBuf> {
        let what = || "make a temporary file";
        let mut builder = tempfile::Builder::new();
        builder.prefix("hoist-");
        match (self.plan, kind) {
            (None, Kind::Directory) => Ok(builder.tempdir().during(what)?.keep()),
            (None, Kind::File) => {
                let kept = builder.tempfile().during(what)?.keep();
                kept.map(|(_, path)| path).map_err(|cause| cause.error).during(what)
            }
            (Some(_), kind) => {
                let path = std::env::temp_dir().join(format!("hoist-{}", random_hex(6)?));
                let node = if kind == Kind::Directory {
                    Node::Directory
                } else {
                    Node::Bytes(Vec::new())
                };
                self.put(&path, node)?;
                Ok(path)
            }
        }
    }

    /// The paths that fit a pattern, sorted; `**` stands for any number of directories.
    pub fn glob(&self, pattern: &str) -> Result<Vec<String>> {
        let glob = globset::GlobBuilder::new(pattern)
            .literal_separator(true)
            .build()
            .map_err(|cause| {
                Error::invalid(format!(
                    "`{}` is not a pattern: {}",
                    pattern.escape_debug(),
                    cause.kind()
                ))
                .target(pattern)
            })?;
        let special = |part: &&str| !part.contains(['*', '?', '[', '{', '\\']);
        let parts: Vec<&str> = pattern.split('/').collect();
        let fixed = parts[..parts.len() - 1].iter().copied().take_while(special).count();
        let depth = if pattern.contains("**") {
            usize::MAX
        } else {
            parts.len() - fixed
        };
        let base = parts[..fixed].join("/") + if fixed > 0 { "/" } else { "" };
        let mut found = Vec::new();
        self.walk(&base, depth, &mut |path| {
            if glob.compile_matcher().is_match(path) {
                found.push(path.to_owned());
            }
        })?;
        found.sort();
        Ok(found)
    }

    fn walk(&self, base: &str, depth: usize, visit: &mut impl FnMut(&str)) -> Result<()> {
        self.context.check()?;
        let directory = if base.is_empty() {
            Path::new(".")
        } else {
            Path::new(base)
        };
        if depth == 0 || self.kind(directory)? != Some(Kind::Directory) {
            return Ok(());
        }
        for name in self.names(directory)? {
            let path = format!("{base}{name}");
            visit(&path);
            let is_link = Path::new(&path)
                .symlink_metadata()
                .is_ok_and(|facts| facts.is_symlink());
            if depth > 1 && !is_link && self.kind(Path::new(&path))? == Some(Kind::Directory) {
                self.walk(&format!("{path}/"), depth - 1, visit)?;
            }
        }
        Ok(())
    }
}

/// Copies one file with its permissions; a symbolic link is copied as one.
fn copy_one(from: &Path, to: &Path) -> std::io::Result<()> {
    match from.symlink_metadata()?.is_symlink() {
        true => std::os::unix::fs::symlink(std::fs::read_link(from)?, to),
        false => std::fs::copy(from, to).map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a script would see of a tree.
    fn tree(view: &View<'_>, root: &Path) -> Vec<String> {
        let found = view.glob(&format!("{}/**", root.display())).unwrap();
        let strip = |path: String| path[root.to_str().unwrap().len() + 1..].to_owned();
        found.into_iter().map(strip).collect()
    }

    fn work(view: &View<'_>, root: &Path) {
        view.make_directory(&root.join("new/deep")).unwrap();
        view.write(&root.join("new/deep/a"), b"one").unwrap();
        view.append(&root.join("old/kept"), b"+").unwrap();
        view.copy(&root.join("old"), &root.join("copied")).unwrap();
        view.rename(&root.join("old"), &root.join("moved")).unwrap();
        view.remove(&root.join("gone"), true).unwrap();
        view.make_directory(&root.join("gone")).unwrap();
    }

    fn prepared() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("old/sub")).unwrap();
        std::fs::write(root.path().join("old/kept"), "text").unwrap();
        std::fs::create_dir(root.path().join("gone")).unwrap();
        std::fs::write(root.path().join("gone/x"), "x").unwrap();
        root
    }

    #[test]
    fn a_dry_run_shows_what_a_real_run_would_leave_and_changes_nothing() {
        let (real, dry) = (prepared(), prepared());
        let (files, plan) = (Files::default(), Plan::new());
        let acting = View {
            files: &files,
            plan: None,
            context: Context::new(),
            judge: None,
        };
        work(&acting, real.path());
        let planned_files = Files::default();
        let planning = View {
            files: &planned_files,
            plan: Some(&plan),
            context: Context::new(),
            judge: None,
        };
        let before = tree(&acting, dry.path());
        work(&planning, dry.path());
        assert_eq!(tree(&planning, dry.path()), tree(&acting, real.path()));
        assert_eq!(planning.read(&dry.path().join("moved/kept")).unwrap(), b"text+");
        assert_eq!(tree(&acting, dry.path()), before);
        assert_eq!(std::fs::read(dry.path().join("old/kept")).unwrap(), b"text");
        let recorded: Vec<_> = plan.actions().into_iter().map(|action| action.action).collect();
        assert_eq!(recorded.first().map(String::as_str), Some("fs::mkdir"));
        assert!(recorded.contains(&"fs::rename".to_owned()), "{recorded:?}");
    }

    #[test]
    fn what_cannot_be_done_fails_alike() {
        let root = prepared();
        let (files, plan) = (Files::default(), Plan::new());
        for plan in [None, Some(&plan)] {
            let view = View {
                files: &files,
                plan,
                context: Context::new(),
                judge: None,
            };
            for failed in [
                view.write(&root.path().join("no/such/dir"), b""),
                view.remove(&root.path().join("nothing"), true),
                view.remove(&root.path().join("old"), false),
                view.copy(&root.path().join("nothing"), &root.path().join("b")),
                view.copy(&root.path().join("old"), &root.path().join("old/sub/old")),
            ] {
                assert!(failed.is_err());
            }
        }
        assert!(plan.actions().is_empty());
    }
}
