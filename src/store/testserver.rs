//! S3 servers for this module's tests: a real one with a customer's account and ours, and one that
//! says what a test puts into its mouth.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{
    AccessKey, Acl, Addressing, AwsOptions, AwsTarget, Bucket, ClientFactory, Endpoint,
    ObjectSettings, OwnIdentity, PlainHttp, Target,
};
use crate::plan::KeyPrefix;

/// The customer, who owns the buckets.
pub(super) const OWNER: &str = "111111111111";
/// Us, as a customer's policy names us.
pub(super) const OURS: &str = "arn:aws:iam::222222222222:root";
pub(super) const BUCKET: &str = "acme-inbound";
pub(super) const PREFIX: &str = "audience/";
const ROOT: &str = "root";

/// Every account's secret here.
pub(super) fn secret_of(access: &str) -> String {
    format!("secret-of-{access}")
}

pub(super) fn key(access: &str) -> AccessKey {
    AccessKey::new(
        Some(access.as_bytes()),
        Some(secret_of(access).as_bytes()),
        None,
    )
    .unwrap()
}

/// A versitygw on a port of its own, gone when dropped.
pub(super) struct TestServer {
    child: Child,
    address: SocketAddr,
    scheme: &'static str,
    _data: TempDir,
}

impl TestServer {
    /// A server with the customer, us, and the customer's bucket with no policy.
    pub(super) async fn start() -> Self {
        let server = Self::spawn("http", &[]);
        for access in [OWNER, OURS] {
            server.create_user(access);
        }
        server
            .owner()
            .create_bucket()
            .bucket(BUCKET)
            .send()
            .await
            .unwrap();
        server
    }

    /// A server whose certificate nobody trusts.
    pub(super) fn start_untrusted() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let (cert, key) = (
            folder.path().join("cert.pem"),
            folder.path().join("key.pem"),
        );
        std::fs::write(&cert, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        Self::spawn(
            "https",
            &[
                "--cert",
                cert.to_str().unwrap(),
                "--key",
                key.to_str().unwrap(),
            ],
        )
    }

