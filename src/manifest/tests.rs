//! What is taken and refused beside the tables that the apiserver judges too.

use std::collections::BTreeSet;

use kube::core::cel::CompiledSchema;
use serde_json::Value;

use super::schema::CustomSchema;
use super::*;

const ACCESS_KEY: &str = "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDestination\nmetadata: {name: acme}\n\
    spec: {bucket: acme, permissionMode: AccessKey, accessKey: {secretRef: {name: acme}}}\n";

fn refusals(text: &str) -> String {
    read("a.yaml", text, None).unwrap_err().to_string()
}

/// Objects that name, between them, each field that has a rule; each is one that the apiserver takes.
const FULL: [&str; 4] = [
    r#"{apiVersion: outbound.dev/v1alpha1, kind: OutboundDestination, metadata: {name: acme}, spec: {
        bucket: acme, prefix: a/, region: eu-west-1, bucketOwner: "111122223333", endpoint: "https://s3.example",
        permissionMode: AccessKey, accessKey: {secretRef: {name: acme}}, splitSize: 1G, limits: {bandwidth: 1M}, verification: {interval: 1h},
        encryption: {type: SSE-KMS, kmsKeyId: "arn:aws:kms:eu-west-1:111122223333:key/a-b"}, objectTags: [{key: a, value: b}]}}"#,
    r#"{apiVersion: outbound.dev/v1alpha1, kind: OutboundDestination, metadata: {name: role}, spec: {
        bucket: acme, permissionMode: AssumeRole, assumeRole: {roleArn: "arn:aws:iam::111122223333:role/drop"}}}"#,
    r#"{apiVersion: outbound.dev/v1alpha1, kind: OutboundDelivery, metadata: {name: acme}, spec: {
        destinationRef: {name: acme}, source: {volume: {path: "a/*.csv", minAge: 60s}},
        split: {size: 1G, maxRecordSize: 1M, separator: "-", delimiter: "\n"}, waitFor: {path: _SUCCESS},
        onEmpty: Fail,
        key: "{stem}{split}{ext}", receipt: {key: "{delivery}.info"}}}"#,
    r#"{apiVersion: outbound.dev/v1alpha1, kind: OutboundDelivery, metadata: {name: bucket}, spec: {
        destinationRef: {name: acme},
        source: {s3: {bucket: exports, prefix: a/, include: ["*.csv"], exclude: ["b/**"], region: eu-west-1}}}}"#,
];

/// The rules at each path of a schema.
fn rules(compiled: &CompiledSchema, path: &str, found: &mut Vec<(String, bool)>) {
    assert!(
        compiled.compilation_errors().is_empty(),
        "{path}: {:?}",
        compiled.compilation_errors()
    );
    let here = compiled.validations.iter().flatten();
    found.extend(here.map(|rule| (path.to_owned(), rule.is_transition_rule)));
    for (name, member) in &compiled.properties {
        rules(member, &format!("{path}/{name}"), found);
    }
    if let Some(items) = &compiled.items {
        rules(items, &format!("{path}/0"), found);
    }
    let branches = [&compiled.all_of, &compiled.any_of, &compiled.one_of];
    assert!(branches.iter().all(|branch| branch.is_empty()), "{path}");
    assert!(compiled.additional_properties.is_none(), "{path}");
}

fn written(schema: &Value) -> usize {
    match schema {
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| match (name.as_str(), member) {
                ("x-kubernetes-validations", Value::Array(rules)) => rules.len(),
                _ => written(member),
            })
            .sum(),
        Value::Array(items) => items.iter().map(written).sum(),
        _ => 0,
    }
}

#[test]
fn every_rule_of_our_kinds_is_compiled_and_evaluated() {
    for schema in CustomSchema::all() {
        let mut found = Vec::new();
        rules(schema.rules().compiled(), "", &mut found);
        assert!(found.len() > 10);
        assert_eq!(found.len(), written(schema.schema()), "none is lost");
        let samples = FULL.iter().filter(|text| text.contains(schema.kind()));
        let samples: Vec<Value> = samples
            .map(|text| crate::yaml::read(text).unwrap())
            .collect();
        // What the evaluator meets it evaluates, and what it can't evaluate it refuses: so it is enough that
        // each rule's field is there and that nothing is refused.
        let missing: BTreeSet<&str> = found
            .iter()
            .map(|(path, _)| path.as_str())
            .filter(|path| samples.iter().all(|sample| sample.pointer(path).is_none()))
            .collect();
        assert!(missing.is_empty(), "no sample has {missing:?}");
        // A rule over `oldSelf` is for updates, which no file is.
        let for_updates = found.iter().filter(|(_, transition)| *transition);
        assert!(for_updates.count() < found.len() / 2);
    }
    for text in FULL {
        read("full", text, None).unwrap();
    }
}

