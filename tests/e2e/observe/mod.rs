//! What is seen of the operator from outside: health, metrics, logs, Events.

mod events;
mod health;
mod logs;
mod metrics;

use std::collections::BTreeMap;

use serde_json::json;
use tokio::sync::mpsc;

use crate::support::proxy::{Dialect, Fault, Proxy, Upstream};
use crate::support::wait::{PATIENCE, eventually};
use crate::support::{Operator, OperatorConfig, S3Server, World};

/// The kinds, as a user types them.
const DESTINATION: &str = "obdest";
const DELIVERY: &str = "obdel";

/// The smallest part that S3 takes.
const PART: usize = 5 << 20;

/// With a server of health and metrics on a free port.
fn served(config: OperatorConfig) -> OperatorConfig {
    config.with("http", json!({"listen": "127.0.0.1:0"}))
}

/// A world that is served, over a proxy before its S3 server that does those faults; objects have so many parts.
async fn world(
    topic: &str,
    (parts, faults): (u32, Vec<Fault>),
    change: impl FnOnce(OperatorConfig) -> OperatorConfig,
) -> (World, Proxy) {
    let server = S3Server::shared();
    let (kills, _) = mpsc::unbounded_channel();
    let proxy = Proxy::start(
        Upstream::plain(server.url()),
        Dialect::S3 { parts },
        faults,
        BTreeMap::new(),
        kills,
    )
    .await;
    let url = proxy.url();
    let world = World::start_with(topic, &server, |config| {
        let config = served(config)
            .with("endpoints.allow", json!([url]))
            .with("endpoints.s3", url.as_str())
            .with("transfer.partSize", "5Mi")
            .with("transfer.maxConcurrentParts", 2);
        change(config)
    })
    .await;
    (world, proxy)
}

/// Applies a delivery of `path` to the destination `acme`.
fn deliver(world: &World, name: &str, path: &str) {
    world.apply(&format!(
        "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDelivery\nmetadata: {{name: {name}}}\n\
         spec:\n  destinationRef: {{name: acme}}\n  source: {{volume: {{path: {path:?}}}}}\n"
    ));
}

/// A CrossAccount destination below `prefix` of the world's bucket, for which nothing is granted here.
fn ungranted_destination(world: &World, name: &str, prefix: &str) {
    let owner = world.s3.customer().access_key;
    world.apply(&format!(
        "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDestination\nmetadata: {{name: {name}}}\n\
         spec:\n  bucket: {}\n  prefix: {prefix}\n  region: us-east-1\n  bucketOwner: \"{owner}\"\n  \
         permissionMode: CrossAccount\n",
        world.bucket.name()
    ));
}

/// Lines of text, `bytes` of them in all.
fn lines(bytes: usize) -> Vec<u8> {
    let mut text = b"0123456789abcdef0123456789abcde\n".repeat(bytes.div_ceil(32));
    text.truncate(bytes);
    text
}

/// Waits until `path` is answered so, and returns the body.
async fn answers(operator: &Operator, path: &str, status: u16) -> String {
    let what = format!("{path} answers {status}");
    eventually(PATIENCE, &what, async || match operator.ask(path) {
        Some((found, body)) if found == status => Ok(body),
        other => Err(format!("{other:?}\n{}", operator.log_tail())),
    })
    .await
}

/// Waits until the series has at least that value, and returns the value.
async fn reaches(operator: &Operator, series: &str, least: f64) -> f64 {
    let what = format!("{series} reaches {least}");
    eventually(PATIENCE, &what, async || match operator.metric(series) {
        Some(found) if found >= least => Ok(found),
        other => Err(format!("{other:?}\n{}", operator.log_tail())),
    })
    .await
}
