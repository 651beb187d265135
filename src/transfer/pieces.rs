//! An object's parts, one behind the other, as they are read: of the file's bytes, or of what these are
//! compressed to.

use tokio::sync::SemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::body::{Piece, ReadFault};
use super::checksum::Counted;
use super::combined::Combined;
use super::context::{Context, Outgoing, unless_stopped};
use super::md5::Behind;
use super::reader::{More, Reader};
use super::share::Share;
use super::source::SourceFault;
use crate::plan::{ByteRange, Compression, ObjectDigest, PartLayout, PartNumber};
use crate::store::Dialect;

/// The parts that weren't read yet.
pub(super) struct Pieces<'a> {
    context: &'a Context,
    outgoing: &'a Outgoing,
    reader: &'a Reader,
    layout: PartLayout,
    /// Of a compressed object.
    share: Option<&'a Share>,
    /// The number of the part that comes next.
    next: u64,
    more: More,
    whole: Combined,
    /// In what was read.
    counted: Counted,
    /// The object's MD5, where it is computed behind the parts.
    md5: Option<Behind>,
}

impl<'a> Pieces<'a> {
    /// All parts of `outgoing`: of `layout`, where they aren't compressed.
    pub(super) fn new(
        context: &'a Context,
        outgoing: &'a Outgoing,
        reader: &'a Reader,
        share: Option<&'a Share>,
        dialect: Dialect,
    ) -> Self {
        let behind = outgoing.md5.is_behind(dialect);
        Self {
            context,
            outgoing,
            reader,
            layout: layout(context, outgoing),
            share,
            next: 1,
            more: More::Comes,
            whole: Combined::new(),
            counted: Counted::default(),
            md5: behind.then(|| context.resources.crew().begin()),
        }
    }

    /// Reads the next part, in its `turn`, as the object's next bytes.
    pub(super) async fn next(
        &mut self,
        turn: SemaphorePermit<'_>,
        stop: &CancellationToken,
    ) -> Result<Option<(PartNumber, Piece)>, ReadFault> {
        if self.more == More::No {
            return Ok(None);
        }
        let number = PartNumber::new(self.next).ok_or_else(too_many)?;
        let (piece, counted) = match self.share {
            Some(share) => {
                let md5 = self.md5.as_ref();
                let encoded = Piece::encode(turn, self.reader, share, md5, stop);
                let (piece, counted, more) = encoded.await?;
                self.more = more;
                (piece, counted)
            }
            None => {
                let range = self.range();
                if self.next == self.layout.count() {
                    self.more = More::No;
                }
                let md5 = self.md5.as_ref();
                Piece::hash(self.context, turn, self.reader, range, md5, stop).await?
            }
        };
        self.next += 1;
        self.counted = counted;
        self.whole.append(piece.crc(), piece.len());
        Ok(Some((number, piece)))
    }

    /// Where the next part lies in the object.
    fn range(&self) -> ByteRange {
        let offset = (self.next - 1) * self.layout.part_size();
        ByteRange {
            offset,
            len: self.layout.part_size().min(self.outgoing.len - offset),
        }
    }

    /// Bytes in the largest part: where the object is compressed, at most.
    pub(super) fn largest(&self) -> u64 {
        self.layout.largest()
    }

    /// How many parts were read.
    pub(super) fn count(&self) -> u64 {
        self.next - 1
    }

    /// What all that was read is: to be asked once no piece comes any more.
    pub(super) async fn digest(self, stop: &CancellationToken) -> Result<ObjectDigest, ReadFault> {
        let md5 = match self.md5 {
            Some(behind) => unless_stopped(stop, behind.finish()).await?,
            None => None,
        };
        Ok(self.counted.digest(self.whole, md5))
    }
}

/// The object's parts: exactly, or at most where it is compressed.
pub(super) fn layout(context: &Context, outgoing: &Outgoing) -> PartLayout {
    outgoing.compression.parts(outgoing.len, context.part_size)
}

/// The memory of the object, where it is compressed.
pub(super) async fn share(
    context: &Context,
    outgoing: &Outgoing,
    stop: &CancellationToken,
) -> Result<Option<Share>, ReadFault> {
    if outgoing.compression == Compression::None {
        return Ok(None);
    }
    let layout = layout(context, outgoing);
    let share = Share::wait(context, outgoing, layout, stop).await?;
    Ok(Some(share))
}

/// The bound of [`Compression::at_most`] didn't hold.
fn too_many() -> ReadFault {
    let text = "compressing: the object outgrew the bound that its parts were chosen by; this is a defect of the operator";
    ReadFault::Source(SourceFault::Unreadable(text.to_owned()))
}
