//! Which of an image's forms is meant: an index has one for each platform.

use super::manifest::Descriptor;
use crate::error::{Error, Result};
use crate::model::Platform;

/// How well what an entry describes suits a machine; the less, the better.
pub(super) fn rank(entry: &Descriptor, machine: &Platform) -> Option<usize> {
    machine.suits(entry.platform.as_ref()?)
}

/// The entry that suits the platform asked for best, or this machine; attestations are none. A single entry is taken whatever it is
/// for, with a warning, unless a platform was asked for. Errors: `not_found` with what there is.
pub(super) fn choose(entries: Vec<Descriptor>, wanted: Option<&Platform>) -> Result<(Descriptor, Option<String>)> {
    let mut images: Vec<Descriptor> = entries.into_iter().filter(|entry| !entry.is_attestation()).collect();
    let machine = wanted.cloned().unwrap_or_else(Platform::machine);
    let ranked = images.iter().filter_map(|entry| Some((rank(entry, &machine)?, entry)));
    if let Some((_, best)) = ranked.min_by_key(|(rank, _)| *rank) {
        return Ok((best.clone(), None));
    }
    let platforms = images
        .iter()
        .filter_map(|entry| Some(entry.platform.as_ref()?.to_string()));
    let platforms = platforms.collect::<Vec<_>>().join(", ");
    let is_taken = |only: &Descriptor| wanted.is_none() || only.platform.is_none();
    match images.pop() {
        Some(only) if images.is_empty() && is_taken(&only) => {
            let warning = mismatch(&platforms, &machine);
            let warning = only.platform.is_some().then_some(warning);
            Ok((only, warning))
        }
        None => Err(Error::not_found("the index has no image")),
        Some(_) => Err(Error::not_found(format!(
            "the index has no image for `{machine}`, only for {platforms}"
        ))),
    }
}

/// What is said of an image that is not for this machine.
pub(super) fn mismatch(platforms: &str, machine: &Platform) -> String {
    format!("the image is for `{platforms}`, and this machine is `{machine}`")
}
