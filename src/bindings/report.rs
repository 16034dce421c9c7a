//! `Report`: what a batch removed, kept and could not remove, each with its reason.

use std::sync::Arc;

use rhai::{Array, Dynamic, Map, export_module};
use serde_json::json;

use super::amount::bytes;
use super::object::Object;
use crate::host;
use crate::model::ByteSize;

/// The outcome of a batch. Clones are the same outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct Report(Arc<host::Report>);

impl From<host::Report> for Report {
    fn from(report: host::Report) -> Report {
        Report(Arc::new(report))
    }
}

impl Report {
    /// What was removed.
    pub(super) fn removed(&self) -> &[host::Item] {
        &self.0.removed
    }

    /// What was looked at and stays.
    pub(super) fn kept(&self) -> &[host::Item] {
        &self.0.kept
    }

    /// The bytes of what was removed.
    pub(super) fn removed_size(&self) -> u64 {
        self.0.removed.iter().map(|item| item.size).sum()
    }

    /// What was removed: names, or ids where there is none.
    pub(super) fn removed_names(&self) -> impl Iterator<Item = String> {
        let name = |item: &host::Item| match item.name.as_str() {
            "<none>" => item.id.clone(),
            name => name.to_owned(),
        };
        self.0.removed.iter().map(name)
    }
}

/// Items as maps of `id`, `name`, `reason` and `size`.
fn maps(items: &[host::Item]) -> Array {
    items.iter().map(|item| Dynamic::from(map(item))).collect()
}

fn map(item: &host::Item) -> Map {
    let fields = [
        ("id", Dynamic::from(item.id.clone())),
        ("name", Dynamic::from(item.name.clone())),
        ("reason", Dynamic::from(item.reason.clone())),
        ("size", Dynamic::from(bytes(item.size))),
    ];
    fields.into_iter().map(|(name, value)| (name.into(), value)).collect()
}

fn row(outcome: &str, item: &host::Item) -> Vec<String> {
    let id = item.id.strip_prefix("sha256:").unwrap_or(&item.id);
    let short = id.get(..12).unwrap_or(id).to_owned();
    let size = ByteSize(item.size).to_string();
    vec![outcome.to_owned(), item.name.clone(), short, size, item.reason.clone()]
}

impl Object for Report {
    const NAME: &'static str = "Report";
    const COLUMNS: &'static [&'static str] = &["OUTCOME", "NAME", "ID", "SIZE", "REASON"];
    const IS_LIST: bool = true;

    fn text(&self) -> String {
        let report = &self.0;
        let mut text = format!(
            "removed {}, kept {}, reclaimed {}",
            report.removed.len(),
            report.kept.len(),
            ByteSize(report.reclaimed)
        );
        match report.trashed {
            0 => {}
            all if all == report.reclaimed => text.push_str(" (in the trash)"),
            part => text.push_str(&format!(" ({} of it in the trash)", ByteSize(part))),
        }
        if !report.errors.is_empty() {
            text.push_str(&format!(", failed {}", report.errors.len()));
        }
        text
    }

    fn cells(&self) -> Vec<String> {
        vec![self.text()]
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let all = [
            ("removed", &self.0.removed),
            ("kept", &self.0.kept),
            ("failed", &self.0.errors),
        ];
        all.into_iter()
            .flat_map(|(outcome, items)| items.iter().map(move |item| row(outcome, item)))
            .collect()
    }

    fn json(&self) -> serde_json::Value {
        json!(*self.0)
    }
}

/// What `remove` and `prune` return.
#[export_module(manifest)]
pub mod functions {
    use super::super::amount::bytes;
    use super::{Report, maps};
    use crate::bindings::prelude::*;

    /// What was removed, as maps of `id`, `name`, `reason` and `size`.
    ///
    /// ```rhai,images
    /// image::tag("tools", "extra:1");
    /// assert::eq(image::remove("extra:1").removed[0].reason, "untagged");
    /// ```
    #[rhai_fn(get = "removed", pure)]
    pub fn removed(this: &mut Report) -> Array {
        maps(&this.0.removed)
    }

    /// What was looked at and stays, as maps of `id`, `name`, `reason` and `size`.
    ///
    /// ```rhai,images
    /// assert::eq(image::prune().kept[0].reason, "not dangling");
    /// ```
    #[rhai_fn(get = "kept", pure)]
    pub fn kept(this: &mut Report) -> Array {
        maps(&this.0.kept)
    }

    /// What should have been removed and could not be, as maps of `id`, `name`, `reason` and `size`.
    ///
    /// ```rhai,images
    /// assert::eq(container::prune().errors, []);
    /// ```
    #[rhai_fn(get = "errors", pure)]
    pub fn errors(this: &mut Report) -> Array {
        maps(&this.0.errors)
    }

    /// The number of bytes that only what was removed needed. The disk has them back, but for those in the trash (`trashed`).
    ///
    /// ```rhai,images
    /// assert::ok(image::remove("tools").reclaimed > 0);
    /// ```
    #[rhai_fn(get = "reclaimed", pure)]
    pub fn reclaimed(this: &mut Report) -> INT {
        bytes(this.0.reclaimed)
    }

    /// How many of the bytes reclaimed the disk has back only when the trash gives them up; see `system::trash`.
    ///
    /// ```rhai,images
    /// assert::eq(image::remove("tools", #{ trash: false }).trashed, 0);
    /// ```
    #[rhai_fn(get = "trashed", pure)]
    pub fn trashed(this: &mut Report) -> INT {
        bytes(this.0.trashed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_tells_its_numbers_and_lists_its_items() {
        let item = host::Item {
            id: format!("sha256:{}", "ab".repeat(32)),
            name: "app:1".to_owned(),
            reason: "dangling".to_owned(),
            size: 1_500_000,
        };
        let report = Report::from(host::Report {
            removed: vec![item.clone()],
            errors: vec![item],
            reclaimed: 1_500_000,
            trashed: 500_000,
            ..host::Report::default()
        });
        assert_eq!(
            report.text(),
            "removed 1, kept 0, reclaimed 1.50MB (500kB of it in the trash), failed 1"
        );
        assert_eq!(
            report.rows()[1],
            ["failed", "app:1", "abababababab", "1.50MB", "dangling"]
        );
        assert_eq!(report.json()["removed"][0]["size"], 1_500_000);
    }
}