#[test]
fn all_mistakes_are_told_each_with_file_document_and_field() {
    let text = format!(
        "{ACCESS_KEY}---\n---\napiVersion: outbound.dev/v1alpha1\nkind: OutboundDestination\nmetadata: {{name: Acme}}\n\
         spec:\n  bucket: Acme\n  permissionMode: CrossAccount\n  colour: red\n  prefix: 5\n  verification: {{interval: 1s}}\n"
    );
    let refusals = refusals(&text);
    let lines: BTreeSet<&str> = refusals.lines().collect();
    for line in [
        "a.yaml, document 3, spec.colour: unknown field \"spec.colour\"",
        "a.yaml, document 3, spec.prefix: 5 must be of type string",
        "a.yaml, document 3, spec.bucket: a bucket name has lower-case letters, digits, dots and hyphens only",
        "a.yaml, document 3, spec.verification.interval: a duration here is 1m to 8760h, such as 90s or 1h30m",
    ] {
        assert!(lines.contains(line), "{line}\n{refusals}");
    }
    assert!(
        refusals.contains("document 3, metadata.name: \"Acme\" is no name"),
        "{refusals}"
    );
    assert!(
        refusals
            .lines()
            .all(|line| line.starts_with("a.yaml, document 3, ")),
        "{refusals}"
    );
}

#[test]
fn lists_are_unpacked_and_other_kinds_left_aside_with_a_note() {
    let text = "{apiVersion: v1, kind: List, items: [\
                {apiVersion: v1, kind: Secret, metadata: {name: s, namespace: ns}, data: {a: aGk=}, stringData: {b: 'no'}}, \
                {apiVersion: apps/v1, kind: Deployment, metadata: {name: d}}, \
                {apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {ca.crt: x}}]}";
    let read = read("l.json", text, None).unwrap();
    let secret = &read.secrets[0];
    assert_eq!(secret.metadata.namespace.as_deref(), Some("ns"));
    let data = secret.data.as_ref().unwrap();
    assert_eq!(
        (&data["a"].0[..], &data["b"].0[..]),
        (&b"hi"[..], &b"no"[..])
    );
    assert_eq!(
        read.config_maps[0].metadata.namespace.as_deref(),
        Some("default")
    );
    assert_eq!(
        read.notes,
        ["l.json, document 1, items[1]: \"Deployment\" of \"apps/v1\" is left aside"]
    );
    assert!(!format!("{read:?}").contains("aGk="));
    let wrong = "{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: 1}}]}";
    assert_eq!(
        refusals(wrong),
        "a.yaml, document 1, items[0].data.a: must be of type string"
    );
}

#[test]
fn a_secrets_values_are_in_no_message() {
    let secret =
        |fields: &str| format!("{{apiVersion: v1, kind: Secret, metadata: {{name: s}}, {fields}}}");
    for (fields, words) in [
        (
            "data: {accessKeyId: hunter2!}",
            "data.accessKeyId: is not base64",
        ),
        ("data: hunter2", "data: must be of type object"),
        (
            "stringData: {accessKeyId: 271828}",
            "stringData.accessKeyId: must be of type string",
        ),
        (
            "stringData: {accessKeyId: 0271828}",
            "stringData.accessKeyId: plain digits",
        ),
        (
            "stringdata: {accessKeyId: hunter2}",
            "unknown field \"stringdata\"",
        ),
        ("data: {a b: hunter2}", "a key has letters"),
        (
            "stringData: {a: hunter2, a: hunter2}",
            "duplicate entry with key \"a\"",
        ),
        ("type: {hunter2: 1}", "type: must be of type string"),
    ] {
        let refusals = refusals(&secret(fields));
        assert!(refusals.contains(words), "{refusals}");
        assert!(
            !refusals.contains("hunter2") && !refusals.contains("271828"),
            "{refusals}"
        );
    }
}

