//! "Did you mean …?" for names that were mistyped.

use super::synonyms::{known_as, otherwise};
use crate::error::Error;

/// The candidate that other tools call `name`, or else the nearest, if any is near enough to have been meant.
pub fn suggest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    if let Some(known) = known_as(name, &candidates) {
        return Some(known);
    }
    let allowed = (name.chars().count() / 3).max(1);
    let ranked = candidates
        .into_iter()
        .map(|candidate| (distance(name, candidate), candidate));
    ranked
        .filter(|(d, _)| *d <= allowed)
        .min_by_key(|(d, _)| *d)
        .map(|(_, candidate)| candidate)
}

/// The error for a name that is not among the valid ones: it names it, suggests the nearest, and lists them all.
pub fn unknown(what: &str, name: &str, valid: &[&str]) -> Error {
    let list = valid.join(", ");
    let error = Error::invalid(format!("unknown {what} `{}`", name.escape_debug())).target(name);
    match (otherwise(name), suggest(name, valid.iter().copied())) {
        (Some(words), _) => error.hint(format!("{words}; valid: {list}")),
        (None, Some(near)) => error.hint(format!("did you mean `{near}`? valid: {list}")),
        (None, None) => error.hint(format!("valid: {list}")),
    }
}

/// Edits between two words: insertions, deletions, substitutions and swaps of neighbours (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1)
                .min(row[j - 1] + 1)
                .min(rows[i - 1][j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested_and_far_ones_are_not() {
        let valid = ["platform", "policy", "timeout"];
        assert_eq!(suggest("platfrom", valid), Some("platform"));
        assert_eq!(suggest("tiemout", valid), Some("timeout"));
        assert_eq!(suggest("zzz", valid), None);
        let error = unknown("option", "platfrom", &valid);
        assert_eq!(error.message(), "unknown option `platfrom`");
        assert_eq!(
            error.way_out(),
            Some("did you mean `platform`? valid: platform, policy, timeout")
        );
        let error = unknown("option", "detach", &valid);
        assert_eq!(
            error.way_out(),
            Some("`container::run_detached` leaves it running; valid: platform, policy, timeout")
        );
    }
}
