//! How objects are compressed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How each object is compressed. None (what applies when absent), Gzip: one gzip member, its key ends in .gz. Zstd: one Zstandard frame, its key ends in .zst. The split's size bounds the bytes before compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CompressionKind {
    /// It is sent as it is.
    None,
    /// One gzip member.
    Gzip,
    /// One Zstandard frame.
    Zstd,
}
