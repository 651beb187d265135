//! Where a file is cut: behind the last record that still fits, or at the very byte.

use std::io;
use std::str::FromStr;

use super::Boundaries;
use super::limits::{MAX_OBJECTS, SplitSize};
use super::object::ByteRange;

/// Where a cut may fall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Boundary {
    /// Behind a record's delimiter only: no record is ever cut.
    #[default]
    Record,
    /// At any byte: every object but the last has exactly the split size.
    Byte,
}

/// What ends a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Delimiter {
    /// One byte.
    Byte(u8),
    /// A carriage return and a newline.
    Crlf,
}

impl Delimiter {
    /// `\n`: what applies when a delivery names none.
    pub const NEWLINE: Self = Self::Byte(b'\n');

    /// The delimiter's last byte, the one that a search looks for.
    #[must_use]
    pub const fn last_byte(self) -> u8 {
        match self {
            Self::Byte(byte) => byte,
            Self::Crlf => b'\n',
        }
    }
}

impl Default for Delimiter {
    fn default() -> Self {
        Self::NEWLINE
    }
}

/// A text that is neither one byte nor CRLF.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the delimiter {0:?} is neither one byte nor \"\\r\\n\"")]
pub struct DelimiterInvalid(String);

impl FromStr for Delimiter {
    type Err = DelimiterInvalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.as_bytes() {
            b"\r\n" => Ok(Self::Crlf),
            [byte] => Ok(Self::Byte(*byte)),
            _ => Err(DelimiterInvalid(text.chars().take(16).collect())),
        }
    }
}

/// How the files of one delivery are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SplitSpec {
    /// No object is larger.
    pub size: SplitSize,
    /// Where a cut may fall.
    pub boundary: Boundary,
    /// What ends a record. The [`Boundaries`] of the same plan must look for the same.
    pub delimiter: Delimiter,
    /// How far back from a cut a record's end is looked for, in bytes; what is over `size` counts as
    /// `size`.
    pub max_record_size: u64,
}

impl SplitSpec {
    /// Bytes that are looked back when a delivery names no other number: 64 MiB.
    pub const DEFAULT_MAX_RECORD_SIZE: u64 = 64 << 20;

    /// Objects of at most `size`, cut behind newlines, with the default look-back.
    #[must_use]
    pub const fn new(size: SplitSize) -> Self {
        Self {
            size,
            boundary: Boundary::Record,
            delimiter: Delimiter::NEWLINE,
            max_record_size: Self::DEFAULT_MAX_RECORD_SIZE,
        }
    }

    /// How far back from a cut a record's end is looked for: never over the size, so that every
    /// search stays in front of the cut before.
    const fn look_back(&self) -> u64 {
        if self.max_record_size < self.size.bytes() {
            self.max_record_size
        } else {
            self.size.bytes()
        }
    }

    /// The fewest objects that a file of `len` bytes can become.
    pub(super) const fn fewest(&self, len: u64) -> u64 {
        let pieces = len.div_ceil(self.size.bytes());
        if pieces == 0 { 1 } else { pieces }
    }

    /// Cuts file number `source` of `len` bytes. Stops as soon as it is sure that there would be more
    /// than `room` pieces.
    pub(super) fn cut(
        &self,
        source: usize,
        len: u64,
        room: usize,
        boundaries: &mut dyn Boundaries,
    ) -> Result<Vec<ByteRange>, CutError> {
        let size = self.size.bytes();
        let mut pieces = Vec::new();
        let mut offset = 0;
        while len - offset > size {
            let ahead = usize::try_from(self.fewest(len - offset)).unwrap_or(usize::MAX);
            if pieces.len().saturating_add(ahead) > room {
                return Err(CutError::TooMany);
            }
            let target = offset + size;
            let end = match self.boundary {
                Boundary::Byte => target,
                Boundary::Record => self.record_end(source, target, boundaries)?,
            };
            pieces.push(ByteRange {
                offset,
                len: end - offset,
            });
            offset = end;
        }
        if pieces.len() >= room {
            return Err(CutError::TooMany);
        }
        pieces.push(ByteRange {
            offset,
            len: len - offset,
        });
        Ok(pieces)
    }

    fn record_end(
        &self,
        source: usize,
        target: u64,
        boundaries: &mut dyn Boundaries,
    ) -> Result<u64, CutError> {
        let limit = self.look_back();
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
            return Err(CutError::Unreadable(io::Error::other(format!(
                "a record's end was reported at {end}, outside the {limit} bytes before {target}"
            ))));
        }
        Ok(end)
    }
}

/// Why a file can't be cut; the planner adds the file's name.
#[derive(Debug)]
pub(super) enum CutError {
    /// No record ends in the `limit` bytes before `offset`.
    RecordTooLong { offset: u64, limit: u64 },
    /// More than [`MAX_OBJECTS`] objects.
    TooMany,
    /// The content could not be read.
    Unreadable(io::Error),
}

const _: () = assert!(MAX_OBJECTS <= u32::MAX as usize, "sequence numbers are u32");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delimiter_is_one_byte_or_crlf() {
        assert_eq!("\n".parse(), Ok(Delimiter::NEWLINE));
        assert_eq!("|".parse(), Ok(Delimiter::Byte(b'|')));
        assert_eq!("\u{1}".parse(), Ok(Delimiter::Byte(1)));
        assert_eq!("\r\n".parse(), Ok(Delimiter::Crlf));
        for wrong in ["", "ab", "\n\r", "é", "\r\n\n"] {
            let refused = wrong.parse::<Delimiter>();
            assert!(refused.is_err(), "{wrong:?}");
        }
        let message = DelimiterInvalid("\u{1b}[x".into()).to_string();
        assert!(message.contains("\\u{1b}"), "{message}");
    }
}
