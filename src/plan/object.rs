//! A plan: which bytes of which files become which objects.

use serde::{Deserialize, Serialize};

use super::key::ObjectKey;

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

/// What tells a file from one that was changed: any write, touch or rename moves one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fingerprint {
    /// Bytes in the file.
    pub size: u64,
    /// Modification time, nanoseconds since the epoch.
    pub mtime_ns: i64,
    /// Change time, nanoseconds since the epoch.
    pub ctime_ns: i64,
}

/// One file of the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFile {
    /// Path relative to the namespace's folder, `/` between segments.
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
    /// Its bytes in that file.
    pub range: ByteRange,
    /// Where it goes.
    pub key: ObjectKey,
}

/// A hash over everything that decides which bytes land under which keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlanHash(String);

impl PlanHash {
    /// The hash as lower-case hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a delivery writes: at most [`MAX_OBJECTS`](super::MAX_OBJECTS) objects and the receipt, no key twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub(super) sources: Vec<SourceFile>,
    pub(super) objects: Vec<PlannedObject>,
    pub(super) receipt: ObjectKey,
}

impl Plan {
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

    /// Bytes in all objects together.
    #[must_use]
    pub fn bytes_total(&self) -> u64 {
        self.objects.iter().map(|object| object.range.len).sum()
    }
}
