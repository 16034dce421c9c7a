//! Hard links to files that only a layer further down has.
//!
//! A layer is unpacked without those below, so its record keeps such links, and they are made where the layers meet: in the fix-up of a
//! stack, or where layers are merged. Docker with its own store and Podman refuse them; umoci and containerd make them, as here.

use std::collections::BTreeMap;

use super::content::Record;
use super::path_text;
use super::tree::{Answer, Layers, Node};
use crate::error::{Error, Result};
use crate::model::Context;

/// Hard links of one layer that may lead to each other before one leads to a file. Archives have one; a bound keeps the time that layers
/// take in proportion to their size.
pub(super) const DEEPEST: usize = 40;

/// The links that a layer's tree lacks: path → target.
pub(super) type Links = BTreeMap<Vec<u8>, Vec<u8>>;

/// The links of a record.
pub(super) fn of(record: &Record) -> Links {
    let pairs = record.links.iter();
    pairs
        .map(|(path, target)| (path_text::decode(path), path_text::decode(target)))
        .collect()
}

/// The links that show in the merged tree, with the layer and the node each leads to. Layers and links are topmost first.
///
/// Errors: `corrupt` for a link that leads nowhere or to a directory, whether it shows or not.
pub(super) fn shown(ctx: &Context, layers: &Layers, links: &[&Links]) -> Result<BTreeMap<Vec<u8>, (usize, Node)>> {
    let mut shown = BTreeMap::new();
    let all = links
        .iter()
        .enumerate()
        .flat_map(|(place, links)| links.iter().map(move |link| (place, link)));
    for (place, (path, target)) in all {
        ctx.check()?;
        let found = resolve(layers, links, place, target)?.filter(|(_, node)| !node.is_dir());
        let found = found.ok_or_else(|| missing(path, target))?;
        if is_shown(layers, links, place, path)? {
            shown.insert(path.clone(), found);
        }
    }
    Ok(shown)
}

/// The error for a link whose target neither its layer nor one below has.
pub(super) fn missing(path: &[u8], target: &[u8]) -> Error {
    Error::corrupt(format!(
        "the hard link `{}` leads to `{}`, which is no file of its layer or of one below",
        path.escape_ascii(),
        target.escape_ascii()
    ))
}

/// What a path is to the layer at `place`: something of its own or of a layer below, maybe by further links. `None` where it leads
/// nowhere, in a circle, or through too many.
pub(super) fn resolve(layers: &Layers, links: &[&Links], place: usize, path: &[u8]) -> Result<Option<(usize, Node)>> {
    let Some(mut path) = layers.real(place, path)? else {
        return Ok(None);
    };
    for (place, links) in links.iter().enumerate().skip(place) {
        let mut hops = 0;
        while let Some(target) = links.get(&path) {
            hops += 1;
            match layers.real(place, target)?.filter(|_| hops <= DEEPEST) {
                Some(next) => path = next,
                None => return Ok(None),
            }
        }
        match layers.ask(place, &path)? {
            Answer::Here(status) => return Ok(Some((place, Node { path, status }))),
            Answer::Hidden => return Ok(None),
            Answer::Below => {}
        }
    }
    Ok(None)
}

