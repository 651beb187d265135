//! The way to the store: whom TLS trusts, proxies, redirects.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::support::world::{PREFIX, WRITE_ACTIONS};
use crate::support::{OperatorConfig, S3Server, World};

/// A world whose operator may talk to the server's TLS port by the name `localhost`, and a destination there that
/// trusts the authorities in the ConfigMap `acme-ca`.
async fn tls_world(
    topic: &str,
    server: &S3Server,
    change: impl FnOnce(OperatorConfig) -> OperatorConfig,
) -> World {
    let url = localhost(server);
    let world = World::start_with(topic, server, |config| {
        change(config.with("endpoints.allow", json!([url])))
    })
    .await;
    let user = world.s3.user("writer");
    world.bucket.grant(&user, PREFIX, &WRITE_ACTIONS).await;
    world.secret("acme", &user);
    let bucket = world.bucket.name();
    world.apply(&format!(
        "{{apiVersion: outbound.dev/v1alpha1, kind: OutboundDestination, metadata: {{name: acme}}, \
         spec: {{bucket: {bucket}, prefix: {PREFIX}, endpoint: \"{url}\", permissionMode: AccessKey, \
         accessKey: {{secretRef: {{name: acme}}}}, caBundleRef: {{name: acme-ca}}}}}}"
    ));
    world
}

fn localhost(server: &S3Server) -> String {
    server.tls_url().replace("127.0.0.1", "localhost")
}

fn config_map(data: &Value) -> String {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "acme-ca"}, "data": data})
        .to_string()
}

async fn tls_failure(world: &World, words: &str) {
    world
        .eventually(
            crate::support::wait::PATIENCE,
            &format!("TlsFailure with {words:?}"),
            "obdest",
            "acme",
            |object| {
                let conditions = object["status"]["conditions"].as_array()?;
                conditions
                    .iter()
                    .find(|condition| {
                        condition["type"] == "Ready"
                            && condition["reason"] == "TlsFailure"
                            && condition["message"]
                                .as_str()
                                .is_some_and(|message| message.contains(words))
                    })
                    .cloned()
            },
        )
        .await;
}

#[tokio::test]
async fn a_bundle_says_whom_the_store_s_certificate_must_come_from() {
    let server = S3Server::start_with_tls();
    let world = tls_world("bundle", &server, |config| config).await;
    tls_failure(&world, "there is no ConfigMap acme-ca").await;
    let other = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap();
    for (number, (data, words)) in [
        (json!({"other": "x"}), "ConfigMap acme-ca has no key ca.crt"),
        (
            json!({"ca.crt": "hello"}),
            "ConfigMap acme-ca: ca.crt holds no PEM certificate",
        ),
        (json!({"ca.crt": other.cert.pem()}), "certificate"),
    ]
    .into_iter()
    .enumerate()
    {
        world.apply(&config_map(&data));
        world.request("obdest", "acme", &format!("{number}")).await;
        tls_failure(&world, words).await;
    }
    world.apply(&config_map(&json!({"ca.crt": server.ca()})));
    world.request("obdest", "acme", "right").await;
    world.condition("obdest", "acme", "Ready", "True").await;
}

/// A proxy that opens tunnels, and what it was asked for.
struct ConnectProxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl ConnectProxy {
    async fn start() -> ConnectProxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn({
            let asked = asked.clone();
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(tunnel(client, asked.clone()));
                }
            }
        });
        ConnectProxy {
            address,
            asked,
            task,
        }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for ConnectProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn tunnel(client: TcpStream, asked: Arc<Mutex<Vec<String>>>) -> Option<()> {
    let mut client = BufReader::new(client);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if client.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let first = head.lines().next()?.to_owned();
    asked.lock().unwrap().push(first.clone());
    let authority = first.strip_prefix("CONNECT ")?.split(' ').next()?;
    let mut server = TcpStream::connect(authority).await.ok()?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
    tokio::io::copy_bidirectional(&mut client, &mut server)
        .await
        .ok()?;
    Some(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_reached_through_the_proxy_of_the_environment_but_for_no_proxy_hosts() {
    let server = S3Server::start_with_tls();
    let proxy = ConnectProxy::start().await;
    let through = format!("http://{}", proxy.address);
    let authority = localhost(&server).replace("https://", "");
    for (variable, exempt_variable, exempt, tunnelled) in [
        // The apiserver is 127.0.0.1; the store is `localhost`.
        ("HTTPS_PROXY", "NO_PROXY", "127.0.0.1", true),
        ("https_proxy", "no_proxy", "127.0.0.1", true),
        ("HTTPS_PROXY", "NO_PROXY", "127.0.0.1,localhost", false),
    ] {
        let before = proxy.asked().len();
        let world = tls_world("proxy", &server, |config| {
            config
                .environment(variable, &through)
                .environment(exempt_variable, exempt)
        })
        .await;
        world.apply(&config_map(&json!({"ca.crt": server.ca()})));
        world.request("obdest", "acme", "now").await;
        world.condition("obdest", "acme", "Ready", "True").await;
        let asked = proxy.asked();
        let wanted = format!("CONNECT {authority} ");
        assert!(
            asked.iter().all(|line| line.starts_with(&wanted)),
            "{asked:?}"
        );
        assert_eq!(asked.len() > before, tunnelled, "{exempt}: {asked:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_never_followed() {
    let canary = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = canary.local_addr().unwrap();
    let store = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", store.local_addr().unwrap());
    let answered = Arc::new(AtomicUsize::new(0));
    let task = tokio::spawn({
        let answered = answered.clone();
        async move {
            while let Ok((mut client, _)) = store.accept().await {
                let number = answered.fetch_add(1, Ordering::SeqCst);
                let status = [
                    "301 Moved Permanently",
                    "302 Found",
                    "307 Temporary Redirect",
                    "308 Permanent Redirect",
                ][number % 4];
                let mut request = vec![0; 16 << 10];
                let _ = client.read(&mut request).await;
                let answer = format!(
                    "HTTP/1.1 {status}\r\nLocation: http://{elsewhere}/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                );
                let _ = client.write_all(answer.as_bytes()).await;
            }
        }
    });
    let world = World::start_with("redirect", &S3Server::shared(), |config| {
        config.with("endpoints.allow", json!([url]))
    })
    .await;
    world.secret("acme", &world.s3.us());
    world.apply(&format!(
        "{{apiVersion: outbound.dev/v1alpha1, kind: OutboundDestination, metadata: {{name: acme}}, \
         spec: {{bucket: acme-inbound, endpoint: \"{url}\", permissionMode: AccessKey, \
         accessKey: {{secretRef: {{name: acme}}}}}}}}"
    ));
    // Each proof sends a request at least, so that every kind of redirect was answered.
    for number in 0..4 {
        world.request("obdest", "acme", &format!("{number}")).await;
    }
    world.condition("obdest", "acme", "Ready", "False").await;
    assert!(answered.load(Ordering::SeqCst) >= 4);
    let canary = canary.into_std().unwrap();
    canary.set_nonblocking(true).unwrap();
    let followed = canary.accept();
    assert!(
        followed.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock),
        "a redirect was followed"
    );
    task.abort();
}
