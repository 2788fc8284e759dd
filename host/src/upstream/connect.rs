//! From a base URL to a connection: TCP, TLS and the choice of the HTTP version.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fmt, io};

use hyper::Uri;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer};

use super::UpstreamError;
use super::reach::{Unreached, reach};
use super::shared::Shared;
use crate::load::OpenFile;

/// Scheme, host, port and path prefix of a provider: what its key is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether the scheme is https.
    pub is_tls: bool,
    host: String,
    port: u16,
    /// Without a slash at its end.
    prefix: String,
    authority: String,
    /// Whether a public name may lead to an address that is not.
    may_be_private: bool,
}

impl Endpoint {
    /// Whether its host is a domain, or one below it.
    pub fn is_below(&self, domain: &str) -> bool {
        self.host
            .strip_suffix(domain)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }

    /// Reads a base URL.
    pub fn parse(url: &str) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|error| format!("not a URL: {error}"))?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("the scheme must be http or https".to_owned()),
        };
        let authority = uri.authority().ok_or("a URL needs a host")?;
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err("a base URL has no user and no query".to_owned());
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let prefix = uri.path().trim_end_matches('/').to_owned();
        Ok(Self {
            is_tls,
            host,
            port,
            prefix,
            authority: authority.as_str().to_owned(),
            may_be_private: false,
        })
    }

    /// The same, wherever its name leads to.
    pub fn allowing_private(self, may_be_private: bool) -> Self {
        Self { may_be_private, ..self }
    }

    /// The value of the Host header.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The path of a base URL that is itself what is asked, below no prefix.
    pub(super) fn own_path(&self) -> &'static str {
        if self.prefix.is_empty() { "/" } else { "" }
    }

    /// Path and query of a request below the prefix.
    pub fn uri(&self, path: &str) -> Result<Uri, hyper::http::uri::InvalidUri> {
        if self.prefix.is_empty() {
            path.parse()
        } else {
            format!("{}{path}", self.prefix).parse()
        }
    }

    /// The same with scheme and host, as HTTP/2 wants it.
    pub fn absolute(&self, uri: &Uri) -> Result<Uri, hyper::http::Error> {
        let scheme = if self.is_tls { "https" } else { "http" };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Uri::builder()
            .scheme(scheme)
            .authority(self.authority.as_str())
            .path_and_query(path)
            .build()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(formatter, "{scheme}://{}{}", self.authority, self.prefix)
    }
}

/// Whom TLS trusts.
#[derive(Debug, Clone)]
pub struct TlsRoots {
    config: Arc<ClientConfig>,
    /// Beside Mozilla's.
    added: Vec<CertificateDer<'static>>,
}

impl PartialEq for TlsRoots {
    fn eq(&self, other: &Self) -> bool {
        self.added == other.added
    }
}

impl TlsRoots {
    /// Mozilla's roots, and those in a PEM file.
    pub fn new(ca_file: Option<&std::path::Path>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        let mut added = Vec::new();
        if let Some(path) = ca_file {
            let unreadable =
                |error: &dyn fmt::Display| format!("cannot read certificates from {}: {error}", path.display());
            let certificates = CertificateDer::pem_file_iter(path).map_err(|error| unreadable(&error))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| unreadable(&error))?;
                roots.add(certificate.clone()).map_err(|error| unreadable(&error))?;
                added.push(certificate);
            }
            if added.is_empty() {
                return Err(format!("{} holds no certificate", path.display()));
            }
        }
        let mut config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            config: Arc::new(config),
            added,
        })
    }

    pub(super) fn connector(&self) -> TlsConnector {
        TlsConnector::from(self.config.clone())
    }
}

/// Bytes both ways.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection whose file is counted for as long as it is open.
pub(super) struct Counted {
    tcp: TcpStream,
    _file: OpenFile,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(context, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}

pub(super) type Io = TokioIo<Box<dyn Stream>>;

pub(super) enum Connection {
    Http1(Io),
    Http2(Arc<Shared>),
}

pub(super) async fn connect(
    endpoint: &Endpoint,
    tls: Option<&TlsConnector>,
    within: Duration,
) -> Result<Connection, UpstreamError> {
    let opened = tokio::time::timeout(within, open(endpoint, tls, within)).await;
    let failed = |unreached: Unreached| {
        let endpoint = endpoint.to_string();
        match unreached {
            Unreached::NoFiles(reason) => UpstreamError::NoFiles { endpoint, reason },
            Unreached::Other(reason) => UpstreamError::Connect { endpoint, reason },
        }
    };
    opened
        .map_err(|_| UpstreamError::ConnectTimeout {
            endpoint: endpoint.to_string(),
            within,
        })?
        .map_err(failed)
}

async fn open(endpoint: &Endpoint, tls: Option<&TlsConnector>, within: Duration) -> Result<Connection, Unreached> {
    let file = OpenFile::of_provider();
    let file = file.ok_or_else(|| Unreached::NoFiles("as many connections are open as there may be".to_owned()))?;
    let tcp = reach(&endpoint.host, endpoint.port, endpoint.may_be_private, within).await?;
    // A request is written whole; waiting to fill a packet only delays it.
    tcp.set_nodelay(true).map_err(|error| error.to_string())?;
    let tcp = Counted { tcp, _file: file };
    let Some(connector) = tls else {
        return Ok(Connection::Http1(TokioIo::new(Box::new(tcp))));
    };
    let name = ServerName::try_from(endpoint.host.clone()).map_err(|error| error.to_string())?;
    let stream = connector
        .connect(name, tcp)
        .await
        .map_err(|error| format!("TLS: {error}"))?;
    if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Ok(Connection::Http1(TokioIo::new(Box::new(stream))));
    }
    let shared = Shared::open(stream).await.map_err(|error| error.to_string())?;
    Ok(Connection::Http2(shared))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_taken_apart() {
        let endpoint = Endpoint::parse("https://api.example.com/v1/").unwrap();
        assert_eq!(
            endpoint.uri("/chat/completions").unwrap().to_string(),
            "/v1/chat/completions"
        );
        assert_eq!(endpoint.authority(), "api.example.com");
        let absolute = endpoint.absolute(&endpoint.uri("/models?x=1").unwrap()).unwrap();
        assert_eq!(absolute.to_string(), "https://api.example.com/v1/models?x=1");
        assert_eq!(Endpoint::parse("http://[::1]:9").unwrap().host, "::1");
        for url in ["ftp://x", "nonsense", "http://user:key@x", "https://x/?key=1", "/v1"] {
            assert!(Endpoint::parse(url).is_err(), "{url}");
        }
    }
}
