//! Programs that keep credentials: `docker-credential-NAME`, by the protocol of docker-credential-helpers.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde::Deserialize;
use serde_json::json;

use super::{Credential, Key};
use crate::error::{Context as _, Error, Kind, Result};
use crate::model::{Context, Secret};
use crate::sys::pidfd;

/// How long a helper may take; it may have to ask a person.
const PATIENCE: Duration = Duration::from_secs(60);
/// The most a helper may say.
const MOST_BYTES: u64 = 1 << 16;
/// What helpers say where they have nothing.
const NOT_FOUND: &str = "credentials not found";

/// A helper that was found on this machine.
pub(super) struct Helper {
    name: String,
    program: PathBuf,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Username", default)]
    user: String,
    #[serde(rename = "Secret")]
    secret: Secret,
}

impl Helper {
    /// The helper of that name, in one of the directories, never beside the files that name it.
    ///
    /// Errors: `invalid` for a name that is none, `not_found`.
    pub(super) fn find(name: &str, programs: &[PathBuf]) -> Result<Helper> {
        let is_name = |name: &str| {
            name.bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        if name.is_empty() || !is_name(name) {
            let text = format!("`{}` is not the name of a credential helper", name.escape_debug());
            return Err(Error::invalid(text).hint("a name has letters, digits, `-` and `_`"));
        }
        let file = format!("docker-credential-{name}");
        let mut places = programs
            .iter()
            .filter(|dir| dir.is_absolute())
            .map(|dir| dir.join(&file));
        match places.find(|place| is_program(place)) {
            Some(program) => Ok(Helper {
                name: name.to_owned(),
                program,
            }),
            None => Err(Error::not_found(format!("the credential helper `{file}` is in no directory of PATH"))
                .target(file)
                .hint("install it, or take `credsStore` and `credHelpers` out of the file that asks for it and log in again")),
        }
    }

    /// What it has for a key.
    pub(super) fn get(&self, ctx: &Context, key: &Key) -> Result<Option<Credential>> {
        let said = match self.run(ctx, "get", key.server().as_bytes())? {
            Ok(said) => said,
            Err(complaint) if complaint.contains(NOT_FOUND) => return Ok(None),
            Err(complaint) => return Err(self.failed("get", key, &complaint)),
        };
        // What it said may be secret, and the parser may quote it.
        let answer: Answer = serde_json::from_slice(said.as_bytes())
            .map_err(|_| self.failed("get", key, "it did not answer with credentials in JSON"))?;
        let is_empty = answer.user.is_empty() && answer.secret.is_empty();
        Ok((!is_empty).then(|| Credential::of_user(answer.user, answer.secret)))
    }

    /// Has it keep a credential.
    pub(super) fn store(&self, ctx: &Context, key: &Key, credential: &Credential) -> Result<()> {
        let Some((user, secret)) = credential.as_user().map(|(user, secret)| (user, secret.expose())) else {
            return Ok(());
        };
        let input = json!({ "ServerURL": key.server(), "Username": user, "Secret": secret });
        self.run(ctx, "store", input.to_string().as_bytes())?
            .map(drop)
            .map_err(|complaint| self.failed("store", key, &complaint.replace(secret, "***")))
    }

    /// Has it forget what it has for a key.
    pub(super) fn erase(&self, ctx: &Context, key: &Key) -> Result<()> {
        self.run(ctx, "erase", key.server().as_bytes())?
            .map(drop)
            .map_err(|complaint| self.failed("erase", key, &complaint))
    }

    fn failed(&self, act: &str, key: &Key, complaint: &str) -> Error {
        let words: String = complaint.trim().chars().take(300).collect();
        let words = if words.is_empty() {
            "it did not say why".to_owned()
        } else {
            words
        };
        Error::new(
            Kind::Unauthorized,
            format!(
                "the credential helper `{}` failed to {act} `{key}`: {}",
                self.name,
                words.escape_debug()
            ),
        )
        .target(key.to_string())
        .hint(format!(
            "try `echo {} | {} {act}`",
            key.server(),
            self.program.display()
        ))
    }

    /// Runs it; gives what it said, which for a failure is why.
    fn run(&self, ctx: &Context, act: &str, input: &[u8]) -> Result<std::result::Result<String, String>> {
        let what = || format!("run the credential helper `{}`", self.program.display());
        let said = in_memory(&[]).during(what)?;
        #[expect(
            clippy::disallowed_methods,
            reason = "people keep their credentials in programs of their own"
        )]
        let mut command = Command::new(&self.program);
        command
            .arg(act)
            .stdin(Stdio::from(in_memory(input).during(what)?))
            .stdout(Stdio::from(said.try_clone().during(what)?))
            // Talk of a helper that asks for a passphrase.
            .stderr(Stdio::inherit());
        let mut child = command.spawn().during(what)?;
        if let Err(error) = self.wait(ctx, &child) {
            let _ = child.kill().and_then(|()| child.wait());
            return Err(error);
        }
        let status = child.wait().during(what)?;
        let words = words(said).during(what)?;
        Ok(if status.success() { Ok(words) } else { Err(words) })
    }

    /// Waits for its end, which a child process of its own that lives on does not delay.
    fn wait(&self, ctx: &Context, child: &Child) -> Result<()> {
        let what = || format!("wait for the credential helper `{}`", self.name);
        let process = pidfd::open(child.id().cast_signed()).during(what)?;
        let end = Instant::now() + PATIENCE;
        loop {
            ctx.check()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let limit = PATIENCE.as_secs();
                return Err(Error::timeout(format!(
                    "the credential helper `{}` took more than {limit} s",
                    self.name
                )));
            }
            let left = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
            let limit = PollTimeout::try_from(ctx.poll_timeout()).unwrap_or(PollTimeout::MAX);
            let limit = if limit.is_none() { left } else { limit.min(left) };
            let mut fds = [process.as_fd(), ctx.wake_fd()?].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            match poll(&mut fds, limit) {
                Ok(_) if fds[0].any().unwrap_or(true) => return Ok(()),
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(errno).during(what),
            }
        }
    }
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
}

/// A file that is on no disk, for words that are to leave no trace. One without words takes so many and no more.
fn in_memory(bytes: &[u8]) -> std::io::Result<File> {
    let fd = memfd_create(c"hoist-credential", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    let mut file = File::from(fd);
    if bytes.is_empty() {
        file.set_len(MOST_BYTES)?;
        fcntl(
            &file,
            FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK),
        )?;
    }
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

/// What was written to such a file, before the zeros it had from the start.
fn words(mut file: File) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.take(MOST_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.trim_end_matches('\0').to_owned())
}
