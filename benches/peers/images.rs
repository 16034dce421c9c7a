//! Images in and out, many of them, and what they take of memory.

use std::path::Path;
use std::time::Duration;

use crate::REST;
use crate::arena::{Arena, remove, run, text};
use crate::compare::{Contestant, compare};
use crate::forge::{Input, input, write_many};

const ROUNDS: usize = 5;
const IMAGES: usize = 10_000;
/// As many images as podman manages in bearable time; its share of one is what is compared.
const PODMAN_IMAGES: usize = 300;
/// Images of one archive.
const MANY: usize = 1000;
const TAGS: usize = 1000;
const PODMAN_TAGS: usize = 30;
const DANGLING: usize = 1000;
const PODMAN_DANGLING: usize = 50;
const CHANGED: usize = 5000;

fn load_into_hoist(arena: &Arena, path: &str) -> String {
    arena.hoist(&format!(r#"image::load("{path}")"#))
}

fn compare_load(arena: &Arena, what: &str, archive: &str, with_docker: bool) {
    let docker = || run(&["docker", "load", "--quiet", "--input", archive]);
    let mut sides = vec![
        Contestant::new("hoist", || load_into_hoist(arena, archive)).before(|| arena.fresh_hoist()),
        Contestant::new("podman", || arena.podman(&["load", "--quiet", "--input", archive]))
            .before(|| arena.fresh_podman()),
    ];
    if with_docker {
        sides.push(Contestant::new("docker", docker).before(|| arena.fresh_docker()));
    }
    compare(&format!("load: {what}"), ROUNDS, REST, &sides);
}

pub(crate) fn load(arena: &Arena) {
    for name in ["debian", "ten", "small", "big"] {
        let input = input(arena, name);
        compare_load(
            arena,
            &format!("`{name}` as a docker archive"),
            &input.docker,
            name == "debian",
        );
        // The Docker daemon here reads its own form only.
        compare_load(arena, &format!("`{name}` as an OCI archive, gzip"), &input.oci, false);
    }
}

/// The blob of a layout's one layer, the largest.
fn layer_blob(input: &Input) -> String {
    let blobs = std::fs::read_dir(format!("{}/blobs/sha256", input.layout)).unwrap();
    let largest = blobs
        .map(|blob| blob.unwrap())
        .max_by_key(|blob| blob.metadata().unwrap().len());
    text(&largest.unwrap().path())
}

pub(crate) fn unpack(arena: &Arena) {
    for name in ["debian", "small", "big"] {
        let input = input(arena, name);
        let (blob, image) = (layer_blob(&input), format!("{}:latest", input.layout));
        let (tree, bundle) = (arena.path("untar"), arena.path("umoci"));
        let untar = || run(&["tar", "--directory", &tree, "-xzpf", &blob]);
        // What hoist has unpacked is on disk.
        let synced = || {
            untar();
            arena.sync();
            String::new()
        };
        let umoci = || run(&["umoci", "unpack", "--image", &image, &bundle]);
        let sides = [
            Contestant::new("hoist", || load_into_hoist(arena, &input.layout)).before(|| arena.fresh_hoist()),
            Contestant::new("tar", untar).before(|| arena.fresh_dir("untar")),
            Contestant::new("tar+sync", synced).before(|| arena.fresh_dir("untar")),
            Contestant::new("umoci", umoci).before(|| remove(&arena.dir.join("umoci"))),
        ];
        compare(
            &format!("unpack: the gzip layer of `{name}` from an OCI layout"),
            ROUNDS,
            REST,
            &sides,
        );
    }
}

pub(crate) fn save(arena: &Arena) {
    for name in ["debian", "ten"] {
        let input = input(arena, name);
        let image = format!("localhost/bench/{name}:latest");
        arena.fresh_hoist();
        load_into_hoist(arena, &input.docker);
        let source = arena.hoist("image::list()[0].id");
        arena.podman(&["load", "--quiet", "--input", &input.docker]);
        let out = arena.path("saved.tar");
        let clean = || {
            remove(Path::new(&out));
            arena.sync();
        };
        let own = |options: &str| arena.hoist(&format!(r#"image::save("{}", "{out}", #{{{options}}})"#, source.trim()));
        let podman = |format: &str| arena.podman(&["save", "--quiet", "--format", format, "--output", &out, &image]);
        let sides = [
            Contestant::new("hoist", || own("")).before(clean),
            Contestant::new("podman", || podman("docker-archive")).before(clean),
        ];
        compare(&format!("save: `{name}` as a docker archive"), ROUNDS, REST, &sides);
        for compression in ["gzip", "zstd"] {
            let options = format!(r#"format: "oci-archive", compression: "{compression}""#);
            let sides = [
                Contestant::new("hoist", || own(&options)).before(clean),
                Contestant::new("skopeo", || skopeo_save(arena, &image, &out, compression)).before(clean),
            ];
            compare(
                &format!("save: `{name}` as an OCI archive, {compression}"),
                ROUNDS,
                REST,
                &sides,
            );
        }
        remove(Path::new(&out));
    }
}

/// `skopeo copy` out of podman's store.
fn skopeo_save(arena: &Arena, image: &str, out: &str, compression: &str) -> String {
    let store = format!("[overlay@{}+{}]", arena.path("podman"), arena.path("podman-run"));
    run(&[
        "skopeo",
        "copy",
        "--quiet",
        "--dest-compress",
        "--dest-compress-format",
        compression,
        &format!("containers-storage:{store}{image}"),
        &format!("oci-archive:{out}"),
    ])
}

pub(crate) fn commit(arena: &Arena) {
    let input = input(arena, "debian");
    arena.fresh_hoist();
    load_into_hoist(arena, &input.docker);
    arena.podman(&["load", "--quiet", "--input", &input.docker]);
    let change = format!("mkdir /new; for i in $(seq {CHANGED}); do echo $i > /new/$i; done");
    arena.hoist(&format!(
        r#"container::run(image::list()[0], "{change}", #{{name: "changed", keep: true}})"#
    ));
    let image = "localhost/bench/debian:latest";
    arena.podman(&[
        "run",
        "--network",
        "none",
        "--name",
        "changed",
        image,
        "sh",
        "-c",
        &change,
    ]);
    let sides = [
        Contestant::new("hoist", || {
            arena.hoist(r#"container::get("changed").commit("bench/committed")"#)
        })
        .before(|| {
            arena.hoist(r#"if image::exists("bench/committed") { image::remove("bench/committed", #{trash: false}); }"#)
        }),
        Contestant::new("podman", || {
            arena.podman(&["commit", "--quiet", "changed", "bench/committed"])
        })
        .before(|| arena.podman(&["rmi", "--force", "--ignore", "bench/committed"])),
    ];
    compare(
        &format!("commit: a container with {CHANGED} new files"),
        ROUNDS,
        REST,
        &sides,
    );
    let out = arena.path("exported.tar");
    let clean = || {
        remove(Path::new(&out));
        arena.sync();
    };
    let sides = [
        Contestant::new("hoist", || {
            arena.hoist(&format!(r#"container::get("changed").export_tar("{out}")"#))
        })
        .before(clean),
        Contestant::new("podman", || arena.podman(&["export", "--output", &out, "changed"])).before(clean),
    ];
    compare("export: the same container", ROUNDS, REST, &sides);
    arena.hoist(r#"container::get("changed").remove()"#);
    arena.podman(&["rm", "--force", "changed"]);
}

/// Loads so many small images, into each store as many as it manages.
fn load_many(arena: &Arena, counts: [usize; 2], name: fn(usize) -> Option<String>) {
    let archive = arena.dir.join("many.tar");
    arena.fresh_hoist();
    arena.fresh_podman();
    for first in (0..counts[0]).step_by(MANY) {
        write_many(&archive, first..counts[0].min(first + MANY), name);
        load_into_hoist(arena, &text(&archive));
    }
    write_many(&archive, 0..counts[1], name);
    arena.podman(&["load", "--quiet", "--input", &text(&archive)]);
    remove(&archive);
}

pub(crate) fn list(arena: &Arena) {
    load_many(arena, [IMAGES, PODMAN_IMAGES], |number| {
        Some(format!("bench/many:{number}"))
    });
    let sides = [
        Contestant::new("hoist", || arena.hoist("image::list().len()")).times(IMAGES),
        Contestant::new("podman", || arena.podman(&["images"])).times(PODMAN_IMAGES),
    ];
    compare(
        &format!("list: one of {IMAGES} images, of podman's {PODMAN_IMAGES}"),
        ROUNDS,
        Duration::ZERO,
        &sides,
    );
    let sides = [
        Contestant::new("hoist", || arena.hoist("image::list()")).times(IMAGES),
        Contestant::new("podman", || arena.podman(&["images"])).times(PODMAN_IMAGES),
    ];
    compare("list: the same, printed as a table", ROUNDS, Duration::ZERO, &sides);
}

pub(crate) fn tag(arena: &Arena) {
    arena.with_busybox();
    let script = format!(r#"for i in 0..{TAGS} {{ image::tag("busybox", `bench/tag:${{i}}`); }}"#);
    let podman = || {
        for number in 0..PODMAN_TAGS {
            arena.podman(&["tag", crate::PODMAN_IMAGE, &format!("bench/tag:{number}")]);
        }
    };
    let sides = [
        Contestant::new("hoist", || arena.hoist(&script)).times(TAGS),
        Contestant::new("podman", podman).times(PODMAN_TAGS),
    ];
    compare(
        &format!("tag: one of {TAGS} in a script"),
        ROUNDS,
        Duration::ZERO,
        &sides,
    );
}

pub(crate) fn prune(arena: &Arena) {
    load_many(arena, [DANGLING, PODMAN_DANGLING], |_| None);
    let sides = [
        Contestant::new("hoist", || arena.hoist("image::prune()")).times(DANGLING),
        Contestant::new("podman", || arena.podman(&["image", "prune", "--force"])).times(PODMAN_DANGLING),
    ];
    compare(
        &format!("prune: one of {DANGLING} dangling images, of podman's {PODMAN_DANGLING}"),
        1,
        Duration::ZERO,
        &sides,
    );
}

pub(crate) fn memory(arena: &Arena) {
    println!("memory: the most at once, in MiB");
    let show = |what: &str, kib: u64| println!("  {what:<44} {:>6.1}", kib as f64 / 1024.0);
    for name in ["debian", "ten", "small", "big"] {
        let input = input(arena, name);
        for (form, path) in [
            ("docker archive", &input.docker),
            ("OCI archive", &input.oci),
            ("OCI layout", &input.layout),
        ] {
            arena.fresh_hoist();
            let load = format!(r#"image::load("{path}")"#);
            show(&format!("load `{name}`, {form}"), arena.hoist_memory(&load));
        }
        let out = arena.path("saved.tar");
        for compression in ["none", "gzip", "zstd"] {
            let options = format!(r#"#{{format: "oci-archive", compression: "{compression}"}}"#);
            let save = format!(r#"image::save(image::list()[0], "{out}", {options})"#);
            show(&format!("save `{name}`, {compression}"), arena.hoist_memory(&save));
            remove(Path::new(&out));
        }
    }
}
