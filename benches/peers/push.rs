//! Images to a registry that has nothing yet: those whose blobs are kept, and those whose layers have to be compressed first.

use crate::REST;
use crate::arena::{Arena, run};
use crate::compare::{Contestant, compare};
use crate::crane::{Fresh, Registry};
use crate::forge::input;

const ROUNDS: usize = 5;
/// What Docker and Podman know the image by.
const LOCAL: &str = "localhost/bench/it:latest";

pub(crate) fn push(arena: &Arena) {
    for name in ["debian", "ten", "small"] {
        kept(arena, name);
    }
    for compression in ["gzip", "zstd"] {
        made(arena, compression);
    }
    again(arena);
    memory(arena);
}

/// Hoist's push of the image of its store that has this name.
fn own(arena: &Arena, from: &str, to: &str, options: &str) -> String {
    arena.hoist(&format!(r#"image::push("{from}", "{to}", #{{{options}}})"#))
}

fn with_docker(fresh: &Fresh) -> String {
    fresh.renew();
    let image = fresh.name("bench/it:1");
    run(&["docker", "tag", LOCAL, &image])
}

/// An image as it came from elsewhere, compressed. Podman keeps what it unpacks to, and so does Docker: they compress it once more.
fn kept(arena: &Arena, name: &'static str) {
    let (input, fresh) = (input(arena, name), &Fresh::default());
    arena.fresh_hoist();
    arena.hoist(&format!(
        r#"image::tag(image::load("{}", #{{tags: false}})[0], "bench/it")"#,
        input.layout
    ));
    arena.fresh_podman();
    let loaded = arena.podman(&["load", "--quiet", "--input", &input.docker]);
    arena.podman(&["tag", last_word(&loaded), LOCAL]);
    arena.fresh_docker();
    let loaded = run(&["docker", "load", "--quiet", "--input", &input.docker]);
    run(&["docker", "tag", last_word(&loaded), LOCAL]);
    let source = format!("oci:{}:latest", input.layout);
    let at = || fresh.name("bench/it:1");
    let skopeo = || {
        let target = format!("docker://{}", at());
        run(&["skopeo", "copy", "--quiet", "--dest-tls-verify=false", &source, &target])
    };
    let sides = [
        Contestant::new("hoist", || own(arena, "bench/it", &at(), "")).before(|| fresh.renew()),
        Contestant::new("skopeo", skopeo).before(|| fresh.renew()),
        Contestant::new("podman", || podman_push(arena, &at(), "gzip")).before(|| fresh.renew()),
        Contestant::new("docker", || run(&["docker", "push", "--quiet", &at()])).before(|| with_docker(fresh)),
    ];
    compare(
        &format!("push: `{name}`; hoist and skopeo have its blobs, the others compress"),
        ROUNDS,
        REST,
        &sides,
    );
}

/// Of `Loaded image: NAME` the name.
fn last_word(text: &str) -> &str {
    text.split_whitespace().last().unwrap_or_default()
}

fn podman_push(arena: &Arena, to: &str, compression: &str) -> String {
    arena.podman(&[
        "push",
        "--quiet",
        "--tls-verify=false",
        "--format",
        "oci",
        "--compression-format",
        compression,
        LOCAL,
        to,
    ])
}

/// An image that was just made here, of which no compressed form is known.
fn made(arena: &Arena, compression: &str) {
    let (tar, fresh) = (arena.input("debian.tar"), &Fresh::default());
    let at = || fresh.name("bench/it:1");
    let make = || {
        fresh.renew();
        arena.fresh_hoist();
        arena.hoist(&format!(r#"image::import_tar("{tar}", "bench/it")"#));
    };
    let podman_make = || {
        fresh.renew();
        arena.fresh_podman();
        arena.podman(&["import", "--quiet", &tar, LOCAL]);
    };
    let docker_make = || {
        arena.fresh_docker();
        run(&["docker", "import", &tar, LOCAL]);
        with_docker(fresh);
    };
    let options = format!(r#"compression: "{compression}""#);
    let mut sides = vec![
        Contestant::new("hoist", || own(arena, "bench/it", &at(), &options)).before(make),
        Contestant::new("podman", || podman_push(arena, &at(), compression)).before(podman_make),
    ];
    // Docker's own store compresses by gzip alone.
    if compression == "gzip" {
        sides.push(Contestant::new("docker", || run(&["docker", "push", "--quiet", &at()])).before(docker_make));
    }
    compare(
        &format!("push: `debian` as it was imported, by {compression}"),
        ROUNDS,
        REST,
        &sides,
    );
}

/// An image that the registry has already, and one made here whose compressed form was sent elsewhere before.
fn again(arena: &Arena) {
    let registry = Registry::new();
    let image = format!("{}/bench/it:1", registry.address);
    let tar = arena.input("debian.tar");
    arena.fresh_hoist();
    arena.hoist(&format!(r#"image::import_tar("{tar}", "bench/it")"#));
    arena.fresh_podman();
    arena.podman(&["import", "--quiet", &tar, LOCAL]);
    own(arena, "bench/it", &image, "");
    podman_push(arena, &image, "gzip");
    let sides = [
        Contestant::new("hoist", || own(arena, "bench/it", &image, "")),
        Contestant::new("podman", || podman_push(arena, &image, "gzip")),
    ];
    compare("push: `debian` as it was imported, again", ROUNDS, REST, &sides);
}

/// The most memory at once, in MiB.
fn memory(arena: &Arena) {
    println!("push, pull: the most memory at once, in MiB");
    let show = |what: &str, kib: u64| println!("  {what:<44} {:>6.1}", kib as f64 / 1024.0);
    for name in ["debian", "ten", "small", "big"] {
        let registry = Registry::new();
        let image = registry.with(arena, name);
        arena.fresh_hoist();
        let pull = format!(r#"image::pull("{image}")"#);
        show(&format!("pull `{name}`: hoist"), arena.hoist_memory(&pull));
        arena.fresh_podman();
        let podman_pull = ["pull", "--quiet", "--tls-verify=false", &image];
        show(&format!("pull `{name}`: podman"), arena.podman_memory(&podman_pull));
        let empty = Registry::new();
        let to = format!("{}/bench/{name}:1", empty.address);
        let push = format!(r#"image::push("{image}", "{to}", #{{compression: "zstd", force_compression: true}})"#);
        show(
            &format!("push `{name}`, recompressed: hoist"),
            arena.hoist_memory(&push),
        );
        let target = format!("docker://{to}");
        let podman_push = [
            "push",
            "--quiet",
            "--tls-verify=false",
            "--compression-format",
            "zstd",
            &image,
            &target,
        ];
        show(
            &format!("push `{name}`, recompressed: podman"),
            arena.podman_memory(&podman_push),
        );
    }
}
