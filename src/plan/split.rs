//! Where a file is cut: behind the last record that still fits, or at the very byte.

use std::io;

use super::Boundaries;
use super::limits::{MAX_OBJECTS, SplitSize};
use super::object::ByteRange;
use super::record::{Header, RecordFormat};

/// Where a cut may fall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Boundary {
    /// Behind a record only: none is ever cut.
    #[default]
    Record,
    /// At any byte: every object but the last has exactly the split size.
    Byte,
}

/// How the files of one delivery are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SplitSpec {
    /// No object is larger, header included.
    pub size: SplitSize,
    /// Where a cut may fall.
    pub boundary: Boundary,
    /// What a record is. The [`Boundaries`] of the same plan must look for the same.
    pub records: RecordFormat,
    /// Whether the first record opens every split. Only where [`Boundary::Record`] keeps records whole.
    pub header: Header,
    /// How far back from a cut a record's end is looked for, in bytes; what is over `size` counts as
    /// `size`.
    pub max_record_size: u64,
}

/// What one object is made of: the file's first `header` bytes, and then `range` of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) header: u64,
    pub(super) range: ByteRange,
}

impl SplitSpec {
    /// Bytes that are looked back when a delivery names no other number: 64 MiB.
    pub const DEFAULT_MAX_RECORD_SIZE: u64 = 64 << 20;

    /// Objects of at most `size`, cut behind newlines, with the default look-back and no header.
    #[must_use]
    pub const fn new(size: SplitSize) -> Self {
        Self {
            size,
            boundary: Boundary::Record,
            records: RecordFormat::Lines(super::Delimiter::NEWLINE),
            header: Header::None,
            max_record_size: Self::DEFAULT_MAX_RECORD_SIZE,
        }
    }

    /// How far a record's end is looked for: never over the bytes that an object has room for, so that every
    /// search stays in front of the cut before.
    fn look_back(&self, room: u64) -> u64 {
        self.max_record_size.min(room)
    }

    /// The fewest objects that a file of `len` bytes can become.
    pub(super) const fn fewest(&self, len: u64) -> u64 {
        let pieces = len.div_ceil(self.size.bytes());
        if pieces == 0 { 1 } else { pieces }
    }

    /// Cuts file number `source` of `len` bytes. Stops as soon as it is sure that there would be more
    /// than `most` pieces.
    pub(super) fn cut(
        &self,
        source: usize,
        len: u64,
        most: usize,
        boundaries: &mut dyn Boundaries,
    ) -> Result<Vec<Piece>, CutError> {
        let is_over = |pieces: u64| usize::try_from(pieces).map_or(true, |pieces| pieces > most);
        if is_over(self.fewest(len)) {
            return Err(CutError::TooMany);
        }
        let size = self.size.bytes();
        let repeated = if len > size {
            self.header_len(source, boundaries)?
        } else {
            0
        };
        let mut pieces: Vec<Piece> = Vec::new();
        // The first piece begins with the header anyway.
        let (mut offset, mut header) = (0, 0);
        while len - offset > size - header {
            let room = size - header;
            if is_over(pieces.len() as u64 + (len - offset).div_ceil(room)) {
                return Err(CutError::TooMany);
            }
            let target = offset + room;
            let end = match self.boundary {
                Boundary::Byte => target,
                Boundary::Record => self.record_end(source, target, room, boundaries)?,
            };
            let range = ByteRange {
                offset,
                len: end - offset,
            };
            pieces.push(Piece { header, range });
            (offset, header) = (end, repeated);
        }
        if !pieces.is_empty() && self.boundary == Boundary::Record {
            let closed = boundaries.is_closed(source, len);
            if !closed.map_err(CutError::Unreadable)? {
                return Err(CutError::QuoteUnclosed);
            }
        }
        let range = ByteRange {
            offset,
            len: len - offset,
        };
        pieces.push(Piece { header, range });
        Ok(pieces)
    }

    /// Bytes of the record that opens every split; 0 where none does.
    fn header_len(&self, source: usize, boundaries: &mut dyn Boundaries) -> Result<u64, CutError> {
        if self.header == Header::None || self.boundary == Boundary::Byte {
            return Ok(0);
        }
        let size = self.size.bytes();
        let limit = self.look_back(size);
        let window = ByteRange {
            offset: 0,
            len: limit,
        };
        let end = boundaries
            .first_record_end(source, window.len)
            .map_err(CutError::Unreadable)?;
        match end {
            Some(end) if end == 0 || end > limit => Err(outside(end, window)),
            // A record needs a byte at least.
            Some(end) if end < size => Ok(end),
            _ => Err(CutError::HeaderTooLong { limit }),
        }
    }

    fn record_end(
        &self,
        source: usize,
        target: u64,
        room: u64,
        boundaries: &mut dyn Boundaries,
    ) -> Result<u64, CutError> {
        let limit = self.look_back(room);
        let window = ByteRange {
            offset: target - limit,
            len: limit,
        };
        let end = boundaries
            .last_record_end(source, window)
            .map_err(CutError::Unreadable)?
            .ok_or(CutError::RecordTooLong {
                offset: target,
                limit,
            })?;
        if end <= window.offset || end > target {
            return Err(outside(end, window));
        }
        Ok(end)
    }
}

fn outside(end: u64, window: ByteRange) -> CutError {
    CutError::Unreadable(io::Error::other(format!(
        "a record's end was reported at {end}, outside of bytes {}..{}",
        window.offset,
        window.end()
    )))
}

/// Why a file can't be cut; the planner adds the file's name.
#[derive(Debug)]
pub(super) enum CutError {
    /// No record ends in the `limit` bytes before `offset`.
    RecordTooLong { offset: u64, limit: u64 },
    /// The first record, which is to open every split, doesn't end in the first `limit` bytes, or leaves no room.
    HeaderTooLong { limit: u64 },
    /// A quote is opened and never closed, so that no cut behind it can be trusted.
    QuoteUnclosed,
    /// More than [`MAX_OBJECTS`] objects.
    TooMany,
    /// The content could not be read.
    Unreadable(io::Error),
}

const _: () = assert!(MAX_OBJECTS <= u32::MAX as usize, "sequence numbers are u32");
