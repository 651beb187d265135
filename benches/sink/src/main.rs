//! An S3 server that reads what it is sent and throws it away: what clients are measured against.
//!
//!     sink [--leash] [--tls CERTIFICATE KEY]
//!
//! Prints `ready URL [TLS_URL]`, both on free ports of 127.0.0.1, and serves until it is killed; with `--leash` also
//! until standard input closes. It asks for no credentials and compares no checksum: it repeats the one that it was
//! sent, so clients that look at the answer are content. Requests are those that uploading takes, path style only.
//!
//! A connection has a thread. Bodies are never parsed: over plain HTTP the kernel drops them (`MSG_TRUNC`), over TLS
//! their records are counted and dropped as they are. What is kept is the name and the size of each object, so that the end of a run
//! can be checked: `GET /?sink&prefix=BUCKET/PREFIX` answers `OBJECTS BYTES OPEN_UPLOADS`, DELETE forgets them.

mod connection;
mod http;
mod s3;
mod tls;

use std::io::Read as _;
use std::net::TcpListener;
use std::sync::Arc;

use connection::Connection;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use s3::Store;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let mut tls = None;
    while let Some(argument) = arguments.next() {
        match (argument.as_str(), &mut arguments) {
            ("--leash", _) => {
                std::thread::spawn(|| {
                    while std::io::stdin()
                        .read(&mut [0; 64])
                        .is_ok_and(|read| read > 0)
                    {}
                    std::process::exit(0);
                });
            }
            ("--tls", rest) => match (rest.next(), rest.next()) {
                (Some(certificate), Some(key)) => tls = Some(server_config(&certificate, &key)?),
                _ => return Err("--tls takes a certificate and a key".into()),
            },
            _ => return Err("usage: sink [--leash] [--tls CERTIFICATE KEY]".into()),
        }
    }
    let store = Arc::new(Store::default());
    let mut ready = format!("ready http://{}", serve(&store, None)?);
    if let Some(config) = tls {
        ready += &format!(" https://{}", serve(&store, Some(Arc::new(config)))?);
    }
    println!("{ready}");
    loop {
        std::thread::park();
    }
}

fn server_config(certificate: &str, key: &str) -> Result<ServerConfig, Failure> {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
    let mut config = ServerConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    config.enable_secret_extraction = true;
    // A ticket would be a message behind the handshake, and no client reconnects here.
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// Serves on a free port, whose address is returned, for as long as the process lives.
fn serve(
    store: &Arc<Store>,
    tls: Option<Arc<ServerConfig>>,
) -> Result<std::net::SocketAddr, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let store = store.clone();
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let (store, tls) = (store.clone(), tls.clone());
            std::thread::spawn(move || {
                let served = Connection::new(socket, tls).and_then(|connection| match connection {
                    Some(mut connection) => http::serve(&mut connection, &store),
                    None => Ok(()),
                });
                // Clients drop connections that they don't need; anything else is worth a line.
                if let Err(error) = served
                    && !matches!(
                        error.kind(),
                        std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe
                    )
                {
                    eprintln!("sink: {error}");
                }
            });
        }
    });
    Ok(address)
}
