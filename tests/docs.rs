//! The documentation against the code: every reason is explained, every field that is shown exists.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by failing"
)]

#[path = "support/markdown.rs"]
#[allow(dead_code, reason = "the tests of commands use the rest")]
mod markdown;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use outbound_operator::api::{
    DeliveryReason, DestinationReason, OutboundDelivery, OutboundDestination, Phase, Status,
};
use outbound_operator::config::Config;
use outbound_operator::metrics::Metrics;
use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The words in the first column of the table whose header begins with `header`.
fn first_column(page: &str, header: &str) -> Vec<String> {
    let rows = page
        .lines()
        .skip_while(|line| !line.starts_with(&format!("| {header} |")))
        .skip(2);
    rows.map_while(|line| line.strip_prefix("| `"))
        .map(|row| row[..row.find('`').unwrap()].to_owned())
        .collect()
}

#[test]
fn the_page_of_reasons_is_what_the_types_say_and_the_kinds_lead_to_it() {
    assert_eq!(
        text("docs/reasons.md"),
        outbound_operator::api::reasons_page(),
        "run make generate"
    );
    for page in ["docs/destination.md", "docs/delivery.md"] {
        assert!(text(page).contains("](reasons.md#"), "{page}");
    }
}

/// The policies' actions and the report's words, as the page of destinations explains them.
#[test]
fn every_permission_is_documented() {
    let page = text("docs/destination.md");
    for action in outbound_operator::store::Action::ALL {
        assert!(page.contains(&format!("`{action}`")), "{action}");
    }
    for result in ["`Allowed`", "`Denied`", "`Unknown`", "`Us`", "`Customer`"] {
        assert!(page.contains(result), "{result}");
    }
}

/// The schema's fields, with dots between levels; a level that has members is only named with them.
fn fields(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    match schema["properties"].as_object() {
        Some(members) => {
            for (name, member) in members {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                fields(member, &path, found);
            }
        }
        None => {
            found.insert(path.to_owned());
        }
    }
}

#[test]
fn every_field_of_a_spec_is_documented_and_nothing_else() {
    for (kind, page) in [
        ("OutboundDestination", "docs/destination.md"),
        ("OutboundDelivery", "docs/delivery.md"),
    ] {
        let crd = outbound_operator::api::crds()
            .into_iter()
            .find(|crd| crd.spec.names.kind == kind)
            .unwrap();
        let crd = serde_json::to_value(crd).unwrap();
        let mut in_schema = BTreeSet::new();
        fields(
            &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"],
            "",
            &mut in_schema,
        );
        let documented: BTreeSet<String> = first_column(&text(page), "field").into_iter().collect();
        assert_eq!(documented, in_schema, "{page}");
    }
}

#[test]
fn every_field_of_a_status_is_named_on_its_kinds_page() {
    for (kind, page) in [
        ("OutboundDestination", "docs/destination.md"),
        ("OutboundDelivery", "docs/delivery.md"),
    ] {
        let crds = outbound_operator::api::crds();
        let crd = crds.iter().find(|crd| crd.spec.names.kind == kind).unwrap();
        let crd = serde_json::to_value(crd).unwrap();
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let status = schema["properties"]["status"]["properties"]
            .as_object()
            .unwrap();
        let page = text(page);
        for field in status.keys().filter(|field| *field != "conditions") {
            let is_named = [format!("`{field}`"), format!("`status.{field}")];
            assert!(
                is_named.iter().any(|it| page.contains(it)),
                "{kind}: {field}"
            );
        }
    }
}

/// The pages of the kinds can be read in one way.
#[test]
fn the_pages_of_the_kinds_have_the_same_parts() {
    for page in ["docs/destination.md", "docs/delivery.md"] {
        let page = text(page);
        let parts = page.lines().filter_map(|line| line.strip_prefix("## "));
        let parts: Vec<&str> = parts.collect();
        assert_eq!(
            parts,
            ["Writing", "Working", "Debugging", "Events", "Status"]
        );
    }
}

/// The YAML blocks of a Markdown page.
fn blocks(page: &str) -> Vec<markdown::Block> {
    let mut blocks = markdown::blocks(page);
    blocks.retain(|block| block.language == "yaml");
    blocks
}

/// Whether everything in `given` is in `read` too: an unknown field is lost on the way.
fn assert_kept(given: &Value, read: &Value, at: &str) {
    match given {
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| {
                assert_kept(member, &read[name.as_str()], &format!("{at}.{name}"))
            });
        }
        _ => assert_eq!(given, read, "{at} is unknown, or not what it is taken for"),
    }
}

