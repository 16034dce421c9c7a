//! Capabilities that are asked for in vain. They are no reason to fail, and are told of (runtime-spec, `config.md#linux-process`).

use serde::de::DeserializeOwned;
use serde_json::Value;

use oci_spec::runtime::Process;

use crate::error::Result;
use crate::runtime::capabilities::{CapSet, Capability};
use crate::runtime::spec;
use crate::sys::capability;

/// Reads a document whose `process`, or which itself if `at` is `None`, may ask for capabilities that nobody knows; they are taken out and
/// returned.
pub(super) fn read<T: DeserializeOwned>(text: &[u8], at: Option<&str>) -> serde_json::Result<(T, Vec<String>)> {
    let failed = match serde_json::from_slice(text) {
        Ok(read) => return Ok((read, Vec::new())),
        Err(error) => error,
    };
    let mut document: Value = serde_json::from_slice(text)?;
    let process = match at {
        Some(name) => document.get_mut(name),
        None => Some(&mut document),
    };
    let unknown = process.map(take_unknown).unwrap_or_default();
    match unknown.is_empty() {
        true => Err(failed),
        false => Ok((serde_json::from_value(document)?, unknown)),
    }
}

fn take_unknown(process: &mut Value) -> Vec<String> {
    let mut unknown = Vec::new();
    let sets = process.get_mut("capabilities").and_then(Value::as_object_mut);
    for names in sets.into_iter().flatten().filter_map(|(_, names)| names.as_array_mut()) {
        names.retain(|name| match name.as_str() {
            Some(name) if name.parse::<Capability>().is_err() => {
                unknown.push(name.to_owned());
                false
            }
            _ => true,
        });
    }
    unknown
}

/// What to say of those, and of others that this process cannot give because it does not have them; `None` if there are none.
pub(super) fn not_given(process: &Process, mut unknown: Vec<String>) -> Result<Option<String>> {
    let asked = spec::capabilities(process)?;
    let held = CapSet::from_bits(capability::Sets::get().map_or(u64::MAX, |sets| sets.permitted));
    let missing = asked.permitted.union(asked.bounding).difference(held);
    unknown.extend(missing.names());
    unknown.sort_unstable();
    unknown.dedup();
    Ok((!unknown.is_empty()).then(|| {
        // In the words of runc, which engines and tests look for.
        format!(
            "ignoring unknown or unavailable capabilities: [{}]",
            unknown.join(" ").escape_debug()
        )
    }))
}
