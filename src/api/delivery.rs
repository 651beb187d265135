//! `OutboundDelivery`: which files are handed over, and how they are cut and named.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::compression::CompressionKind;
use super::condition::{Condition, ConditionType, find};
use super::receipt::ReceiptSpec;
use super::rules;
use super::source::{SourceSpec, WaitFor};
use super::split::SplitSpec;

/// RFC 3339, as far as it is read: the apiserver's `date-time` takes any offset, and any sign before a second's fraction.
const LOGICAL_TIME: &str = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$";

/// Which files are handed over, and how they are cut and named.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "outbound.dev",
    version = "v1alpha1",
    kind = "OutboundDelivery",
    plural = "outbounddeliveries",
    shortname = "obdel",
    category = "outbound",
    namespaced,
    status = "DeliveryStatus",
    derive = "PartialEq",
    doc = "Which files are handed over, and how they are cut and named.",
    printcolumn = r#"{"name":"Phase","type":"string","description":"Where the delivery stands","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"Done%","type":"integer","description":"Bytes confirmed by the store, in percent","jsonPath":".status.progress.percent"}"#,
    printcolumn = r#"{"name":"Objects","type":"integer","description":"Objects delivered and verified","jsonPath":".status.progress.objectsDone","priority":1}"#,
    printcolumn = r#"{"name":"Of","type":"integer","description":"Objects planned","jsonPath":".status.progress.objectsTotal","priority":1}"#,
    printcolumn = r#"{"name":"Reason","type":"string","description":"Why it stands there","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name":"Destination","type":"string","description":"Where to","jsonPath":".spec.destinationRef.name","priority":1}"#,
    printcolumn = r#"{"name":"Message","type":"string","description":"What was tried and who must do what","jsonPath":".status.conditions[?(@.type==\"Ready\")].message","priority":1}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    validation = Rule::new("self.metadata.name.size() <= 63").message("the name is at most 63 characters")
)]
#[x_kube(
    validation = rules::immutable("destinationRef"),
    validation = rules::immutable("source"),
    validation = rules::immutable_optional("waitFor"),
    validation = rules::immutable_optional("onEmpty"),
    validation = rules::immutable_optional("split"),
    validation = rules::immutable_optional("compression"),
    validation = rules::immutable_optional("key"),
    validation = rules::immutable_optional("logicalTime"),
    validation = rules::immutable_optional("ifExists"),
    validation = rules::immutable_optional("receipt")
)]
#[serde(rename_all = "camelCase")]
pub struct OutboundDeliverySpec {
    /// The destination, in the same namespace.
    pub destination_ref: DestinationRef,

    /// Where the files are.
    pub source: SourceSpec,

    /// A marker beside the source: nothing is planned before it exists. Absent: nothing is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_for: Option<WaitFor>,

    /// What happens when nothing matches. Fail (what applies when absent): the delivery ends with SourceEmpty or SourceNotFound. Complete: it ends Complete, with a receipt that names no file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_empty: Option<OnEmpty>,

    /// How files are cut into objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<SplitSpec>,

    /// How each object is compressed. None (what applies when absent), Gzip: one gzip member, its key ends in .gz. Zstd: one Zstandard frame, its key ends in .zst. The split's size bounds the bytes before compression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<CompressionKind>,

    /// The key of each object, behind the destination's prefix. Macros: {stem} {split} {ext} {name} {path} {date} {timestamp} {delivery} {namespace} {destination}. Absent: "{stem}{split}{ext}". Behind it comes .gz or .zst where the object is compressed, unless the template's own text ends so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(
        validation = Rule::new(r"self.matches('^([^{}]|[{](stem|split|ext|name|path|date|timestamp|delivery|namespace|destination)[}])*$')")
            .message("a key has the macros {stem} {split} {ext} {name} {path} {date} {timestamp} {delivery} {namespace} {destination} and no other braces"),
        validation = Rule::new("!self.startsWith('/') && !self.contains('//') && !self.endsWith('/')").message("a key has no leading or closing \"/\" and no \"//\""),
        validation = Rule::new("!self.matches('(^|/)[.][.]?(/|$)')").message("a key has no \".\" or \"..\" segment"),
        validation = rules::no_control_characters()
    )]
    pub key: Option<String>,

    /// The time that {date} and {timestamp} render. Absent: the creation time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40), regex(pattern = LOGICAL_TIME), extend("format" = "date-time"))]
    pub logical_time: Option<String>,

    /// What happens when an object's key is taken. Fail (what applies when absent): the delivery ends with ObjectExists. Skip: an object of the same size and CRC64NVME is taken for delivered, any other ends the delivery; needs a destination with readBack Granted. Overwriting is not offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_exists: Option<IfExists>,

    /// The receipt, written last: it is there only when all that it names is there and right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<ReceiptSpec>,

    /// Pauses at part boundaries; uploads stay open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,

    /// Consecutive attempts without a newly confirmed part before the delivery fails. Absent: 6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub backoff_limit: Option<i32>,

    /// Seconds that the delivery may spend working before it fails; waiting and suspension don't count. Absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub active_deadline_seconds: Option<i64>,

    /// Seconds after its end, be it Complete or Failed, at which the delivery is deleted; what was delivered stays. Absent: it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub ttl_seconds_after_finished: Option<i64>,
}

