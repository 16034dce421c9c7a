//! Images from a registry on this machine, which is crane's: it has all in memory and waits for nothing.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::REST;
use crate::arena::{Arena, remove, run};
use crate::compare::{Contestant, compare};
use crate::forge::input;

const ROUNDS: usize = 5;

/// A registry that ends with this value.
struct Registry {
    process: Child,
    address: String,
}

impl Registry {
    fn new() -> Registry {
        let mut command = Command::new("crane");
        command.args(["registry", "serve", "--address", "127.0.0.1:0"]);
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        let port = loop {
            let line = log.next().expect("it says where it listens").unwrap();
            if let Some((_, rest)) = line.split_once("port ") {
                break rest.trim().to_owned();
            }
        };
        std::thread::spawn(move || log.for_each(drop));
        let address = format!("127.0.0.1:{port}");
        Registry { process, address }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn pull(arena: &Arena) {
    let registry = Registry::new();
    for name in ["debian", "ten", "small"] {
        let image = format!("{}/bench/{name}:1", registry.address);
        let remote = format!("docker://{image}");
        let layout = input(arena, name).layout;
        let source = format!("oci:{layout}:latest");
        run(&["skopeo", "copy", "--quiet", "--dest-tls-verify=false", &source, &remote]);
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
