//! Credentials whose every occurrence can be found: they are nowhere that somebody reads, at the most talkative
//! log level, when all goes well and when it doesn't.

use serde_json::json;

use crate::support::world::{PREFIX, WRITE_ACTIONS};
use crate::support::{Credentials, OperatorConfig, S3Server, World};

const KEY_ID: &str = "AKIDCANARYCANARY0001";
const SECRET: &str = "canary+secret/nobody=reads0001";
const TOKEN: &str = "canary+token/nobody=reads0001";

/// All of Kubernetes that a user of the namespace, or somebody who may list it, can read; but for the Secrets.
fn objects(world: &World) -> String {
    let kinds = "obdest,obdel,outboundledgers,events,events.events.k8s.io,configmaps,leases.coordination.k8s.io";
    world.namespace.kubectl(&["get", kinds, "-o", "yaml"]).ok()
}

/// The operator's arguments, and what `ps` shows of its name.
fn arguments(world: &World) -> String {
    let pid = world.operator.pid().expect("a running operator");
    let read = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let all = [read("cmdline"), read("comm")].concat();
    String::from_utf8_lossy(&all).into_owned()
}

/// The metadata of all objects of the bucket, as the customer sees it.
async fn metadata(world: &World) -> String {
    let customer = world.s3.client(&world.s3.customer());
    let mut all = String::new();
    for key in world.bucket.keys() {
        let head = customer.head_object().bucket(world.bucket.name()).key(&key);
        all += &format!("{:?}\n", head.send().await.unwrap());
    }
    all
}

#[tokio::test]
async fn credentials_are_nowhere() {
    let s3 = S3Server::shared();
    let talkative = |config: OperatorConfig| config.environment("RUST_LOG", "trace");
    let mut world = World::start_with("canary", &s3, talkative).await;
    // One that works, one that the store refuses, one with a token, one that is malformed, and our own identity.
    let user = world.access_key_destination("acme", "").await;
    let unknown = Credentials {
        access_key: KEY_ID.to_owned(),
        secret_key: SECRET.to_owned(),
    };
    world.secret("unknown", &unknown);
    world.apply(&format!(
        "{{apiVersion: v1, kind: Secret, metadata: {{name: token}}, stringData: {}}}",
        json!({"accessKeyId": KEY_ID, "secretAccessKey": SECRET, "sessionToken": TOKEN})
    ));
    world.apply(&format!(
        "{{apiVersion: v1, kind: Secret, metadata: {{name: malformed}}, stringData: {}}}",
        json!({"accessKeyId": KEY_ID, "secretAccessKey": format!("{SECRET}\n"), "sessionToken": TOKEN})
    ));
    for name in ["unknown", "token", "malformed"] {
        world.apply(&format!(
            "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDestination\nmetadata: {{name: {name}}}\n\
             spec: {{permissionMode: AccessKey, accessKey: {{secretRef: {{name: {name}}}}}, bucket: {}, \
             prefix: {PREFIX}, endpoint: {:?}}}\n",
            world.bucket.name(),
            world.s3.url()
        ));
    }
    let owner = world.s3.customer().access_key;
    world.apply(&format!(
        "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDestination\nmetadata: {{name: ours}}\n\
         spec: {{permissionMode: CrossAccount, bucket: {}, bucketOwner: {owner:?}, prefix: {PREFIX}, region: us-east-1}}\n",
        world.bucket.name()
    ));
    world.file("a.csv", "1\n".repeat(3 << 20));
    for (delivery, destination) in [("works", "acme"), ("waits", "unknown")] {
        world.apply(&format!(
            "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDelivery\nmetadata: {{name: {delivery}}}\n\
             spec: {{destinationRef: {{name: {destination}}}, source: {{volume: {{path: a.csv}}}}}}\n"
        ));
    }
    world.condition("obdel", "works", "Complete", "True").await;
    for (name, status) in [
        ("unknown", "False"),
        ("token", "False"),
        ("malformed", "False"),
    ] {
        world.condition("obdest", name, "Ready", status).await;
    }
    world.condition("obdest", "ours", "Stalled", "True").await;
    // A right that goes, and a delivery that is deleted in flight: what else is written of.
    world
        .bucket
        .grant(&user, "elsewhere/", &WRITE_ACTIONS)
        .await;
    world.request("obdest", "acme", "again").await;
    world.namespace.kubectl(&["delete", "obdel", "waits"]).ok();

    let ours = world.s3.us();
    let said = [objects(&world), arguments(&world), metadata(&world).await].concat();
    assert!(
        said.contains("Delivered") && said.contains("InvalidAccessKeyId"),
        "{said}"
    );
    world.operator.terminate();
    let log = world.operator.log();
    assert!(
        log.contains("\"TRACE\""),
        "the log is at its most talkative"
    );
    for canary in [SECRET, TOKEN, &user.secret_key, &ours.secret_key] {
        // As it is, and as it may stand in Base64, in a URL or in JSON.
        let encoded = base64(canary);
        let escaped = canary
            .replace('+', "%2B")
            .replace('/', "%2F")
            .replace('=', "%3D");
        for form in [canary, &encoded, &escaped] {
            assert!(
                !said.contains(form),
                "in an object, an argument or metadata: {form}"
            );
            let line = log.lines().find(|line| line.contains(form));
            assert!(line.is_none(), "in the log: {line:?}");
        }
    }
}

fn base64(text: &str) -> String {
    use std::io::Write as _;
    let mut coder = std::process::Command::new("base64");
    let mut coder = coder
        .arg("-w0")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    coder
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    String::from_utf8(coder.wait_with_output().unwrap().stdout).unwrap()
}
