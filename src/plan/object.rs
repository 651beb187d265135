//! A plan: which bytes of which files become which objects.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::compression::Compression;
use super::key::ObjectKey;
use super::limits::{MAX_OBJECTS, MAX_SPLIT_SIZE};
use crate::hash::FieldHash;

/// Bytes `offset .. offset + len`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ByteRange {
    /// The first byte's offset.
    pub offset: u64,
    /// How many bytes.
    pub len: u64,
}

impl ByteRange {
    /// The offset just behind the last byte.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.offset + self.len
    }
}

/// What tells a source from one that was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Fingerprint {
    /// A file: any write, touch or rename moves one of these.
    File {
        /// Bytes in the file.
        size: u64,
        /// Modification time, nanoseconds since the epoch.
        mtime_ns: i64,
        /// Change time, nanoseconds since the epoch.
        ctime_ns: i64,
    },
    /// An object in S3: other bytes have another ETag.
    Object {
        /// Bytes in the object.
        size: u64,
        /// The ETag, quotes included, as S3 gave it.
        etag: String,
    },
}

impl Fingerprint {
    /// Bytes in the source.
    #[must_use]
    pub const fn size(&self) -> u64 {
        match self {
            Self::File { size, .. } | Self::Object { size, .. } => *size,
        }
    }

    /// Feeds all of it to `hash`. A file's is what it was before there were objects; an object's begins with a size
    /// that no file has.
    fn hash(&self, hash: &mut FieldHash) {
        match self {
            Self::File {
                size,
                mtime_ns,
                ctime_ns,
            } => {
                hash.number(*size);
                hash.number(mtime_ns.cast_unsigned());
                hash.number(ctime_ns.cast_unsigned());
            }
            Self::Object { size, etag } => {
                hash.number(u64::MAX);
                hash.number(*size);
                hash.text(etag);
            }
        }
    }
}

/// One file, or object, of the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFile {
    /// A file's path relative to the namespace's folder, `/` between segments; an object's whole key.
    pub path: String,
    /// The file as it was scanned.
    pub fingerprint: Fingerprint,
}

/// One object to deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedObject {
    /// Its place in the delivery, from 1: the receipt's `FileSequenceNumber`.
    pub sequence: u32,
    /// Index of its file in [`Plan::sources`].
    pub source: usize,
    /// Bytes at that file's beginning that stand in front of `range` in the object: its first record, repeated. 0
    /// where nothing is repeated, and for the object whose range begins with them.
    pub header: u64,
    /// Its own bytes in that file.
    pub range: ByteRange,
    /// Where it goes.
    pub key: ObjectKey,
}

impl PlannedObject {
    /// Bytes in the object (before any compression), header included.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.header.saturating_add(self.range.len)
    }

    /// Whether it has no byte.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A hash over everything that decides which bytes land under which keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PlanHash(String);

/// A text that isn't a [`PlanHash`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a plan's hash is 64 lower-case hexadecimal digits")]
pub struct PlanHashInvalid;

impl PlanHash {
    /// The hash as 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PlanHash {
    type Error = PlanHashInvalid;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let hex = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if hex && text.len() == 64 {
            Ok(Self(text))
        } else {
            Err(PlanHashInvalid)
        }
    }
}

impl From<PlanHash> for String {
    fn from(hash: PlanHash) -> Self {
        hash.0
    }
}

impl std::fmt::Display for PlanHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why sources, objects and a receipt are no [`Plan`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanInvalid {
    /// Over the limit.
    #[error("{0} objects; at most {MAX_OBJECTS} are allowed")]
    TooManyObjects(usize),
    /// Paths that are equal or not in byte order.
    #[error("the source {0:?} does not stand behind the one before it in byte order")]
    SourceOrder(String),
    /// A sequence number that isn't the object's place.
    #[error("object number {expected} has the sequence number {found}")]
    Sequence {
        /// The place, from 1.
        expected: usize,
        /// What it carries.
        found: u32,
    },
    /// Objects that don't cover their file from the first to the last byte, once and in order.
    #[error("the objects do not cover the source {0:?} exactly")]
    Coverage(String),
    /// A repeated header that reaches into the object's own bytes, or isn't the one of the other splits.
    #[error("object number {0} repeats a header that it can't have")]
    Header(usize),
    /// An object of a source that there isn't, or behind the last source.
    #[error("object number {0} belongs to no source")]
    NoSource(usize),
    /// An object over the largest split.
    #[error("object number {0} has more than {MAX_SPLIT_SIZE} bytes")]
    TooLarge(usize),
    /// One key twice.
    #[error("the key {0} stands twice")]
    KeyTwice(ObjectKey),
}

/// What a delivery writes: at most [`MAX_OBJECTS`] objects and the receipt, no key twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub(super) sources: Vec<SourceFile>,
    pub(super) objects: Vec<PlannedObject>,
    pub(super) receipt: ObjectKey,
    pub(super) compression: Compression,
}

