//! Where bytes come from: files under the namespace's folder, opened without ever leaving it, and objects in buckets of
//! ours.
//!
//! Every call blocks, for as long as the volume or S3 likes: a caller gives them threads of their own.

mod age;
mod boundaries;
mod cores;
mod error;
mod glob;
mod marker;
mod quotes;
mod records;
mod refusals;
mod s3;
mod search;
mod volume;
mod walk;

pub use age::require_min_age;
pub use boundaries::{
    Files, NoFiles, RandomRead, RecordBoundaries, ScannedFiles, VolumeBoundaries,
};
pub(crate) use cores::cores;
pub use error::{Attempt, NotAFile, ObjectChange, SourceError, SourceErrorKind};
pub(crate) use glob::wildcard;
pub use glob::{PathPattern, PatternInvalid};
pub use marker::Marker;
pub use records::{RecordCounter, RecordCounts};
pub use s3::{ListedObjects, OpenObject, Selection, Sequential, SourceBucket};
pub use volume::{OpenFile, VolumeRoot};
pub use walk::MAX_ENTRIES;
