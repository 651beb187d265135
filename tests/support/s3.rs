//! A real S3 server with two companies' accounts: the customer's, who owns buckets, and ours.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};

use aws_sdk_s3::config::{BehaviorVersion, Region};
use serde_json::{Value, json};

use super::process::{Leashed, Output, program, unique};

/// Where versitygw keeps open uploads and objects that are being written, in each bucket.
const INTERNAL: &str = ".sgwtmp";

/// An access key; it is also the principal's name in this server's policies.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
}

/// The server. Clones are handles to the same one.
#[derive(Clone)]
pub(crate) struct S3Server {
    inner: Arc<Inner>,
}

struct Inner {
    server: Mutex<Option<Leashed>>,
    folder: PathBuf,
    settings: BTreeMap<String, String>,
}

impl S3Server {
    /// The one of this process, started by the first caller.
    pub(crate) fn shared() -> S3Server {
        static SHARED: OnceLock<Option<S3Server>> = OnceLock::new();
        SHARED
            .get_or_init(|| std::panic::catch_unwind(S3Server::start).ok())
            .clone()
            .expect("the S3 server did not start, see above")
    }

    /// One of the test's own, which it may stop.
    pub(crate) fn start() -> S3Server {
        S3Server::launch(&[])
    }

    /// One of the test's own that serves the same buckets over TLS too: [`S3Server::tls_url`].
    pub(crate) fn start_with_tls() -> S3Server {
        S3Server::launch(&["--tls"])
    }

    fn launch(options: &[&str]) -> S3Server {
        let folder = std::env::temp_dir().join(unique("outbound-s3"));
        let (server, _) = Leashed::script("s3", options, &folder);
        let settings = std::fs::read_to_string(folder.join("credentials.env"))
            .expect("the server's settings")
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        S3Server {
            inner: Arc::new(Inner {
                server: Mutex::new(Some(server)),
                folder,
                settings,
            }),
        }
    }

    /// Kills the server. Its port then refuses connections, and its files are gone.
    pub(crate) fn stop(&self) {
        self.inner.server.lock().expect("no panic in stop").take();
    }

    /// `http://127.0.0.1:PORT`
    pub(crate) fn url(&self) -> &str {
        &self.inner.settings["S3_URL"]
    }

    /// `https://127.0.0.1:PORT`; empty without TLS.
    pub(crate) fn tls_url(&self) -> &str {
        &self.inner.settings["S3_TLS_URL"]
    }

    /// PEM of the authority that signed the TLS port's certificate.
    pub(crate) fn ca(&self) -> String {
        std::fs::read_to_string(self.inner.folder.join("ca.crt")).expect("started with TLS")
    }

    /// The owner of the buckets, account 111111111111.
    pub(crate) fn customer(&self) -> Credentials {
        self.account("CUSTOMER")
    }

    /// Us, `arn:aws:iam::222222222222:root`.
    pub(crate) fn us(&self) -> Credentials {
        self.account("OUR")
    }

    fn account(&self, name: &str) -> Credentials {
        Credentials {
            access_key: self.inner.settings[&format!("{name}_ACCESS_KEY_ID")].clone(),
            secret_key: self.inner.settings[&format!("{name}_SECRET_ACCESS_KEY")].clone(),
        }
    }

    /// A new user, who may do nothing until a bucket's policy says so. The name is made unique.
    pub(crate) fn user(&self, prefix: &str) -> Credentials {
        let user = Credentials {
            access_key: unique(prefix),
            secret_key: format!("{:032x}", fastrand::u128(..)),
        };
        self.administer(&[
            "create-user",
            "--role",
            "user",
            "--access",
            &user.access_key,
            "--secret",
            &user.secret_key,
        ]);
        user
    }

