//! Access control lists as text, as star, GNU tar and libarchive write them (acl(5), "ACL text forms"), to the form in which Linux keeps
//! them (linux/posix_acl_xattr.h).

use crate::error::{Error, Result};

const VERSION: u32 = 2;
const USER_OBJECT: u16 = 1;
const USER: u16 = 2;
const GROUP_OBJECT: u16 = 4;
const GROUP: u16 = 8;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;
const NO_ID: u32 = u32::MAX;

/// The attribute's value for a list such as `user::rw-,user:lisa:r--:1000,group::r--,mask::rw-,other::---`. `None` where a user or a
/// group stands by name alone: what the name means is up to the file system that the layer is for.
pub(super) fn value(text: &[u8]) -> Result<Option<Vec<u8>>> {
    let bad = || {
        Error::corrupt(format!(
            "the access control list `{}` is malformed",
            text.escape_ascii()
        ))
    };
    let text = std::str::from_utf8(text).map_err(|_| bad())?;
    let lines = text
        .split([',', '\n'])
        .map(|line| line.split('#').next().unwrap_or("").trim());
    let mut entries = Vec::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let Some(entry) = entry(line).ok_or_else(bad)? else {
            return Ok(None);
        };
        entries.push(entry);
    }
    // The kernel wants them in this order.
    entries.sort_unstable();
    let mut value = VERSION.to_le_bytes().to_vec();
    for (tag, id, permissions) in entries {
        value.extend(tag.to_le_bytes());
        value.extend(permissions.to_le_bytes());
        value.extend(id.to_le_bytes());
    }
    Ok(Some(value))
}

type Parsed = (u16, u32, u16);

/// Tag, id and permissions of one entry; nothing inside if its id is not told, nothing at all if it is none.
fn entry(line: &str) -> Option<Option<Parsed>> {
    let fields: Vec<&str> = line.split(':').collect();
    let (tag, who, permissions, id) = match fields.as_slice() {
        // `mask` and `other` may leave out the field that is empty for them.
        [tag @ ("mask" | "m" | "other" | "o"), permissions] => (*tag, "", *permissions, None),
        [tag, who, permissions] => (*tag, *who, *permissions, None),
        [tag, who, permissions, id] => (*tag, *who, *permissions, Some(*id)),
        _ => return None,
    };
    let permissions = bits(permissions)?;
    let tag = match (tag, who.is_empty()) {
        ("user" | "u", true) => USER_OBJECT,
        ("group" | "g", true) => GROUP_OBJECT,
        ("mask" | "m", true) => MASK,
        ("other" | "o", true) => OTHER,
        ("user" | "u", false) => USER,
        ("group" | "g", false) => GROUP,
        _ => return None,
    };
    if who.is_empty() {
        return Some(Some((tag, NO_ID, permissions)));
    }
    Some(match id {
        Some(id) => Some((tag, id.parse().ok()?, permissions)),
        None => who.parse().ok().map(|id| (tag, id, permissions)),
    })
}

/// `rwx` with dashes for what is not allowed.
fn bits(text: &str) -> Option<u16> {
    text.chars().try_fold(0, |bits, letter| match letter {
        'r' => Some(bits | 4),
        'w' => Some(bits | 2),
        'x' => Some(bits | 1),
        '-' => Some(bits),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c12_lists_are_read_in_every_form_they_are_written_in() {
        let expected = [
            &b"\x02\0\0\0"[..],
            b"\x01\0\x06\0\xff\xff\xff\xff",
            b"\x02\0\x04\0\xe8\x03\0\0",
            b"\x04\0\x04\0\xff\xff\xff\xff",
            b"\x08\0\x01\0\x37\0\0\0",
            b"\x10\0\x05\0\xff\xff\xff\xff",
            b"\x20\0\0\0\xff\xff\xff\xff",
        ]
        .concat();
        for text in [
            "user::rw-,user:lisa:r--:1000,group::r--,group:55:--x,mask::r-x,other::---",
            "user::rw-\nuser:1000:r--\t#effective:r--\ngroup::r--\ngroup:55:--x\nmask::r-x\nother::---\n",
            "u::rw,g::r,g:staff:x:55,m:rx,o:-,u:lisa:r:1000",
        ] {
            assert_eq!(value(text.as_bytes()).unwrap().unwrap(), expected, "{text}");
        }
        assert_eq!(value(b"user::rw-,user:lisa:r--").unwrap(), None);
        for text in [
            "user",
            "user:rw-",
            "user::rwq",
            "who::r--",
            "mask:7:r--",
            "user:a:r--:b",
            "user:a:r--:1:2",
            "\u{fffd}::",
        ] {
            assert!(value(text.as_bytes()).is_err(), "{text}");
        }
        assert!(value(b"\xff").is_err());
    }
}
