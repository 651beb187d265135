//! Why a delivery ended before its receipt: what was tried, what came back, who must act.

use std::fmt;

use super::ledger::LedgerError;
use super::memory::OverBudget;
use super::source::SourceFault;
use crate::plan::{Crc64, ObjectKey};
use crate::store::{StoreError, UploadId};

/// How a delivery ended without being delivered.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// Size, mtime or ctime of a file moved. Terminal: a new delivery must be made of the new file.
    #[error(
        "reading the source of {key}: {fault}; nothing is mixed: create a new delivery for the file as it is now"
    )]
    SourceChanged {
        /// The object, or the receipt where the last look found it.
        key: ObjectKey,
        /// What was found.
        fault: SourceFault,
    },
    /// A file can't be read. Terminal until its owner repairs it.
    #[error(
        "reading the source of {key}: {fault}; whoever provides the source must make it readable"
    )]
    SourceUnreadable {
        /// The object, or the receipt where the last look found it.
        key: ObjectKey,
        /// What was found.
        fault: SourceFault,
    },
    /// The customer has an object of that key that isn't ours. Terminal: nothing is overwritten.
    #[error(
        "writing {key} with If-None-Match: the bucket has an object of that key already, and it is not known to be ours (nor, with ifExists: Skip, to have the same content); nothing was overwritten: the customer must move it, or the delivery needs another key"
    )]
    ObjectExists {
        /// The key.
        key: ObjectKey,
    },
    /// The store holds other bytes than we read. Terminal.
    #[error(
        "completing {key}: the store answered CRC64NVME {theirs} but {ours} was sent; the object must not be used: ask whoever runs the store"
    )]
    ChecksumMismatch {
        /// The key.
        key: ObjectKey,
        /// What we computed.
        ours: Crc64,
        /// What the store answered.
        theirs: Crc64,
    },
    /// Whether an upload was completed can't be found out. Terminal: somebody must look.
    #[error(
        "completing {key}: the answer was lost and what became of {} can't be found out; look whether the object is there, or grant read-back so that we can",
        Attempt(upload)
    )]
    CompletionUnconfirmed {
        /// The key.
        key: ObjectKey,
        /// The upload; `None` for a single PutObject.
        upload: Option<UploadId>,
    },
    /// The store refuses us. It waits for a new proof of access, then goes on.
    #[error("writing {key}: {error}; the access must be repaired, the delivery then goes on")]
    AccessLost {
        /// The key.
        key: ObjectKey,
        /// The refusal.
        error: Box<StoreError>,
    },
    /// Too many failures in a row. Terminal until it is asked for again.
    #[error(
        "{failures} attempts in a row confirmed no further part, over the backoffLimit of {limit}; the last: {last}"
    )]
    BackoffLimitExceeded {
        /// Failures in a row.
        failures: u32,
        /// The limit.
        limit: u32,
        /// The last failure, with the key.
        last: String,
    },
    /// What must outlive the process could not be written down. The caller begins anew from the
    /// ledger as it is.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The receipt couldn't be rendered, though all objects are there. A fault of ours.
    #[error(
        "rendering the receipt {key}: {error}; every object is there: report it to whoever makes the operator"
    )]
    ReceiptNotRendered {
        /// The receipt's key.
        key: ObjectKey,
        /// What couldn't be written as JSON.
        error: serde_json::Error,
    },
    /// The memory budget can't hold the smallest piece. The operator's configuration must change.
    #[error(transparent)]
    Memory(#[from] OverBudget),
    /// A compressed object's parts are held until they are confirmed, and the budget can't hold them. The
    /// operator's configuration must change, or the delivery.
    #[error(
        "compressing {key}, of {bytes} bytes: its parts take {needed} bytes of memory, and one object may take {most} (three quarters of transfer.memory): the operator's transfer.memory must be {} at least, or the delivery needs a smaller split.size",
        at_least(*needed)
    )]
    TooLargeToCompress {
        /// The key.
        key: ObjectKey,
        /// Bytes before compression.
        bytes: u64,
        /// Bytes of memory that it takes.
        needed: usize,
        /// Bytes of memory that one object may take.
        most: usize,
    },
    /// Stopped as asked, at a part boundary. Uploads are open and the ledger knows them.
    #[error("stopped at a part boundary")]
    Stopped,
}

impl TransferError {
    /// The store refuses `key`, and asking again would change nothing.
    pub(super) fn access_lost(key: &ObjectKey, error: StoreError) -> Self {
        let (key, error) = (key.clone(), Box::new(error));
        Self::AccessLost { key, error }
    }
}

/// The budget, in MiB, three quarters of which are `needed` bytes.
fn at_least(needed: usize) -> String {
    format!("{}Mi", (needed / 3 + 1).saturating_mul(4).div_ceil(1 << 20))
}

struct Attempt<'a>(&'a Option<UploadId>);

impl fmt::Display for Attempt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(upload) => write!(f, "upload {upload}"),
            None => f.write_str("the PutObject"),
        }
    }
}
