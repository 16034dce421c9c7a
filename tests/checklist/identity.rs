//! Lines 22 and 23: what an image is called, and how it came to be.

use serde_json::{Value, json};

use super::load;
use crate::harness::forge::{self, Files};
use crate::harness::members::{Member, archive};
use crate::harness::{Hoist, Peers, tool};

const PLAIN: &str = "application/vnd.oci.image.layer.v1.tar";

/// Documents that no serialiser would write so: fields nobody knows, in no order, with blanks, escapes and numbers of every form.
fn odd_image(layer: &[u8]) -> (Vec<u8>, Files) {
    let diff_id = forge::sha256(layer);
    let config = format!(
        r#"{{ "x-first":[ 1.0,1e3 ,{{"b":null,"a":true}} ],  "os":"linux",
  "rootfs" : {{"diff_ids":["sha256:{diff_id}"],"type":"layers","x":"\u00e9\/"}},
	"config":{{"Cmd":["sh"],"Healthcheck":{{"Test":["CMD-SHELL","true"],"Interval":30000000000}},"OnBuild":["RUN a"],"Shell":["/bin/x"],
  "StopTimeout":7,"MacAddress":"","ArgsEscaped":true,"Env":null}},"architecture":"amd64", "history":[{{"created_by":"a","x-y":[]}}], "created":"2026-01-01T00:00:00Z"}}
"#
    );
    let config = config.into_bytes();
    let layers = [(forge::descriptor(PLAIN, layer), layer.to_vec())];
    let files = Files::oci_by(
        config.clone(),
        &layers,
        |manifest| {
            format!("\n{{\"x-unknown\": 1.50,\n \"layers\":{},  \"config\" :{},\"annotations\":{{\"z\":\"1\",\"a\":\"\\u00e9\"}},\"schemaVersion\":2}}\n\n", manifest["layers"], manifest["config"]).into_bytes()
        },
        |index| forge::bytes(&index),
    );
    (config, files)
}

#[test]
fn c22_documents_stay_as_received_byte_for_byte() {
    let layer = archive(&[Member::file("a", "a")]);
    let (config, files) = odd_image(&layer);
    let hoist = Hoist::new();
    let id = load(&hoist, &files);
    assert_eq!(id, format!("sha256:{}", forge::sha256(&config)));
    for (name, format) in [
        ("docker.tar", "docker"),
        ("oci.tar", "oci-archive"),
        ("layout", "oci-dir"),
    ] {
        let path = hoist.file(name);
        hoist
            .eval(&format!(
                r#"image::save("{id}", "{}", #{{format: "{format}"}}).size"#,
                path.display()
            ))
            .success();
        let dir = hoist.file(&format!("{name}.dir"));
        if format == "oci-dir" {
            std::fs::rename(&path, &dir).unwrap();
        } else {
            std::fs::create_dir(&dir).unwrap();
            tool(&dir, "tar", &["-xf", path.to_str().unwrap()]);
        }
        for (name, content) in files.0.iter().filter(|(name, _)| name.starts_with("blobs/")) {
            assert!(std::fs::read(dir.join(name)).unwrap() == *content, "{format}: {name}");
        }
    }
    // A docker archive names the configuration, whatever it looks like.
    let saved = Files::docker(&[layer], "it:1");
    let name = saved
        .0
        .keys()
        .find(|name| name.ends_with(".json") && *name != "manifest.json")
        .unwrap()
        .clone();
    let docker = Files(saved.0.into_iter().filter(|(known, _)| *known != name).collect());
    let docker = docker.with("c.json", |_| config.clone()).with("manifest.json", |old| {
        String::from_utf8(old).unwrap().replace(&name, "c.json").into_bytes()
    });
    assert_eq!(load(&Hoist::new(), &docker), id);
}

