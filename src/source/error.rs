//! What can go wrong with a source, and who must act.

use std::fmt;
use std::io;
use std::time::Duration;

use jiff::Timestamp;
use rustix::io::Errno;

use super::glob::PatternInvalid;
use super::refusals::store_advice;
use crate::plan::{Fingerprint, KeyInvalid};
use crate::store::{ErrorClass, Refusal, StoreError, code};

/// What was being done when the system refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Opening the volume's root, which the operator's configuration names.
    OpenRoot,
    /// Opening a file or folder.
    Open,
    /// Asking for size and times.
    Stat,
    /// Listing a folder.
    List,
    /// Reading a file.
    Read,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenRoot => "opening the volume root",
            Self::Open => "opening",
            Self::Stat => "asking for size and times",
            Self::List => "listing the folder",
            Self::Read => "reading",
        })
    }
}

/// What stands where a regular file should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAFile {
    /// A folder.
    Folder,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character or block device.
    Device,
    /// A link to nothing.
    DanglingLink,
    /// Something that the system has no name for.
    Unknown,
}

impl fmt::Display for NotAFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Folder => "a folder",
            Self::Fifo => "a named pipe (FIFO)",
            Self::Socket => "a socket",
            Self::Device => "a device",
            Self::DanglingLink => "a link to nothing",
            Self::Unknown => "of no known kind",
        })
    }
}

/// What became of an object since it was listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectChange {
    /// Other bytes have its key.
    Overwritten,
    /// Nothing has its key.
    Gone,
    /// It was planned as a file, and not as an object.
    NoObject,
}

impl fmt::Display for ObjectChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overwritten => "it was overwritten",
            Self::Gone => "it is gone",
            Self::NoObject => "it was no object",
        })
    }
}

