//! Takes connections, and takes each request to the server, or not.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinSet;

use super::classify::{Dialect, Kind, parameter};
use super::fault::Deed;
use super::hold::Asked;
use super::upstream::Body;
use super::{Record, Shared};

/// The connection to the server that belongs to a client's connection: requests on both go one by one.
type Behind = Arc<Mutex<Option<SendRequest<Body>>>>;

pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (shared, behind) = (shared.clone(), Behind::default());
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let (shared, behind) = (shared.clone(), behind.clone());
                handle(shared, behind, request)
            });
            // An error of the service is how a connection is cut.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
        while connections.try_join_next().is_some() {}
    }
}

fn cut(why: &str) -> io::Error {
    io::Error::other(format!("cut by the proxy: {why}"))
}

async fn handle(
    shared: Arc<Shared>,
    behind: Behind,
    request: Request<Incoming>,
) -> io::Result<Response<Body>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let (kind, subject) = shared.dialect.classify(&parts, &body);
    let number = parameter(parts.uri.query().unwrap_or_default(), "partNumber");
    let asked = Asked {
        kind,
        subject: &subject,
        part: number.and_then(|number| number.parse().ok()),
    };
    shared.gate.pass(&asked).await;
    let kubernetes = matches!(shared.dialect, Dialect::Kubernetes);
    let (place, deed) = shared.admit(Record {
        kind,
        subject,
        method: parts.method.to_string(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers.clone(),
        n: 0,
        bytes: body.len() as u64,
        text: if kubernetes {
            String::from_utf8_lossy(&body).into_owned()
        } else {
            String::new()
        },
        begun: Instant::now(),
        answered: None,
        status: None,
        fault: None,
    });
    if let Some(latency) = shared.latency.get(&kind) {
        tokio::time::sleep(*latency).await;
    }
    let exchange = Exchange {
        shared,
        behind,
        kind,
        place,
        kubernetes,
    };
    match deed {
        None => exchange.forward(parts, whole(body)).await,
        Some(deed) => exchange.spoil(deed, parts, body).await,
    }
}

