//! Prefixes of references, as `registries.conf` names what it speaks of.

/// How many bytes of a reference the prefix covers; `None` if it is not one of its prefixes.
///
/// A prefix ends where a part of the reference does. `*.example.com` stands for every host of that domain.
pub(super) fn covered(reference: &str, prefix: &str) -> Option<usize> {
    let end = match prefix.strip_prefix('*') {
        None => reference.starts_with(prefix).then_some(prefix.len()),
        Some(rest) => {
            let host = reference.find('/').unwrap_or(reference.len());
            let (domain, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let fits = reference[..host].ends_with(domain) && host > domain.len();
            (fits && reference[host..].starts_with(path)).then_some(host + path.len())
        }
    }?;
    let next = reference[end..].chars().next();
    matches!(next, None | Some('/' | ':' | '@')).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_a_part_ends() {
        for (reference, prefix, rest) in [
            ("r.io/a/b:1", "r.io", Some("/a/b:1")),
            ("r.io/a/b:1", "r.io/a", Some("/b:1")),
            ("r.io/a/b:1", "r.io/a/b", Some(":1")),
            ("r.io/a/b:1", "r.io/a/b:1", Some("")),
            ("r.io/a/b@sha256:0", "r.io/a/b", Some("@sha256:0")),
            ("r.io/ab", "r.io/a", None),
            ("r.iox/a", "r.io", None),
            ("x.r.io/a/b:1", "*.r.io", Some("/a/b:1")),
            ("x.y.r.io/a/b:1", "*.r.io", Some("/a/b:1")),
            ("x.r.io/a/b:1", "*.r.io/a", Some("/b:1")),
            ("r.io/a", "*.r.io", None),
            ("evil/x.r.io", "*.r.io", None),
            ("xr.io/a", "*.r.io", None),
            (".r.io/a", "*.r.io", None),
        ] {
            assert_eq!(
                covered(reference, prefix).map(|end| &reference[end..]),
                rest,
                "{reference} {prefix}"
            );
        }
    }
}
