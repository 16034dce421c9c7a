//! A registry to send to and get from: crane's, which has all in memory and waits for nothing.

use std::cell::RefCell;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::arena::{Arena, run};
use crate::forge::input;

/// A registry that ends with this value.
pub(crate) struct Registry {
    process: Child,
    pub(crate) address: String,
}

impl Registry {
    pub(crate) fn new() -> Registry {
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

    /// Its name for an image that is made to measure with, which is put there.
    pub(crate) fn with(&self, arena: &Arena, name: &'static str) -> String {
        let image = format!("{}/bench/{name}:1", self.address);
        let layout = input(arena, name).layout;
        run(&[
            "skopeo",
            "copy",
            "--quiet",
            "--dest-tls-verify=false",
            &format!("oci:{layout}:latest"),
            &format!("docker://{image}"),
        ]);
        image
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A registry that is new, and empty, whenever that is wanted.
#[derive(Default)]
pub(crate) struct Fresh(RefCell<Option<Registry>>);

impl Fresh {
    pub(crate) fn renew(&self) {
        *self.0.borrow_mut() = Some(Registry::new());
    }

    /// The name of an image in it.
    pub(crate) fn name(&self, image: &str) -> String {
        let registry = self.0.borrow();
        format!("{}/{image}", registry.as_ref().expect("it is renewed first").address)
    }
}
