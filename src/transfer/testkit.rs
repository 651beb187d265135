//! A real S3 server, a source in memory, and a look at the bucket that isn't our code path.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use aws_sdk_s3::error::{ProvideErrorMetadata as _, SdkError};
use bytes::Bytes;
use tempfile::TempDir;

use super::{Readable, Source, SourceFault};
use crate::plan::{ByteRange, Fingerprint, KeyPrefix, ObjectKey, Plan, PlannedObject, SourceFile};
use crate::store::{
    AccessKey, Acl, Addressing, AwsOptions, Bucket, ClientFactory, Endpoint, PlainHttp, Target,
};

pub(super) const BUCKET: &str = "acme-inbound";
pub(super) const PREFIX: &str = "audience/";
const ACCESS: &str = "customer";
pub(super) const SECRET: &str = "secret-of-customer";

/// A versitygw with one bucket, gone when dropped.
pub(super) struct Server {
    child: Child,
    pub(super) endpoint: String,
    data: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    pub(super) async fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let objects = data.path().join("objects");
        std::fs::create_dir(&objects).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let child = Command::new(versitygw())
            .args(["--port", &address, "--access", ACCESS, "--secret", SECRET])
            .args(["--keep-alive", "--quiet", "--access-log"])
            .arg(data.path().join("access.log"))
            .arg("posix")
            .arg(&objects)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self {
            child,
            endpoint: format!("http://{address}"),
            data,
        };
        until("versitygw listens", || TcpStream::connect(&address).is_ok());
        let created = server.client().create_bucket().bucket(BUCKET).send().await;
        let error = created.err();
        // The SDK repeats a call whose answer was lost.
        let there = |error: &SdkError<_>| error.code() == Some("BucketAlreadyOwnedByYou");
        assert!(error.as_ref().is_none_or(there), "{error:?}");
        server
    }

    pub(super) fn bucket(&self) -> Bucket {
        self.bucket_with(SECRET)
    }

    pub(super) fn bucket_with(&self, secret: &str) -> Bucket {
        bucket_at(&self.endpoint, secret)
    }

    pub(super) fn client(&self) -> aws_sdk_s3::Client {
        let credentials =
            aws_credential_types::Credentials::new(ACCESS, SECRET, None, None, "test");
        let config = aws_sdk_s3::Config::builder()
            .behavior_version_latest()
            .region(aws_sdk_s3::config::Region::new("us-east-1"))
            .endpoint_url(&self.endpoint)
            .force_path_style(true)
            .credentials_provider(credentials);
        aws_sdk_s3::Client::from_conf(config.build())
    }

    /// What is under `name`, behind the prefix.
    pub(super) async fn get(&self, name: &str) -> Vec<u8> {
        let key = format!("{PREFIX}{name}");
        let got = self
            .client()
            .get_object()
            .bucket(BUCKET)
            .key(key)
            .send()
            .await
            .unwrap();
        got.body.collect().await.unwrap().to_vec()
    }

    pub(super) async fn put(&self, name: &str, bytes: &'static [u8]) {
        let key = format!("{PREFIX}{name}");
        let put = self.client().put_object().bucket(BUCKET).key(key);
        put.body(Bytes::from_static(bytes).into())
            .send()
            .await
            .unwrap();
    }

    /// The keys of the bucket's objects, and the keys of its open uploads.
    pub(super) async fn holds(&self) -> (Vec<String>, Vec<String>) {
        let client = self.client();
        let objects = client
            .list_objects_v2()
            .bucket(BUCKET)
            .send()
            .await
            .unwrap();
        let uploads = client
            .list_multipart_uploads()
            .bucket(BUCKET)
            .send()
            .await
            .unwrap();
        let name = |key: Option<&str>| key.unwrap().strip_prefix(PREFIX).unwrap().to_owned();
        (
            objects
                .contents()
                .iter()
                .map(|object| name(object.key()))
                .collect(),
            uploads
                .uploads()
                .iter()
                .map(|upload| name(upload.key()))
                .collect(),
        )
    }

    /// Requests in the server's own log that contain all of `words`.
    pub(super) fn logged(&self, words: &[&str]) -> usize {
        let log = std::fs::read_to_string(self.data.path().join("access.log")).unwrap();
        log.lines()
            .filter(|line| words.iter().all(|word| line.contains(word)))
            .count()
    }
}

pub(super) fn bucket_at(endpoint: &str, secret: &str) -> Bucket {
    let key = AccessKey::new(Some(ACCESS.as_bytes()), Some(secret.as_bytes()), None).unwrap();
    let target = Target {
        bucket: BUCKET.parse().unwrap(),
        prefix: KeyPrefix::new(PREFIX).unwrap(),
        region: "us-east-1".parse().unwrap(),
        bucket_owner: None,
        endpoint: Some(Endpoint::parse(endpoint, PlainHttp::Allowed).unwrap()),
        addressing: Addressing::Path,
        acl: Acl::None,
        settings: crate::store::ObjectSettings::default(),
    };
    ClientFactory::new(AwsOptions::default()).with_access_key(target, &key)
}

pub(super) fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
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

type OnRead = Box<dyn Fn(usize, u64) + Send + Sync>;

/// Files in memory, which can change.
pub(super) struct MemorySource {
    pub(super) files: Vec<Bytes>,
    pub(super) changed: Arc<AtomicBool>,
    /// Called before a file is opened.
    pub(super) on_open: Box<dyn Fn() + Send + Sync>,
    /// Called before each read, with the file's index and the offset.
    pub(super) on_read: OnRead,
}

