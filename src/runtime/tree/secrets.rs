//! Files that only a container's processes see: a memory file system of its own at `/run/secrets`. What is in them is written nowhere
//! else: it is read from files of the host at each start, or handed to the supervisor through memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, fchownat};
use oci_spec::OciSpecError;
use oci_spec::runtime::{Mount, MountBuilder};
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result};
use crate::runtime::id_maps::Users;
use crate::runtime::user::Identity;
use crate::sys::mount::{self, Attributes, Filesystem};

/// Where they are inside.
const PLACE: &str = "/run/secrets";
/// The source of that mount: no path of the host.
const SOURCE: &str = "secrets";
/// The most bytes of one, as with Docker.
const LARGEST: u64 = 500 << 10;

/// A file only a container sees, without what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// Its name in `/run/secrets`.
    pub name: String,
    /// The file of the host it is read from at each start; without one its content is given to each start.
    pub file: Option<PathBuf>,
}

impl Secret {
    /// Errors: `invalid` for what cannot name a file there.
    pub fn check(&self) -> Result<()> {
        let name = &self.name;
        let fits = !matches!(name.as_str(), "" | "." | "..") && name.len() <= 255 && !name.contains(['/', '\0']);
        match (fits, &self.file) {
            (false, _) => Err(
                Error::invalid(format!("`{}` cannot name a secret", name.escape_debug()))
                    .hint("a secret's name is that of its file in `/run/secrets`: without `/`"),
            ),
            (true, Some(file)) if !file.is_absolute() => Err(Error::invalid(format!(
                "the secret `{}` is to be read from `{}`, which is not an absolute path",
                name.escape_debug(),
                file.display()
            ))),
            _ => Ok(()),
        }
    }
}

/// What is in secrets, by name.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents(pub BTreeMap<String, Vec<u8>>);

impl std::fmt::Debug for Contents {
    /// The names.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Contents {
    /// What was handed to this process as its standard error, for those secrets that are in no file.
    pub(in crate::runtime) fn receive(secrets: &[Secret]) -> Result<Contents> {
        if secrets.iter().all(|secret| secret.file.is_some()) {
            return Ok(Contents::default());
        }
        let show = || "take the secrets";
        let mut file = File::from(std::io::stderr().as_fd().try_clone_to_owned().during(show)?);
        let mut text = Vec::new();
        std::io::Seek::rewind(&mut file)
            .and_then(|()| file.read_to_end(&mut text))
            .during(show)?;
        nix::unistd::dup2_stderr(crate::runtime::supervise::null()?).during(|| "let go of standard error")?;
        serde_json::from_slice(&text).map_err(|_| unknown(secrets))
    }

    /// That all are known which are in no file. Errors: `conflict`.
    pub fn check(&self, secrets: &[Secret]) -> Result<()> {
        let is_known = |secret: &Secret| secret.file.is_some() || self.0.contains_key(&secret.name);
        match secrets.iter().all(is_known) {
            true => Ok(()),
            false => Err(unknown(secrets)),
        }
    }

    /// For a process that is about to be started.
    pub(in crate::runtime) fn pass(&self) -> Result<Option<File>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let text = serde_json::to_vec(self).map_err(|_| Error::internal("failed to pass secrets on"))?;
        crate::runtime::launch::in_memory(&text).map(Some)
    }

    fn of(&self, secret: &Secret) -> Result<Vec<u8>> {
        let Some(path) = &secret.file else {
            return self
                .0
                .get(&secret.name)
                .cloned()
                .ok_or_else(|| unknown(std::slice::from_ref(secret)));
        };
        let show = || format!("read the secret `{}` from `{}`", secret.name, path.display());
        let mut content = Vec::new();
        let file = File::open(path).during(show)?;
        file.take(LARGEST + 1).read_to_end(&mut content).during(show)?;
        match content.len() as u64 {
            0..=LARGEST => Ok(content),
            _ => Err(Error::invalid(format!("it has more than {LARGEST} bytes")).during(show())),
        }
    }
}

fn unknown(secrets: &[Secret]) -> Error {
    let names: Vec<String> = secrets
        .iter()
        .filter(|one| one.file.is_none())
        .map(|one| format!("`{}`", one.name))
        .collect();
    Error::conflict(format!("what is in the secrets {} is not known any more", names.join(", ")))
        .hint("it was in the memory of the script that made the container; from files (`secrets: [\"name=/path\"]`) it is read at every start")
}

/// The mount, as a configuration has it.
pub(in crate::runtime) fn to_mount() -> std::result::Result<Mount, OciSpecError> {
    let options = ["nosuid", "nodev", "noexec", "ro", "mode=755"]
        .map(str::to_owned)
        .to_vec();
    MountBuilder::default()
        .typ("tmpfs")
        .source(SOURCE)
        .destination(PLACE)
        .options(options)
        .build()
}

pub(in crate::runtime) fn is_mount(mount: &Mount) -> bool {
    mount.destination() == Path::new(PLACE) && mount.source().as_deref() == Some(Path::new(SOURCE))
}

/// A file system with the secrets, attached nowhere. They are root's until [`hand_over`].
pub(in crate::runtime) fn make(secrets: &[Secret], contents: &Contents, users: Option<&Users>) -> Result<OwnedFd> {
    let filesystem = Filesystem::open("tmpfs").during(|| "use the file system `tmpfs`")?;
    filesystem.set("mode", "755").during(|| "set its mode")?;
    // Not known before Linux 6.4: there it may come to lie in the swap space of the host.
    let _ = filesystem.flag("noswap");
    let attributes = Attributes::NO_SUID.with(Attributes::NO_DEV).with(Attributes::NO_EXEC);
    let dir = filesystem
        .mount(attributes)
        .during(|| "make a file system for secrets")?;
    let root = users.map_or((Uid::from_raw(0), Gid::from_raw(0)), |users| users.maps.root());
    for secret in secrets {
        let show = || format!("make the secret `{}`", secret.name);
        let content = contents.of(secret)?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(&dir, secret.name.as_str(), flags, Mode::S_IRUSR).during(show)?;
        nix::unistd::fchown(&file, Some(root.0), Some(root.1)).during(show)?;
        File::from(file).write_all(&content).during(show)?;
    }
    chown(&dir, ".", root).during(|| "give the secrets to their owner")?;
    Ok(dir)
}

/// Gives them to the user of the program, and lets nobody write there.
pub(in crate::runtime) fn hand_over(dir: &OwnedFd, secrets: &[Secret], identity: &Identity) -> Result<()> {
    let owner = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    let mut names = secrets.iter().map(|secret| secret.name.as_str());
    names
        .try_for_each(|name| chown(dir, name, owner))
        .and_then(|()| mount::change(dir, Attributes::READ_ONLY, None, false))
        .during(|| "give the secrets to their owner")
}

fn chown(dir: &OwnedFd, name: &str, (uid, gid): (Uid, Gid)) -> nix::Result<()> {
    fchownat(dir, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)
}