/// Reads what a user would apply or configure.
fn assert_known(document: &str, from: &str) {
    let given: Value =
        outbound_operator::yaml::read(document).unwrap_or_else(|error| panic!("{from}: {error}"));
    let read = match given["kind"].as_str() {
        Some("OutboundDestination") => serde_json::from_value::<OutboundDestination>(given.clone())
            .map(|read| serde_json::to_value(read).unwrap()),
        Some("OutboundDelivery") => serde_json::from_value::<OutboundDelivery>(given.clone())
            .map(|read| serde_json::to_value(read).unwrap()),
        Some(_) => return,
        // The configuration refuses unknown keys itself. Of the chart's values it is a part; the rest is the chart's
        // schema to refuse, when the page's commands run.
        None => {
            let config = given.get("config").unwrap_or(&given).clone();
            return drop(
                serde_json::from_value::<Config>(config)
                    .unwrap_or_else(|error| panic!("{from}: {error}")),
            );
        }
    };
    assert_kept(
        &given,
        &read.unwrap_or_else(|error| panic!("{from}: {error}")),
        from,
    );
}

#[test]
fn every_example_is_known_to_the_types() {
    let mut checked = 0;
    let is_ours = |page: &PathBuf| page.starts_with("docs") || page.as_path() == "README.md";
    for page in markdown::pages().into_iter().filter(is_ours) {
        let page = page.to_str().unwrap();
        for block in blocks(&text(page)) {
            // The page of the commands shows what is said of it.
            if block.file() != Some("broken.yaml") {
                for document in block.text.split("\n---\n") {
                    assert_known(document, page);
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 15, "{checked}");
    let listed = [
        "quickstart/2-destinations.yaml",
        "quickstart/3-deliveries.yaml",
        "quickstart/config/operator.yaml",
        "gitops/destinations/base/acme.yaml",
        "gitops/destinations/base/globex.yaml",
        "gitops/deliveries/acme-2026-11-24.yaml",
        "gitops/deliveries/globex-2026-11-24.yaml",
        "gitops/pipeline/delivery.yaml",
    ];
    let of_deliveries = fs::read_dir(root().join("examples/deliveries")).unwrap();
    let of_deliveries = of_deliveries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".yaml"))
        .map(|name| format!("examples/deliveries/{name}"));
    let files = listed
        .map(|name| format!("examples/{name}"))
        .into_iter()
        .chain(of_deliveries);
    for path in files {
        for document in text(&path)
            .split("\n---\n")
            .filter(|part| part.lines().any(|line| !line.starts_with('#')))
        {
            assert_known(document, &path);
        }
    }
}

/// The keys that the configuration takes at that place, as its own refusal of an unknown one lists them.
fn keys_at(document: &str) -> Vec<String> {
    let refusal = outbound_operator::yaml::read::<Config>(document)
        .unwrap_err()
        .to_string();
    let (_, listed) = refusal
        .split_once("expected")
        .unwrap_or_else(|| panic!("{document}: {refusal}"));
    let quoted = listed.split('`').skip(1).step_by(2);
    quoted.map(str::to_owned).collect()
}

#[test]
fn every_key_of_the_configuration_is_documented() {
    let page = text("docs/configuration.md");
    for (place, document) in [
        ("", "{clusterId: a, none: 1}"),
        ("identity.", "{clusterId: a, identity: {none: 1}}"),
        ("volume.", "{clusterId: a, volume: {none: 1}}"),
        ("tenancy[].", "{clusterId: a, tenancy: [{none: 1}]}"),
        (
            "tenancy[].crossAccountBuckets[].",
            "{clusterId: a, tenancy: [{namespaces: [], crossAccountBuckets: [{none: 1}]}]}",
        ),
        (
            "tenancy[].sources[].",
            "{clusterId: a, tenancy: [{namespaces: [], sources: [{none: 1}]}]}",
        ),
        ("http.", "{clusterId: a, http: {none: 1}}"),
        ("log.", "{clusterId: a, log: {none: 1}}"),
        ("endpoints.", "{clusterId: a, endpoints: {none: 1}}"),
        ("transfer.", "{clusterId: a, transfer: {none: 1}}"),
        (
            "leaderElection.",
            "{clusterId: a, leaderElection: {none: 1}}",
        ),
        ("watch.", "{clusterId: a, watch: {none: 1}}"),
    ] {
        let keys = keys_at(document);
        assert!(!keys.is_empty(), "{place}");
        for key in keys {
            assert!(page.contains(&format!("`{place}{key}")), "{place}{key}");
        }
    }
}

/// The metrics of a process that knows an object of each kind: name, type and labels, as its text says.
fn metrics() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let metrics = Metrics::default();
    metrics.sample_by(|sample| {
        sample.destination(Status::True, None);
        sample.delivery(None, None);
    });
    let text = metrics.render().unwrap();
    let mut found = BTreeMap::new();
    for declared in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = declared.split_once(' ').unwrap();
        let suffix = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let series = text.lines().filter(|line| line.starts_with(name));
        let labelled = series.filter_map(|line| line.split_once('{')?.1.split_once('}'));
        let names = labelled.flat_map(|(labels, _)| labels.split(','));
        let names = names.map(|label| label.split('=').next().unwrap().to_owned());
        let names = names.filter(|name| name != "le").collect();
        found.insert(format!("{name}{suffix}"), (kind.to_owned(), names));
    }
    found
}

