//! The test AWS (`tests/tools/aws`): accounts, users, roles, bucket policies, Object Ownership, KMS, STS.
//!
//! Accounts are made by the tests, each for itself: nothing here is shared but the process.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use aws_sdk_s3::config::{BehaviorVersion, Region};
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::process::{Leashed, unique};
use super::s3::{OpenUpload, files_below};

/// What a client signs with.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AwsKey {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    pub(crate) session_token: Option<String>,
    /// Whose it is: a user's, a session's, or an account's root's.
    pub(crate) arn: String,
}

impl AwsKey {
    /// As the AWS SDK's default chain finds it.
    pub(crate) fn environment(&self) -> BTreeMap<&'static str, String> {
        let mut variables = BTreeMap::from([
            ("AWS_ACCESS_KEY_ID", self.access_key_id.clone()),
            ("AWS_SECRET_ACCESS_KEY", self.secret_access_key.clone()),
        ]);
        variables.extend(
            self.session_token
                .clone()
                .map(|token| ("AWS_SESSION_TOKEN", token)),
        );
        variables
    }

    /// A Secret as an AccessKey destination wants it.
    pub(crate) fn secret(&self, name: &str) -> String {
        let mut data =
            json!({"accessKeyId": self.access_key_id, "secretAccessKey": self.secret_access_key});
        if let Some(token) = &self.session_token {
            data["sessionToken"] = json!(token);
        }
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data})
            .to_string()
    }
}

/// The server. Clones are handles to the same one.
#[derive(Clone)]
pub(crate) struct Aws {
    inner: Arc<Inner>,
}

struct Inner {
    server: Mutex<Option<Leashed>>,
    folder: PathBuf,
    addresses: BTreeMap<String, String>,
}

impl Aws {
    /// The one of this process, started by the first caller.
    pub(crate) fn shared() -> Aws {
        static SHARED: OnceLock<Option<Aws>> = OnceLock::new();
        SHARED
            .get_or_init(|| std::panic::catch_unwind(|| Aws::launch(&[])).ok())
            .clone()
            .expect("the test AWS did not start, see above")
    }

    /// One of the test's own that serves the same over TLS too: [`Aws::tls_url`].
    pub(crate) fn start_with_tls() -> Aws {
        Aws::launch(&["--tls"])
    }

    fn launch(options: &[&str]) -> Aws {
        let folder = std::env::temp_dir().join(unique("outbound-aws"));
        let (server, _) = Leashed::script("aws-server", options, &folder);
        let addresses = std::fs::read_to_string(folder.join("addresses"))
            .expect("the server's addresses")
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Aws {
            inner: Arc::new(Inner {
                server: Mutex::new(Some(server)),
                folder,
                addresses,
            }),
        }
    }

    /// Kills the server. Its ports then refuse connections, and its files are gone.
    pub(crate) fn stop(&self) {
        self.inner.server.lock().expect("no panic in stop").take();
    }

    /// `http://127.0.0.1:PORT`, for S3 and STS alike.
    pub(crate) fn url(&self) -> &str {
        &self.inner.addresses["AWS_URL"]
    }

    /// `https://127.0.0.1:PORT`
    pub(crate) fn tls_url(&self) -> &str {
        self.inner
            .addresses
            .get("AWS_TLS_URL")
            .expect("started with TLS")
    }

    /// PEM of the authority that signed the TLS port's certificate.
    pub(crate) fn ca(&self) -> String {
        std::fs::read_to_string(self.inner.folder.join("ca.crt")).expect("started with TLS")
    }

