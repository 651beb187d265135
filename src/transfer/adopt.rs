//! Looks before it sends, where we may: what is there with our token is read here once more and not
//! sent again, and somebody else's object is seen before a terabyte is on its way.

use super::body::{Piece, ReadFault};
use super::checksum::Combined;
use super::complete::{Seen, landed};
use super::context::unless_stopped;
use super::error::TransferError;
use super::ledger::Slot;
use super::object::{Landed, Landing, Step, Task};
use crate::plan::{ByteRange, ObjectDigest};
use crate::store::{HeldObject, ReadBack};

impl Task<'_> {
    /// The first step of an object that nothing was sent of.
    pub(super) async fn begin(&self) -> Result<Step, TransferError> {
        if self.context.read_back == ReadBack::WriteOnly {
            return Ok(Step::Create);
        }
        match self.look(self.outgoing.len, None).await? {
            Seen::Ours(held) => self.adopt(held).await.map(Step::Landed),
            Seen::Another => Err(self.exists()),
            Seen::Nothing | Seen::Hidden if self.layout().count() == 1 => {
                self.put().await.map(Step::Landed)
            }
            Seen::Nothing | Seen::Hidden => Ok(Step::Create),
        }
    }

    /// Computes what the receipt says of an object that is there.
    async fn adopt(&self, held: HeldObject) -> Result<Landed, TransferError> {
        let digest = loop {
            let seen = self.context.attempts.begin();
            match self.digest().await {
                Ok(digest) => break digest,
                Err(ReadFault::Ended(error)) => return Err(error),
                Err(ReadFault::Source(fault)) => {
                    let key = &self.outgoing.key;
                    self.context
                        .read_failed(seen, key, fault, self.stop())
                        .await?;
                }
            }
        };
        match held.crc64 {
            Some(theirs) if theirs != digest.crc64 && self.outgoing.slot != Slot::Receipt => {
                let (key, ours) = (self.outgoing.key.clone(), digest.crc64);
                Err(TransferError::ChecksumMismatch { key, ours, theirs })
            }
            _ => Ok(landed(digest, held, Landing::Adopted)),
        }
    }

    async fn digest(&self) -> Result<ObjectDigest, ReadFault> {
        let reader = self.context.reader(self.outgoing, self.stop()).await??;
        let mut whole = Combined::new();
        for part in self.layout().parts() {
            let offset = self.outgoing.offset + part.range.offset;
            let range = ByteRange {
                offset,
                ..part.range
            };
            let piece = Piece::hash(self.context, &reader, range, self.stop()).await?;
            whole.append(piece.crc(), piece.len());
        }
        let counted = unless_stopped(self.stop(), reader.finish()).await??;
        Ok(counted.digest(whole))
    }
}
