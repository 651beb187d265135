//! S3: the client, the proof of access to destinations, the grants, the reads of sources, and what errors mean.
//!
//! Nothing outside this module sees a type of the AWS SDK.

mod access;
mod action;
mod answer;
mod body;
mod bucket;
mod ca_bundle;
mod caller;
mod calls;
mod capabilities;
mod client;
mod credentials;
mod cure;
mod denial;
mod endpoint;
mod error;
mod explain;
mod grant;
mod headers;
mod meaning;
mod names;
mod reads;
mod refusal;
mod rehearsal;
mod rights;
mod role;
mod session;
mod settings;
mod subtraction;
mod target;
#[cfg(test)]
mod testserver;
mod trust;
mod types;
mod uploads;
mod watch;

pub use access::{Proof, Proved, RegionSource, may_abort, prove};
pub use action::Action;
pub use bucket::Bucket;
pub use ca_bundle::{CaBundle, CaBundleInvalid};
pub use caller::{Caller, Signer};
pub use capabilities::{Capabilities, ConditionalWrite, Dialect, Met, PartChecksum, Use, crc32c};
pub use client::{AwsOptions, ClientFactory};
pub use credentials::{AccessKey, AccessKeyInvalid, Flaw, NoIdentity, OwnIdentity, SecretKey};
pub use denial::{Denial, Side};
pub use endpoint::{Endpoint, EndpointInvalid, PlainHttp};
pub use error::{ErrorClass, StoreError, code};
pub use grant::{
    GrantRequest, assume_policy, bucket_policy, identity_policy, key_policy, trust_policy,
};
pub use meaning::Meaning;
pub use names::{
    AccountId, AccountIdInvalid, BucketName, BucketNameInvalid, Partition, Region, RegionInvalid,
};
pub use reads::{LARGEST_READ, ListedObject, ObjectPage, PageSize, PageToken, RangeBody, Storage};
pub use refusal::Refusal;
pub use rights::{Actor, Evidence, Right, Verdict, report, report_of_met};
pub use role::{ExternalId, RoleArn, RoleArnInvalid, RoleRequest, SessionName};
pub use settings::{
    Encryption, KmsKeyId, KmsKeyIdInvalid, ObjectSettings, ObjectTags, ObjectTagsInvalid,
    StorageClass,
};
pub use target::{Acl, Addressing, AwsTarget, NotOnAws, ReadBack, Target};
pub use trust::{RoleProof, Trust, prove_role};
pub use types::{
    CompletedUpload, HeldObject, ObjectMetadata, PartBody, StoredPart, UploadId, UploadedPart,
};
pub use uploads::OpenUpload;
pub use watch::Pace;
