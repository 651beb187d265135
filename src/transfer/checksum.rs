//! What is computed over an object's bytes: one pass, block by block while the block is in cache.

use crc_fast::CrcAlgorithm::{Crc32Iscsi, Crc64Nvme};
use md5::{Digest as _, Md5};

use super::combined::Combined;
use crate::plan::{Crc64, Md5Digest, ObjectDigest, RecordFormat};
use crate::source::RecordCounter;
use crate::store::{Dialect, PartChecksum, crc32c};

/// Bytes that are read and hashed at a time: they fit a core's second-level cache, so that the
/// second and third pass over them cost no memory traffic.
pub(super) const BLOCK: usize = 256 << 10;

/// Whether an object's MD5 is computed: it costs more than all else that is done with its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Md5Wanted {
    /// The receipt names it.
    Yes,
    /// Nobody asks for it.
    No,
}

impl Md5Wanted {
    /// Whether it is computed behind the bytes. Where each part's MD5 is its checksum, it has to be there before the
    /// part is sent, and the object's goes along with it.
    pub(super) fn is_behind(self, dialect: Dialect) -> bool {
        self == Self::Yes && dialect != Dialect::ContentMd5
    }
}

/// The CRC64NVME of bytes that come in pieces.
#[derive(Debug)]
pub(super) struct Crc(crc_fast::Digest);

impl Crc {
    pub(super) fn new() -> Self {
        Self(crc_fast::Digest::new(Crc64Nvme))
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(&self) -> Crc64 {
        Crc64::new(self.0.finalize())
    }
}

/// The CRC64NVME of bytes that are all in memory.
pub(super) fn crc64(bytes: &[u8]) -> Crc64 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.finish()
}

/// What a store that doesn't know CRC64NVME verifies a part by.
#[allow(
    clippy::large_enum_variant,
    reason = "one for each part that is being hashed; a box would only move it"
)]
enum OfPart {
    /// It does know CRC64NVME, which is computed anyway.
    Nothing,
    Crc32c(crc_fast::Digest),
    Md5(Md5),
    /// The part is the object's beginning, and so is what the MD5 of the object has seen.
    Md5OfObject,
}

/// What sees an object's bytes in order while they are read: the counts, and what a lesser dialect asks for.
pub(super) struct InOrder {
    /// Of the object, where each part's MD5 is asked for.
    md5: Option<Md5>,
    records: RecordCounter,
    part: OfPart,
}

/// What the end of a part tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PartEnd {
    /// Of the part, where the dialect asks for another than CRC64NVME.
    pub(super) checksum: Option<PartChecksum>,
    /// Of the object up to here.
    pub(super) counted: Counted,
}

/// The counts of an object's bytes so far, and their MD5 where that is computed with the parts'.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    lines: u64,
    records: u64,
    md5: Option<Md5Digest>,
}

impl InOrder {
    pub(super) fn new(md5: Md5Wanted, records: RecordFormat, dialect: Dialect) -> Self {
        let with_parts = md5 == Md5Wanted::Yes && !md5.is_behind(dialect);
        let md5 = with_parts.then(Md5::new);
        let part = match dialect {
            Dialect::Crc64Nvme => OfPart::Nothing,
            Dialect::Crc32c => OfPart::Crc32c(crc_fast::Digest::new(Crc32Iscsi)),
            Dialect::ContentMd5 if md5.is_some() => OfPart::Md5OfObject,
            Dialect::ContentMd5 => OfPart::Md5(Md5::new()),
        };
        Self {
            md5,
            records: RecordCounter::new(records),
            part,
        }
    }

    /// The next bytes of the object, which is delivered as it is.
    pub(super) fn push(&mut self, block: &[u8]) {
        self.push_delivered(block);
        self.push_source(block);
    }

    /// The next bytes before compression: what records are counted in.
    pub(super) fn push_source(&mut self, block: &[u8]) {
        self.records.update(block);
    }

    /// The next bytes as they are delivered.
    pub(super) fn push_delivered(&mut self, block: &[u8]) {
        if let Some(md5) = &mut self.md5 {
            md5.update(block);
        }
        match &mut self.part {
            OfPart::Nothing | OfPart::Md5OfObject => {}
            OfPart::Crc32c(crc) => crc.update(block),
            OfPart::Md5(md5) => md5.update(block),
        }
    }

