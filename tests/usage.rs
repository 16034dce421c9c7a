//! `system::df`: what it tells is what `du` counts.

use crate::harness::{Hoist, Served, inputs, tool};

fn du(hoist: &Hoist, part: &str) -> u64 {
    let said = tool(&hoist.root(), "du", &["--block-size=1", "--summarize", part]);
    said.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn it_tells_what_du_counts() {
    let hoist = Hoist::with_busybox();
    for archive in ["debian.docker.tar", "layers.podman.oci.tar", "layers.docker.tar"] {
        let path = inputs::path(archive);
        hoist
            .eval(&format!(r#"image::load("{}").len()"#, path.display()))
            .success();
    }
    let write = "dd if=/dev/zero of=/file bs=1M count=3 && ln /file /other && echo > /data/x";
    let run = format!(
        r#"let c = container::create("busybox", "{write}", #{{volumes: ["data:/data"]}}); c.start(); c.wait()"#
    );
    assert_eq!(hoist.value(&run), 0);
    let df = hoist.value("system::df()");
    assert_eq!(df["images"]["layers"], du(&hoist, "layers"), "{df:#}");
    assert_eq!(df["images"]["blobs"], du(&hoist, "content"), "{df:#}");
    assert_eq!(df["containers"]["size"], du(&hoist, "containers"), "{df:#}");
    assert_eq!(df["volumes"]["size"], du(&hoist, "volumes"), "{df:#}");
    assert_eq!(df["total"], du(&hoist, "."), "{df:#}");
    let bytes = |value: &serde_json::Value| value.as_u64().unwrap();
    let images = &df["images"];
    assert_eq!(
        bytes(&images["size"]),
        bytes(&images["layers"]) + bytes(&images["blobs"])
    );
    assert!(
        bytes(&images["shared"]) > 0 && bytes(&images["unique"]) > 100_000_000,
        "{df:#}"
    );
    assert!(bytes(&images["shared"]) + bytes(&images["unique"]) <= bytes(&images["size"]));
    assert_eq!(
        (&images["active"], &df["volumes"]["active"], &df["containers"]["active"]),
        (&1.into(), &1.into(), &0.into())
    );
    assert_eq!(df["volumes"]["reclaimable"], 0);
}

#[test]
fn a_packed_image_is_counted_as_what_it_takes() {
    let (far, hoist) = (Hoist::with_busybox(), Hoist::new());
    let served = Served::start(&far, &[]);
    let name = format!("{}/busybox", served.name());
    hoist
        .eval(&format!("image::pull({name:?}, #{{unpack: false}}).id"))
        .success();
    let packed = hoist.value("system::df()");
    assert_eq!(packed["images"]["layers"], du(&hoist, "layers"), "{packed:#}");
    assert_eq!(packed["images"]["blobs"], du(&hoist, "content"), "{packed:#}");
    assert_eq!(packed["total"], du(&hoist, "."), "{packed:#}");
    // It is unpacked when its files are wanted, and then counted with them.
    let files = format!("image::files({name:?}, \"/bin/*\").len() > 0");
    assert_eq!(hoist.value(&files), true);
    let unpacked = hoist.value("system::df()");
    assert_eq!(unpacked["images"]["layers"], du(&hoist, "layers"), "{unpacked:#}");
    let size = |df: &serde_json::Value| df["images"]["unique"].as_u64().unwrap();
    assert!(size(&unpacked) > size(&packed), "{packed:#} {unpacked:#}");
    served.stop();
}

#[test]
fn what_is_reclaimable_is_given_back() {
    let hoist = Hoist::with_busybox();
    for archive in ["layers.podman.oci.tar", "busybox.docker.tar"] {
        let path = inputs::path(archive);
        hoist
            .eval(&format!(r#"image::load("{}").len()"#, path.display()))
            .success();
    }
    hoist.eval(r#"container::create("busybox", ["true"]).id"#).success();
    let before = hoist.value("system::df()");
    hoist.eval(r#"image::prune(#{unused: true}).removed.len()"#).success();
    let after = hoist.value("system::df()");
    let size = |df: &serde_json::Value| df["images"]["size"].as_u64().unwrap();
    assert_eq!(
        size(&before) - size(&after),
        before["images"]["reclaimable"].as_u64().unwrap(),
        "{before:#} {after:#}"
    );
    assert_eq!(after["images"]["reclaimable"], 0, "{after:#}");
    hoist.eval("container::prune().removed.len()").success();
    let gone = hoist.value("system::df()");
    assert_eq!(
        (&gone["containers"]["count"], &gone["containers"]["reclaimable"]),
        (&0.into(), &0.into())
    );
}
