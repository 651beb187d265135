//! What a store can do beyond the least: which checksums it verifies, and whether it honours a condition.
//! Found out per destination, never configured.

use std::fmt;

use crc_fast::CrcAlgorithm::{Crc32Iscsi, Crc64Nvme};
use md5::{Digest as _, Md5};

use super::error::StoreError;
use super::meaning::Meaning;
use super::refusal::Refusal;
use super::target::Target;
use crate::plan::{Crc32c, Crc64, Md5Digest};

/// The checksums that a store verifies an upload by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// `x-amz-checksum-crc64nvme` on each part and, combined, on the whole object.
    #[default]
    Crc64Nvme,
    /// `x-amz-checksum-crc32c` on each part; of the whole object there is no such checksum in an upload of parts.
    Crc32c,
    /// `Content-MD5` on each part, and no `x-amz-checksum` header at all.
    ContentMd5,
}

impl Dialect {
    /// All of them, the one that verifies most first.
    pub const ALL: [Self; 3] = [Self::Crc64Nvme, Self::Crc32c, Self::ContentMd5];

    /// The one of the two that verifies less.
    #[must_use]
    pub fn lesser(self, other: Self) -> Self {
        let is_one_of = |dialect: &Self| *dialect == self || *dialect == other;
        Self::ALL.into_iter().rfind(is_one_of).unwrap_or(self)
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crc64Nvme => "CRC64NVME",
            Self::Crc32c => "CRC32C",
            Self::ContentMd5 => "Content-MD5",
        })
    }
}

/// Whether a store honours `If-None-Match: *`, so that nothing is ever overwritten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConditionalWrite {
    /// It does.
    Honoured,
    /// It overwrites all the same, and says nothing.
    Ignored,
    /// Nothing that we wrote has told yet.
    #[default]
    Unknown,
}

/// What a destination's store can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// The checksums that it verifies.
    pub dialect: Dialect,
    /// Whether it honours a condition.
    pub conditional_write: ConditionalWrite,
    /// What deliveries met of the rights that no proof uses.
    pub met: Met,
}

/// What deliveries met of the rights that no proof uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Met {
    /// ListParts.
    pub list_parts: Use,
    /// HeadObject.
    pub head: Use,
}

impl Met {
    /// This, and what `later` knows better.
    #[must_use]
    pub fn and(self, later: Self) -> Self {
        let newer = |old, new| if new == Use::NotMade { old } else { new };
        Self {
            list_parts: newer(self.list_parts, later.list_parts),
            head: newer(self.head, later.head),
        }
    }
}

/// How the last use of a right ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Use {
    /// Nobody used it yet.
    #[default]
    NotMade,
    /// It was allowed.
    Allowed,
    /// It was refused.
    Refused,
}

impl Use {
    /// What an answer tells of the right; nothing where it says nothing of it.
    #[must_use]
    pub fn told_by<T>(answer: &Result<T, StoreError>) -> Self {
        match answer {
            Ok(_) => Self::Allowed,
            // It was looked for, so it was allowed to look.
            Err(error) if error.means(Meaning::UploadGone) => Self::Allowed,
            Err(error)
                if error.status == Some(403) && error.refusal() == Some(Refusal::AccessDenied) =>
            {
                Self::Refused
            }
            Err(_) => Self::NotMade,
        }
    }
}

impl Capabilities {
    /// What is known of `target` before anything is sent: Amazon S3 honours conditions and knows every
    /// checksum; of another store the first proof and the first receipt tell.
    #[must_use]
    pub fn before_proof(target: &Target) -> Self {
        let conditional_write = match target.endpoint {
            None => ConditionalWrite::Honoured,
            Some(_) => ConditionalWrite::Unknown,
        };
        Self {
            dialect: Dialect::default(),
            conditional_write,
            met: Met::default(),
        }
    }
}

