//! What Helm makes of the values, without a cluster.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::helm::{REQUIRED, chart, objects, only, template, value_sets};
use crate::support::process::Scratch;

fn file(name: &str) -> String {
    std::fs::read_to_string(chart().join(name)).unwrap()
}

fn schema() -> Value {
    serde_json::from_str(&file("values.schema.json")).unwrap()
}

/// Rendered without the CRDs.
fn render(values: &str) -> Vec<Value> {
    objects(&template(values, &["--set", "crds.enabled=false"]).ok())
}

/// The paths of all values that have a default, down to what isn't a map or is an empty one.
fn leaves(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value.as_object() {
        Some(members) if !members.is_empty() => {
            for (name, member) in members {
                let path = [path, name].concat();
                leaves(member, &format!("{path}."), found);
            }
        }
        _ => drop(found.insert(path.trim_end_matches('.').to_owned())),
    }
}

/// The paths of all values that the schema takes, down to what it takes from a definition or leaves open.
fn allowed(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    match schema["properties"].as_object() {
        Some(members) if path != "config." => {
            for (name, member) in members {
                let path = [path, name].concat();
                allowed(member, &format!("{path}."), found);
            }
        }
        _ => drop(found.insert(path.trim_end_matches('.').to_owned())),
    }
}

#[test]
fn every_value_has_a_default_a_place_in_the_schema_and_a_line_in_the_readme() {
    let mut values: Value = outbound_operator::yaml::read(&file("values.yaml")).unwrap();
    // Lists and maps of one definition each.
    for (parent, name) in [("resources", "requests"), ("resources", "limits")] {
        values[parent][name] = json!([]);
    }
    values["affinity"] = json!({"nodeAffinity": [], "podAffinity": [], "podAntiAffinity": []});
    let (mut there, mut taken) = (BTreeSet::new(), BTreeSet::new());
    leaves(&values, "", &mut there);
    allowed(&schema(), "", &mut taken);
    // Helm's own, for charts in charts.
    taken.remove("global");
    assert_eq!(there, taken);

    let readme = file("README.md");
    for value in there {
        let top = value.split('.').next().unwrap();
        let documented = [value.as_str(), top].iter().any(|name| {
            let begin = format!("| `{name}` | ");
            let line = readme.lines().find(|line| line.starts_with(&begin));
            line.is_some_and(|line| !line[begin.len()..].starts_with('|'))
        }) || readme.contains(&format!("| `{value}."));
        assert!(documented, "{value}");
    }
}

/// Calls `each` with every schema in this one that describes an object.
fn objects_in(schema: &Value, path: &str, each: &mut impl FnMut(&str, &Value)) {
    if let Some(members) = schema.as_object() {
        if members.contains_key("properties") || schema["type"] == "object" {
            each(path, schema);
        }
        for (name, member) in members {
            objects_in(member, &format!("{path}/{name}"), each);
        }
    }
    for (number, member) in schema.as_array().into_iter().flatten().enumerate() {
        objects_in(member, &format!("{path}/{number}"), each);
    }
}

#[test]
fn the_schema_is_closed() {
    let mut open = Vec::new();
    let mut seen = 0;
    objects_in(&schema(), "", &mut |path, object| {
        seen += 1;
        if object["additionalProperties"].is_null() || object["additionalProperties"] == true {
            open.push(path.to_owned());
        }
    });
    // Helm's own, and Kubernetes' own affinity, which the apiserver checks.
    assert_eq!(open, ["/$defs/verbatim", "/properties/global"]);
    assert!(seen > 40, "{seen}");
}

#[test]
fn the_operator_takes_every_rendered_configuration() {
    let folder = Scratch::new("configuration");
    for (name, values) in value_sets() {
        let config = only(&render(&values), "ConfigMap")["data"]["config.yaml"].clone();
        let path = folder.path().join(&name);
        let config: Value = outbound_operator::yaml::read(config.as_str().unwrap()).unwrap();
        let port = if name == "ipv6" {
            "[::]:9090"
        } else {
            "0.0.0.0:8080"
        };
        assert_eq!(config["http"]["listen"], port, "{name}");
        std::fs::write(&path, config.to_string()).unwrap();
        let taken = outbound_operator::config::Config::load(&path);
        let taken = taken.unwrap_or_else(|error| panic!("{name}: {error}"));
        let given: Value = outbound_operator::yaml::read(&values).unwrap();
        assert_eq!(
            json!(taken.cluster_id),
            given["config"]["clusterId"],
            "{name}"
        );
        if name == "numbers" {
            assert_eq!(taken.transfer.memory, 64 << 20);
            assert_eq!(taken.transfer.part_size, 16 << 20);
            assert_eq!(taken.identity.unwrap().account_id.as_str(), "012345678901");
        }
    }
}

