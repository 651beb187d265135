//! Completes an upload, and settles what a lost answer left open: never by a guess.

use jiff::{SignedDuration, Timestamp};

use super::context::Refused;
use super::error::TransferError;
use super::ledger::Slot;
use super::object::{Earlier, Filled, Landed, Landing, Open, Step, Task};
use super::retry::is_retryable;
use crate::plan::{Crc64, ObjectDigest};
use crate::store::{
    Bucket, CompletedUpload, ErrorClass, HeldObject, ReadBack, StoreError, UploadedPart,
};

/// An upload that is gone was completed by us while no lifecycle rule can have taken it: S3 counts
/// such rules in whole days, so one day is the shortest.
const SURELY_OURS: SignedDuration = SignedDuration::from_hours(24);

/// What a look at a key shows.
pub(super) enum Seen {
    Ours(HeldObject),
    Another,
    Nothing,
    /// We may not look.
    Hidden,
}

impl Task<'_> {
    /// Goes on with an upload for which Complete may have been sent by an earlier process.
    pub(super) async fn resume_complete(
        &mut self,
        mut filled: Filled,
    ) -> Result<Step, TransferError> {
        match self.list_parts(&filled.open.upload).await {
            Ok(held) if filled.parts.is_empty() => {
                filled.parts = held
                    .into_iter()
                    .map(|(number, part)| UploadedPart {
                        number,
                        etag: part.etag,
                        crc64: part.crc64,
                    })
                    .collect();
            }
            Ok(_) => {}
            Err(Refused::Store(error)) if error.is("NoSuchUpload") => {
                return self.gone(filled).await;
            }
            // Complete itself tells, too, as long as we know the parts.
            Err(Refused::Store(_)) if !filled.parts.is_empty() => {}
            Err(Refused::Store(_)) => return Err(self.unconfirmed(&filled.open)),
            Err(Refused::Ended(error)) => return Err(error),
        }
        Ok(Step::Complete(filled, Earlier::MayHaveBeenApplied))
    }

    /// Sends Complete until it is known what became of it.
    pub(super) async fn complete(
        &mut self,
        filled: Filled,
        mut earlier: Earlier,
    ) -> Result<Step, TransferError> {
        let context = self.context;
        let key = &self.outgoing.key;
        loop {
            if self.stop().is_cancelled() {
                return Err(TransferError::Stopped);
            }
            let seen = context.attempts.begin();
            let Filled {
                open,
                digest,
                parts,
            } = &filled;
            let bucket = context.bucket();
            let sent = bucket.complete_upload(key, &open.upload, parts, digest.crc64, digest.bytes);
            let error = match sent.await {
                Ok(done) => return Ok(Step::Landed(self.verified(digest.clone(), done)?)),
                Err(error) => error,
            };
            match error.code.as_str() {
                "PreconditionFailed" => return self.something_there(filled, earlier).await,
                "NoSuchUpload" if earlier == Earlier::Answered => {
                    return self.restart(&filled.open, &error.to_string()).await;
                }
                "NoSuchUpload" => return self.gone(filled).await,
                "ConditionalRequestConflict" => {
                    return self.conflict(filled, earlier, &error).await;
                }
                "InvalidPart" | "InvalidPartOrder" | "EntityTooSmall" | "BadDigest" => {
                    return self.restart(&filled.open, &error.to_string()).await;
                }
                _ if !is_retryable(&error) => {
                    return Err(TransferError::access_lost(key, error));
                }
                _ => {}
            }
            if error.class != ErrorClass::Throttled {
                earlier = Earlier::MayHaveBeenApplied;
            }
            context.again(seen, key, &error, self.stop()).await?;
        }
    }

    /// Compares the store's checksum of the whole object with ours. A store that answers none has
    /// verified each part against its own.
    pub(super) fn verified(
        &self,
        digest: ObjectDigest,
        done: CompletedUpload,
    ) -> Result<Landed, TransferError> {
        match done.crc64 {
            Some(theirs) if theirs != digest.crc64 => {
                let (key, ours) = (self.outgoing.key.clone(), digest.crc64);
                Err(TransferError::ChecksumMismatch { key, ours, theirs })
            }
            _ => Ok(Landed {
                digest,
                version_id: done.version_id,
                landing: Landing::Sent,
            }),
        }
    }

    /// The upload is gone after a Complete that may have been applied, and we never aborted it: the
    /// ledger would say so.
    async fn gone(&mut self, filled: Filled) -> Result<Step, TransferError> {
        match self.look_for(&filled.digest).await? {
            Seen::Ours(held) => {
                return Ok(Step::Landed(landed(filled.digest, held, Landing::Sent)));
            }
            Seen::Another => {
                self.withdraw(&filled.open).await;
                return Err(self.exists());
            }
            Seen::Nothing => {
                return self
                    .restart(&filled.open, "the upload is gone and nothing is there")
                    .await;
            }
            Seen::Hidden => {}
        }
        let age = Timestamp::now().duration_since(filled.open.started_at);
        if age >= SURELY_OURS || age.is_negative() {
            return Err(self.unconfirmed(&filled.open));
        }
        let Filled { digest, .. } = filled;
        Ok(Step::Landed(Landed {
            digest,
            version_id: None,
            landing: Landing::Sent,
        }))
    }

    /// 412: something is under the key. Ours, when an earlier Complete was applied.
    async fn something_there(
        &mut self,
        filled: Filled,
        earlier: Earlier,
    ) -> Result<Step, TransferError> {
        match self.look_for(&filled.digest).await? {
            Seen::Ours(held) => {
                let landing = match earlier {
                    Earlier::Answered => Landing::Adopted,
                    Earlier::MayHaveBeenApplied => Landing::Sent,
                };
                self.give_up(&filled.open).await?;
                return Ok(Step::Landed(landed(filled.digest, held, landing)));
            }
            Seen::Another => {
                self.withdraw(&filled.open).await;
                return Err(self.exists());
            }
            // It was deleted meanwhile, or we may not look.
            Seen::Nothing | Seen::Hidden => {}
        }
        if earlier == Earlier::Answered {
            self.withdraw(&filled.open).await;
            return Err(self.exists());
        }
        match self.list_parts(&filled.open.upload).await {
            Ok(_) => {
                self.withdraw(&filled.open).await;
                Err(self.exists())
            }
            Err(Refused::Store(error)) if error.is("NoSuchUpload") => self.gone(filled).await,
            Err(Refused::Store(_)) => Err(self.unconfirmed(&filled.open)),
            Err(Refused::Ended(error)) => Err(error),
        }
    }

    /// 409: S3 asks for the upload to be started anew, unless an earlier Complete was applied.
    async fn conflict(
        &mut self,
        filled: Filled,
        earlier: Earlier,
        error: &StoreError,
    ) -> Result<Step, TransferError> {
        if earlier == Earlier::MayHaveBeenApplied {
            match self.list_parts(&filled.open.upload).await {
                Err(Refused::Store(error)) if error.is("NoSuchUpload") => {
                    return self.gone(filled).await;
                }
                Err(Refused::Ended(error)) => return Err(error),
                Ok(_) | Err(Refused::Store(_)) => {}
            }
        }
        self.restart(&filled.open, &error.to_string()).await
    }

    /// Looks at the key for the object that `digest` is of.
    pub(super) async fn look_for(&self, digest: &ObjectDigest) -> Result<Seen, TransferError> {
        self.look(digest.bytes, Some(digest.crc64)).await
    }

    /// Looks at the key, where we may.
    pub(super) async fn look(
        &self,
        bytes: u64,
        crc64: Option<Crc64>,
    ) -> Result<Seen, TransferError> {
        if self.context.read_back == ReadBack::WriteOnly {
            return Ok(Seen::Hidden);
        }
        let key = &self.outgoing.key;
        let head = |bucket: Bucket| async move { bucket.head(key).await };
        match self.context.call(key, self.stop(), head).await {
            Ok(None) => Ok(Seen::Nothing),
            Ok(Some(held)) => {
                let token = held.token.as_deref() == Some(self.context.token.as_str());
                // A receipt of the same token is of the same plan, and was written when all was there;
                // a delivery that was created again has another uid and other times in its own.
                let receipt = self.outgoing.slot == Slot::Receipt;
                let known = held.crc64.zip(crc64);
                let same = held.bytes == bytes && known.is_none_or(|(theirs, ours)| theirs == ours);
                Ok(if token && (receipt || same) {
                    Seen::Ours(held)
                } else {
                    Seen::Another
                })
            }
            // Without the right to list, 403 is also what a missing object answers.
            Err(Refused::Store(_)) => Ok(Seen::Hidden),
            Err(Refused::Ended(error)) => Err(error),
        }
    }

    /// Aborts an upload whose object can't be delivered. What can't be aborted now is still in the
    /// ledger.
    async fn withdraw(&self, open: &Open) {
        if let Err(left) = self.give_up(open).await {
            let key = &self.outgoing.key;
            tracing::warn!(%key, upload = %open.upload, %left, "an upload had to stay open");
        }
    }

    pub(super) fn exists(&self) -> TransferError {
        TransferError::ObjectExists {
            key: self.outgoing.key.clone(),
        }
    }

    fn unconfirmed(&self, open: &Open) -> TransferError {
        let (key, upload) = (self.outgoing.key.clone(), open.upload.clone());
        TransferError::CompletionUnconfirmed {
            key,
            upload: Some(upload),
        }
    }
}

/// What was found, in place of what was meant: the same, but for a receipt.
pub(super) fn landed(digest: ObjectDigest, held: HeldObject, landing: Landing) -> Landed {
    let crc64 = held.crc64.unwrap_or(digest.crc64);
    let digest = ObjectDigest {
        bytes: held.bytes,
        crc64,
        ..digest
    };
    Landed {
        digest,
        version_id: held.version_id,
        landing,
    }
}
