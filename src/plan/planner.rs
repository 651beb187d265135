//! Files become a plan.

use std::collections::HashMap;
use std::io;

use jiff::Timestamp;

use super::Boundaries;
use super::compression::Compression;
use super::key::{KeyInvalid, KeyPrefix, ObjectKey};
use super::limits::MAX_OBJECTS;
use super::object::{ByteRange, Plan, PlanInvalid, PlannedObject, SourceFile};
use super::split::{CutError, Piece, SplitSpec};
use super::template::{Common, KeyTemplate, Names, OfFile, ReceiptTemplate, TimestampInvalid};

/// What decides a plan, besides the files themselves.
#[derive(Clone, Debug)]
pub struct PlanRequest {
    /// How files are cut.
    pub split: SplitSpec,
    /// The objects' keys, behind the prefix.
    pub key: KeyTemplate,
    /// The receipt's key, behind the prefix.
    pub receipt: ReceiptTemplate,
    /// What stands before a split's number.
    pub separator: String,
    /// The destination's prefix.
    pub prefix: KeyPrefix,
    /// The source's own folder, which every file is below: empty, or ends in `/`. `{path}` renders what is between it
    /// and a file's name.
    pub folder: String,
    /// What `{delivery}`, `{namespace}` and `{destination}` render.
    pub names: Names,
    /// What `{date}` and `{timestamp}` render.
    pub logical_time: Timestamp,
    /// How the objects are compressed; the split's size bounds them before.
    pub compression: Compression,
}

/// Who wants a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyOwner {
    /// One split of a file, or the whole of it.
    Object {
        /// The file's path.
        path: String,
        /// The bytes of it.
        range: ByteRange,
    },
    /// The receipt.
    Receipt,
}

impl std::fmt::Display for KeyOwner {
    /// Escaped, as paths are what others wrote.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Object { path, range } => {
                write!(f, "bytes {}..{} of {path:?}", range.offset, range.end())
            }
            Self::Receipt => f.write_str("the receipt"),
        }
    }
}

/// Why nothing can be planned. Each text names the file, what was tried and who can change it.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// No record ends near enough before a cut.
    #[error(
        "{path:?}: no record ends in the {limit} bytes before the cut at byte {offset}; the delivery \
         needs a larger split.maxRecordSize (at most the split size), the format and delimiter that the \
         file really has (a lone quote is no CSV), or boundary: Byte"
    )]
    RecordTooLong {
        /// The file.
        path: String,
        /// Where the file had to be cut at the latest.
        offset: u64,
        /// How many bytes before it were searched.
        limit: u64,
    },
    /// The first record is to open every split, and is too long for that.
    #[error(
        "{path:?}: its first record, which header: Repeat puts in front of every split, does not end in the \
         file's first {limit} bytes or leaves no room in a split; the delivery needs a larger split.size and \
         split.maxRecordSize, the format and delimiter that the file really has, or header: None"
    )]
    HeaderTooLong {
        /// The file.
        path: String,
        /// How many bytes were searched.
        limit: u64,
    },
    /// A file that was to be cut as CSV has an odd number of quotes.
    #[error(
        "{path:?} is no CSV by RFC 4180: it has an odd number of quotes (\"), so that one is never closed and no \
         cut can be trusted; the producer must quote fields that hold quotes, or the delivery says format: Lines"
    )]
    QuoteUnclosed {
        /// The file.
        path: String,
    },
    /// Two objects, or an object and the receipt, want one key.
    #[error(
        "{first} and {second} both render the key {key}; change the delivery's key template \
         ({{stem}}{{split}}{{ext}} keeps splits apart) or its receipt's"
    )]
    KeyCollision {
        /// The key that both want.
        key: ObjectKey,
        /// Who had it first.
        first: KeyOwner,
        /// Who wants it too.
        second: KeyOwner,
    },
    /// A rendered key that S3 or a consumer can't take.
    #[error("the key of {owner} can't be used: {cause}; change the file's name or the template")]
    KeyInvalid {
        /// Whose key.
        owner: KeyOwner,
        /// The rule that it breaks.
        #[source]
        cause: KeyInvalid,
    },
    /// A logical time that no `{timestamp}` can render.
    #[error("the key of {owner} can't be rendered: {cause}; change the delivery's logicalTime")]
    TimestampInvalid {
        /// Whose key.
        owner: KeyOwner,
        /// Why.
        #[source]
        cause: TimestampInvalid,
    },
    /// More objects than one delivery may have.
    #[error(
        "the delivery would be more than {MAX_OBJECTS} objects (at least {at_least}); choose a larger \
         split size or deliver fewer files at a time"
    )]
    TooManyObjects {
        /// How many it would be at the least.
        at_least: u64,
    },
    /// A file's content could not be read.
    #[error("{path:?} could not be searched for the end of a record: {cause}")]
    Unreadable {
        /// The file.
        path: String,
        /// What came back; a source wraps its own error in it.
        #[source]
        cause: io::Error,
    },
    /// The files or cuts contradict each other: a defect in the caller.
    #[error("the plan contradicts itself ({0}); this is a defect of the operator")]
    Inconsistent(#[from] PlanInvalid),
}

