//! Podman and Docker with this runtime.

use std::os::unix::fs::PermissionsExt;

use crate::harness::{PROGRAM, Peers, inputs};

/// The program under the name by which engines call it, where they see it.
fn runtime(peers: &Peers) -> String {
    let path = peers.file("hoist-oci");
    std::fs::copy(PROGRAM, &path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// What both engines do: `$engine` is one with its options, `$run` its `run`, `$image` an image with a busybox.
const ACTS: &str = r#"
    code() { "$@" 2>&1 || echo "code $?"; }
    code $run --rm $image sh -c 'echo hello; exit 3'
    code $run --rm $image nothing | grep -o 'code.*'
    code $run --rm $image /etc | grep -o 'code.*'
    $run --detach --name it $image sh -c 'trap "echo asked; exit 5" TERM; echo up; while :; do sleep 0.05; done' >/dev/null
    until $engine logs it | grep -q up; do sleep 0.05; done
    code $engine exec it sh -c 'echo inside; exit 4'
    $engine pause it >/dev/null; $engine ps --all --format '{{.Status}}' | grep -o Paused || true; $engine unpause it >/dev/null
    code $engine exec --tty it tty
    $engine stop it >/dev/null; $engine logs it; $engine inspect --format '{{.State.Status}} {{.State.ExitCode}}' it; $engine rm it >/dev/null
    $run --rm --tty $image sh -c 'tty; stty size >/dev/null && echo sized' </dev/null
    code $run --rm --read-only --tmpfs /tmp --volume /etc:/host:ro --memory 64m --pids-limit 50 --cpus 0.5 $image \
        sh -c 'touch /x 2>&1; touch /tmp/x /host/x 2>&1; test -e /host/passwd && echo seen'
    $run --rm --privileged $image sh -c 'mount -t tmpfs x /tmp && echo mounted'
    $run --rm --user 5:6 $image sh -c 'id -u; id -g'
    $run --detach --name it $image sleep 1000 >/dev/null; $engine kill it >/dev/null; $engine wait it; $engine rm it >/dev/null
"#;

const EXPECTED: &str = "hello
code 3
code 127
code 126
inside
code 4
Paused
/dev/pts/0
up
asked
exited 5
/dev/pts/0
sized
touch: /x: Read-only file system
touch: /host/x: Read-only file system
seen
mounted
5
6
137";

#[test]
fn podman_drives_it() {
    let peers = Peers::new();
    let runtime = runtime(&peers);
    let script = format!(
        r#"
        engine="podman --root $PWD/root --runroot $PWD/run --tmpdir $PWD/tmp --cgroup-manager cgroupfs --runtime {runtime}"
        image=$($engine load --quiet --input "$1"); image=${{image#Loaded image: }}
        run="$engine run --network none"
        {ACTS}"#
    );
    let archive = inputs::path("busybox.podman.docker.tar");
    let output = peers
        .run(&["sh", "-euc", &script, "sh", archive.to_str().unwrap()])
        .success();
    assert_eq!(output.stdout.replace('\r', "").trim(), EXPECTED, "{}", output.stderr);
}

#[test]
fn docker_drives_it() {
    let peers = Peers::new();
    let runtime = runtime(&peers);
    let script = format!(
        r#"
        engine=docker
        image=$(docker load --quiet --input "$1"); image=${{image#Loaded image: }}
        run="docker run --runtime hoist --network none --ulimit nofile=1024:1024"
        {ACTS}"#
    );
    let archive = inputs::path("busybox.docker.tar");
    let options = format!("--add-runtime hoist={runtime}");
    let output = peers
        .docker_with(&options, &script, &[archive.to_str().unwrap()])
        .success();
    assert_eq!(output.stdout.replace('\r', "").trim(), EXPECTED, "{}", output.stderr);
}