#[test]
fn a_changed_configuration_starts_the_pods_again_and_nothing_else_does() {
    let pods = |values: &str| only(&render(values), "Deployment")["spec"]["template"].clone();
    let before = pods(REQUIRED);
    let other = REQUIRED.replace("clusterId: test", "clusterId: other");
    assert_ne!(pods(&other), before);
    assert_eq!(pods(&format!("{REQUIRED}replicas: 3\n")), before);
}

#[test]
fn the_pods_are_restricted_and_read_the_volume_only() {
    for (name, values) in value_sets() {
        let pod = only(&render(&values), "Deployment")["spec"]["template"]["spec"].clone();
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{name}");
        let container = &pod["containers"][0];
        let security = &container["securityContext"];
        assert_eq!(security["readOnlyRootFilesystem"], true, "{name}");
        assert_eq!(security["allowPrivilegeEscalation"], false, "{name}");
        assert_eq!(security["capabilities"], json!({"drop": ["ALL"]}), "{name}");
        for mount in container["volumeMounts"].as_array().unwrap() {
            assert_eq!(mount["readOnly"], true, "{name}: {mount}");
        }
    }
}

#[test]
fn a_volume_of_one_node_is_never_mounted_twice() {
    for (mode, strategy) in [
        ("ReadWriteOnce", "Recreate"),
        ("ReadWriteOncePod", "Recreate"),
        ("ReadWriteMany", "RollingUpdate"),
        ("ReadOnlyMany", "RollingUpdate"),
    ] {
        let volume = format!("replicas: 1\nvolume: {{existingClaim: a, accessMode: {mode}}}\n");
        let deployment = only(&render(&[REQUIRED, &volume].concat()), "Deployment");
        assert_eq!(deployment["spec"]["strategy"]["type"], strategy, "{mode}");
    }
}