#[test]
fn what_kubectl_would_not_send_is_refused() {
    for (change, words) in [
        (
            ("{name: acme}", "{name: acme, name: acme}"),
            "document 1: metadata: duplicate entry with key \"name\"",
        ),
        (
            ("{name: acme}\nspec", "{}\nspec"),
            "metadata.name: Required value",
        ),
        (
            ("{name: acme}\nspec", "{name: acme, labels: {a: b c}}\nspec"),
            "metadata.labels.a: \"b c\" is no label's value",
        ),
        (
            ("{name: acme}\nspec", "{name: acme, label: {}}\nspec"),
            "unknown field \"metadata.label\"",
        ),
        (
            ("{name: acme}\nspec", "{name: acme, namespace: A}\nspec"),
            "metadata.namespace: \"A\" is no namespace",
        ),
        (
            ("kind: OutboundDestination", "kind: OutboundDestinations"),
            "kind: there is no kind",
        ),
        (("kind: OutboundDestination\n", ""), "kind: Required value"),
        (
            ("v1alpha1", "v1beta1"),
            "apiVersion: \"outbound.dev/v1beta1\" is not served; \"outbound.dev/v1alpha1\" is",
        ),
        (
            ("bucket: acme", "bucket: acme, bucketOwner: 011122223333"),
            "spec.bucketOwner: plain digits are a number to kubectl",
        ),
        (
            ("bucket: acme", "bucket: acme, region: no"),
            "spec.region: a plain yes or no is a boolean to kubectl",
        ),
        (("spec: {", "spec: {{"), "document 1: "),
    ] {
        let text = ACCESS_KEY.replacen(change.0, change.1, 1);
        assert_ne!(text, ACCESS_KEY, "{change:?}");
        let refusals = refusals(&text);
        assert!(refusals.contains(words), "{change:?}: {refusals}");
    }
    let quoted = ACCESS_KEY.replace("bucket: acme", "bucket: acme, bucketOwner: '011122223333'");
    assert_eq!(read("a", &quoted, None).unwrap().destinations.len(), 1);
    let twice = format!("{ACCESS_KEY}---\n{ACCESS_KEY}");
    assert!(
        refusals(&twice)
            .contains("document 2, metadata.name: OutboundDestination acme is there twice")
    );
}

#[test]
fn a_namespace_is_asked_for_or_named_and_not_both_ways() {
    let named = ACCESS_KEY.replace(
        "{name: acme}\nspec",
        "{name: acme, namespace: marketing}\nspec",
    );
    let namespace = |text: &str, asked| {
        let read = read("a", text, asked)?;
        Ok(read.destinations[0].metadata.namespace.clone().unwrap())
    };
    assert_eq!(namespace(ACCESS_KEY, None), Ok("default".to_owned()));
    assert_eq!(namespace(ACCESS_KEY, Some("sales")), Ok("sales".to_owned()));
    assert_eq!(namespace(&named, None), Ok("marketing".to_owned()));
    assert_eq!(
        namespace(&named, Some("marketing")),
        Ok("marketing".to_owned())
    );
    let clash: Mistakes = namespace(&named, Some("sales")).unwrap_err();
    assert!(
        clash
            .to_string()
            .contains("metadata.namespace: \"marketing\" is not the namespace \"sales\"")
    );
}

#[test]
fn a_folder_is_read_in_order_and_not_below() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let named =
        |name: &str| ACCESS_KEY.replace("{name: acme}\nspec", &format!("{{name: {name}}}\nspec"));
    write("b.yml", &named("second"));
    write("a.yaml", &named("first"));
    write(
        "c.json",
        &serde_json::to_string(&crate::yaml::read::<Value>(&named("third")).unwrap()).unwrap(),
    );
    write("README.md", "no: [manifest");
    write("below/d.yaml", "no: [manifest");
    let read = load(&[folder.path().to_owned()], None).unwrap();
    let names: Vec<_> = read
        .destinations
        .iter()
        .map(|d| d.metadata.name.clone().unwrap())
        .collect();
    assert_eq!(names, ["first", "second", "third"]);
    let below = load(
        &[folder.path().join("below"), folder.path().join("none.yaml")],
        None,
    )
    .unwrap_err();
    let below = below.to_string();
    assert!(
        below.contains("d.yaml, document 1: ") && below.contains("none.yaml: "),
        "{below}"
    );
    let empty = tempfile::tempdir().unwrap();
    let empty = load(&[empty.path().to_owned()], None).unwrap_err();
    assert!(
        empty.to_string().contains("the folder holds no *.yaml"),
        "{empty}"
    );
}
