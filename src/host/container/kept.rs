//! A copy of a container's row in its directory, from which the row comes back if the database is lost. Containers that end with
//! their process have none.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Context as _, Result};
use crate::model::{ContainerId, Digest};
use crate::runtime::Bundle;
use crate::store::ContainerRow;

const FILE: &str = "row.json";

/// The row, as it is written.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::host) struct KeptRow {
    name: String,
    image: Digest,
    image_name: String,
    /// Microseconds since 1970.
    created: i64,
    options: String,
}

impl KeptRow {
    /// Keeps a row in its container's directory.
    pub(super) fn write(row: &ContainerRow, bundle: &Bundle) -> Result<()> {
        let kept = KeptRow {
            name: row.name.clone(),
            image: row.image.clone(),
            image_name: row.image_name.clone(),
            created: row.created.as_microsecond(),
            options: row.options.clone(),
        };
        let bytes = serde_json::to_vec(&kept).expect("a row has text keys only");
        let (path, staged) = (bundle.dir.join(FILE), bundle.dir.join("row.json.new"));
        let written = std::fs::write(&staged, bytes).and_then(|()| std::fs::rename(&staged, &path));
        written.during(|| format!("write `{}`", path.display()))
    }

    /// Whether a container's directory has one.
    pub(super) fn is_in(bundle: &Bundle) -> bool {
        bundle.dir.join(FILE).exists()
    }

    /// The row kept in a container's directory, if there is one that can be read.
    pub(in crate::host) fn read(dir: &Path) -> Option<ContainerRow> {
        let id: ContainerId = dir.file_name()?.to_str()?.parse().ok()?;
        let kept: KeptRow = serde_json::from_slice(&std::fs::read(dir.join(FILE)).ok()?).ok()?;
        Some(ContainerRow {
            id,
            name: kept.name,
            image: kept.image,
            image_name: kept.image_name,
            created: jiff::Timestamp::from_microsecond(kept.created).ok()?,
            options: kept.options,
            removing: false,
            owner: None,
        })
    }
}
