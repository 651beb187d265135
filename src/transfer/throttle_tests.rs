//! A store that asks for fewer requests gets fewer, and nobody else does.

use std::convert::Infallible;
use std::sync::atomic::AtomicUsize;

use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use super::*;

const SLOW_DOWN: &str =
    "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";

/// A filter before the server that answers 503 to parts beyond `allowed` at once.
struct Throttling {
    endpoint: String,
    seen: Arc<Seen>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    allowed: usize,
    under_way: AtomicUsize,
    refused: AtomicUsize,
}

impl Drop for Throttling {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Throttling {
    async fn before(server: &Server, allowed: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let upstream = server.endpoint.strip_prefix("http://").unwrap().to_owned();
        let seen = Arc::new(Seen {
            allowed,
            ..Seen::default()
        });
        let counters = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (upstream, seen) = (upstream.clone(), Arc::clone(&counters));
                let answers =
                    service_fn(move |request| answer(upstream.clone(), Arc::clone(&seen), request));
                let connection = hyper::server::conn::http1::Builder::new();
                // A client that hangs up ends its own connection only.
                connections.spawn(async move {
                    drop(
                        connection
                            .serve_connection(TokioIo::new(client), answers)
                            .await,
                    )
                });
            }
        });
        Self {
            endpoint,
            seen,
            task,
        }
    }
}

type Answer = Response<Either<Full<Bytes>, Incoming>>;

async fn answer(
    upstream: String,
    seen: Arc<Seen>,
    request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    let is_part = request
        .uri()
        .query()
        .is_some_and(|query| query.contains("partNumber="));
    if !is_part {
        return Ok(forward(&upstream, request).await);
    }
    let before = seen.under_way.fetch_add(1, Ordering::SeqCst);
    let answer = if before < seen.allowed {
        forward(&upstream, request).await
    } else {
        seen.refused.fetch_add(1, Ordering::SeqCst);
        // Taken in first: a client that still writes sees a broken connection, and no answer.
        request.into_body().collect().await.unwrap();
        let slow_down = Full::from(SLOW_DOWN);
        Response::builder()
            .status(503)
            .body(Either::Left(slow_down))
            .unwrap()
    };
    seen.under_way.fetch_sub(1, Ordering::SeqCst);
    Ok(answer)
}

async fn forward(upstream: &str, request: Request<Incoming>) -> Answer {
    let stream = TcpStream::connect(upstream).await.unwrap();
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    sender
        .send_request(request)
        .await
        .unwrap()
        .map(Either::Right)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_throttling_store_gets_fewer_parts_and_other_destinations_keep_their_pace() {
    let (server, other) = (Server::start().await, Server::start().await);
    let throttling = Throttling::before(&server, 2).await;
    let resources = Resources::new(128 << 20, 8);
    let mut case = Case::new(
        &[records(12 * PART, 80), records(12 * PART, 81)],
        ReadBack::WriteOnly,
    );
    case.resources = resources.for_destination("throttling", Limits::default());
    // The same destination's, held so that what was learned can be seen after.
    let shared = resources.for_destination("throttling", Limits::default());
    let next_door = resources.for_destination("other", Limits::default());
    let (ended, _) = case
        .run(bucket_at(&throttling.endpoint, SECRET), &ledger())
        .await;
    ended.unwrap();
    case.verify(&server).await;
    let refused = throttling.seen.refused.load(Ordering::SeqCst);
    let cuts = shared.destination().cuts();
    assert!(refused > 0, "it was never too much");
    assert_ne!(cuts, next_door.destination().cuts(), "it was cut");

    let mut case = Case::new(&[records(2 * PART, 82)], ReadBack::WriteOnly);
    case.resources = next_door.clone();
    case.delivered(&other, &ledger()).await;
    case.verify(&other).await;
    let fresh = resources.for_destination("third", Limits::default());
    assert_eq!(next_door.destination().cuts(), fresh.destination().cuts());
}