/// A destination in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DestinationRef {
    /// The destination's name.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")
    )]
    pub name: String,
}

/// What happens when nothing matches. Fail (what applies when absent): the delivery ends with SourceEmpty or SourceNotFound. Complete: it ends Complete, with a receipt that names no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnEmpty {
    /// The delivery fails.
    Fail,
    /// It is Complete, and its receipt names no file.
    Complete,
}

/// What happens when an object's key is taken. Fail (what applies when absent): the delivery ends with ObjectExists. Skip: an object of the same size and CRC64NVME is taken for delivered, any other ends the delivery; needs a destination with readBack Granted. Overwriting is not offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IfExists {
    /// The delivery fails.
    Fail,
    /// One with the same content is taken for delivered.
    Skip,
}

/// Where a delivery stands; for people, derived from the conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Not begun, or waiting.
    Pending,
    /// Finding where to cut.
    Planning,
    /// Sending objects.
    Uploading,
    /// All objects are there; the receipt is on its way.
    Finalizing,
    /// Delivered.
    Complete,
    /// Ended without delivering.
    Failed,
    /// Held on purpose.
    Suspended,
}

/// What is the case with a delivery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryStatus {
    /// The generation that this status was made for; -1 before the operator saw the object.
    #[schemars(range(min = -1))]
    pub observed_generation: i64,
    /// Where the delivery stands; derived from the conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Ready, Reconciling and Stalled by kstatus' rules; Complete and Failed as a Job has them.
    #[serde(default)]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The destination as it was planned for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<PlannedDestination>,
    /// How far it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<DeliveryProgress>,
    /// What was delivered: at most 100 objects and 24 KiB; the receipt has all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["key"]))]
    pub objects: Vec<DeliveredObject>,
    /// How many delivered objects the list leaves out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub objects_omitted: Option<i64>,
    /// The receipt, once written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<DeliveryReceipt>,
    /// When work began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"), length(max = 64))]
    pub start_time: Option<String>,
    /// When everything was delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"), length(max = 64))]
    pub completion_time: Option<String>,
    /// Seconds spent working so far; waiting and suspension don't count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub active_seconds: Option<i64>,
    /// Consecutive attempts without a newly confirmed part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub attempts: Option<i32>,
    /// The last error that was met on the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub last_error: Option<String>,
    /// The value of the annotation outbound.dev/requestedAt that was last acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub last_handled_request: Option<String>,
}

impl Default for DeliveryStatus {
    fn default() -> Self {
        Self {
            observed_generation: -1,
            phase: None,
            conditions: Vec::new(),
            destination: None,
            progress: None,
            objects: Vec::new(),
            objects_omitted: None,
            receipt: None,
            start_time: None,
            completion_time: None,
            active_seconds: None,
            attempts: None,
            last_error: None,
            last_handled_request: None,
        }
    }
}

impl DeliveryStatus {
    /// The condition of that type.
    #[must_use]
    pub fn condition(&self, type_: ConditionType) -> Option<&Condition> {
        find(&self.conditions, type_)
    }
}

/// The destination as a delivery was planned for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedDestination {
    /// The destination's uid.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// A hash over where objects go and how they are kept: with another one the reason is DestinationChanged.
    #[schemars(length(max = 64))]
    pub hash: String,
}

/// How far a delivery is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryProgress {
    /// Bytes to deliver, before compression.
    #[schemars(range(min = 0))]
    pub bytes_total: i64,
    /// Those of them that the store confirmed.
    #[schemars(range(min = 0))]
    pub bytes_done: i64,
    /// The same in percent; 100 only when all is delivered.
    #[schemars(range(min = 0, max = 100))]
    pub percent: i32,
    /// Files in the source.
    #[schemars(range(min = 0))]
    pub files_total: i64,
    /// Objects to deliver.
    #[schemars(range(min = 0))]
    pub objects_total: i64,
    /// Objects delivered and verified.
    #[schemars(range(min = 0))]
    pub objects_done: i64,
    /// Bytes of the source that were read for where to cut, while that goes on and takes its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub bytes_scanned: Option<i64>,
}

/// An object that was delivered and verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeliveredObject {
    /// The whole key.
    #[schemars(length(max = 1024))]
    pub key: String,
    /// Bytes in it, after compression.
    #[schemars(range(min = 0))]
    pub bytes: i64,
    /// Newlines in it, before compression.
    #[schemars(range(min = 0))]
    pub lines: i64,
    /// CRC64NVME over the whole object, as S3 writes it.
    #[schemars(length(max = 64))]
    pub checksum: String,
}

/// The receipt, once written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeliveryReceipt {
    /// The whole key.
    #[schemars(length(max = 1024))]
    pub key: String,
    /// CRC64NVME over the whole receipt, as S3 writes it.
    #[schemars(length(max = 64))]
    pub checksum: String,
}
