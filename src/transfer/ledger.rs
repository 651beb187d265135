//! What must outlive the process so that a delivery can go on, and where it is written down.

use futures::future::BoxFuture;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::plan::ObjectDigest;
use crate::store::{UploadId, UploadedPart};

/// Parts that [`ObjectState::Completing`] names at most: about 80 bytes each, so that one entry stays
/// far under the 512 KiB of a ledger object. Where there are more, ListParts names them.
pub(super) const MAX_RECORDED_PARTS: usize = 1000;

/// Whose state it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Slot {
    /// The object with this sequence number.
    Object(u32),
    /// The receipt.
    Receipt,
}

/// How far an object is. Each state is durable before the request that it announces is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "state",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
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
    /// Complete was sent, or was about to be. Never recorded for an upload that we aborted.
    Completing {
        /// The upload.
        upload: UploadId,
        /// When it was created, by our clock.
        started_at: Timestamp,
        /// What the object is.
        digest: ObjectDigest,
        /// The parts that Complete names; none where there are more than a thousand.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        parts: Vec<UploadedPart>,
    },
    /// It is there, verified.
    Delivered {
        /// What the object is.
        digest: ObjectDigest,
        /// Its version, where the store said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Crc64;
    use crate::store::PartChecksum;

    #[test]
    fn states_survive_json() {
        let digest = ObjectDigest {
            bytes: 3,
            lines: 1,
            records: 1,
            crc64: Crc64::new(7),
            md5: None,
        };
        let started_at: Timestamp = "2026-11-24T01:02:03Z".parse().unwrap();
        let upload = UploadId::new("u-1");
        let part = UploadedPart {
            number: 1,
            etag: "\"e\"".to_owned(),
            checksum: Some(PartChecksum::Crc64(Crc64::new(7))),
        };
        let states = [
            ObjectState::Planned,
            ObjectState::Open {
                upload: upload.clone(),
                started_at,
            },
            ObjectState::Completing {
                upload,
                started_at,
                digest: digest.clone(),
                parts: vec![part],
            },
            ObjectState::Delivered {
                digest,
                version_id: None,
            },
        ];
        for state in states {
            let json = serde_json::to_string(&state).unwrap();
            assert_eq!(
                serde_json::from_str::<ObjectState>(&json).unwrap(),
                state,
                "{json}"
            );
        }
        let open = ObjectState::Open {
            upload: UploadId::new("u"),
            started_at,
        };
        assert_eq!(
            serde_json::to_string(&open).unwrap(),
            r#"{"state":"open","upload":"u","startedAt":"2026-11-24T01:02:03Z"}"#
        );
    }
}
