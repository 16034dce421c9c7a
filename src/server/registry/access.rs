//! Who may use the registry: the users of an `htpasswd` file with passwords hashed by bcrypt, by HTTP's basic authentication (RFC 7617).

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::refusal::Refusal;
use crate::error::{Context as _, Error, Result};
use crate::model::Digest;
use crate::server::http::Head;

/// Good answers that are remembered: each costs bcrypt's time otherwise, and a pull is many requests.
const REMEMBERED: usize = 1000;
/// Verified where there is no such user, so that the time it takes does not tell.
const NOBODY: &str = "$2b$10$abcdefghijklmnopqrstuuIVXcIwTNvOVC1lLuwvrSF7zHs1CjAnS";

/// The users, as their file has them.
pub(super) struct Access {
    path: PathBuf,
    users: Mutex<Users>,
    /// One hash at a time: who tries passwords keeps one processor busy, not all.
    turn: Mutex<()>,
}

struct Users {
    hashes: HashMap<String, String>,
    changed: Option<SystemTime>,
    /// Digests of user, hash and password that fit.
    known: HashSet<Digest>,
}

impl Access {
    /// The users of a file. Errors: `not_found`; `invalid` for a line that is none, or a hash by anything but bcrypt.
    pub(super) fn read(path: &Path) -> Result<Access> {
        Ok(Access {
            path: path.to_owned(),
            users: Mutex::new(Users::read(path)?),
            turn: Mutex::new(()),
        })
    }

    /// Lets a user pass who proves to be one.
    pub(super) fn check(&self, head: &Head) -> std::result::Result<(), Refusal> {
        let challenge = |message: &str| {
            Err(Refusal::new(401, "UNAUTHORIZED", message)
                .header("WWW-Authenticate", r#"Basic realm="hoist", charset="UTF-8""#))
        };
        let Some((user, password)) = head.header("authorization").and_then(credentials) else {
            return challenge("this registry wants a user and a password");
        };
        match self.fits(&user, &password) {
            true => Ok(()),
            false => challenge("the user or the password is wrong"),
        }
    }

    fn fits(&self, user: &str, password: &str) -> bool {
        let (hash, proof) = {
            let users = self.current();
            let hash = users.hashes.get(user).cloned();
            let proof = Digest::of(format!("{user}\0{}\0{password}", hash.as_deref().unwrap_or_default()).as_bytes());
            if hash.is_some() && users.known.contains(&proof) {
                return true;
            }
            (hash, proof)
        };
        let fits = {
            let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
            bcrypt::verify(password, hash.as_deref().unwrap_or(NOBODY)).unwrap_or(false) && hash.is_some()
        };
        if fits {
            let mut users = self.lock();
            if users.known.len() >= REMEMBERED {
                users.known.clear();
            }
            users.known.insert(proof);
        }
        fits
    }

    fn lock(&self) -> MutexGuard<'_, Users> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The users, read again if their file has changed; a file that is not whole leaves them as they were.
    fn current(&self) -> MutexGuard<'_, Users> {
        let mut users = self.lock();
        if changed(&self.path) != users.changed
            && let Ok(fresh) = Users::read(&self.path)
        {
            *users = fresh;
        }
        users
    }
}

impl Users {
    fn read(path: &Path) -> Result<Users> {
        let changed = changed(path);
        let text = std::fs::read_to_string(path).during(|| format!("read `{}`", path.display()))?;
        let mut hashes = HashMap::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let user = line
                .split_once(':')
                .filter(|(user, hash)| !user.is_empty() && is_bcrypt(hash));
            let (user, hash) = user.ok_or_else(|| {
                let place = format!("line {} of `{}`", number + 1, path.display());
                Error::invalid(format!("{place} is not a user with a password hashed by bcrypt"))
                    .hint("`htpasswd -B FILE USER` writes such lines; other hashes are too easily broken")
            })?;
            hashes.insert(user.to_owned(), hash.to_owned());
        }
        Ok(Users {
            hashes,
            changed,
            known: HashSet::new(),
        })
    }
}

fn changed(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|facts| facts.modified()).ok()
}

fn is_bcrypt(hash: &str) -> bool {
    let is_kind = ["$2a$", "$2b$", "$2x$", "$2y$"]
        .iter()
        .any(|kind| hash.starts_with(kind));
    is_kind && hash.len() == 60 && hash.is_ascii()
}

/// User and password of a header.
fn credentials(header: &str) -> Option<(String, String)> {
    let (scheme, text) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(text.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_in_the_file_with_the_password_passes() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("users");
        let line = |user: &str, password: &str| format!("{user}:{}\n", bcrypt::hash(password, 4).unwrap());
        std::fs::write(&path, format!("# people\n\n{}", line("ann", "s:cret"))).unwrap();
        let access = Access::read(&path).unwrap();
        for _ in 0..2 {
            assert!(access.fits("ann", "s:cret"));
            assert!(!access.fits("ann", "secret") && !access.fits("ann", "") && !access.fits("bob", "s:cret"));
        }
        // A changed file counts at once, and what was remembered of the old one does not.
        let file = std::fs::File::options().append(true).open(&path).unwrap();
        std::fs::write(&path, line("ann", "other")).unwrap();
        file.set_modified(SystemTime::now() + std::time::Duration::from_secs(9))
            .unwrap();
        assert!(access.fits("ann", "other") && !access.fits("ann", "s:cret"));
        for text in ["ann", "ann:", ":x", "ann:{SHA}x", "ann:$apr1$x$y", "ann:$2y$05$short"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(
                Access::read(&path).err().unwrap().kind(),
                crate::error::Kind::Invalid,
                "{text}"
            );
        }
        assert_eq!(
            credentials("basic YW5uOnM6Y3JldA=="),
            Some(("ann".into(), "s:cret".into()))
        );
        assert_eq!(credentials("Bearer x"), None);
    }

    #[test]
    fn nobody_has_a_hash_that_can_be_computed() {
        assert!(is_bcrypt(NOBODY));
        assert!(!bcrypt::verify("", NOBODY).unwrap());
    }
}
