//! A pattern matches what a slow reading of its rules matches, and takes no longer for it than it should.
#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use outbound_operator::source::PathPattern;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    pattern: &'a str,
    path: &'a str,
}

/// Segment by segment; `**` stands for any number of them, and at the end for one at least: the file's own name.
fn slow(pattern: &[&str], path: &[&str], budget: &mut u32) -> Option<bool> {
    *budget = budget.checked_sub(1)?;
    Some(match (pattern.split_first(), path.split_first()) {
        (None, _) => path.is_empty(),
        (Some((&"**", [])), _) => !path.is_empty(),
        (Some((&"**", rest)), None) => slow(rest, path, budget)?,
        (Some((&"**", rest)), Some((_, behind))) => {
            slow(rest, path, budget)? || slow(pattern, behind, budget)?
        }
        (Some(_), None) => false,
        (Some((first, rest)), Some((name, behind))) => {
            let (first, name): (Vec<char>, Vec<char>) =
                (first.chars().collect(), name.chars().collect());
            segment(&first, &name, budget)? && slow(rest, behind, budget)?
        }
    })
}

fn segment(pattern: &[char], name: &[char], budget: &mut u32) -> Option<bool> {
    *budget = budget.checked_sub(1)?;
    Some(match (pattern.split_first(), name.split_first()) {
        (None, _) => name.is_empty(),
        (Some(('*', rest)), None) => segment(rest, name, budget)?,
        (Some(('*', rest)), Some((_, behind))) => {
            segment(rest, name, budget)? || segment(pattern, behind, budget)?
        }
        (Some(('?', rest)), Some((_, behind))) => segment(rest, behind, budget)?,
        (Some((c, rest)), Some((d, behind))) => c == d && segment(rest, behind, budget)?,
        (Some(_), None) => false,
    })
}

/// Names that a wildcard doesn't match by itself.
fn is_set_aside(name: &str) -> bool {
    name.starts_with(['.', '_']) || name.ends_with(".tmp")
}

fuzz_target!(|input: Input<'_>| {
    let Ok(pattern) = PathPattern::parse(input.pattern) else {
        return;
    };
    assert_eq!(pattern.as_str(), input.pattern);
    let matches = pattern.matches(input.path);
    if input.path.split('/').any(str::is_empty) {
        assert!(!matches, "no file has such a name: {input:?}");
        return;
    }
    if pattern.is_literal() {
        assert_eq!(matches, input.pattern == input.path);
        assert!(pattern.matches(input.pattern));
        return;
    }
    let (segments, names): (Vec<&str>, Vec<&str>) = (
        input.pattern.split('/').collect(),
        input.path.split('/').collect(),
    );
    let Some(wide) = slow(&segments, &names, &mut 200_000) else {
        return;
    };
    // Names that are set aside make it narrower, and nothing makes it wider.
    assert!(!matches || wide, "{input:?}");
    if !names.iter().any(|name| is_set_aside(name)) {
        assert_eq!(matches, wide, "{input:?}");
    }
});
