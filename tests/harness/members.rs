//! Tar entries field by field, in any of the header's dialects: what a polite library would not write.

/// An entry of an archive. What is not said is a ustar entry of root's, mode 0644, of one fixed time.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    flag: u8,
    name: Vec<u8>,
    prefix: Vec<u8>,
    link: Vec<u8>,
    content: Vec<u8>,
    mode: u32,
    owner: (u32, u32),
    mtime: u64,
    device: (u32, u32),
    pax: Vec<(String, Vec<u8>)>,
    /// The eight bytes that say which dialect a header is.
    magic: &'static [u8; 8],
    /// Bytes put over the finished header before it is sealed.
    patches: Vec<(usize, Vec<u8>)>,
}

/// When everything forged was last modified, unless something else is said.
pub(crate) const TIME: u64 = 1_700_000_000;

impl Member {
    /// An entry of any type, known or not.
    pub(crate) fn new(flag: u8, name: impl AsRef<[u8]>) -> Member {
        Member {
            flag,
            name: name.as_ref().to_vec(),
            prefix: Vec::new(),
            link: Vec::new(),
            content: Vec::new(),
            mode: 0o644,
            owner: (0, 0),
            mtime: TIME,
            device: (0, 0),
            pax: Vec::new(),
            magic: b"ustar\x0000",
            patches: Vec::new(),
        }
    }

    pub(crate) fn file(name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Member {
        Member::new(b'0', name).content(content)
    }

    pub(crate) fn dir(name: impl AsRef<[u8]>) -> Member {
        Member::new(b'5', name).mode(0o755)
    }

    pub(crate) fn symlink(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Member {
        Member::new(b'2', name).link(target).mode(0o777)
    }

    pub(crate) fn hardlink(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Member {
        Member::new(b'1', name).link(target)
    }

    pub(crate) fn device(flag: u8, name: impl AsRef<[u8]>, major: u32, minor: u32) -> Member {
        Member {
            device: (major, minor),
            ..Member::new(flag, name)
        }
    }

    pub(crate) fn fifo(name: impl AsRef<[u8]>) -> Member {
        Member::new(b'6', name)
    }

    /// The name as it is written.
    pub(crate) fn name(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }

    /// What hides `name` of the layers below, in the directory `dir`, which is empty or ends with a slash.
    pub(crate) fn whiteout(dir: &str, name: &str) -> Member {
        Member::file(format!("{dir}.wh.{name}"), "").mode(0)
    }

    pub(crate) fn opaque(dir: &str) -> Member {
        Member::file(format!("{dir}.wh..wh..opq"), "").mode(0)
    }

    #[must_use]
    pub(crate) fn content(mut self, content: impl AsRef<[u8]>) -> Member {
        self.content = content.as_ref().to_vec();
        self
    }

    #[must_use]
    pub(crate) fn link(mut self, target: impl AsRef<[u8]>) -> Member {
        self.link = target.as_ref().to_vec();
        self
    }

    /// The first part of a ustar path.
    #[must_use]
    pub(crate) fn prefix(mut self, prefix: impl AsRef<[u8]>) -> Member {
        self.prefix = prefix.as_ref().to_vec();
        self
    }

    #[must_use]
    pub(crate) fn mode(mut self, mode: u32) -> Member {
        self.mode = mode;
        self
    }

    #[must_use]
    pub(crate) fn owner(mut self, uid: u32, gid: u32) -> Member {
        self.owner = (uid, gid);
        self
    }

    #[must_use]
    pub(crate) fn mtime(mut self, seconds: u64) -> Member {
        self.mtime = seconds;
        self
    }

    /// A record of an extended header before the entry.
    #[must_use]
    pub(crate) fn pax(mut self, key: &str, value: impl AsRef<[u8]>) -> Member {
        self.pax.push((key.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// An extended attribute as GNU tar, star and Docker write it.
    #[must_use]
    pub(crate) fn xattr(self, name: &str, value: impl AsRef<[u8]>) -> Member {
        self.pax(&format!("SCHILY.xattr.{name}"), value)
    }

    /// A header as GNU tar writes it.
    #[must_use]
    pub(crate) fn gnu(mut self) -> Member {
        self.magic = b"ustar  \0";
        self
    }

    /// A header of before there were types for more than files and links.
    #[must_use]
    pub(crate) fn v7(mut self) -> Member {
        self.magic = &[0; 8];
        self
    }

    /// These bytes at this place of the header.
    #[must_use]
    pub(crate) fn patch(mut self, at: usize, bytes: impl AsRef<[u8]>) -> Member {
        self.patches.push((at, bytes.as_ref().to_vec()));
        self
    }

    /// Headers, content and padding.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if !self.pax.is_empty() {
            let records: Vec<u8> = self.pax.iter().flat_map(|(key, value)| record(key, value)).collect();
            bytes.extend(Member::new(b'x', "PaxHeaders/x").content(records).bytes());
        }
        bytes.extend(self.header());
        bytes.extend(&self.content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    fn header(&self) -> [u8; 512] {
        let mut header = [0; 512];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.name);
        put(100, &octal(self.mode.into(), 8));
        put(108, &octal(self.owner.0.into(), 8));
        put(116, &octal(self.owner.1.into(), 8));
        put(124, &octal(self.content.len() as u64, 12));
        put(136, &octal(self.mtime, 12));
        put(148, &[b' '; 8]);
        put(156, &[self.flag]);
        put(157, &self.link);
        put(257, self.magic);
        if self.magic != &[0; 8] {
            put(329, &octal(self.device.0.into(), 8));
            put(337, &octal(self.device.1.into(), 8));
        }
        put(345, &self.prefix);
        for (at, bytes) in &self.patches {
            put(*at, bytes);
        }
        let sum = header.iter().map(|byte| u64::from(*byte)).sum();
        header[148..156].copy_from_slice(&octal(sum, 8));
        header
    }
}

/// A number as a field of `width` bytes has it: octal digits and NUL.
pub(crate) fn octal(number: u64, width: usize) -> Vec<u8> {
    let text = format!("{number:0digits$o}\0", digits = width - 1);
    assert_eq!(
        text.len(),
        width,
        "{number} does not fit into a header: write it by `pax` or `patch`"
    );
    text.into_bytes()
}

/// `LENGTH KEY=VALUE\n`, where the length counts itself.
pub(crate) fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length = (rest..)
        .find(|length| rest + length.to_string().len() == *length)
        .unwrap();
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

/// The entries one after the other, without the archive's end marker.
pub(crate) fn stream(members: &[Member]) -> Vec<u8> {
    members.iter().flat_map(Member::bytes).collect()
}

/// An archive with these entries.
pub(crate) fn archive(members: &[Member]) -> Vec<u8> {
    [stream(members), vec![0; 1024]].concat()
}
