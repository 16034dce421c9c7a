//! The registry that the program serves: the protocol word by word, other tools as its clients, and clients that mean no good.

mod access;
mod crash;
mod discovery;
mod limits;
mod peers;
mod proxy;
mod pull;
mod push;
mod upkeep;

/// A configuration that is no image's.
const CONFIG: &str = "{}";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A manifest of an artifact with one layer, after its blobs have been pushed.
#[track_caller]
fn artifact(served: &crate::harness::Served, repository: &str, layer: &[u8]) -> String {
    let config = served.push_blob(repository, CONFIG.as_bytes());
    let digest = served.push_blob(repository, layer);
    let length = layer.len();
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{config}","size":2}},"layers":[{{"mediaType":"a/b","digest":"{digest}","size":{length}}}]}}"#
    )
}
