//! `OutboundDestination`: where a customer wants files, and in which permission mode we write there.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::assume_role::AssumeRoleSpec;
use super::capability::Capabilities;
use super::condition::{Condition, ConditionType, find};
use super::duration::DurationText;
use super::limits::LimitsSpec;
use super::object::{EncryptionSpec, ObjectTag, StorageClass};
use super::permission::Permission;
use super::quantity::Quantity;
use super::rules;

/// Where a customer wants files, and in which permission mode we write there.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "outbound.dev",
    version = "v1alpha1",
    kind = "OutboundDestination",
    plural = "outbounddestinations",
    shortname = "obdest",
    category = "outbound",
    namespaced,
    status = "DestinationStatus",
    derive = "PartialEq",
    doc = "Where a customer wants files, and in which permission mode we write there.",
    printcolumn = r#"{"name":"Mode","type":"string","description":"How we are allowed to write","jsonPath":".spec.permissionMode"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","description":"Is our access proved?","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","description":"Why it is ready or not","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name":"Bucket","type":"string","description":"The customer's bucket","jsonPath":".spec.bucket","priority":1}"#,
    printcolumn = r#"{"name":"Prefix","type":"string","description":"The prefix in the bucket","jsonPath":".spec.prefix","priority":1}"#,
    printcolumn = r#"{"name":"Verified","type":"date","description":"When access was last proved","jsonPath":".status.lastVerifiedTime","priority":1}"#,
    printcolumn = r#"{"name":"Message","type":"string","description":"What was tried and who must do what","jsonPath":".status.conditions[?(@.type==\"Ready\")].message","priority":1}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    validation = Rule::new("self.metadata.name.size() <= 63").message("the name is at most 63 characters")
)]
#[x_kube(
    validation = Rule::new("self.permissionMode != 'AccessKey' || has(self.accessKey)")
        .message("permissionMode AccessKey needs the block accessKey: {secretRef: {name: ...}}"),
    validation = Rule::new("self.permissionMode == 'AccessKey' || !has(self.accessKey)")
        .message("the block accessKey goes with permissionMode AccessKey only; CrossAccount has no block, because no secret is shared"),
    validation = Rule::new("self.permissionMode != 'AssumeRole' || has(self.assumeRole)")
        .message("permissionMode AssumeRole needs the block assumeRole: {roleArn: ...}, the role that the customer made for us"),
    validation = Rule::new("self.permissionMode == 'AssumeRole' || !has(self.assumeRole)")
        .message("the block assumeRole goes with permissionMode AssumeRole only"),
    validation = Rule::new("self.permissionMode == 'AccessKey' || !has(self.endpoint)")
        .message("endpoint goes with permissionMode AccessKey only: our own identity signs for AWS alone"),
    validation = Rule::new("!has(self.caBundleRef) || has(self.endpoint)")
        .message("caBundleRef goes with endpoint only: AWS's own certificates need no bundle"),
    validation = Rule::new("!has(self.caBundleRef) || !has(self.endpoint) || self.endpoint.startsWith('https://')")
        .message("caBundleRef goes with an endpoint that begins with https:// only: without TLS there is no certificate"),
    validation = Rule::new("self.permissionMode != 'CrossAccount' || has(self.bucketOwner)")
        .message("permissionMode CrossAccount needs bucketOwner, the customer's 12-digit account id"),
    validation = Rule::new("self.permissionMode == 'AccessKey' || !has(self.encryption) || self.encryption.type != 'SSE-KMS' || (has(self.encryption.kmsKeyId) && self.encryption.kmsKeyId.startsWith('arn:'))")
        .message("across accounts encryption SSE-KMS needs kmsKeyId as a full ARN, arn:aws:kms:REGION:ACCOUNT:key/ID: an id alone is looked up in our own account; leave encryption out to use the bucket's default key")
)]
#[serde(rename_all = "camelCase")]
pub struct OutboundDestinationSpec {
    /// The customer's bucket, by its name: 3 to 63 lower-case letters, digits, dots and hyphens. Access point aliases and directory buckets are not supported.
    #[schemars(length(min = 3, max = 63))]
    #[x_kube(
        validation = rules::bucket_characters(),
        validation = rules::bucket_ends(),
        validation = rules::bucket_dots(),
        validation = rules::bucket_no_address(),
        validation = rules::bucket_not_reserved(),
        validation = rules::bucket_no_alias(),
        validation = rules::bucket_general_purpose(),
    )]
    pub bucket: String,

    /// What every key begins with: empty, or ends with "/". Key = prefix + rendered key, verbatim. At most 512 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    #[x_kube(
        validation = rules::prefix_closed(),
        validation = rules::prefix_relative(),
        validation = rules::prefix_no_empty_segment(),
        validation = rules::prefix_no_dot_segment(),
        validation = rules::prefix_bytes(),
        validation = rules::no_control_characters(),
    )]
    pub prefix: Option<String>,

    /// The bucket's region. Absent: learned from the bucket, or us-east-1 with an endpoint. Required where the bucket, or the operator's own region, is outside the aws partition: it can't be learned there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(validation = rules::region())]
    pub region: Option<String>,

    /// The 12-digit account that must own the bucket, quoted; sent with every request. Required for CrossAccount; absent in AssumeRole: the role's account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 12))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9]{12}$')").message("bucketOwner is an AWS account id: 12 digits, quoted"))]
    pub bucket_owner: Option<String>,

    /// An S3-compatible store, as scheme, host and port; with AccessKey only. It must be on the operator's allow-list. Redirects are never followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    #[x_kube(validation = Rule::new(r"self.matches('^https?://([a-zA-Z0-9.-]+|[\\[][0-9a-fA-F:]+[\\]])(:[0-9]{1,5})?$')")
        .message("an endpoint is scheme, host and port, for example https://s3.example.com:9000, without a path"))]
    pub endpoint: Option<String>,

    /// The authorities that the endpoint's certificate may come from, in place of the system's; with endpoint only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle_ref: Option<ConfigMapRef>,

    /// How the bucket stands in the URL. Absent: Path for an endpoint or a bucket with a dot, else VirtualHosted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addressing: Option<AddressingStyle>,

    /// How we are allowed to write: with a key that the customer shares, as our own account, which the customer's bucket policy allows, or as a role of the customer's.
    pub permission_mode: PermissionMode,

    /// The customer's access key; exactly with permissionMode AccessKey.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key: Option<AccessKeyRef>,

    /// The role that the customer made for us; exactly with permissionMode AssumeRole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assume_role: Option<AssumeRoleSpec>,

    /// The ACL sent with each object. Absent: BucketOwnerFullControl in CrossAccount, None otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acl: Option<AclPolicy>,

    /// Whether the grant lets us read our objects' headers under the prefix. WriteOnly (what applies when absent) asks for writing alone; Granted adds s3:GetObject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_back: Option<ReadBack>,

    /// Bytes in the largest object: more than 0, at most 1T = 10^12. Absent: 1T. A delivery may name its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(
        validation = rules::quantity_form(),
        validation = rules::quantity_positive(),
        validation = rules::quantity_whole(),
        validation = rules::quantity_limit()
    )]
    pub split_size: Option<Quantity>,

    /// How objects are encrypted at rest. Absent: as the bucket's default says, and no header is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<EncryptionSpec>,

    /// The storage class of each object. Absent: STANDARD, as S3 says, and no header is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<StorageClass>,

    /// Tags on each object, at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["key"]))]
    pub object_tags: Vec<ObjectTag>,

    /// What all deliveries to the destination may do at once, together. A change holds for running deliveries too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<LimitsSpec>,

    /// How often access is proved again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<VerificationSpec>,

    /// Holds the destination: no proofs, and deliveries to it pause at part boundaries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
}

