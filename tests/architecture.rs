//! Which module may import which, who may name which crate, and how long a file may be.
//!
//! The rule for modules is the table in `src/lib.rs`, so that what a reader sees is what is held.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by failing"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Lines in a file of `src`, not counting a closing `mod tests`: what can be held in one's head.
const MAX_LINES: usize = 400;

/// Who may name a crate (or every crate with that prefix, where it ends in `*`).
const CRATES: &[(&str, &[&str])] = &[
    // Nothing outside `store` sees a type of the AWS SDK, so another client stays possible.
    ("aws_*", &["store"]),
    // The engine knows nothing of Kubernetes: it also runs without a cluster.
    (
        "kube",
        &["api", "manifest", "controllers", "runtime", "cli"],
    ),
    (
        "k8s_openapi",
        &["api", "manifest", "controllers", "runtime", "cli"],
    ),
    // Unmaintained: one module, so that it can be replaced.
    ("serde_yaml", &["yaml"]),
    ("clap", &["cli"]),
    ("indicatif", &["cli"]),
    // Who counts knows no names of series, and who serves no registry.
    ("prometheus_client", &["metrics"]),
    ("hyper", &["runtime"]),
    ("hyper_util", &["runtime"]),
];

/// One token of Rust, as far as paths need it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    PathSeparator,
    Other(char),
}

/// The source's tokens without comments, strings and characters.
fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let rest = &chars[at..];
        at += if rest.starts_with(&['/', '/']) {
            rest.iter().take_while(|c| **c != '\n').count()
        } else if rest.starts_with(&['/', '*']) {
            block_comment(rest)
        } else if let Some(length) = raw_string(rest) {
            length
        } else if c == '"' {
            quoted(rest, '"')
        } else if c == '\'' {
            character_or_lifetime(rest)
        } else if rest.starts_with(&[':', ':']) {
            found.push(Token::PathSeparator);
            2
        } else if c.is_alphanumeric() || c == '_' {
            let word: String = rest
                .iter()
                .take_while(|c| c.is_alphanumeric() || **c == '_')
                .collect();
            let length = word.chars().count();
            found.push(Token::Word(word));
            length
        } else {
            if !c.is_whitespace() {
                found.push(Token::Other(c));
            }
            1
        };
    }
    found
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn raw_string(rest: &[char]) -> Option<usize> {
    let prefix = rest.iter().take_while(|c| **c == 'b').count().min(1);
    let after_r = rest.get(prefix..)?.strip_prefix(&['r'])?;
    let hashes = after_r.iter().take_while(|c| **c == '#').count();
    let body = after_r[hashes..].strip_prefix(&['"'])?;
    let mut end = vec!['"'];
    end.extend(std::iter::repeat_n('#', hashes));
    let length = body.windows(end.len()).position(|window| window == end)?;
    Some(prefix + 1 + hashes + 1 + length + end.len())
}

fn quoted(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

fn character_or_lifetime(rest: &[char]) -> usize {
    match rest {
        ['\'', '\\', ..] => quoted(rest, '\''),
        ['\'', _, '\'', ..] => 3,
        _ => 1,
    }
}

/// A file of `src`: the module at the crate's root that it belongs to, and how deep it lies.
struct File<'a> {
    module: &'a str,
    /// Modules from the crate's root to this file's own: 1 for `plan`, 2 for `plan::key`.
    depth: usize,
}

impl<'a> File<'a> {
    /// `path` is relative to `src`.
    fn new(path: &'a str) -> Self {
        let parts: Vec<&str> = path.trim_end_matches(".rs").split('/').collect();
        let depth = parts.len() - usize::from(parts.last() == Some(&"mod"));
        Self {
            module: parts[0],
            depth,
        }
    }
}

/// The modules at the crate's root that a file's paths lead to: `crate::x`, `crate::{x, y::Z}`, and
/// as many `super::` as lead to the root.
fn imports(file: &File<'_>, tokens: &[Token]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for at in 0..tokens.len() {
        let Token::Word(word) = &tokens[at] else {
            continue;
        };
        if at > 0 && tokens[at - 1] == Token::PathSeparator {
            continue;
        }
        let behind_root = match word.as_str() {
            "crate" | "outbound_operator" => at + 1,
            "super" => {
                let supers = tokens[at..]
                    .chunks(2)
                    .take_while(|pair| is_super(pair))
                    .count();
                if supers < file.depth {
                    continue;
                }
                at + 2 * supers - 1
            }
            _ => continue,
        };
        if tokens.get(behind_root) == Some(&Token::PathSeparator) {
            found.extend(first_segments(&tokens[behind_root + 1..]));
        }
    }
    found
}