    /// One call of the administrator's; the test fails when it is refused.
    #[track_caller]
    pub(crate) fn admin<T: DeserializeOwned>(&self, call: &str, request: &Value) -> T {
        let (status, body) = self
            .exchange(call, &request.to_string())
            .expect("talk to the test AWS");
        assert_eq!(status, 200, "{call} {request}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{call}: {error}: {body}"))
    }

    /// HTTP/1.0: one request a connection, and its end is the answer's.
    fn exchange(&self, call: &str, body: &str) -> std::io::Result<(u16, String)> {
        let mut socket = UnixStream::connect(self.inner.folder.join("admin.sock"))?;
        let length = body.len();
        write!(
            socket,
            "POST /{call} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}"
        )?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
        Ok((status.unwrap_or(0), body.to_owned()))
    }

    /// A new account of that partition (`aws`, `aws-cn`, `aws-us-gov`), in no organization.
    pub(crate) fn account(&self, partition: &str) -> Account {
        let id = fastrand::u64(100_000_000_000..1_000_000_000_000).to_string();
        let root = self.admin("account", &json!({"id": id, "partition": partition}));
        Account {
            aws: self.clone(),
            id,
            partition: partition.to_owned(),
            root,
        }
    }

    /// A client that is not the operator's: the plain SDK. Not shared, as connections belong to the
    /// runtime of one test.
    pub(crate) fn client(&self, who: &AwsKey, region: &str) -> aws_sdk_s3::Client {
        let config = client_config(who, region).endpoint_url(self.url());
        aws_sdk_s3::Client::from_conf(config.build())
    }

    /// The same over TLS, of a server that was started so; trusts its authority alone.
    pub(crate) fn tls_client(&self, who: &AwsKey, region: &str) -> aws_sdk_s3::Client {
        let trust = TrustStore::empty().with_pem_certificate(self.ca());
        let context = TlsContext::builder().with_trust_store(trust).build();
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .tls_context(context.expect("a usable authority"))
            .build_https();
        let config = client_config(who, region).endpoint_url(self.tls_url());
        aws_sdk_s3::Client::from_conf(config.http_client(http).build())
    }

    /// A client of STS that is not the operator's.
    pub(crate) fn sts(&self, who: &AwsKey) -> aws_sdk_sts::Client {
        let credentials = aws_sdk_sts::config::Credentials::new(
            &who.access_key_id,
            &who.secret_access_key,
            who.session_token.clone(),
            None,
            "test",
        );
        aws_sdk_sts::Client::from_conf(
            aws_sdk_sts::Config::builder()
                .behavior_version(aws_sdk_sts::config::BehaviorVersion::latest())
                .region(aws_sdk_sts::config::Region::from_static("us-east-1"))
                .endpoint_url(self.url())
                .credentials_provider(credentials)
                .build(),
        )
    }

    /// Replaces the identity policies of a user or a role. Texts, as they are pasted.
    pub(crate) fn set_policies(&self, arn: &str, policies: &[&str]) {
        self.admin::<Value>("policies", &json!({"arn": arn, "policies": policies}));
    }

    /// Replaces a role's trust policy.
    pub(crate) fn set_trust(&self, role: &str, policy: &str) {
        self.admin::<Value>("trust", &json!({"arn": role, "trust": policy}));
    }

    /// A session of a role without AssumeRole: as a pod's or a node's identity comes.
    pub(crate) fn session(&self, role: &str, name: &str) -> AwsKey {
        let request = json!({"role": role, "name": name, "seconds": 43200});
        self.admin("session", &request)
    }

    /// Bounds the sessions that AssumeRole opens for this role from now on, in seconds; its answers say
    /// so. 0 lifts it.
    pub(crate) fn set_ttl(&self, role: &str, seconds: f64) {
        self.admin::<Value>("ttl", &json!({"role": role, "seconds": seconds}));
    }

    /// Ends the sessions that AssumeRole opened for this role, though their holders were told otherwise;
    /// returns how many.
    pub(crate) fn expire_sessions(&self, role: &str) -> u64 {
        self.admin::<Value>("expire", &json!({"role": role}))["ended"]
            .as_u64()
            .expect("a count")
    }

    /// Removes a user or a role with its keys. One that is made again by that name is somebody else.
    pub(crate) fn delete(&self, arn: &str) {
        self.admin::<Value>("delete", &json!({"arn": arn}));
    }

    /// Calls of STS that `caller` (an ARN) made for `role`, in the order of their ends.
    pub(crate) fn assumptions(&self, role: &str) -> Vec<AwsRequest> {
        let all: Vec<AwsRequest> = self.admin("log", &json!({}));
        all.into_iter()
            .filter(|request| request.service == "sts" && request.key == role)
            .collect()
    }
}