#[test]
fn every_metric_is_documented_and_nothing_else() {
    let page = text("docs/metrics.md");
    let rows = page.lines().filter(|line| line.starts_with("| `outbound_"));
    let documented = rows.map(|row| {
        let columns: Vec<&str> = row.split('|').map(str::trim).collect();
        let labels = columns[3].split('`').skip(1).step_by(2);
        let labels: BTreeSet<String> = labels.map(str::to_owned).collect();
        let name = columns[1].trim_matches('`').to_owned();
        (name, (columns[2].to_owned(), labels))
    });
    assert_eq!(documented.collect::<BTreeMap<_, _>>(), metrics());
    for reason in outbound_operator::transfer::RetryReason::ALL {
        assert!(
            page.contains(&format!("`{}`", reason.as_str())),
            "{reason:?}"
        );
    }
}

#[test]
fn every_alert_asks_for_metrics_labels_and_words_that_there_are() {
    let page = text("docs/metrics.md");
    let [rule] = &blocks(&page)[..] else {
        panic!("one block of rules")
    };
    let rule: Value = outbound_operator::yaml::read(&rule.text).unwrap();
    let rules = rule["spec"]["groups"][0]["rules"].as_array().unwrap();
    let known = metrics();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for rule in rules {
        let expression = rule["expr"].as_str().unwrap();
        let names = expression.split(|c| !is_word(c));
        for name in names.filter(|word| word.starts_with("outbound_")) {
            let (_, labels) = known
                .get(name)
                .unwrap_or_else(|| panic!("{name} in {expression}"));
            let behind = expression.split(name).skip(1);
            for matchers in behind.filter_map(|rest| rest.strip_prefix('{')?.split_once('}')) {
                for matcher in matchers.0.split(',') {
                    let label = matcher.split(|c| !is_word(c)).next().unwrap();
                    assert!(labels.contains(label), "{matcher} in {expression}");
                    assert_words(label, matcher.split('"').nth(1).unwrap());
                }
            }
        }
    }
    assert!(rules.len() > 5);
}

/// Each alternative of a matcher is a word that the label may have.
fn assert_words(label: &str, alternatives: &str) {
    for word in alternatives.split('|') {
        let is_known = match label {
            "reason" => {
                DeliveryReason::from_word(word).is_some()
                    || DestinationReason::from_word(word).is_some()
            }
            "phase" => serde_json::from_value::<Phase>(word.into()).is_ok(),
            "ready" => serde_json::from_value::<Status>(word.into()).is_ok(),
            _ => false,
        };
        assert!(is_known, "{label} {word}");
    }
}

#[test]
fn an_unknown_field_in_an_example_is_found() {
    let wrong = "{kind: OutboundDestination, apiVersion: outbound.dev/v1alpha1, metadata: {name: a}, \
                 spec: {permissionMode: AccessKey, bucket: abc, bucktOwner: x}}";
    let found = std::panic::catch_unwind(|| assert_known(wrong, "planted"));
    assert!(found.is_err());
}

/// What is wrong with a link on that page, if anything is.
fn dead(page: &Path, link: &str) -> Option<String> {
    if link.starts_with("https://") {
        return None;
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = match path {
        "" => page.to_owned(),
        path => page.parent().unwrap().join(path),
    };
    let file = root().join(&target);
    if !file.exists() {
        return Some(format!("{}: {link}: no such file", page.display()));
    }
    let is_found = anchor.is_empty() || markdown::anchors(&text(&target)).contains(anchor);
    (!is_found).then(|| format!("{}: {link}: no such heading", page.display()))
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let (mut links, mut wrong) = (0, Vec::new());
    for page in markdown::pages() {
        for link in markdown::links(&text(&page)) {
            links += 1;
            wrong.extend(dead(&page, &link));
        }
    }
    assert_eq!(wrong, [] as [&str; 0]);
    assert!(links > 60, "{links}");
}

#[test]
fn a_dead_link_is_found() {
    let page = Path::new("docs/delivery.md");
    for good in [
        "",
        "cutting.md",
        "#working",
        "../README.md#install",
        "modes",
    ] {
        assert_eq!(dead(page, good), None);
    }
    for wrong in [
        "cuts.md",
        "#walking",
        "cutting.md#no-such",
        "README.md#install",
    ] {
        assert!(dead(page, wrong).is_some(), "{wrong}");
    }
    let code = "`[a](b)` and [a](c)\n```\n[a](d)\n```\n";
    assert_eq!(markdown::links(code), ["c"]);
}

#[test]
fn every_page_is_in_the_index() {
    let index = markdown::links(&text("docs/README.md"));
    for page in markdown::pages() {
        if let Ok(page) = page.strip_prefix("docs") {
            let page = page.to_str().unwrap();
            assert!(
                page == "README.md" || index.iter().any(|link| link == page),
                "{page}"
            );
        }
    }
    assert!(markdown::links(&text("README.md")).contains(&"docs/README.md".to_owned()));
}
