//! How objects are compressed, in the schema's words and in the plan's.

use crate::api::CompressionKind;
use crate::plan::Compression;

/// What the schema says.
pub(super) const fn read(named: Option<CompressionKind>) -> Compression {
    match named {
        None | Some(CompressionKind::None) => Compression::None,
        Some(CompressionKind::Gzip) => Compression::Gzip,
        Some(CompressionKind::Zstd) => Compression::Zstd,
    }
}

/// What the schema says it with; nothing where nothing is compressed.
pub(super) const fn write(compression: Compression) -> Option<CompressionKind> {
    match compression {
        Compression::None => None,
        Compression::Gzip => Some(CompressionKind::Gzip),
        Compression::Zstd => Some(CompressionKind::Zstd),
    }
}
