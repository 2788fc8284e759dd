//! Certificates for providers over TLS, signed by an authority that exists for one test only.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

/// A certificate authority.
#[derive(Debug)]
pub struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// An authority that nobody has heard of.
    pub fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("no key for the authority");
        let certificate = params.self_signed(&key).expect("no certificate for the authority");
        Authority {
            pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// What a `ca_file` holds.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A server by this name, which is a host or an address, that offers these protocols: `h2`, `http/1.1`.
    pub fn server(&self, name: &str, protocols: &[&str]) -> Arc<ServerConfig> {
        let params = CertificateParams::new([name.to_owned()]).expect("not a name for a certificate");
        let key = KeyPair::generate().expect("no key for the server");
        let certificate = params.signed_by(&key, &self.issuer).expect("no certificate");
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("the certificate does not fit its key");
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

impl Authority {
    /// A certificate for this name and its key, both in PEM: what a `cert_file` and a `key_file` hold.
    pub fn issue(&self, name: &str) -> (String, String) {
        let params = CertificateParams::new([name.to_owned()]).expect("not a name for a certificate");
        let key = KeyPair::generate().expect("no key");
        let certificate = params.signed_by(&key, &self.issuer).expect("no certificate");
        (certificate.pem(), key.serialize_pem())
    }

    /// A client that trusts this authority alone, and shows a certificate where it has one.
    pub fn client(&self, shown: Option<&(String, String)>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        let own = CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("the authority's own certificate");
        roots.add(own).expect("the authority's own certificate");
        let builder = ClientConfig::builder().with_root_certificates(roots);
        let config = match shown {
            Some((certificate, key)) => {
                let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("a certificate");
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
                builder
                    .with_client_auth_cert(vec![certificate], key)
                    .expect("a certificate and its key")
            }
            None => builder.with_no_client_auth(),
        };
        Arc::new(config)
    }
}

impl Default for Authority {
    fn default() -> Authority {
        Authority::new()
    }
}
