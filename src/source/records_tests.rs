use proptest::prelude::*;

use super::*;

const LINES: RecordFormat = RecordFormat::Lines(Delimiter::NEWLINE);
const CRLF: RecordFormat = RecordFormat::Lines(Delimiter::Crlf);

fn count(records: RecordFormat, blocks: &[&[u8]]) -> (u64, u64) {
    let mut counter = RecordCounter::new(records);
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
        assert_eq!(count(LINES, &[text.as_bytes()]), expected, "{text:?}");
    }
    assert_eq!(
        count(RecordFormat::Lines(Delimiter::Byte(b'|')), &[b"a\n|b\n|c"]),
        (2, 3)
    );
    assert_eq!(
        count(
            RecordFormat::Lines(Delimiter::Byte(b'|')),
            &[b"a|", b"", b""]
        ),
        (0, 1)
    );
}

#[test]
fn a_crlf_over_the_edge_of_blocks_is_one() {
    assert_eq!(count(CRLF, &[b"a\r", b"\nb\r\n"]), (2, 2));
    assert_eq!(count(CRLF, &[b"a\r", b"\n"]), (1, 1));
    assert_eq!(count(CRLF, &[b"a\r", b"", b"\n"]), (1, 1));
    assert_eq!(count(CRLF, &[b"a\n", b"\nb\r"]), (2, 1));
    assert_eq!(count(CRLF, &[b"\r", b"\n", b"\r", b"\n"]), (2, 2));
}

#[test]
fn a_quoted_newline_is_a_line_and_no_record() {
    let csv = |blocks: &[&[u8]]| count(RecordFormat::Csv, blocks);
    assert_eq!(csv(&[b"a,\"x\ny\"\nb\n"]), (3, 2));
    assert_eq!(csv(&[b"a,\"x", b"\n", b"y\"\nb"]), (2, 2));
    assert_eq!(
        csv(&[b"a,\"x\n"]),
        (1, 1),
        "what is never closed is a record, too"
    );
    assert_eq!(csv(&[b"a,\"\"\"\n\"\"\"\r\n"]), (2, 1));
    assert_eq!(csv(&[b"\"a\"\n"]), (1, 1));
}

fn formats() -> impl Strategy<Value = RecordFormat> {
    prop_oneof![
        Just(LINES),
        Just(RecordFormat::Lines(Delimiter::Byte(b'\r'))),
        Just(CRLF),
        Just(RecordFormat::Csv),
    ]
}

proptest! {
    #[test]
    fn blocks_do_not_matter(
        blocks in prop::collection::vec("[a\r\n\"]{0,5}", 0..6),
        records in formats(),
        cut in 0..6_usize,
    ) {
        let blocks: Vec<_> = blocks.iter().map(String::as_bytes).collect();
        let whole = blocks.concat();
        prop_assert_eq!(count(records, &blocks), count(records, &[&whole]));
        // Counted apart and put together.
        let (front, back) = blocks.split_at(cut.min(blocks.len()));
        let mut one = RecordCounter::new(records);
        let mut two = RecordCounter::new(records);
        front.iter().for_each(|block| one.update(block));
        back.iter().for_each(|block| two.update(block));
        one.append(&two);
        let mut all = RecordCounter::new(records);
        all.update(&whole);
        prop_assert_eq!(&one, &all);
        // As plainly as it can be written.
        let text = String::from_utf8(whole).unwrap();
        let expected = match records {
            RecordFormat::Lines(Delimiter::Byte(byte)) => {
                text.split_inclusive(char::from(byte)).count()
            }
            RecordFormat::Lines(Delimiter::Crlf) => text.split_inclusive("\r\n").count(),
            RecordFormat::Csv => {
                let mut quoted = false;
                let ends_record = |c: char| {
                    quoted ^= c == '"';
                    c == '\n' && !quoted
                };
                text.split_inclusive(ends_record).count()
            }
        };
        prop_assert_eq!(all.counts().records, expected as u64);
        prop_assert_eq!(all.counts().lines, text.matches('\n').count() as u64);
    }
}
