use proptest::prelude::*;

use super::*;

/// Searches bytes in memory; also gives how many were read.
fn search(records: RecordFormat, bytes: &[u8], window: ByteRange) -> (Option<u64>, u64) {
    let end = usize::try_from(window.end()).unwrap();
    let parity = Parity::of(&bytes[..end]);
    counted(bytes, |blocks| {
        last_record_end(records, Some(parity), window, blocks)
    })
}

fn counted(
    bytes: &[u8],
    question: impl FnOnce(&mut Blocks<'_>) -> io::Result<Option<u64>>,
) -> (Option<u64>, u64) {
    let count = std::sync::atomic::AtomicU64::new(0);
    let read = |block: &mut [u8], offset: u64| {
        assert!(block.len() as u64 <= LARGEST_BLOCK + 1);
        count.fetch_add(block.len() as u64, std::sync::atomic::Ordering::Relaxed);
        let offset = usize::try_from(offset).unwrap();
        block.copy_from_slice(&bytes[offset..offset + block.len()]);
        Ok(())
    };
    let mut blocks = Blocks {
        read: &read,
        buffer: &mut Vec::new(),
    };
    let end = question(&mut blocks).unwrap();
    (end, count.into_inner())
}

fn first(records: RecordFormat, bytes: &[u8], limit: usize) -> Option<u64> {
    counted(bytes, |blocks| {
        first_record_end(records, limit as u64, blocks)
    })
    .0
}

/// Every place behind a record, as plainly as it can be written: byte by byte.
fn ends(records: RecordFormat, bytes: &[u8]) -> Vec<u64> {
    let mut quoted = false;
    let mut found = Vec::new();
    for (at, byte) in bytes.iter().enumerate() {
        quoted ^= *byte == b'"';
        let is_end = match records {
            RecordFormat::Lines(Delimiter::Byte(delimiter)) => *byte == delimiter,
            RecordFormat::Lines(Delimiter::Crlf) => bytes[..=at].ends_with(b"\r\n"),
            RecordFormat::Csv => *byte == b'\n' && !quoted,
        };
        if is_end {
            found.push(at as u64 + 1);
        }
    }
    found
}

const LINES: RecordFormat = RecordFormat::Lines(Delimiter::NEWLINE);
const CRLF: RecordFormat = RecordFormat::Lines(Delimiter::Crlf);

fn range(offset: usize, end: usize) -> ByteRange {
    ByteRange {
        offset: offset as u64,
        len: (end - offset) as u64,
    }
}

#[test]
fn the_last_end_in_the_window_is_found() {
    let bytes = b"ab\ncd\nef";
    let find = |offset, end| search(LINES, bytes, range(offset, end)).0;
    assert_eq!(find(0, 8), Some(6));
    assert_eq!(
        find(0, 6),
        Some(6),
        "a delimiter that ends on the cut counts"
    );
    assert_eq!(find(0, 5), Some(3));
    assert_eq!(
        find(3, 5),
        None,
        "the end at the window's beginning is not in it"
    );
    assert_eq!(find(2, 5), Some(3));
    assert_eq!(find(0, 2), None);
    assert_eq!(find(4, 4), None);
}

#[test]
fn crlf_is_a_whole_one_or_none() {
    let bytes = b"a\r\nb\nc\rd\r\n";
    let find = |offset, end| search(CRLF, bytes, range(offset, end)).0;
    assert_eq!(find(0, 10), Some(10));
    assert_eq!(find(0, 9), Some(3), "neither half of a CRLF counts");
    assert_eq!(find(2, 9), Some(3), "it may begin in front of the window");
    assert_eq!(find(3, 9), None);
    assert_eq!(search(CRLF, b"\n\n", range(0, 2)).0, None);
}

#[test]
fn blocks_grow_and_hide_no_delimiter_at_their_edges() {
    let size = 3 << 20;
    let first = FIRST_BLOCK as usize;
    for from_end in [
        0,
        1,
        2,
        first - 1,
        first,
        first + 1,
        3 * first - 1,
        3 * first,
        3 * first + 1,
        size - 2,
    ] {
        let mut bytes = vec![b'x'; size];
        let at = size - from_end;
        bytes[at - 2..at].copy_from_slice(b"\r\n");
        for records in [LINES, CRLF] {
            let (end, read) = search(records, &bytes, range(0, size));
            assert_eq!(end, Some(at as u64), "{from_end} {records:?}");
            assert!(read <= (4 * from_end + 2 * first) as u64);
        }
        bytes[at - 2] = b'x';
        assert_eq!(search(CRLF, &bytes, range(0, size)).0, None);
    }
    let (end, read) = search(LINES, &vec![b'x'; size], range(0, size));
    assert_eq!((end, read), (None, size as u64), "every byte is read once");
}

#[test]
fn a_newline_in_quotes_ends_no_record() {
    let bytes = b"a,\"x\ny\"\nb,\"\"\"\n\"\"\"\r\nc\n";
    let find = |offset, end| search(RecordFormat::Csv, bytes, range(offset, end)).0;
    assert_eq!(ends(RecordFormat::Csv, bytes), [8, 19, 21]);
    assert_eq!(find(0, 21), Some(21));
    assert_eq!(find(0, 20), Some(19));
    assert_eq!(find(0, 18), Some(8), "a doubled quote closes nothing");
    assert_eq!(find(0, 7), None);
    assert_eq!(find(8, 18), None);
    assert_eq!(first(RecordFormat::Csv, bytes, 21), Some(8));
    assert_eq!(first(RecordFormat::Csv, bytes, 8), Some(8));
    assert_eq!(first(RecordFormat::Csv, bytes, 7), None);
    // A byte order mark in front of a quoted name.
    let marked = "\u{feff}\"a\nb\",c\n1,2\n".as_bytes();
    assert_eq!(first(RecordFormat::Csv, marked, marked.len()), Some(11));
}

#[test]
fn quoted_text_longer_than_a_block_is_read_through() {
    let len = 3 << 20;
    let mut bytes = b"1,\"".to_vec();
    bytes.resize(len, b'\n');
    bytes.extend_from_slice(b"\"\n2,x\n");
    let whole = bytes.len();
    let find = |end| search(RecordFormat::Csv, &bytes, range(0, end));
    assert_eq!(find(whole).0, Some(whole as u64));
    assert_eq!(find(whole - 1).0, Some(len as u64 + 2));
    assert_eq!(find(len), (None, len as u64), "every byte is read once");
    assert_eq!(
        first(RecordFormat::Csv, &bytes, whole),
        Some(len as u64 + 2)
    );
}

fn formats() -> impl Strategy<Value = RecordFormat> {
    prop_oneof![
        Just(LINES),
        Just(RecordFormat::Lines(Delimiter::Byte(b'\r'))),
        Just(RecordFormat::Lines(Delimiter::Byte(b'"'))),
        Just(CRLF),
        Just(RecordFormat::Csv),
    ]
}

proptest! {
    #[test]
    fn searching_is_as_plainly_written(
        text in "[a\r\n\"]{0,40}",
        offset in 0..40_usize,
        len in 0..40_usize,
        records in formats(),
    ) {
        let bytes = text.as_bytes();
        let offset = offset.min(bytes.len());
        let end = (offset + len).min(bytes.len());
        let ends = ends(records, bytes);
        let (from, to) = (offset as u64, end as u64);
        let expected = ends.iter().rev().find(|end| from < **end && **end <= to);
        let found = search(records, bytes, range(offset, end)).0;
        prop_assert_eq!(found, expected.copied());
        let expected = ends.first().filter(|end| **end <= to);
        prop_assert_eq!(first(records, bytes, end), expected.copied());
    }

    /// Blocks and their edges: random bytes of a few megabytes.
    #[test]
    fn blocks_hide_nothing(seed in any::<u64>(), records in formats(), sparse in 1..3000_u32) {
        let mut random = fastrand::Rng::with_seed(seed);
        let len = random.usize(..3 << 20);
        let mut bytes = vec![b'x'; len];
        for _ in 0..len / 1_000_000 * 5 + random.usize(..sparse as usize) {
            if len > 0 {
                bytes[random.usize(..len)] = *random.choice(b"\r\n\"").unwrap();
            }
        }
        let ends = ends(records, &bytes);
        let end = random.usize(..=len);
        let expected = ends.iter().rev().find(|found| **found <= end as u64);
        prop_assert_eq!(search(records, &bytes, range(0, end)).0, expected.copied());
        let expected = ends.first().filter(|found| **found <= end as u64);
        prop_assert_eq!(first(records, &bytes, end), expected.copied());
    }
}
