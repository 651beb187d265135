//! CSV, cut: an independent reader (Python's) finds in the splits the rows of the source.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use super::{assert_same, completes, deliver, delivered, fails, receipt};
use crate::support::World;
use crate::support::process::{Output, Scratch};

/// What a field may be: each of these trips a reader that doesn't follow the rules.
fn field(random: &mut fastrand::Rng) -> String {
    match random.u8(0..14) {
        0 => String::new(),
        1 => "\"\"".to_owned(),
        2 => "\"\"\"\"".to_owned(),
        3 => "\"a, b\"".to_owned(),
        4 => "\"one\ntwo\"".to_owned(),
        5 => "\"one\r\ntwo\r\n\"".to_owned(),
        6 => "\"a \"\"word\"\"\n\"\"\"".to_owned(),
        7 => "\"\n\"\"\n\"\"\n\"".to_owned(),
        8 => "\"\r\"".to_owned(),
        9 => "é ü 漢".to_owned(),
        10 if random.u8(0..20) == 0 => format!("\"{}\"", "\n\"\"x\r\n".repeat(400)),
        _ => random.u32(..).to_string(),
    }
}

/// How a generated file is written.
#[derive(Clone, Copy)]
pub(super) struct Style {
    pub(super) mark: &'static str,
    pub(super) header: &'static str,
    /// `None`: now this, now that.
    pub(super) end: Option<&'static str>,
    pub(super) last_end: bool,
}

/// Ugly but right by RFC 4180: some `bytes` of it.
pub(super) fn ugly(seed: u64, bytes: usize, style: Style) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
    let end = || {
        style
            .end
            .unwrap_or(*fastrand::choice(&["\n", "\r\n"]).unwrap())
    };
    let mut text = format!("{}{}{}", style.mark, style.header, end());
    while text.len() < bytes {
        let fields: Vec<_> = (0..random.usize(1..8))
            .map(|_| field(&mut random))
            .collect();
        text.push_str(&fields.join(","));
        text.push_str(end());
    }
    if style.last_end {
        text
    } else {
        text + "last,\"record\nwithout\",end"
    }
}

/// The oracle: how many rows the source has, after it found them in the splits.
pub(super) fn rows(mode: &str, source: &[u8], splits: &[(String, Vec<u8>)]) -> u64 {
    let scratch = Scratch::new("rows");
    let write = |name: &str, bytes: &[u8]| {
        let path = scratch.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let mut python = Command::new("python3");
    python
        .args(["-c", include_str!("csv_rows.py"), mode])
        .arg(write("source", source));
    for (number, (_, bytes)) in splits.iter().enumerate() {
        python.arg(write(&format!("{number:05}"), bytes));
    }
    Output::of(&mut python, None).ok().trim().parse().unwrap()
}

/// The objects of each file, by the stem of its name.
pub(super) fn by_stem(objects: Vec<(String, Vec<u8>)>) -> BTreeMap<String, Vec<(String, Vec<u8>)>> {
    let mut files: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for (name, bytes) in objects {
        let stem = name.split(['-', '.']).next().unwrap().to_owned();
        files.entry(stem).or_default().push((name, bytes));
    }
    files
}

/// The records that the receipt counts, by the stem of the name; less the headers that are repeated.
fn records(receipt: &Value) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for entry in receipt["Files"].as_array().unwrap() {
        let name = entry["FileName"].as_str().unwrap();
        let stem = name.split(['-', '.']).next().unwrap().to_owned();
        let repeated = u64::from(!entry["source"]["header"].is_null());
        *counts.entry(stem).or_default() += entry["records"].as_u64().unwrap() - repeated;
    }
    counts
}

const PLAIN: Style = Style {
    mark: "",
    header: "id,name,\"note\"",
    end: Some("\n"),
    last_end: true,
};

const STYLES: [(&str, Style); 6] = [
    ("newline", PLAIN),
    (
        "crlf",
        Style {
            end: Some("\r\n"),
            ..PLAIN
        },
    ),
    ("mixed", Style { end: None, ..PLAIN }),
    (
        "open",
        Style {
            last_end: false,
            ..PLAIN
        },
    ),
    (
        "marked",
        Style {
            mark: "\u{feff}",
            header: "\"the\nid\",\"the \"\"name\"\"\"",
            end: Some("\r\n"),
            last_end: false,
        },
    ),
    (
        "tall",
        Style {
            header: "\"\n\n\n\",\"\r\n,\"\"\n\"",
            ..PLAIN
        },
    ),
];

