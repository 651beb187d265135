//! What nearly every test starts from: a namespace, a customer's bucket, a folder with files, and an
//! operator that watches it. A test then reads like the README: these manifests, this happens.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::control_plane::{ControlPlane, Namespace};
use super::operator::{Operator, OperatorConfig};
use super::process::Scratch;
use super::s3::{Bucket, Credentials, S3Server};
use super::wait::{PATIENCE, eventually};

/// What writing takes, in every mode: the least that a customer grants.
pub(crate) const WRITE_ACTIONS: [&str; 3] = [
    "s3:PutObject",
    "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
];

/// The prefix that the operator's configuration gives to the namespace of a [`World`].
pub(crate) const PREFIX: &str = "audience/";

/// Dropped in this order: the operator first, so that it can't see the rest vanish.
pub(crate) struct World {
    pub(crate) operator: Operator,
    pub(crate) namespace: Namespace<'static>,
    pub(crate) bucket: Bucket,
    pub(crate) s3: S3Server,
    volume: Scratch,
}

impl World {
    /// With the shared servers. The bucket has no policy yet; the namespace may deliver to it by
    /// CrossAccount below [`PREFIX`].
    pub(crate) async fn start(topic: &str) -> World {
        World::start_with(topic, &S3Server::shared(), |config| config).await
    }

    /// On that S3 server and with a changed configuration.
    pub(crate) async fn start_with(
        topic: &str,
        s3: &S3Server,
        change: impl FnOnce(OperatorConfig) -> OperatorConfig,
    ) -> World {
        let namespace = ControlPlane::shared().namespace(topic);
        let customer = s3.customer();
        let bucket = s3.bucket(&customer).await;
        let volume = Scratch::new(topic);
        let config = OperatorConfig::new(namespace.name(), volume.path(), s3).allow_bucket(
            namespace.name(),
            bucket.name(),
            &customer.access_key,
            &[PREFIX],
        );
        World {
            operator: Operator::start(change(config)),
            namespace,
            bucket,
            s3: s3.clone(),
            volume,
        }
    }

    /// The namespace's folder on the operator's volume.
    pub(crate) fn folder(&self) -> PathBuf {
        self.volume.path().join(self.namespace.name())
    }

    /// Writes a source file (and its folders) below [`World::folder`].
    pub(crate) fn file(&self, path: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder().join(path);
        std::fs::create_dir_all(path.parent().expect("a file in a folder")).expect("make folders");
        std::fs::write(&path, bytes).expect("write a source file");
        path
    }

    /// Applies manifests that must be accepted.
    #[track_caller]
    pub(crate) fn apply(&self, manifests: &str) {
        self.namespace.apply(manifests).ok();
    }

    /// Applies manifests that must be refused; returns what the user reads.
    #[track_caller]
    pub(crate) fn refused(&self, manifests: &str) -> String {
        self.namespace.apply(manifests).refusal()
    }

    /// A Secret as an AccessKey destination wants it.
    pub(crate) fn secret(&self, name: &str, who: &Credentials) {
        self.apply(&format!(
            "{{apiVersion: v1, kind: Secret, metadata: {{name: {name}}}, \
             stringData: {{accessKeyId: {:?}, secretAccessKey: {:?}}}}}",
            who.access_key, who.secret_key
        ));
    }

    /// A user who may do nothing but write below [`PREFIX`] of the bucket, in the Secret `name`, and
    /// the AccessKey destination `name` with it. `more` are further lines of its spec (2 spaces in).
    pub(crate) async fn access_key_destination(&self, name: &str, more: &str) -> Credentials {
        let user = self.s3.user("writer");
        self.bucket.grant(&user, PREFIX, &WRITE_ACTIONS).await;
        self.secret(name, &user);
        let (bucket, url) = (self.bucket.name(), self.s3.url());
        self.apply(&format!(
            "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDestination\nmetadata: {{name: {name}}}\n\
             spec:\n  bucket: {bucket}\n  prefix: {PREFIX}\n  endpoint: {url}\n  \
             permissionMode: AccessKey\n  accessKey: {{secretRef: {{name: {name}}}}}\n{more}"
        ));
        user
    }

