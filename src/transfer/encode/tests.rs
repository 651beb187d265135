//! The same bytes whatever the pieces and threads, and readable by those who didn't write them.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;
use crate::transfer::testkit::records;

const FORMATS: [Compression; 2] = [Compression::Gzip, Compression::Zstd];

/// A source in memory.
struct Bytes<'a>(&'a [u8]);

impl Blocks for Bytes<'_> {
    fn next(&mut self, block: &mut Vec<u8>) -> Result<(), SourceFault> {
        let (next, rest) = self.0.split_at(self.0.len().min(BLOCK));
        block.clear();
        block.extend_from_slice(next);
        self.0 = rest;
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}

/// `source` compressed, taken in pieces of these sizes, again and again.
fn encoded(compression: Compression, source: &[u8], threads: usize, pieces: &[usize]) -> Vec<u8> {
    let encoding = Encoding::new(compression, source.len() as u64, threads);
    let mut encoding = encoding.unwrap().expect("a compression");
    let (mut blocks, mut all) = (Bytes(source), Vec::new());
    for len in pieces.iter().cycle() {
        let mut piece = vec![0; *len];
        let filled = encoding.fill(&mut blocks, &mut piece, &|| false).unwrap();
        all.extend_from_slice(&piece[..filled]);
        let more = encoding.has_more(&mut blocks).unwrap();
        assert!(filled == *len || !more, "a piece is short only at the end");
        if !more {
            break;
        }
    }
    assert!(all.len() as u64 <= compression.at_most(source.len() as u64));
    all
}

fn whole(compression: Compression, source: &[u8], threads: usize) -> Vec<u8> {
    encoded(compression, source, threads, &[1 << 20])
}

/// By the libraries' own decoders.
fn decoded(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    if compression == Compression::Gzip {
        // Of one member: what stands behind it would be left.
        let mut rest = bytes;
        let mut decoder = flate2::bufread::GzDecoder::new(&mut rest);
        decoder.read_to_end(&mut out).unwrap();
        assert_eq!(rest, [0; 0], "one member");
        return out;
    }
    let size = zstd_safe::get_frame_content_size(bytes).unwrap().unwrap();
    let frame = zstd_safe::find_frame_compressed_size(bytes).unwrap();
    assert_eq!(frame, bytes.len(), "one frame");
    out.reserve_exact(usize::try_from(size).unwrap());
    zstd_safe::decompress(&mut out, bytes).unwrap();
    out
}

/// Bytes that no encoder can shrink.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.u8(..)).take(len).collect()
}

#[test]
fn each_size_around_a_block_comes_back() {
    for compression in FORMATS {
        for len in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK, 33 * BLOCK + 3] {
            for source in [records(len, 3).to_vec(), noise(len, 4), vec![0; len]] {
                let one = whole(compression, &source, 1);
                assert!(
                    decoded(compression, &one) == source,
                    "{compression:?} {len}"
                );
                for threads in [2, 5] {
                    assert!(
                        whole(compression, &source, threads) == one,
                        "{compression:?} {len} {threads}"
                    );
                }
            }
        }
    }
}

#[test]
fn nothing_becomes_a_valid_file_of_nothing() {
    assert_eq!(whole(Compression::Gzip, b"", 2).len(), 20);
    for compression in FORMATS {
        assert_eq!(decoded(compression, &whole(compression, b"", 2)), b"");
    }
    assert!(Encoding::new(Compression::None, 5, 2).unwrap().is_none());
}

/// What each version makes of the same table. When this fails after an update, raise the format's `VERSION`:
/// other versions' objects in flight are begun anew, so nothing is mixed.
#[test]
fn a_version_always_makes_the_same_bytes() {
    let table = records(9 << 20, 11);
    let made = FORMATS.map(|format| {
        let bytes = whole(format, &table, 2);
        (
            encoder_version(format),
            bytes.len(),
            crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, &bytes),
        )
    });
    let known = [
        (1, 5_113_192, 10_171_473_083_508_433_000),
        (1, 4_977_054, 13_722_998_309_450_111_789),
    ];
    assert_eq!(made, known);
}

#[test]
fn whoever_waits_no_more_ends_the_work() {
    let source = records(40 * BLOCK, 5);
    for compression in FORMATS {
        let encoding = Encoding::new(compression, source.len() as u64, 2);
        let mut encoding = encoding.unwrap().unwrap();
        let mut piece = vec![0; source.len()];
        let mut blocks = Bytes(&source);
        let filled = encoding.fill(&mut blocks, &mut piece, &|| true).unwrap();
        assert_eq!(filled, 0);
        assert!(!blocks.is_over(), "it read on to the end");
    }
}

#[test]
fn memory_is_what_is_said() {
    // Most of all what the threads of an object hold.
    const { assert!(MAX_THREADS == 4) };
    for compression in FORMATS {
        assert!(
            memory(compression, u64::MAX, 2) <= 11 << 20,
            "{compression:?}"
        );
        assert!(
            memory(compression, u64::MAX, MAX_THREADS) <= 18 << 20,
            "{compression:?}"
        );
        assert!(
            memory(compression, 1000, MAX_THREADS) <= 2 << 20,
            "{compression:?}"
        );
        assert!(memory(compression, 1000, 1) <= memory(compression, 1 << 40, 1));
    }
    assert_eq!(memory(Compression::None, u64::MAX, 4), 0);
}

/// What a program of the system makes of `bytes`, from its standard input.
fn piped(program: &str, arguments: &[&str], bytes: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&bytes).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{program}");
    output.stdout
}

#[test]
fn the_systems_programs_read_it() {
    let python =
        "import gzip,sys; sys.stdout.buffer.write(gzip.decompress(sys.stdin.buffer.read()))";
    // As a reader that doesn't look behind the first member.
    let first = "import zlib,sys; d=zlib.decompressobj(31); o=d.decompress(sys.stdin.buffer.read()); \
                 assert d.eof and not d.unused_data; sys.stdout.buffer.write(o)";
    for len in [0, 10, 7 * BLOCK, 9 << 20] {
        let source = records(len, 8);
        let gzip = whole(Compression::Gzip, &source, 2);
        assert!(piped("gzip", &["-dc"], &gzip) == source, "gzip {len}");
        assert!(
            piped("python3", &["-c", python], &gzip) == source,
            "python {len}"
        );
        assert!(
            piped("python3", &["-c", first], &gzip) == source,
            "zlib {len}"
        );
        let zstd = whole(Compression::Zstd, &source, 2);
        assert!(piped("zstd", &["-dc"], &zstd) == source, "zstd {len}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    #[test]
    fn whatever_the_pieces_and_threads_the_bytes_are_the_same(
        gzip in any::<bool>(),
        seed in any::<u64>(),
        noisy in any::<bool>(),
        len in prop_oneof![8 => 0..3000_usize, 8 => 0..6 * BLOCK, 1 => 31 * BLOCK..34 * BLOCK],
        threads in 1..4_usize,
        pieces in proptest::collection::vec(1..200_000_usize, 1..6),
    ) {
        let compression = if gzip { Compression::Gzip } else { Compression::Zstd };
        let source = if noisy { noise(len, seed) } else { records(len, seed).to_vec() };
        let one = whole(compression, &source, 1);
        prop_assert!(encoded(compression, &source, threads, &pieces) == one);
        prop_assert!(decoded(compression, &one) == source);
    }
}
