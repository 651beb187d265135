//! What goes into and comes out of a bucket's calls.

use std::fmt;

use bytes::Bytes;

use super::capabilities::PartChecksum;
use crate::plan::{Crc64, PartNumber};

/// The id of a multipart upload, as the store gave it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UploadId(String);

impl UploadId {
    /// An id that a store answered or a ledger kept.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id, verbatim.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_debug())
    }
}

/// What every object of a delivery carries beside its bytes, as `x-amz-meta-outbound-*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectMetadata {
    /// `x-amz-meta-outbound-token`: lower-case hexadecimal digits; the same plan has the same token.
    pub token: String,
    /// `x-amz-meta-outbound-uid`: the delivery's uid.
    pub delivery_uid: String,
    /// The object's Content-Type.
    pub content_type: &'static str,
}

/// A part's or a small object's bytes.
pub enum PartBody {
    /// In memory; sent without a copy.
    Buffer(Bytes),
    /// Read while it is sent, where a part outgrows the memory budget. The factory starts the body
    /// anew at each call; its length in bytes stands beside it.
    Stream {
        /// Bytes that the stream yields.
        len: u64,
        /// Starts the body from its first byte.
        open: Box<
            dyn Fn() -> futures::stream::BoxStream<'static, std::io::Result<Bytes>> + Send + Sync,
        >,
    },
}

/// A part that the store took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadedPart {
    /// Its number.
    pub number: i32,
    /// Its ETag, which Complete must repeat. Never a checksum.
    pub etag: String,
    /// What we computed over it, and Complete repeats; `None` where neither this process nor the store
    /// knows it any more, as of an MD5 after a restart.
    pub checksum: Option<PartChecksum>,
}

/// A part as ListParts reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPart {
    /// Its number.
    pub number: PartNumber,
    /// Its ETag.
    pub etag: String,
    /// Bytes in it.
    pub bytes: u64,
    /// The checksum that the store computed, where it says.
    pub checksum: Option<PartChecksum>,
}

/// What Complete or a single PutObject answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletedUpload {
    /// The whole object's CRC64NVME as the store computed it, where it says.
    pub crc64: Option<Crc64>,
    /// The version, in a bucket that keeps versions.
    pub version_id: Option<String>,
}

/// What HeadObject says of an object that is there (read-back only).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldObject {
    /// Bytes in it.
    pub bytes: u64,
    /// Its `x-amz-meta-outbound-token`, where it has one.
    pub token: Option<String>,
    /// The whole object's CRC64NVME, where the store says.
    pub crc64: Option<Crc64>,
    /// The version, in a bucket that keeps versions.
    pub version_id: Option<String>,
}
