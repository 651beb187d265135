//! The pure planner: files and their record boundaries become objects, keys and parts.
//!
//! Nothing here reads a file, a clock or the network; what it must know of a file's content it asks
//! through [`Boundaries`].

mod compression;
mod digest;
mod key;
mod limits;
mod object;
mod parts;
mod planner;
mod record;
mod split;
mod template;

pub use compression::Compression;
pub use digest::{ChecksumInvalid, Crc32c, Crc64, Md5Digest, ObjectDigest};
pub use key::{KeyInvalid, KeyPrefix, ObjectKey};
pub use limits::{
    MAX_KEY_BYTES, MAX_OBJECTS, MAX_PART_SIZE, MAX_PARTS, MAX_SPLIT_SIZE, MIN_PART_SIZE, SplitSize,
    SplitSizeInvalid,
};
pub use object::{
    ByteRange, Fingerprint, Plan, PlanHash, PlanHashInvalid, PlanInvalid, PlannedObject, SourceFile,
};
pub use parts::{Part, PartLayout, PartNumber};
pub use planner::{KeyOwner, PlanError, PlanErrorKind, PlanRequest, plan};
pub use record::{Delimiter, DelimiterInvalid, Header, RecordFormat};
pub use split::{Boundary, SplitSpec};
pub use template::{KeyTemplate, Names, ReceiptTemplate, TemplateInvalid, TimestampInvalid};

/// Where a record ends, asked of a source by the planner. The source knows what a record is: it must be the
/// plan's [`RecordFormat`]. Questions about one file come with growing offsets.
pub trait Boundaries {
    /// The end of the last record that ends in `window` of the file `source` (an index into the
    /// plan's sources): the offset just behind its delimiter, with
    /// `window.offset < end <= window.end()`. `None` when no delimiter ends there.
    ///
    /// # Errors
    /// When the file can't be read, or no longer is what was scanned.
    fn last_record_end(
        &mut self,
        source: usize,
        window: ByteRange,
    ) -> Result<Option<u64>, std::io::Error>;

    /// The end of the first record of the file `source`, where it is at most `limit`.
    ///
    /// # Errors
    /// As [`Self::last_record_end`].
    fn first_record_end(
        &mut self,
        source: usize,
        limit: u64,
    ) -> Result<Option<u64>, std::io::Error>;

    /// Whether nothing is left open at the end of the file `source` of `len` bytes: every quote has its partner.
    /// Plain lines leave nothing open.
    ///
    /// # Errors
    /// As [`Self::last_record_end`].
    fn is_closed(&mut self, source: usize, len: u64) -> Result<bool, std::io::Error>;
}
