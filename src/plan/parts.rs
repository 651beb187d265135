//! How one object is cut into the parts of a multipart upload.

use std::num::NonZeroU16;

use super::limits::{MAX_PART_SIZE, MAX_PARTS, MIN_PART_SIZE};
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
    /// [`MAX_PARTS`] wouldn't hold the object, and never fall under S3's minimum nor, for an object of
    /// a [`Plan`](super::Plan), rise over its maximum. An object of 10^12 bytes
    /// (the largest split) needs parts of 10^8, far under S3's 5 GiB.
    #[must_use]
    pub fn new(object_len: u64, part_size: u64) -> Self {
        let needed = object_len.div_ceil(MAX_PARTS);
        let part_size = part_size.clamp(MIN_PART_SIZE, MAX_PART_SIZE).max(needed);
        Self {
            object_len,
            part_size,
        }
    }

    /// The parts of an object for which this was the layout at most, once it is known to have `object_len`
    /// bytes: those of a compressed object.
    #[must_use]
    pub const fn of_len(self, object_len: u64) -> Self {
        Self { object_len, ..self }
    }

    /// Bytes in every part but the last.
    #[must_use]
    pub const fn part_size(&self) -> u64 {
        self.part_size
    }

    /// Bytes in the largest part.
    #[must_use]
    pub fn largest(&self) -> u64 {
        self.part_size.min(self.object_len)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::plan::limits::{MAX_PART_SIZE, MAX_SPLIT_SIZE};

    #[test]
    fn the_largest_object_in_the_smallest_parts() {
        let layout = PartLayout::new(MAX_SPLIT_SIZE, 1);
        assert_eq!(layout.part_size(), 100_000_000);
        assert_eq!(layout.count(), MAX_PARTS);
        let empty: Vec<_> = PartLayout::new(0, 8 << 20).parts().collect();
        let range = ByteRange { offset: 0, len: 0 };
        let number = PartNumber::FIRST;
        assert_eq!(empty, [Part { number, range }]);
    }

    #[test]
    fn part_numbers_are_those_of_s3() {
        assert_eq!(PartNumber::new(0), None);
        assert_eq!(PartNumber::new(1), Some(PartNumber::FIRST));
        assert_eq!(PartNumber::new(10_000).map(PartNumber::get), Some(10_000));
        assert_eq!(PartNumber::new(10_001), None);
        assert_eq!(PartNumber::new(65_537), None);
    }

    proptest! {
        #[test]
        fn parts_cover_the_object(
            len in prop_oneof![0..100_000_000_u64, 0..=MAX_SPLIT_SIZE],
            part_size in prop_oneof![Just(0), 0..100_000_000_u64, any::<u64>()],
        ) {
            let layout = PartLayout::new(len, part_size);
            let parts: Vec<_> = layout.parts().collect();
            prop_assert_eq!(parts.len() as u64, layout.count());
            prop_assert!(!parts.is_empty() && parts.len() as u64 <= MAX_PARTS);
            let mut end = 0;
            for (index, part) in parts.iter().enumerate() {
                prop_assert_eq!(part.range.offset, end);
                prop_assert_eq!(part.number.get() as usize, index + 1);
                prop_assert!(part.range.len <= MAX_PART_SIZE);
                if index + 1 < parts.len() {
                    prop_assert!(part.range.len >= MIN_PART_SIZE);
                    prop_assert_eq!(part.range.len, layout.part_size());
                }
                end = part.range.end();
            }
            prop_assert_eq!(end, len);
            // The size that was asked for stays wherever S3 allows it.
            if (MIN_PART_SIZE..=MAX_PART_SIZE).contains(&part_size) && len.div_ceil(part_size) <= MAX_PARTS {
                prop_assert_eq!(layout.part_size(), part_size);
            }
        }
    }
}
