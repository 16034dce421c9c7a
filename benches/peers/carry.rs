//! Images from one registry to another, or to a directory, and repositories that are kept as others are.

use crate::REST;
use crate::arena::{Arena, remove, run};
use crate::compare::{Contestant, compare};
use crate::crane::{Fresh, Registry};

const ROUNDS: usize = 5;
/// Tags of the repository that is mirrored.
const TAGS: usize = 200;

pub(crate) fn copy(arena: &Arena) {
    let (source, fresh) = (Registry::new(), &Fresh::default());
    for name in ["debian", "ten"] {
        let from = source.with(arena, name);
        let (remote, at) = (format!("docker://{from}"), || fresh.name("bench/it:1"));
        let skopeo = || {
            let target = format!("docker://{}", at());
            let words = ["skopeo", "copy", "--quiet", "--src-tls-verify=false"];
            run(&[&words[..], &["--dest-tls-verify=false", &remote, &target]].concat())
        };
        let own = || arena.hoist(&format!(r#"registry::copy("{from}", "{}")"#, at()));
        let sides = [
            Contestant::new("hoist", own).before(|| fresh.renew()),
            Contestant::new("skopeo", skopeo).before(|| fresh.renew()),
            Contestant::new("crane", || run(&["crane", "copy", "--insecure", &from, &at()])).before(|| fresh.renew()),
        ];
        compare(
            &format!("copy: `{name}` from registry to registry"),
            ROUNDS,
            REST,
            &sides,
        );
        let layout = arena.path("carried");
        let clear = || remove(&arena.dir.join("carried"));
        let target = format!("oci:{layout}:1");
        let skopeo = || run(&["skopeo", "copy", "--quiet", "--src-tls-verify=false", &remote, &target]);
        let crane = || run(&["crane", "pull", "--insecure", "--format", "oci", &from, &layout]);
        let own = || arena.hoist(&format!(r#"registry::copy("{from}", "oci-dir:{layout}:1")"#));
        let sides = [
            Contestant::new("hoist", own).before(clear),
            Contestant::new("skopeo", skopeo).before(clear),
            Contestant::new("crane", crane).before(clear),
        ];
        compare(
            &format!("copy: `{name}` from a registry to an OCI layout"),
            ROUNDS,
            REST,
            &sides,
        );
    }
}

pub(crate) fn mirror(arena: &Arena) {
    let (source, mirror) = (Registry::new(), Registry::new());
    let first = source.with(arena, "ten");
    let repository = first.trim_end_matches(":1");
    arena.fresh_hoist();
    arena.hoist(&format!(
        r#"for number in 2..={TAGS} {{ registry::tag("{first}", number.to_string()); }}"#
    ));
    let target = format!("{}/bench/ten", mirror.address);
    let own = || arena.hoist(&format!(r#"registry::mirror("{repository}", "{target}")"#));
    let skopeo = || {
        let words = [
            "skopeo",
            "sync",
            "--src",
            "docker",
            "--dest",
            "docker",
            "--src-tls-verify=false",
        ];
        let place = format!("{}/bench", mirror.address);
        run(&[&words[..], &["--dest-tls-verify=false", repository, &place]].concat())
    };
    own();
    let sides = [Contestant::new("hoist", own), Contestant::new("skopeo", skopeo)];
    compare(
        &format!("mirror: {TAGS} tags, none of them changed"),
        ROUNDS,
        REST,
        &sides,
    );
}