/// What kind of a [`PlanError`] it is: one for each reason that a delivery can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PlanErrorKind {
    /// `RecordTooLong`
    RecordTooLong,
    /// `KeyCollision`
    KeyCollision,
    /// `KeyInvalid`
    KeyInvalid,
    /// `TooManyObjects`
    TooManyObjects,
    /// `SourceUnreadable`: it isn't what the delivery says.
    NotCsv,
    /// What the source's own error says: changed, unreadable.
    Unreadable,
    /// No reason of its own: a defect.
    Inconsistent,
}

impl PlanError {
    /// The kind, for the reason.
    #[must_use]
    pub const fn kind(&self) -> PlanErrorKind {
        match self {
            Self::RecordTooLong { .. } | Self::HeaderTooLong { .. } => PlanErrorKind::RecordTooLong,
            Self::QuoteUnclosed { .. } => PlanErrorKind::NotCsv,
            Self::KeyCollision { .. } => PlanErrorKind::KeyCollision,
            Self::KeyInvalid { .. } | Self::TimestampInvalid { .. } => PlanErrorKind::KeyInvalid,
            Self::TooManyObjects { .. } => PlanErrorKind::TooManyObjects,
            Self::Unreadable { .. } => PlanErrorKind::Unreadable,
            Self::Inconsistent(_) => PlanErrorKind::Inconsistent,
        }
    }
}

/// Plans `files`, which must be in byte order of their paths: `boundaries` answers by their index.
///
/// # Errors
/// See [`PlanError`].
pub fn plan(
    request: &PlanRequest,
    files: Vec<SourceFile>,
    boundaries: &mut dyn Boundaries,
) -> Result<Plan, PlanError> {
    let split = &request.split;
    let sizes = files.iter().map(|file| file.fingerprint.size());
    let mut fewest = sizes.fold(0, |sum: u64, size| sum.saturating_add(split.fewest(size)));
    // Before anything is read or allocated: a terabyte cut at every byte ends here.
    if fewest > MAX_OBJECTS as u64 {
        return Err(PlanError::TooManyObjects { at_least: fewest });
    }
    let common = Common {
        names: &request.names,
        logical_time: request.logical_time,
    };
    let mut keys = Keys::default();
    let receipt = receipt_key(request, &common)?;
    keys.take(&receipt, &KeyOwner::Receipt)?;

    let mut objects: Vec<PlannedObject> = Vec::new();
    for (source, file) in files.iter().enumerate() {
        let len = file.fingerprint.size();
        // What the files behind this one need at the least isn't free any more.
        fewest = fewest.saturating_sub(split.fewest(len));
        let behind = usize::try_from(fewest).unwrap_or(usize::MAX);
        let room = MAX_OBJECTS
            .saturating_sub(objects.len())
            .saturating_sub(behind);
        let pieces = split
            .cut(source, len, room, boundaries)
            .map_err(|error| with_path(error, &file.path))?;
        let count = pieces.len();
        for (index, piece) in pieces.into_iter().enumerate() {
            let Piece { header, range } = piece;
            let owner = KeyOwner::Object {
                path: file.path.clone(),
                range,
            };
            let number = split_number(&request.separator, index + 1, count);
            let of_file = OfFile {
                folders: folders(&request.folder, &file.path),
                name: file_name(&file.path),
                split: &number,
            };
            let key = object_key(request, &common, &of_file, &owner)?;
            keys.take(&key, &owner)?;
            objects.push(PlannedObject {
                // At most MAX_OBJECTS, which `cut` keeps.
                sequence: u32::try_from(objects.len() + 1).unwrap_or(u32::MAX),
                source,
                header,
                range,
                key,
            });
        }
    }
    Ok(Plan::restore(files, objects, receipt)?.compressed(request.compression))
}

