//! TLS of a listener: its certificate, read again when its files change, and clients' certificates where they are asked for.
//! What cannot be used does not replace what can.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::listen::{Peer, Stream};
use crate::config::TlsConfig;

/// What connections are encrypted with now. TLS 1.2 and 1.3 are all that rustls speaks.
pub struct Tls {
    files: TlsConfig,
    current: ArcSwap<ServerConfig>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Tls").field(&self.files).finish()
    }
}

/// The bytes of the files.
#[derive(PartialEq)]
struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Tls {
    /// Reads the files.
    pub fn open(files: &TlsConfig) -> Result<Arc<Self>, String> {
        let config = Contents::read(files)?.config(files)?;
        Ok(Arc::new(Self {
            files: files.clone(),
            current: ArcSwap::from_pointee(config),
        }))
    }

    /// Looks at the files again and again. Connections that there are keep what they began with.
    pub async fn follow(self: Arc<Self>, every: Duration) {
        // Nothing is known of what the files held when they were opened: the first look reads them anew.
        let mut seen = None;
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let tls = self.clone();
            let looking = tokio::task::spawn_blocking(move || {
                let now = Contents::read(&tls.files);
                let is_new = seen.as_ref() != Some(&now);
                if is_new {
                    tls.take(&now, seen.is_none());
                }
                Some(now)
            });
            match looking.await {
                Ok(now) => seen = now,
                Err(_) => return,
            }
        }
    }

    fn take(&self, contents: &Result<Contents, String>, is_first: bool) {
        let config = contents.as_ref().map_err(Clone::clone);
        match config.and_then(|contents| contents.config(&self.files)) {
            Ok(config) => {
                self.current.store(Arc::new(config));
                if !is_first {
                    tracing::info!(file = %self.files.cert_file.display(), "a new certificate is in service");
                }
            }
            Err(error) => {
                tracing::error!("the certificate in service stays, since the new one cannot be used: {error}")
            }
        }
    }

    /// Agrees with a client on how to encrypt.
    pub(super) async fn accept(&self, stream: Stream, mut peer: Peer) -> std::io::Result<(Stream, Peer)> {
        let Stream::Tcp(stream) = stream else {
            return Ok((stream, peer));
        };
        let acceptor = TlsAcceptor::from(self.current.load_full());
        let stream = acceptor.accept(stream).await?;
        // It was verified in the handshake, or there is none.
        peer.has_certificate = stream.get_ref().1.peer_certificates().is_some();
        Ok((Stream::Tls(Box::new(stream)), peer))
    }
}

impl Contents {
    fn read(files: &TlsConfig) -> Result<Self, String> {
        let read = |path: &Path| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
        Ok(Self {
            cert: read(&files.cert_file)?,
            key: read(&files.key_file)?,
            client_ca: files.client_ca_file.as_deref().map(read).transpose()?,
        })
    }

    /// Certificate and key have to belong together, which rustls checks.
    fn config(&self, files: &TlsConfig) -> Result<ServerConfig, String> {
        let chain = certificates(&self.cert, &files.cert_file)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| format!("{} holds no private key in PEM", files.key_file.display()))?;
        let builder = ServerConfig::builder();
        let builder = match (&self.client_ca, &files.client_ca_file) {
            (Some(pem), Some(path)) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(pem, path)? {
                    roots
                        .add(certificate)
                        .map_err(|error| format!("{}: {error}", path.display()))?;
                }
                let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build();
                builder.with_client_cert_verifier(verifier.map_err(|error| format!("{}: {error}", path.display()))?)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| {
            let (cert, key) = (files.cert_file.display(), files.key_file.display());
            format!("{cert} and {key} do not make a certificate: {error}")
        })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(format!("{} holds no certificate in PEM", path.display())),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}
