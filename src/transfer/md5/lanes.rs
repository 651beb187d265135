//! MD5's compression of several streams at once.
//!
//! One stream's steps wait for each other, so most of a core idles; those of another stream fill it up. On one core
//! of 3.4 GHz that is 0.7 GB/s for one stream, 1.3 for three, and 3.2 for eight with AVX2.

#![allow(
    clippy::needless_range_loop,
    reason = "by index the compiler sees lanes that it doesn't see in iterators: a fifth of the speed"
)]

/// Streams that are hashed at once at most: 32-bit words in a register of AVX2.
pub(in crate::transfer) const LANES: usize = 8;

/// Bytes in a block.
pub(super) const BLOCK: usize = 64;

/// What MD5 keeps between blocks.
pub(super) type State = [u32; 4];

/// RFC 1321, 3.3.
pub(super) const INITIAL: State = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// RFC 1321, 3.4: by how many bits each round's steps rotate, in turn.
const ROTATIONS: [[u32; 4]; 4] = [
    [7, 12, 17, 22],
    [5, 9, 14, 20],
    [4, 11, 16, 23],
    [6, 10, 15, 21],
];

/// RFC 1321, 3.4: 2^32 × |sin(step + 1)|, the step in radians.
const SINES: [u32; 64] = [
    0xd76a_a478,
    0xe8c7_b756,
    0x2420_70db,
    0xc1bd_ceee,
    0xf57c_0faf,
    0x4787_c62a,
    0xa830_4613,
    0xfd46_9501,
    0x6980_98d8,
    0x8b44_f7af,
    0xffff_5bb1,
    0x895c_d7be,
    0x6b90_1122,
    0xfd98_7193,
    0xa679_438e,
    0x49b4_0821,
    0xf61e_2562,
    0xc040_b340,
    0x265e_5a51,
    0xe9b6_c7aa,
    0xd62f_105d,
    0x0244_1453,
    0xd8a1_e681,
    0xe7d3_fbc8,
    0x21e1_cde6,
    0xc337_07d6,
    0xf4d5_0d87,
    0x455a_14ed,
    0xa9e3_e905,
    0xfcef_a3f8,
    0x676f_02d9,
    0x8d2a_4c8a,
    0xfffa_3942,
    0x8771_f681,
    0x6d9d_6122,
    0xfde5_380c,
    0xa4be_ea44,
    0x4bde_cfa9,
    0xf6bb_4b60,
    0xbebf_bc70,
    0x289b_7ec6,
    0xeaa1_27fa,
    0xd4ef_3085,
    0x0488_1d05,
    0xd9d4_d039,
    0xe6db_99e5,
    0x1fa2_7cf8,
    0xc4ac_5665,
    0xf429_2244,
    0x432a_ff97,
    0xab94_23a7,
    0xfc93_a039,
    0x655b_59c3,
    0x8f0c_cc92,
    0xffef_f47d,
    0x8584_5dd1,
    0x6fa8_7e4f,
    0xfe2c_e6e0,
    0xa301_4314,
    0x4e08_11a1,
    0xf753_7e82,
    0xbd3a_f235,
    0x2ad7_d2bb,
    0xeb86_d391,
];

/// Takes the blocks of `data` into the `states`, each stream's into its own. There are [`LANES`] streams at most,
/// with the same number of whole blocks each.
pub(super) fn compress(states: &mut [State], data: &[&[u8]]) {
    if cfg!(debug_assertions) {
        // Without optimisation lanes are many times slower than the library, which is never compiled without.
        one_by_one(states, data);
    } else {
        together(states, data);
    }
}

fn one_by_one(states: &mut [State], data: &[&[u8]]) {
    for (state, data) in states.iter_mut().zip(data) {
        let (blocks, _) = data.as_chunks::<BLOCK>();
        ::md5::block_api::compress(state, blocks);
    }
}

fn together(states: &mut [State], data: &[&[u8]]) {
    match states.len() {
        0 => {}
        1 => in_lanes(states, data, few::<1>),
        2 | 3 => in_lanes(states, data, few::<3>),
        _ => many(states, data),
    }
}

/// Four streams and more: all in one register where the processor has it wide enough, else by threes.
#[cfg(target_arch = "x86_64")]
fn many(states: &mut [State], data: &[&[u8]]) {
    if !std::arch::is_x86_feature_detected!("avx2") {
        return by_threes(states, data);
    }
    in_lanes::<LANES>(states, data, |words, data| {
        #[allow(
            unsafe_code,
            reason = "there is no other way to call what is compiled for one processor"
        )]
        // SAFETY: this processor has AVX2.
        unsafe {
            with_avx2(words, data);
        }
    });
}

