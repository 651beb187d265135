//! Completes an upload, and settles what a lost answer left open: never by a guess.

use jiff::{SignedDuration, Timestamp};

use super::adopt::{Seen, landed};
use super::context::Refused;
use super::error::TransferError;
use super::object::{Earlier, Filled, HeldParts, Landed, Landing, Open, Step, Task, uploaded};
use super::retry::is_retryable;
use crate::plan::ObjectDigest;
use crate::store::{CompletedUpload, ErrorClass, Meaning, Refusal, StoreError};

/// An upload that is gone was completed by us while no lifecycle rule can have taken it: S3 counts
/// such rules in whole days, so one day is the shortest.
const SURELY_OURS: SignedDuration = SignedDuration::from_hours(24);

impl Task<'_> {
    /// Goes on with an upload for which Complete may have been sent by an earlier process.
    pub(super) async fn resume_complete(
        &mut self,
        open: Open,
        digest: ObjectDigest,
    ) -> Result<Step, TransferError> {
        match self.list_parts(&open.upload).await {
            Ok(held) if self.covers(&held, digest.bytes) => {
                let parts = uploaded(held);
                let filled = Filled {
                    open,
                    digest,
                    parts,
                };
                Ok(Step::Complete(filled, Earlier::MayHaveBeenApplied))
            }
            Ok(held) => Ok(Step::Fill(open, held)),
            Err(Refused::Store(error)) if error.means(Meaning::UploadGone) => {
                self.gone(&open, digest).await
            }
            // Complete would tell, too, but can't be sent: nobody knows the parts' ETags any more.
            Err(Refused::Store(error)) => self.read_back(&open, digest, &error).await,
            Err(Refused::Ended(error)) => Err(error),
        }
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
            if self.must_look() {
                match self.look(&filled.digest).await? {
                    Seen::Nothing | Seen::Hidden => {}
                    seen => return self.something_there(filled, earlier, seen).await,
                }
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
            match error.meaning() {
                Some(Meaning::ConditionFailed) => {
                    let seen = self.look(&filled.digest).await?;
                    return self.something_there(filled, earlier, seen).await;
                }
                Some(Meaning::UploadGone) if earlier == Earlier::Answered => {
                    return self.restart(&filled.open, &error.to_string()).await;
                }
                Some(Meaning::UploadGone) => {
                    return self.gone(&filled.open, filled.digest).await;
                }
                Some(Meaning::Conflict) => {
                    return self.conflict(filled, earlier, &error).await;
                }
                // The checksum is of the whole: bytes that came damaged lie in the parts, and Complete sends none.
                Some(Meaning::PartsRefused | Meaning::ChecksumRefused) => {
                    return self.restart(&filled.open, &error.to_string()).await;
                }
                _ if !is_retryable(&error) => return self.refused(&filled, error).await,
                _ => {}
            }
            if error.class != ErrorClass::Throttled {
                earlier = Earlier::MayHaveBeenApplied;
            }
            context.again(seen, key, &error, self.stop()).await?;
        }
    }

    /// Complete is refused, and sending it again would change nothing. Where it is the checksum of the
    /// whole that isn't taken, the object starts again in a lesser dialect.
    async fn refused(&mut self, filled: &Filled, error: StoreError) -> Result<Step, TransferError> {
        let dialect = filled.parts.iter().find_map(|part| part.checksum.as_ref());
        let lesser = dialect
            .filter(|_| error.refusal() == Some(Refusal::ChecksumUnsupported))
            .and_then(|sum| self.context.learned.does_not_work(sum.dialect()));
        match lesser {
            Some(lesser) => {
                let why = format!("{error}; going on with {lesser}");
                self.restart(&filled.open, &why).await
            }
            None => Err(TransferError::access_lost(&self.outgoing.key, error)),
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
    async fn gone(&mut self, open: &Open, digest: ObjectDigest) -> Result<Step, TransferError> {
        match self.look(&digest).await? {
            Seen::Ours(held) => {
                return Ok(Step::Landed(landed(digest, held, Landing::Sent)));
            }
            Seen::Another => {
                self.withdraw(open).await;
                return Err(self.exists());
            }
            Seen::Nothing => {
                return self
                    .restart(open, "the upload is gone and nothing is there")
                    .await;
            }
            Seen::Hidden => {}
        }
        let age = Timestamp::now().duration_since(open.started_at);
        if age >= SURELY_OURS || age.is_negative() {
            return Err(self.unconfirmed(open));
        }
        Ok(Step::Landed(Landed {
            digest,
            version_id: None,
            landing: Landing::Sent,
        }))
    }

    /// Something is under the key, by a 412 or by what was `seen`. Ours, when an earlier Complete was
    /// applied.
    async fn something_there(
        &mut self,
        filled: Filled,
        earlier: Earlier,
        seen: Seen,
    ) -> Result<Step, TransferError> {
        match seen {
            Seen::Ours(held) => {
                self.give_up(&filled.open).await?;
                let landed = landed(filled.digest, held, earlier.landing());
                return Ok(Step::Landed(landed));
            }
            Seen::Another => {
                self.withdraw(&filled.open).await;
                return Err(self.exists());
            }
            // It was deleted meanwhile, or we may not look.
            Seen::Nothing | Seen::Hidden => {}
        }
        if let Some(before) = self.unsettled.take() {
            // What is there may be what that one was completed to.
            self.withdraw(&filled.open).await;
            return Err(self.unconfirmed(&before));
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
            Err(Refused::Store(error)) if error.means(Meaning::UploadGone) => {
                self.gone(&filled.open, filled.digest).await
            }
            Err(Refused::Store(error)) => self.read_back(&filled.open, filled.digest, &error).await,
            Err(Refused::Ended(error)) => Err(error),
        }
    }

    /// What became of a Complete that may have been applied, where the parts aren't listed (`refusal`): told by what
    /// is under the key, where we may look. Nothing there: it wasn't applied, and should it still be, the new upload's
    /// Complete meets an object of ours.
    async fn read_back(
        &mut self,
        open: &Open,
        digest: ObjectDigest,
        refusal: &StoreError,
    ) -> Result<Step, TransferError> {
        match self.look(&digest).await? {
            Seen::Ours(held) => {
                // Should it be another than the one that was completed. The ledger goes on saying Completing: gone is
                // then taken for delivered, and it is.
                self.abort(open).await?;
                Ok(Step::Landed(landed(digest, held, Landing::Sent)))
            }
            Seen::Another => {
                self.withdraw(open).await;
                Err(self.exists())
            }
            Seen::Nothing => {
                let why = format!("{refusal}; and nothing is there");
                self.restart(open, &why).await
            }
            Seen::Hidden => Err(match refusal.refusal() {
                None | Some(Refusal::AccessDenied) => self.unconfirmed(open),
                // No right is missing: once the key, the clock or the endpoint is in order again, the parts are listed.
                Some(_) => TransferError::access_lost(&self.outgoing.key, refusal.clone()),
            }),
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
                Err(Refused::Store(error)) if error.means(Meaning::UploadGone) => {
                    return self.gone(&filled.open, filled.digest).await;
                }
                Err(Refused::Ended(error)) => return Err(error),
                Err(Refused::Store(_)) => {
                    let seen = self.look(&filled.digest).await?;
                    if let Seen::Ours(_) | Seen::Another = seen {
                        return self.something_there(filled, earlier, seen).await;
                    }
                    self.unsettled = Some(filled.open.clone());
                }
                Ok(_) => {}
            }
        }
        self.restart(&filled.open, &error.to_string()).await
    }

    /// Aborts an upload whose object can't be delivered. What can't be aborted now is still in the
    /// ledger.
    async fn withdraw(&self, open: &Open) {
        if let Err(left) = self.give_up(open).await {
            let key = &self.outgoing.key;
            tracing::warn!(%key, upload = %open.upload, %left, "an upload had to stay open");
        }
    }

    /// Whether the store has every part of the object of `bytes` bytes in full: they were all there before Complete was recorded.
    fn covers(&self, held: &HeldParts, bytes: u64) -> bool {
        let layout = self.layout().of_len(bytes);
        held.len() as u64 == layout.count()
            && layout.parts().all(|part| {
                let there = held.get(&part.number.get());
                there.is_some_and(|there| there.bytes == part.range.len)
            })
    }

    fn unconfirmed(&self, open: &Open) -> TransferError {
        let (key, upload) = (self.outgoing.key.clone(), open.upload.clone());
        TransferError::CompletionUnconfirmed {
            key,
            upload: Some(upload),
        }
    }
}
