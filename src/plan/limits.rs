//! The limits that a plan keeps, each with where it comes from.

/// Parts in one multipart upload (S3 user guide, "multipart upload limits").
pub const MAX_PARTS: u64 = 10_000;

/// Bytes in any part but the last: 5 MiB (S3 user guide, "multipart upload limits").
pub const MIN_PART_SIZE: u64 = 5 << 20;

/// Bytes in one part: 5 GiB (S3 user guide, "multipart upload limits").
pub const MAX_PART_SIZE: u64 = 5 << 30;

/// Bytes in an object's key, as UTF-8 (S3 user guide, "naming objects").
pub const MAX_KEY_BYTES: usize = 1024;

/// Objects in one delivery: what the ledger and the receipt are sized for.
pub const MAX_OBJECTS: usize = 10_000;

/// Bytes in one split: 1 TB = 10^12, the product's limit and what applies when none is named.
pub const MAX_SPLIT_SIZE: u64 = 1_000_000_000_000;

/// A split size in bytes, from 1 to [`MAX_SPLIT_SIZE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SplitSize(u64);

/// A split size that is zero or over the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a split size of {0} bytes is not between 1 and 1000000000000 (1 TB = 10^12 bytes)")]
pub struct SplitSizeInvalid(pub u64);

impl SplitSize {
    /// What applies when neither the delivery nor the destination names a size.
    pub const DEFAULT: Self = Self(MAX_SPLIT_SIZE);

    /// A size of `bytes`.
    ///
    /// # Errors
    /// When `bytes` is 0 or over [`MAX_SPLIT_SIZE`].
    pub const fn new(bytes: u64) -> Result<Self, SplitSizeInvalid> {
        if bytes == 0 || bytes > MAX_SPLIT_SIZE {
            return Err(SplitSizeInvalid(bytes));
        }
        Ok(Self(bytes))
    }

    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}