/// How we are allowed to write: with a key that the customer shares, as our own account, which the customer's bucket policy allows, or as a role of the customer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PermissionMode {
    /// With an access key that the customer shares.
    AccessKey,
    /// As our own account, which the customer's bucket policy allows.
    CrossAccount,
    /// As a role of the customer's, which trusts our principal with an external ID that we issue.
    AssumeRole,
}

/// How the bucket stands in the URL. Absent: Path for an endpoint or a bucket with a dot, else VirtualHosted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AddressingStyle {
    /// `https://bucket.host/key`
    VirtualHosted,
    /// `https://host/bucket/key`
    Path,
}

/// The ACL sent with each object. Absent: BucketOwnerFullControl in CrossAccount, None otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AclPolicy {
    /// `bucket-owner-full-control`
    BucketOwnerFullControl,
    /// No ACL is sent.
    None,
}

/// Whether the grant lets us read our objects' headers under the prefix. WriteOnly (what applies when absent) asks for writing alone; Granted adds s3:GetObject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReadBack {
    /// Nothing but writing is asked of the customer.
    WriteOnly,
    /// The grant adds s3:GetObject on the prefix.
    Granted,
}

/// Where the customer's access key is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessKeyRef {
    /// A Secret in this namespace with the keys accessKeyId, secretAccessKey and, optionally, sessionToken.
    pub secret_ref: SecretRef,
}