/// Why a source can't be used. Every path is shown escaped.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A path that the rules don't allow. Reason `PathNotAllowed`.
    #[error("{0}; change the delivery's source path")]
    PatternInvalid(#[from] PatternInvalid),
    /// A path or link that leads out of the namespace's folder. Reason `PathNotAllowed`.
    #[error(
        "{path:?} leads out of the namespace's folder (a link that is absolute or points above it); \
         the producer must put the file itself there, or link relatively within the folder"
    )]
    PathNotAllowed {
        /// Where it stands, relative to the namespace's folder.
        path: String,
    },
    /// The named file or the namespace's folder isn't there. Reason `SourceNotFound`.
    #[error("{path:?} does not exist; the producer must create it, or the path must be corrected")]
    NotFound {
        /// What was looked for.
        path: String,
    },
    /// A pattern that matches nothing. Reason `SourceEmpty`.
    #[error(
        "no file matches {pattern:?} ({entries} entries seen; names that begin with \".\" or \"_\" or end \
         in \".tmp\" must be named so); the producer must write one, or the path must be corrected"
    )]
    Empty {
        /// The pattern.
        pattern: String,
        /// How many directory entries were looked at.
        entries: usize,
    },
    /// A file that was written too recently. Reason `WaitingForSource`.
    #[error(
        "{files} file(s) changed less than {min_age:?} ago (minAge); the last is {path:?}, still enough \
         at {ready_at}"
    )]
    WaitingForSource {
        /// The file that has to be waited for the longest.
        path: String,
        /// How many files are too young.
        files: usize,
        /// The age that is asked for.
        min_age: Duration,
        /// When the last of them is old enough, unless it is written again: the same at each look.
        ready_at: Timestamp,
    },
    /// The marker that says that the source is complete isn't there. Reason `WaitingForSource`.
    #[error(
        "the marker {path:?} (waitFor) is not there yet; the producer writes it once all files are complete"
    )]
    MarkerMissing {
        /// Where it is looked for, relative to the namespace's folder.
        path: String,
    },
    /// A file that is no longer what was scanned. Reason `SourceChanged`.
    #[error(
        "{path:?} changed since it was planned: {}; a new delivery must be made of the file as it is now",
        Moved { planned, found }
    )]
    Changed {
        /// The file.
        path: String,
        /// As it was scanned.
        planned: Fingerprint,
        /// As it is now; `None` when it is gone.
        found: Option<Fingerprint>,
    },
    /// An object that is no longer what was listed. Reason `SourceChanged`.
    #[error(
        "{place:?} changed since it was planned: {change}; a new delivery must be made of the objects as they are now"
    )]
    ObjectChanged {
        /// The object.
        place: String,
        /// What became of it.
        change: ObjectChange,
    },
    /// A key that is no path. Reason `KeyInvalid`.
    #[error(
        "an object's key can't be a path: {0}; whoever wrote the object must rename it, or the delivery must name \
         another prefix"
    )]
    KeyInvalid(#[from] KeyInvalid),
    /// S3 refused, or didn't answer. Reason `SourceUnreadable`; `SourceNotFound` where there is no such bucket.
    #[error("reading {place:?} failed: {cause}; {}", store_advice(cause))]
    Store {
        /// What it was tried on.
        place: String,
        /// What came back.
        #[source]
        cause: Box<StoreError>,
    },
    /// Nobody waits for an answer any more.
    #[error("the delivery, or the operator, is being stopped")]
    Ended,
    /// The system refused. Reason `SourceUnreadable`.
    #[error("{attempt} {path:?} failed: {cause}; {}", advice(cause, *attempt))]
    Unreadable {
        /// What it was tried on.
        path: String,
        /// What was tried.
        attempt: Attempt,
        /// What came back.
        #[source]
        cause: io::Error,
    },
    /// No regular file. Reason `SourceUnreadable`.
    #[error("{path:?} is {kind}, not a regular file; the producer must replace or move it")]
    NotAFile {
        /// Where it stands.
        path: String,
        /// What it is.
        kind: NotAFile,
    },
    /// A matching name that no key and no status can show. Reason `SourceUnreadable`.
    #[error("the name \"{escaped}\" is not UTF-8; the producer must rename the file")]
    NameNotUtf8 {
        /// The path with its bytes escaped.
        escaped: String,
    },
    /// More than is ever scanned. Reason `TooManyObjects`.
    #[error(
        "{pattern:?} has to look at more than {limit} entries (files, folders, objects); narrow the delivery's source, \
         or move old files away"
    )]
    TooManyEntries {
        /// The pattern.
        pattern: String,
        /// The limit.
        limit: usize,
    },
    /// More objects than one delivery may have. Reason `TooManyObjects`.
    #[error(
        "more than {limit} objects match {pattern:?}, and one delivery has no more; narrow its patterns or its \
         prefix, and make several"
    )]
    TooManyMatches {
        /// The pattern.
        pattern: String,
        /// The limit.
        limit: usize,
    },
}

/// What kind of a [`SourceError`] it is: one for each reason that a delivery can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourceErrorKind {
    /// `PathNotAllowed`
    PathNotAllowed,
    /// `SourceNotFound`
    NotFound,
    /// `SourceEmpty`
    Empty,
    /// `WaitingForSource`
    WaitingForSource,
    /// `SourceChanged`
    Changed,
    /// `SourceUnreadable`
    Unreadable,
    /// `TooManyObjects`
    TooManyEntries,
    /// `KeyInvalid`
    KeyInvalid,
}

impl SourceError {
    /// The kind, for the reason.
    #[must_use]
    pub fn kind(&self) -> SourceErrorKind {
        match self {
            Self::PatternInvalid(_) | Self::PathNotAllowed { .. } => {
                SourceErrorKind::PathNotAllowed
            }
            Self::NotFound { .. } => SourceErrorKind::NotFound,
            Self::Empty { .. } => SourceErrorKind::Empty,
            Self::WaitingForSource { .. } | Self::MarkerMissing { .. } => {
                SourceErrorKind::WaitingForSource
            }
            Self::Changed { .. } | Self::ObjectChanged { .. } => SourceErrorKind::Changed,
            Self::Store { cause, .. } if cause.refusal() == Some(Refusal::BucketNotFound) => {
                SourceErrorKind::NotFound
            }
            Self::Unreadable { .. }
            | Self::NotAFile { .. }
            | Self::NameNotUtf8 { .. }
            | Self::Store { .. }
            | Self::Ended => SourceErrorKind::Unreadable,
            Self::KeyInvalid(_) => SourceErrorKind::KeyInvalid,
            Self::TooManyEntries { .. } | Self::TooManyMatches { .. } => {
                SourceErrorKind::TooManyEntries
            }
        }
    }

