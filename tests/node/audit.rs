//! The apiserver's audit log against what RBAC grants: nothing refused, nothing granted that nobody used.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::support::ControlPlane;

/// What an account was allowed, or asked for: one verb on one resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Right {
    /// Where it holds; none: in the whole cluster.
    pub(crate) namespace: Option<String>,
    /// Empty for the core group.
    pub(crate) group: String,
    /// With the subresource: `outbounddeliveries/status`.
    pub(crate) resource: String,
    pub(crate) verb: String,
    /// The objects that it is for; none: all.
    pub(crate) names: BTreeSet<String>,
}

impl std::fmt::Display for Right {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Right {
            group,
            resource,
            verb,
            names,
            namespace,
        } = self;
        write!(out, "{verb} {resource}.{group} {names:?} in {namespace:?}")
    }
}

impl Right {
    /// Whether that request needed it.
    fn serves(&self, request: &Request) -> bool {
        let here = |place: &String| request.namespace == *place;
        self.namespace.as_ref().is_none_or(here)
            && self.group == request.group
            && self.resource == request.resource
            && self.verb == request.verb
            && (self.names.is_empty() || self.names.contains(&request.name))
    }
}

/// A request of the account, as the apiserver wrote it down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    group: String,
    resource: String,
    verb: String,
    namespace: String,
    name: String,
    /// RBAC's own word; an admission plugin's refusal is another thing.
    allowed: bool,
    line: String,
}

/// The requests of that account for resources. Each may stand there twice, as a watch's beginning and end.
pub(crate) fn requests(audit: &str, account: &str) -> Vec<Request> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let request = |line: &str| {
        let event: Value = serde_json::from_str(line).ok()?;
        if event["user"]["username"] != account || event["objectRef"].is_null() {
            return None;
        }
        let object = &event["objectRef"];
        let subresource = text(&object["subresource"]);
        let separator = if subresource.is_empty() { "" } else { "/" };
        let decision = &event["annotations"]["authorization.k8s.io/decision"];
        Some(Request {
            group: text(&object["apiGroup"]),
            resource: format!("{}{separator}{subresource}", text(&object["resource"])),
            verb: text(&event["verb"]),
            namespace: text(&object["namespace"]),
            name: text(&object["name"]),
            allowed: decision == "allow",
            line: line.to_owned(),
        })
    };
    audit.lines().filter_map(request).collect()
}

/// What the bindings in the cluster give to a ServiceAccount, verb by verb.
pub(crate) fn granted(cluster: &ControlPlane, namespace: &str, account: &str) -> BTreeSet<Right> {
    let bindings = [
        "get",
        "clusterrolebindings,rolebindings",
        "--all-namespaces",
        "-o",
        "json",
    ];
    let mut rights = BTreeSet::new();
    for binding in items(&cluster.kubectl(&bindings).ok()) {
        let to_it = |subject: &Value| {
            subject["kind"] == "ServiceAccount"
                && subject["name"] == account
                && subject["namespace"] == namespace
        };
        if !binding["subjects"]
            .as_array()
            .into_iter()
            .flatten()
            .any(to_it)
        {
            continue;
        }
        let place = binding["metadata"]["namespace"].as_str();
        let kind = binding["roleRef"]["kind"].as_str().expect("a kind");
        let name = binding["roleRef"]["name"].as_str().expect("a name");
        let mut get = vec!["get", kind, name, "-o", "json"];
        if kind == "Role" {
            get.extend(["--namespace", place.expect("a RoleBinding's")]);
        }
        let role: Value = serde_json::from_str(&cluster.kubectl(&get).ok()).expect("JSON");
        for rule in role["rules"].as_array().into_iter().flatten() {
            rights.extend(verb_by_verb(place, rule));
        }
    }
    rights
}

fn items(list: &str) -> Vec<Value> {
    let mut list: Value = serde_json::from_str(list).expect("JSON from kubectl");
    match list["items"].take() {
        Value::Array(items) => items,
        other => panic!("no list: {other}"),
    }
}

