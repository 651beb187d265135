//! A store of a third party, and an operator that delivers to it.

use std::cell::{RefCell, RefMut};
use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_s3::config::{BehaviorVersion, Region};
use serde_json::{Value, json};

use crate::support::operator::{Operator, OperatorConfig};
use crate::support::process::{Leashed, Scratch, unique};
use crate::support::wait::{PATIENCE, eventually};
use crate::support::world::{PREFIX, find_condition};
use crate::support::{ControlPlane, control_plane::Namespace};

/// A store of a third party.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Minio,
    Garage,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Minio => "minio",
            Self::Garage => "garage",
        }
    }
}

/// One store, one namespace, one operator, and the destination `acme`. Dropped in this order.
pub(crate) struct Place {
    operator: RefCell<Operator>,
    namespace: Namespace<'static>,
    volume: Scratch,
    _server: Leashed,
    settings: BTreeMap<String, String>,
}

impl Place {
    pub(crate) async fn on(kind: Kind) -> Place {
        let folder = std::env::temp_dir().join(unique("outbound-store"));
        let (server, _) = Leashed::script("store", &[kind.name()], &folder);
        let settings: BTreeMap<String, String> =
            std::fs::read_to_string(folder.join("credentials.env"))
                .unwrap()
                .lines()
                .filter_map(|line| line.split_once('='))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
        let namespace = ControlPlane::shared().namespace(kind.name());
        let volume = Scratch::new(kind.name());
        let config = OperatorConfig::at(namespace.name(), volume.path(), &settings["URL"])
            .with("transfer.partSize", "5Mi");
        let place = Place {
            operator: RefCell::new(Operator::start(config)),
            namespace,
            volume,
            _server: server,
            settings,
        };
        place.destination("acme", json!({}));
        place.is_ready("acme").await;
        place
    }

