//! A place for containers with a busybox root; they are deleted with it, and nothing of them may stay.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hoist::error::Error;
use hoist::model::{ContainerId, Context};
use hoist::runtime::{self, Bundle, Contents, ExecRequest, Exit, Output, Request, Status, Stdin};

/// A place for containers with one busybox layer; all of them are deleted at the end.
pub(super) struct Place {
    pub(super) dir: tempfile::TempDir,
    bundles: std::cell::RefCell<Vec<Bundle>>,
}

/// What a run came to.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) exit: Exit,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Place {
    pub(super) fn new() -> Place {
        runtime::set_executable(env!("CARGO_BIN_EXE_hoist"));
        let dir = tempfile::tempdir().unwrap();
        let layer = dir.path().join("layer");
        for name in ["bin", "etc", "proc", "tmp"] {
            fs::create_dir_all(layer.join(name)).unwrap();
        }
        let busybox = ["/bin/busybox", "/usr/bin/busybox"]
            .iter()
            .find(|path| Path::new(path).exists());
        fs::copy(busybox.expect("install busybox-static"), layer.join("bin/busybox")).unwrap();
        for applet in "sh true false cat echo id ls sleep hostname mount grep pwd touch kill env ping wc head yes dd mkdir ps stat seq rm".split(' ') {
            symlink("busybox", layer.join("bin").join(applet)).unwrap();
        }
        fs::write(
            layer.join("etc/passwd"),
            "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n",
        )
        .unwrap();
        fs::write(layer.join("etc/group"), "root:x:0:\nstaff:x:50:app\n").unwrap();
        Place {
            dir,
            bundles: Vec::new().into(),
        }
    }

    pub(super) fn layer(&self) -> PathBuf {
        self.dir.path().join("layer")
    }

    pub(super) fn request(&self, script: &str) -> Request {
        let args = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        Request {
            args,
            lower: vec![self.layer()],
            volatile: true,
            ..Request::default()
        }
    }

    pub(super) fn create(&self, request: &Request) -> Bundle {
        self.try_create(request).unwrap()
    }

    pub(super) fn try_create(&self, request: &Request) -> Result<Bundle, Error> {
        let id = ContainerId::generate().unwrap();
        let (dir, run_dir) = (
            self.dir.path().join("c").join(id.as_str()),
            self.dir.path().join("r").join(id.as_str()),
        );
        let bundle = Bundle { id, dir, run_dir };
        self.bundles.borrow_mut().push(bundle.clone());
        runtime::create(&bundle, request)?;
        Ok(bundle)
    }

    pub(super) fn run(&self, request: &Request) -> Ran {
        run(&Context::new(), &self.create(request), Stdin::Null).unwrap()
    }

    pub(super) fn sh(&self, script: &str) -> String {
        let ran = self.run(&self.request(script));
        assert_eq!(ran.exit.code, 0, "{script}: {}{}", ran.stdout, ran.stderr);
        ran.stdout
    }

    pub(super) fn start(&self, request: &Request) -> Bundle {
        let bundle = self.create(&Request {
            volatile: false,
            ..request.clone()
        });
        runtime::start(&Context::new(), &bundle, &Contents::default()).unwrap();
        bundle
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for bundle in self.bundles.borrow().iter() {
            let deleted = runtime::delete(bundle);
            if !std::thread::panicking() {
                deleted.unwrap();
                assert!(leftovers(bundle).is_empty(), "{:?}", leftovers(bundle));
            }
        }
    }
}

pub(super) fn run(ctx: &Context, bundle: &Bundle, stdin: Stdin) -> Result<Ran, Error> {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let output = Output {
        stdout: Box::new(|bytes| stdout.extend_from_slice(bytes)),
        stderr: Box::new(|bytes| stderr.extend_from_slice(bytes)),
    };
    let (exit, remains) = runtime::run(ctx, bundle, &Contents::default(), stdin, output)?;
    remains.wait();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Ran {
        exit,
        stdout: text(stdout),
        stderr: text(stderr),
    })
}

pub(super) fn exec(bundle: &Bundle, request: &ExecRequest, stdin: Stdin) -> Result<Ran, Error> {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let output = Output {
        stdout: Box::new(|bytes| stdout.extend_from_slice(bytes)),
        stderr: Box::new(|bytes| stderr.extend_from_slice(bytes)),
    };
    let exit = runtime::exec(&Context::new(), bundle, request, stdin, output)?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Ran {
        exit,
        stdout: text(stdout),
        stderr: text(stderr),
    })
}

pub(super) fn command(script: &str) -> ExecRequest {
    ExecRequest {
        args: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        ..ExecRequest::default()
    }
}

pub(super) fn status(bundle: &Bundle) -> Status {
    runtime::state(bundle).unwrap().status
}

/// Waits until something is so; what is waited for is another process's doing, which has no descriptor to wait on.
pub(super) fn until(what: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !what() {
        assert!(Instant::now() < end, "it never happened");
        Context::new().sleep(Duration::from_millis(2)).unwrap();
    }
}

/// Mounts, control groups and files that still bear a container's id.
fn leftovers(bundle: &Bundle) -> Vec<String> {
    let id = bundle.id.as_str();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut left: Vec<String> = mounts
        .lines()
        .filter(|line| line.contains(id))
        .map(str::to_owned)
        .collect();
    for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
        for group in ["hoist", "process_api/hoist"] {
            let path = hierarchy.path().join(group).join(id);
            left.extend(path.exists().then(|| path.display().to_string()));
        }
    }
    left.extend(
        [&bundle.dir, &bundle.run_dir]
            .into_iter()
            .filter(|dir| dir.exists())
            .map(|dir| dir.display().to_string()),
    );
    left
}
