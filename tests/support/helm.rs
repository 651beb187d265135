//! The chart, rendered and installed by the real Helm.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::control_plane::ControlPlane;
use super::process::{Output, Scratch, program};

/// The namespace and the release's name in the documentation.
pub(crate) const NAMESPACE: &str = "outbound-system";
pub(crate) const RELEASE: &str = "outbound-operator";

/// What has no default.
pub(crate) const REQUIRED: &str =
    "image: {repository: localhost/outbound-operator}\nconfig: {clusterId: test}\n";

/// `charts/outbound-operator`.
pub(crate) fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/outbound-operator")
}

/// The sets of values that there are snapshots of, by their files' names.
pub(crate) fn value_sets() -> Vec<(String, String)> {
    let folders = [
        Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/values"),
        chart().join("ci"),
    ];
    let mut found: Vec<_> = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).expect("a folder of values"))
        .map(|entry| entry.expect("a file of values").path())
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy();
            let text = std::fs::read_to_string(&path).expect("values");
            (name.trim_end_matches("-values").to_owned(), text)
        })
        .collect();
    found.sort();
    found
}

/// Helm with its own files in a folder of this call, and values on standard input where `-f -` says so.
pub(crate) fn helm(cluster: Option<&ControlPlane>, arguments: &[&str], values: &str) -> Output {
    let home = Scratch::new("helm");
    let mut command = Command::new(program("helm"));
    for name in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        command.env(name, home.path());
    }
    match cluster {
        Some(cluster) => command.env("KUBECONFIG", cluster.kubeconfig()),
        None => command.env("KUBECONFIG", home.path().join("none")),
    };
    Output::of(command.args(arguments), Some(values))
}

/// `helm template` in the documentation's namespace.
pub(crate) fn template(values: &str, more: &[&str]) -> Output {
    let chart = chart();
    let chart = chart.to_str().expect("a path in UTF-8");
    let mut arguments = vec!["template", RELEASE, chart, "--namespace", NAMESPACE];
    arguments.extend(["--kube-version", "1.36.0", "-f", "-"]);
    arguments.extend(more);
    helm(None, &arguments, values)
}

/// The objects in rendered manifests.
pub(crate) fn objects(manifests: &str) -> Vec<Value> {
    manifests
        .split("\n---\n")
        .filter(|part| {
            part.lines()
                .any(|line| !line.is_empty() && !line.starts_with(['#', '-']))
        })
        .map(|part| outbound_operator::yaml::read(part).expect("a manifest"))
        .collect()
}

/// The object of that kind; there must be one only.
#[track_caller]
pub(crate) fn only(objects: &[Value], kind: &str) -> Value {
    let found: Vec<_> = objects.iter().filter(|one| one["kind"] == kind).collect();
    assert_eq!(found.len(), 1, "{kind}");
    found[0].clone()
}
