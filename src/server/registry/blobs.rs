//! Blobs, whole and in part (RFC 9110, 14).

use super::refusal::Refusal;
use super::route::Named;
use super::{Answer, Registry};
use crate::error::Kind;
use crate::host::ServedBlob;
use crate::model::Digest;
use crate::server::http::{Content, Head, Reply};

impl Registry {
    pub(super) fn blob(&self, head: &Head, named: &Named, digest: &Digest) -> Answer {
        let Some(blob) = self.host.repository_blob(&named.repository, digest)? else {
            return Err(unknown(named, digest));
        };
        let size = match &blob {
            ServedBlob::File(_, size) | ServedBlob::Made(_, size) => *size,
        };
        hand_out(head, digest, size, |first, length| part(blob, first, length))
    }

    pub(super) fn delete_blob(&self, named: &Named, digest: &Digest) -> Answer {
        self.must_delete()?;
        let deleted = self.host.delete_repository_blob(&named.repository, digest);
        match deleted.map_err(|error| Refusal::of(&error, &[Kind::InUse], 405, "DENIED"))? {
            true => Ok(Reply::new(202)),
            false => Err(unknown(named, digest)),
        }
    }
}

/// Answers with a blob, or with the part of it that is asked for.
pub(super) fn hand_out(head: &Head, digest: &Digest, size: u64, content: impl FnOnce(u64, u64) -> Content) -> Answer {
    let reply = |status| {
        Reply::new(status)
            .header("Docker-Content-Digest", digest.as_str())
            .header("Content-Type", "application/octet-stream")
            .header("Accept-Ranges", "bytes")
            .header("ETag", format!("\"{digest}\""))
    };
    let asked = head.header("range").filter(|_| head.method == "GET");
    match asked.map(|text| range(text, size)) {
        None | Some(Range::Whole) => Ok(reply(200).content(content(0, size))),
        Some(Range::Part(first, last)) => Ok(reply(206)
            .header("Content-Range", format!("bytes {first}-{last}/{size}"))
            .content(content(first, last - first + 1))),
        Some(Range::Outside) => Err(Refusal::new(416, "SIZE_INVALID", "the blob has no such bytes")
            .header("Content-Range", format!("bytes */{size}"))),
    }
}

pub(super) fn unknown(named: &Named, digest: &Digest) -> Refusal {
    Refusal::unknown("BLOB_UNKNOWN", format!("`{}` has no blob `{digest}`", named.name))
}

pub(super) fn part(blob: ServedBlob, first: u64, length: u64) -> Content {
    match blob {
        ServedBlob::File(file, _) => Content::File(file, first, length),
        ServedBlob::Made(stream, _) => Content::Stream(stream, first, length),
    }
}

/// What a header `Range` asks for.
#[derive(Debug, PartialEq, Eq)]
enum Range {
    /// All of it; also what is not understood, or several parts, which may be answered so.
    Whole,
    /// From the first byte to the last, both included.
    Part(u64, u64),
    /// Nothing that is there.
    Outside,
}

fn range(text: &str, size: u64) -> Range {
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|text| text.trim().split_once('-')) else {
        return Range::Whole;
    };
    let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        // A number beyond all bounds is beyond these.
        true => Some(text.parse().unwrap_or(u64::MAX)),
        false => None,
    };
    match (first, number(first), last, number(last)) {
        ("", _, _, Some(length)) if length > 0 && size > 0 => Range::Part(size - length.min(size), size - 1),
        ("", _, _, Some(_)) => Range::Outside,
        (_, Some(first), "", _) if first < size => Range::Part(first, size - 1),
        (_, Some(first), _, Some(last)) if first <= last && first < size => Range::Part(first, last.min(size - 1)),
        (_, Some(_), "", _) | (_, Some(_), _, Some(_)) => Range::Outside,
        _ => Range::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_the_specification() {
        for (text, size, wanted) in [
            ("bytes=0-0", 10, Range::Part(0, 0)),
            ("bytes=2-5", 10, Range::Part(2, 5)),
            ("bytes=2-", 10, Range::Part(2, 9)),
            ("bytes=2-99999999999999999999999", 10, Range::Part(2, 9)),
            ("bytes=-3", 10, Range::Part(7, 9)),
            ("bytes=-30", 10, Range::Part(0, 9)),
            ("bytes=10-", 10, Range::Outside),
            ("bytes=10-12", 10, Range::Outside),
            ("bytes=-0", 10, Range::Outside),
            ("bytes=0-", 0, Range::Outside),
            ("bytes=-1", 0, Range::Outside),
            ("bytes=5-2", 10, Range::Outside),
            ("bytes=0-1,3-4", 10, Range::Whole),
            ("lines=0-1", 10, Range::Whole),
            ("bytes=a-b", 10, Range::Whole),
            ("bytes=-", 10, Range::Whole),
        ] {
            assert_eq!(range(text, size), wanted, "{text} of {size}");
        }
    }
}
