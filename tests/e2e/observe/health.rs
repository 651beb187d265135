//! `/livez` and `/readyz`, asked as the kubelet asks.

use serde_json::json;

use super::{answers, reaches, served};
use crate::support::process::Scratch;
use crate::support::proxy::{Kind, Proxy};
use crate::support::wait::until;
use crate::support::{ControlPlane, Operator, OperatorConfig, S3Server, World};

/// A world whose operator reaches the apiserver through a proxy.
async fn world(topic: &str, proxy: &Proxy, folder: &Scratch) -> World {
    let path = folder.path().join("kubeconfig");
    std::fs::write(&path, proxy.kubeconfig()).unwrap();
    let path = path.to_str().unwrap();
    World::start_with(topic, &S3Server::shared(), |config| {
        served(config).environment("KUBECONFIG", path)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_waits_for_the_caches_and_follows_the_apiserver() {
    let proxy = Proxy::before_apiserver(ControlPlane::shared()).await;
    let folder = Scratch::new("health");
    proxy.hold(|asked| asked.kind == Kind::ListDeliveries);
    let world = world("health", &proxy, &folder).await;
    let operator = &world.operator;
    until("only one list is missing", || {
        let missing = "[+]apiserver ok\n[+]controllers ok\n[-]caches failed: 1 of 2 first lists are missing\n\
                       readyz check failed\n";
        operator.ask("/readyz") == Some((503, missing.to_owned()))
    })
    .await;
    assert_eq!(operator.ask("/livez").unwrap().0, 200);
    proxy.hold(|_| false);
    assert_eq!(answers(operator, "/readyz", 200).await, "ok");
    let verbose = "[+]apiserver ok\n[+]controllers ok\n[+]caches ok\nreadyz check passed\n";
    assert_eq!(answers(operator, "/readyz?verbose", 200).await, verbose);

    proxy.hold(|_| true);
    let body = answers(operator, "/readyz", 503).await;
    assert!(
        body.contains("[-]apiserver failed: no answer for "),
        "{body}"
    );
    let verbose = "[+]executor ok\n[+]controllers ok\n[+]reconciles ok\nlivez check passed\n";
    assert_eq!(answers(operator, "/livez?verbose", 200).await, verbose);
    assert!(operator.log().contains("the apiserver can't be reached"));
    proxy.hold(|_| false);
    assert_eq!(answers(operator, "/readyz", 200).await, "ok");
    until("it says so", || {
        operator.log().contains("the apiserver is reached again")
    })
    .await;
}

/// The Lease of the namespace that is watched.
fn elected(config: OperatorConfig) -> OperatorConfig {
    let document: serde_json::Value = serde_json::from_str(&config.render()).unwrap();
    let namespace = document["watch"]["namespaces"][0].clone();
    let lease = json!({"enabled": true, "leaseName": "operator", "namespace": namespace});
    served(config).with("leaderElection", lease)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stand_by_is_ready_while_it_could_take_over_and_then_does() {
    let mut world = World::start_with("stand-by", &S3Server::shared(), elected).await;
    reaches(&world.operator, "outbound_leader", 1.0).await;
    answers(&world.operator, "/readyz", 200).await;
    let second = Operator::start(world.operator.config().clone());
    let verbose = "[+]apiserver ok\n[+]lease ok\nreadyz check passed\n";
    assert_eq!(answers(&second, "/readyz?verbose", 200).await, verbose);
    let alive = "[+]executor ok\nlivez check passed\n";
    assert_eq!(second.ask("/livez?verbose"), Some((200, alive.to_owned())));
    assert_eq!(second.metric("outbound_leader"), Some(0.0));

    assert!(world.operator.terminate().success());
    reaches(&second, "outbound_leader", 1.0).await;
    let verbose = "[+]apiserver ok\n[+]controllers ok\n[+]caches ok\nreadyz check passed\n";
    assert_eq!(answers(&second, "/readyz?verbose", 200).await, verbose);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stand_by_that_can_not_reach_the_lease_lives_and_is_not_ready() {
    let nowhere =
        json!({"enabled": true, "leaseName": "operator", "namespace": "no-such-namespace"});
    let world = World::start_with("no-lease", &S3Server::shared(), |config| {
        served(config).with("leaderElection", nowhere)
    })
    .await;
    until("the apiserver answered", || {
        let answer = world.operator.ask("/readyz");
        answer.is_some_and(|(_, body)| body.starts_with("[+]apiserver ok\n"))
    })
    .await;
    let body = answers(&world.operator, "/readyz", 503).await;
    assert!(body.contains("[-]lease failed: no answer yet"), "{body}");
    assert_eq!(world.operator.ask("/livez"), Some((200, "ok".to_owned())));
    until("it says why", || {
        world.operator.log().contains("the Lease can't be reached")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_in_use_ends_the_start_with_its_key() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut world = World::start_with("address", &S3Server::shared(), |config| {
        config.with("http", json!({"listen": address}))
    })
    .await;
    until("it has ended", || world.operator.ended().is_some()).await;
    assert_eq!(world.operator.ended().unwrap().code(), Some(1));
    let log = world.operator.log();
    assert!(
        log.contains("http.listen") && log.contains(&address),
        "{log}"
    );
}
