//! What must outlive the process so that a delivery can go on, and where it is written down.

use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::plan::ObjectDigest;
use crate::store::UploadId;

/// Whose state it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// The object with this sequence number.
    Object(u32),
    /// The receipt.
    Receipt,
}

/// How far an object is. Each state is durable before the request that it announces is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ObjectState {
    /// No upload of it is open, and none was completed.
    #[default]
    Planned,
    /// An upload is open; Complete was never sent for it.
    Open {
        /// The upload.
        upload: UploadId,
        /// When it was created, by our clock.
        started_at: Timestamp,
    },
    /// Complete was sent, or was about to be. Never recorded for an upload that we aborted. The parts aren't in it, as
    /// ten thousand of them would outgrow what a ledger may hold: ListParts names them.
    Completing {
        /// The upload.
        upload: UploadId,
        /// When it was created, by our clock.
        started_at: Timestamp,
        /// What the object is.
        digest: ObjectDigest,
    },
    /// It is there, verified.
    Delivered {
        /// What the object is.
        digest: ObjectDigest,
        /// Its version, where the store said.
        version_id: Option<String>,
    },
}

impl ObjectState {
    /// The upload that may be open in this state.
    #[must_use]
    pub fn open_upload(&self) -> Option<&UploadId> {
        match self {
            Self::Open { upload, .. } | Self::Completing { upload, .. } => Some(upload),
            Self::Planned | Self::Delivered { .. } => None,
        }
    }
}

/// The ledger refused or could not be reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("writing the ledger: {0}")]
pub struct LedgerError(pub String);

/// Where states are kept.
pub trait Ledger: Send + Sync + 'static {
    /// Returns once `state` is durable. Several slots may be recorded at once, one slot never; an
    /// implementation may write several at a time.
    ///
    /// # Errors
    /// When it is not known to be durable. The delivery then ends and must begin from what is.
    fn record(&self, slot: Slot, state: ObjectState) -> BoxFuture<'_, Result<(), LedgerError>>;

    /// Has `state` become durable soon, at the latest with [`Ledger::settle`]: for what would be found out again. An
    /// implementation that gains nothing by waiting records it at once.
    ///
    /// # Errors
    /// As [`Ledger::record`].
    fn note(&self, slot: Slot, state: ObjectState) -> BoxFuture<'_, Result<(), LedgerError>> {
        self.record(slot, state)
    }

    /// Returns once all that was noted is durable.
    ///
    /// # Errors
    /// As [`Ledger::record`].
    fn settle(&self) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
