//! The chart's rights are enough for the operator, and give no more than it says.

use serde_json::{Value, json};

use crate::support::helm::{NAMESPACE, RELEASE, REQUIRED, template};
use crate::support::process::{Scratch, unique};
use crate::support::wait::{PATIENCE, eventually};
use crate::support::{ControlPlane, S3Server, World};

const ACCOUNT: &str = "system:serviceaccount:outbound-system:outbound-operator";

/// Applies the chart's ServiceAccount and rights; those of the whole cluster are the same in each test.
fn install(values: &str, more: &[&str]) {
    let mut arguments = vec!["--show-only", "templates/rbac.yaml"];
    arguments.extend(["--show-only", "templates/serviceaccount.yaml"]);
    arguments.extend(more);
    let manifests = template(values, &arguments).ok();
    let control_plane = ControlPlane::shared();
    // Another test may have made it.
    control_plane.kubectl(&["create", "namespace", NAMESPACE]);
    control_plane
        .kubectl_with(&["apply", "-f", "-"], &manifests)
        .ok();
}

/// The administrator's kubeconfig with a token of the ServiceAccount in place of the certificate.
fn kubeconfig_of(account: &str, folder: &Scratch) -> String {
    let control_plane = ControlPlane::shared();
    let token = control_plane
        .kubectl(&["-n", NAMESPACE, "create", "token", account])
        .ok();
    let text = std::fs::read_to_string(control_plane.kubeconfig()).unwrap();
    let mut config: Value = outbound_operator::yaml::read(&text).unwrap();
    config["users"][0]["user"] = json!({"token": token.trim()});
    let path = folder.path().join("kubeconfig");
    std::fs::write(&path, config.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The notes of the Events about that object, with how often each was seen.
fn events(world: &World, name: &str) -> Vec<(String, i64)> {
    let text = world
        .namespace
        .kubectl(&["get", "events.events.k8s.io", "-o", "json"])
        .ok();
    let list: Value = serde_json::from_str(&text).unwrap();
    let about = |event: &&Value| event["regarding"]["name"] == name;
    list["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(about)
        .map(|event| {
            let reason = event["reason"].as_str().unwrap_or_default().to_owned();
            (reason, event["series"]["count"].as_i64().unwrap_or(1))
        })
        .collect()
}

fn delivery(name: &str, path: &str) -> String {
    format!(
        "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDelivery\nmetadata: {{name: {name}}}\n\
         spec:\n  destinationRef: {{name: acme}}\n  source: {{volume: {{path: {path:?}}}}}\n"
    )
}

#[tokio::test]
async fn the_operator_needs_no_more_than_the_chart_gives() {
    install(REQUIRED, &[]);
    let folder = Scratch::new("rbac");
    let kubeconfig = kubeconfig_of(RELEASE, &folder);
    let lease =
        json!({"enabled": true, "leaseName": "outbound-operator", "namespace": "outbound-system"});
    let mut world = World::start_with("rbac", &S3Server::shared(), |config| {
        config
            .environment("KUBECONFIG", &kubeconfig)
            .with("leaderElection", lease)
    })
    .await;
    world.access_key_destination("acme", "").await;
    world.condition("obdest", "acme", "Ready", "True").await;

    world.file("a.txt", "one\ntwo\n");
    world.apply(&delivery("whole", "a.txt"));
    world.condition("obdel", "whole", "Complete", "True").await;
    eventually(
        PATIENCE,
        "finalizer and ledger go with the end",
        async || {
            let left = world.get("obdel", "whole")["metadata"]["finalizers"].clone();
            let ledgers = world
                .namespace
                .kubectl(&["get", "outboundledgers", "-o", "name"])
                .ok();
            if left.is_null() && ledgers.is_empty() {
                Ok(())
            } else {
                Err(format!("{left} {ledgers}"))
            }
        },
    )
    .await;

    // A time to live is the operator's own deletion.
    let brief = format!(
        "{}  ttlSecondsAfterFinished: 0\n",
        delivery("brief", "a.txt")
    );
    world.apply(&brief.replace("source:", "key: brief.txt\n  source:"));
    eventually(PATIENCE, "it is deleted", async || {
        match world.namespace.get("obdel", "brief") {
            None => Ok(()),
            Some(found) => Err(found["status"].to_string()),
        }
    })
    .await;

    // The same Event once more is a patch of the first.
    for suspend in [true, false] {
        let patch = json!({"spec": {"suspend": suspend}}).to_string();
        world
            .namespace
            .kubectl(&["patch", "obdest", "acme", "--type=merge", "-p", &patch])
            .ok();
        let ready = if suspend { "Unknown" } else { "True" };
        world.condition("obdest", "acme", "Ready", ready).await;
    }
    eventually(PATIENCE, "Events of both kinds, one repeated", async || {
        let (destination, delivery) = (events(&world, "acme"), events(&world, "whole"));
        let twice = destination
            .iter()
            .any(|(reason, count)| reason == "Verified" && *count > 1);
        let told = delivery.iter().any(|(reason, _)| reason == "Delivered");
        if twice && told {
            Ok(())
        } else {
            Err(format!("{destination:?} {delivery:?}"))
        }
    })
    .await;

    assert!(world.operator.terminate().success());
    let holder = ControlPlane::shared()
        .kubectl(&[
            "-n",
            "outbound-system",
            "get",
            "lease",
            "outbound-operator",
            "-o",
            "jsonpath={.spec.holderIdentity}",
        ])
        .ok();
    assert_eq!(holder, "", "the Lease is released");
    let log = world.operator.log();
    let forbidden = |line: &&str| line.to_lowercase().contains("forbidden");
    assert_eq!(log.lines().find(forbidden), None);
    assert!(log.contains("Delivered"), "{log}");
}

#[tokio::test]
async fn the_operator_may_do_no_more_than_the_chart_says() {
    install(REQUIRED, &[]);
    let may = |verb: &str, resource: &str, more: &[&str]| {
        let all = [&["auth", "can-i", verb, resource, "--as", ACCOUNT], more].concat();
        ControlPlane::shared()
            .kubectl(&all)
            .stdout
            .trim()
            .to_owned()
    };
    for (verb, resource) in [
        ("watch", "outbounddeliveries.outbound.dev"),
        ("watch", "outbounddestinations.outbound.dev"),
        ("get", "secrets"),
        ("get", "configmaps"),
    ] {
        assert_eq!(
            may(verb, resource, &["--all-namespaces"]),
            "yes",
            "{verb} {resource}"
        );
    }
    for (verb, resource) in [
        ("list", "secrets"),
        ("create", "secrets"),
        ("create", "outbounddeliveries.outbound.dev"),
        ("delete", "outbounddestinations.outbound.dev"),
        ("patch", "outbounddestinations.outbound.dev"),
        ("watch", "outboundledgers.outbound.dev"),
        ("list", "configmaps"),
        ("update", "configmaps"),
        ("create", "pods"),
        ("get", "leases.coordination.k8s.io"),
    ] {
        assert_eq!(may(verb, resource, &[]), "no", "{verb} {resource}");
    }
}

/// As a team that watches some namespaces runs it: no right outside of them, and Secrets that are watched.
#[tokio::test]
async fn rights_in_its_namespaces_are_enough() {
    let account = unique("rbac-few");
    let folder = Scratch::new("rbac-few");
    let mut world = World::start("rbac-few").await;
    let watched = world.namespace.name().to_owned();
    let values = REQUIRED.replace(
        "clusterId: test",
        &format!("clusterId: test, secrets: Watch, watch: {{namespaces: [{watched}]}}"),
    );
    install(&values, &["--set", &format!("fullnameOverride={account}")]);
    let kubeconfig = kubeconfig_of(&account, &folder);
    let config = world.operator.config().clone();
    let config = config
        .environment("KUBECONFIG", &kubeconfig)
        .with("secrets", "Watch");
    world.operator.restart_with(config);

    world.access_key_destination("acme", "").await;
    world.condition("obdest", "acme", "Ready", "True").await;
    world.file("a.txt", "one\ntwo\n");
    world.apply(&delivery("whole", "a.txt"));
    world.condition("obdel", "whole", "Complete", "True").await;

    let log = world.operator.log();
    let forbidden = |line: &&str| line.to_lowercase().contains("forbidden");
    assert_eq!(log.lines().find(forbidden), None);
    let everywhere = format!("system:serviceaccount:{NAMESPACE}:{account}");
    let may = [
        "auth",
        "can-i",
        "list",
        "obdel",
        "--as",
        &everywhere,
        "--all-namespaces",
    ];
    assert_eq!(ControlPlane::shared().kubectl(&may).stdout.trim(), "no");
}

/// What a user may do who has a role in one namespace.
#[tokio::test]
async fn viewers_see_and_only_editors_by_name_declare() {
    install(REQUIRED, &["--show-only", "templates/userroles.yaml"]);
    let control_plane = ControlPlane::shared();
    let namespace = control_plane.namespace("rbac-users");
    for (user, role) in [
        ("viewer", "view"),
        ("builder", "edit"),
        ("owner", "admin"),
        ("sender", "outbound-operator-edit"),
    ] {
        let role = format!("--clusterrole={role}");
        namespace
            .kubectl(&[
                "create",
                "rolebinding",
                user,
                &role,
                &format!("--user={user}"),
            ])
            .ok();
    }
    let may = |user: &str, verb: &str, resource: &str| {
        let resource = format!("{resource}.outbound.dev");
        namespace
            .kubectl(&["auth", "can-i", verb, &resource, "--as", user])
            .stdout
            .trim()
            .to_owned()
    };
    eventually(PATIENCE, "the role view has it", async || {
        let seen = may("viewer", "list", "outbounddeliveries");
        if seen == "yes" { Ok(()) } else { Err(seen) }
    })
    .await;
    for (user, verb, resource, expected) in [
        ("viewer", "get", "outbounddestinations", "yes"),
        ("viewer", "create", "outbounddeliveries", "no"),
        ("viewer", "get", "outboundledgers", "no"),
        ("builder", "create", "outbounddestinations", "no"),
        ("builder", "get", "outboundledgers", "no"),
        ("owner", "create", "outbounddestinations", "no"),
        ("sender", "create", "outbounddestinations", "yes"),
        ("sender", "delete", "outbounddeliveries", "yes"),
        ("sender", "get", "outboundledgers", "no"),
    ] {
        assert_eq!(
            may(user, verb, resource),
            expected,
            "{user} {verb} {resource}"
        );
    }
    let status = ["patch", "obdel", "--subresource=status", "--as", "sender"];
    let may = namespace.kubectl(&[&["auth", "can-i"], &status[..]].concat());
    assert_eq!(may.stdout.trim(), "no", "an editor writes no status");
}
