//! One stream's MD5: whole blocks are the lanes' business, what is around them is here.

use super::lanes::{self, BLOCK, INITIAL, LANES, State};
use crate::plan::Md5Digest;

/// What is known of a stream of bytes so far.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    state: State,
    /// The bytes behind the last whole block.
    begun: [u8; BLOCK],
    bytes: u64,
}

impl Stream {
    pub(super) const fn new() -> Self {
        Self {
            state: INITIAL,
            begun: [0; BLOCK],
            bytes: 0,
        }
    }

    /// Bytes of the block that isn't whole yet.
    const fn begun(&self) -> usize {
        (self.bytes % BLOCK as u64) as usize
    }

    /// Takes the first bytes of `data` that no whole block needs: those that complete a block, or, where no whole
    /// block follows, all. Returns how many.
    fn take_odd(&mut self, data: &[u8]) -> usize {
        let begun = self.begun();
        let odd = match begun {
            0 if data.len() >= BLOCK => 0,
            _ => data.len().min(BLOCK - begun),
        };
        self.begun[begun..begun + odd].copy_from_slice(&data[..odd]);
        self.bytes += odd as u64;
        if odd > 0 && self.begun() == 0 {
            let block = self.begun;
            lanes::compress(std::slice::from_mut(&mut self.state), &[&block]);
        }
        odd
    }

    /// The MD5 of all bytes.
    pub(super) fn finish(mut self) -> Md5Digest {
        // RFC 1321, 3.1 and 3.2: a one, zeroes, and the length in bits.
        let bits = self.bytes.wrapping_mul(8);
        let mut end = [0; 2 * BLOCK];
        let begun = self.begun();
        end[..begun].copy_from_slice(&self.begun[..begun]);
        end[begun] = 0x80;
        let whole = if begun < BLOCK - 8 { BLOCK } else { 2 * BLOCK };
        end[whole - 8..whole].copy_from_slice(&bits.to_le_bytes());
        lanes::compress(std::slice::from_mut(&mut self.state), &[&end[..whole]]);
        let mut digest = [0; 16];
        for (bytes, word) in digest.chunks_exact_mut(4).zip(self.state) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Md5Digest::new(digest)
    }
}

/// Takes the next bytes into up to [`LANES`] streams, each stream's own: as many as they have in common, and `most`
/// at most. Returns how many of each were taken.
pub(super) fn take(streams: &mut [(Stream, &[u8])], most: usize) -> [usize; LANES] {
    let mut taken = [0; LANES];
    let mut common = most / BLOCK * BLOCK;
    for ((stream, data), taken) in streams.iter_mut().zip(&mut taken) {
        *taken = stream.take_odd(data);
        match (data.len() - *taken) / BLOCK * BLOCK {
            0 => {}
            whole => common = common.min(whole),
        }
    }
    let (mut states, mut blocks) = ([INITIAL; LANES], [&[][..]; LANES]);
    let mut places = [0; LANES];
    let mut count = 0;
    for (place, (stream, data)) in streams.iter().enumerate() {
        if let Some(whole) = data[taken[place]..].get(..common) {
            (states[count], blocks[count], places[count]) = (stream.state, whole, place);
            count += 1;
        }
    }
    lanes::compress(&mut states[..count], &blocks[..count]);
    for (state, place) in states[..count].iter().zip(places) {
        streams[place].0.state = *state;
        streams[place].0.bytes += common as u64;
        taken[place] += common;
    }
    taken
}

#[cfg(test)]
mod tests {
    use md5::{Digest as _, Md5};
    use proptest::prelude::*;

    use super::*;

    fn expected(bytes: &[u8]) -> Md5Digest {
        Md5Digest::new(Md5::digest(bytes).into())
    }

    fn digests(data: &[Vec<u8>], most: usize) -> Vec<Md5Digest> {
        let mut rests: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
        let mut streams: Vec<_> = data.iter().map(|_| Stream::new()).collect();
        while rests.iter().any(|rest| !rest.is_empty()) {
            let mut work: Vec<_> = streams.drain(..).zip(rests.iter().copied()).collect();
            let taken = take(&mut work, most);
            streams = work.into_iter().map(|(stream, _)| stream).collect();
            for (rest, taken) in rests.iter_mut().zip(taken) {
                *rest = &rest[taken..];
            }
        }
        streams.into_iter().map(Stream::finish).collect()
    }

    proptest! {
        #[test]
        fn any_streams_side_by_side_have_the_md5s_that_the_library_finds(
            data in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..1000), 1..=LANES),
            most in 64..700_usize,
        ) {
            let found = digests(&data, most);
            let expected: Vec<_> = data.iter().map(|bytes| expected(bytes)).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn pieces_of_any_lengths_are_one_stream(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..20),
        ) {
            let mut stream = Stream::new();
            for piece in &pieces {
                let mut rest = piece.as_slice();
                while !rest.is_empty() {
                    let mut work = [(stream, rest)];
                    let taken = take(&mut work, 1 << 20)[0];
                    let [(after, _)] = work;
                    (stream, rest) = (after, &rest[taken..]);
                }
            }
            prop_assert_eq!(stream.finish(), expected(&pieces.concat()));
        }
    }

    #[test]
    fn each_length_around_a_block_is_padded_right() {
        for len in 0..=200 {
            let bytes: Vec<u8> = (0..len).map(|n| n as u8).collect();
            assert_eq!(
                digests(std::slice::from_ref(&bytes), 64),
                [expected(&bytes)],
                "{len}"
            );
        }
    }
}