    pub(crate) fn operator(&self) -> RefMut<'_, Operator> {
        self.operator.borrow_mut()
    }

    /// An AccessKey destination with read-back; `change` replaces values of its Secret.
    pub(crate) fn destination(&self, name: &str, change: Value) {
        self.destination_with(name, change, "");
    }

    /// The same with `more` of a spec.
    pub(crate) fn destination_with(&self, name: &str, change: Value, more: &str) {
        let mut key = json!({
            "accessKeyId": self.settings["ACCESS_KEY_ID"],
            "secretAccessKey": self.settings["SECRET_ACCESS_KEY"],
        });
        for (field, value) in change.as_object().unwrap() {
            key[field] = value.clone();
        }
        self.apply(&format!(
            "{{apiVersion: v1, kind: Secret, metadata: {{name: {name}}}, stringData: {key}}}\n---\n\
             apiVersion: outbound.dev/v1alpha1\nkind: OutboundDestination\nmetadata: {{name: {name}}}\n\
             spec: {{bucket: {}, prefix: {PREFIX}, endpoint: {:?}, readBack: Granted, permissionMode: AccessKey, \
             accessKey: {{secretRef: {{name: {name}}}}}{more}}}\n",
            self.settings["BUCKET"], self.settings["URL"]
        ));
    }

    pub(crate) fn apply(&self, manifests: &str) {
        self.namespace.apply(manifests).ok();
    }

    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let folder = self.volume.path().join(self.namespace.name());
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), bytes).unwrap();
    }

    pub(crate) fn deliver(&self, name: &str, path: &str, more: &str) {
        self.deliver_to("acme", name, path, more);
    }

    pub(crate) fn deliver_to(&self, destination: &str, name: &str, path: &str, more: &str) {
        self.apply(&format!(
            "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDelivery\nmetadata: {{name: {name}}}\n\
             spec:\n  destinationRef: {{name: {destination}}}\n  source: {{volume: {{path: {path:?}}}}}\n{more}"
        ));
    }

    /// Waits until the delivery ended, and returns it; it must have ended so.
    pub(crate) async fn ends(&self, name: &str, how: &str) -> Value {
        self.eventually("obdel", name, "ends", |it| {
            is(it, "Complete", "True") || is(it, "Failed", "True")
        })
        .await;
        let delivery = self.namespace.get("obdel", name).unwrap();
        assert!(
            is(&delivery, how, "True"),
            "{:#}\n{}",
            delivery["status"],
            self.operator.borrow().log_tail()
        );
        delivery
    }

    /// Waits until something of it was sent; it may be over by then.
    pub(crate) async fn in_flight(&self, name: &str) {
        self.eventually("obdel", name, "is under way", |it| {
            it["status"]["progress"]["bytesDone"].as_u64() > Some(0)
        })
        .await;
    }

    pub(crate) fn delete(&self, name: &str) {
        self.namespace.kubectl(&["delete", "obdel", name]).ok();
    }

    pub(crate) async fn has_capabilities(
        &self,
        checksum: &str,
        verification: &str,
        condition: &str,
    ) {
        let expected = json!({
            "checksum": checksum, "verification": verification, "conditionalWrite": condition,
        });
        self.eventually("obdest", "acme", "has its capabilities", |it| {
            it["status"]["capabilities"] == expected
        })
        .await;
    }

    pub(crate) async fn is_ready(&self, name: &str) {
        self.eventually("obdest", name, "is ready", |it| is(it, "Ready", "True"))
            .await;
    }

    pub(crate) async fn not_ready(&self, name: &str, why: &str) {
        self.eventually("obdest", name, why, |it| {
            is(it, "Ready", "False") && reason(it, "Ready") == Some(why)
        })
        .await;
    }

    async fn eventually(&self, kind: &str, name: &str, what: &str, is: impl Fn(&Value) -> bool) {
        let what = format!("{kind} {name} {what}");
        let deadline: Duration = PATIENCE * 3;
        eventually(deadline, &what, async || {
            let object = self.namespace.get(kind, name).unwrap_or(Value::Null);
            let seen = || {
                format!(
                    "{:#}\n{}",
                    object["status"],
                    self.operator.borrow().log_tail()
                )
            };
            if is(&object) { Ok(()) } else { Err(seen()) }
        })
        .await;
    }

    /// A client that isn't the operator's.
    fn client(&self) -> aws_sdk_s3::Client {
        let credentials = aws_sdk_s3::config::Credentials::new(
            &self.settings["ACCESS_KEY_ID"],
            &self.settings["SECRET_ACCESS_KEY"],
            None,
            None,
            "test",
        );
        aws_sdk_s3::Client::from_conf(
            aws_sdk_s3::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::from_static("us-east-1"))
                .endpoint_url(&self.settings["URL"])
                .force_path_style(true)
                .credentials_provider(credentials)
                .build(),
        )
    }

    pub(crate) async fn object(&self, key: &str) -> Option<Vec<u8>> {
        let bucket = &self.settings["BUCKET"];
        let answer = self.client().get_object().bucket(bucket).key(key).send();
        let body = answer.await.ok()?.body.collect().await.unwrap();
        Some(body.to_vec())
    }

    /// How an object is encrypted at rest, and with which key, as the store tells.
    pub(crate) async fn encryption(&self, key: &str) -> (Option<String>, Option<String>) {
        let head = self
            .client()
            .head_object()
            .bucket(&self.settings["BUCKET"])
            .key(key)
            .send()
            .await
            .expect("look at an object");
        let how = head.server_side_encryption().map(|it| it.to_string());
        (how, head.ssekms_key_id().map(str::to_owned))
    }

    pub(crate) async fn put(&self, key: &str, bytes: &[u8]) {
        let request = self.client().put_object().bucket(&self.settings["BUCKET"]);
        let request = request.key(key).body(bytes.to_vec().into());
        request.send().await.expect("put an object");
    }

    /// The open uploads of a key.
    pub(crate) async fn uploads(&self, key: &str) -> usize {
        let bucket = &self.settings["BUCKET"];
        let listing = self.client().list_multipart_uploads();
        let listing = listing.bucket(bucket).prefix(key).send().await;
        listing.expect("list uploads").uploads().len()
    }
}

fn is(object: &Value, condition: &str, status: &str) -> bool {
    find_condition(object, condition).is_some_and(|it| it["status"] == status)
}

/// The reason of a condition.
pub(crate) fn reason<'a>(object: &'a Value, condition: &str) -> Option<&'a str> {
    find_condition(object, condition)?["reason"].as_str()
}