    /// Gives the user's access key another secret; the old one isn't taken any more.
    pub(crate) fn change_secret(&self, user: &Credentials) -> Credentials {
        let changed = Credentials {
            access_key: user.access_key.clone(),
            secret_key: format!("{:032x}", fastrand::u128(..)),
        };
        self.administer(&[
            "update-user",
            "--access",
            &changed.access_key,
            "--secret",
            &changed.secret_key,
        ]);
        changed
    }

    /// Removes the user: the access key isn't known any more.
    pub(crate) fn remove(&self, user: &Credentials) {
        self.administer(&["delete-user", "--access", &user.access_key]);
    }

    /// Through `versitygw admin`.
    fn administer(&self, arguments: &[&str]) {
        let admin = self.account("ADMIN");
        let mut command = Command::new(program("versitygw"));
        command
            .env("ADMIN_ACCESS_KEY_ID", admin.access_key)
            .env("ADMIN_SECRET_ACCESS_KEY", admin.secret_key)
            .env("ADMIN_ENDPOINT_URL", self.url())
            .arg("admin")
            .args(arguments);
        Output::of(&mut command, None).ok();
    }

    /// A client that is not the operator's: the plain SDK. Not shared, as connections belong to the
    /// runtime of one test.
    pub(crate) fn client(&self, who: &Credentials) -> aws_sdk_s3::Client {
        let credentials = aws_sdk_s3::config::Credentials::new(
            &who.access_key,
            &who.secret_key,
            None,
            None,
            "test",
        );
        aws_sdk_s3::Client::from_conf(
            aws_sdk_s3::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::from_static("us-east-1"))
                .endpoint_url(self.url())
                .force_path_style(true)
                .credentials_provider(credentials)
                .build(),
        )
    }

    /// A new empty bucket of that owner (the customer). Removed with the value.
    pub(crate) async fn bucket(&self, owner: &Credentials) -> Bucket {
        self.bucket_named(owner, &unique("bucket")).await
    }

    /// One of that name, where a manifest has it; on a server of the test's own.
    pub(crate) async fn bucket_named(&self, owner: &Credentials, name: &str) -> Bucket {
        let client = self.client(owner);
        client
            .create_bucket()
            .bucket(name)
            .send()
            .await
            .expect("make a bucket");
        Bucket {
            server: self.clone(),
            owner: owner.clone(),
            name: name.to_owned(),
        }
    }

    /// One line for each request.
    pub(crate) fn access_log(&self) -> PathBuf {
        self.inner.folder.join("access.log")
    }

    /// The requests for objects of a bucket (or for the bucket) so far, in the order of their ends.
    pub(crate) fn requests(&self, bucket: &str) -> Vec<Request> {
        let log = std::fs::read_to_string(self.access_log()).expect("the server's access log");
        log.lines()
            .filter_map(Request::parse)
            .filter(|request| request.bucket == bucket)
            .collect()
    }
}

/// One line of the server's access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) bucket: String,
    /// The access key that signed it, or `-`.
    pub(crate) requester: String,
    /// As S3 calls it: `PutObject`, `CreateMultipartUpload`...
    pub(crate) operation: String,
    /// Decoded; empty in a request for the bucket itself.
    pub(crate) key: String,
    /// Path and query as sent.
    pub(crate) uri: String,
    pub(crate) status: u16,
    /// S3's error code, or `-`.
    pub(crate) error: String,
}

impl Request {
    /// Owner, bucket, [time, zone], address, requester, id, operation, key (which may hold spaces),
    /// URI, status, error...
    fn parse(line: &str) -> Option<Request> {
        let fields: Vec<&str> = line.split(' ').collect();
        let is_status = |field: &&str| field.len() == 3 && field.parse::<u16>().is_ok();
        let uri = (9..fields.len())
            .find(|&at| fields[at].starts_with('/') && fields.get(at + 1).is_some_and(is_status))?;
        let key = fields[8..uri].join(" ");
        Some(Request {
            bucket: fields[1].to_owned(),
            requester: fields[5].to_owned(),
            operation: fields[7].trim_start_matches("s3_").to_owned(),
            key: if key == "-" { String::new() } else { key },
            uri: fields[uri].to_owned(),
            status: fields[uri + 1].parse().ok()?,
            error: fields.get(uri + 2)?.to_string(),
        })
    }
}

