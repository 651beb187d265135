//! `OutboundLedger`: what is needed to resume a delivery and to write its receipt. Internal.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::compression::CompressionKind;
use super::destination::{AclPolicy, AddressingStyle, PermissionMode};

/// Bytes in a file at most, and so in what lies in it: 10,000 objects of 1 TB are the most that a delivery has.
const MAX_BYTES: i64 = 10_000 * 1_000_000_000_000;

/// The farthest time of a file from the epoch, before it or after it, that a ledger tells from those beyond, in
/// nanoseconds: the largest `i64` that is exact as the bound of a schema, which is a double. (The apiserver refuses
/// every value where a bound is -2^63: as its shortest decimal, -9223372036854776000, that is no `i64`.)
pub(crate) const FARTHEST_NS: i64 = i64::MAX - 1023;

/// One shard of what is needed to resume a delivery and to write its receipt. Internal to the operator.
#[derive(CustomResource, JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "outbound.dev",
    version = "v1alpha1",
    kind = "OutboundLedger",
    plural = "outboundledgers",
    namespaced,
    derive = "PartialEq",
    doc = "One shard of what is needed to resume a delivery and to write its receipt. Internal to the operator.",
    printcolumn = r#"{"name":"Shard","type":"integer","jsonPath":".spec.shard"}"#,
    printcolumn = r#"{"name":"Of","type":"integer","jsonPath":".spec.shards"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct OutboundLedgerSpec {
    /// The delivery's uid.
    #[schemars(length(max = 64))]
    pub delivery_uid: String,
    /// This shard's number, from 0.
    #[schemars(range(min = 0, max = 100_000))]
    pub shard: u32,
    /// How many shards the ledger has.
    #[schemars(range(min = 1, max = 100_000))]
    pub shards: u32,
    /// What holds for the whole delivery; in shard 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<LedgerHeader>,
    /// The files whose objects begin in this shard. Atomic, as the objects: a map's managedFields would be larger than it.
    #[serde(default)]
    #[schemars(length(max = 10_000), extend("x-kubernetes-list-type" = "atomic"))]
    pub sources: Vec<LedgerSource>,
    /// The objects.
    #[serde(default)]
    #[schemars(length(max = 10_000), extend("x-kubernetes-list-type" = "atomic"))]
    pub objects: Vec<LedgerObject>,
}

/// What holds for the whole delivery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LedgerHeader {
    /// The plan's hash.
    #[schemars(length(max = 64))]
    pub plan_hash: String,
    /// The token in each object's metadata.
    #[schemars(length(max = 64))]
    pub token: String,
    /// The version of what turns a source's bytes into an object's.
    #[schemars(range(max = 2_147_483_647))]
    pub encoder: u32,
    /// How the objects are compressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<CompressionKind>,
    /// Bytes in a part.
    #[schemars(range(min = 1, max = 5_368_709_120_i64))]
    pub part_size: i64,
    /// When the plan was made.
    #[schemars(extend("format" = "date-time"), length(max = 64))]
    pub planned_at: String,
    /// Where the objects go, as planned.
    pub destination: IdentitySnapshot,
    /// The receipt's key and state.
    pub receipt: LedgerObject,
}

/// A destination's identity when the delivery was planned, enough to abort uploads when the destination is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IdentitySnapshot {
    /// The destination's name.
    #[schemars(length(max = 63))]
    pub name: String,
    /// The destination's uid.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// A hash over the identity fields.
    #[schemars(length(max = 64))]
    pub hash: String,
    /// The bucket.
    #[schemars(length(max = 63))]
    pub bucket: String,
    /// The prefix.
    #[schemars(length(max = 512))]
    pub prefix: String,
    /// The region.
    #[schemars(length(max = 32))]
    pub region: String,
    /// The pinned owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 12))]
    pub bucket_owner: Option<String>,
    /// The store, where it isn't AWS's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    pub endpoint: Option<String>,
    /// How the bucket stands in the URL.
    pub addressing: AddressingStyle,
    /// The ACL sent with each object.
    pub acl: AclPolicy,
    /// How we are allowed to write.
    pub permission_mode: PermissionMode,
    /// The Secret of an access key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub secret_name: Option<String>,
    /// The ConfigMap of the authorities that the endpoint's certificate may come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub ca_bundle_name: Option<String>,
    /// The role of AssumeRole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub role_arn: Option<String>,
}

/// A file of the source as it was scanned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LedgerSource {
    /// Its index in the plan.
    #[schemars(range(max = 100_000))]
    pub index: u32,
    /// Its path relative to the namespace's folder, or the object's key.
    #[schemars(length(max = 4096))]
    pub path: String,
    /// Bytes in it.
    #[schemars(range(min = 0, max = MAX_BYTES))]
    pub size: i64,
    /// A file's modification time, nanoseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -FARTHEST_NS, max = FARTHEST_NS))]
    pub mtime_ns: Option<i64>,
    /// A file's change time, nanoseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -FARTHEST_NS, max = FARTHEST_NS))]
    pub ctime_ns: Option<i64>,
    /// An object's ETag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub etag: Option<String>,
}

/// A planned object and how far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LedgerObject {
    /// Its place in the delivery, from 1; 0 for the receipt.
    #[schemars(range(max = 10_000))]
    pub sequence: u32,
    /// Index of its file in the plan.
    #[serde(default)]
    #[schemars(range(max = 100_000))]
    pub source: u32,
    /// The first byte's offset in that file.
    #[serde(default)]
    #[schemars(range(min = 0, max = MAX_BYTES))]
    pub offset: i64,
    /// Bytes of the file's beginning that are repeated in front of them.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0, max = MAX_BYTES))]
    pub header: i64,
    /// Bytes of that file.
    #[serde(default)]
    #[schemars(range(min = 0, max = MAX_BYTES))]
    pub length: i64,
    /// The whole key.
    #[schemars(length(max = 1024))]
    pub key: String,
    /// How far it is.
    #[serde(default)]
    pub state: LedgerState,
    /// The multipart upload's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub upload: Option<String>,
    /// When the upload was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"), length(max = 64))]
    pub started_at: Option<String>,
    /// Newlines in the object, before compression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = MAX_BYTES))]
    pub lines: Option<i64>,
    /// Records in the object, before compression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = MAX_BYTES))]
    pub records: Option<i64>,
    /// Bytes in the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = MAX_BYTES))]
    pub bytes: Option<i64>,
    /// CRC64NVME over the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub crc64: Option<String>,
    /// MD5 over the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub md5: Option<String>,
    /// The object's version, in a bucket that keeps versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub version_id: Option<String>,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "the shape that serde asks for"
)]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// How far an object is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LedgerState {
    /// Nothing was sent.
    #[default]
    Planned,
    /// An upload is open.
    Open,
    /// Completing the upload may have been asked for.
    Completing,
    /// The object is there and verified.
    Delivered,
}
