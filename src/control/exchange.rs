//! A request that came as messages, answered by the router, its answer sent as messages.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use corecast_media::name::{SessionId, ShardId};
use corecast_mesh::message::{
    ControlRequest, FromControl, RESPONSE_CHUNK_BYTES_MAX, RESPONSE_CHUNKS_MAX,
};
use futures_util::FutureExt;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, Method, Request, Response, Uri};
use http_body_util::BodyExt;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;
use tower::ServiceExt;

use crate::node::Order;
use crate::probe::ControlProbe;
use crate::problem::Problem;

/// Requests that may be in work at a time; more are answered 503 at once.
pub(crate) const REQUESTS_MAX: usize = 1_024;

/// One request in work.
struct Running {
    credit: Arc<Semaphore>,
    task: AbortHandle,
}

/// The requests in work.
pub(crate) struct Exchange {
    router: Router,
    orders: mpsc::UnboundedSender<Order>,
    running: HashMap<SessionId, Running>,
    probe: Arc<ControlProbe>,
}

impl Exchange {
    pub(crate) fn new(
        router: Router,
        orders: mpsc::UnboundedSender<Order>,
        probe: Arc<ControlProbe>,
    ) -> Self {
        Exchange {
            router,
            orders,
            running: HashMap::new(),
            probe,
        }
    }

    /// Starts to answer a request.
    pub(crate) fn handle_request(&mut self, from: ShardId, request: ControlRequest) {
        let session = request.session;
        let credit = Arc::new(Semaphore::new(usize::from(RESPONSE_CHUNKS_MAX)));
        let reply = Reply {
            shard: from,
            session,
            orders: self.orders.clone(),
            credit: Arc::clone(&credit),
            probe: Arc::clone(&self.probe),
        };
        let router = (self.running.len() < REQUESTS_MAX).then(|| self.router.clone());
        let task = tokio::spawn(run(router, request, reply)).abort_handle();
        self.running.insert(session, Running { credit, task });
    }

    /// The requester is gone: whatever is being made for it ends now.
    pub(crate) fn handle_ended(&mut self, session: SessionId) {
        if let Some(running) = self.running.remove(&session) {
            running.task.abort();
        }
    }

    /// The requester took this many chunks.
    pub(crate) fn handle_credit(&mut self, session: SessionId, chunks: u16) {
        if let Some(running) = self.running.get(&session) {
            let room = RESPONSE_CHUNKS_MAX.saturating_sub(
                u16::try_from(running.credit.available_permits()).unwrap_or(RESPONSE_CHUNKS_MAX),
            );
            running.credit.add_permits(usize::from(chunks.min(room)));
        }
    }

    /// The request's answer is complete.
    pub(crate) fn handle_answered(&mut self, session: SessionId) {
        self.running.remove(&session);
    }

    /// Requests in work.
    pub(crate) fn len(&self) -> usize {
        self.running.len()
    }
}

/// Where an answer goes.
struct Reply {
    shard: ShardId,
    session: SessionId,
    orders: mpsc::UnboundedSender<Order>,
    credit: Arc<Semaphore>,
    probe: Arc<ControlProbe>,
}

/// Answers one request to its end.
async fn run(router: Option<Router>, request: ControlRequest, reply: Reply) {
    let asks_head = &*request.method == "HEAD";
    let response = match router {
        Some(router) => respond(router, request, &reply.probe).await,
        None => Problem::unavailable("too many requests are in work").into(),
    };
    // A body that panics has had its head sent already: all that is left is to end it.
    if AssertUnwindSafe(reply.send(response, asks_head))
        .catch_unwind()
        .await
        .is_err()
    {
        reply.probe.panics.add(1);
        tracing::error!(session = %reply.session, "a response body panicked");
        reply.end();
    }
}

/// The router's answer, whatever it does.
async fn respond(router: Router, request: ControlRequest, probe: &ControlProbe) -> Response<Body> {
    let session = request.session;
    let request = match parse(request) {
        Ok(request) => request,
        Err(problem) => return problem.into(),
    };
    match AssertUnwindSafe(router.oneshot(request))
        .catch_unwind()
        .await
    {
        Ok(Ok(response)) => response,
        Err(_) => {
            probe.panics.add(1);
            tracing::error!(%session, "a request handler panicked");
            Problem::internal().into()
        }
    }
}

/// The request as the router wants it.
fn parse(request: ControlRequest) -> Result<Request<Body>, Problem> {
    let bad = Problem::bad_request;
    let method =
        Method::from_bytes(request.method.as_bytes()).map_err(|_| bad("the method is no token"))?;
    let uri: Uri = request
        .target
        .parse()
        .map_err(|_| bad("the request target is malformed"))?;
    let mut parsed = Request::new(Body::from(request.body));
    *parsed.method_mut() = method;
    *parsed.uri_mut() = uri;
    for (name, value) in request.headers {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| bad("a header's name is malformed"))?;
        let value = HeaderValue::from_maybe_shared(value)
            .map_err(|_| bad("a header's value is malformed"))?;
        parsed.headers_mut().append(name, value);
    }
    Ok(parsed)
}

impl Reply {
    async fn send(&self, response: Response<Body>, asks_head: bool) {
        let (head, mut body) = response.into_parts();
        // An answer to HEAD has no body but tells the length of what GET would get.
        let said = head
            .headers
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let exact = axum::body::HttpBody::size_hint(&body).exact();
        let length = said.or(exact.filter(|_| !asks_head));
        let mut headers = Vec::with_capacity(head.headers.len());
        for (name, value) in &head.headers {
            if name != CONTENT_LENGTH && name != TRANSFER_ENCODING {
                headers.push((
                    Box::from(name.as_str()),
                    Bytes::copy_from_slice(value.as_bytes()),
                ));
            }
        }
        let (session, status) = (self.session, head.status.as_u16());
        self.probe.count_answer(status);
        self.order(FromControl::ResponseHead {
            session,
            status,
            headers,
            length,
        });
        while let Some(frame) = body.frame().await {
            match frame.map(|frame| frame.into_data()) {
                Ok(Ok(data)) => self.send_data(data).await,
                Ok(Err(_trailers)) => {}
                Err(error) => {
                    tracing::warn!(%session, %error, "a response body failed");
                    break;
                }
            }
        }
        self.end();
    }

    /// Sends `data` in chunks, each when there is credit for it.
    async fn send_data(&self, mut data: Bytes) {
        while !data.is_empty() {
            let chunk = data.split_to(data.len().min(RESPONSE_CHUNK_BYTES_MAX));
            // The semaphore is never closed.
            if let Ok(permit) = self.credit.acquire().await {
                permit.forget();
            }
            self.order(FromControl::ResponseBody {
                session: self.session,
                chunk,
            });
        }
    }

    fn end(&self) {
        self.order(FromControl::ResponseEnd {
            session: self.session,
        });
        // A loop that has ended has forgotten the request already.
        let _ = self.orders.send(Order::Answered(self.session));
    }

    fn order(&self, message: FromControl) {
        // As above.
        let _ = self.orders.send(Order::Send(self.shard, message));
    }
}
