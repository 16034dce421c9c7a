//! Images from a registry on this machine.

use crate::REST;
use crate::arena::{Arena, remove, run};
use crate::compare::{Contestant, compare};
use crate::crane::Registry;

const ROUNDS: usize = 5;

pub(crate) fn pull(arena: &Arena) {
    let registry = Registry::new();
    for name in ["debian", "ten", "small"] {
        let image = registry.with(arena, name);
        let remote = format!("docker://{image}");
        let own = || arena.hoist(&format!(r#"image::pull("{image}", #{{policy: "always"}})"#));
        let podman = || arena.podman(&["pull", "--quiet", "--tls-verify=false", &image]);
        let target = arena.path("copied");
        let copied = format!("oci:{target}");
        let skopeo = || run(&["skopeo", "copy", "--quiet", "--src-tls-verify=false", &remote, &copied]);
        let sides = [
            Contestant::new("hoist", own).before(|| arena.fresh_hoist()),
            Contestant::new("podman", podman).before(|| arena.fresh_podman()),
            Contestant::new("docker", || run(&["docker", "pull", "--quiet", &image])).before(|| arena.fresh_docker()),
            Contestant::new("skopeo", skopeo).before(|| remove(&arena.dir.join("copied"))),
        ];
        compare(
            &format!("pull: `{name}`, ready to run; skopeo does not unpack"),
            ROUNDS,
            REST,
            &sides,
        );
        let packed = || {
            arena.hoist(&format!(
                r#"image::pull("{image}", #{{policy: "always", unpack: false}})"#
            ))
        };
        let clear = || remove(&arena.dir.join("copied"));
        let crane = || run(&["crane", "pull", "--insecure", "--format", "oci", &image, &target]);
        let sides = [
            Contestant::new("hoist", packed).before(|| arena.fresh_hoist()),
            Contestant::new("skopeo", skopeo).before(clear),
            Contestant::new("crane", crane).before(clear),
        ];
        compare(
            &format!("pull: `{name}`, kept packed; the others to an OCI layout"),
            ROUNDS,
            REST,
            &sides,
        );
        arena.fresh_hoist();
        own();
        let sides = [
            Contestant::new("hoist", own),
            Contestant::new("crane", || run(&["crane", "digest", "--insecure", &image])),
        ];
        compare(
            &format!("pull: `{name}` again; crane asks for its digest"),
            ROUNDS,
            REST,
            &sides,
        );
    }
}