    fn spawn(scheme: &'static str, options: &[&str]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let (iam, objects) = (data.path().join("iam"), data.path().join("objects"));
        std::fs::create_dir(&iam).unwrap();
        std::fs::create_dir(&objects).unwrap();
        let address = free_address();
        let child = Command::new(versitygw())
            .args(["--port", &address.to_string()])
            .args(["--access", ROOT, "--secret", &secret_of(ROOT)])
            .args([
                "--keep-alive",
                "--quiet",
                "--iam-cache-ttl",
                "1",
                "--iam-dir",
            ])
            .arg(&iam)
            .args(options)
            .arg("posix")
            .arg(&objects)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self {
            child,
            address,
            scheme,
            _data: data,
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "versitygw does not listen");
            std::thread::yield_now();
        }
        server
    }

    /// An account that owns nothing.
    pub(super) fn create_user(&self, access: &str) {
        let made = Command::new(versitygw())
            .args(["admin", "--access", ROOT, "--secret", &secret_of(ROOT)])
            .args(["--endpoint-url", self.endpoint().as_str()])
            .args(["create-user", "--role", "userplus"])
            .args(["--access", access, "--secret", &secret_of(access)])
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        at(self.scheme, self.address)
    }

    /// The customer's own client: not our code path.
    pub(super) fn owner(&self) -> Client {
        let secret = secret_of(OWNER);
        let config = aws_sdk_s3::Config::builder()
            .behavior_version_latest()
            .region(aws_sdk_s3::config::Region::new("us-east-1"))
            .endpoint_url(self.endpoint().as_str())
            .force_path_style(true)
            .credentials_provider(aws_credential_types::Credentials::new(
                OWNER, secret, None, None, "test",
            ));
        Client::from_conf(config.build())
    }

    /// Sets the bucket's policy to `statements` and the owner's own (without which the server locks
    /// the owner out).
    pub(super) async fn set_policy(&self, statements: &[serde_json::Value]) {
        let resources = [
            format!("arn:aws:s3:::{BUCKET}"),
            format!("arn:aws:s3:::{BUCKET}/*"),
        ];
        let mut all = vec![serde_json::json!({
            "Sid": "Owner", "Effect": "Allow", "Principal": {"AWS": OWNER},
            "Action": "s3:*", "Resource": resources,
        })];
        all.extend_from_slice(statements);
        let policy = serde_json::json!({"Version": "2012-10-17", "Statement": all}).to_string();
        self.owner()
            .put_bucket_policy()
            .bucket(BUCKET)
            .policy(policy)
            .send()
            .await
            .unwrap();
    }

    /// How many uploads are open in the bucket, and how many objects are in it.
    pub(super) async fn leftovers(&self) -> (usize, usize) {
        let owner = self.owner();
        let uploads = owner
            .list_multipart_uploads()
            .bucket(BUCKET)
            .send()
            .await
            .unwrap();
        let objects = owner.list_objects_v2().bucket(BUCKET).send().await.unwrap();
        (uploads.uploads().len(), objects.contents().len())
    }

    pub(super) fn target(&self) -> Target {
        target_at(self.endpoint())
    }

    /// The bucket as a customer's key reaches it.
    pub(super) fn with_key(&self, target: Target, key: &AccessKey) -> Bucket {
        ClientFactory::new(AwsOptions::default()).with_access_key(target, key)
    }

    /// The bucket as our own identity reaches it, this server standing in for AWS.
    pub(super) fn as_us(&self, target: Target) -> Bucket {
        let aws = AwsOptions {
            s3: Some(self.endpoint()),
            ..AwsOptions::default()
        };
        let target = AwsTarget::try_from(Target {
            endpoint: None,
            ..target
        })
        .unwrap();
        ClientFactory::new(aws).with_own_identity(target, &OwnIdentity::fixed(&key(OURS)))
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) fn target_at(endpoint: Endpoint) -> Target {
    Target {
        bucket: BUCKET.parse().unwrap(),
        prefix: KeyPrefix::new(PREFIX).unwrap(),
        region: "us-east-1".parse().unwrap(),
        bucket_owner: None,
        endpoint: Some(endpoint),
        addressing: Addressing::Path,
        acl: Acl::None,
        settings: ObjectSettings::default(),
    }
}

/// An address of this process's own on the loopback network, with a port that nobody listens on: no
/// other test can take it before the server does.
pub(super) fn free_address() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    // 127.0.x.y is left to others; 0 and 255 are no hosts.
    let host = Ipv4Addr::new(
        127,
        (high | 1) % 255,
        low,
        NEXT.fetch_add(1, Ordering::Relaxed),
    );
    TcpListener::bind((host, 0)).unwrap().local_addr().unwrap()
}

pub(super) fn at(scheme: &str, address: SocketAddr) -> Endpoint {
    Endpoint::parse(&format!("{scheme}://{address}"), PlainHttp::Allowed).unwrap()
}

fn versitygw() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let build = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tools/build");
        let output = Command::new(build)
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success(), "{build} failed");
        PathBuf::from(String::from_utf8(output.stdout).unwrap().trim()).join("versitygw")
    })
}

/// A server that gives the same answer to every request, and keeps the requests.
pub(super) struct Parrot {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Parrot {
    /// `answer` is a whole HTTP response; with an empty one the connection is closed instead.
    pub(super) async fn start(answer: String) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = heard.clone();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let request = request(&mut stream).await;
                hears.lock().unwrap().push(request);
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self {
            address,
            heard,
            task,
        }
    }

    /// The answer `status` with an XML body.
    pub(super) async fn saying(status: &str, headers: &str, body: &str) -> Self {
        let len = body.len();
        let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len}\r\n");
        Self::start(format!("{head}{headers}\r\n{body}")).await
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        at("http", self.address)
    }

    /// The requests' heads, in lower case.
    pub(super) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

impl Drop for Parrot {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One request, its body read and dropped.
async fn request(stream: &mut tokio::net::TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).await.unwrap_or(0);
        bytes.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.parse().unwrap());
            if bytes.len() >= head.len() + 4 + length {
                return head.to_owned();
            }
        }
        if read == 0 {
            return text;
        }
    }
}
