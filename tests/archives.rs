//! Archives as other tools write and read them: what comes in, comes out the same, on either side.

use std::fs;

use crate::harness::tree::{Ignore, Tree};
use crate::harness::{Hoist, Merged, PROGRAM, Peers, inputs, tool};

/// Loads an input, and returns the ID of its one image.
fn load(hoist: &Hoist, archive: &str) -> String {
    let path = inputs::path(archive);
    let ids = hoist.value(&format!(r#"image::load("{}").map(|i| i.id)"#, path.display()));
    let ids = ids.as_array().unwrap();
    assert_eq!(ids.len(), 1, "{archive}");
    ids[0].as_str().unwrap().to_owned()
}

fn every_tools_archive_is_the_image_it_says(image: &str) {
    let hoist = Hoist::new();
    for archive in inputs::archives(image) {
        assert_eq!(load(&hoist, &archive), inputs::image_id(&archive), "{archive}");
    }
    assert!(hoist.staged().is_empty());
}

#[test]
fn small_archives_of_every_tool_are_the_image_they_say() {
    every_tools_archive_is_the_image_it_says("busybox");
}

#[test]
fn archives_of_many_layers_of_every_tool_are_the_image_they_say() {
    every_tools_archive_is_the_image_it_says("layers");
}

#[test]
fn archives_of_debian_of_every_tool_are_the_image_they_say() {
    every_tools_archive_is_the_image_it_says("debian");
}

#[test]
fn an_oci_layout_is_loaded_as_well() {
    let hoist = Hoist::new();
    assert_eq!(load(&hoist, "oci/layers"), inputs::image_id("layers.skopeo.oci.tar"));
}

#[test]
fn names_come_with_the_archive() {
    let hoist = Hoist::new();
    for (tool, archive) in [
        ("skopeo", "busybox.skopeo.docker.tar"),
        ("podman", "busybox.podman.docker.tar"),
        ("docker", "busybox.docker.tar"),
    ] {
        let archive = inputs::path(archive);
        let tags = hoist.value(&format!(r#"image::load("{}")[0].tags"#, archive.display()));
        let name = format!("example.org/busybox:{tool}");
        assert!(
            tags.as_array().unwrap().iter().any(|tag| tag == &name),
            "{tags} lacks {name}"
        );
    }
}

#[test]
fn compressed_archives_are_the_same_image() {
    let hoist = Hoist::new();
    for (program, flags) in [("gzip", "-c"), ("xz", "-0c"), ("zstd", "-qc"), ("bzip2", "-c")] {
        // In two parts, as programs that compress side by side write them.
        let archive = inputs::path("layers.docker.tar");
        let archive = archive.display();
        let script = format!(
            "for part in 'head -c 1000000' 'tail -c +1000001'; do $part {archive} | {program} {flags}; done > archive.{program}"
        );
        tool(&hoist.dir(), "sh", &["-c", &script]);
        let path = hoist.file(&format!("archive.{program}"));
        let id = hoist.value(&format!(r#"image::load("{}")[0].id"#, path.display()));
        assert_eq!(id, inputs::image_id("layers.docker.tar"), "{program}");
    }
}

#[test]
fn debian_unpacks_as_umoci_does_it() {
    let hoist = Hoist::new();
    let id = load(&hoist, "debian.skopeo.docker.tar");
    let right = Tree::read(&inputs::path("unpacked/debian/rootfs"));
    let merged = Merged::of(&hoist, &id);
    right.assert_same(
        &Tree::read(&merged.path()),
        Ignore {
            root: true,
            ..Ignore::default()
        },
    );
}

#[test]
fn debian_unpacks_as_tar_does_it() {
    let hoist = Hoist::new();
    let archive = inputs::path("debian.tar");
    hoist
        .eval(&format!(r#"image::import_tar("{}", "debian").id"#, archive.display()))
        .success();
    let reference = tempfile::tempdir_in("/var/tmp").unwrap();
    let flags = [
        "--xattrs",
        "--xattrs-include=*",
        "--numeric-owner",
        "--preserve-permissions",
        "--extract",
        "--file",
    ];
    tool(
        reference.path(),
        "tar",
        &[&flags[..], &[archive.to_str().unwrap()]].concat(),
    );
    let merged = Merged::of(&hoist, "debian");
    Tree::read(reference.path()).assert_same(
        &Tree::read(&merged.path()),
        Ignore {
            root: true,
            ..Ignore::default()
        },
    );
}

#[test]
fn every_kind_of_file_change_and_whiteout_unpacks_as_umoci_does_it() {
    let hoist = Hoist::new();
    let id = load(&hoist, "layers.skopeo.oci.tar");
    let right = Tree::read(&inputs::path("unpacked/layers/rootfs"));
    let merged = Merged::of(&hoist, &id);
    right.assert_same(
        &Tree::read(&merged.path()),
        Ignore {
            root: true,
            ..Ignore::default()
        },
    );
}

#[test]
fn podman_runs_what_is_saved() {
    let (hoist, peers) = (Hoist::new(), Peers::new());
    let id = load(&hoist, "busybox.skopeo.oci.tar");
    for format in ["docker", "oci-archive"] {
        let path = peers.file(&format!("{format}.tar"));
        let path = path.to_str().unwrap();
        hoist.eval(&format!(r#"image::tag("{id}", "example.org/saved:{format}"); image::save("example.org/saved:{format}", "{path}", #{{format: "{format}"}}).size"#)).success();
        peers.podman(&["load", "--quiet", "--input", path]).success();
        let name = format!("example.org/saved:{format}");
        let shown = peers
            .podman(&["image", "inspect", "--format", "{{.Id}}", &name])
            .success();
        assert_eq!(format!("sha256:{}", shown.text()), id, "{format}");
        peers
            .podman(&["run", "--rm", "--network", "none", &name, "cat", "/www/index.html"])
            .success()
            .stdout_is("hello");
    }
}

#[test]
fn docker_runs_what_is_saved() {
    let (hoist, peers) = (Hoist::new(), Peers::new());
    let id = load(&hoist, "layers.podman.docker.tar");
    let path = peers.file("saved.tar");
    let path = path.to_str().unwrap();
    hoist
        .eval(&format!(
            r#"image::tag("{id}", "example.org/saved:1"); image::save("example.org/saved:1", "{path}").size"#
        ))
        .success();
    let script = r#"
        docker load --quiet --input "$1" >&2
        docker image inspect --format "{{.Id}}" example.org/saved:1
        docker run --rm --network none --ulimit nofile=1024:1024 example.org/saved:1 cat /whole/new"#;
    peers.docker(script, &[path]).success().stdout_is(&format!("{id}\nnew"));
}

#[test]
fn skopeo_and_crane_find_nothing_wrong_with_what_is_saved() {
    let (hoist, peers) = (Hoist::new(), Peers::new());
    let id = load(&hoist, "layers.docker.tar");
    for (format, transport, name) in [
        ("docker", "docker-archive", "a.tar"),
        ("oci-archive", "oci-archive", "b.tar"),
        ("oci-dir", "oci", "c"),
    ] {
        let path = peers.file(name);
        let path = path.to_str().unwrap();
        hoist
            .eval(&format!(
                r#"image::save("{id}", "{path}", #{{format: "{format}"}}).size"#
            ))
            .success();
        let source = format!("{transport}:{path}");
        let config = peers
            .run(&["skopeo", "inspect", "--config", "--raw", &source])
            .success();
        assert_eq!(
            format!("sha256:{}", crate::harness::forge::sha256(config.stdout.as_bytes())),
            id,
            "{format}"
        );
        // Reads every blob and compares it with its digest.
        let copy = format!("dir:{}", peers.file(&format!("{name}.copy")).display());
        peers.run(&["skopeo", "copy", "--quiet", &source, &copy]).success();
    }
    peers
        .run(&["crane", "validate", "--tarball", peers.file("a.tar").to_str().unwrap()])
        .success();
}

#[test]
fn compressed_forms_are_read_by_the_tools_they_are_for() {
    let (hoist, peers) = (Hoist::new(), Peers::new());
    let id = load(&hoist, "layers.docker.tar");
    let mut archives = Vec::new();
    for (format, compression) in [
        ("docker", "gzip"),
        ("docker", "zstd"),
        ("oci-archive", "gzip"),
        ("oci-archive", "zstd"),
    ] {
        let (path, name) = (
            peers.file(&format!("{format}.{compression}")),
            format!("example.org/{format}:{compression}"),
        );
        let options = format!(r#"#{{format: "{format}", compression: "{compression}"}}"#);
        let save = format!(
            r#"image::tag("{id}", "{name}"); image::save("{name}", "{}", {options}).size"#,
            path.display()
        );
        hoist.eval(&save).success();
        archives.push((format, path, name));
    }
    for (format, path, name) in &archives {
        let path = path.to_str().unwrap();
        peers.podman(&["load", "--quiet", "--input", path]).success();
        let shown = peers
            .podman(&["image", "inspect", "--format", "{{.Id}}", name])
            .success();
        assert_eq!(format!("sha256:{}", shown.text()), id, "{path}");
        if *format == "oci-archive" {
            let (source, copy) = (format!("oci-archive:{path}"), format!("dir:{path}.copy"));
            peers.run(&["skopeo", "copy", "--quiet", &source, &copy]).success();
        }
    }
    let script = r#"
        for archive in "$@"; do docker load --quiet --input "$archive" >&2; done
        docker image inspect --format "{{.Id}}" example.org/docker:gzip example.org/docker:zstd"#;
    let dockers: Vec<&str> = archives[..2]
        .iter()
        .map(|(_, path, _)| path.to_str().unwrap())
        .collect();
    peers
        .docker(script, &dockers)
        .success()
        .stdout_is(&format!("{id}\n{id}"));
}

#[test]
fn saving_twice_writes_the_same_bytes() {
    let hoist = Hoist::new();
    let id = load(&hoist, "layers.docker.tar");
    for format in ["docker", "oci-archive"] {
        let save = |name: &str| {
            let path = hoist.file(name);
            hoist.value(&format!(
                r#"image::save("{id}", "{}", #{{format: "{format}"}}).sha256"#,
                path.display()
            ));
            fs::read(path).unwrap()
        };
        assert!(save("one.tar") == save("two.tar"), "{format}");
    }
}

#[test]
fn an_archive_on_standard_output_is_the_file_and_nothing_else() {
    let hoist = Hoist::new();
    let id = load(&hoist, "layers.docker.tar");
    for options in [
        "",
        r#", #{compression: "zstd"}"#,
        r#", #{format: "oci-archive", compression: "gzip"}"#,
    ] {
        let file = hoist.file("file.tar");
        let save = |path: &str| format!(r#"image::save("{id}", "{path}"{options})"#);
        hoist.eval(&format!("{}.size", save(file.to_str().unwrap()))).success();
        let script =
            r#""$1" --root "$2" --run-root "$3" eval "$4" > piped.tar 2> said; cat said; cmp piped.tar file.tar"#;
        let piped = format!(r#"let saved = {}; print("saved"); saved.sha256"#, save("-"));
        let (root, run) = (hoist.root(), hoist.run_root());
        let args = ["-euc", script, "sh", PROGRAM];
        let args = [&args[..], &[root.to_str().unwrap(), run.to_str().unwrap(), &piped]].concat();
        let said = tool(&hoist.dir(), "sh", &args);
        let digest = crate::harness::forge::sha256(&fs::read(&file).unwrap());
        assert_eq!(said.trim(), format!("saved\n{digest}"));
    }
}

#[test]
fn standard_output_is_not_for_an_archive_when_it_is_for_people_or_words() {
    let hoist = Hoist::with_busybox();
    let refused = |script: &str| hoist.eval(script).fails_with(1).stderr;
    let printed = refused(r#"print("first"); image::save("busybox", "-")"#);
    assert!(printed.contains("carries what the script printed"), "{printed}");
    let exported = refused(r#"print("first"); container::create("busybox", ["true"]).export_tar("-")"#);
    assert!(exported.contains("carries what the script printed"), "{exported}");
    let save = r#"image::save("busybox", "-")"#;
    assert!(refused(&format!("{save}; {save}")).contains("carries an archive already"));
    let (root, run) = (hoist.root(), hoist.run_root());
    let command = format!(
        "{} --root {} --run-root {} eval '{save}'; echo ended with $?",
        PROGRAM,
        root.display(),
        run.display()
    );
    let shown = tool(&hoist.dir(), "script", &["--quiet", "--command", &command, "/dev/null"]);
    assert!(shown.contains("standard output is a terminal"), "{shown}");
    assert!(shown.contains("ended with 1"), "{shown}");
}

#[test]
fn what_is_no_file_is_written_to_and_stays_what_it_is() {
    let hoist = Hoist::with_busybox();
    let script = r#"mkfifo pipe; cat pipe > copy.tar & ln -s real.tar link.tar; echo old > real.tar
        for place in pipe link.tar; do "$1" --root "$2" --run-root "$3" eval "image::save(\"busybox\", \"$place\").size"; done
        wait; test -p pipe; test -L link.tar; cmp copy.tar real.tar"#;
    let (root, run) = (hoist.root(), hoist.run_root());
    let (root, run) = (root.to_str().unwrap(), run.to_str().unwrap());
    tool(&hoist.dir(), "sh", &["-euc", script, "sh", PROGRAM, root, run]);
    let directory = hoist.eval(r#"image::save("busybox", ".")"#).fails_with(1);
    assert!(directory.stderr.contains("is a directory"), "{}", directory.stderr);
}

#[test]
fn a_killed_save_leaves_nothing_that_the_next_does_not_clear() {
    let hoist = Hoist::new();
    load(&hoist, "debian.docker.tar");
    for (format, dest) in [("docker", "out.tar"), ("oci-dir", "out")] {
        let save =
            format!(r#"image::save(image::list()[0], "{dest}", #{{format: "{format}", compression: "gzip"}}).size"#);
        let running = hoist.command(&["eval", &save]).spawn();
        running.wait_until_it_has_open(&hoist.dir());
        running.signal(nix::sys::signal::Signal::SIGKILL);
        running.wait_only();
        assert!(!hoist.file(dest).exists());
        hoist.eval(&save).success();
        let names = fs::read_dir(hoist.dir())
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        let strays: Vec<_> = names.filter(|name| name.to_str().unwrap().starts_with('.')).collect();
        assert!(strays.is_empty(), "{strays:?}");
    }
}

/// A name that meant another image is loud, whoever's archive it is; with `tags: false` no name moves.
#[test]
fn the_names_a_load_sets_are_told() {
    let hoist = Hoist::with_busybox();
    let (layers, busybox) = (
        load(&hoist, "layers.docker.tar"),
        hoist.value(r#"image::get("busybox").id"#),
    );
    let file = hoist.file("taken.tar");
    let (file, short) = (file.display(), |id: &str| id["sha256:".len()..][..12].to_owned());
    let save = format!(
        r#"image::tag("{layers}", "taken:1"); image::save(["taken:1"], "{file}"); image::tag("busybox", "taken:1")"#
    );
    hoist.eval(&save).success();
    let kept = hoist
        .eval(&format!(r#"image::load("{file}", #{{tags: false}}).len()"#))
        .success();
    assert_eq!(kept.stderr, "");
    assert_eq!(hoist.value(r#"image::get("taken:1").id"#), busybox);
    let moved = hoist.eval(&format!(r#"image::load("{file}").len()"#)).success();
    let told = format!(
        "warn: `taken:1` is now `{}`, no longer `{}`\n",
        short(&layers),
        short(busybox.as_str().unwrap())
    );
    assert_eq!(moved.stderr, told);
    let again = hoist.eval(&format!(r#"image::load("{file}").len()"#)).success();
    assert_eq!(again.stderr, format!("info: `taken:1` is `{}`\n", short(&layers)));
}

#[test]
fn layers_of_zstd_in_dockers_form_are_read_by_docker_and_podman() {
    let (hoist, peers) = (Hoist::new(), Peers::new());
    let id = load(&hoist, "layers.docker.tar");
    let (zstd, saved) = (peers.file("zstd.tar"), peers.file("saved.tar"));
    hoist
        .eval(&format!(
            r#"image::save("{id}", "{}", #{{format: "oci-archive", compression: "zstd"}}).size"#,
            zstd.display()
        ))
        .success();
    let other = Hoist::new();
    other
        .eval(&format!(
            r#"let i = image::load("{}")[0]; i.tag("example.org/zstd:1"); image::save("example.org/zstd:1", "{}").size"#,
            zstd.display(),
            saved.display()
        ))
        .success();
    let saved = saved.to_str().unwrap();
    let script = r#"
        docker load --quiet --input "$1" >&2
        docker run --rm --network none --ulimit nofile=1024:1024 example.org/zstd:1 cat /whole/new"#;
    peers.docker(script, &[saved]).success().stdout_is("new");
    peers.podman(&["load", "--quiet", "--input", saved]).success();
    let run = [
        "run",
        "--rm",
        "--network",
        "none",
        "example.org/zstd:1",
        "cat",
        "/whole/new",
    ];
    peers.podman(&run).success().stdout_is("new");
}

/// With its blobs dropped an image takes the space of its files, and is saved as the same image, whose tree is the same elsewhere.
fn comes_back_without_its_blobs(archive: &str, options: &str) {
    let (hoist, other) = (Hoist::new(), Hoist::new());
    let rule = hoist.write("hoist.toml", "[store]\nblobs = \"drop\"\n");
    let run = |hoist: &Hoist, script: &str| {
        hoist.run(&["--config", rule.to_str().unwrap(), "--format", "json", "eval", script])
    };
    let input = inputs::path(archive);
    let loaded = run(&hoist, &format!(r#"image::load("{}")[0].id"#, input.display()))
        .success()
        .json();
    let id = loaded.as_str().unwrap();
    assert_eq!(id, inputs::image_id(archive), "{archive}");
    let layers = hoist.value(r#"image::list()[0].layers.len()"#);
    let blobs = fs::read_dir(hoist.root().join("content/blobs/sha256")).unwrap().count();
    assert_eq!(blobs, 2, "only the manifest and the configuration stay");
    let file = hoist.file("saved.tar");
    let save = format!(r#"image::save("{id}", "{}"{options})"#, file.display());
    let saved = run(&hoist, &save).success();
    assert!(
        saved.stderr.starts_with("warn: made again from their files"),
        "{}",
        saved.stderr
    );
    assert_eq!(layers, saved.json()["rebuilt"].as_array().unwrap().len());
    assert!(hoist.staged().is_empty());
    assert_eq!(other.value(&format!(r#"image::load("{}")[0].id"#, file.display())), id);
    let tree = |hoist: &Hoist| Tree::read(&Merged::of(hoist, id).path());
    tree(&hoist).assert_same(&tree(&other), Ignore::default());
    // Kept again: the blobs come back with the archive, and the first image is saved as it came.
    hoist
        .eval(&format!(r#"image::load("{}").len()"#, input.display()))
        .success();
    let again = hoist.value(&format!(r#"image::save("{id}", "{}").rebuilt"#, file.display()));
    assert_eq!(again, serde_json::json!([]));
    let remove = "for c in container::list(#{all: true}) { c.remove(); } image::remove(image::list()[0])";
    hoist.eval(remove).success();
    for dir in ["layers", "content/blobs/sha256"] {
        assert_eq!(fs::read_dir(hoist.root().join(dir)).unwrap().count(), 0, "{dir}");
    }
}

#[test]
fn debian_comes_back_without_its_blobs() {
    comes_back_without_its_blobs("debian.skopeo.oci.tar", "");
}

#[test]
fn layers_come_back_without_their_blobs() {
    comes_back_without_its_blobs("layers.docker.tar", "");
    comes_back_without_its_blobs(
        "layers.podman.oci.tar",
        r#", #{format: "oci-archive", compression: "zstd"}"#,
    );
}

/// The most memory that the program had at once when the script ends, in KiB.
fn peak(hoist: &Hoist, script: &str) -> u64 {
    let output = hoist.eval(&format!(
        r#"{script}; print(fs::read_lines("/proc/self/status").filter(|l| l.starts_with("VmHWM"))[0])"#
    ));
    let told = output.success().stdout;
    told.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// At most so much more than the program takes for itself, which unoptimised is mostly pages of its file; whatever the size of the image.
#[test]
fn memory_does_not_grow_with_the_image() {
    let hoist = Hoist::new();
    let most = peak(&hoist, "0") + (48 << 10);
    let archive = inputs::path("debian.skopeo.oci.tar");
    let archive = archive.display();
    for script in [
        format!(r#"image::load("{archive}")"#),
        r#"image::save(image::list()[0], "plain.tar")"#.to_owned(),
        r#"image::save(image::list()[0], "gzip.tar", #{format: "oci-archive", compression: "none"})"#.to_owned(),
        r#"image::save(image::list()[0], "zstd.tar", #{format: "oci-archive", compression: "zstd"})"#.to_owned(),
        r#"image::save(image::list()[0], "wrapped.tar.gz", #{compression: "gzip"})"#.to_owned(),
        r#"image::load("wrapped.tar.gz")"#.to_owned(),
    ] {
        let kib = peak(&hoist, &script);
        assert!(kib < most, "{script} took {kib} KiB of {most}");
    }
}

#[test]
fn several_images_go_into_one_archive_and_come_back() {
    let hoist = Hoist::new();
    let (one, two) = (load(&hoist, "busybox.docker.tar"), load(&hoist, "layers.docker.tar"));
    let path = hoist.file("both.tar");
    hoist
        .eval(&format!(
            r#"image::save(["{one}", "{two}"], "{}").size"#,
            path.display()
        ))
        .success();
    let other = Hoist::new();
    let ids = other.value(&format!(r#"image::load("{}").map(|i| i.id)"#, path.display()));
    let mut ids: Vec<_> = ids
        .as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    let mut expected = vec![one, two];
    expected.sort();
    assert_eq!(ids, expected);
}
