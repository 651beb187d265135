//! A wire between the operator and the S3 server that holds what it is told to, so that a test may look
//! at (and disturb) a delivery that is half done for certain, on any machine.
//!
//! Parts that are held take the operator's leave to send: with all of it taken nothing else is sent. So what
//! has to land first must be all that isn't held from its very beginning.

use serde_json::json;

use super::KIND;
use crate::support::operator::OperatorConfig;
use crate::support::proxy::{Asked, Kind, Proxy, Record, Refusal};
use crate::support::wait::{PATIENCE, until};
use crate::support::world::{PREFIX, WRITE_ACTIONS};
use crate::support::{S3Server, World};

/// The wire. Signatures stay right, as they cover the Host header.
pub(super) struct Wire {
    proxy: Proxy,
    url: String,
}

impl Wire {
    /// A wire to that server that holds nothing yet, in the runtime of the test.
    pub(super) async fn to(server: &S3Server) -> Wire {
        let proxy = Proxy::before(server.url()).await;
        let url = proxy.url();
        Wire { proxy, url }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Holds those requests, and no others.
    pub(super) fn hold(&self, holds: impl Fn(&Asked<'_>) -> bool + Send + Sync + 'static) {
        self.proxy.hold(holds);
    }

    /// Holds every part behind the first `parts` of objects whose key has `name` in it.
    pub(super) fn hold_parts(&self, name: &'static str, parts: u32) {
        self.hold(move |asked| {
            asked.subject.contains(name) && asked.part.is_some_and(|part| part > parts)
        });
    }

    /// Holds everything that concerns objects whose key has `name` in it, from their uploads' creation on.
    pub(super) fn hold_object(&self, name: &'static str) {
        self.hold(move |asked| asked.subject.contains(name));
    }

    /// Refuses every part but an object's first, once it has come in whole. A server may refuse before it read the
    /// body and close the connection, and then the operator may not see why.
    pub(super) fn refuse_parts(&self) {
        let refusal = Refusal::new(403, "AccessDenied", "Access Denied");
        self.proxy.refuse(Kind::MiddlePart, None, refusal);
    }

    /// Refuses nothing any more; returns the parts that were refused.
    pub(super) fn relent(&self) -> Vec<Record> {
        self.proxy.relent();
        let mut refused = self.proxy.records();
        refused.retain(|record| record.fault.is_some());
        refused
    }

    /// Lists of uploads say who began each from now on, as AWS's do: `names` by the upload's id.
    pub(super) fn name_initiators(&self, names: impl Fn(&str) -> String + Send + Sync + 'static) {
        self.proxy.name_initiators(names);
    }

    /// Holds everything, as a store that hangs.
    pub(super) fn stand_still(&self) {
        self.hold(|_| true);
    }

    /// Lets everything pass.
    pub(super) fn open(&self) {
        self.hold(|_| false);
    }

    /// All requests so far that weren't held, in the order in which they passed.
    pub(super) fn records(&self) -> Vec<Record> {
        self.proxy.records()
    }

    /// The operator's configuration with the wire for both modes.
    pub(super) fn configure(&self, config: OperatorConfig) -> OperatorConfig {
        config
            .with("endpoints.allow", json!([self.url]))
            .with("endpoints.s3", self.url.as_str())
    }
}

/// A world whose operator has the wire before it, small parts, and (in `change`) more.
pub(super) async fn world(
    topic: &str,
    change: impl FnOnce(OperatorConfig) -> OperatorConfig,
) -> (World, Wire) {
    let server = S3Server::shared();
    let wire = Wire::to(&server).await;
    let world = World::start_with(topic, &server, |config| {
        let config = wire.configure(config).with("transfer.partSize", "5Mi");
        change(config)
    })
    .await;
    (world, wire)
}

/// Waits until the store has confirmed some of the delivery, but not all: the wire holds the rest.
pub(super) async fn half_done(world: &World, name: &str) {
    let what = format!("{name} is half done");
    world
        .eventually(PATIENCE, &what, KIND, name, |delivery| {
            let progress = &delivery["status"]["progress"];
            let done = progress["bytesDone"].as_u64()?;
            assert!(
                Some(done) < progress["bytesTotal"].as_u64(),
                "the wire holds nothing: {progress}"
            );
            (done > 0).then_some(())
        })
        .await;
}

/// Waits until so many objects are delivered and verified, but not all: the wire holds the rest.
pub(super) async fn objects_done(world: &World, name: &str, objects: u64) {
    let what = format!("{name} has delivered {objects} objects");
    world
        .eventually(PATIENCE, &what, KIND, name, |delivery| {
            let progress = &delivery["status"]["progress"];
            let done = progress["objectsDone"].as_u64()?;
            assert!(
                Some(done) < progress["objectsTotal"].as_u64(),
                "the wire holds nothing: {progress}"
            );
            (done >= objects).then_some(())
        })
        .await;
}

/// Waits until the delivery's run was told to stop: no part begins any more, and those that are held may land.
pub(super) async fn told_to_stop(world: &World) {
    until("the run is told to stop", || {
        world.operator.log().contains("the run is told to stop")
    })
    .await;
}

/// Ends the operator in order, by SIGTERM, and lets what is held land once it begins no more parts.
pub(super) async fn terminate(world: &mut World, wire: &Wire) {
    ask_to_end(world).await;
    wire.open();
    until("it has ended", || world.operator.ended().is_some()).await;
    let code = world.operator.terminate().code();
    assert_eq!(code, Some(0), "{}", world.operator.log_tail());
}

/// SIGTERM; returns once no part begins any more.
pub(super) async fn ask_to_end(world: &mut World) {
    let heard = |world: &World| world.operator.log().matches("no part begins").count();
    let before = heard(world);
    world.operator.signal("TERM");
    until("it begins no more parts", || heard(world) > before).await;
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
