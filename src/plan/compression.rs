//! What an object's bytes are made into before they are sent.

use super::parts::PartLayout;

/// How an object is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// It is sent as it is.
    #[default]
    None,
    /// One gzip member (RFC 1952).
    Gzip,
    /// One Zstandard frame (RFC 8878).
    Zstd,
}

impl Compression {
    /// What stands at the end of a key.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }

    /// Its name in a receipt; none where nothing is compressed.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
        }
    }

    /// The media type of an object. No object has a Content-Encoding: clients that see one decompress on
    /// their way to the disk, and what they then have is neither of the size nor of the MD5 in the receipt.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::None => "application/octet-stream",
            Self::Gzip => "application/gzip",
            Self::Zstd => "application/zstd",
        }
    }

    /// Bytes that `len` bytes become at most, which bytes without any pattern do. Both formats store what
    /// doesn't shrink: deflate in blocks of a few KiB with 5 bytes each, Zstandard in blocks of 128 KiB with 3.
    /// A 256th more and a KiB for headers is over both (Zstandard's own bound is the same 256th).
    #[must_use]
    pub const fn at_most(self, len: u64) -> u64 {
        match self {
            Self::None => len,
            Self::Gzip | Self::Zstd => len + (len >> 8) + 1024,
        }
    }

    /// The parts of an object of `len` bytes: exactly, or at most where it is compressed, because how many bytes come
    /// out isn't known before.
    #[must_use]
    pub fn parts(self, len: u64, part_size: u64) -> PartLayout {
        PartLayout::new(self.at_most(len), part_size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_compressed_stays_as_it_is() {
        let none = Compression::default();
        assert_eq!(none, Compression::None);
        assert_eq!(
            (none.suffix(), none.at_most(77), none.name()),
            ("", 77, None)
        );
        assert_eq!(Compression::Gzip.at_most(1_000_000), 1_004_930);
    }
}
