//! What a program or library needs to run: the dynamic section of an ELF file (System V ABI, chapters 4 and 5), read with bounds.

use crate::error::{Error, Result};

/// The dynamic needs of an ELF file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Elf {
    /// Class and machine; a library must have the same.
    pub(super) machine: (u8, u16),
    /// The program interpreter.
    pub(super) interpreter: Option<String>,
    /// Names of needed libraries.
    pub(super) needed: Vec<String>,
    /// Where they are looked for first, `$ORIGIN` not yet replaced.
    pub(super) rpath: Vec<String>,
    pub(super) runpath: Vec<String>,
}

const PT_LOAD: u64 = 1;
const PT_DYNAMIC: u64 = 2;
const PT_INTERP: u64 = 3;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;

struct Image<'a> {
    bytes: &'a [u8],
    wide: bool,
    big: bool,
}

struct Segment {
    kind: u64,
    offset: u64,
    address: u64,
    size: u64,
}

/// Whether bytes start as an ELF file does.
pub(super) fn is_elf(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x7fELF")
}

/// Reads a whole ELF file. Errors: `corrupt`.
pub(super) fn parse(bytes: &[u8]) -> Result<Elf> {
    read(bytes).ok_or_else(|| Error::corrupt("the ELF file is damaged"))
}

fn read(bytes: &[u8]) -> Option<Elf> {
    let image = Image {
        bytes,
        wide: *bytes.get(4)? == 2,
        big: *bytes.get(5)? == 2,
    };
    let mut elf = Elf {
        machine: (bytes[4], u16::try_from(image.number(18, 2)?).ok()?),
        ..Elf::default()
    };
    let segments = image.segments()?;
    if let Some(interpreter) = segments.iter().find(|segment| segment.kind == PT_INTERP) {
        elf.interpreter = Some(image.text(interpreter.offset)?);
    }
    let Some(dynamic) = segments.iter().find(|segment| segment.kind == PT_DYNAMIC) else {
        return Some(elf);
    };
    let entries = image.dynamic(dynamic)?;
    let Some((_, table)) = entries.iter().find(|(tag, _)| *tag == DT_STRTAB) else {
        return Some(elf);
    };
    let load = segments
        .iter()
        .find(|s| s.kind == PT_LOAD && s.address <= *table && *table - s.address < s.size)?;
    let strings = (table - load.address).checked_add(load.offset)?;
    for (tag, value) in &entries {
        let text = || image.text(strings.checked_add(*value)?);
        let paths = |text: String| {
            text.split(':')
                .filter(|path| !path.is_empty())
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        match *tag {
            DT_NEEDED => elf.needed.push(text()?),
            DT_RPATH => elf.rpath = paths(text()?),
            DT_RUNPATH => elf.runpath = paths(text()?),
            _ => {}
        }
    }
    Some(elf)
}

impl Image<'_> {
    fn number(&self, at: u64, width: usize) -> Option<u64> {
        let at = usize::try_from(at).ok()?;
        let bytes = self.bytes.get(at..at.checked_add(width)?)?;
        let join = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        Some(if self.big {
            bytes.iter().fold(0, join)
        } else {
            bytes.iter().rev().fold(0, join)
        })
    }

    fn word(&self, at: u64) -> Option<u64> {
        self.number(at, if self.wide { 8 } else { 4 })
    }

    fn text(&self, at: u64) -> Option<String> {
        let bytes = self.bytes.get(usize::try_from(at).ok()?..)?;
        let end = bytes.iter().take(4096).position(|byte| *byte == 0)?;
        String::from_utf8(bytes[..end].to_vec()).ok()
    }

    fn segments(&self) -> Option<Vec<Segment>> {
        let (table, size_at, count_at) = if self.wide {
            (self.word(32)?, 54, 56)
        } else {
            (self.word(28)?, 42, 44)
        };
        let (size, count) = (self.number(size_at, 2)?, self.number(count_at, 2)?);
        // Where each field of a program header is: offset, address, size in the file.
        let (offset, address, length) = if self.wide { (8, 16, 32) } else { (4, 8, 16) };
        let segment = |n: u64| {
            let at = table.checked_add(n * size)?;
            Some(Segment {
                kind: self.number(at, 4)?,
                offset: self.word(at + offset)?,
                address: self.word(at + address)?,
                size: self.word(at + length)?,
            })
        };
        (0..count).map(segment).collect()
    }

    fn dynamic(&self, segment: &Segment) -> Option<Vec<(u64, u64)>> {
        let width = if self.wide { 8 } else { 4 };
        let count = segment.size / (width * 2);
        let entry = |n: u64| {
            Some((
                self.word(segment.offset.checked_add(n * width * 2)?)?,
                self.word(segment.offset + n * width * 2 + width)?,
            ))
        };
        let entries: Option<Vec<_>> = (0..count.min(4096)).map(entry).collect();
        Some(entries?.into_iter().take_while(|(tag, _)| *tag != 0).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_test_program_needs_a_loader_and_libc() {
        let elf = parse(&std::fs::read("/bin/sh").unwrap()).unwrap();
        assert!(elf.interpreter.unwrap().contains("ld-"));
        assert!(
            elf.needed.iter().any(|name| name.starts_with("libc.")),
            "{:?}",
            elf.needed
        );
    }

    #[test]
    fn damage_never_panics() {
        let bytes = std::fs::read("/bin/true").unwrap();
        for cut in (0..bytes.len()).step_by(997) {
            let _ = parse(&bytes[..cut]);
        }
        let mut mangled = bytes;
        for at in 0..512 {
            let old = std::mem::replace(&mut mangled[at], 0xff);
            let _ = parse(&mangled);
            mangled[at] = old;
        }
    }
}
