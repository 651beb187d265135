//! Between the engine's states and the ledger's entries.

use crate::api::{LedgerObject, LedgerState, OutboundLedgerSpec};
use crate::plan::{Crc64, Md5Digest, ObjectDigest};
use crate::store::UploadId;
use crate::transfer::{ObjectState, Slot};

/// The slot's entry in its shard.
pub(super) fn entry(
    spec: &mut OutboundLedgerSpec,
    slot: Slot,
    index: usize,
) -> Option<&mut LedgerObject> {
    match slot {
        Slot::Receipt => spec.header.as_mut().map(|header| &mut header.receipt),
        Slot::Object(_) => spec.objects.get_mut(index),
    }
}

/// What the entry says.
///
/// # Errors
/// When it lacks what its state needs: something else wrote it.
pub(super) fn state(entry: &LedgerObject) -> Result<ObjectState, String> {
    let upload = || {
        entry
            .upload
            .clone()
            .map(UploadId::new)
            .ok_or_else(|| missing(entry, "upload"))
    };
    let started_at = || {
        let text = entry
            .started_at
            .as_ref()
            .ok_or_else(|| missing(entry, "startedAt"))?;
        text.parse().map_err(|_| missing(entry, "startedAt"))
    };
    Ok(match entry.state {
        LedgerState::Planned => ObjectState::Planned,
        LedgerState::Open => ObjectState::Open {
            upload: upload()?,
            started_at: started_at()?,
        },
        LedgerState::Completing => ObjectState::Completing {
            upload: upload()?,
            started_at: started_at()?,
            digest: digest(entry)?,
        },
        LedgerState::Delivered => ObjectState::Delivered {
            digest: digest(entry)?,
            version_id: entry.version_id.clone(),
        },
    })
}

fn missing(entry: &LedgerObject, field: &str) -> String {
    format!(
        "object {} is {:?} without a usable {field}",
        entry.sequence, entry.state
    )
}

fn digest(entry: &LedgerObject) -> Result<ObjectDigest, String> {
    let count = |field: &str, value: Option<i64>| {
        value
            .and_then(|value| u64::try_from(value).ok())
            .ok_or_else(|| missing(entry, field))
    };
    let crc64: Option<Crc64> = entry.crc64.as_ref().and_then(|text| text.parse().ok());
    let md5 = entry.md5.clone().map(Md5Digest::try_from).transpose();
    Ok(ObjectDigest {
        bytes: count("bytes", entry.bytes)?,
        lines: count("lines", entry.lines)?,
        records: count("records", entry.records)?,
        crc64: crc64.ok_or_else(|| missing(entry, "crc64"))?,
        md5: md5.map_err(|_| missing(entry, "md5"))?,
    })
}

/// Makes the entry say `state`, and nothing of what it said before.
pub(super) fn write(entry: &mut LedgerObject, state: &ObjectState) {
    *entry = LedgerObject {
        sequence: entry.sequence,
        source: entry.source,
        offset: entry.offset,
        header: entry.header,
        length: entry.length,
        key: std::mem::take(&mut entry.key),
        ..LedgerObject::default()
    };
    match state {
        ObjectState::Planned => {}
        ObjectState::Open { upload, started_at } => {
            entry.state = LedgerState::Open;
            entry.upload = Some(upload.as_str().to_owned());
            entry.started_at = Some(started_at.to_string());
        }
        ObjectState::Completing {
            upload,
            started_at,
            digest,
        } => {
            entry.state = LedgerState::Completing;
            entry.upload = Some(upload.as_str().to_owned());
            entry.started_at = Some(started_at.to_string());
            write_digest(entry, digest);
        }
        ObjectState::Delivered { digest, version_id } => {
            entry.state = LedgerState::Delivered;
            entry.version_id.clone_from(version_id);
            write_digest(entry, digest);
        }
    }
}

fn write_digest(entry: &mut LedgerObject, digest: &ObjectDigest) {
    let count = |value: u64| i64::try_from(value).ok();
    entry.bytes = count(digest.bytes);
    entry.lines = count(digest.lines);
    entry.records = count(digest.records);
    entry.crc64 = Some(digest.crc64.to_string());
    entry.md5 = digest.md5.as_ref().map(|md5| md5.as_str().to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(before: &ObjectState) {
        let mut entry = LedgerObject {
            sequence: 3,
            key: "a/b".into(),
            ..LedgerObject::default()
        };
        write(&mut entry, before);
        assert_eq!((entry.sequence, entry.key.as_str()), (3, "a/b"));
        assert_eq!(state(&entry).as_ref(), Ok(before));
    }

    #[test]
    fn every_state_comes_back_as_it_was_written() {
        let digest = ObjectDigest {
            bytes: 10,
            lines: 2,
            records: 3,
            crc64: Crc64::new(0xfeed),
            md5: Some(Md5Digest::new([7; 16])),
        };
        let (upload, started_at) = (
            UploadId::new("u"),
            "2026-11-24T00:00:00.5Z".parse().unwrap(),
        );
        round_trip(&ObjectState::Planned);
        round_trip(&ObjectState::Open {
            upload: upload.clone(),
            started_at,
        });
        round_trip(&ObjectState::Completing {
            upload,
            started_at,
            digest: digest.clone(),
        });
        round_trip(&ObjectState::Delivered {
            digest,
            version_id: Some("v".into()),
        });
    }

    #[test]
    fn a_forged_entry_is_refused() {
        let entry = LedgerObject {
            state: LedgerState::Delivered,
            ..LedgerObject::default()
        };
        assert!(state(&entry).is_err());
        let entry = LedgerObject {
            state: LedgerState::Open,
            upload: Some("u".into()),
            ..LedgerObject::default()
        };
        assert!(state(&entry).is_err());
    }
}