/// The ports and blocks that the NetworkPolicy lets out, as `cidr except… : port…` lines.
fn ways_out(values: &str) -> Vec<String> {
    let policy = only(&render(values), "NetworkPolicy");
    let words = |list: &Value| -> Vec<String> {
        let list = list.as_array().into_iter().flatten();
        list.map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned))
            .collect()
    };
    let rules = policy["spec"]["egress"].as_array().unwrap().clone();
    rules
        .iter()
        .flat_map(|rule| {
            let ports: Vec<_> = rule["ports"]
                .as_array()
                .unwrap()
                .iter()
                .map(|port| port["port"].clone())
                .collect();
            let peers = rule["to"]
                .as_array()
                .expect("a rule without peers lets everything out")
                .clone();
            assert!(
                !peers.is_empty(),
                "a rule without peers lets everything out"
            );
            let line = move |peer: &Value| {
                let block = &peer["ipBlock"];
                let without = words(&block["except"]).join(",");
                format!(
                    "{} -{without} :{}",
                    block["cidr"].as_str().unwrap_or("pods"),
                    words(&json!(ports)).join(",")
                )
            };
            peers.iter().map(line).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn the_metadata_service_is_out_of_reach_and_stores_are_not() {
    let everything = |ports: &str| {
        [
            format!("0.0.0.0/0 -169.254.0.0/16 :{ports}"),
            format!("::/0 -fd00:ec2::/32,fe80::/10 :{ports}"),
        ]
    };
    let dns = [
        "pods - :53,53".to_owned(),
        "169.254.20.10/32 - :53,53".to_owned(),
    ];
    let usual = [&dns[..], &everything("443,6443"), &everything("443")].concat();
    assert_eq!(ways_out(REQUIRED), usual);

    let agent = [
        "169.254.170.23/32 - :80".to_owned(),
        "fd00:ec2::23/128 - :80".to_owned(),
    ];
    let pod_identity = format!("{REQUIRED}aws: {{podIdentity: {{enabled: true}}}}\n");
    assert_eq!(ways_out(&pod_identity), [&usual[..], &agent].concat());

    let stores = REQUIRED.replace(
        "clusterId: test",
        "clusterId: test, endpoints: {allow: ['http://a', 'https://b:9000', 'https://c:9000'], sts: 'https://d'}",
    );
    let expected = [
        &dns[..],
        &everything("443,6443"),
        &everything("443,80,9000"),
    ]
    .concat();
    assert_eq!(ways_out(&stores), expected);
}

/// The rules of a Role or ClusterRole as `verb group/resource` lines.
fn rights(role: &Value) -> BTreeSet<String> {
    let words = |list: &Value| -> Vec<String> {
        let list = list.as_array().unwrap().iter();
        list.map(|one| one.as_str().unwrap().to_owned()).collect()
    };
    let mut found = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        for group in words(&rule["apiGroups"]) {
            for resource in words(&rule["resources"]) {
                for verb in words(&rule["verbs"]) {
                    found.insert(format!("{verb} {group}/{resource}"));
                }
            }
        }
    }
    found
}

#[test]
fn namespaces_that_are_listed_get_roles_and_the_cluster_gets_none() {
    let all = render(REQUIRED);
    let cluster = all
        .iter()
        .find(|one| one["kind"] == "ClusterRole" && one["metadata"]["name"] == "outbound-operator");
    let some = REQUIRED.replace(
        "clusterId: test",
        "clusterId: test, watch: {namespaces: [a, b]}",
    );
    let some = render(&format!("{some}rbac: {{userRoles: false}}\n"));
    assert!(
        some.iter()
            .all(|one| !one["kind"].as_str().unwrap().starts_with("Cluster"))
    );
    let roles: Vec<_> = some
        .iter()
        .filter(|one| one["kind"] == "Role" && one["metadata"]["name"] == "outbound-operator")
        .map(|role| {
            (
                role["metadata"]["namespace"].as_str().unwrap(),
                rights(role),
            )
        })
        .collect();
    let expected = rights(cluster.unwrap());
    assert_eq!(roles, [("a", expected.clone()), ("b", expected)]);
}

#[test]
fn secrets_are_listed_only_where_the_configuration_watches_them() {
    let role = |values: &str| {
        let all = render(values);
        let role = all.iter().find(|one| {
            one["kind"] == "ClusterRole" && one["metadata"]["name"] == "outbound-operator"
        });
        rights(role.unwrap())
    };
    let watch = REQUIRED.replace("clusterId: test", "clusterId: test, secrets: Watch");
    let more: Vec<_> = role(&watch).difference(&role(REQUIRED)).cloned().collect();
    assert_eq!(more, ["list /secrets", "watch /secrets"]);
}

#[test]
fn users_roles_have_no_ledgers_and_only_the_viewers_counts_into_a_built_in_role() {
    let all = render(REQUIRED);
    let role = |name: &str| {
        all.iter()
            .find(|one| one["kind"] == "ClusterRole" && one["metadata"]["name"] == name)
            .unwrap()
    };
    let (view, edit) = (
        role("outbound-operator-view"),
        role("outbound-operator-edit"),
    );
    let aggregated = |role: &Value| -> Vec<String> {
        let labels = role["metadata"]["labels"].as_object().unwrap();
        labels
            .keys()
            .filter(|key| key.contains("aggregate"))
            .cloned()
            .collect()
    };
    assert_eq!(
        aggregated(view),
        ["rbac.authorization.k8s.io/aggregate-to-view"]
    );
    assert!(aggregated(edit).is_empty());
    assert!(aggregated(role("outbound-operator")).is_empty());
    let reading = |right: &String| {
        ["get ", "list ", "watch "]
            .iter()
            .any(|verb| right.starts_with(verb))
    };
    assert!(rights(view).iter().all(reading));
    for right in rights(view).union(&rights(edit)) {
        assert!(
            right.ends_with("outbounddestinations") || right.ends_with("outbounddeliveries"),
            "{right}"
        );
    }
}

/// The same with every number as a float: Helm writes 1.0 as 1.
fn floats(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(list) => list.iter().map(floats).collect(),
        Value::Object(members) => {
            let pairs = members.iter();
            Value::Object(
                pairs
                    .map(|(name, one)| (name.clone(), floats(one)))
                    .collect(),
            )
        }
        other => other.clone(),
    }
}

#[test]
fn the_crds_are_those_of_the_types_and_stay_unless_told() {
    let crds = |more: &[&str]| -> Vec<Value> {
        let all = objects(&template(REQUIRED, more).ok());
        all.into_iter()
            .filter(|one| one["kind"] == "CustomResourceDefinition")
            .collect()
    };
    let kept = crds(&[]);
    assert_eq!(kept.len(), outbound_operator::api::crds().len());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    for crd in &kept {
        let plural = crd["spec"]["names"]["plural"].as_str().unwrap();
        let text = std::fs::read_to_string(folder.join(format!("{plural}.yaml"))).unwrap();
        let same: Value = outbound_operator::yaml::read(&text).unwrap();
        assert!(
            floats(&crd["spec"]) == floats(&same["spec"]),
            "{plural}: run make generate"
        );
        assert_eq!(
            crd["metadata"]["annotations"]["helm.sh/resource-policy"],
            "keep"
        );
    }
    for crd in crds(&["--set", "crds.keep=false"]) {
        assert!(crd["metadata"]["annotations"]["helm.sh/resource-policy"].is_null());
    }
    assert!(crds(&["--set", "crds.enabled=false"]).is_empty());
}
