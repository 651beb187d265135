//! Manifests as a table of tests wants them: a good one, and what is different this time.

/// A manifest of that kind: the lines of `base` as its spec, changed by the lines of `change`.
///
/// A line `field: value` replaces the field or adds it; `!field` takes it away.
pub(crate) fn manifest(kind: &str, name: &str, base: &str, change: &str) -> String {
    let field = |line: &str| {
        line.split(':')
            .next()
            .unwrap()
            .trim_start_matches('!')
            .to_owned()
    };
    let changed: Vec<String> = change.lines().map(field).collect();
    let kept = base.lines().filter(|line| !changed.contains(&field(line)));
    let added = change.lines().filter(|line| !line.starts_with('!'));
    let spec: String = kept
        .chain(added)
        .map(|line| format!("  {line}\n"))
        .collect();
    format!(
        "---\napiVersion: outbound.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n{spec}"
    )
}