fn client_config(who: &AwsKey, region: &str) -> aws_sdk_s3::config::Builder {
    let credentials = aws_sdk_s3::config::Credentials::new(
        &who.access_key_id,
        &who.secret_access_key,
        who.session_token.clone(),
        None,
        "test",
    );
    aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .force_path_style(true)
        .credentials_provider(credentials)
}

/// One request that S3 or STS answered.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct AwsRequest {
    /// `s3` or `sts`.
    pub(crate) service: String,
    /// The ARN of who signed, or `anonymous`.
    pub(crate) caller: String,
    /// As AWS's API calls it.
    pub(crate) operation: String,
    /// Each right that policies were asked for, KMS's too.
    pub(crate) actions: Vec<String>,
    pub(crate) method: String,
    pub(crate) bucket: String,
    /// The object's key; for STS the role's ARN.
    pub(crate) key: String,
    pub(crate) query: String,
    /// `x-amz-*` (no token, date or hash), `if-*`; for STS its parameters.
    #[serde(deserialize_with = "or_default")]
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) status: u16,
    /// Of a refusal; empty otherwise, and for HEAD.
    pub(crate) code: String,
    pub(crate) message: String,
}

fn or_default<'de, D: serde::Deserializer<'de>, T: Deserialize<'de> + Default>(
    value: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(value)?.unwrap_or_default())
}

/// A company's account, of one test.
#[derive(Clone)]
pub(crate) struct Account {
    pub(crate) aws: Aws,
    /// 12 digits.
    pub(crate) id: String,
    pub(crate) partition: String,
    /// Who may do anything in it.
    pub(crate) root: AwsKey,
}

impl Account {
    /// Puts the account into an organization: S3 explains its refusals within one.
    pub(crate) fn join(&self, organization: &str) {
        let request =
            json!({"id": self.id, "partition": self.partition, "organization": organization});
        self.aws.admin::<Value>("account", &request);
    }

    /// An IAM user with these identity policies.
    pub(crate) fn user(&self, name: &str, policies: &[&str]) -> AwsKey {
        let request = json!({"account": self.id, "name": name, "policies": policies});
        self.aws.admin("user", &request)
    }

    /// A role that trusts whom `trust` names; returns its ARN.
    pub(crate) fn role(&self, name: &str, trust: &str, policies: &[&str]) -> String {
        let request =
            json!({"account": self.id, "name": name, "trust": trust, "policies": policies});
        arn(&self.aws.admin("role", &request))
    }

    /// A role for somebody's pods: no one can assume it, sessions are handed out by [`Aws::session`].
    pub(crate) fn workload_role(&self, name: &str, policies: &[&str]) -> String {
        let trust = json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"AWS": self.root.arn}, "Action": "sts:TagSession",
        }]});
        self.role(name, &trust.to_string(), policies)
    }

    /// A KMS key with that policy; none: the account's own IAM decides.
    pub(crate) fn kms_key(&self, region: &str, policy: Option<&str>) -> KmsKey {
        let request =
            json!({"account": self.id, "region": region, "policy": policy.unwrap_or_default()});
        KmsKey {
            aws: self.aws.clone(),
            arn: arn(&self.aws.admin("kms-key", &request)),
        }
    }

    /// A new empty bucket as AWS makes them: ACLs disabled, SSE-S3, no policy. Removed with the value.
    pub(crate) fn bucket(&self, region: &str) -> AwsBucket {
        let name = unique("aws-bucket");
        let request = json!({"name": name, "owner": self.id, "region": region});
        self.aws.admin::<Value>("bucket", &request);
        AwsBucket {
            owner: self.clone(),
            name,
            region: region.to_owned(),
        }
    }
}

fn arn(answer: &Value) -> String {
    answer["arn"].as_str().expect("an ARN").to_owned()
}

/// A key of KMS. Nothing is encrypted: only its use is allowed or not.
pub(crate) struct KmsKey {
    aws: Aws,
    pub(crate) arn: String,
}

impl KmsKey {
    /// Replaces its policy.
    pub(crate) fn set_policy(&self, policy: &str) {
        let request = json!({"arn": self.arn, "policy": policy});
        self.aws.admin::<Value>("kms-policy", &request);
    }

