//! The destination's S3: the client, the proof of access, the grants, and what errors mean.
//!
//! Nothing outside this module sees a type of the AWS SDK.

mod access;
mod answer;
mod body;
mod bucket;
mod ca_bundle;
mod caller;
mod calls;
mod capabilities;
mod client;
mod credentials;
mod endpoint;
mod error;
mod explain;
mod grant;
mod names;
mod refusal;
mod role;
mod session;
mod target;
#[cfg(test)]
mod testserver;
mod trust;
mod types;
mod uploads;
mod watch;

pub use access::{Proof, RegionSource, may_abort, prove};
pub use bucket::Bucket;
pub use ca_bundle::{CaBundle, CaBundleInvalid};
pub use caller::Caller;
pub use capabilities::{Capabilities, ConditionalWrite, Dialect, PartChecksum, crc32c};
pub use client::{AwsOptions, ClientFactory};
pub use credentials::{AccessKey, AccessKeyInvalid, Flaw, NoIdentity, OwnIdentity, SecretKey};
pub use endpoint::{Endpoint, EndpointInvalid, PlainHttp};
pub use error::{ErrorClass, StoreError, code};
pub use grant::{GrantRequest, assume_policy, bucket_policy, identity_policy, trust_policy};
pub use names::{
    AccountId, AccountIdInvalid, BucketName, BucketNameInvalid, Partition, Region, RegionInvalid,
};
pub use refusal::Refusal;
pub use role::{ExternalId, RoleArn, RoleArnInvalid, RoleRequest, SessionName};
pub use target::{Acl, Addressing, AwsTarget, NotOnAws, ReadBack, Target};
pub use trust::{RoleProof, Trust, prove_role};
pub use types::{
    CompletedUpload, HeldObject, ObjectMetadata, PartBody, StoredPart, UploadId, UploadedPart,
};
pub use uploads::OpenUpload;
