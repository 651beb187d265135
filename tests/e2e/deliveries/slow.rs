//! Worlds with a slow wire before the S3 server, and how far a delivery is in them.

use super::KIND;
use crate::support::operator::OperatorConfig;
use crate::support::wait::PATIENCE;
pub(super) use crate::support::wire::{Speed, Wire};
use crate::support::world::{PREFIX, WRITE_ACTIONS};
use crate::support::{S3Server, World};

/// A world whose operator has the wire before it, small parts, and (in `change`) more.
pub(super) async fn world(
    topic: &str,
    speed: Speed,
    change: impl FnOnce(OperatorConfig) -> OperatorConfig,
) -> (World, Wire) {
    let server = S3Server::shared();
    let wire = Wire::to(server.url(), speed).await;
    let world = World::start_with(topic, &server, |config| {
        let config = wire.configure(config).with("transfer.partSize", "5Mi");
        change(config)
    })
    .await;
    (world, wire)
}

/// Waits until the store has confirmed some of the delivery, but not all.
pub(super) async fn half_done(world: &World, name: &str) {
    let what = format!("{name} is half done");
    world
        .eventually(PATIENCE, &what, KIND, name, |delivery| {
            let progress = &delivery["status"]["progress"];
            let done = progress["bytesDone"].as_u64()?;
            assert!(
                Some(done) < progress["bytesTotal"].as_u64(),
                "too late: {progress}"
            );
            (done > 0).then_some(())
        })
        .await;
}

/// [`World::access_key_destination`] `acme` over the wire.
pub(super) async fn access_key_destination(world: &World, wire: &Wire) {
    let user = world.s3.user("writer");
    world.bucket.grant(&user, PREFIX, &WRITE_ACTIONS).await;
    world.secret("acme", &user);
    world.apply(&format!(
        "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDestination\nmetadata: {{name: acme}}\n\
         spec:\n  bucket: {}\n  prefix: {PREFIX}\n  endpoint: {}\n  \
         permissionMode: AccessKey\n  accessKey: {{secretRef: {{name: acme}}}}\n",
        world.bucket.name(),
        wire.url()
    ));
}

/// Waits until so many objects are delivered and verified, but not all.
pub(super) async fn objects_done(world: &World, name: &str, objects: u64) {
    let what = format!("{name} has delivered {objects} objects");
    world
        .eventually(PATIENCE, &what, KIND, name, |delivery| {
            let progress = &delivery["status"]["progress"];
            let done = progress["objectsDone"].as_u64()?;
            assert!(
                Some(done) < progress["objectsTotal"].as_u64(),
                "too late: {progress}"
            );
            (done >= objects).then_some(())
        })
        .await;
}
