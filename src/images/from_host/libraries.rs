//! Where the dynamic loader finds a library by name (ld.so(8)): run paths, the cache, the default directories.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::elf::{self, Elf};

const CACHE: &str = "/etc/ld.so.cache";
const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
/// Bytes of the cache's header, and of one entry.
const HEADER: usize = 48;
const ENTRY: usize = 24;

/// The libraries the loader's cache knows, by name; several where machines differ.
#[derive(Default)]
pub(super) struct Libraries(HashMap<String, Vec<PathBuf>>);

impl Libraries {
    /// Those of this machine; a missing or unknown cache knows none.
    pub(super) fn of_host() -> Libraries {
        let bytes = std::fs::read(CACHE).unwrap_or_default();
        Libraries(parse(&bytes).unwrap_or_default())
    }

    /// The first library of the name that fits the program's machine.
    pub(super) fn find(&self, name: &str, elf: &Elf, origin: &Path, inherited: &[PathBuf]) -> Option<PathBuf> {
        if name.contains('/') {
            return Some(PathBuf::from(name));
        }
        let known = self.0.get(name).cloned().unwrap_or_default();
        let run = own_paths(&elf.runpath, origin);
        let before = inherited.iter().cloned().chain(run).map(|dir| dir.join(name));
        let defaults = default_dirs(elf).into_iter().map(|dir| dir.join(name));
        before.chain(known).chain(defaults).find(|path| fits(path, elf))
    }
}

/// Run paths with `$ORIGIN` replaced.
pub(super) fn own_paths(paths: &[String], origin: &Path) -> Vec<PathBuf> {
    let origin = origin.to_string_lossy();
    paths
        .iter()
        .map(|path| PathBuf::from(path.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin)))
        .collect()
}

fn default_dirs(elf: &Elf) -> Vec<PathBuf> {
    let wide: &[&str] = if elf.machine.0 == 2 {
        &["/lib64", "/usr/lib64"]
    } else {
        &[]
    };
    // musl's loader reads these; so does glibc's where no cache is.
    let all = wide.iter().chain(&["/lib", "/usr/local/lib", "/usr/lib"]);
    let triplet = match elf.machine {
        (2, 62) => Some("x86_64-linux-gnu"),
        (2, 183) => Some("aarch64-linux-gnu"),
        _ => None,
    };
    let multi = triplet
        .into_iter()
        .flat_map(|t| [format!("/lib/{t}"), format!("/usr/lib/{t}")]);
    multi.map(PathBuf::from).chain(all.map(PathBuf::from)).collect()
}

fn fits(path: &Path, elf: &Elf) -> bool {
    use std::io::Read as _;
    let mut start = [0; 20];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut start));
    let little = start[5] != 2;
    let machine = if little {
        u16::from_le_bytes([start[18], start[19]])
    } else {
        u16::from_be_bytes([start[18], start[19]])
    };
    read.is_ok() && elf::is_elf(&start) && (start[4], machine) == elf.machine
}

/// The new cache format, which may follow the old one in the same file.
fn parse(bytes: &[u8]) -> Option<HashMap<String, Vec<PathBuf>>> {
    let start = bytes.windows(MAGIC.len()).position(|window| window == MAGIC)?;
    let cache = &bytes[start..];
    let number = |at: usize| Some(u32::from_ne_bytes(cache.get(at..at + 4)?.try_into().ok()?) as usize);
    let text = |at: usize| {
        let bytes = cache.get(at..)?;
        let end = bytes.iter().position(|byte| *byte == 0)?;
        String::from_utf8(bytes[..end].to_vec()).ok()
    };
    let mut all: HashMap<String, Vec<PathBuf>> = HashMap::new();
    for entry in 0..number(20)?.min(1 << 20) {
        let at = HEADER + entry * ENTRY;
        let (key, value) = (text(number(at + 4)?)?, text(number(at + 8)?)?);
        all.entry(key).or_default().push(value.into());
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_c_library_is_found() {
        let sh = elf::parse(&std::fs::read("/bin/sh").unwrap()).unwrap();
        let libraries = Libraries::of_host();
        let name = sh.needed.iter().find(|name| name.starts_with("libc.")).unwrap();
        let found = libraries.find(name, &sh, Path::new("/bin"), &[]).unwrap();
        assert!(found.exists());
        assert_eq!(libraries.find("libnone.so.9", &sh, Path::new("/bin"), &[]), None);
    }

    #[test]
    fn a_damaged_cache_knows_nothing_and_does_not_panic() {
        let bytes = std::fs::read(CACHE).unwrap_or_default();
        for cut in (0..bytes.len()).step_by(61) {
            let _ = parse(&bytes[..cut]);
        }
        assert!(parse(b"").is_none());
    }
}
