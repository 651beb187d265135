//! A wire of a given speed between the operator and a server, so that a test may look at (and disturb) a delivery
//! that is half done for certain.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, watch};

use super::operator::OperatorConfig;

/// What one chunk of the wire carries, in bytes.
const CHUNK: usize = 64 << 10;

/// Bytes a second towards the server; none means as fast as it goes, 0 that nothing moves.
pub(crate) type Speed = Option<u64>;

/// The wire. It passes on what it gets, TCP to TCP; signatures stay right, as they cover the Host header.
pub(crate) struct Wire {
    url: String,
    speed: watch::Sender<Speed>,
    listening: tokio::task::JoinHandle<()>,
}

impl Wire {
    /// A wire to the server at `http://HOST:PORT`, in the runtime of the test.
    pub(crate) async fn to(url: &str, speed: Speed) -> Wire {
        let target = url.trim_start_matches("http://").to_owned();
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

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Changes the speed of what is under way too.
    pub(crate) fn speed(&self, speed: Speed) {
        self.speed.send_replace(speed);
    }

    /// The operator's configuration with the wire for both modes.
    pub(crate) fn configure(&self, config: OperatorConfig) -> OperatorConfig {
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
