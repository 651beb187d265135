//! The checksum of an object from those of its parts, without a second look at a byte.

use super::checksum::Crc;
use crate::plan::Crc64;

/// CRC-64/NVME's polynomial, mirrored: its highest power, which is not in it, and then bit by bit downwards.
const POLYNOMIAL: u64 = 0x9a6c_9329_ac4b_c9b5;

/// The polynomial 1, mirrored: the highest bit is the lowest power.
const ONE: u64 = 1 << 63;

/// `x` to the power of 2 to the power of the index, modulo [`POLYNOMIAL`]; the first is `x` itself.
const POWERS: [u64; 64] = {
    let mut powers = [ONE >> 1; 64];
    let mut index = 1;
    while index < powers.len() {
        powers[index] = product(powers[index - 1], powers[index - 1]);
        index += 1;
    }
    powers
};

/// The product of two polynomials, modulo [`POLYNOMIAL`].
const fn product(mut one: u64, mut other: u64) -> u64 {
    let mut sum = 0;
    // From the lowest power of `one` on; `other` is multiplied by x each time.
    while one != 0 {
        if one & ONE != 0 {
            sum ^= other;
        }
        one <<= 1;
        let carry = other & 1;
        other = (other >> 1) ^ (carry * POLYNOMIAL);
    }
    sum
}

/// What a checksum is multiplied by when `bytes` bytes come behind what it is of: `x` to the power of their bits. The
/// bits that the algorithm inverts at both ends cancel each other out.
fn shift(bytes: u64) -> u64 {
    let mut shift = ONE;
    let mut rest = bytes;
    // A byte is 2 to the power of 3 bits.
    let mut power = 3;
    while rest != 0 {
        if rest & 1 != 0 {
            shift = product(shift, POWERS[power % POWERS.len()]);
        }
        rest >>= 1;
        power += 1;
    }
    shift
}

/// A CRC64NVME that grows at its end by pieces whose own checksums are known. Computed here, as the library's way takes as
/// long as the checksum of a few megabytes: a thirtieth of all that a delivery takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Combined {
    crc: Crc64,
    bytes: u64,
}

impl Combined {
    /// Of no bytes.
    pub(super) fn new() -> Self {
        Self {
            crc: Crc::new().finish(),
            bytes: 0,
        }
    }

    /// Appends `bytes` bytes whose checksum is `crc`.
    pub(super) fn append(&mut self, crc: Crc64, bytes: u64) {
        let before = product(shift(bytes), self.crc.value());
        self.crc = Crc64::new(before ^ crc.value());
        self.bytes += bytes;
    }

    pub(super) fn crc(&self) -> Crc64 {
        self.crc
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use crc_fast::CrcAlgorithm::Crc64Nvme;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn combines_to_the_checksum_of_the_whole(
            pieces in proptest::collection::vec(
                proptest::collection::vec(any::<u8>(), 0..2000), 0..12),
        ) {
            let whole = pieces.concat();
            let mut combined = Combined::new();
            let mut streamed = Crc::new();
            for piece in &pieces {
                let mut crc = Crc::new();
                crc.update(piece);
                streamed.update(piece);
                combined.append(crc.finish(), piece.len() as u64);
            }
            prop_assert_eq!(combined.crc(), streamed.finish());
            prop_assert_eq!(combined.bytes(), whole.len() as u64);
        }

        /// Lengths of which nobody holds the bytes, by the library's way.
        #[test]
        fn combines_as_the_library_does(one: u64, other: u64, bytes in 1..=1_000_000_000_000_u64) {
            let mut combined = Combined { crc: Crc64::new(one), bytes: 1 };
            combined.append(Crc64::new(other), bytes);
            let library = crc_fast::checksum_combine(Crc64Nvme, one, other, bytes);
            prop_assert_eq!(combined.crc(), Crc64::new(library));
        }
    }
}
