//! `/livez`, `/readyz` and `/metrics`, on a thread and a runtime of their own: the answer that the process stands
//! still must not need the process to go on.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::health::{Check, Health};
use crate::metrics::{self, Metrics};

/// Connections at once: a few scrapers and the kubelet. Others wait in the kernel's queue.
const CONNECTIONS: usize = 32;

/// How long a connection may take from its first byte to its last. One carries one request.
const LONGEST: Duration = Duration::from_secs(10);

/// The pause after a connection could not be taken, as when there is no file descriptor left.
const PAUSE: Duration = Duration::from_millis(200);

const TEXT: &str = "text/plain; charset=utf-8";

/// A running server; it ends with the value.
#[derive(Debug)]
pub struct HttpServer {
    address: SocketAddr,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone)]
struct Served {
    health: Health,
    metrics: Metrics,
}

impl HttpServer {
    /// Listens on `listen`; port 0 is a free one.
    ///
    /// # Errors
    /// When the address can't be listened on, or no thread can be started.
    pub fn start(listen: SocketAddr, health: Health, metrics: Metrics) -> io::Result<Self> {
        let listener = StdListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let served = Served { health, metrics };
        let work = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = stopped.cancelled() => {}
                    ended = accept(listener, served) => tracing::error!(?ended, "the HTTP server ended"),
                }
            });
        };
        let thread = std::thread::Builder::new()
            .name("http".to_owned())
            .spawn(work)?;
        Ok(Self {
            address,
            stop,
            thread: Some(thread),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // It ends at its next await, and a panic in it was printed where it happened.
            drop(thread.join());
        }
    }
}

async fn accept(listener: StdListener, served: Served) -> io::Result<Infallible> {
    let listener = TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        let place = place.map_err(io::Error::other)?;
        match listener.accept().await {
            Ok((stream, _)) => {
                let served = served.clone();
                connections.spawn(async move {
                    // A client that is too slow, or gone, is none of our errors.
                    drop(tokio::time::timeout(LONGEST, serve(stream, served)).await);
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a connection could not be taken");
                tokio::time::sleep(PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, served: Served) -> Result<(), hyper::Error> {
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let answer = served.answer(
            request.method(),
            request.uri().path(),
            request.uri().query(),
        );
        async move { Ok::<_, Infallible>(answer) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(LONGEST)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

impl Served {
    fn answer(&self, method: &Method, path: &str, query: Option<&str>) -> Response<Full<Bytes>> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, TEXT, String::new());
            let allowed = HeaderValue::from_static("GET, HEAD");
            answer.headers_mut().insert(ALLOW, allowed);
            return answer;
        }
        let detail = detail(query);
        match path {
            "/livez" => checked("livez", &self.health.livez(), detail),
            "/readyz" => checked("readyz", &self.health.readyz(), detail),
            "/metrics" => match self.metrics.render() {
                Ok(metrics) => text(StatusCode::OK, metrics::CONTENT_TYPE, metrics),
                Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, TEXT, error.to_string()),
            },
            _ => text(
                StatusCode::NOT_FOUND,
                TEXT,
                "there are /livez, /readyz and /metrics\n".to_owned(),
            ),
        }
    }
}

/// What an answer that all is well says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Detail {
    Short,
    Verbose,
}

fn detail(query: Option<&str>) -> Detail {
    let mut words = query.unwrap_or_default().split('&');
    if words.any(|word| word == "verbose" || word.starts_with("verbose=")) {
        Detail::Verbose
    } else {
        Detail::Short
    }
}

/// The answer, in the apiserver's own form: each check when asked for, or when one failed.
fn checked(name: &str, checks: &[Check], detail: Detail) -> Response<Full<Bytes>> {
    let failed = checks.iter().any(|check| check.fault.is_some());
    if !failed && detail == Detail::Short {
        return text(StatusCode::OK, TEXT, "ok".to_owned());
    }
    let mut body = String::new();
    for check in checks {
        let line = match &check.fault {
            None => format!("[+]{} ok\n", check.name),
            Some(fault) => format!("[-]{} failed: {fault}\n", check.name),
        };
        body.push_str(&line);
    }
    let (status, end) = if failed {
        (StatusCode::SERVICE_UNAVAILABLE, "failed")
    } else {
        (StatusCode::OK, "passed")
    };
    body.push_str(&format!("{name} check {end}\n"));
    text(status, TEXT, body)
}

fn text(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::sync::mpsc;

    use super::*;
    use crate::health::{Limits, Pulse, Role};
    use crate::runtime::watchdog::beat;

    fn ask(server: &HttpServer, method: &str, path: &str) -> (u16, String) {
        let mut stream = std::net::TcpStream::connect(server.address()).unwrap();
        write!(stream, "{method} {path} HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    fn start(health: &Health) -> HttpServer {
        let listen = "127.0.0.1:0".parse().unwrap();
        HttpServer::start(listen, health.clone(), Metrics::default()).unwrap()
    }

    #[test]
    fn answers_in_the_apiservers_form() {
        let health = Health::default();
        let server = start(&health);
        let (status, body) = ask(&server, "GET", "/readyz");
        assert_eq!(status, 503);
        assert!(body.starts_with("[-]start failed: ") && body.ends_with("readyz check failed\n"));
        assert_eq!(ask(&server, "GET", "/livez"), (200, "ok".to_owned()));
        let verbose = "[+]executor ok\nlivez check passed\n".to_owned();
        assert_eq!(ask(&server, "GET", "/livez?verbose"), (200, verbose));
        assert_eq!(ask(&server, "HEAD", "/livez"), (200, String::new()));
        assert_eq!(ask(&server, "POST", "/livez").0, 405);
        assert_eq!(ask(&server, "GET", "/livez/").0, 404);
        let (status, body) = ask(&server, "GET", "/metrics");
        assert_eq!(status, 200);
        assert!(body.ends_with("# EOF\n"), "{body}");
    }

    #[test]
    fn an_address_in_use_is_told() {
        let health = Health::default();
        let server = start(&health);
        let again = HttpServer::start(server.address(), health, Metrics::default());
        assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    /// The only worker thread stands still, as in a blocking call: no task runs, and the answer still comes.
    #[test]
    fn an_executor_that_stands_still_is_seen_and_so_is_its_return() {
        let health = Health::new(Limits {
            pulse: Duration::from_millis(1500),
            ..Limits::default()
        });
        health.becomes(Role::StandBy);
        let server = start(&health);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.spawn(beat(Pulse::Executor, health.clone()));
        let until = |wanted: u16| {
            let begun = std::time::Instant::now();
            while ask(&server, "GET", "/livez").0 != wanted {
                assert!(begun.elapsed() < Duration::from_secs(60), "no {wanted}");
                std::thread::yield_now();
            }
        };
        until(200);
        let (release, held) = mpsc::channel::<()>();
        runtime.spawn(async move {
            let _ = held.recv();
        });
        until(503);
        let (_, body) = ask(&server, "GET", "/livez");
        assert!(
            body.starts_with("[-]executor failed: it stands still"),
            "{body}"
        );
        drop(release);
        until(200);
    }
}