/// A checksum over one part, or over an object that goes up in one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartChecksum {
    /// CRC64NVME.
    Crc64(Crc64),
    /// CRC32C.
    Crc32c(Crc32c),
    /// MD5.
    Md5(Md5Digest),
}

impl PartChecksum {
    /// What `dialect` wants to know of `bytes`, all in memory.
    #[must_use]
    pub fn over(dialect: Dialect, bytes: &[u8]) -> Self {
        match dialect {
            Dialect::Crc64Nvme => Self::Crc64(Crc64::new(crc_fast::checksum(Crc64Nvme, bytes))),
            Dialect::Crc32c => Self::Crc32c(crc32c(crc_fast::checksum(Crc32Iscsi, bytes))),
            Dialect::ContentMd5 => Self::Md5(Md5Digest::new(Md5::digest(bytes).into())),
        }
    }

    /// The dialect that it belongs to.
    #[must_use]
    pub const fn dialect(&self) -> Dialect {
        match self {
            Self::Crc64(_) => Dialect::Crc64Nvme,
            Self::Crc32c(_) => Dialect::Crc32c,
            Self::Md5(_) => Dialect::ContentMd5,
        }
    }

    /// The value of a checksum header.
    pub(super) fn crc64(&self) -> Option<String> {
        match self {
            Self::Crc64(crc) => Some(crc.to_string()),
            Self::Crc32c(_) | Self::Md5(_) => None,
        }
    }

    pub(super) fn crc32c(&self) -> Option<String> {
        match self {
            Self::Crc32c(crc) => Some(crc.to_string()),
            Self::Crc64(_) | Self::Md5(_) => None,
        }
    }

    pub(super) fn content_md5(&self) -> Option<String> {
        match self {
            Self::Md5(md5) => Some(md5.to_base64()),
            Self::Crc64(_) | Self::Crc32c(_) => None,
        }
    }

    /// What a store said of a part. A text that is no checksum of a part ("...-3") says nothing.
    pub(super) fn reported(crc64: Option<String>, crc32c: Option<String>) -> Option<Self> {
        let crc64 = crc64.and_then(|text| text.parse().ok()).map(Self::Crc64);
        crc64.or_else(|| crc32c.and_then(|text| text.parse().ok()).map(Self::Crc32c))
    }
}

/// The checksum in the low half of the library's value.
#[must_use]
pub fn crc32c(value: u64) -> Crc32c {
    Crc32c::new(u32::try_from(value & u64::from(u32::MAX)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dialect_has_its_published_check_value() {
        let headers = |dialect| {
            let sum = PartChecksum::over(dialect, b"123456789");
            assert_eq!(sum.dialect(), dialect);
            (sum.crc64(), sum.crc32c(), sum.content_md5())
        };
        let one = |text: &str| Some(text.to_owned());
        assert_eq!(
            headers(Dialect::Crc64Nvme),
            (one("rosUhgp5mIg="), None, None)
        );
        assert_eq!(headers(Dialect::Crc32c), (None, one("4waSgw=="), None));
        // 25f9e794323b453885f5181f1b624d0b
        assert_eq!(
            headers(Dialect::ContentMd5),
            (None, None, one("JfnnlDI7RTiF9RgfG2JNCw=="))
        );
    }

    #[test]
    fn what_a_store_says_of_a_part_is_read_or_left() {
        let read = |crc64: Option<&str>, crc32c: Option<&str>| {
            PartChecksum::reported(crc64.map(str::to_owned), crc32c.map(str::to_owned))
        };
        let check = |dialect| Some(PartChecksum::over(dialect, b"123456789"));
        assert_eq!(read(Some("rosUhgp5mIg="), None), check(Dialect::Crc64Nvme));
        assert_eq!(read(None, Some("4waSgw==")), check(Dialect::Crc32c));
        assert_eq!(read(None, Some("4waSgw==-2")), None);
        assert_eq!(read(None, None), None);
    }
}