/// A Secret in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretRef {
    /// The Secret's name.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")
    )]
    pub name: String,
}

/// A ConfigMap in the same namespace, with PEM certificates under the key ca.crt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigMapRef {
    /// The ConfigMap's name.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")
    )]
    pub name: String,
}

/// How often access is proved again.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerificationSpec {
    /// Time between proofs, each destination at its own time in it: at least 1m. Absent: 1h. A delivery that succeeded counts as a proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rules::duration_between("1m", "8760h"))]
    pub interval: Option<DurationText>,
}

/// What is the case with a destination.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DestinationStatus {
    /// The generation that this status was made for; -1 before the operator saw the object.
    #[schemars(range(min = -1))]
    pub observed_generation: i64,
    /// Ready, Reconciling and Stalled by kstatus' rules, AccessVerified, and TrustVerified with AssumeRole.
    #[serde(default)]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// What applies where the spec is silent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective: Option<Effective>,
    /// Who we are to the customer (CrossAccount, AssumeRole).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// What the customer's role must ask of us (AssumeRole): issued by us, one per cluster, namespace and name, the same after a re-creation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1224))]
    pub external_id: Option<String>,
    /// Policies to paste.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<Grant>,
    /// Each action that delivering to this destination uses, and whether it is allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["action"]))]
    pub permissions: Vec<Permission>,
    /// What the store can do, as the proof and deliveries found it out; never configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
    /// When access was last proved; written when a result changes, or when it is over an hour old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"), length(max = 64))]
    pub last_verified_time: Option<String>,
    /// The resourceVersion of the Secret that the last proof used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub secret_version: Option<String>,
    /// The value of the annotation outbound.dev/requestedAt that was last acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub last_handled_request: Option<String>,
}

impl Default for DestinationStatus {
    fn default() -> Self {
        Self {
            observed_generation: -1,
            conditions: Vec::new(),
            effective: None,
            identity: None,
            external_id: None,
            grant: None,
            permissions: Vec::new(),
            capabilities: None,
            last_verified_time: None,
            secret_version: None,
            last_handled_request: None,
        }
    }
}

impl DestinationStatus {
    /// The condition of that type.
    #[must_use]
    pub fn condition(&self, type_: ConditionType) -> Option<&Condition> {
        find(&self.conditions, type_)
    }
}

/// What applies where the spec is silent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Effective {
    /// The bucket's region, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub region: Option<String>,
    /// Bytes in the largest object.
    #[schemars(range(min = 1))]
    pub split_size: i64,
    /// The ACL sent with each object.
    pub acl: AclPolicy,
    /// How the bucket stands in the URL.
    pub addressing: AddressingStyle,
    /// The account that must own the bucket, where one is pinned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 12))]
    pub bucket_owner: Option<String>,
}

/// Who we are to the customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Identity {
    /// Our account.
    #[schemars(length(max = 12))]
    pub account: String,
    /// Our principal, as the customer's policies name it.
    #[schemars(length(max = 2048))]
    pub arn: String,
}

/// Policies to paste: least actions, our principal, this prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// The customer's bucket policy, as JSON (CrossAccount, AssumeRole).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8192))]
    pub bucket_policy: Option<String>,
    /// The trust policy of the customer's role, as JSON (AssumeRole).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8192))]
    pub trust_policy: Option<String>,
    /// The statement for the policy of the customer's KMS key, as JSON (SSE-KMS across accounts).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8192))]
    pub key_policy: Option<String>,
    /// What the identity that signs needs of its own account, as JSON: our role's in CrossAccount and AssumeRole, the user's behind the shared key in AccessKey.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8192))]
    pub identity_policy: Option<String>,
}
