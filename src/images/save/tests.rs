//! What is saved comes back as the same image, in every form, and twice as the same bytes.

use super::*;
use crate::error::Kind as ErrorKind;
use crate::images::testing::{NoHolder, Shop, dir, docker_archive, file, tar};
use crate::images::{Source, load};
use crate::model::Digest;

fn shop_with_image() -> (Shop, Image) {
    let shop = Shop::new();
    let layers = [
        tar(&[dir("a", 0o711), file("a/x", "one")]),
        tar(&[file("a/.wh.x", ""), file("y", "two")]),
    ];
    let archive = docker_archive(&layers);
    let source = Source::Reader(Box::new(archive.as_slice()));
    let image = load(&Context::new(), &shop.content, &NoHolder, source)
        .unwrap()
        .remove(0)
        .image;
    (shop, image)
}

#[test]
fn every_form_comes_back_as_the_same_image() {
    let (shop, image) = shop_with_image();
    let ctx = Context::new();
    let names: Vec<Reference> = ["team/app:1", "localhost:5000/app:latest"]
        .map(|name| name.parse().unwrap())
        .to_vec();
    for format in [Format::Docker, Format::OciArchive, Format::OciDir] {
        for compression in [
            None,
            Some(Compression::None),
            Some(Compression::Gzip),
            Some(Compression::Zstd),
        ] {
            let dest = shop.path(&format!("{format:?}-{compression:?}"));
            let saved = save(
                &ctx,
                &shop.content,
                &[(&image, names.clone())],
                &dest,
                format,
                compression,
            )
            .unwrap();
            let other = Shop::new();
            let loaded = load(&ctx, &other.content, &NoHolder, Source::Path(&dest)).unwrap();
            assert_eq!(
                (loaded.len(), &loaded[0].image.id),
                (1, &image.id),
                "{format:?} {compression:?}"
            );
            let mut found = loaded[0].names.clone();
            found.sort();
            let mut wanted = names.clone();
            wanted.sort();
            assert_eq!(found, wanted);
            let same_manifest = loaded[0].image.manifest == image.manifest;
            assert_eq!(
                same_manifest,
                format == Format::Docker || !matches!(compression, Some(Compression::Gzip | Compression::Zstd))
            );
            if format != Format::OciDir {
                let bytes = std::fs::read(&dest).unwrap();
                assert_eq!(
                    (saved.size, saved.sha256(&ctx).unwrap()),
                    (bytes.len() as u64, Digest::of(&bytes))
                );
                save(
                    &ctx,
                    &shop.content,
                    &[(&image, names.clone())],
                    &dest,
                    format,
                    compression,
                )
                .unwrap();
                assert!(std::fs::read(&dest).unwrap() == bytes, "equal images give equal bytes");
            }
        }
    }
}

#[test]
fn several_images_share_their_layers_in_one_archive() {
    let (shop, image) = shop_with_image();
    let ctx = Context::new();
    let mut config = image.config().unwrap();
    config.author = Some("another".into());
    let draft = crate::images::draft::Draft::from_config(&config, image.layers.clone());
    let staging = shop.content.stage().unwrap();
    crate::images::draft::publish(
        &ctx,
        &shop.content,
        &NoHolder,
        &staging,
        std::slice::from_ref(&draft),
        &[],
    )
    .unwrap();
    let dest = shop.path("both.tar");
    let both = [(&image, vec!["a:1".parse().unwrap()]), (&draft.image, Vec::new())];
    save(&ctx, &shop.content, &both, &dest, Format::Docker, None).unwrap();
    let mut ids: Vec<_> = load(&ctx, &Shop::new().content, &NoHolder, Source::Path(&dest))
        .unwrap()
        .into_iter()
        .map(|l| l.image.id)
        .collect();
    ids.sort();
    let mut wanted = [image.id.clone(), draft.image.id.clone()];
    wanted.sort();
    assert_eq!(ids, wanted);
}

#[test]
fn a_damaged_blob_is_found_and_leaves_no_file() {
    let (shop, image) = shop_with_image();
    let blob = shop.content.blob_path(&image.layers[0].blob);
    let mut bytes = std::fs::read(&blob).unwrap();
    bytes[600] ^= 1;
    std::fs::write(&blob, bytes).unwrap();
    let before = std::fs::read_dir(shop.temp.path()).unwrap().count();
    for format in [Format::Docker, Format::OciDir] {
        let error = save(
            &Context::new(),
            &shop.content,
            &[(&image, vec![])],
            &shop.path("out"),
            format,
            None,
        )
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
    assert_eq!(std::fs::read_dir(shop.temp.path()).unwrap().count(), before);
}

#[test]
fn what_cannot_be_saved_is_said() {
    let (shop, image) = shop_with_image();
    let ctx = Context::new();
    let refused = |images: &[(&Image, Vec<Reference>)], name: &str, format: Format| {
        let saved = save(&ctx, &shop.content, images, &shop.path(name), format, None);
        saved.unwrap_err().kind()
    };
    let one = [(&image, vec![])];
    std::fs::create_dir(shop.path("there")).unwrap();
    assert_eq!(refused(&[], "x", Format::Docker), ErrorKind::Invalid);
    assert_eq!(refused(&one, "there", Format::OciDir), ErrorKind::AlreadyExists);
    assert_eq!(refused(&one, "no/such/dir", Format::Docker), ErrorKind::NotFound);
    assert!("tar".parse::<Format>().is_err() && "lz4".parse::<Compression>().is_err());
}
