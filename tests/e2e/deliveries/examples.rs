//! Every manifest of `examples/deliveries` is applied as it stands, and does what its comment says.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::{completes, content, delivered, names, receipt};
use crate::support::World;

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/deliveries"))
}

/// Each example: the files that its source has, and what is delivered of them. Sizes that would take half a terabyte
/// to cut are made small, and nothing else is changed.
type Example<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [(&'a str, &'a str)]);

const EXAMPLES: [Example<'_>; 10] = [
    (
        "lines",
        &[("lines/a.txt", "1\n22\n333\n"), ("lines/b.txt", "4\n")],
        &[
            ("a-001.txt", "1\n22\n"),
            ("a-002.txt", "333\n"),
            ("b.txt", "4\n"),
        ],
    ),
    (
        "crlf",
        &[("crlf/c.txt", "1\n1\r\n22\r\n")],
        &[("c-001.txt", "1\n1\r\n"), ("c-002.txt", "22\r\n")],
    ),
    (
        "csv",
        &[("csv/d.csv", "\"1\n\",\n22\n3\n")],
        &[("d-001.csv", "\"1\n\",\n"), ("d-002.csv", "22\n3\n")],
    ),
    (
        "header",
        &[("header/e.csv", "id\n11\n22\n33\n")],
        &[
            ("e-001.csv", "id\n11\n"),
            ("e-002.csv", "id\n22\n"),
            ("e-003.csv", "id\n33\n"),
        ],
    ),
    (
        "unsplit",
        &[("unsplit/f.tar", "anything\0"), ("unsplit/g", "")],
        &[("f.tar", "anything\0"), ("g", "")],
    ),
    (
        "audience-manager",
        &[("audience-manager/segments.txt", "1\n22\n333\n")],
        &[
            (
                "S3_1234_20914_XYZCustomer_full_1486140844000001.sync.gz",
                "1\n22\n",
            ),
            (
                "S3_1234_20914_XYZCustomer_full_1486140844000002.sync.gz",
                "333\n",
            ),
        ],
    ),
    (
        "marker",
        &[
            ("marker/2026-11-24/_SUCCESS", ""),
            ("marker/2026-11-24/note.txt", "no data"),
        ],
        &[],
    ),
    (
        "gzip",
        &[("gzip/h.csv", "1\n22\n333\n")],
        &[("h-001.csv.gz", "1\n22\n"), ("h-002.csv.gz", "333\n")],
    ),
    (
        "zstd",
        &[("zstd/i.csv", "1\n22\n333\n")],
        &[("i_2026-11-24.csv.zst", "1\n22\n333\n")],
    ),
    (
        "tree",
        &[
            ("tree/2026-11-24/eu/de.csv", "1\n"),
            ("tree/2026-11-24/all.csv", "2\n"),
        ],
        &[
            ("2026-11-24/all.csv", "2\n"),
            ("2026-11-24/eu/de.csv", "1\n"),
        ],
    ),
];

#[tokio::test]
async fn every_example_does_what_it_says() {
    let world = World::start("examples").await;
    world.access_key_destination("acme", "").await;
    let entries = std::fs::read_dir(folder()).unwrap();
    let manifests: BTreeSet<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".yaml").map(str::to_owned))
        .collect();
    let known: BTreeSet<String> = EXAMPLES.iter().map(|it| it.0.to_owned()).collect();
    assert_eq!(manifests, known, "an example that nobody tries");
    for (name, files, _) in EXAMPLES {
        for (path, text) in files {
            world.file(path, text);
        }
        let manifest = std::fs::read_to_string(folder().join(format!("{name}.yaml"))).unwrap();
        world.apply(&manifest.replace("size: 500G", "size: 7"));
    }
    for (name, _, wanted) in EXAMPLES {
        let delivery = completes(&world, name).await;
        let receipt = receipt(&world.bucket, &delivery);
        let entries = receipt["Files"].as_array().unwrap().iter();
        let objects = delivered(&world.bucket, &delivery).into_iter();
        let found: Vec<_> = objects
            .zip(entries)
            .map(|((name, bytes), entry)| {
                let text = String::from_utf8(content(entry, &bytes)).unwrap();
                (name, text)
            })
            .collect();
        let found: Vec<_> = found
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()))
            .collect();
        assert_eq!(found, wanted, "{name}");
    }
    let delivery = completes(&world, "audience-manager").await;
    assert_eq!(names(&world.bucket, &delivery).len(), 2);
    let receipt = receipt(&world.bucket, &delivery);
    assert_eq!(
        receipt["Totals"]["FileName"],
        "S3_1234_20914_XYZCustomer_full_1486140844000.info"
    );
}