#[cfg(not(target_arch = "x86_64"))]
fn many(states: &mut [State], data: &[&[u8]]) {
    by_threes(states, data);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn with_avx2(words: &mut [[u32; LANES]; 4], data: &[&[u8]; LANES]) {
    side_by_side(words, data, &SINES);
}

fn by_threes(states: &mut [State], data: &[&[u8]]) {
    for (states, data) in states.chunks_mut(3).zip(data.chunks(3)) {
        in_lanes(states, data, few::<3>);
    }
}

/// Has `compress` work on `N` lanes, of which those without a stream of their own repeat the first one's.
fn in_lanes<const N: usize>(
    states: &mut [State],
    data: &[&[u8]],
    compress: impl Fn(&mut [[u32; N]; 4], &[&[u8]; N]),
) {
    let stream = |lane: usize| if lane < data.len() { lane } else { 0 };
    let data = std::array::from_fn(|lane| data[stream(lane)]);
    let mut words =
        std::array::from_fn(|word| std::array::from_fn(|lane| states[stream(lane)][word]));
    compress(&mut words, &data);
    for (lane, state) in states.iter_mut().enumerate() {
        *state = std::array::from_fn(|word| words[word][lane]);
    }
}

/// Lanes in the registers that each processor has.
fn few<const N: usize>(words: &mut [[u32; N]; 4], data: &[&[u8]; N]) {
    // Hidden from the compiler: it would add them as immediates, which takes a cycle more in each step.
    side_by_side(words, data, std::hint::black_box(&SINES));
}

#[inline(always)]
fn side_by_side<const N: usize>(words: &mut [[u32; N]; 4], data: &[&[u8]; N], sines: &[u32; 64]) {
    for block in 0..data[0].len() / BLOCK {
        // By lane first and then by word: so the compiler turns it with whole registers.
        let mut by_lane = [[0; 16]; N];
        for lane in 0..N {
            let (bytes, _) = data[lane][block * BLOCK..][..BLOCK].as_chunks::<4>();
            for word in 0..16 {
                by_lane[lane][word] = u32::from_le_bytes(bytes[word]);
            }
        }
        let mut message = [[0; N]; 16];
        for word in 0..16 {
            for lane in 0..N {
                message[word][lane] = by_lane[lane][word];
            }
        }
        one_block(words, &message, sines);
    }
}

#[inline(always)]
fn one_block<const N: usize>(
    state: &mut [[u32; N]; 4],
    message: &[[u32; N]; 16],
    sines: &[u32; 64],
) {
    let [mut a, mut b, mut c, mut d] = *state;
    // Written out, because only then the compiler keeps all words in registers.
    macro_rules! round {
        ($round:literal: $($step:literal)*) => {$(
            let next = step::<N, $round, $step>(&a, &b, &c, &d, message, sines);
            (a, d, c, b) = (d, c, b, next);
        )*};
    }
    round!(0: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    round!(1: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    round!(2: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    round!(3: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    for lane in 0..N {
        state[0][lane] = state[0][lane].wrapping_add(a[lane]);
        state[1][lane] = state[1][lane].wrapping_add(b[lane]);
        state[2][lane] = state[2][lane].wrapping_add(c[lane]);
        state[3][lane] = state[3][lane].wrapping_add(d[lane]);
    }
}

#[inline(always)]
fn step<const N: usize, const ROUND: usize, const STEP: usize>(
    a: &[u32; N],
    b: &[u32; N],
    c: &[u32; N],
    d: &[u32; N],
    message: &[[u32; N]; 16],
    sines: &[u32; 64],
) -> [u32; N] {
    let word = match ROUND {
        0 => STEP,
        1 => (5 * STEP + 1) % 16,
        2 => (3 * STEP + 5) % 16,
        _ => (7 * STEP) % 16,
    };
    let (sine, rotation) = (sines[16 * ROUND + STEP], ROTATIONS[ROUND][STEP % 4]);
    let mut next = [0; N];
    for lane in 0..N {
        let (x, y, z) = (b[lane], c[lane], d[lane]);
        let sum = a[lane].wrapping_add(message[word][lane]).wrapping_add(sine);
        let sum = match ROUND {
            0 => sum.wrapping_add(z ^ (x & (y ^ z))),
            // The two halves share no bit, so they are added one by one: only the second waits for x.
            1 => sum.wrapping_add(!z & y).wrapping_add(z & x),
            2 => sum.wrapping_add(x ^ (y ^ z)),
            _ => sum.wrapping_add(y ^ (x | !z)),
        };
        next[lane] = sum.rotate_left(rotation).wrapping_add(x);
    }
    next
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lanes_find_what_the_library_finds_one_by_one(
            data in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 3 * BLOCK), 1..=LANES),
        ) {
            let data: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
            let mut found = vec![INITIAL; data.len()];
            let mut expected = found.clone();
            together(&mut found, &data);
            one_by_one(&mut expected, &data);
            prop_assert_eq!(&found, &expected);
            if found.len() > 3 {
                let mut found = vec![INITIAL; data.len()];
                by_threes(&mut found, &data);
                prop_assert_eq!(&found, &expected);
            }
        }
    }
}