fn is_super(pair: &[Token]) -> bool {
    matches!(pair, [Token::Word(word), Token::PathSeparator] if word == "super")
}

/// `x::Y` gives x; `{x::Y, z}` gives x and z.
fn first_segments(tokens: &[Token]) -> Vec<String> {
    match tokens.first() {
        Some(Token::Word(word)) => vec![word.clone()],
        Some(Token::Other('{')) => {
            let (mut found, mut depth, mut first) = (Vec::new(), 0_usize, true);
            for token in tokens {
                match token {
                    Token::Other('{') => depth += 1,
                    Token::Other('}') => depth -= 1,
                    Token::Other(',') if depth == 1 => first = true,
                    Token::Word(word) if depth == 1 && first => {
                        found.push(word.clone());
                        first = false;
                    }
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
            }
            found
        }
        _ => Vec::new(),
    }
}

/// The crates that are named at the head of a path or of a `use`.
fn crates(tokens: &[Token]) -> BTreeSet<&str> {
    let heads = tokens.iter().enumerate().filter_map(|(at, token)| {
        let Token::Word(word) = token else {
            return None;
        };
        let before = at.checked_sub(1).map(|before| &tokens[before]);
        let head = tokens.get(at + 1) == Some(&Token::PathSeparator)
            && before != Some(&Token::PathSeparator);
        let whole = matches!(before, Some(Token::Word(word)) if word == "use" || word == "crate");
        (head || whole).then_some(word.as_str())
    });
    heads.collect()
}

/// The rows of the table in `lib.rs`: module -> what it may import.
fn rules(lib: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut rules: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in lib.lines().filter_map(|line| line.strip_prefix("//! | ")) {
        let columns: Vec<&str> = line
            .trim_end_matches('|')
            .split(" | ")
            .map(str::trim)
            .collect();
        let [name, _, allowed] = columns[..] else {
            panic!("lib.rs: a row of three columns, not {line:?}")
        };
        let Some(name) = in_backticks(name).next() else {
            continue;
        };
        let allowed = match allowed {
            "all" => ["*".to_owned()].into(),
            "all of the above" => rules.keys().cloned().collect(),
            "nothing of ours" => BTreeSet::new(),
            listed => in_backticks(listed).map(str::to_owned).collect(),
        };
        rules.insert(name.to_owned(), allowed);
    }
    rules
}

fn in_backticks(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// What is wrong with one file.
fn violations(path: &str, source: &str, rules: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let file = File::new(path);
    let mut wrong = Vec::new();
    let lines = source
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or(source)
        .lines()
        .count();
    if lines > MAX_LINES && !path.ends_with("tests.rs") {
        wrong.push(format!("{path}: {lines} lines; at most {MAX_LINES}"));
    }
    if path == "lib.rs" {
        return wrong;
    }
    let module = if path == "main.rs" {
        "cli"
    } else {
        file.module
    };
    let Some(allowed) = rules.get(module) else {
        wrong.push(format!(
            "{path}: the table in lib.rs has no row for `{module}`"
        ));
        return wrong;
    };
    let tokens = tokens(source);
    for import in imports(&file, &tokens) {
        let known = rules.contains_key(&import);
        if known && import != module && !allowed.contains(&import) && !allowed.contains("*") {
            wrong.push(format!("{path}: `{module}` may not import `{import}`"));
        }
    }
    // Tests check with a client that isn't our code path.
    let is_test = path.ends_with("tests.rs") || path.ends_with("testkit.rs");
    for name in crates(&tokens).into_iter().filter(|_| !is_test) {
        for (pattern, owners) in CRATES {
            let matches = pattern
                .strip_suffix('*')
                .map_or(name == *pattern, |prefix| name.starts_with(prefix));
            if matches && !owners.contains(&module) {
                wrong.push(format!("{path}: {name} is for {owners:?} only"));
            }
        }
    }
    wrong
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_file_keeps_to_the_table() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let rules = rules(&fs::read_to_string(src.join("lib.rs")).unwrap());
    let mut files = Vec::new();
    sources(&src, &mut files);
    assert!(
        files.len() > 20,
        "the sources were not found in {}",
        src.display()
    );
    let mut wrong = Vec::new();
    for file in files {
        let path = file.strip_prefix(&src).unwrap().to_str().unwrap();
        wrong.extend(violations(
            path,
            &fs::read_to_string(&file).unwrap(),
            &rules,
        ));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The checker itself: what must be found, and what must not.
mod checker {
    use super::*;

    const TABLE: &str = "\
//! | module | what it knows | what it may import |
//! |---|---|---|
//! | [`api`] | kinds | nothing of ours |
//! | [`plan`] | pure | nothing of ours |
//! | `store` | S3 | `plan` |
//! | `controllers` | reconcilers | all of the above |
//! | `cli` | commands | all |
";

    fn found(path: &str, source: &str) -> Vec<String> {
        violations(path, source, &rules(TABLE))
    }

    #[test]
    fn the_table_is_read() {
        let rules = rules(TABLE);
        assert_eq!(rules["plan"], BTreeSet::new());
        assert_eq!(rules["store"], ["plan".to_owned()].into());
        assert_eq!(
            rules["controllers"],
            ["api", "plan", "store"].map(str::to_owned).into()
        );
    }

    #[test]
    fn an_arrow_that_points_back_is_found_however_it_is_written() {
        for source in [
            "use crate::store::Bucket;",
            "use crate::{plan::Plan, store::{Bucket, Target}};",
            "use crate::{\n    store,\n};",
            "fn f() -> crate::store::Bucket { x }",
            "use super::super::store::Bucket;",
            "pub(in crate::store) fn f() {}",
        ] {
            assert_eq!(
                found("plan/key.rs", source),
                ["plan/key.rs: `plan` may not import `store`"],
                "{source}"
            );
        }
        assert_eq!(found("plan/mod.rs", "use super::store::Bucket;").len(), 1);
        assert_eq!(found("plan.rs", "use super::store::Bucket;").len(), 1);
    }

    #[test]
    fn what_is_allowed_or_only_mentioned_is_not_found() {
        for (path, source) in [
            ("store/bucket.rs", "use crate::plan::{Crc64, ObjectKey};"),
            ("plan/key.rs", "use super::store::local_name;"),
            (
                "plan/key.rs",
                "/// Like [`crate::store::Bucket`].\n/* use crate::store /* x */ ; */ fn f<'a>(x: &'a str) {}",
            ),
            (
                "plan/key.rs",
                "const A: &str = \"use crate::store\"; const B: char = '\"'; const C: &str = r#\"crate::store\"#;",
            ),
            ("plan/key.rs", "fn f(kube: u8) { kube; crate::f(); }"),
            ("main.rs", "outbound_operator::store::x()"),
            ("cli/run.rs", "use crate::store; use kube::Client;"),
        ] {
            assert_eq!(found(path, source), Vec::<String>::new(), "{source}");
        }
    }

    #[test]
    fn crates_stay_with_their_modules() {
        assert_eq!(found("plan/key.rs", "use aws_sdk_s3::Client;").len(), 1);
        assert_eq!(
            found("controllers/mod.rs", "fn f(c: &aws_config::SdkConfig) {}").len(),
            1
        );
        assert_eq!(
            found("store/client.rs", "use aws_sdk_s3::Client;"),
            Vec::<String>::new()
        );
        assert_eq!(found("store/client.rs", "use k8s_openapi as k;").len(), 1);
        assert_eq!(found("cli/crds.rs", "serde_yaml::to_string(&x)").len(), 1);
    }

    #[test]
    fn an_unknown_module_and_a_long_file_are_found() {
        assert_eq!(
            found("misc/mod.rs", ""),
            ["misc/mod.rs: the table in lib.rs has no row for `misc`"]
        );
        let long = "fn f() {}\n".repeat(MAX_LINES + 1);
        assert_eq!(found("plan/key.rs", &long).len(), 1);
        let tested = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
        assert_eq!(found("plan/key.rs", &tested), Vec::<String>::new());
    }
}