fn verb_by_verb(namespace: Option<&str>, rule: &Value) -> Vec<Right> {
    let texts = |field: &str| -> Vec<String> {
        let texts = rule[field].as_array().into_iter().flatten();
        texts
            .map(|text| text.as_str().expect("a text").to_owned())
            .collect()
    };
    let mut rights = Vec::new();
    for group in texts("apiGroups") {
        for resource in texts("resources") {
            for verb in texts("verbs") {
                rights.push(Right {
                    namespace: namespace.map(str::to_owned),
                    group: group.clone(),
                    resource: resource.clone(),
                    verb,
                    names: texts("resourceNames").into_iter().collect(),
                });
            }
        }
    }
    rights
}

/// Requests that RBAC refused, as the log has them.
pub(crate) fn refused(requests: &[Request]) -> Vec<&str> {
    let refused = requests.iter().filter(|request| !request.allowed);
    refused.map(|request| request.line.as_str()).collect()
}

/// Rights that no request needed.
pub(crate) fn unused<'a>(granted: &'a BTreeSet<Right>, requests: &[Request]) -> Vec<&'a Right> {
    let idle = |right: &&Right| !requests.iter().any(|request| right.serves(request));
    granted.iter().filter(idle).collect()
}

/// The log so far.
pub(crate) fn log(cluster: &ControlPlane) -> String {
    read(&cluster.folder().join("control-plane/audit.log"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("an audit log")
}

/// The checker finds what it is for.
mod planted {
    use serde_json::json;

    use super::{Right, refused, requests, unused, verb_by_verb};

    const OPERATOR: &str = "system:serviceaccount:outbound-system:operator";

    fn event(user: &str, verb: &str, object: &serde_json::Value, decision: &str) -> String {
        json!({
            "user": {"username": user}, "verb": verb, "objectRef": object,
            "annotations": {"authorization.k8s.io/decision": decision},
        })
        .to_string()
    }

    fn log() -> String {
        let secret = json!({"resource": "secrets", "namespace": "tenant", "name": "key"});
        let status = json!({
            "resource": "outbounddeliveries", "apiGroup": "outbound.dev",
            "subresource": "status", "namespace": "tenant", "name": "one",
        });
        let lease = json!({
            "resource": "leases", "apiGroup": "coordination.k8s.io",
            "namespace": "outbound-system", "name": "another",
        });
        [
            event(OPERATOR, "get", &secret, "allow"),
            event("somebody", "list", &secret, "allow"),
            event(OPERATOR, "patch", &status, "allow"),
            event(OPERATOR, "get", &lease, "forbid"),
        ]
        .join("\n")
    }

    #[test]
    fn a_refused_request_is_found() {
        let requests = requests(&log(), OPERATOR);
        assert_eq!(requests.len(), 3);
        let refused = refused(&requests);
        assert_eq!(refused.len(), 1);
        assert!(refused[0].contains("leases"), "{refused:?}");
    }

    #[test]
    fn a_right_is_used_by_that_verb_on_that_resource_name_and_namespace_only() {
        let requests = requests(&log(), OPERATOR);
        let idle = |namespace, rule: serde_json::Value| -> Vec<String> {
            let granted = verb_by_verb(namespace, &rule).into_iter().collect();
            let unused = unused(&granted, &requests);
            unused
                .iter()
                .map(|right: &&Right| right.verb.clone())
                .collect()
        };
        let secrets =
            json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list"]});
        assert_eq!(idle(None, secrets.clone()), ["list"]);
        assert_eq!(idle(Some("elsewhere"), secrets), ["get", "list"]);
        let whole = json!({"apiGroups": ["outbound.dev"], "resources": ["outbounddeliveries"], "verbs": ["patch"]});
        assert_eq!(idle(None, whole), ["patch"]);
        let status = json!({"apiGroups": ["outbound.dev"], "resources": ["outbounddeliveries/status"], "verbs": ["patch"]});
        assert!(idle(Some("tenant"), status).is_empty());
        let named = json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get"], "resourceNames": ["ours"]});
        assert_eq!(idle(None, named), ["get"]);
    }
}
