//! The rules between names, images and parents, on a real store with images that have no layers.

use super::{Image, ImageFilter, RemoveImage};
use crate::config::Config;
use crate::error::Kind;
use crate::host::{Host, Plan};
use crate::images;
use crate::model::{Digest, Moment, Words};

struct Store {
    dir: tempfile::TempDir,
    host: Host,
}

fn open(root: &std::path::Path, plan: Option<std::sync::Arc<Plan>>) -> Host {
    let config = Config::new(Some(root.to_owned()), None, plan.is_some()).unwrap();
    Host::open(&config, plan).unwrap()
}

impl Store {
    fn new() -> Store {
        let dir = tempfile::tempdir().unwrap();
        let host = open(dir.path(), None);
        Store { dir, host }
    }

    /// An image without layers, told from others by `seed`, `hours` old.
    fn image(&self, seed: &str, names: &[&str], hours: i64, parent: Option<&Image>) -> Image {
        let created = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(hours);
        let mut config = images::Config {
            created: Some(created.to_string()),
            os: "linux".into(),
            ..Default::default()
        };
        config.architecture = "amd64".into();
        config.config.labels.insert("seed".into(), seed.into());
        let bytes = config.to_bytes();
        let image = images::Image {
            id: Digest::of(&bytes),
            manifest: self.manifest(seed),
            config: bytes,
            layers: Vec::new(),
        };
        let names = names.iter().map(|name| name.parse().unwrap()).collect();
        let ctx = crate::model::Context::new();
        self.host.publish(&ctx, image, names, parent.map(Image::id)).unwrap()
    }

