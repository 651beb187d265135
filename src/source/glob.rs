//! Patterns of paths below the namespace's folder.
//!
//! `*` (any characters) and `?` (one) stay within a folder, `**` as a whole segment crosses folders.
//! Nothing else is special. Names that begin with `.` or `_` or end in `.tmp` are what producers hide or
//! still write: they match only where the pattern's own segment begins or ends so.

use std::fmt;

/// Bytes in a pattern; a key, which most paths become, has no more either.
const MAX_PATTERN_BYTES: usize = 1024;

/// Why a pattern is refused. The text names the rule and the escaped pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternInvalid {
    /// Nothing in it.
    #[error("the path is empty")]
    Empty,
    /// Over the limit.
    #[error("the path has {0} bytes; at most {MAX_PATTERN_BYTES} are allowed")]
    TooLong(usize),
    /// A control character.
    #[error("the path {0:?} holds a control character")]
    ControlCharacter(String),
    /// Paths are relative to the namespace's folder.
    #[error("the path {0:?} begins with \"/\"; it must be relative to the namespace's folder")]
    Absolute(String),
    /// `//`, or a `/` at the end.
    #[error("the path {0:?} holds \"//\" or ends with \"/\"")]
    EmptySegment(String),
    /// A segment that stays or leads out.
    #[error("the path {0:?} holds a \".\" or \"..\" segment")]
    DotSegment(String),
    /// `**` that isn't a whole segment would look as if it crossed folders.
    #[error(
        "the path {0:?} holds \"**\" beside other characters; it crosses folders only as a whole segment, \
         as in a/**/*.csv"
    )]
    PartOfSegment(String),
    /// A wildcard in the path of a marker.
    #[error("the path {0:?} holds \"*\" or \"?\"; a marker is one file")]
    NotOneFile(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    /// `**`: any number of folders.
    Folders,
    /// No wildcard: exactly this name.
    Literal(String),
    /// One name.
    Wildcard(String),
}

/// A validated pattern.
#[derive(Clone, PartialEq, Eq)]
pub struct PathPattern {
    text: String,
    segments: Vec<Segment>,
}

impl fmt::Debug for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PathPattern({:?})", self.text)
    }
}

impl fmt::Display for PathPattern {
    /// Escaped, so that it can stand in a log line or a message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.text.escape_debug())
    }
}

impl PathPattern {
    /// Takes a pattern.
    ///
    /// # Errors
    /// When it breaks a rule of [`PatternInvalid`].
    pub fn parse(text: &str) -> Result<Self, PatternInvalid> {
        if text.is_empty() {
            return Err(PatternInvalid::Empty);
        }
        if text.len() > MAX_PATTERN_BYTES {
            return Err(PatternInvalid::TooLong(text.len()));
        }
        let owned = || text.to_owned();
        if text.chars().any(char::is_control) {
            return Err(PatternInvalid::ControlCharacter(owned()));
        }
        if text.starts_with('/') {
            return Err(PatternInvalid::Absolute(owned()));
        }
        let mut segments = Vec::new();
        for segment in text.split('/') {
            segments.push(match segment {
                "" => return Err(PatternInvalid::EmptySegment(owned())),
                "." | ".." => return Err(PatternInvalid::DotSegment(owned())),
                "**" => Segment::Folders,
                _ if segment.contains("**") => return Err(PatternInvalid::PartOfSegment(owned())),
                _ if segment.contains(['*', '?']) => Segment::Wildcard(segment.to_owned()),
                _ => Segment::Literal(segment.to_owned()),
            });
        }
        Ok(Self {
            text: owned(),
            segments,
        })
    }

