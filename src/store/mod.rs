//! The destination's S3: the client, the proof of access, the grants, and what errors mean.
//!
//! Nothing outside this module sees a type of the AWS SDK.

mod bucket;
mod error;
mod target;
mod types;

pub use bucket::Bucket;
pub use error::{ErrorClass, StoreError};
pub use target::{Acl, Addressing, Endpoint, Target};
pub use types::{
    CompletedUpload, HeldObject, ObjectMetadata, PartBody, StoredPart, UploadId, UploadedPart,
};
