use std::fs;

use proptest::prelude::*;

use super::*;
use crate::plan::Fingerprint;
use crate::source::PathPattern;

/// Searches bytes in memory; also gives how many were read.
fn search(delimiter: Delimiter, bytes: &[u8], window: ByteRange) -> (Option<u64>, u64) {
    let mut read = 0;
    let end = last_record_end(delimiter, window, &mut Vec::new(), |block, offset| {
        assert!(block.len() as u64 <= LARGEST_BLOCK + 1);
        read += block.len() as u64;
        let offset = usize::try_from(offset).unwrap();
        block.copy_from_slice(&bytes[offset..offset + block.len()]);
        Ok(())
    });
    (end.unwrap(), read)
}

fn range(offset: usize, end: usize) -> ByteRange {
    ByteRange {
        offset: offset as u64,
        len: (end - offset) as u64,
    }
}

#[test]
fn the_last_end_in_the_window_is_found() {
    let bytes = b"ab\ncd\nef";
    let find = |offset, end| search(Delimiter::NEWLINE, bytes, range(offset, end)).0;
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
    let find = |offset, end| search(Delimiter::Crlf, bytes, range(offset, end)).0;
    assert_eq!(find(0, 10), Some(10));
    assert_eq!(find(0, 9), Some(3), "neither half of a CRLF counts");
    assert_eq!(find(2, 9), Some(3), "it may begin in front of the window");
    assert_eq!(find(3, 9), None);
    assert_eq!(search(Delimiter::Crlf, b"\n\n", range(0, 2)).0, None);
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
        for delimiter in [Delimiter::NEWLINE, Delimiter::Crlf] {
            let (end, read) = search(delimiter, &bytes, range(0, size));
            assert_eq!(end, Some(at as u64), "{from_end} {delimiter:?}");
            assert!(read <= (4 * from_end + 2 * first) as u64);
        }
        bytes[at - 2] = b'x';
        assert_eq!(search(Delimiter::Crlf, &bytes, range(0, size)).0, None);
    }
    let (end, read) = search(Delimiter::NEWLINE, &vec![b'x'; size], range(0, size));
    assert_eq!((end, read), (None, size as u64), "every byte is read once");
}

fn count(delimiter: Delimiter, blocks: &[&[u8]]) -> (u64, u64) {
    let mut counter = RecordCounter::new(delimiter);
    for block in blocks {
        counter.update(block);
    }
    let RecordCounts { lines, records } = counter.counts();
    (lines, records)
}

#[test]
fn lines_are_those_of_wc_and_the_last_record_needs_no_end() {
    for (text, expected) in [
        ("", (0, 0)),
        ("a", (0, 1)),
        ("a\n", (1, 1)),
        ("a\nb", (1, 2)),
        ("\n\n", (2, 2)),
        ("\r\n", (1, 1)),
    ] {
        assert_eq!(
            count(Delimiter::NEWLINE, &[text.as_bytes()]),
            expected,
            "{text:?}"
        );
    }
    assert_eq!(count(Delimiter::Byte(b'|'), &[b"a\n|b\n|c"]), (2, 3));
    assert_eq!(count(Delimiter::Byte(b'|'), &[b"a|", b"", b""]), (0, 1));
}

#[test]
fn a_crlf_over_the_edge_of_blocks_is_one() {
    assert_eq!(count(Delimiter::Crlf, &[b"a\r", b"\nb\r\n"]), (2, 2));
    assert_eq!(count(Delimiter::Crlf, &[b"a\r", b"\n"]), (1, 1));
    assert_eq!(count(Delimiter::Crlf, &[b"a\r", b"", b"\n"]), (1, 1));
    assert_eq!(count(Delimiter::Crlf, &[b"a\n", b"\nb\r"]), (2, 1));
    assert_eq!(
        count(Delimiter::Crlf, &[b"\r", b"\n", b"\r", b"\n"]),
        (2, 2)
    );
}

fn delimiters() -> impl Strategy<Value = Delimiter> {
    prop_oneof![
        Just(Delimiter::NEWLINE),
        Just(Delimiter::Byte(b'\r')),
        Just(Delimiter::Crlf)
    ]
}

proptest! {
    #[test]
    fn blocks_do_not_matter(
        blocks in prop::collection::vec("[a\r\n]{0,5}", 0..6),
        delimiter in delimiters(),
        cut in 0..6_usize,
    ) {
        let blocks: Vec<_> = blocks.iter().map(String::as_bytes).collect();
        let whole = blocks.concat();
        prop_assert_eq!(count(delimiter, &blocks), count(delimiter, &[&whole]));
        // Counted apart and put together.
        let (front, back) = blocks.split_at(cut.min(blocks.len()));
        let mut one = RecordCounter::new(delimiter);
        let mut two = RecordCounter::new(delimiter);
        front.iter().for_each(|block| one.update(block));
        back.iter().for_each(|block| two.update(block));
        one.append(&two);
        let mut all = RecordCounter::new(delimiter);
        all.update(&whole);
        prop_assert_eq!(&one, &all);
        // As plainly as it can be written.
        let text = String::from_utf8(whole).unwrap();
        let end = match delimiter {
            Delimiter::Byte(byte) => char::from(byte).to_string(),
            Delimiter::Crlf => "\r\n".to_owned(),
        };
        prop_assert_eq!(all.counts().records, text.split_inclusive(&end).count() as u64);
        prop_assert_eq!(all.counts().lines, text.matches('\n').count() as u64);
    }

    #[test]
    fn searching_is_as_plainly_written(
        text in "[a\r\n]{0,40}",
        offset in 0..40_usize,
        len in 0..40_usize,
        delimiter in delimiters(),
    ) {
        let bytes = text.as_bytes();
        let offset = offset.min(bytes.len());
        let end = (offset + len).min(bytes.len());
        let expected = (offset + 1..=end).rev().find(|end| match delimiter {
            Delimiter::Byte(byte) => bytes[end - 1] == byte,
            Delimiter::Crlf => bytes[..*end].ends_with(b"\r\n"),
        });
        let found = search(delimiter, bytes, range(offset, end)).0;
        prop_assert_eq!(found, expected.map(|end| end as u64));
    }
}

