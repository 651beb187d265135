//! The real server behind a proxy: plain, or over TLS with a client certificate.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use base64::Engine as _;
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};

/// A body on its way through.
pub(super) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

trait Stream: AsyncRead + AsyncWrite + Send {}

impl<S: AsyncRead + AsyncWrite + Send> Stream for S {}

/// Where requests go.
#[derive(Clone)]
pub(crate) struct Upstream {
    /// `HOST:PORT`
    authority: String,
    tls: Option<Arc<ClientConfig>>,
}

impl Upstream {
    /// Of `http://HOST:PORT`.
    pub(crate) fn plain(url: &str) -> Upstream {
        let authority = url.strip_prefix("http://").expect("a plain URL");
        Upstream {
            authority: authority.to_owned(),
            tls: None,
        }
    }

    /// The apiserver of a kubeconfig with certificates in it, as its user.
    pub(crate) fn apiserver(kubeconfig: &Path) -> Upstream {
        let config = kube::config::Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
        let cluster = config.clusters[0].cluster.as_ref().expect("a cluster");
        let user = config.auth_infos[0].auth_info.as_ref().expect("a user");
        let pem = |text: &str| {
            base64::engine::general_purpose::STANDARD
                .decode(text)
                .expect("base64")
        };
        let ca = pem(cluster
            .certificate_authority_data
            .as_ref()
            .expect("an authority"));
        let certificate = pem(user
            .client_certificate_data
            .as_ref()
            .expect("a certificate"));
        let key = user.client_key_data.as_ref().expect("a key");
        let key = pem(secrecy::ExposeSecret::expose_secret(key));
        let mut roots = RootCertStore::empty();
        for ca in CertificateDer::pem_slice_iter(&ca) {
            roots.add(ca.expect("PEM")).expect("a certificate");
        }
        let chain = CertificateDer::pem_slice_iter(&certificate)
            .map(|c| c.expect("PEM"))
            .collect();
        let key = PrivateKeyDer::from_pem_slice(&key).expect("PEM");
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("TLS")
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .expect("a client's certificate");
        let server = cluster.server.as_ref().expect("a server");
        let authority = server.strip_prefix("https://").expect("a URL with TLS");
        Upstream {
            authority: authority.to_owned(),
            tls: Some(Arc::new(config)),
        }
    }

    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// A new connection. Its driver ends with it.
    pub(super) async fn connect(&self) -> std::io::Result<SendRequest<Body>> {
        let tcp = TcpStream::connect(&self.authority).await?;
        tcp.set_nodelay(true)?;
        let stream: Pin<Box<dyn Stream>> = match &self.tls {
            None => Box::pin(tcp),
            Some(config) => {
                let host = self
                    .authority
                    .split(':')
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                let name = ServerName::try_from(host).map_err(std::io::Error::other)?;
                Box::pin(
                    TlsConnector::from(config.clone())
                        .connect(name, tcp)
                        .await?,
                )
            }
        };
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(std::io::Error::other)?;
        tokio::spawn(connection);
        Ok(sender)
    }
}