    /// The pattern as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it names exactly one path.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        let mut segments = self.segments.iter();
        segments.all(|segment| matches!(segment, Segment::Literal(_)))
    }

    /// The folder that every match is in or below: the segments without a wildcard, but for the last of all. Empty
    /// for the namespace's own folder, else it ends in `/`.
    #[must_use]
    pub fn folder(&self) -> &str {
        let folders = &self.segments[..self.segments.len() - 1];
        let literal = folders.iter().map_while(|segment| match segment {
            Segment::Literal(name) => Some(name.len() + 1),
            Segment::Folders | Segment::Wildcard(_) => None,
        });
        &self.text[..literal.sum()]
    }

    /// Whether the file `path` (relative, `/` between segments) matches.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        // No file has such a name: what stands on one side of the slash isn't the whole of it.
        if path.split('/').any(str::is_empty) {
            return false;
        }
        let mut progress = self.start();
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        for folder in folders.split('/').filter(|_| !folders.is_empty()) {
            progress = self.descend(&progress, folder.as_bytes());
        }
        self.accepts(&progress, name.as_bytes())
    }

    /// The progress in the namespace's folder itself.
    pub(super) fn start(&self) -> Progress {
        let mut progress = Progress::default();
        self.reach(&mut progress, 0);
        progress
    }

    /// Adds position `at`, and what stands behind each `**` there, which may be no folder at all.
    fn reach(&self, progress: &mut Progress, mut at: usize) {
        while at < self.segments.len() && !progress.has(at) {
            progress.add(at);
            if self.segments[at] != Segment::Folders {
                break;
            }
            at += 1;
        }
    }

    fn positions(&self, progress: &Progress) -> impl Iterator<Item = usize> {
        let progress = *progress;
        (0..self.segments.len()).filter(move |at| progress.has(*at))
    }

    /// The progress in the folder `name` below.
    pub(super) fn descend(&self, from: &Progress, name: &[u8]) -> Progress {
        let mut below = self.descend_named(from, name);
        for at in self.positions(from) {
            if self.segments[at] == Segment::Folders && !is_hidden(name) {
                self.reach(&mut below, at);
            }
        }
        below
    }

    /// As [`Self::descend`], but only by segments that name the folder; `**` doesn't cross it.
    pub(super) fn descend_named(&self, from: &Progress, name: &[u8]) -> Progress {
        let mut below = Progress::default();
        for at in self.positions(from) {
            if self.segments[at].names(name) {
                self.reach(&mut below, at + 1);
            }
        }
        below
    }

    /// Whether the file `name` in the folder of that progress matches.
    pub(super) fn accepts(&self, progress: &Progress, name: &[u8]) -> bool {
        self.positions(progress).any(|at| {
            at + 1 == self.segments.len()
                && match &self.segments[at] {
                    Segment::Folders => !is_hidden(name),
                    segment => segment.names(name),
                }
        })
    }

    /// The names that can match in the folder of that progress, where the pattern spells all of them
    /// out: then the folder needs no listing.
    pub(super) fn spelled_out(&self, progress: &Progress) -> Option<Vec<&str>> {
        let names = self.positions(progress).map(|at| match &self.segments[at] {
            Segment::Literal(name) => Some(name.as_str()),
            Segment::Folders | Segment::Wildcard(_) => None,
        });
        let mut names = names.collect::<Option<Vec<_>>>()?;
        names.sort_unstable();
        names.dedup();
        Some(names)
    }
}

/// Segments in a pattern at most: one byte each and a slash between.
const MAX_SEGMENTS: usize = MAX_PATTERN_BYTES.div_ceil(2);

/// Positions in one word of [`Progress`].
const BITS: usize = u64::BITS as usize;

/// How far into the pattern a folder is: the set of positions whose segment may match a name in it.
/// None means that nothing below can match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress([u64; MAX_SEGMENTS / BITS]);

