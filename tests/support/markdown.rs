//! The documentation's pages, as far as tests read them: blocks, commands, links, headings.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A fenced block.
#[derive(Debug)]
pub(crate) struct Block {
    /// What stands behind the fence: `sh`, `yaml`.
    pub(crate) language: String,
    pub(crate) text: String,
}

impl Block {
    /// The commands of a block of `sh`: without comments, continued lines as one.
    pub(crate) fn commands(&self) -> Vec<String> {
        let whole = self.text.replace("\\\n", " ");
        let lines = whole.lines().map(str::trim);
        lines
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(str::to_owned)
            .collect()
    }

    /// The file that the block is to be written to, when its first line names one: `# globex.yaml`.
    pub(crate) fn file(&self) -> Option<&str> {
        let name = self.text.lines().next()?.strip_prefix("# ")?;
        (name.ends_with(".yaml") && !name.contains(' ')).then_some(name)
    }
}

/// Calls `each` with every line and whether it is outside of blocks; fences are in them.
fn walk<'a>(page: &'a str, mut each: impl FnMut(&'a str, bool)) {
    let mut is_text = true;
    for line in page.lines() {
        let is_fence = line.trim_start().starts_with("```");
        each(line, is_text && !is_fence);
        is_text ^= is_fence;
    }
}

/// The fenced blocks, those in lists too.
pub(crate) fn blocks(page: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut open: Option<usize> = None;
    walk(page, |line, is_text| match (line.trim_start(), open) {
        (start, None) if start.starts_with("```") => {
            open = Some(line.len() - start.len());
            found.push(Block {
                language: start.trim_start_matches('`').to_owned(),
                text: String::new(),
            });
        }
        (start, Some(_)) if start.starts_with("```") => open = None,
        (_, Some(indent)) if !is_text => {
            let block = found.last_mut().expect("an open block");
            block.text.push_str(line.get(indent..).unwrap_or_default());
            block.text.push('\n');
        }
        _ => {}
    });
    found
}

/// What the page's links lead to, as they are written; of code, none.
pub(crate) fn links(page: &str) -> Vec<String> {
    let mut text = String::new();
    walk(page, |line, is_text| {
        if is_text {
            // What stands between backticks is every other piece.
            text.extend(line.split('`').step_by(2));
            text.push('\n');
        }
    });
    let targets = text.split("](").skip(1);
    targets
        .filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()))
        .collect()
}

/// The anchors of the page's headings, as GitHub makes them.
pub(crate) fn anchors(page: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    walk(page, |line, is_text| {
        let heading = line.trim_start_matches('#');
        if is_text && heading.len() < line.len() && heading.starts_with(' ') {
            let kept = heading.trim().chars().filter_map(|c| match c {
                ' ' => Some('-'),
                '-' | '_' => Some(c),
                c => c.is_alphanumeric().then(|| c.to_ascii_lowercase()),
            });
            found.insert(kept.collect());
        }
    });
    found
}

/// Every page of the clone, by its path from the root.
pub(crate) fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = vec!["README.md".into(), "CONTRIBUTING.md".into()];
    let mut folders: Vec<PathBuf> = ["docs", "examples", "charts", "tests"]
        .map(PathBuf::from)
        .into();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root.join(&folder)).expect("a folder") {
            let entry = entry.expect("an entry");
            let path = folder.join(entry.file_name());
            if entry.file_type().expect("a type").is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