#[test]
fn c22_ids_and_manifest_digests_name_an_image_whole_and_by_their_first_digits() {
    let hoist = Hoist::new();
    let files = Files::oci(&[archive(&[Member::file("a", "a")])], "it:1");
    let id = load(&hoist, &files);
    let shown = hoist.value(&format!(r#"let i = image::get("{id}"); [i.id, i.digest]"#));
    let digest = shown[1].as_str().unwrap();
    assert_eq!(shown[0], id.as_str());
    assert!(
        files.0.contains_key(&format!("blobs/sha256/{}", &digest[7..])),
        "the digest is the manifest's"
    );
    for name in [
        id.clone(),
        id[7..].to_owned(),
        id[7..19].to_owned(),
        id[7..11].to_owned(),
        digest.to_owned(),
        digest[7..].to_owned(),
        digest[7..19].to_owned(),
        digest[7..11].to_owned(),
        format!("it@{digest}"),
        format!("it:1@{digest}"),
    ] {
        assert_eq!(
            hoist.value(&format!(r#"image::get("{name}").id"#)),
            id.as_str(),
            "{name}"
        );
    }
    // A name wins over the start of an id, and a digest over the tag beside it.
    let other = load(
        &hoist,
        &Files::oci(&[archive(&[Member::file("b", "b")])], &format!("{}:latest", &id[7..13])),
    );
    assert_eq!(
        hoist.value(&format!(r#"image::get("{}").id"#, &id[7..13])),
        other.as_str()
    );
    assert_eq!(
        hoist.value(&format!(r#"image::get("it:gone@{digest}").id"#)),
        id.as_str()
    );
}

#[test]
fn c23_history_is_told_as_docker_tells_it() {
    let layers: Vec<Vec<u8>> = ["one", "three"]
        .iter()
        .map(|text| archive(&[Member::file(*text, *text)]))
        .collect();
    let mut config: Value = serde_json::from_slice(&forge::config(&layers)).unwrap();
    let step = |by: &str, comment: &str, empty: bool| json!({"created": "2026-01-01T00:00:00Z", "created_by": by, "comment": comment, "author": "me", "empty_layer": empty});
    config["history"] = json!([
        step("COPY one", "", false),
        step("ENV a=b", "of no layer", true),
        {"created": "2026-01-02T00:00:00Z", "created_by": "COPY three"},
        step("CMD x", "", true),
    ]);
    let blobs: Vec<_> = layers
        .iter()
        .map(|layer| (forge::descriptor(PLAIN, layer), layer.clone()))
        .collect();
    let files = Files::oci_by(
        forge::bytes(&config),
        &blobs,
        |it| forge::bytes(&it),
        |it| forge::bytes(&it),
    );
    let (hoist, peers) = (Hoist::new(), Peers::new());
    let id = load(&hoist, &files);
    let ours = hoist.value(&format!(
        r#"image::history("{id}").map(|s| [s.created_by, s.comment, s.size, s.id])"#
    ));
    assert_eq!(
        ours,
        json!([
            ["CMD x", "", 0, id],
            ["COPY three", "", 5, "<missing>"],
            ["ENV a=b", "of no layer", 0, "<missing>"],
            ["COPY one", "", 3, "<missing>"]
        ])
    );
    let empty = hoist.value(&format!(
        r#"image::history("{id}").map(|s| [s.empty_layer, s.created == ()])"#
    ));
    assert_eq!(
        empty,
        json!([[true, false], [false, false], [true, false], [false, false]])
    );
    let path = peers.file("it.tar");
    hoist
        .eval(&format!(
            r#"image::tag("{id}", "it:1"); image::save("it:1", "{}").size"#,
            path.display()
        ))
        .success();
    // Docker sizes a layer by its blocks or bytes, depending on its store; words and order are the same.
    let script = r#"docker load --quiet --input "$1" >/dev/null; docker history --no-trunc --human=false --format "{{.CreatedBy}}|{{.Comment}}|{{.Size}}|{{.ID}}" it:1"#;
    let theirs = peers.docker(script, &[path.to_str().unwrap()]).success();
    let ours: Vec<String> = ours
        .as_array()
        .unwrap()
        .iter()
        .map(|step| {
            format!(
                "{}|{}|{}|{}",
                step[0].as_str().unwrap(),
                step[1].as_str().unwrap(),
                step[2],
                step[3].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(theirs.stdout.lines().collect::<Vec<_>>(), ours);
    // What was committed here is known to be made from it.
    let ids = hoist.value(
        r#"let i = container::create("it:1", ["x"]).commit("next:1"); [i.id, i.parent] + i.history().map(|s| s.id)"#,
    );
    assert_eq!(
        ids,
        json!([ids[0], id, ids[0], id, "<missing>", "<missing>", "<missing>"])
    );
}