impl Progress {
    pub(super) fn is_dead(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    const fn has(&self, at: usize) -> bool {
        self.0[at / BITS] & (1 << (at % BITS)) != 0
    }

    const fn add(&mut self, at: usize) {
        self.0[at / BITS] |= 1 << (at % BITS);
    }
}

impl Segment {
    fn names(&self, name: &[u8]) -> bool {
        match self {
            Self::Folders => false,
            Self::Literal(literal) => literal.as_bytes() == name,
            Self::Wildcard(pattern) => {
                named_so(pattern.as_bytes(), name) && wildcard_bytes(pattern.as_bytes(), name)
            }
        }
    }
}

fn is_hidden(name: &[u8]) -> bool {
    name.starts_with(b".") || name.starts_with(b"_") || name.ends_with(b".tmp")
}

/// Whether the pattern says itself what makes the name hidden.
fn named_so(pattern: &[u8], name: &[u8]) -> bool {
    let begins = |start: &[u8]| !name.starts_with(start) || pattern.starts_with(start);
    let ends = !name.ends_with(b".tmp") || pattern.ends_with(b".tmp");
    begins(b".") && begins(b"_") && ends
}

/// Bytes of the first character, one where it isn't UTF-8.
fn first_char(bytes: &[u8]) -> usize {
    let longest = &bytes[..bytes.len().min(4)];
    let valid = match std::str::from_utf8(longest) {
        Ok(text) => text,
        // Valid up to the next character, which is cut off or broken.
        Err(error) => std::str::from_utf8(&longest[..error.valid_up_to()]).unwrap_or(""),
    };
    valid.chars().next().map_or(1, char::len_utf8)
}

/// Whether `pattern` matches the whole `name`: `*` stands for any characters, `?` for one, and nothing else is special.
pub(crate) fn wildcard(pattern: &str, name: &str) -> bool {
    wildcard_bytes(pattern.as_bytes(), name.as_bytes())
}

/// As [`wildcard`], of a name that needn't be UTF-8. On a mismatch only the last `*` takes one character more, so the
/// time is at most the product of both lengths.
fn wildcard_bytes(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                p += 1;
                star = Some((p, n));
            }
            Some(b'?') => {
                p += 1;
                n += first_char(&name[n..]);
            }
            Some(byte) if *byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((behind, taken)) = star else {
                    return false;
                };
                let taken = taken + first_char(&name[taken..]);
                star = Some((behind, taken));
                (p, n) = (behind, taken);
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        PathPattern::parse(pattern).unwrap().matches(path)
    }

    #[test]
    fn a_wildcard_matches_whole_names() {
        assert!(
            wildcard("team-*", "team-a")
                && wildcard("*", "x")
                && wildcard("a?c", "abc")
                && wildcard("a*c*e", "abcde")
                && wildcard("arn:**/feeds/*", "arn:aws:role/feeds/eu/drop")
        );
        assert!(!wildcard("team-*", "xteam-a") && !wildcard("a?c", "ac") && !wildcard("", "a"));
    }

    #[test]
    fn stars_and_question_marks_stay_in_a_folder() {
        for (pattern, path, expected) in [
            ("*.csv", "a.csv", true),
            ("*.csv", "x/a.csv", false),
            ("*.csv", "a.CSV", false),
            ("*", "a", true),
            ("*", "/a", false),
            ("*/a", "//a", false),
            ("a*", "a", true),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("a?c", "aéc", true),
            ("a?", "a", false),
            ("?", "日", true),
            ("*?", "日", true),
            ("*??", "日", false),
            ("*日", "本日日", true),
            ("x/*/b", "x/a/b", true),
            ("x/*/b", "x/b", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("exports/2026/a.csv", "exports/2026/a.csv", true),
            ("exports/2026/a.csv", "exports/2026/a.csv/b", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn two_stars_cross_folders() {
        for (pattern, path, expected) in [
            ("**", "a", true),
            ("**", "a/b/c", true),
            ("a/**", "a", false),
            ("a/**", "a/b", true),
            ("a/**", "a/b/c", true),
            ("**/x.csv", "x.csv", true),
            ("**/x.csv", "a/b/x.csv", true),
            ("a/**/x.csv", "a/x.csv", true),
            ("a/**/x.csv", "a/b/c/x.csv", true),
            ("a/**/x.csv", "b/x.csv", false),
            ("**/b/**/d", "a/b/c/b/d", true),
            ("**/**", "a", true),
            ("**/*/c", "c", false),
            ("**/*/c", "a/b/c", true),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn hidden_names_match_only_where_they_are_named_so() {
        for (pattern, path, expected) in [
            ("*", ".a", false),
            ("?a", ".a", false),
            (".*", ".a", true),
            ("*", "_SUCCESS", false),
            ("_*", "_SUCCESS", true),
            ("_SUCCESS", "_SUCCESS", true),
            ("*", "a.tmp", false),
            ("a.*", "a.tmp", false),
            ("*.tmp", "a.tmp", true),
            ("*tmp", "a.tmp", false),
            ("*.tmp", ".a.tmp", false),
            (".*.tmp", ".a.tmp", true),
            (".*", ".a.tmp", false),
            ("a.tmp", "a.tmp", true),
            ("*/a", ".git/a", false),
            ("*/a", "x.tmp/a", false),
            (".git/a", ".git/a", true),
            ("**", ".a", false),
            ("**", "x/_a", false),
            ("**/a", "_x/a", false),
            ("**/a", "x/.y/a", false),
            ("**/_x/a", "y/_x/a", true),
            ("**/_*", "y/_x", true),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn nothing_else_is_special() {
        for name in ["[ab]", "{a,b}", "!a", "a\\b", "~", "a b", "é", "$x"] {
            assert!(matches(name, name), "{name}");
        }
        assert!(!matches("[ab]", "a"));
        assert!(!matches("{a,b}", "a"));
        assert!(!matches("\\*", "*"));
    }

    #[test]
    fn what_could_leave_the_folder_is_refused() {
        let absolute = PatternInvalid::Absolute("/a".into());
        assert_eq!(PathPattern::parse("/a"), Err(absolute));
        assert_eq!(PathPattern::parse(""), Err(PatternInvalid::Empty));
        for dots in ["..", "../a", "a/..", "a/../b", ".", "./a", "**/../a"] {
            let refused = PathPattern::parse(dots);
            assert_eq!(refused, Err(PatternInvalid::DotSegment(dots.into())));
        }
        for empty in ["a//b", "a/"] {
            let refused = PathPattern::parse(empty);
            assert_eq!(refused, Err(PatternInvalid::EmptySegment(empty.into())));
        }
        for control in ["a\nb", "a\0", "\u{1b}[m", "\u{7f}", "\u{85}"] {
            let refused = PathPattern::parse(control).unwrap_err();
            assert_eq!(refused, PatternInvalid::ControlCharacter(control.into()));
            assert!(!refused.to_string().chars().any(char::is_control));
        }
        for part in ["a**", "**.csv", "x/**a/b", "***"] {
            let refused = PathPattern::parse(part);
            assert_eq!(refused, Err(PatternInvalid::PartOfSegment(part.into())));
        }
        assert!(PathPattern::parse(&"a".repeat(1024)).is_ok());
        let long = PathPattern::parse(&"a".repeat(1025));
        assert_eq!(long, Err(PatternInvalid::TooLong(1025)));
        assert!(PathPattern::parse("..a/...").is_ok());
    }

    #[test]
    fn literal_patterns_are_known() {
        assert!(PathPattern::parse("a/[b].csv").unwrap().is_literal());
        for wild in ["a/*", "?", "**/a"] {
            assert!(!PathPattern::parse(wild).unwrap().is_literal(), "{wild}");
        }
    }

    #[test]
    fn a_walk_is_pruned() {
        let pattern = PathPattern::parse("exports/*/x/**/*.csv").unwrap();
        let step = |from: &Progress, name: &str| pattern.descend(from, name.as_bytes());
        let root = pattern.start();
        assert_eq!(pattern.spelled_out(&root), Some(vec!["exports"]));
        assert!(step(&root, "other").is_dead());
        let exports = step(&root, "exports");
        assert_eq!(pattern.spelled_out(&exports), None);
        assert!(step(&exports, ".hidden").is_dead());
        let day = step(&exports, "2026");
        assert_eq!(pattern.spelled_out(&day), Some(vec!["x"]));
        let x = step(&day, "x");
        assert!(!step(&x, "deep").is_dead());
        assert!(pattern.descend_named(&x, b"deep").is_dead());
        assert!(step(&step(&root, "exports"), "a.tmp").is_dead());
        let files = PathPattern::parse("a/*.csv").unwrap();
        let a = files.descend(&files.start(), b"a");
        assert!(files.descend(&a, b"b.csv").is_dead());
    }

    #[test]
    fn no_pattern_takes_long() {
        let begun = Instant::now();
        let longest = vec!["a"; MAX_SEGMENTS].join("/");
        assert!(matches(&longest, &longest));
        assert_eq!(
            PathPattern::parse(&format!("{longest}b/")),
            Err(PatternInvalid::TooLong(1025))
        );
        let many_stars = "a*".repeat(500) + "b";
        assert!(!matches(&many_stars, &"a".repeat(1000)));
        let many_folders = "**/a/".repeat(200) + "b";
        assert!(!matches(&many_folders, &("a/".repeat(1000) + "c")));
        assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    }

    /// The same rules as plainly as they can be written, exponential and all.
    fn plain(pattern: &[&str], path: &[&str]) -> bool {
        match (pattern, path) {
            ([], []) => true,
            (["**"], []) => false,
            (["**"], [.., _]) => path.iter().all(|name| !is_hidden(name.as_bytes())),
            (["**", rest @ ..], _) if plain(rest, path) => true,
            (["**", ..], [name, below @ ..]) => {
                !is_hidden(name.as_bytes()) && plain(pattern, below)
            }
            ([segment, rest @ ..], [name, below @ ..]) => {
                let (s, n): (Vec<_>, Vec<_>) = (segment.chars().collect(), name.chars().collect());
                named_so(segment.as_bytes(), name.as_bytes())
                    && plain_name(&s, &n)
                    && plain(rest, below)
            }
            _ => false,
        }
    }

    fn plain_name(pattern: &[char], name: &[char]) -> bool {
        match (pattern, name) {
            ([], []) => true,
            (['*', rest @ ..], _) if plain_name(rest, name) => true,
            (['*', ..], [_, rest @ ..]) => plain_name(pattern, rest),
            (['?', p @ ..], [_, n @ ..]) => plain_name(p, n),
            ([a, p @ ..], [b, n @ ..]) => a == b && plain_name(p, n),
            _ => false,
        }
    }

    proptest! {
        // Quick, and the odd combinations are rare.
        #![proptest_config(ProptestConfig::with_cases(3000))]
        #[test]
        fn matching_is_as_plainly_written(
            pattern in "(\\*\\*|[ab_é*?]{1,3}|a.tmp)(/(\\*\\*|[ab_é*?]{1,3}|[*].tmp)){0,3}",
            path in "([ab_.é]{1,3}|a.tmp)(/([ab_é]{1,3}|a.tmp)){0,4}",
        ) {
            let Ok(parsed) = PathPattern::parse(&pattern) else {
                return Ok(());
            };
            let segments: Vec<_> = pattern.split('/').collect();
            let names: Vec<_> = path.split('/').collect();
            prop_assert_eq!(parsed.matches(&path), plain(&segments, &names), "{} {}", pattern, path);
        }
    }
}