#[test]
fn boundaries_of_a_volume_notice_a_changed_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ns/a");
    fs::create_dir(dir.path().join("ns")).unwrap();
    fs::write(&path, "1\n22\n333").unwrap();
    let root = VolumeRoot::open(dir.path(), "ns").unwrap();
    let files = root.scan(&pattern("a")).unwrap();
    let mut boundaries = VolumeBoundaries::new(&root, &files, Delimiter::NEWLINE);
    assert_eq!(boundaries.last_record_end(0, range(0, 7)).unwrap(), Some(5));
    assert_eq!(boundaries.last_record_end(0, range(0, 4)).unwrap(), Some(2));
    assert_eq!(boundaries.bytes_read(), 11);
    assert!(boundaries.last_record_end(1, range(0, 4)).is_err());

    fs::write(&path, "1\n22\n333\n").unwrap();
    let error = boundaries.last_record_end(0, range(0, 7)).unwrap_err();
    let error = SourceError::from_io(error).unwrap();
    assert!(error.to_string().contains("size from 8 to 9"), "{error}");
    let other = SourceError::from_io(io::Error::other("x"));
    assert_eq!(other.unwrap_err().to_string(), "x");
}

fn pattern(text: &str) -> PathPattern {
    PathPattern::parse(text).unwrap()
}

#[test]
fn a_sparse_terabyte_is_planned_from_a_few_blocks() {
    use std::os::unix::fs::FileExt;
    use std::time::Instant;

    use crate::plan::{
        KeyPrefix, KeyTemplate, Names, PlanRequest, ReceiptTemplate, SplitSize, SplitSpec, plan,
    };

    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("ns")).unwrap();
    let file = fs::File::create(dir.path().join("ns/big.csv")).unwrap();
    let terabyte = 1_000_000_000_000_u64;
    let size = 100_000_000_000;
    file.set_len(terabyte).unwrap();
    for cut in 1..10 {
        // The last record before each cut ends up to 180 kB before it.
        file.write_at(b"\n", cut * size - cut * 20_000 - 1).unwrap();
    }
    let begun = Instant::now();
    let root = VolumeRoot::open(dir.path(), "ns").unwrap();
    let files = root.scan(&pattern("*.csv")).unwrap();
    let mut split = SplitSpec::new(SplitSize::new(size).unwrap());
    split.max_record_size = 1 << 20;
    let request = PlanRequest {
        compression: crate::plan::Compression::None,
        split,
        key: KeyTemplate::parse(KeyTemplate::DEFAULT).unwrap(),
        receipt: ReceiptTemplate::parse(ReceiptTemplate::DEFAULT).unwrap(),
        separator: "-".into(),
        prefix: KeyPrefix::default(),
        names: Names {
            delivery: "d".into(),
            namespace: "n".into(),
            destination: "t".into(),
        },
        logical_time: "2026-11-24T00:00:00Z".parse().unwrap(),
    };
    let mut boundaries = VolumeBoundaries::new(&root, &files, Delimiter::NEWLINE);
    let planned = plan(&request, files.clone(), &mut boundaries);
    let bytes_read = boundaries.bytes_read();
    // What is left behind each cut adds up, so that the cuts move forward and miss the later newlines.
    let error = planned.unwrap_err().to_string();
    assert!(
        error.contains("no record ends in the 1048576 bytes"),
        "{error}"
    );
    assert!(bytes_read <= 2 << 20, "{bytes_read}");

    // Newlines right before where each cut falls.
    let mut offset = 0;
    while terabyte - offset > size {
        offset += size - 20_000;
        file.write_at(b"\n", offset - 1).unwrap();
    }
    let files = root.scan(&pattern("*.csv")).unwrap();
    let mut boundaries = VolumeBoundaries::new(&root, &files, Delimiter::NEWLINE);
    let planned = plan(&request, files.clone(), &mut boundaries).unwrap();
    assert_eq!(planned.objects().len(), 11);
    assert_eq!(planned.bytes_total(), terabyte);
    assert!(boundaries.bytes_read() <= 11 * FIRST_BLOCK);
    assert!(begun.elapsed().as_secs_f64() < 1.0, "{:?}", begun.elapsed());
}

#[test]
fn an_unplanned_file_is_no_file() {
    let fingerprint = Fingerprint {
        size: 1,
        mtime_ns: 0,
        ctime_ns: 0,
    };
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("ns")).unwrap();
    let root = VolumeRoot::open(dir.path(), "ns").unwrap();
    let files = [SourceFile {
        path: "gone".into(),
        fingerprint,
    }];
    let mut boundaries = VolumeBoundaries::new(&root, &files, Delimiter::NEWLINE);
    let error = boundaries.last_record_end(0, range(0, 1)).unwrap_err();
    let error = SourceError::from_io(error).unwrap();
    assert!(error.to_string().contains("it is gone"), "{error}");
}
