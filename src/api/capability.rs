//! What a destination's store can do, as the status says it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the store can do, as the proof and deliveries found it out; never configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Capabilities {
    /// The checksum that each part is sent with, and that the store compares.
    pub checksum: ChecksumKind,
    /// What is verified by it: the whole object, or each of its parts.
    pub verification: Verification,
    /// Whether If-None-Match keeps an object from being overwritten. Unknown, for a store other than AWS, until the first receipt tells.
    pub conditional_write: ConditionalWrite,
}

/// The checksum that each part is sent with, and that the store compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ChecksumKind {
    /// CRC64NVME, over each part and over the whole object.
    #[serde(rename = "CRC64NVME")]
    Crc64Nvme,
    /// CRC32C, over each part.
    #[serde(rename = "CRC32C")]
    Crc32c,
    /// MD5, over each part, in the header Content-MD5.
    #[serde(rename = "ContentMD5")]
    ContentMd5,
}

/// What is verified by the checksum: the whole object, or each of its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Verification {
    /// The whole object.
    WholeObject,
    /// Each of its parts.
    PerPart,
}

/// Whether If-None-Match keeps an object from being overwritten. Unknown, for a store other than AWS, until the first receipt tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionalWrite {
    /// It does.
    Honoured,
    /// The store overwrites all the same.
    Ignored,
    /// Not known yet.
    Unknown,
}