impl Plan {
    /// Puts a plan together again, or the planner's result for the first time.
    ///
    /// # Errors
    /// When what is promised of a plan doesn't hold: sources in byte order of distinct paths, objects
    /// that cover them exactly and in order, none over the largest split, at most
    /// [`MAX_OBJECTS`], no key twice.
    pub fn restore(
        sources: Vec<SourceFile>,
        objects: Vec<PlannedObject>,
        receipt: ObjectKey,
    ) -> Result<Self, PlanInvalid> {
        if objects.len() > MAX_OBJECTS {
            return Err(PlanInvalid::TooManyObjects(objects.len()));
        }
        if let Some([_, late]) = sources
            .array_windows()
            .find(|[one, next]| one.path >= next.path)
        {
            return Err(PlanInvalid::SourceOrder(late.path.clone()));
        }
        check_coverage(&sources, &objects)?;
        check_headers(&objects)?;
        let mut keys = HashSet::from([&receipt]);
        for (place, object) in (1..).zip(&objects) {
            if u32::try_from(place) != Ok(object.sequence) {
                return Err(PlanInvalid::Sequence {
                    expected: place,
                    found: object.sequence,
                });
            }
            if object.len() > MAX_SPLIT_SIZE {
                return Err(PlanInvalid::TooLarge(place));
            }
            if !keys.insert(&object.key) {
                return Err(PlanInvalid::KeyTwice(object.key.clone()));
            }
        }
        Ok(Self {
            sources,
            objects,
            receipt,
            compression: Compression::None,
        })
    }

    /// The same plan, whose objects are compressed so. Their ranges are those before compression.
    #[must_use]
    pub fn compressed(self, compression: Compression) -> Self {
        Self {
            compression,
            ..self
        }
    }

    /// The hash over sources, their fingerprints, the ranges, repeated headers, all keys and the compression. Every
    /// text is preceded by its length, every list by its count, so that no two plans are written alike. A plan that
    /// repeats and compresses nothing hashes as it did before there were such: ledgers and tokens of older versions
    /// stay good.
    #[must_use]
    pub fn hash(&self) -> PlanHash {
        let mut hash = FieldHash::new();
        let repeats = self.objects.iter().any(|object| object.header > 0);
        hash.text(if repeats {
            "outbound plan, version 1, with headers"
        } else {
            "outbound plan, version 1"
        });
        hash.text(self.receipt.as_str());
        hash.number(self.sources.len() as u64);
        for source in &self.sources {
            hash.text(&source.path);
            source.fingerprint.hash(&mut hash);
        }
        hash.number(self.objects.len() as u64);
        for object in &self.objects {
            hash.number(object.source as u64);
            hash.number(object.range.offset);
            hash.number(object.range.len);
            if repeats {
                hash.number(object.header);
            }
            hash.text(object.key.as_str());
        }
        // At the end and only where there is one: plans without keep the hash that they always had.
        if let Some(name) = self.compression.name() {
            hash.text(name);
        }
        PlanHash(hash.finish())
    }

    /// The files, in byte order of their paths.
    #[must_use]
    pub fn sources(&self) -> &[SourceFile] {
        &self.sources
    }

    /// The objects, in order of their sequence numbers.
    #[must_use]
    pub fn objects(&self) -> &[PlannedObject] {
        &self.objects
    }

    /// The receipt's key.
    #[must_use]
    pub fn receipt(&self) -> &ObjectKey {
        &self.receipt
    }

    /// How the objects are compressed. The receipt isn't.
    #[must_use]
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Bytes in all objects together, before compression and repeated headers included.
    #[must_use]
    pub fn bytes_total(&self) -> u64 {
        self.objects.iter().map(PlannedObject::len).sum()
    }
}

/// Every source, in order, is covered by its objects from the first byte to the last; an empty one by
/// one empty object.
fn check_coverage(sources: &[SourceFile], objects: &[PlannedObject]) -> Result<(), PlanInvalid> {
    let mut rest = objects.iter().peekable();
    for (index, source) in sources.iter().enumerate() {
        let wrong = || PlanInvalid::Coverage(source.path.clone());
        let size = source.fingerprint.size();
        let first = rest.next_if(|object| object.source == index);
        let mut end = first
            .filter(|object| object.range.offset == 0)
            .map(|object| object.range.len)
            .ok_or_else(wrong)?;
        if end == 0 && size > 0 {
            return Err(wrong());
        }
        while let Some(object) = rest.next_if(|object| object.source == index) {
            if object.range.offset != end || object.range.len == 0 {
                return Err(wrong());
            }
            end = end.checked_add(object.range.len).ok_or_else(wrong)?;
        }
        if end != size {
            return Err(wrong());
        }
    }
    if rest.peek().is_some() {
        return Err(PlanInvalid::NoSource(objects.len() - rest.count() + 1));
    }
    Ok(())
}

/// The first object of a file repeats nothing, the others all or none the same bytes, which lie in front of theirs.
fn check_headers(objects: &[PlannedObject]) -> Result<(), PlanInvalid> {
    let mut before: Option<&PlannedObject> = None;
    for (place, object) in (1..).zip(objects) {
        let same_file = before.filter(|before| before.source == object.source);
        let fits = match same_file {
            None => object.header == 0,
            Some(first) if first.range.offset == 0 => object.header <= object.range.offset,
            Some(before) => object.header == before.header,
        };
        if !fits {
            return Err(PlanInvalid::Header(place));
        }
        before = Some(object);
    }
    Ok(())
}

#[cfg(test)]
#[path = "object_tests.rs"]
mod tests;