fn with_path(error: CutError, path: &str) -> PlanError {
    let path = path.to_owned();
    match error {
        CutError::RecordTooLong { offset, limit } => PlanError::RecordTooLong {
            path,
            offset,
            limit,
        },
        CutError::HeaderTooLong { limit } => PlanError::HeaderTooLong { path, limit },
        CutError::QuoteUnclosed => PlanError::QuoteUnclosed { path },
        CutError::TooMany => PlanError::TooManyObjects {
            at_least: MAX_OBJECTS as u64 + 1,
        },
        CutError::Unreadable(cause) => PlanError::Unreadable { path, cause },
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The folders between the source's own and the file's name, each with its `/`.
fn folders<'a>(source: &str, path: &'a str) -> &'a str {
    let below = path.strip_prefix(source).unwrap_or(path);
    &below[..below.len() - file_name(below).len()]
}

/// Separator and number of split `number` of `count`: nothing for a whole file, else at least three
/// digits and as many as `count` needs, so that the keys sort.
fn split_number(separator: &str, number: usize, count: usize) -> String {
    if count <= 1 {
        return String::new();
    }
    let digits = count.to_string().len().max(3);
    format!("{separator}{number:0digits$}")
}

fn object_key(
    request: &PlanRequest,
    common: &Common<'_>,
    file: &OfFile<'_>,
    owner: &KeyOwner,
) -> Result<ObjectKey, PlanError> {
    let mut rendered = request.key.render(common, file);
    let suffix = request.compression.suffix();
    if let Ok(key) = &mut rendered
        && !request.key.closes_with(suffix)
    {
        key.push_str(suffix);
    }
    finish_key(request, rendered, owner)
}

fn receipt_key(request: &PlanRequest, common: &Common<'_>) -> Result<ObjectKey, PlanError> {
    finish_key(request, request.receipt.render(common), &KeyOwner::Receipt)
}

fn finish_key(
    request: &PlanRequest,
    rendered: Result<String, TimestampInvalid>,
    owner: &KeyOwner,
) -> Result<ObjectKey, PlanError> {
    let rendered = rendered.map_err(|cause| PlanError::TimestampInvalid {
        owner: owner.clone(),
        cause,
    })?;
    ObjectKey::new(&request.prefix, &rendered).map_err(|cause| PlanError::KeyInvalid {
        owner: owner.clone(),
        cause,
    })
}

/// The keys that are taken, and by whom.
#[derive(Default)]
struct Keys(HashMap<ObjectKey, KeyOwner>);

impl Keys {
    fn take(&mut self, key: &ObjectKey, owner: &KeyOwner) -> Result<(), PlanError> {
        if let Some(first) = self.0.insert(key.clone(), owner.clone()) {
            return Err(PlanError::KeyCollision {
                key: key.clone(),
                first,
                second: owner.clone(),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "planner_tests.rs"]
mod tests;
