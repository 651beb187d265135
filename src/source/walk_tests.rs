use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use super::*;
use crate::source::SourceErrorKind;

fn tree(files: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("ns")).unwrap();
    for file in files {
        let path = dir.path().join("ns").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
    dir
}

fn scan_of(
    dir: &tempfile::TempDir,
    pattern: &str,
    limit: usize,
) -> Result<Vec<String>, SourceError> {
    let root = VolumeRoot::open(dir.path(), "ns").unwrap();
    let found = scan(
        &root,
        &PathPattern::parse(pattern).unwrap(),
        limit,
        &CancellationToken::new(),
    )?;
    Ok(found.into_iter().map(|file| file.path).collect())
}

fn found(dir: &tempfile::TempDir, pattern: &str) -> Vec<String> {
    scan_of(dir, pattern, MAX_ENTRIES).unwrap()
}

#[test]
fn a_scan_that_is_stopped_looks_no_further() {
    let dir = tree(&["a/b.csv", "c.csv"]);
    let root = VolumeRoot::open(dir.path(), "ns").unwrap();
    let stop = CancellationToken::new();
    let scan = || {
        scan(
            &root,
            &PathPattern::parse("**").unwrap(),
            MAX_ENTRIES,
            &stop,
        )
    };
    assert_eq!(scan().unwrap().len(), 2);
    stop.cancel();
    assert!(matches!(scan(), Err(SourceError::Ended)));
}

#[test]
fn matches_come_in_byte_order() {
    let dir = tree(&[
        "b.csv",
        "a/z.csv",
        "a.csv",
        "a-b.csv",
        "B.csv",
        "é.csv",
        "a/b/c.csv",
    ]);
    let expected = [
        "B.csv",
        "a-b.csv",
        "a.csv",
        "a/b/c.csv",
        "a/z.csv",
        "b.csv",
        "é.csv",
    ];
    assert_eq!(found(&dir, "**/*.csv"), expected);
    assert_eq!(found(&dir, "**"), expected);
    assert_eq!(found(&dir, "a/**"), ["a/b/c.csv", "a/z.csv"]);
    assert_eq!(found(&dir, "a*.csv"), ["a-b.csv", "a.csv"]);
    assert_eq!(found(&dir, "*/*.csv"), ["a/z.csv"]);
    assert_eq!(found(&dir, "**/b/*"), ["a/b/c.csv"]);
}

#[test]
fn hidden_names_and_folders_are_left_out() {
    let dir = tree(&[
        "a", ".b", "_c", "d.tmp", ".e/a", "_f/a", "g.tmp/a", "h/a", "h/.i/a",
    ]);
    assert_eq!(found(&dir, "**"), ["a", "h/a"]);
    assert_eq!(found(&dir, "*"), ["a"]);
    assert_eq!(found(&dir, "*/a"), ["h/a"]);
    assert_eq!(found(&dir, ".e/*"), [".e/a"]);
    assert_eq!(found(&dir, "_*/a"), ["_f/a"]);
    assert_eq!(found(&dir, "**/*.tmp"), ["d.tmp"]);
    assert_eq!(found(&dir, "_c"), ["_c"]);
}

#[test]
fn nothing_found_says_what_was_asked_for() {
    let dir = tree(&["a/b.csv", "a/.c.csv"]);
    for literal in ["x", "a/x", "x/y", "a/b.csv/c"] {
        let error = scan_of(&dir, literal, MAX_ENTRIES).unwrap_err();
        assert!(
            matches!(&error, SourceError::NotFound { path } if path == literal),
            "{error}"
        );
    }
    for pattern in ["*.x", "x/*", "a/b.csv/*", "**/x"] {
        let error = scan_of(&dir, pattern, MAX_ENTRIES).unwrap_err();
        assert_eq!(error.kind(), SourceErrorKind::Empty, "{error}");
        assert!(error.to_string().contains(pattern), "{error}");
    }
}

#[test]
fn no_more_than_the_limit_is_looked_at() {
    let dir = tree(&["a/1", "a/2", "a/.3", "b/4", "b/5"]);
    assert_eq!(scan_of(&dir, "a/*", 3).unwrap(), ["a/1", "a/2"]);
    let error = scan_of(&dir, "a/*", 2).unwrap_err();
    assert_eq!(error.kind(), SourceErrorKind::TooManyEntries);
    assert!(error.to_string().contains("more than 2 entries"), "{error}");
    assert_eq!(scan_of(&dir, "**", 7).unwrap().len(), 4);
    assert!(scan_of(&dir, "**", 6).is_err());
    // What can't match isn't listed, what is spelled out is not either.
    assert_eq!(scan_of(&dir, "a*/1", 2).unwrap(), ["a/1"]);
    assert_eq!(scan_of(&dir, "a/1", 0).unwrap(), ["a/1"]);
}

#[test]
fn two_stars_do_not_cross_linked_folders() {
    let dir = tree(&["data/a.csv", "x/b.csv"]);
    let ns = dir.path().join("ns");
    symlink("data", ns.join("current")).unwrap();
    symlink("..", ns.join("x/up")).unwrap();
    symlink("/etc", ns.join("x/etc")).unwrap();
    symlink("a.csv", ns.join("data/link.csv")).unwrap();
    let all = ["data/a.csv", "data/link.csv", "x/b.csv"];
    assert_eq!(found(&dir, "**/*.csv"), all);
    assert_eq!(
        found(&dir, "current/*.csv"),
        ["current/a.csv", "current/link.csv"]
    );
    assert_eq!(found(&dir, "c*/**/a.csv"), ["current/a.csv"]);
    assert_eq!(found(&dir, "**/up/x/*.csv"), ["x/up/x/b.csv"]);
    // As the last segment it matches files, and a linked folder is none.
    let error = scan_of(&dir, "x/**", MAX_ENTRIES).unwrap_err();
    assert_eq!(error.kind(), SourceErrorKind::PathNotAllowed, "{error}");
    fs::remove_file(ns.join("x/etc")).unwrap();
    assert_eq!(found(&dir, "**"), all);
}

#[test]
fn names_that_are_not_utf8_are_refused_only_where_they_match() {
    let dir = tree(&["a.csv"]);
    let ns = dir.path().join("ns");
    fs::write(ns.join(OsStr::from_bytes(b"b\xff.csv")), "").unwrap();
    fs::create_dir(ns.join(OsStr::from_bytes(b"d\xfe"))).unwrap();
    assert_eq!(found(&dir, "a*.csv"), ["a.csv"]);
    assert_eq!(found(&dir, "**/a.csv"), ["a.csv"]);
    for pattern in ["*.csv", "b?.csv", "**"] {
        let error = scan_of(&dir, pattern, MAX_ENTRIES).unwrap_err();
        assert_eq!(error.kind(), SourceErrorKind::Unreadable);
        let message = error.to_string();
        assert!(message.contains("\"b\\xff.csv\" is not UTF-8"), "{message}");
    }
}