impl MemorySource {
    pub(super) fn new(files: &[Bytes]) -> Self {
        let changed = Arc::new(AtomicBool::new(false));
        Self {
            files: files.to_vec(),
            changed,
            on_open: Box::new(|| {}),
            on_read: Box::new(|_, _| {}),
        }
    }
}

struct MemoryFile {
    source: Arc<MemorySource>,
    index: usize,
}

impl Source for Arc<MemorySource> {
    fn open(&self, index: usize) -> Result<Box<dyn Readable>, SourceFault> {
        (self.on_open)();
        let source = Arc::clone(self);
        let file = MemoryFile { source, index };
        file.check()?;
        Ok(Box::new(file))
    }

    fn recheck(&self) -> Result<(), SourceFault> {
        if self.changed.load(Ordering::SeqCst) {
            return Err(SourceFault::Changed("the file grew".to_owned()));
        }
        Ok(())
    }
}

impl Readable for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), SourceFault> {
        (self.source.on_read)(self.index, offset);
        self.source.files[self.index].read_at(buffer, offset)
    }

    fn check(&self) -> Result<(), SourceFault> {
        self.source.recheck()
    }
}

/// Bytes that look like records of varying length.
pub(super) fn records(len: usize, seed: u64) -> Bytes {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = Vec::with_capacity(len + 64);
    while bytes.len() < len {
        bytes.extend_from_slice(format!("{:016x},{}\n", random.u64(..), random.u8(..)).as_bytes());
    }
    bytes.truncate(len);
    bytes.into()
}

/// One object for each file, `f00.csv` and so on, and the receipt `d.info`.
pub(super) fn plan_of(files: &[Bytes]) -> Plan {
    let prefix = KeyPrefix::new(PREFIX).unwrap();
    let key = |name: &str| ObjectKey::new(&prefix, name).unwrap();
    let name = |n: usize| format!("f{n:02}.csv");
    let sources = files.iter().enumerate().map(|(n, bytes)| SourceFile {
        path: name(n),
        fingerprint: Fingerprint::File {
            size: bytes.len() as u64,
            mtime_ns: 1,
            ctime_ns: 1,
        },
    });
    let objects = files.iter().enumerate().map(|(n, bytes)| PlannedObject {
        sequence: u32::try_from(n).unwrap() + 1,
        source: n,
        header: 0,
        range: ByteRange {
            offset: 0,
            len: bytes.len() as u64,
        },
        key: key(&name(n)),
    });
    Plan::restore(sources.collect(), objects.collect(), key("d.info")).unwrap()
}

/// What becomes of a request on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Through,
    /// It is applied, and the connection ends without a word.
    AnswerLost,
    /// The server never sees it; the client gets this status line and this code.
    Refused(&'static str, &'static str),
}

/// Decides by a request's first line.
type Decide = Arc<dyn Fn(&str) -> Way + Send + Sync>;

/// A proxy before the server that loses answers, or refuses in the server's stead.
pub(super) struct Forgetful {
    pub(super) endpoint: String,
    pub(super) lost: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Forgetful {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Forgetful {
    /// Loses the answer to the first request whose first line contains all of `words`.
    pub(super) async fn before(server: &Server, words: &'static [&'static str]) -> Self {
        let lost = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&lost);
        let decide = move |line: &str| {
            let meant = words.iter().all(|word| line.contains(word));
            let first = || count.compare_exchange(0, 1, Ordering::SeqCst, Ordering::SeqCst);
            match meant && first().is_ok() {
                true => Way::AnswerLost,
                false => Way::Through,
            }
        };
        Self::start(server, Arc::new(decide), lost).await
    }

    /// Does with each request as `decide` says, by its first line.
    pub(super) async fn deciding(
        server: &Server,
        decide: impl Fn(&str) -> Way + Send + Sync + 'static,
    ) -> Self {
        Self::start(server, Arc::new(decide), Arc::default()).await
    }

    async fn start(server: &Server, decide: Decide, lost: Arc<AtomicUsize>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let upstream = server.endpoint.strip_prefix("http://").unwrap().to_owned();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let server = tokio::net::TcpStream::connect(&upstream).await.unwrap();
                connections.spawn(pump(client, server, Arc::clone(&decide)));
            }
        });
        Self {
            endpoint,
            lost,
            task,
        }
    }

    pub(super) fn bucket(&self) -> Bucket {
        bucket_at(&self.endpoint, SECRET)
    }
}

async fn pump(
    mut client: tokio::net::TcpStream,
    mut server: tokio::net::TcpStream,
    decide: Decide,
) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (mut up, mut down) = (vec![0; 65536], vec![0; 65536]);
    let mut forget = false;
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(len @ 1..) = read else { return };
                let line = up[..len].split(|byte| *byte == b'\r').next().unwrap();
                let line = String::from_utf8_lossy(line);
                if line.ends_with("HTTP/1.1") {
                    match decide(&line) {
                        Way::Through => {}
                        Way::AnswerLost => forget = true,
                        Way::Refused(status, code) => {
                            let _ = client.write_all(refusal(status, code).as_bytes()).await;
                            return;
                        }
                    }
                }
                if server.write_all(&up[..len]).await.is_err() { return }
            }
            read = server.read(&mut down) => {
                let Ok(len @ 1..) = read else { return };
                // The request was applied; the connection ends without a word.
                if forget && !down[..len].starts_with(b"HTTP/1.1 100") { return }
                if client.write_all(&down[..len]).await.is_err() { return }
            }
        }
    }
}

fn refusal(status: &str, code: &str) -> String {
    let body = format!("<Error><Code>{code}</Code><Message>no</Message></Error>");
    let len = body.len();
    format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len}\r\n\r\n{body}")
}
