//! How one object is cut into the parts of a multipart upload.

use std::num::NonZeroU16;

use super::limits::{MAX_PARTS, MIN_PART_SIZE};
use super::object::ByteRange;

/// The number of a part, from 1 to [`MAX_PARTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartNumber(NonZeroU16);

impl PartNumber {
    /// The only part of a small object.
    pub const FIRST: Self = Self(NonZeroU16::MIN);

    /// Part number `number`; `None` when S3 has no such part.
    #[must_use]
    pub fn new(number: u64) -> Option<Self> {
        let number = u16::try_from(number)
            .ok()
            .filter(|n| u64::from(*n) <= MAX_PARTS)?;
        NonZeroU16::new(number).map(Self)
    }

    /// The number as S3 takes it.
    #[must_use]
    pub fn get(self) -> i32 {
        i32::from(self.0.get())
    }
}

/// One part of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its number.
    pub number: PartNumber,
    /// Its bytes, counted from the object's first byte.
    pub range: ByteRange,
}

/// Equal parts and a last one that may be smaller: at least one, at most [`MAX_PARTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartLayout {
    object_len: u64,
    part_size: u64,
}

impl PartLayout {
    /// The layout for `object_len` bytes in parts of `part_size` bytes, which grow only where
    /// [`MAX_PARTS`] wouldn't hold the object, and never fall under S3's minimum. An object of 10^12 bytes
    /// (the largest split) needs parts of 10^8, far under S3's 5 GiB.
    #[must_use]
    pub fn new(object_len: u64, part_size: u64) -> Self {
        let needed = object_len.div_ceil(MAX_PARTS);
        Self {
            object_len,
            part_size: part_size.max(MIN_PART_SIZE).max(needed),
        }
    }

    /// Bytes in every part but the last.
    #[must_use]
    pub const fn part_size(&self) -> u64 {
        self.part_size
    }

    /// How many parts there are; an empty object has one, of no bytes.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.object_len.div_ceil(self.part_size).max(1)
    }

    /// The parts in order.
    pub fn parts(&self) -> impl Iterator<Item = Part> + use<> {
        let Self {
            object_len,
            part_size,
        } = *self;
        (1..=self.count()).filter_map(move |number| {
            let offset = (number - 1) * part_size;
            let range = ByteRange {
                offset,
                len: part_size.min(object_len - offset),
            };
            PartNumber::new(number).map(|number| Part { number, range })
        })
    }
}