/// A bucket of one test.
pub(crate) struct Bucket {
    server: S3Server,
    owner: Credentials,
    name: String,
}

/// A multipart upload that was neither completed nor aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenUpload {
    pub(crate) key: String,
    pub(crate) id: String,
}

impl Bucket {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its files on the server's disk.
    pub(crate) fn folder(&self) -> PathBuf {
        self.server.inner.folder.join("data").join(&self.name)
    }

    /// Sets the customer's policy, as they would paste it. The owner's own right, which AWS implies, is
    /// added: this server locks out an owner whom the policy doesn't name.
    pub(crate) async fn set_policy(&self, policy: &Value) {
        let mut policy = policy.clone();
        let bucket = format!("arn:aws:s3:::{}", self.name);
        policy["Statement"]
            .as_array_mut()
            .expect("a policy with a list of statements")
            .push(json!({
                "Sid": "Owner",
                "Effect": "Allow",
                "Principal": {"AWS": self.owner.access_key},
                "Action": "s3:*",
                "Resource": [bucket, format!("{bucket}/*")],
            }));
        self.server
            .client(&self.owner)
            .put_bucket_policy()
            .bucket(&self.name)
            .policy(policy.to_string())
            .send()
            .await
            .expect("set a policy");
    }

    /// Grants `actions` on everything under `prefix` to one principal, and nothing to anybody else.
    pub(crate) async fn grant(&self, who: &Credentials, prefix: &str, actions: &[&str]) {
        self.set_policy(&json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Sid": "Grant",
                "Effect": "Allow",
                "Principal": {"AWS": who.access_key},
                "Action": actions,
                "Resource": format!("arn:aws:s3:::{}/{prefix}*", self.name),
            }],
        }))
        .await;
    }

    /// An object of the customer's own.
    pub(crate) async fn put(&self, key: &str, bytes: &[u8]) {
        self.server
            .client(&self.owner)
            .put_object()
            .bucket(&self.name)
            .key(key)
            .body(bytes.to_vec().into())
            .send()
            .await
            .expect("put an object");
    }

    /// Every object's bytes by key, read from the server's disk.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        files_below(&self.folder())
    }

    /// Every object's key.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.files().into_keys().collect()
    }

    /// The open uploads that the customer sees.
    pub(crate) async fn uploads(&self) -> Vec<OpenUpload> {
        let listing = self
            .server
            .client(&self.owner)
            .list_multipart_uploads()
            .bucket(&self.name)
            .send()
            .await
            .expect("list uploads");
        assert_ne!(listing.is_truncated, Some(true), "over 1,000 open uploads");
        let upload = |upload: &aws_sdk_s3::types::MultipartUpload| OpenUpload {
            key: upload.key().unwrap_or_default().to_owned(),
            id: upload.upload_id().unwrap_or_default().to_owned(),
        };
        listing.uploads().iter().map(upload).collect()
    }

    /// The requests that concerned this bucket so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.server.requests(&self.name)
    }
}

/// The objects of a bucket that the server keeps in `folder`: each one's bytes by key.
pub(crate) fn files_below(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    collect(folder, folder, &mut files);
    files
}

/// Adds the regular files under `folder`, by their path relative to `root`. Files that vanish meanwhile
/// are not there.
fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_name() == INTERNAL {
            continue;
        }
        if path.is_dir() {
            collect(root, &path, files);
        } else if let Ok(bytes) = std::fs::read(&path) {
            let key = path.strip_prefix(root).expect("a path below the root");
            files.insert(key.to_string_lossy().into_owned(), bytes);
        }
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        // Straight on the server's disk: works in any runtime, or none, and with any policy.
        let _ = std::fs::remove_dir_all(self.folder());
    }
}
