//! Certificates that both connections trust: the machine's own, and those of a file that a URL names.

use anyhow::{Context, bail};
use rustls::pki_types::{CertificateDer, pem::PemObject};

/// A client that verifies the server's certificate and its name.
///
/// `root_certificate_file` is a PEM file; without it the machine's certificates count.
pub(crate) fn verifying_client(root_certificate_file: Option<&str>) -> anyhow::Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    match root_certificate_file {
        Some(path) => {
            let certificates = CertificateDer::pem_file_iter(path)
                .with_context(|| format!("cannot read the root certificates in {path}"))?;
            for certificate in certificates {
                roots.add(
                    certificate.with_context(|| format!("{path} holds something that is no certificate"))?,
                )?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
        }
    }
    if roots.is_empty() {
        bail!("no root certificate to verify the server with: name a PEM file in the URL");
    }
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
