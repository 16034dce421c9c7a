//! Content that nothing needs, and what is no content at all.

use super::{Checkup, Damage};
use crate::error::Result;
use crate::host::garbage::Candidates;
use crate::model::ByteSize;

impl Checkup<'_> {
    pub(super) fn orphans(&mut self) -> Result<()> {
        let host = self.host;
        let found = host.orphans()?;
        for digest in &found.blobs {
            let bytes = host.content().blob_size(digest).unwrap_or(0);
            let detail = format!("no image needs this blob of {}", ByteSize(bytes));
            self.found(Damage::Orphan, digest.as_str(), detail, || {
                host.collect_these(Candidates::blob(digest)).map(drop)
            });
        }
        for digest in &found.layers {
            let detail = "no image needs this layer or what was made from it";
            self.found(Damage::Orphan, digest.as_str(), detail, || {
                host.collect_these(Candidates::layer(digest)).map(drop)
            });
        }
        for path in host.content().strays()? {
            let detail = "it is no content, and nothing of Hoist's makes such a name there";
            let hint = "move it out of the store";
            self.beyond_repair(Damage::Stray, path.display().to_string(), detail, hint);
        }
        Ok(())
    }
}