    /// Whether the same may work a little later without anybody's doing: a network file system that
    /// lost its server, a system out of descriptors or memory, S3 that doesn't answer.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        let cause = match self {
            Self::Unreadable { cause, .. } => cause,
            Self::Store { cause, .. } => return cause.class != ErrorClass::Terminal,
            Self::Ended => return true,
            _ => return false,
        };
        let Some(errno) = Errno::from_io_error(cause) else {
            return false;
        };
        const TRANSIENT: [Errno; 16] = [
            Errno::IO,
            Errno::STALE,
            Errno::INTR,
            Errno::AGAIN,
            Errno::TIMEDOUT,
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOMEM,
            Errno::BUSY,
            Errno::HOSTDOWN,
            Errno::HOSTUNREACH,
            Errno::NETDOWN,
            Errno::NETUNREACH,
            Errno::CONNRESET,
            Errno::CONNREFUSED,
            Errno::NOTCONN,
        ];
        TRANSIENT.contains(&errno)
    }

    /// Whether a connection broke: what it brought until then was right.
    pub(super) fn is_broken_off(&self) -> bool {
        matches!(self, Self::Store { cause, .. } if cause.is(code::CONNECTION_LOST))
    }

    /// Takes out of an `io::Error` what was put there on the way through the planner; the error itself
    /// where it is another's.
    ///
    /// # Errors
    /// The given error, when no `SourceError` is in it.
    pub fn from_io(error: io::Error) -> Result<Self, io::Error> {
        error.downcast::<Self>()
    }
}

impl From<SourceError> for io::Error {
    fn from(error: SourceError) -> Self {
        Self::other(error)
    }
}

fn advice(cause: &io::Error, attempt: Attempt) -> &'static str {
    match (Errno::from_io_error(cause), attempt) {
        (_, Attempt::OpenRoot) => {
            "the operator's administrator must mount it, readable, where volume.root says"
        }
        (Some(Errno::ACCESS | Errno::PERM), _) => {
            "the producer must let the operator's user read it"
        }
        (Some(Errno::NOSYS), _) => "the operator's node needs Linux 5.6 or later (openat2)",
        (Some(Errno::LOOP), _) => "the producer must remove the circle of links",
        (Some(Errno::NAMETOOLONG), _) => "the producer must use shorter paths",
        _ => "the volume's administrator must look at it when it stays so",
    }
}

/// Shows what moved between two fingerprints.
struct Moved<'a> {
    planned: &'a Fingerprint,
    found: &'a Option<Fingerprint>,
}

impl fmt::Display for Moved<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(found) = self.found else {
            return f.write_str("it is gone");
        };
        let (size, planned_size) = (found.size(), self.planned.size());
        let mut moved = Vec::new();
        if size != planned_size {
            moved.push(format!("size from {planned_size} to {size}"));
        }
        if let (
            Fingerprint::File {
                mtime_ns, ctime_ns, ..
            },
            Fingerprint::File {
                mtime_ns: planned_mtime,
                ctime_ns: planned_ctime,
                ..
            },
        ) = (found, self.planned)
        {
            moved.extend((mtime_ns != planned_mtime).then(|| "mtime".to_owned()));
            moved.extend((ctime_ns != planned_ctime).then(|| "ctime".to_owned()));
        }
        if moved.is_empty() {
            // The times have a resolution; bytes that are missing don't lie.
            moved.push("it ended early".to_owned());
        }
        f.write_str(&moved.join(", "))
    }
}
