//! What the reader makes of archives by itself, by the `tar` crate and by hand.

use std::io::Write as _;

use super::super::{Mtime, Writer};
use super::*;

fn read_all(bytes: &[u8], limits: &Limits) -> Result<Vec<(Entry, Vec<u8>)>> {
    let ctx = Context::new();
    let mut reader = Reader::new(bytes, limits);
    let mut all = Vec::new();
    while let Some(entry) = reader.next(&ctx)? {
        let mut data = Vec::new();
        loop {
            let step = reader.chunk()?.to_vec();
            if step.is_empty() {
                break;
            }
            reader.advance(step.len());
            data.extend(step);
        }
        all.push((entry, data));
    }
    Ok(all)
}

fn written(entries: &[(Entry, &[u8])]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (entry, data) in entries {
        writer.entry(entry).unwrap();
        writer.data(data).unwrap();
    }
    writer.finish().unwrap()
}

/// A block with the given type, name and size, as GNU tar would write it.
fn block(kind: u8, name: &[u8], size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.as_mut_bytes()[156] = kind;
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    header
}

fn padded(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(part);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    }
    bytes
}

#[test]
fn what_is_written_is_read_back() {
    let mut all = Vec::new();
    for kind in [
        Kind::Regular,
        Kind::Hardlink,
        Kind::Symlink,
        Kind::Character,
        Kind::Block,
        Kind::Directory,
        Kind::Fifo,
    ] {
        for length in [1, 99, 100, 101, 155, 256, 257, 3000] {
            let mut entry = Entry::new(
                b"d/".repeat(length / 2).into_iter().chain(*b"n").collect(),
                kind,
                0o4751,
            );
            entry.uid = 3_000_000_000;
            entry.gid = 5;
            entry.mtime = Mtime { seconds: -7, nanos: 1 };
            entry.xattrs = vec![(b"user.x".to_vec(), vec![0, b'\n', 255])];
            match kind {
                Kind::Hardlink | Kind::Symlink => entry.link = vec![b'l'; length],
                Kind::Character | Kind::Block => entry.device = (4095, 1_048_575),
                Kind::Regular => entry.size = 5,
                _ => {}
            }
            all.push((entry, if kind == Kind::Regular { &b"hello"[..] } else { b"" }));
        }
    }
    let read = read_all(&written(&all), &Limits::default()).unwrap();
    let expected: Vec<_> = all.into_iter().map(|(entry, data)| (entry, data.to_vec())).collect();
    assert_eq!(read, expected);
}

#[test]
fn the_tar_crate_reads_what_is_written() {
    let mut entry = Entry::new(vec![b'p'; 300], Kind::Symlink, 0o777);
    entry.link = vec![b'l'; 300];
    entry.mtime = Mtime {
        seconds: 1_700_000_000,
        nanos: 0,
    };
    let bytes = written(&[(entry, b"")]);
    let mut archive = tar::Archive::new(bytes.as_slice());
    let read = archive.entries().unwrap().next().unwrap().unwrap();
    assert_eq!(read.path_bytes().len(), 300);
    assert_eq!(read.link_name_bytes().unwrap().len(), 300);
    assert_eq!(read.header().mtime().unwrap(), 1_700_000_000);
}

#[test]
fn gnu_long_names_apply_to_the_next_entry_only() {
    let (name, link) = ([b'n'; 200], [b'k'; 200]);
    let bytes = padded(&[
        block(b'L', b"x", 200).as_bytes(),
        &name,
        block(b'K', b"x", 200).as_bytes(),
        &link,
        block(b'2', b"short", 0).as_bytes(),
        block(b'0', b"next", 0).as_bytes(),
        &[0; 1024],
    ]);
    let read = read_all(&bytes, &Limits::default()).unwrap();
    assert_eq!(
        (read[0].0.path.as_slice(), read[0].0.link.as_slice()),
        (&name[..], &link[..])
    );
    assert_eq!(read[1].0.path, b"next");
}

#[test]
fn s08_a_pax_size_rules_over_the_header_and_over_no_other_header() {
    // CVE-2025-62518: a reader that applied one size here and the other there would see the smuggled entry.
    let inner = padded(&[block(b'0', b"smuggled", 0).as_bytes()]);
    let record = format!("12 size={}\n", inner.len());
    let long = [b'n'; 120];
    let bytes = padded(&[
        block(b'x', b"pax", record.len() as u64).as_bytes(),
        record.as_bytes(),
        block(b'L', b"x", 120).as_bytes(),
        &long,
        block(b'0', b"outer", 0).as_bytes(),
        &inner,
        block(b'0', b"last", 0).as_bytes(),
        &[0; 1024],
    ]);
    let read = read_all(&bytes, &Limits::default()).unwrap();
    let names: Vec<_> = read.iter().map(|(entry, _)| entry.path.clone()).collect();
    assert_eq!(names, [long.to_vec(), b"last".to_vec()]);
    assert_eq!(read[0].1, inner);
}

