//! The certificate a server shows.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::{Context as _, Error, Result};

/// TLS with the certificate of a PEM file, whose chain may follow it, and the key of another.
pub(in crate::server) fn server_config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>> {
    let read = |path: &Path| std::fs::read(path).during(|| format!("read `{}`", path.display()));
    let bad = |path: &Path, what: &str| Error::invalid(format!("`{}` holds no {what} in PEM form", path.display()));
    let chain: Vec<CertificateDer<'_>> = CertificateDer::pem_slice_iter(&read(certificate)?)
        .collect::<std::result::Result<_, _>>()
        .map_err(|_| bad(certificate, "certificate"))?;
    if chain.is_empty() {
        return Err(bad(certificate, "certificate"));
    }
    let secret = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|_| bad(key, "private key"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let built = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, secret));
    let mut config = built.map_err(|cause| {
        let (certificate, key) = (certificate.display(), key.display());
        Error::invalid(format!(
            "the certificate `{certificate}` and the key `{key}` cannot be used: {cause}"
        ))
        .source(cause)
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
