//! What can be wrong with a store, as a closed set, and what a check found.

use serde::Serialize;

/// A kind of damage. Scripts see it as `p.kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Damage {
    /// SQLite finds its file damaged, or cannot read it at all.
    Database,
    /// The mark of the OCI layout is gone or says something else.
    Layout,
    /// `index.json` does not say what the names are.
    Index,
    /// A blob that an image needs is not there.
    BlobMissing,
    /// A blob has another number of bytes than it should, such as a truncated one.
    BlobSize,
    /// A blob has other bytes than its name says.
    BlobChanged,
    /// An unpacked layer is not there.
    LayerMissing,
    /// Something in an unpacked layer is not what its blob says.
    LayerChanged,
    /// The record of an unpacked layer is gone or wrong.
    LayerRecord,
    /// A layer's blob does not hold what the image's configuration says.
    LayerUnreadable,
    /// An image's row does not fit its manifest and configuration.
    ImageRow,
    /// A row states another size than there is.
    Size,
    /// Content that nothing needs.
    Orphan,
    /// Something among the content that has no place there.
    Stray,
    /// A container without its directory.
    ContainerMissing,
    /// A container whose settings cannot be read.
    ContainerUnreadable,
    /// A container whose image is gone.
    ContainerImage,
    /// A directory that a container is stacked on is gone.
    ContainerLayer,
    /// A container's directory without a container.
    ContainerOrphan,
    /// A volume without its directory.
    VolumeMissing,
    /// A volume's directory without a volume.
    VolumeOrphan,
    /// A mount in the store that belongs to nobody.
    Mount,
    /// Process state of a container that is not there.
    RunState,
    /// Control groups of a container that is not there.
    ControlGroup,
}

/// One row per kind: its name, and what it means.
const KINDS: [(Damage, &str); 24] = [
    (Damage::Database, "database"),
    (Damage::Layout, "layout"),
    (Damage::Index, "index"),
    (Damage::BlobMissing, "blob_missing"),
    (Damage::BlobSize, "blob_size"),
    (Damage::BlobChanged, "blob_changed"),
    (Damage::LayerMissing, "layer_missing"),
    (Damage::LayerChanged, "layer_changed"),
    (Damage::LayerRecord, "layer_record"),
    (Damage::LayerUnreadable, "layer_unreadable"),
    (Damage::ImageRow, "image_row"),
    (Damage::Size, "size"),
    (Damage::Orphan, "orphan"),
    (Damage::Stray, "stray"),
    (Damage::ContainerMissing, "container_missing"),
    (Damage::ContainerUnreadable, "container_unreadable"),
    (Damage::ContainerImage, "container_image"),
    (Damage::ContainerLayer, "container_layer"),
    (Damage::ContainerOrphan, "container_orphan"),
    (Damage::VolumeMissing, "volume_missing"),
    (Damage::VolumeOrphan, "volume_orphan"),
    (Damage::Mount, "mount"),
    (Damage::RunState, "run_state"),
    (Damage::ControlGroup, "control_group"),
];

impl Damage {
    /// The name scripts see, such as `blob_missing`.
    pub fn name(self) -> &'static str {
        let row = KINDS.iter().find(|row| row.0 == self);
        row.expect("every kind has a row").1
    }
}

impl Serialize for Damage {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What sort of damage it is.
    pub kind: Damage,
    /// What is damaged: a digest, an id, a name, a path.
    pub object: String,
    /// What is wrong with it, for a person.
    pub detail: String,
    /// Whether it was put right.
    pub repaired: bool,
    /// What to do about it where a repair did not, or would not, help.
    pub hint: Option<String>,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Whether nothing is wrong, or nothing any more.
    pub ok: bool,
    /// What is wrong, or was.
    pub problems: Vec<Problem>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        let mut names: Vec<&str> = KINDS.iter().map(|row| row.0.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), KINDS.len());
    }
}
