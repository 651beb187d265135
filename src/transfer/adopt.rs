//! Looks at a key before, or instead of, writing it: what is there and ours isn't sent again, what is
//! somebody else's isn't touched.

use super::body::ReadFault;
use super::context::Refused;
use super::error::TransferError;
use super::learned::Ground;
use super::ledger::Slot;
use super::object::{Landed, Landing, Step, Task};
use super::pieces::share;
use crate::plan::{Compression, ObjectDigest};
use crate::store::{Bucket, ConditionalWrite, Dialect, HeldObject, ReadBack};

/// What to do with an object that is there already and that isn't this delivery's by its token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IfExists {
    /// The delivery fails.
    #[default]
    Fail,
    /// One of the same size and CRC64NVME is taken for delivered; any other fails the delivery. Needs
    /// read-back.
    Skip,
}

/// What a look at a key shows, once we know what should be there.
pub(super) enum Seen {
    /// Ours, or as good as ours.
    Ours(HeldObject),
    Another,
    Nothing,
    /// We may not look.
    Hidden,
}

/// What a HEAD answers.
enum Glance {
    Object(HeldObject),
    Nothing,
    Hidden,
}

impl Task<'_> {
    /// Before the first byte of an object is sent: adopts what is there, where we may look.
    ///
    /// A small object isn't looked for where nothing was found of the others and the store tells by itself: then
    /// the look would be half of the requests, and without it no more than what is under way is sent in vain.
    pub(super) async fn look_first(&self) -> Result<Step, TransferError> {
        let tells = self.conditional_write() == ConditionalWrite::Honoured;
        if self.fits_one_put() && tells && self.context.learned.ground() == Ground::Fresh {
            return Ok(Step::Begin);
        }
        let held = match self.glance().await? {
            Glance::Object(held) => held,
            Glance::Nothing => {
                self.context.learned.found(Ground::Fresh);
                return Ok(Step::Begin);
            }
            Glance::Hidden => return Ok(Step::Begin),
        };
        self.context.learned.found(Ground::Trodden);
        let comparable = self.has_token(&held) || self.may_skip(&held);
        if !comparable || !(self.may_be_of_length(held.bytes) || self.is_receipt(&held)) {
            return Err(self.exists());
        }
        let digest = self.read_through().await?;
        match held.crc64 {
            _ if self.is_ours(&held, &digest) => {
                Ok(Step::Landed(landed(digest, held, Landing::Adopted)))
            }
            // Another version of the encoder may have written it: then it is whole, but not what we would write.
            Some(theirs) if self.has_token(&held) && !self.is_compressed() => {
                let (key, ours) = (self.outgoing.key.clone(), digest.crc64);
                Err(TransferError::ChecksumMismatch { key, ours, theirs })
            }
            _ => Err(self.exists()),
        }
    }

    /// Looks at the key, where we may.
    pub(super) async fn look(&self, digest: &ObjectDigest) -> Result<Seen, TransferError> {
        Ok(match self.glance().await? {
            Glance::Object(held) if self.is_ours(&held, digest) => Seen::Ours(held),
            Glance::Object(_) => Seen::Another,
            Glance::Nothing => Seen::Nothing,
            Glance::Hidden => Seen::Hidden,
        })
    }

    /// Whether the key must be looked at before it is written, because the store may not honour the
    /// condition that nothing is there. Best effort: somebody may write it in between.
    pub(super) fn must_look(&self) -> bool {
        self.context.read_back == ReadBack::Granted
            && self.conditional_write() != ConditionalWrite::Honoured
    }

    /// What the store does with a write where something is, as far as is known.
    pub(super) fn conditional_write(&self) -> ConditionalWrite {
        self.context.bucket().capabilities().conditional_write
    }

    pub(super) fn exists(&self) -> TransferError {
        TransferError::ObjectExists {
            key: self.outgoing.key.clone(),
        }
    }

    async fn glance(&self) -> Result<Glance, TransferError> {
        if self.context.read_back == ReadBack::WriteOnly {
            return Ok(Glance::Hidden);
        }
        let key = &self.outgoing.key;
        let head = |bucket: Bucket| async move {
            let answer = bucket.head(key).await;
            if answer.is_ok() {
                self.context.learned.may_look();
            }
            answer
        };
        match self.context.call(key, self.stop(), head).await {
            Ok(None) => Ok(Glance::Nothing),
            Ok(Some(held)) => Ok(Glance::Object(held)),
            // Without the right to list, 403 is also what a missing object answers.
            Err(Refused::Store(_)) => Ok(Glance::Hidden),
            Err(Refused::Ended(error)) => Err(error),
        }
    }

    fn is_compressed(&self) -> bool {
        self.outgoing.compression != Compression::None
    }

    /// Whether an object of `bytes` bytes may be what we would write.
    fn may_be_of_length(&self, bytes: u64) -> bool {
        let (len, compression) = (self.outgoing.len, self.outgoing.compression);
        if self.is_compressed() {
            bytes <= compression.at_most(len)
        } else {
            bytes == len
        }
    }

    fn is_ours(&self, held: &HeldObject, digest: &ObjectDigest) -> bool {
        let crc = match held.crc64 {
            Some(crc) => crc == digest.crc64,
            None => self.has_token(held),
        };
        let same = crc && held.bytes == digest.bytes;
        self.is_receipt(held) || same && (self.has_token(held) || self.may_skip(held))
    }

    /// A receipt of the same token is of the same plan, and was written when all was there; a delivery
    /// that was created again has another uid and other times in its own.
    fn is_receipt(&self, held: &HeldObject) -> bool {
        self.outgoing.slot == Slot::Receipt && self.has_token(held)
    }

    fn has_token(&self, held: &HeldObject) -> bool {
        held.token.as_deref() == Some(self.context.token.as_str())
    }

    /// Whether the same content is enough, and the store says enough of it.
    fn may_skip(&self, held: &HeldObject) -> bool {
        self.context.if_exists == IfExists::Skip && held.crc64.is_some()
    }

    /// Reads and hashes the object, and sends nothing.
    async fn read_through(&self) -> Result<ObjectDigest, TransferError> {
        loop {
            let seen = self.context.attempts.begin();
            match self.try_read_through().await {
                Ok(digest) => return Ok(digest),
                Err(ReadFault::Ended(error)) => return Err(error),
                Err(ReadFault::Source(fault)) => {
                    let key = &self.outgoing.key;
                    self.context
                        .read_failed(seen, key, fault, self.stop())
                        .await?;
                }
            }
        }
    }

    async fn try_read_through(&self) -> Result<ObjectDigest, ReadFault> {
        let (context, stop) = (self.context, self.stop());
        let dialect = Dialect::Crc64Nvme;
        let reader = context.open(self.outgoing, dialect, stop).await?;
        let share = share(context, self.outgoing, stop).await?;
        let mut pieces = self.pieces(&reader, share.as_ref(), dialect);
        while pieces
            .next(context.read_turn(stop).await?, stop)
            .await?
            .is_some()
        {}
        pieces.digest(stop).await
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