    /// Asks for a proof or a retry now, and waits until the operator says that it did; returns the object.
    pub(crate) async fn request(&self, kind: &str, name: &str, value: &str) -> Value {
        let annotation = format!("outbound.dev/requestedAt={value}");
        self.namespace
            .kubectl(&["annotate", "--overwrite", kind, name, &annotation])
            .ok();
        let what = format!("{kind} {name} has handled the request {value}");
        self.eventually(PATIENCE, &what, kind, name, |object| {
            (object["status"]["lastHandledRequest"] == value).then(|| object.clone())
        })
        .await
    }

    /// The Events about the object, oldest first: type, reason, message, and how often it was said.
    pub(crate) fn events(&self, name: &str) -> Vec<(String, String, String, u64)> {
        let about = format!("involvedObject.name={name}");
        let list = ["get", "events", "--field-selector", &about, "-o", "json"];
        let list: Value = serde_json::from_str(&self.namespace.kubectl(&list).ok()).expect("JSON");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut events: Vec<&Value> = list["items"].as_array().into_iter().flatten().collect();
        events.sort_by_key(|event| text(&event["eventTime"]));
        let said = |event: &&Value| {
            let count = event["series"]["count"]
                .as_u64()
                .or(event["count"].as_u64());
            count.unwrap_or(1)
        };
        let event = |event: &Value| {
            (
                text(&event["type"]),
                text(&event["reason"]),
                text(&event["message"]),
                said(&event),
            )
        };
        events.into_iter().map(event).collect()
    }

    /// Grants us the least on [`PREFIX`], and applies the CrossAccount destination `name`.
    pub(crate) async fn cross_account_destination(&self, name: &str, more: &str) {
        let actions = [&WRITE_ACTIONS[..], &["s3:PutObjectAcl"]].concat();
        self.bucket.grant(&self.s3.us(), PREFIX, &actions).await;
        let (bucket, owner) = (self.bucket.name(), self.s3.customer().access_key);
        self.apply(&format!(
            "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDestination\nmetadata: {{name: {name}}}\n\
             spec:\n  bucket: {bucket}\n  prefix: {PREFIX}\n  region: us-east-1\n  \
             bucketOwner: \"{owner}\"\n  permissionMode: CrossAccount\n{more}"
        ));
    }

    /// The object now; the test fails when it isn't there.
    #[track_caller]
    pub(crate) fn get(&self, kind: &str, name: &str) -> Value {
        self.namespace
            .get(kind, name)
            .unwrap_or_else(|| panic!("no {kind} {name}"))
    }

    /// Waits until the condition has that status, at the object's present generation, and returns the
    /// condition. A failure shows the object and the operator's log.
    pub(crate) async fn condition(
        &self,
        kind: &str,
        name: &str,
        condition: &str,
        status: &str,
    ) -> Value {
        let what = format!("{kind} {name} has {condition}={status}");
        self.eventually(PATIENCE, &what, kind, name, |object| {
            let found = find_condition(object, condition)?;
            let seen = found["observedGeneration"]
                .as_i64()
                .or(object["status"]["observedGeneration"].as_i64());
            let current = seen >= object["metadata"]["generation"].as_i64();
            (found["status"] == status && current).then(|| found.clone())
        })
        .await
    }

    /// Waits until the condition has that reason, and returns the condition.
    pub(crate) async fn reason(
        &self,
        kind: &str,
        name: &str,
        condition: &str,
        reason: &str,
    ) -> Value {
        let what = format!("{kind} {name} has {condition} with reason {reason}");
        self.eventually(PATIENCE, &what, kind, name, |object| {
            let found = find_condition(object, condition)?;
            (found["reason"] == reason).then(|| found.clone())
        })
        .await
    }

    /// Waits until `probe` finds what it looks for in the object.
    pub(crate) async fn eventually<T>(
        &self,
        deadline: Duration,
        what: &str,
        kind: &str,
        name: &str,
        probe: impl Fn(&Value) -> Option<T>,
    ) -> T {
        eventually(deadline, what, async || {
            let object = self.namespace.get(kind, name).unwrap_or(Value::Null);
            probe(&object).ok_or_else(|| {
                format!(
                    "{:#}\noperator's log:\n{}",
                    object["status"],
                    self.operator.log_tail()
                )
            })
        })
        .await
    }
}

/// The condition of that type, if the object has it.
pub(crate) fn find_condition<'a>(object: &'a Value, condition: &str) -> Option<&'a Value> {
    object["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|candidate| candidate["type"] == condition)
}
