//! Maps of sparse files: where stored bytes belong.

use crate::error::{Error, Result};
use crate::images::limits::{self, Limits};

/// A run of stored bytes at an offset of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// A map that is known to be in order, without overlap, within `size`, and to need exactly `stored` bytes.
pub(crate) fn map(pairs: Vec<(u64, u64)>, size: u64, stored: u64, limits: &Limits) -> Result<Vec<Segment>> {
    check_count(pairs.len(), limits)?;
    let (mut end, mut sum) = (0u64, 0u64);
    let mut segments = Vec::with_capacity(pairs.len());
    for (offset, length) in pairs {
        let next = offset.checked_add(length).filter(|next| offset >= end && *next <= size);
        end = next.ok_or_else(|| Error::corrupt("a sparse map has segments out of order or beyond the file's end"))?;
        sum += length;
        segments.push(Segment { offset, length });
    }
    if sum != stored {
        return Err(Error::corrupt(format!(
            "a sparse map needs {sum} bytes but the archive stores {stored}"
        )));
    }
    Ok(segments)
}

/// Refuses maps with more segments than the limit.
pub(crate) fn check_count(count: usize, limits: &Limits) -> Result<()> {
    if count <= limits.sparse_segments {
        return Ok(());
    }
    Err(limits::exceeded(
        "a sparse file's number of segments",
        "sparse_segments",
        limits.sparse_segments,
    ))
}

/// Numbers in turn offset and length, as pairs.
pub(crate) fn pairs(numbers: &[u64]) -> Result<Vec<(u64, u64)>> {
    if !numbers.len().is_multiple_of(2) {
        return Err(Error::corrupt("a sparse map has an offset without a length"));
    }
    Ok(numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}
