//! A wire of a given speed between the operator and the S3 server, so that a test may look at (and
//! disturb) a delivery that is half done for certain.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, watch};

use super::KIND;
use crate::support::operator::OperatorConfig;
use crate::support::wait::PATIENCE;
use crate::support::world::{PREFIX, WRITE_ACTIONS};
use crate::support::{S3Server, World};

/// What one chunk of the wire carries, in bytes.
const CHUNK: usize = 64 << 10;

/// Bytes a second towards the server; none means as fast as it goes, 0 that nothing moves.
type Speed = Option<u64>;

/// The wire. It passes on what it gets, TCP to TCP; signatures stay right, as they cover the Host header.
pub(super) struct Wire {
    url: String,
    speed: watch::Sender<Speed>,
    listening: tokio::task::JoinHandle<()>,
}

impl Wire {
    /// A wire to that server, in the runtime of the test.
    pub(super) async fn to(server: &S3Server, speed: Speed) -> Wire {
        let target = server.url().trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (speed, seen) = watch::channel(speed);
        let listening = tokio::spawn(async move {
            let turn = Arc::new(Mutex::new(()));
            while let Ok((client, _)) = listener.accept().await {
                let connection = connection(client, target.clone(), seen.clone(), turn.clone());
                tokio::spawn(connection);
            }
        });
        Wire {
            url,
            speed,
            listening,
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Changes the speed of what is under way too.
    pub(super) fn speed(&self, speed: Speed) {
        self.speed.send_replace(speed);
    }

    /// The operator's configuration with the wire for both modes.
    pub(super) fn configure(&self, config: OperatorConfig) -> OperatorConfig {
        config
            .with("endpoints.allow", json!([self.url]))
            .with("endpoints.s3", self.url.as_str())
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn connection(
    mut client: TcpStream,
    target: String,
    speed: watch::Receiver<Speed>,
    turn: Arc<Mutex<()>>,
) {
    let Ok(mut server) = TcpStream::connect(target).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let there = async {
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = from_client.read(&mut chunk).await.unwrap_or(0);
            if read == 0 {
                break;
            }
            wait_for_turn(speed.clone(), &turn, read).await;
            if to_server.write_all(&chunk[..read]).await.is_err() {
                break;
            }
        }
    };
    let back = async {
        // An end by error is an end: the client sees a closed connection.
        let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
    };
    tokio::select! {
        () = there => {}
        () = back => {}
    }
}

/// Takes as long as `bytes` take at that speed, all connections together.
async fn wait_for_turn(mut speed: watch::Receiver<Speed>, turn: &Mutex<()>, bytes: usize) {
    let _turn = turn.lock().await;
    loop {
        let now = *speed.borrow_and_update();
        let passed = async {
            match now {
                None => {}
                Some(0) => std::future::pending().await,
                Some(speed) => {
                    tokio::time::sleep(Duration::from_secs_f64(bytes as f64 / speed as f64)).await;
                }
            }
        };
        tokio::select! {
            () = passed => return,
            changed = speed.changed() => if changed.is_err() { return },
        }
    }
}

/// A world whose operator has the wire before it, small parts, and (in `change`) more.
pub(super) async fn world(
    topic: &str,
    speed: Speed,
    change: impl FnOnce(OperatorConfig) -> OperatorConfig,
) -> (World, Wire) {
    let server = S3Server::shared();
    let wire = Wire::to(&server, speed).await;
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
