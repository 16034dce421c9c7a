//! A tiny image from this machine's own programs and what they need to run.

mod elf;
mod libraries;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use super::archive::{Entry, Kind};
use super::config::{Config, Step};
use super::content::{self, Content};
use super::image::{Holder, Image};
use super::pack::Packer;
use super::tree::{self, Node};
use super::{commit, import};
use crate::error::{Context as _, Error, Result};
use crate::model::{Context, Platform};
use elf::Elf;
use libraries::{Libraries, own_paths};

/// How containers of an image made from the host run.
#[derive(Debug, Clone, Default)]
pub struct HostOptions {
    /// The command; the first binary if none is given.
    pub cmd: Option<Vec<String>>,
    /// Its leading words.
    pub entrypoint: Option<Vec<String>>,
    /// Environment; `PATH` is set where it is not given.
    pub env: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The directory the command starts in.
    pub workdir: Option<String>,
    /// The user.
    pub user: Option<String>,
}

const SEARCH: [&str; 6] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nnogroup:x:65534:\n";
/// Directories every image has, and their modes.
const DIRECTORIES: [(&str, u32); 13] = [
    ("bin", 0o755),
    ("dev", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("lib", 0o755),
    ("proc", 0o755),
    ("root", 0o700),
    ("run", 0o755),
    ("sbin", 0o755),
    ("sys", 0o755),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("var", 0o755),
];
/// As many links as the kernel follows.
const LINKS: usize = 40;

/// Makes an image of one layer from programs of this machine, found by path or in the usual directories, with the loader and libraries
/// they need, the interpreters of scripts, and a minimal system around them. Links on the way are kept as links.
///
/// Libraries that a program opens only while it runs are not known. Errors: `not_found` for a program or a library.
pub fn from_host(
    ctx: &Context,
    content: &Content,
    holder: &dyn Holder,
    binaries: &[String],
    options: &HostOptions,
) -> Result<Image> {
    let mut gathered = Gathered {
        libraries: Libraries::of_host(),
        paths: BTreeSet::new(),
        seen: BTreeSet::new(),
    };
    let mut first = None;
    for binary in binaries {
        ctx.check()?;
        let path = locate(binary)?;
        gathered
            .program(&path, &[])
            .map_err(|error| error.target(binary.clone()))?;
        first.get_or_insert(path);
    }
    let staging = content.stage()?;
    let layer = commit::stage(ctx, content, &staging, |ctx, out| pack(ctx, &gathered.paths, out))?;
    let mut config = Config::for_platform(&Platform::host());
    let run = &mut config.config;
    let default = || first.map(|path| vec![path.to_string_lossy().into_owned()]);
    run.cmd = options
        .cmd
        .clone()
        .or_else(|| options.entrypoint.is_none().then(default).flatten());
    run.entrypoint = options.entrypoint.clone();
    run.set_env("PATH", &SEARCH.join(":"));
    options.env.iter().for_each(|(name, value)| run.set_env(name, value));
    run.labels = options.labels.clone();
    run.working_dir = options.workdir.clone().unwrap_or_default();
    run.user = options.user.clone().unwrap_or_default();
    let step = Step {
        created_by: Some(format!("from_host {}", binaries.join(" "))),
        ..Step::default()
    };
    import::finish(ctx, content, holder, &staging, config, layer, step)
}

fn locate(binary: &str) -> Result<PathBuf> {
    let candidates: Vec<PathBuf> = match binary.contains('/') {
        true => vec![std::path::absolute(binary).during(|| format!("find `{binary}`"))?],
        false => SEARCH.iter().map(|dir| Path::new(dir).join(binary)).collect(),
    };
    candidates.into_iter().find(|path| path.is_file()).ok_or_else(|| {
        Error::not_found(format!(
            "there is no program `{}` on this machine",
            binary.escape_debug()
        ))
        .target(binary)
    })
}

/// What goes into the image, by path on the host: files, and the links that lead to them.
struct Gathered {
    libraries: Libraries,
    paths: BTreeSet<PathBuf>,
    seen: BTreeSet<PathBuf>,
}

impl Gathered {
    /// Adds a program or library and all it needs. `inherited` are the run paths of what loads it.
    fn program(&mut self, path: &Path, inherited: &[PathBuf]) -> Result<()> {
        let real = self.add(path)?;
        if !self.seen.insert(real.clone()) {
            return Ok(());
        }
        let mut input = BufReader::new(std::fs::File::open(&real).during(|| format!("read `{}`", real.display()))?);
        let start = input.fill_buf().during(|| format!("read `{}`", real.display()))?;
        if start.starts_with(b"#!") {
            return self.interpreter(&mut input);
        }
        if !elf::is_elf(start) {
            return Ok(());
        }
        let mut bytes = Vec::new();
        input
            .read_to_end(&mut bytes)
            .during(|| format!("read `{}`", real.display()))?;
        let elf = elf::parse(&bytes).during(|| format!("read `{}`", real.display()))?;
        self.needs(&elf, &real, inherited)
    }

    fn needs(&mut self, elf: &Elf, real: &Path, inherited: &[PathBuf]) -> Result<()> {
        let origin = real.parent().unwrap_or(Path::new("/"));
        // DT_RPATH reaches through to what a library loads, unless there is a DT_RUNPATH, which does not.
        let mut paths = inherited.to_vec();
        if elf.runpath.is_empty() {
            paths.extend(own_paths(&elf.rpath, origin));
        }
        if let Some(loader) = &elf.interpreter {
            self.program(Path::new(loader), &[])?;
        }
        for name in &elf.needed {
            let found = self.libraries.find(name, elf, origin, &paths);
            let missing = || {
                Error::not_found(format!(
                    "`{}` needs the library `{name}`, which this machine does not have",
                    real.display()
                ))
            };
            self.program(&found.ok_or_else(missing)?, &paths)?;
        }
        Ok(())
    }

    /// A script's first line: the program after `#!`, and with `env` the one it is to find.
    fn interpreter(&mut self, input: &mut dyn BufRead) -> Result<()> {
        let mut line = Vec::new();
        input
            .take(256)
            .read_until(b'\n', &mut line)
            .during(|| "read a script's first line")?;
        let text = String::from_utf8_lossy(&line[2..]).into_owned();
        let mut words = text.split_whitespace();
        let Some(program) = words.next() else { return Ok(()) };
        self.program(&locate(program)?, &[])?;
        match words.find(|word| !word.starts_with('-') && !word.contains('=')) {
            Some(name) if program.ends_with("/env") => self.program(&locate(name)?, &[]),
            _ => Ok(()),
        }
    }

    /// Notes a path with every link it leads through, and gives what it really is.
    fn add(&mut self, path: &Path) -> Result<PathBuf> {
        let mut real = PathBuf::from("/");
        let mut waiting: Vec<PathBuf> = components(path);
        let mut links = 0;
        while let Some(part) = waiting.pop() {
            if part == Path::new("..") {
                real.pop();
                continue;
            }
            real.push(&part);
            let status = std::fs::symlink_metadata(&real).during(|| format!("look at `{}`", real.display()))?;
            if !status.is_symlink() {
                continue;
            }
            links += 1;
            if links > LINKS {
                return Err(Error::invalid(format!(
                    "`{}` has too many symbolic links",
                    path.display()
                )));
            }
            let target = std::fs::read_link(&real).during(|| format!("read the link `{}`", real.display()))?;
            self.paths.insert(real.clone());
            real.pop();
            if target.is_absolute() {
                real = PathBuf::from("/");
            }
            waiting.extend(components(&target));
        }
        self.paths.insert(real.clone());
        Ok(real)
    }
}

fn components(path: &Path) -> Vec<PathBuf> {
    let parts = path
        .components()
        .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    parts.rev().map(|part| PathBuf::from(part.as_os_str())).collect()
}

/// Writes the gathered files amid standard directories, parents first.
fn pack(ctx: &Context, paths: &BTreeSet<PathBuf>, out: &mut dyn Write) -> Result<()> {
    let mut packer = Packer::new(out);
    let root = content::open_dir(Path::new("/"))?;
    let relative: BTreeSet<Vec<u8>> = paths
        .iter()
        .map(|path| path.as_os_str().as_bytes()[1..].to_vec())
        .collect();
    let mut directories: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    for path in &relative {
        let mut parent = tree::split(path).0;
        while !parent.is_empty() {
            directories.insert(parent.to_vec(), 0o755);
            parent = tree::split(parent).0;
        }
    }
    let standard = DIRECTORIES.iter().map(|(path, mode)| (path.as_bytes().to_vec(), *mode));
    directories.extend(standard.filter(|(path, _)| !relative.contains(path)));
    directories.insert(b"etc".to_vec(), 0o755);
    for (path, mode) in &directories {
        packer.bare(&Entry::new([path, b"/".as_slice()].concat(), Kind::Directory, *mode))?;
    }
    for (path, text) in [("etc/group", GROUP), ("etc/passwd", PASSWD)] {
        packer.bytes(
            &Entry::new(path.as_bytes().to_vec(), Kind::Regular, 0o644),
            text.as_bytes(),
        )?;
    }
    for path in relative.iter().filter(|path| !directories.contains_key(*path)) {
        let shown = PathBuf::from(std::ffi::OsString::from_vec(path.clone()));
        let status =
            nix::sys::stat::lstat(&Path::new("/").join(&shown)).during(|| format!("look at `/{}`", shown.display()))?;
        packer.node(
            ctx,
            root.as_fd(),
            &Node {
                path: path.clone(),
                status,
            },
        )?;
    }
    packer.finish().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::testing::{NoHolder, Shop};

    #[expect(clippy::disallowed_methods, reason = "the programs are run to see that they can")]
    #[test]
    fn a_shell_of_this_machine_runs_in_its_own_image() {
        let shop = Shop::new();
        let options = HostOptions {
            env: [("A".to_owned(), "b".to_owned())].into(),
            ..HostOptions::default()
        };
        let binaries = ["sh", "/bin/ls", "env"].map(str::to_owned);
        let image = from_host(&Context::new(), &shop.content, &NoHolder, &binaries, &options).unwrap();
        let config = image.config().unwrap().config;
        assert_eq!(
            (config.env("A"), config.cmd.as_ref().map(|cmd| cmd[0].ends_with("/sh"))),
            (Some("b"), Some(true))
        );
        let root = shop.content.layer_dir(&image.layers[0].diff_id);
        let run = std::process::Command::new("chroot")
            .arg(&root)
            .args(["/bin/sh", "-c", "ls / && env"])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&run.stdout);
        assert!(
            run.status.success() && text.contains("tmp"),
            "{text} {}",
            String::from_utf8_lossy(&run.stderr)
        );
    }

    #[test]
    fn a_program_this_machine_lacks_is_named() {
        let shop = Shop::new();
        let error = from_host(
            &Context::new(),
            &shop.content,
            &NoHolder,
            &["no-such-program".into()],
            &HostOptions::default(),
        )
        .unwrap_err();
        assert_eq!(
            (error.kind(), error.subject()),
            (crate::error::Kind::NotFound, Some("no-such-program"))
        );
        assert!(shop.is_empty());
    }
}
