//! `OutboundDelivery`: its rules, each with the words that the user reads.

use super::destination::sizes_are_bounded;
use super::{accepts, refused, refuses};
use crate::support::ControlPlane;
use crate::support::manifest::manifest;

const KIND: &str = "OutboundDelivery";

const BASE: &str = "\
destinationRef: {name: acme}
source: {volume: {path: \"exports/*.csv\"}}";

#[test]
fn a_path_stays_in_the_namespaces_folder() {
    const RELATIVE: &str =
        r#"a path is relative to the namespace's folder: no leading or closing "/" and no "//""#;
    const DOTS: &str = "it can't leave the namespace's folder";
    let long = format!("source: {{volume: {{path: {}}}}}", "a".repeat(1025));
    refuses(
        KIND,
        BASE,
        &[
            ("source: {volume: {path: /etc/passwd}}", RELATIVE),
            ("source: {volume: {path: exports/}}", RELATIVE),
            ("source: {volume: {path: exports//a.csv}}", RELATIVE),
            ("source: {volume: {path: \"..\"}}", DOTS),
            ("source: {volume: {path: ../other/a.csv}}", DOTS),
            ("source: {volume: {path: exports/../../other/a.csv}}", DOTS),
            ("source: {volume: {path: exports/..}}", DOTS),
            ("source: {volume: {path: ./a.csv}}", DOTS),
            ("source: {volume: {path: exports/./a.csv}}", DOTS),
            (
                "source: {volume: {path: \"a\\0.csv\"}}",
                "control characters are not allowed",
            ),
            (
                "source: {volume: {path: \"a\\n.csv\"}}",
                "control characters are not allowed",
            ),
            (
                "source: {volume: {path: \"\"}}",
                "should be at least 1 chars long",
            ),
            (&long, "may not be more than 1024"),
            (
                "source: {volume: {}}",
                "spec.source.volume.path: Required value",
            ),
            ("source: {}", "a source is exactly one of volume and s3"),
            (
                "source: {volume: {path: a.csv}, s3: {bucket: our-exports}}",
                "a source is exactly one of volume and s3",
            ),
            ("!source", "spec.source: Required value"),
            (
                "source: {volume: {path: a.csv, minAge: soon}}",
                "spec.source.volume.minAge",
            ),
            (
                "source: {volume: {path: a.csv, minAge: \"-1s\"}}",
                "spec.source.volume.minAge",
            ),
            (
                "source: {volume: {path: a.csv, minAge: 0s}}",
                "a duration here is 1s to 8760h",
            ),
            (
                "source: {volume: {path: a.csv, minAge: 60}}",
                "must be of type string",
            ),
            (
                "source: {volume: {path: a.csv, minAge: 99999999999h}}",
                "a duration here is 1s to 8760h",
            ),
        ],
    );
    accepts(
        KIND,
        BASE,
        &[
            "source: {volume: {path: a.csv}}",
            "source: {volume: {path: \"**/?[a-z].csv\", minAge: 60s}}",
            "source: {volume: {path: ..a/b../.hidden, minAge: 1s}}",
            "source: {volume: {path: \"ü a/{b}.csv\", minAge: 1h30m}}",
        ],
    );
}

#[test]
fn objects_are_named_by_bucket_prefix_and_patterns() {
    const RELATIVE: &str = "a pattern is relative to the prefix";
    refuses(
        KIND,
        BASE,
        &[
            ("source: {s3: {}}", "spec.source.s3.bucket: Required value"),
            (
                "source: {s3: {bucket: Our-Exports}}",
                "lower-case letters, digits, dots and hyphens only",
            ),
            (
                "source: {s3: {bucket: our-exports-s3alias}}",
                "access point aliases",
            ),
            (
                "source: {s3: {bucket: our-exports, prefix: marketing}}",
                "a prefix ends with",
            ),
            (
                "source: {s3: {bucket: our-exports, prefix: marketing/../}}",
                "segment",
            ),
            (
                "source: {s3: {bucket: our-exports, include: []}}",
                "should have at least 1 items",
            ),
            (
                "source: {s3: {bucket: our-exports, include: [a, /b]}}",
                RELATIVE,
            ),
            (
                "source: {s3: {bucket: our-exports, exclude: [a, b/]}}",
                RELATIVE,
            ),
            (
                "source: {s3: {bucket: our-exports, include: [\"../a\"]}}",
                "segment",
            ),
            (
                "source: {s3: {bucket: our-exports, include: [\"a**\"]}}",
                "is a whole segment of a pattern",
            ),
            (
                "source: {s3: {bucket: our-exports, exclude: [\"a\\n\"]}}",
                "control characters are not allowed",
            ),
            (
                "source: {s3: {bucket: our-exports, region: EU}}",
                "a region is written like eu-west-1",
            ),
        ],
    );
    accepts(
        KIND,
        BASE,
        &[
            "source: {s3: {bucket: our-exports}}",
            "source: {s3: {bucket: our.exports, prefix: \"\", include: [\"**/*.csv\", a], exclude: [\"?\"]}}",
            "source: {s3: {bucket: our-exports, prefix: marketing/, region: eu-west-1}}\nwaitFor: {path: _SUCCESS}",
        ],
    );
}

#[test]
fn a_key_has_known_macros_and_no_other_brace() {
    const MACROS: &str = "the macros {stem} {split} {ext} {name} {path} {date} {timestamp} {delivery} {namespace} {destination} and no other braces";
    const SLASHES: &str = r#"a key has no leading or closing "/" and no "//""#;
    const DOTS: &str = "segment";
    let long = format!("key: {}", "a".repeat(1025));
    refuses(
        KIND,
        BASE,
        &[
            ("key: \"{unknown}\"", MACROS),
            ("key: \"{Stem}{split}\"", MACROS),
            ("key: \"{stem\"", MACROS),
            ("key: \"stem}\"", MACROS),
            ("key: \"{}\"", MACROS),
            ("key: \"{{stem}}\"", MACROS),
            ("key: \"{ stem }\"", MACROS),
            ("key: \"{folder}\"", MACROS),
            ("key: \"/{name}\"", SLASHES),
            ("key: \"daily/\"", SLASHES),
            ("key: \"daily//{name}\"", SLASHES),
            ("key: \"../{name}\"", DOTS),
            ("key: \"daily/./{name}\"", DOTS),
            ("key: \"..\"", DOTS),
            ("key: \"{name}\\t\"", "control characters are not allowed"),
            ("key: \"\"", "should be at least 1 chars long"),
            (&long, "may not be more than 1024"),
        ],
    );
    accepts(
        KIND,
        BASE,
        &[
            "key: \"{stem}{split}{ext}\"",
            "key: \"{namespace}/{destination}/{delivery}/{date}/{timestamp}-{name}{split}\"",
            "key: plain name ü.csv",
            "key: \"{path}{stem}{split}{ext}\"",
            "key: .a/..b/c..",
        ],
    );
}

#[test]
fn a_receipts_key_has_no_macro_of_a_file() {
    const MACROS: &str = "a receipt's key has the macros {date} {timestamp} {delivery} {namespace} {destination} and no other braces";
    refuses(
        KIND,
        BASE,
        &[
            ("receipt: {key: \"{stem}.info\"}", MACROS),
            ("receipt: {key: \"{name}\"}", MACROS),
            ("receipt: {key: \"{path}r.info\"}", MACROS),
            ("receipt: {key: \"{split}\"}", MACROS),
            ("receipt: {key: \"a{ext}\"}", MACROS),
            ("receipt: {key: \"{delivery\"}", MACROS),
            (
                "receipt: {key: /a.info}",
                r#"a key has no leading or closing "/""#,
            ),
            (
                "receipt: {key: a/}",
                r#"a key has no leading or closing "/""#,
            ),
            ("receipt: {key: a/../b.info}", "segment"),
            (
                "receipt: {key: \"a\\u0001\"}",
                "control characters are not allowed",
            ),
            ("receipt: {key: \"\"}", "should be at least 1 chars long"),
            ("receipt: {md5: \"yes\"}", "must be of type boolean"),
        ],
    );
    accepts(
        KIND,
        BASE,
        &[
            "receipt: {}",
            "receipt: {md5: false}",
            "receipt: {key: \"{namespace}/{destination}-{delivery}-{date}-{timestamp}.info\"}",
        ],
    );
}

#[test]
fn a_split_size_is_whole_bytes_up_to_one_terabyte() {
    sizes_are_bounded(KIND, BASE, "split: {size: {}}");
}

#[test]
fn a_record_size_is_whole_bytes_up_to_one_terabyte() {
    sizes_are_bounded(KIND, BASE, "split: {maxRecordSize: {}}");
}

#[test]
fn the_other_fields_take_what_they_say() {
    const DELIMITER: &str = "a delimiter is one byte (an ASCII character) or CRLF";
    const SEPARATOR: &str = "a separator has letters, digits and ._=+~@- only";
    refuses(
        KIND,
        BASE,
        &[
            ("split: {delimiter: ab}", DELIMITER),
            ("split: {delimiter: ü}", DELIMITER),
            ("split: {delimiter: \"\\n\\r\"}", DELIMITER),
            ("split: {delimiter: \"\\\\n\"}", DELIMITER),
            (
                "split: {delimiter: \"\"}",
                "should be at least 1 chars long",
            ),
            (
                "split: {delimiter: \"\\r\\n\\n\"}",
                "may not be more than 2",
            ),
            ("split: {separator: /}", SEPARATOR),
            ("split: {separator: \" \"}", SEPARATOR),
            ("split: {separator: \"{\"}", SEPARATOR),
            (
                "split: {separator: \"12345678901234567\"}",
                "may not be more than 16",
            ),
            (
                "split: {boundary: Line}",
                r#"supported values: "Record", "Byte""#,
            ),
            (
                "compression: Bzip2",
                r#"supported values: "None", "Gzip", "Zstd""#,
            ),
            (
                "split: {format: csv}",
                r#"supported values: "Lines", "CSV""#,
            ),
            ("split: {header: true}", "must be of type string"),
            (
                "split: {header: First}",
                r#"supported values: "None", "Repeat""#,
            ),
            ("onEmpty: Ignore", r#"supported values: "Fail", "Complete""#),
            ("ifExists: Overwrite", r#"supported values: "Fail", "Skip""#),
            ("logicalTime: yesterday", "must be of type date-time"),
            ("logicalTime: \"2026-11-24T00:00:00+99:00\"", "should match"),
            ("logicalTime: \"2026-11-24T00:00:00x5Z\"", "should match"),
            ("logicalTime: \"2026-11-24\"", "must be of type date-time"),
            (
                "logicalTime: \"2026-11-24T00:00:00\"",
                "must be of type date-time",
            ),
            (
                "logicalTime: \"2026-02-30T00:00:00Z\"",
                "must be of type date-time",
            ),
            ("logicalTime: 1700000000000", "must be of type"),
            ("backoffLimit: -1", "should be greater than or equal to 0"),
            ("backoffLimit: 1001", "should be less than or equal to 1000"),
            ("backoffLimit: 1.5", "must be of type integer"),
            (
                "activeDeadlineSeconds: 0",
                "should be greater than or equal to 1",
            ),
            (
                "activeDeadlineSeconds: 2147483648",
                "should be less than or equal to 2147483647",
            ),
            (
                "ttlSecondsAfterFinished: -1",
                "should be greater than or equal to 0",
            ),
            (
                "ttlSecondsAfterFinished: 2147483648",
                "should be less than or equal to 2147483647",
            ),
            ("ttlSecondsAfterFinished: 1h", "must be of type integer"),
            (
                "destinationRef: null",
                "spec.destinationRef: Required value",
            ),
            (
                "destinationRef: {}",
                "spec.destinationRef.name: Required value",
            ),
            ("destinationRef: {name: A_B}", "spec.destinationRef.name"),
            ("!destinationRef", "spec.destinationRef: Required value"),
        ],
    );
    accepts(
        KIND,
        BASE,
        &[
            "split: {}",
            "split: null\nkey: null\nreceipt: null\nsuspend: null",
            "split: {delimiter: \"\\r\\n\", boundary: Byte, format: Lines, separator: \"\"}",
            "split: {delimiter: \"\\0\", boundary: Record, separator: \"._=+~@-Az09\"}",
            "split: {delimiter: \"|\"}",
            "split: {format: CSV, boundary: Record, header: Repeat}",
            "split: {format: Lines, delimiter: \"|\", header: Repeat}",
            "split: {boundary: Byte, header: None}",
            "onEmpty: Complete",
            "ifExists: Fail\nsuspend: true\nbackoffLimit: 0",
            "compression: None",
            "compression: Gzip",
            "compression: Zstd\nsplit: {size: 1G}",
            "activeDeadlineSeconds: 1\nttlSecondsAfterFinished: 0",
            "logicalTime: 2026-11-24T00:00:00Z",
            "logicalTime: 2026-11-24T01:00:00.5+01:00",
        ],
    );
}

#[test]
fn records_are_those_of_the_format() {
    const HEADER: &str = "header: Repeat needs boundary: Record";
    const CSV: &str = "format: CSV needs boundary: Record";
    const DELIMITER: &str = "a delimiter is one of format: Lines";
    refuses(
        KIND,
        BASE,
        &[
            ("split: {header: Repeat, boundary: Byte}", HEADER),
            ("split: {format: CSV, boundary: Byte}", CSV),
            ("split: {format: CSV, delimiter: \"\\n\"}", DELIMITER),
            ("split: {format: CSV, delimiter: \"\\r\\n\"}", DELIMITER),
        ],
    );
}

#[test]
fn a_marker_is_one_file_beside_the_source() {
    const RELATIVE: &str =
        r#"a marker is relative to the source's folder: no leading or closing "/" and no "//""#;
    const DOTS: &str = "it can't leave the source's folder";
    const WILDCARD: &str = "a marker is one file";
    let long = format!("waitFor: {{path: {}}}", "a".repeat(1025));
    refuses(
        KIND,
        BASE,
        &[
            ("waitFor: {path: /etc/passwd}", RELATIVE),
            ("waitFor: {path: a/}", RELATIVE),
            ("waitFor: {path: a//b}", RELATIVE),
            ("waitFor: {path: ../_SUCCESS}", DOTS),
            ("waitFor: {path: a/../../b}", DOTS),
            ("waitFor: {path: .}", DOTS),
            ("waitFor: {path: \"*.done\"}", WILDCARD),
            ("waitFor: {path: \"a?\"}", WILDCARD),
            (
                "waitFor: {path: \"a\\n\"}",
                "control characters are not allowed",
            ),
            ("waitFor: {path: \"\"}", "should be at least 1 chars long"),
            (&long, "may not be more than 1024"),
            ("waitFor: {}", "spec.waitFor.path: Required value"),
            ("waitFor: _SUCCESS", "must be of type object"),
        ],
    );
    accepts(
        KIND,
        BASE,
        &[
            "waitFor: {path: _SUCCESS}",
            "waitFor: {path: \"state/2026-11-24 ü.done\"}",
            "waitFor: {path: .done..}",
        ],
    );
}

#[test]
fn a_field_that_does_not_work_yet_or_never_is_unknown() {
    for (change, field) in [
        (
            "destinationRef: {name: acme, namespace: other}",
            "spec.destinationRef.namespace",
        ),
        (
            "source: {volume: {path: a}, persistentVolumeClaim: {claimName: b}}",
            "spec.source.persistentVolumeClaim",
        ),
    ] {
        let refusal = refused(&manifest(KIND, "acme", BASE, change));
        assert!(
            refusal.contains(&format!("unknown field \"{field}\"")),
            "{refusal}"
        );
    }
}

/// Each immutable field: as created, and changed.
const IMMUTABLE: &[(&str, &str)] = &[
    (
        "destinationRef: {name: acme}",
        "destinationRef: {name: other}",
    ),
    (
        "source: {volume: {path: a.csv, minAge: 1s}}",
        "source: {volume: {path: a.csv}}",
    ),
    ("split: {size: 1G}", "split: {size: 1G, boundary: Byte}"),
    ("waitFor: {path: _SUCCESS}", "waitFor: {path: _DONE}"),
    ("onEmpty: Complete", "onEmpty: Fail"),
    ("key: \"{name}\"", "key: \"{name}{split}\""),
    (
        "logicalTime: 2026-11-24T00:00:00Z",
        "logicalTime: 2026-11-24T00:00:01Z",
    ),
    ("compression: Gzip", "compression: Zstd"),
    ("ifExists: Fail", "!ifExists"),
    ("receipt: {md5: true}", "receipt: {md5: false}"),
];

#[test]
fn what_was_agreed_is_immutable() {
    let namespace = ControlPlane::shared().namespace("schema");
    let required = |field: &str| BASE.contains(&format!("{field}:"));
    let mut created = String::new();
    let mut changes = vec![Vec::new(), Vec::new()];
    for (number, (value, other)) in IMMUTABLE.iter().enumerate() {
        let field = value.split(':').next().unwrap();
        let (with, without) = (format!("with-{number}"), format!("without-{number}"));
        created += &manifest(KIND, &with, BASE, value);
        changes[0].push((with.clone(), field, manifest(KIND, &with, BASE, other)));
        if !required(field) {
            created += &manifest(KIND, &without, BASE, "");
            changes[1].push((with.clone(), field, manifest(KIND, &with, BASE, "")));
            changes[1].push((
                without.clone(),
                field,
                manifest(KIND, &without, BASE, value),
            ));
        }
    }
    namespace.apply(&created).ok();
    let specs = || {
        namespace
            .kubectl(&["get", "obdel", "-o", "jsonpath={.items[*].spec}"])
            .ok()
    };
    let before = specs();
    for changes in changes {
        let manifests: String = changes
            .iter()
            .map(|(_, _, manifest)| manifest.as_str())
            .collect();
        let refusal = namespace.apply(&manifests).refusal();
        for (name, field, manifest) in changes {
            let line = refusal
                .lines()
                .find(|line| line.contains(&format!("{name:?} is invalid")));
            let line = line.unwrap_or_else(|| panic!("not refused: {manifest}\n{refusal}"));
            let words = format!(
                "{field} can't be changed, added or removed once a delivery exists; create another"
            );
            assert!(line.contains(&words), "{manifest}\n{line}");
        }
    }
    assert_eq!(specs(), before);
}

#[test]
fn what_steers_a_delivery_can_be_changed() {
    let namespace = ControlPlane::shared().namespace("schema");
    let full: Vec<&str> = IMMUTABLE.iter().map(|(value, _)| *value).collect();
    let base = full.join("\n");
    for change in [
        "",
        "suspend: true\nbackoffLimit: 1",
        "activeDeadlineSeconds: 1\nttlSecondsAfterFinished: 0",
        "activeDeadlineSeconds: 2",
        "suspend: false\nbackoffLimit: 2",
        "",
    ] {
        namespace
            .apply(&manifest(KIND, "steered", &base, change))
            .ok();
    }
    let spec = namespace.get("obdel", "steered").unwrap()["spec"].clone();
    assert!(
        spec.get("suspend").is_none() && spec.get("backoffLimit").is_none(),
        "{spec}"
    );
}