    /// `Enabled`, `Disabled` or `PendingDeletion`.
    pub(crate) fn set_state(&self, state: &str) {
        let request = json!({"arn": self.arn, "state": state});
        self.aws.admin::<Value>("kms-state", &request);
    }
}

/// A bucket of one test.
pub(crate) struct AwsBucket {
    pub(crate) owner: Account,
    name: String,
    region: String,
}

impl AwsBucket {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn region(&self) -> &str {
        &self.region
    }

    /// Its files on the server's disk.
    fn folder(&self) -> PathBuf {
        let data = self.owner.aws.inner.folder.join("data");
        data.join(&self.name)
    }

    /// A client of the account that owns it.
    pub(crate) fn client(&self) -> aws_sdk_s3::Client {
        self.owner.aws.client(&self.owner.root, &self.region)
    }

    /// The customer pastes that policy, word for word; S3 refuses one that isn't right.
    pub(crate) fn paste_policy(&self, policy: &str) {
        let request = json!({"name": self.name, "policy": policy});
        self.owner.aws.admin::<Value>("bucket-policy", &request);
    }

    /// `BucketOwnerEnforced` (as it begins), `BucketOwnerPreferred` or `ObjectWriter`.
    pub(crate) fn set_ownership(&self, ownership: &str) {
        let request = json!({"name": self.name, "ownership": ownership});
        self.owner.aws.admin::<Value>("ownership", &request);
    }

    /// The default encryption becomes SSE-KMS with that key.
    pub(crate) fn encrypt_with(&self, key: &KmsKey) {
        let request = json!({"name": self.name, "algorithm": "aws:kms", "key": key.arn});
        self.owner.aws.admin::<Value>("encryption", &request);
    }

    /// The object is in its archive, where nobody can read it, or a copy of it is restored. What is written as
    /// `GLACIER` or `DEEP_ARCHIVE` begins in the archive.
    pub(crate) fn set_archived(&self, key: &str, archived: bool) {
        let request = json!({"name": self.name, "key": key, "archived": archived});
        self.owner.aws.admin::<Value>("archive", &request);
    }

    /// Somebody else has the bucket's name now.
    pub(crate) fn hand_over(&mut self, to: &Account) {
        let request = json!({"name": self.name, "owner": to.id});
        self.owner.aws.admin::<Value>("bucket-owner", &request);
        self.owner = to.clone();
    }

    /// Denies an action in this bucket to everybody, whatever the policies say.
    pub(crate) fn deny(&self, action: &str) {
        let request = json!({"bucket": self.name, "action": action});
        self.owner.aws.admin::<Value>("deny", &request);
    }

    /// Lifts every [`AwsBucket::deny`].
    pub(crate) fn undeny(&self) {
        let request = json!({"bucket": self.name});
        self.owner.aws.admin::<Value>("undeny", &request);
    }

    /// Every object's bytes by key, read from the server's disk.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        files_below(&self.folder())
    }

    /// Every object's key.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.files().into_keys().collect()
    }

    /// What S3 keeps of each object beside its bytes: owner, acl, encryption, storageClass, tags.
    pub(crate) fn objects(&self) -> BTreeMap<String, Value> {
        let request = json!({"name": self.name});
        self.owner.aws.admin("objects", &request)
    }

    /// The open uploads that the customer sees.
    pub(crate) async fn uploads(&self) -> Vec<OpenUpload> {
        let listing = self.client().list_multipart_uploads().bucket(&self.name);
        let listing = listing.send().await.expect("list uploads");
        let upload = |upload: &aws_sdk_s3::types::MultipartUpload| OpenUpload {
            key: upload.key().unwrap_or_default().to_owned(),
            id: upload.upload_id().unwrap_or_default().to_owned(),
        };
        listing.uploads().iter().map(upload).collect()
    }

    /// The requests that concerned this bucket so far, in the order of their ends.
    pub(crate) fn requests(&self) -> Vec<AwsRequest> {
        let request = json!({"bucket": self.name});
        self.owner.aws.admin("log", &request)
    }
}

impl Drop for AwsBucket {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.folder());
    }
}
