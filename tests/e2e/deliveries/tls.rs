//! Over TLS, as in production: payloads aren't hashed for the signature there, and certificates are checked.

use super::{assert_same, completes, deliver, joined, large_table};
use crate::support::process::Scratch;
use crate::support::world::{PREFIX, WRITE_ACTIONS};
use crate::support::{S3Server, World};

/// A world whose operator may talk to the server's TLS port, and trusts its authority or doesn't.
async fn world(topic: &str, server: &S3Server, ca: Option<&Scratch>) -> World {
    let world = World::start_with(topic, server, |config| {
        let url = server.tls_url();
        let config = config.with("endpoints.allow", serde_json::json!([url]));
        match ca {
            Some(folder) => {
                let file = folder.path().join("ca.crt");
                std::fs::write(&file, server.ca()).unwrap();
                config.environment("SSL_CERT_FILE", file.to_str().unwrap())
            }
            None => config,
        }
    })
    .await;
    let user = world.s3.user("writer");
    world.bucket.grant(&user, PREFIX, &WRITE_ACTIONS).await;
    world.secret("acme", &user);
    let (bucket, url) = (world.bucket.name(), server.tls_url());
    world.apply(&format!(
        "{{apiVersion: outbound.dev/v1alpha1, kind: OutboundDestination, metadata: {{name: acme}}, \
         spec: {{bucket: {bucket}, prefix: {PREFIX}, endpoint: \"{url}\", permissionMode: AccessKey, \
         accessKey: {{secretRef: {{name: acme}}}}}}}}"
    ));
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_and_small_objects_arrive_over_a_trusted_connection() {
    let (server, folder) = (S3Server::start_with_tls(), Scratch::new("ca"));
    let world = world("tls", &server, Some(&folder)).await;
    let table = large_table(1, 17 << 20);
    world.file("table.csv", &table);
    deliver(&world, "tls", "table.csv", "");
    let delivery = completes(&world, "tls").await;
    assert_same(&joined(&world.bucket, &delivery), &table);
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_told() {
    let server = S3Server::start_with_tls();
    let world = world("tls-untrusted", &server, None).await;
    let ready = world.reason("obdest", "acme", "Ready", "TlsFailure").await;
    assert!(
        ready["message"].as_str().unwrap().contains("certificate"),
        "{ready}"
    );
}