    /// Ends a part. The next begins with the next block.
    pub(super) fn end_part(&mut self) -> PartEnd {
        PartEnd {
            checksum: self.part_checksum(),
            counted: self.counted(),
        }
    }

    fn part_checksum(&mut self) -> Option<PartChecksum> {
        let md5 = |md5: Md5| Some(PartChecksum::Md5(digest_of(md5)));
        match &mut self.part {
            OfPart::Nothing => None,
            OfPart::Crc32c(crc) => {
                let ended = std::mem::replace(crc, crc_fast::Digest::new(Crc32Iscsi));
                Some(PartChecksum::Crc32c(crc32c(ended.finalize())))
            }
            OfPart::Md5(part) => md5(std::mem::take(part)),
            OfPart::Md5OfObject => {
                self.part = OfPart::Md5(Md5::new());
                self.md5.clone().and_then(md5)
            }
        }
    }

    fn counted(&self) -> Counted {
        let counts = self.records.counts();
        Counted {
            lines: counts.lines,
            records: counts.records,
            md5: self.md5.clone().map(digest_of),
        }
    }
}

fn digest_of(md5: Md5) -> Md5Digest {
    Md5Digest::new(md5.finalize().into())
}

impl Counted {
    /// Together with the checksum that was combined from the parts, and the MD5 that was computed behind them.
    pub(super) fn digest(self, whole: Combined, behind: Option<Md5Digest>) -> ObjectDigest {
        ObjectDigest {
            bytes: whole.bytes(),
            lines: self.lines,
            records: self.records,
            crc64: whole.crc(),
            md5: self.md5.or(behind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The checksums of `parts`, each pushed in blocks of two bytes.
    fn in_order_end(
        dialect: Dialect,
        md5: Md5Wanted,
        parts: &[&[u8]],
    ) -> Vec<Option<PartChecksum>> {
        let mut in_order = InOrder::new(md5, RecordFormat::default(), dialect);
        let ends = parts.iter().map(|part| {
            part.chunks(2).for_each(|block| in_order.push(block));
            in_order.end_part().checksum
        });
        ends.collect()
    }

    #[test]
    fn each_part_has_its_own_checksum_in_a_lesser_dialect() {
        let parts: [&[u8]; 4] = [b"12345", b"", b"6789", b"123456789"];
        for dialect in [Dialect::Crc32c, Dialect::ContentMd5] {
            for md5 in [Md5Wanted::Yes, Md5Wanted::No] {
                let expected = parts.map(|part| Some(PartChecksum::over(dialect, part)));
                assert_eq!(
                    in_order_end(dialect, md5, &parts),
                    expected,
                    "{dialect} {md5:?}"
                );
            }
        }
    }

    #[test]
    fn knows_the_published_check_value() {
        let mut crc = Crc::new();
        crc.update(b"123456789");
        // CRC catalogue, CRC-64/NVME: check=0xae8b14860a799888.
        assert_eq!(crc.finish(), Crc64::new(0xae8b_1486_0a79_9888));
    }

    #[test]
    fn counts_what_an_independent_count_finds() {
        let text = b"one\ntwo\r\n\nlast".repeat(50_000);
        let mut in_order =
            InOrder::new(Md5Wanted::Yes, RecordFormat::default(), Dialect::ContentMd5);
        let mut whole = Combined::new();
        for block in text.chunks(70_001) {
            let mut crc = Crc::new();
            crc.update(block);
            whole.append(crc.finish(), block.len() as u64);
            in_order.push(block);
        }
        let digest = in_order.end_part().counted.digest(whole, None);
        let newlines = text.iter().filter(|byte| **byte == b'\n').count() as u64;
        assert_eq!((digest.lines, digest.records), (newlines, newlines + 1));
        assert_eq!(digest.bytes, text.len() as u64);
        let md5: [u8; 16] = Md5::digest(&text).into();
        assert_eq!(digest.md5, Some(Md5Digest::new(md5)));
        assert_eq!(
            in_order_end(Dialect::Crc64Nvme, Md5Wanted::Yes, &[b"a"]),
            [None]
        );
        let without = InOrder::new(Md5Wanted::No, RecordFormat::default(), Dialect::Crc64Nvme);
        assert_eq!(without.counted(), Counted::default());
    }
}
