//! The destination's S3: the client, the proof of access, the grants, and what errors mean.
//!
//! Nothing outside this module sees a type of the AWS SDK.

mod access;
mod body;
mod bucket;
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
mod target;
#[cfg(test)]
mod testserver;
mod trust;
mod types;
mod uploads;
mod watch;

pub use access::{Caller, Proof, RegionSource, may_abort, prove};
pub use bucket::Bucket;
pub use capabilities::{Capabilities, ConditionalWrite, Dialect, PartChecksum, crc32c};
pub use client::{AwsOptions, ClientFactory};
pub use credentials::{AccessKey, AccessKeyInvalid, Flaw, NoIdentity, OwnIdentity, SecretKey};
pub use endpoint::{Endpoint, EndpointInvalid, PlainHttp};
pub use error::{ErrorClass, StoreError, code};
pub use grant::{GrantRequest, bucket_policy, identity_policy};
pub use names::{
    AccountId, AccountIdInvalid, BucketName, BucketNameInvalid, Partition, Region, RegionInvalid,
};
pub use refusal::Refusal;
pub use target::{Acl, Addressing, AwsTarget, NotOnAws, ReadBack, Target};
pub use trust::{CaBundle, CaBundleInvalid};
pub use types::{
    CompletedUpload, HeldObject, ObjectMetadata, PartBody, StoredPart, UploadId, UploadedPart,
};
pub use uploads::OpenUpload;