fn whole(bytes: Bytes) -> Body {
    Full::new(bytes)
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

/// The first half of `bytes`, and then an error.
fn half(bytes: Bytes) -> Body {
    let half = bytes.slice(..bytes.len() / 2);
    let frames = [Ok(Frame::data(half)), Err(cut("in mid-body"))];
    // The pause lets the first frame out before the error takes the connection away.
    let stream = futures::stream::unfold(frames.into_iter(), |mut rest| async {
        let next = rest.next()?;
        if next.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Some((next, rest))
    });
    StreamBody::new(stream).boxed_unsync()
}

#[derive(Clone)]
struct Exchange {
    shared: Arc<Shared>,
    behind: Behind,
    kind: Kind,
    place: usize,
    kubernetes: bool,
}

impl Exchange {
    async fn spoil(
        &self,
        deed: Deed,
        parts: http::request::Parts,
        body: Bytes,
    ) -> io::Result<Response<Body>> {
        match deed {
            Deed::Drop => Err(cut("dropped")),
            Deed::Answer(status) => Ok(self.refusal(status)),
            Deed::Refuse(refusal) => Ok(answer(
                refusal.status,
                "application/xml",
                s3_error(&refusal.code, &refusal.message),
            )),
            Deed::ErrorIn200 => Ok(self.refusal(200)),
            Deed::AppliedErrorIn200 => {
                self.forward(parts, whole(body)).await?;
                Ok(self.refusal(200))
            }
            Deed::LoseAnswer => {
                self.forward(parts, whole(body)).await?;
                Err(cut("the answer is lost"))
            }
            Deed::ResetRequest => {
                // The head promises the whole length.
                let _ = self.forward(parts, half(body)).await;
                Err(cut("reset in mid-body"))
            }
            Deed::ResetAnswer => {
                let (head, body) = self.forward(parts, whole(body)).await?.into_parts();
                let body = body.collect().await?.to_bytes();
                if body.len() < 2 {
                    return Err(cut("an answer without a body to reset"));
                }
                Ok(Response::from_parts(head, half(body)))
            }
            Deed::Stall(milliseconds) => {
                tokio::time::sleep(Duration::from_millis(milliseconds)).await;
                self.forward(parts, whole(body)).await
            }
            // Until the client hangs up, and takes this with it.
            Deed::Hang => std::future::pending().await,
            Deed::FlipByte => {
                let mut flipped = body.to_vec();
                if let Some(byte) = flipped.get_mut(body.len() / 2) {
                    *byte ^= 1;
                }
                self.forward(parts, whole(flipped.into())).await
            }
            Deed::StripHeader(name) => {
                let mut answer = self.forward(parts, whole(body)).await?;
                answer.headers_mut().remove(name.as_str());
                Ok(answer)
            }
            Deed::KillBefore => self.kill().await,
            Deed::KillAfter => {
                self.forward(parts, whole(body)).await?;
                self.kill().await
            }
        }
    }

    /// Has the operator killed; its connections are dead then, this one too.
    async fn kill(&self) -> io::Result<Response<Body>> {
        let exchange = self.clone();
        let killing = tokio::spawn(async move {
            let (killed, wait) = oneshot::channel();
            let _ = exchange.shared.kills.send(killed);
            let _ = wait.await;
            let dead = Some(Instant::now());
            exchange
                .shared
                .update(exchange.place, |record| record.answered = dead);
        });
        let _ = killing.await;
        Err(cut("the operator is dead"))
    }

    /// To the server and back, to the end even when the client is gone meanwhile: what the server did is recorded.
    async fn forward(&self, parts: http::request::Parts, body: Body) -> io::Result<Response<Body>> {
        let mut request = Request::from_parts(parts, body);
        if self.kubernetes {
            let host = HeaderValue::from_str(self.shared.upstream.authority());
            request
                .headers_mut()
                .insert("host", host.map_err(io::Error::other)?);
        }
        let exchange = self.clone();
        let answer = tokio::spawn(async move { exchange.exchange(request).await });
        answer.await.map_err(io::Error::other)?
    }

    /// An answer that is read to its end (all but a watch's) comes back whole.
    async fn exchange(&self, request: Request<Body>) -> io::Result<Response<Body>> {
        let mut behind = self.behind.lock().await;
        let kept = match behind.take() {
            Some(mut sender) => sender.ready().await.is_ok().then_some(sender),
            None => None,
        };
        let mut sender = match kept {
            Some(sender) => sender,
            None => self.shared.upstream.connect().await?,
        };
        let answer = sender.send_request(request).await;
        *behind = Some(sender);
        drop(behind);
        let (mut head, body) = answer.map_err(io::Error::other)?.into_parts();
        let status = head.status.as_u16();
        if matches!(self.kind, Kind::WatchDeliveries | Kind::WatchDestinations) {
            self.answered(status, None);
            let body = body.map_err(io::Error::other).boxed_unsync();
            return Ok(Response::from_parts(head, body));
        }
        let mut body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        if self.kind == Kind::ListUploads && head.status.is_success() {
            body = self.shared.initiators.put_in(body);
            head.headers.insert("content-length", body.len().into());
        }
        self.answered(status, self.kind.creates_upload().then_some(&body));
        Ok(Response::from_parts(head, whole(body)))
    }

    fn answered(&self, status: u16, text: Option<&Bytes>) {
        self.shared.update(self.place, |record| {
            record.status = Some(status);
            record.answered = Some(Instant::now());
            if let Some(text) = text {
                record.text = String::from_utf8_lossy(text).into_owned();
            }
        });
    }

    /// A refusal in the server's own words.
    fn refusal(&self, status: u16) -> Response<Body> {
        let (kind, text) = if self.kubernetes {
            ("application/json", kubernetes_refusal(status))
        } else {
            ("application/xml", s3_refusal(status))
        };
        answer(status, kind, text)
    }
}

fn answer(status: u16, kind: &'static str, text: String) -> Response<Body> {
    let mut answer = Response::new(whole(text.into()));
    *answer.status_mut() = StatusCode::from_u16(status).expect("a status");
    answer
        .headers_mut()
        .insert("content-type", HeaderValue::from_static(kind));
    answer
}

fn s3_refusal(status: u16) -> String {
    let code = match status {
        403 => "AccessDenied",
        404 => "NoSuchUpload",
        409 => "ConditionalRequestConflict",
        412 => "PreconditionFailed",
        429 | 503 => "SlowDown",
        _ => "InternalError",
    };
    s3_error(code, "said by the proxy")
}

fn s3_error(code: &str, message: &str) -> String {
    let message = message.replace('&', "&amp;").replace('<', "&lt;");
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
         <Message>{message}</Message><RequestId>proxy</RequestId></Error>"
    )
}

fn kubernetes_refusal(status: u16) -> String {
    let reason = match status {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        _ => "InternalError",
    };
    serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "said by the proxy", "reason": reason, "code": status,
    })
    .to_string()
}
