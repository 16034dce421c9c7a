//! The OCI layout that other tools read: its mark, and the index of names.

use super::{Checkup, Damage};
use crate::error::Result;

impl Checkup<'_> {
    pub(super) fn layout(&mut self) {
        let host = self.host;
        if !host.content().has_layout() {
            let detail = "the mark of an OCI layout, `oci-layout`, is missing or wrong";
            self.found(Damage::Layout, "content/oci-layout", detail, || {
                host.content().write_layout()
            });
        }
    }

    pub(super) fn index(&mut self) -> Result<()> {
        let host = self.host;
        host.write_index()?;
        if host.is_index_true()? {
            return Ok(());
        }
        let detail = "it does not say what the images' names are";
        self.found(Damage::Index, "content/index.json", detail, || host.write_index_anew());
        Ok(())
    }
}