/// Whether no layer above has or hides the path.
fn is_shown(layers: &Layers, links: &[&Links], place: usize, path: &[u8]) -> Result<bool> {
    for (above, links) in links.iter().enumerate().take(place) {
        if links.contains_key(path) || !matches!(layers.ask(above, path)?, Answer::Below) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::archive::Kind;
    use crate::images::testing::{NoHolder, Shop, dir, docker_archive, file, link, tar};
    use crate::images::{Source, load};
    use std::os::unix::fs::MetadataExt;

    fn hard(path: &str, target: &str) -> (crate::images::archive::Entry, Vec<u8>) {
        link(Kind::Hardlink, path, target)
    }

    /// The file at a path of the topmost directory that has it, of an image of these layers.
    fn topmost(layers: &[Vec<u8>], path: &str) -> Option<(String, u64)> {
        let shop = Shop::new();
        let ctx = Context::new();
        let archive = docker_archive(layers);
        let source = Source::Reader(Box::new(archive.as_slice()));
        let image = load(&ctx, &shop.content, &NoHolder, source).unwrap().remove(0).image;
        let lowers = shop.content.lowers(&ctx, &image.layers).unwrap();
        let found = lowers.iter().map(|dir| dir.join(path)).find(|path| path.exists())?;
        let links = std::fs::metadata(&found).unwrap().nlink();
        std::fs::read_to_string(found).ok().map(|text| (text, links))
    }

    #[test]
    fn a_target_behind_links_of_layers_below_is_found_within_the_root() {
        let symbolic = |path: &str, target: &str| link(Kind::Symlink, path, target);
        let lower = tar(&[
            file("usr/lib/f", "0"),
            symbolic("lib", "usr/lib"),
            symbolic("var/lib", "/lib"),
            symbolic("up", "../../../../usr"),
            symbolic("usr/lib/s", "nowhere"),
            symbolic("round", "round"),
            file("lib64", "no directory"),
        ]);
        let link_to = |target| topmost(&[lower.clone(), tar(&[hard("a", target)])], "a");
        for target in ["lib/f", "var/lib/f", "up/lib/f", "/var/lib/./f"] {
            assert_eq!(link_to(target), Some(("0".into(), 2)), "{target}");
        }
        // A link of its own leads on below; a link to a link of the layer below, too; the last part is not followed.
        let own = tar(&[symbolic("here", "/var/lib"), hard("b", "here/f"), hard("a", "b")]);
        assert_eq!(topmost(&[lower.clone(), own], "a"), Some(("0".into(), 3)));
        let first = tar(&[hard("usr/lib/g", "lib/f")]);
        assert_eq!(
            topmost(&[lower.clone(), first, tar(&[hard("a", "lib/g")])], "a"),
            Some(("0".into(), 3))
        );
        let shop = Shop::new();
        let load = |layer| {
            let archive = docker_archive(&[lower.clone(), layer]);
            let source = Source::Reader(Box::new(archive.as_slice()));
            load(&Context::new(), &shop.content, &NoHolder, source)
        };
        for (target, leads_to) in [("lib/s", "nowhere"), ("lib", "usr/lib")] {
            let image = load(tar(&[hard("a", target)])).unwrap().remove(0).image;
            let fixup = &shop.content.lowers(&Context::new(), &image.layers).unwrap()[0];
            assert_eq!(
                std::fs::read_link(fixup.join("a")).unwrap(),
                std::path::Path::new(leads_to)
            );
        }
        for layer in [
            tar(&[hard("a", "round/f")]),
            tar(&[hard("a", "lib64/f")]),
            tar(&[hard("a", "lib/none")]),
            tar(&[dir("lib", 0o755), hard("a", "lib/f")]),
            tar(&[file(".wh.lib", ""), hard("a", "lib/f")]),
            tar(&[file("usr/.wh.lib", ""), hard("a", "lib/f")]),
        ] {
            let error = load(layer).unwrap_err();
            assert!(error.message().contains("which is no file of its layer"), "{error}");
        }
    }

    #[test]
    fn what_comes_after_a_link_in_the_stream_stays() {
        let lower = tar(&[file("below", "0")]);
        let plain = |target| tar(&[hard("a", target), file("a", "later"), file("late", "1")]);
        assert_eq!(topmost(&[plain("late")], "a"), Some(("later".into(), 1)));
        assert_eq!(
            topmost(&[lower.clone(), plain("below")], "a"),
            Some(("later".into(), 1))
        );
        let replaced = tar(&[file("a", "earlier"), hard("a", "below")]);
        assert_eq!(topmost(&[lower, replaced], "a"), Some(("0".into(), 2)));
    }

    #[test]
    fn a_link_shows_unless_a_layer_above_has_or_hides_its_name() {
        let lower = [tar(&[file("f", "0")]), tar(&[hard("d/a", "f"), hard("d/b", "d/a")])];
        let over = |top: &[_]| topmost(&[&lower[..], &[tar(top)]].concat(), "d/b");
        assert_eq!(over(&[file("g", "")]), Some(("0".into(), 3)));
        assert_eq!(over(&[file("d/b", "new")]), Some(("new".into(), 1)));
        assert_eq!(over(&[file("d/.wh.b", "")]), None);
        assert_eq!(over(&[file("d/.wh..wh..opq", "")]), None);
        assert_eq!(over(&[file("d", "no directory")]), None);
        assert_eq!(
            over(&[file(".wh.f", "")]),
            Some(("0".into(), 3)),
            "the file has another name now"
        );
    }

    #[test]
    fn a_link_to_a_name_too_long_for_any_file_leads_nowhere() {
        let long = "n".repeat(256);
        for target in [long.clone(), format!("{long}/b"), format!("d/{long}/b")] {
            let archive = docker_archive(&[tar(&[file("d/f", "0")]), tar(&[hard("a", &target)])]);
            let source = Source::Reader(Box::new(archive.as_slice()));
            let error = load(&Context::new(), &Shop::new().content, &NoHolder, source).unwrap_err();
            assert_eq!(error.kind(), crate::error::Kind::Corrupt, "{error}");
        }
    }

    #[test]
    fn links_that_lead_to_a_layer_below_through_too_many_are_refused() {
        let load_chain = |count: usize| {
            let links = (0..count).map(|n| hard(&format!("h{n}"), &format!("h{}", n + 1)));
            let links: Vec<_> = links.chain([hard(&format!("h{count}"), "f")]).collect();
            let archive = docker_archive(&[tar(&[file("f", "0")]), tar(&links)]);
            let source = Source::Reader(Box::new(archive.as_slice()));
            load(&Context::new(), &Shop::new().content, &NoHolder, source).map(drop)
        };
        load_chain(30).unwrap();
        let error = load_chain(20_000).unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::Corrupt, "{error}");
    }
}
