//! Where bytes come from: files under the namespace's folder, opened without ever leaving it.
//!
//! Every call blocks, for as long as the volume likes: a caller gives them threads of their own.

mod age;
mod error;
mod glob;
mod records;
mod volume;
mod walk;

pub use age::require_min_age;
pub use error::{Attempt, NotAFile, SourceError, SourceErrorKind};
pub use glob::{PathPattern, PatternInvalid};
pub use records::{RecordCounter, RecordCounts, VolumeBoundaries};
pub use volume::{OpenFile, VolumeRoot};
pub use walk::MAX_ENTRIES;
