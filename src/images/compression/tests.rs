//! Streams of every kind, whole, joined, cut and hostile.

use std::io::Write;

use super::*;
use crate::images::Limits;

fn packed(bytes: &[u8], compression: Compression) -> Vec<u8> {
    packed_by(bytes, compression, &Pool::of(2))
}

fn packed_by(bytes: &[u8], compression: Compression, pool: &Pool) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new(), compression, pool);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn unpacked(bytes: &[u8], limits: &Limits) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    decoder(bytes, limits)?.read_to_end(&mut out).map_err(read_error)?;
    Ok(out)
}

#[test]
fn every_encoding_is_told_and_comes_back() {
    let text = b"some text ".repeat(10_000);
    let all = [Compression::None, Compression::Gzip, Compression::Zstd].map(|c| packed(&text, c));
    for bytes in all {
        assert!(unpacked(&bytes, &Limits::default()).unwrap() == text);
        if bytes.len() < text.len() {
            assert_eq!(
                unpacked(&bytes[..bytes.len() / 2], &Limits::default())
                    .unwrap_err()
                    .kind(),
                crate::error::Kind::Corrupt
            );
        }
    }
}

#[test]
fn xz_is_read_and_its_damage_seen() {
    let mut xz = b"\xfd\x37\x7a\x58\x5a\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01\x16\x00\x00\x00\x74\x2f\xe5\xa3\x01\x00\x07\x78\x7a\x20\x74\x65\x78\x74\x0a\x00\x87\x26\xb6\x89\x1d\xfd\x75\xcb\x00\x01\x20\x08\xbb\x19\xd9\xbb\x1f\xb6\xf3\x7d\x01\x00\x00\x00\x00\x04\x59\x5a".to_vec();
    assert_eq!(unpacked(&xz, &Limits::default()).unwrap(), b"xz text\n");
    let tight = Limits {
        xz_memory: 1 << 20,
        ..Limits::default()
    };
    let error = unpacked(&xz, &tight).unwrap_err();
    assert!(error.message().contains("`xz_memory`"), "{error}");
    xz[30] ^= 1;
    assert_eq!(
        unpacked(&xz, &Limits::default()).unwrap_err().kind(),
        crate::error::Kind::Corrupt
    );
}

/// `printf 'one ' | bzip2`, `printf two | bzip2`, and bzip2 of nothing.
const BZIP2: [&[u8]; 3] = [
    b"\x42\x5a\x68\x39\x31\x41\x59\x26\x53\x59\xcf\xba\xa0\xb4\x00\x00\x01\x91\x00\x40\x00\x02\x01\xa0\x00\x21\x9a\x68\x33\x4d\x0c\xbc\x5d\xc9\x14\xe1\x42\x43\x3e\xea\x82\xd0",
    b"\x42\x5a\x68\x39\x31\x41\x59\x26\x53\x59\xcd\xdc\x8d\x9a\x00\x00\x00\x81\x80\x00\x00\x84\x80\x20\x00\x21\x98\x19\x84\x61\x77\x24\x53\x85\x09\x0c\xdd\xc8\xd9\xa0",
    b"\x42\x5a\x68\x39\x17\x72\x45\x38\x50\x90\x00\x00\x00\x00",
];

#[test]
fn streams_of_bzip2_are_told_and_joined() {
    let [one, two, none] = BZIP2;
    for (bytes, text) in [
        ([one, two].concat(), &b"one two"[..]),
        ([none, one, two, &[0; 512]].concat(), b"one two"),
        (none.to_vec(), b""),
    ] {
        assert_eq!(Encoding::of(&bytes), Encoding::Bzip2);
        assert_eq!(unpacked(&bytes, &Limits::default()).unwrap(), text);
    }
    let mut flipped = one.to_vec();
    flipped[12] ^= 1;
    for bad in [flipped, one[..20].to_vec(), [one, b"junk"].concat()] {
        let error = unpacked(&bad, &Limits::default()).unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::Corrupt, "{error}");
    }
}

/// Bytes that compress a little, and differ from block to block.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b"etaoinshrdlucmfwypvbgkjqxz     \n"[(state >> 27) as usize]
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn what_is_written_depends_on_the_bytes_alone() {
    let bytes = noise((5 << 20) + 17);
    for compression in [Compression::Gzip, Compression::Zstd] {
        for length in [0, 1, 1 << 20, (1 << 20) + 1, 2 << 20, 4 << 20, bytes.len()] {
            let one = packed_by(&bytes[..length], compression, &Pool::of(1));
            let mut pieces = Vec::new();
            let pool = Pool::of(5);
            let mut encoder = Encoder::new(&mut pieces, compression, &pool);
            bytes[..length]
                .chunks(70_001)
                .for_each(|piece| encoder.write_all(piece).unwrap());
            encoder.finish().unwrap();
            assert!(one == pieces, "{compression:?} of {length} bytes");
            assert!(unpacked(&one, &Limits::default()).unwrap() == bytes[..length]);
            if compression == Compression::Gzip {
                let mut by_another = Vec::new();
                flate2::read::MultiGzDecoder::new(one.as_slice())
                    .read_to_end(&mut by_another)
                    .unwrap();
                assert!(by_another == bytes[..length]);
            }
        }
    }
}

#[test]
fn members_frames_and_trailing_zeros_are_all_read() {
    let (one, two) = (packed(b"one ", Compression::Gzip), packed(b"two", Compression::Gzip));
    let zeros = vec![0; 200_000];
    assert_eq!(
        unpacked(&[one.clone(), two.clone(), zeros.clone()].concat(), &Limits::default()).unwrap(),
        b"one two"
    );
    for bad in [[one.clone(), b"junk".to_vec()].concat(), [one, zeros, two].concat()] {
        assert_eq!(
            unpacked(&bad, &Limits::default()).unwrap_err().kind(),
            crate::error::Kind::Corrupt
        );
    }
    let frames = [
        packed(b"one ", Compression::Zstd),
        b"\x50\x2a\x4d\x18\x02\0\0\0xx".to_vec(),
        packed(b"two", Compression::Zstd),
    ];
    assert_eq!(unpacked(&frames.concat(), &Limits::default()).unwrap(), b"one two");
}

#[test]
fn bombs_are_refused_by_ratio_and_by_window() {
    let zeros = vec![0; 10 << 20];
    let limits = Limits {
        ratio: 100,
        ratio_floor: 1 << 20,
        ..Limits::default()
    };
    for compression in [Compression::Gzip, Compression::Zstd] {
        let error = unpacked(&packed(&zeros, compression), &limits).unwrap_err();
        assert!(error.message().contains("`ratio`"), "{error}");
    }
    let mut wide = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    wide.window_log(28).unwrap();
    wide.write_all(&zeros).unwrap();
    let error = unpacked(&wide.finish().unwrap(), &Limits::default()).unwrap_err();
    assert!(error.message().contains("`zstd_window_log` of 27"), "{error}");
}
