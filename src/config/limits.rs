//! What an image may cost before it is refused: every bound on bytes that come from outside, in one place.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::model::{ByteSize, unknown};

/// Bounds on what archives, manifests and layers may contain. Names of fields are the names of the settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of extended headers (pax, GNU long names) of one archive entry.
    #[serde(deserialize_with = "size")]
    pub entry_metadata: u64,
    /// Bytes of a path or link target within an archive.
    pub path: usize,
    /// Segments of one sparse file.
    pub sparse_segments: usize,
    /// Entries in one layer or archive.
    pub entries: u64,
    /// Layers of one image. Those that the kernel does not stack, which is about 500, are merged.
    pub layers: usize,
    /// Bytes of one manifest, index or configuration (OCI distribution-spec asks for at least 4 MiB).
    #[serde(deserialize_with = "size")]
    pub document: u64,
    /// Manifests in one index or `manifest.json`.
    pub manifests: usize,
    /// How deep an index may lie within an index.
    pub index_depth: usize,
    /// Bytes of a registry's answer that hands out a token.
    #[serde(deserialize_with = "size")]
    pub token: u64,
    /// Pages of one list of a registry: of tags, repositories or referrers.
    pub pages: usize,
    /// Bytes a second that must come from a registry, or go to it, in the mean of `transfer_window`; none, if it is 0.
    #[serde(deserialize_with = "size")]
    pub transfer_rate: u64,
    /// Seconds that a transfer may be slower.
    pub transfer_window: u64,
    /// Bytes one layer may unpack to, holes of sparse files not counted.
    #[serde(deserialize_with = "size")]
    pub layer_size: u64,
    /// Uncompressed bytes per compressed byte, looked at once `ratio_floor` bytes came out.
    pub ratio: u64,
    /// Bytes of a layer that may come out before its ratio is looked at.
    #[serde(deserialize_with = "size")]
    pub ratio_floor: u64,
    /// Base-two logarithm of the largest zstd window; a window is memory.
    pub zstd_window_log: u32,
    /// Bytes of memory an xz decoder may take.
    #[serde(deserialize_with = "size")]
    pub xz_memory: u64,
}

fn size<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<u64, D::Error> {
    ByteSize::deserialize(deserializer).map(|size| size.0)
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            entry_metadata: 1 << 20,
            path: 4096,
            sparse_segments: 10_000,
            entries: 2_000_000,
            layers: 1000,
            document: 4 << 20,
            manifests: 1000,
            index_depth: 4,
            token: 1 << 20,
            pages: 1000,
            transfer_rate: 1 << 10,
            transfer_window: 60,
            layer_size: 1 << 40,
            ratio: 200,
            ratio_floor: 1 << 30,
            zstd_window_log: 27,
            xz_memory: 256 << 20,
        }
    }
}

impl Limits {
    /// Sets the limit that `NAME=VALUE` names. Errors: `invalid`, with the valid names.
    pub fn assign(&mut self, text: &str) -> Result<()> {
        let (name, value) = text.split_once('=').ok_or_else(|| {
            Error::invalid(format!("`{}` sets no limit", text.escape_debug()))
                .hint("write NAME=VALUE, such as `layers=400` or `layer_size=2TiB`")
        })?;
        let (name, value) = (name.trim(), value.trim());
        let value = value
            .parse()
            .map_or_else(|_| Value::from(value), |n: u64| Value::from(n));
        self.set(name, value)
    }

    /// Sets a limit by its name. Errors: `invalid`, with the valid names.
    pub(super) fn set(&mut self, name: &str, value: Value) -> Result<()> {
        let Ok(Value::Object(mut all)) = serde_json::to_value(&*self) else {
            return Err(Error::internal("limits are not a map"));
        };
        let Some(place) = all.get_mut(name) else {
            let valid: Vec<&str> = all.keys().map(String::as_str).collect();
            return Err(unknown("limit", name, &valid));
        };
        *place = value;
        *self = from_map(all).map_err(|error| error.during(format!("set the limit `{name}`")).target(name))?;
        Ok(())
    }
}

fn from_map(all: Map<String, Value>) -> Result<Limits> {
    serde_json::from_value(Value::Object(all)).map_err(|cause| Error::invalid(cause.to_string()).source(cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_set_by_name_as_numbers_or_sizes() {
        let mut limits = Limits::default();
        for text in ["layers=7", "document = 8MiB", "xz_memory=1g", "ratio=1000"] {
            limits.assign(text).unwrap();
        }
        let wanted = Limits {
            layers: 7,
            document: 8 << 20,
            xz_memory: 1 << 30,
            ratio: 1000,
            ..Limits::default()
        };
        assert_eq!(limits, wanted);
    }

    #[test]
    fn what_sets_no_limit_says_why() {
        let mut limits = Limits::default();
        let hint = |text: &str, limits: &mut Limits| limits.assign(text).unwrap_err();
        let error = hint("layer=7", &mut limits);
        assert_eq!(error.message(), "unknown limit `layer`");
        assert!(
            error
                .way_out()
                .unwrap()
                .starts_with("did you mean `layers`? valid: document, ")
        );
        assert_eq!(hint("layers", &mut limits).message(), "`layers` sets no limit");
        for text in [
            "layers=many",
            "layers=-1",
            "document=4XB",
            "zstd_window_log=99999999999",
        ] {
            let error = hint(text, &mut limits);
            assert!(error.message().starts_with("failed to set the limit `"), "{error}");
        }
        assert_eq!(limits, Limits::default());
    }
}