#[tokio::test]
async fn rows_of_the_splits_are_the_rows_of_the_source() {
    let world = World::start("cutting-rows").await;
    world.access_key_destination("acme", "").await;
    let mut sources = BTreeMap::new();
    for (seed, (name, style)) in (1..).zip(STYLES) {
        let source = ugly(seed, 120_000, style);
        world.file(&format!("in/{name}.csv"), &source);
        sources.insert(name, source);
    }
    for (mode, more) in [("plain", ""), ("header", ", header: Repeat")] {
        let more = format!(
            "  split: {{size: 20k, format: CSV{more}}}\n  key: \"{mode}/{{stem}}{{split}}{{ext}}\"\n"
        );
        deliver(&world, mode, "in/*.csv", &more);
    }
    for mode in ["plain", "header"] {
        let delivery = completes(&world, mode).await;
        let objects = delivered(&world.bucket, &delivery);
        let objects = objects.into_iter().map(|(name, bytes)| {
            assert!(bytes.len() <= 20_000, "{name} has {} bytes", bytes.len());
            (name.rsplit('/').next().unwrap().to_owned(), bytes)
        });
        let mut receipt = receipt(&world.bucket, &delivery);
        for entry in receipt["Files"].as_array_mut().unwrap() {
            let name = entry["FileName"]
                .as_str()
                .unwrap()
                .rsplit('/')
                .next()
                .unwrap();
            entry["FileName"] = name.to_owned().into();
        }
        let counted = records(&receipt);
        let files = by_stem(objects.collect());
        assert_eq!(files.len(), STYLES.len());
        for (stem, splits) in files {
            assert!(splits.len() >= 6, "{stem}: {}", splits.len());
            let source = sources[stem.as_str()].as_bytes();
            assert_eq!(rows(mode, source, &splits), counted[&stem], "{mode} {stem}");
            if mode == "plain" {
                let joined: Vec<u8> = splits.into_iter().flat_map(|(_, bytes)| bytes).collect();
                assert_same(&joined, source);
            }
        }
    }
}

#[tokio::test]
async fn real_tables_with_their_header_in_every_split() {
    let world = World::start("cutting-tables").await;
    world.access_key_destination("acme", "").await;
    let tables = ["airports", "planes", "weather"].map(|name| {
        let path = format!(
            "{}/examples/quickstart/data/{name}.csv",
            env!("CARGO_MANIFEST_DIR")
        );
        (name, std::fs::read(path).unwrap())
    });
    for (name, bytes) in &tables {
        world.file(&format!("{name}.csv"), bytes);
    }
    let more = "  split: {size: 60k, format: CSV, header: Repeat}\n";
    deliver(&world, "tables", "*.csv", more);
    let delivery = completes(&world, "tables").await;
    let files = by_stem(delivered(&world.bucket, &delivery));
    let counted = records(&receipt(&world.bucket, &delivery));
    for (name, source) in &tables {
        let splits = &files[*name];
        assert!(splits.len() > 1, "{name}");
        assert!(splits.iter().all(|(_, bytes)| bytes.len() <= 60_000));
        assert_eq!(rows("header", source, splits), counted[*name], "{name}");
    }
}

#[tokio::test]
async fn what_cannot_be_cut_is_refused_before_anything_is_sent() {
    let world = World::start("cutting-refused").await;
    world.access_key_destination("acme", "").await;
    let short = "1,2\n".repeat(100);
    world.file(
        "giant/a.csv",
        format!("{short}\"{}\"\n{short}", "\n".repeat(3000)),
    );
    world.file(
        "quote/a.csv",
        format!("{short}{short}5\" pipe,1\n{}", "1,2\n".repeat(60)),
    );
    world.file("header/a.csv", format!("{}\n{short}", "h".repeat(999)));
    world.file("bare/a.csv", "x".repeat(1001));
    let csv = "format: CSV";
    for (name, split, reason, words) in [
        (
            "giant",
            csv,
            "RecordTooLong",
            [
                "no record ends in the 1000 bytes before the cut",
                "split.maxRecordSize",
            ],
        ),
        (
            "quote",
            csv,
            "SourceUnreadable",
            ["no CSV by RFC 4180", "format: Lines"],
        ),
        (
            "header",
            "header: Repeat",
            "RecordTooLong",
            ["its first record", "header: None"],
        ),
        (
            "bare",
            "header: Repeat",
            "RecordTooLong",
            ["does not end in the file's first 1000 bytes", "split.size"],
        ),
    ] {
        let more = format!("  split: {{size: 1000, {split}}}\n");
        deliver(&world, name, &format!("{name}/a.csv"), &more);
        let message = fails(&world, name, reason).await;
        for word in words {
            assert!(message.contains(word), "{name}: {message}");
        }
    }
    assert!(world.bucket.keys().is_empty());
    // As plain lines the stray quote is a character like any other.
    deliver(&world, "plain", "quote/a.csv", "  split: {size: 500}\n");
    completes(&world, "plain").await;
}