    fn manifest(&self, seed: &str) -> Digest {
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let bytes = format!(r#"{{"schemaVersion":2,"mediaType":"{media_type}","seed":"{seed}"}}"#);
        let digest = Digest::of(bytes.as_bytes());
        std::fs::write(self.host.content().blob_path(&digest), bytes).unwrap();
        digest
    }

    fn names(&self, filter: &ImageFilter) -> Vec<String> {
        self.host
            .images(filter, None)
            .unwrap()
            .iter()
            .map(Image::name)
            .collect()
    }
}

fn words(texts: &[&str]) -> Option<Words> {
    Some(Words(texts.iter().map(|&text| text.to_owned()).collect()))
}

fn kind<T>(result: crate::error::Result<T>) -> Kind {
    result.err().expect("this must fail").kind()
}

#[test]
fn a_name_that_moves_leaves_its_old_image_dangling() {
    let store = Store::new();
    let old = store.image("1", &["app:1"], 2, None);
    let new = store.image("2", &[], 1, None);
    assert!(new.dangling());
    store.host.tag_image(new.id().short(), "app:1").unwrap();
    assert_eq!(store.host.image("app:1").unwrap().id(), new.id());
    assert!(old.reload().unwrap().dangling());
    assert_eq!(old.reload().unwrap().name(), "<none>");
}

#[test]
fn removing_a_name_among_several_takes_that_name_only() {
    let store = Store::new();
    let image = store.image("1", &["app:1", "app:2"], 1, None);
    let report = store.host.remove_image("app:1", &RemoveImage::default()).unwrap();
    assert_eq!(
        (report.removed.len(), report.removed[0].reason.as_str()),
        (1, "untagged")
    );
    assert_eq!(image.reload().unwrap().tags(), ["app:2"]);
    store.host.remove_image("app:2", &RemoveImage::default()).unwrap();
    assert_eq!(kind(image.reload()), Kind::NotFound);
}

#[test]
fn removing_by_id_takes_all_names() {
    let store = Store::new();
    let image = store.image("1", &["app:1", "app:2"], 1, None);
    store
        .host
        .remove_image(image.id().short(), &RemoveImage::default())
        .unwrap();
    assert!(store.host.find_image("app:1").unwrap().is_none());
    assert!(
        store
            .host
            .images(
                &ImageFilter {
                    all: true,
                    ..Default::default()
                },
                None
            )
            .unwrap()
            .is_empty()
    );
}

#[test]
fn parents_are_hidden_needed_and_go_with_their_last_child() {
    let store = Store::new();
    let base = store.image("base", &["base:1"], 4, None);
    let middle = store.image("middle", &[], 3, Some(&base));
    let child = store.image("child", &["app:1"], 2, Some(&middle));
    let middle = middle.reload().unwrap();
    assert!(middle.intermediate() && !middle.dangling());
    assert_eq!(store.names(&ImageFilter::default()), ["app:1", "base:1"]);
    assert_eq!(
        store
            .names(&ImageFilter {
                all: true,
                ..Default::default()
            })
            .len(),
        3
    );
    assert_eq!(
        kind(store.host.remove_image(middle.id().as_str(), &RemoveImage::default())),
        Kind::InUse
    );
    assert!(
        store
            .host
            .prune_images(&ImageFilter::default(), None)
            .unwrap()
            .removed
            .is_empty()
    );
    let report = store.host.remove_image("app:1", &RemoveImage::default()).unwrap();
    let removed: Vec<_> = report.removed.iter().map(|item| item.id.clone()).collect();
    assert_eq!(removed, [child.id().to_string(), middle.id().to_string()]);
    assert_eq!(
        store.names(&ImageFilter {
            all: true,
            ..Default::default()
        }),
        ["base:1"]
    );
}

#[test]
fn parents_stay_when_asked_to() {
    let store = Store::new();
    let middle = store.image("middle", &[], 3, None);
    store.image("child", &["app:1"], 2, Some(&middle));
    store
        .host
        .remove_image(
            "app:1",
            &RemoveImage {
                prune_parents: false,
                ..Default::default()
            },
        )
        .unwrap();
    assert!(middle.reload().unwrap().dangling());
}

#[test]
fn select_and_prune_agree_and_say_why() {
    let store = Store::new();
    let parent = store.image("parent", &[], 50, None);
    store.image("child", &[], 49, Some(&parent));
    store.image("named", &["app:1"], 48, None);
    let selected = store.host.select_images(&ImageFilter::default(), None).unwrap();
    let report = store.host.prune_images(&ImageFilter::default(), None).unwrap();
    let mut selected: Vec<_> = selected.iter().map(|image| image.id().to_string()).collect();
    let mut removed: Vec<_> = report.removed.iter().map(|item| item.id.clone()).collect();
    selected.sort();
    removed.sort();
    assert_eq!(selected, removed);
    let reasons: Vec<_> = report.removed.iter().map(|item| item.reason.as_str()).collect();
    assert_eq!(reasons, ["dangling", "its last child goes"]);
    assert_eq!(report.kept[0].reason, "not dangling");
}

#[test]
fn the_newest_of_each_repository_stay() {
    let store = Store::new();
    for (seed, name, hours) in [
        ("1", "app:1", 4),
        ("2", "app:2", 3),
        ("3", "app:3", 2),
        ("4", "web:1", 9),
    ] {
        store.image(seed, &[name], hours, None);
    }
    let filter = ImageFilter {
        keep_last: Some(2),
        ..Default::default()
    };
    let report = store.host.prune_images(&filter, None).unwrap();
    let removed: Vec<_> = report.removed.iter().map(|item| item.name.as_str()).collect();
    assert_eq!(removed, ["app:1"]);
    assert_eq!(report.removed[0].reason, "not among the newest 2 of app");
    let bad = ImageFilter {
        keep_last: Some(1),
        per: Some("year".into()),
        ..Default::default()
    };
    assert_eq!(kind(store.host.prune_images(&bad, None)), Kind::Invalid);
}

#[test]
fn conditions_hold_together_and_kept_names_are_spared() {
    let store = Store::new();
    store.image("old", &["app:old"], 100, None);
    store.image("prod", &["app:prod"], 100, None);
    store.image("new", &["app:new"], 1, None);
    store.image("other", &["web:old"], 100, None);
    let filter = ImageFilter {
        reference: words(&["app"]),
        older_than: Some("2d".parse::<Moment>().unwrap()),
        keep: words(&["*:prod"]),
        ..Default::default()
    };
    let report = store.host.prune_images(&filter, None).unwrap();
    let removed: Vec<_> = report.removed.iter().map(|item| item.name.as_str()).collect();
    assert_eq!(removed, ["app:old"]);
    let kept = |name: &str| {
        report
            .kept
            .iter()
            .find(|item| item.name == name)
            .unwrap()
            .reason
            .clone()
    };
    assert_eq!(kept("app:prod"), "name `app:prod` is kept");
    assert_eq!(kept("web:old"), "no name fits `app`");
    assert!(kept("app:new").starts_with("made 1h"), "{}", kept("app:new"));
    let matching = |image: &Image| Ok(image.name() == "web:old");
    assert_eq!(
        store
            .host
            .images(&ImageFilter::default(), Some(&matching))
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn several_ids_with_one_start_are_named() {
    let store = Store::new();
    // Seventeen images share at least one first digit.
    let images: Vec<Image> = (0..17).map(|n| store.image(&n.to_string(), &[], 1, None)).collect();
    let first = |image: &Image| image.id().hex()[..1].to_owned();
    let shared = images
        .iter()
        .map(first)
        .find(|digit| images.iter().filter(|i| first(i) == *digit).count() > 1);
    let error = store.host.image(&shared.unwrap()).err().unwrap();
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(error.message().contains("several image ids"), "{error}");
    assert_eq!(store.host.image(images[0].id().hex()).unwrap().id(), images[0].id());
    assert_eq!(kind(store.host.image("UPPER/case:!")), Kind::Invalid);
}

#[test]
fn a_dry_run_sees_its_own_changes_and_makes_none() {
    let store = Store::new();
    store.image("1", &["app:1"], 1, None);
    let plan = std::sync::Arc::new(Plan::new());
    let dry = open(store.dir.path(), Some(plan.clone()));
    dry.tag_image("app:1", "app:2").unwrap();
    dry.remove_image("app:1", &RemoveImage::default()).unwrap();
    assert_eq!(dry.image("app:2").unwrap().tags(), ["app:2"]);
    let actions: Vec<_> = plan
        .actions()
        .into_iter()
        .map(|action| (action.action, action.target))
        .collect();
    assert_eq!(
        actions,
        [
            ("image::tag".into(), "app:2".into()),
            ("image::remove".to_owned(), "app:1".to_owned())
        ]
    );
    assert_eq!(store.host.image("app:1").unwrap().tags(), ["app:1"]);
}

#[test]
fn the_index_of_the_layout_follows_the_names() {
    let store = Store::new();
    store.image("1", &["app:1"], 1, None);
    store.host.write_index().unwrap();
    let index = std::fs::read_to_string(store.dir.path().join("content/index.json")).unwrap();
    assert!(index.contains("docker.io/library/app:1"), "{index}");
}

#[test]
fn names_alone_are_found_by_how_they_begin() {
    let store = Store::new();
    store.image("a", &["app:1", "team/app:2", "localhost:5000/app:3"], 1, None);
    let names = |start: &str| store.host.image_names(start).unwrap();
    assert_eq!(names(""), ["app:1", "localhost:5000/app:3", "team/app:2"]);
    assert_eq!(names("app"), ["app:1"]);
    assert_eq!(names("team/"), ["team/app:2"]);
    assert_eq!(names("docker.io/library/a"), ["docker.io/library/app:1"]);
    assert_eq!(names("docker.io/t"), ["docker.io/team/app:2"]);
    assert!(names("b").is_empty());
}