#[test]
fn header_only_types_have_no_data_whatever_their_size() {
    let bytes = padded(&[
        block(b'5', b"d/", 999).as_bytes(),
        block(0, b"v7/", 0).as_bytes(),
        block(b'7', b"f", 0).as_bytes(),
    ]);
    let kinds: Vec<_> = read_all(&bytes, &Limits::default())
        .unwrap()
        .into_iter()
        .map(|(entry, _)| entry.kind)
        .collect();
    assert_eq!(kinds, [Kind::Directory, Kind::Directory, Kind::Regular]);
}

#[expect(clippy::disallowed_methods, reason = "GNU tar writes the input")]
#[test]
fn sparse_files_of_every_format_are_mapped() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("holes");
    let file = std::fs::File::create(&path).unwrap();
    for at in (0..40u64).map(|n| n << 20) {
        std::os::unix::fs::FileExt::write_all_at(&file, b"data", at).unwrap();
    }
    file.set_len(50 << 20).unwrap();
    for format in [
        &["--format=gnu"][..],
        &["--format=pax", "--sparse-version=0.0"],
        &["--format=pax", "--sparse-version=0.1"],
        &["--format=pax", "--sparse-version=1.0"],
    ] {
        let mut tar = std::process::Command::new("tar");
        let out = tar
            .args(format)
            .args(["-C", temp.path().to_str().unwrap(), "--sparse", "-cf", "-", "holes"])
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let read = read_all(&out.stdout, &Limits::default()).unwrap();
        let (entry, data) = &read[0];
        assert_eq!(
            (entry.path.as_slice(), entry.size),
            (&b"holes"[..], 50 << 20),
            "{format:?}"
        );
        let mut whole = vec![0u8; 50 << 20];
        let mut at = 0;
        for segment in entry.sparse.as_ref().unwrap() {
            let length = segment.length as usize;
            whole[segment.offset as usize..][..length].copy_from_slice(&data[at..at + length]);
            at += length;
        }
        assert!(whole == std::fs::read(&path).unwrap(), "{format:?}");
    }
}

#[test]
fn damage_is_told_from_the_end() {
    let entry = Entry {
        size: 1000,
        ..Entry::new(b"f".to_vec(), Kind::Regular, 0o644)
    };
    let whole = written(&[(entry, &[7; 1000])]);
    for cut in [100, 512, 700, 1500, 1535] {
        let error = read_all(&whole[..cut], &Limits::default()).unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::Corrupt, "{cut}: {error}");
    }
    let mut flipped = whole;
    flipped[3] ^= 1;
    assert!(
        read_all(&flipped, &Limits::default())
            .unwrap_err()
            .message()
            .contains("checksum")
    );
}

#[test]
fn s09_limits_name_themselves() {
    let small = Limits {
        entry_metadata: 100,
        path: 50,
        sparse_segments: 1,
        entries: 2,
        ..Limits::default()
    };
    let long = written(&[(Entry::new(vec![b'a'; 300], Kind::Directory, 0), b"")]);
    let names = written(&[(Entry::new(vec![b'a'; 60], Kind::Directory, 0), b"")]);
    let many = written(&std::array::from_fn::<_, 3, _>(|_| {
        (Entry::new(b"a".to_vec(), Kind::Directory, 0), &b""[..])
    }));
    let huge = padded(&[block(b'L', b"x", u64::from(u32::MAX)).as_bytes()]);
    for (bytes, setting) in [
        (long, "entry_metadata"),
        (names, "path"),
        (many, "entries"),
        (huge, "entry_metadata"),
    ] {
        let error = read_all(&bytes, &small).unwrap_err();
        assert!(error.message().contains(setting), "{error}");
        assert!(error.way_out().unwrap().contains(setting));
    }
}

#[test]
fn s12_bad_owners_devices_and_types_are_refused() {
    for (at, value) in [(108, "37777777777"), (329, "0010000"), (337, "4000000")] {
        let mut header = block(b'3', b"bad", 0);
        let field = &mut header.as_mut_bytes()[at..at + 8];
        if value.len() > 8 {
            field.copy_from_slice(&[0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
        } else {
            (&mut field[..]).write_all(value.as_bytes()).unwrap();
        }
        header.set_cksum();
        assert_eq!(
            read_all(&padded(&[header.as_bytes()]), &Limits::default())
                .unwrap_err()
                .kind(),
            crate::error::Kind::Corrupt
        );
    }
    let unknown = padded(&[block(b'Z', b"z", 0).as_bytes()]);
    assert_eq!(
        read_all(&unknown, &Limits::default()).unwrap_err().kind(),
        crate::error::Kind::Unsupported
    );
}
