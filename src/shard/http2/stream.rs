//! One stream: a request, and the task that answers it.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use corecast_protocol::http::{BadRequest, Fields, Request, RequestFields, Version};
use h2::ext::Protocol;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::StatusCode;

use super::carrier::Carrier;
use super::{RESET_COST, answer};
use crate::admission::client::client;
use crate::driver::Shard;
use crate::http::connection::request_limits;
use crate::http::exchange::{Account, Exchange, Front, Input, StreamInput, serve_isolated};
use crate::http::response::Response;
use crate::session;
use crate::task::{First, first};

/// What the requests of one connection have in common.
pub(super) struct Origin {
    pub(super) shard: Rc<Shard>,
    /// The other end.
    pub(super) peer: SocketAddr,
    pub(super) front: Front,
    /// Tasks of its streams.
    pub(super) tasks: Cell<u32>,
}

/// A stream's task, counted.
struct Counted(Rc<Origin>);

impl Counted {
    fn new(origin: &Rc<Origin>) -> Self {
        origin.tasks.set(origin.tasks.get() + 1);
        Counted(Rc::clone(origin))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.tasks.set(self.0.tasks.get() - 1);
    }
}

/// The body of a stream whose answer has not begun, and whether it is still open.
struct Incoming {
    body: RecvStream,
    respond: Rc<RefCell<SendResponse<Bytes>>>,
}

impl StreamInput for Incoming {
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        let piece = ready!(self.body.poll_data(cx)).transpose();
        let piece = piece.map_err(io::Error::other)?;
        if let Some(piece) = &piece {
            // Who takes it has room for it: the peer may send as much again.
            let _ = self.body.flow_control().release_capacity(piece.len());
        }
        Poll::Ready(Ok(piece))
    }

    fn send_continue(&mut self) {
        let go_on = answer::head_of(StatusCode::CONTINUE, &Fields::default());
        let _ = self.respond.borrow_mut().send_informational(go_on);
    }

    fn hint(&mut self, fields: &Fields) {
        let hints = answer::head_of(StatusCode::EARLY_HINTS, fields);
        let _ = self.respond.borrow_mut().send_informational(hints);
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.respond.borrow_mut().poll_reset(cx).map(|_| ())
    }
}

/// Starts the task that answers a request.
pub(super) fn start(
    origin: &Rc<Origin>,
    carrier: &Carrier,
    request: http::Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    let (head, body) = request.into_parts();
    let request = match understand(origin, &head, body.is_end_stream()) {
        Ok(request) => request,
        Err(bad) => {
            session::tell_malformed(&origin.shard, origin.peer, bad.status, bad.reason);
            carrier.charge(RESET_COST);
            if bad.status == 400 {
                // RFC 9113 section 8.1.1.
                respond.send_reset(Reason::PROTOCOL_ERROR);
            } else {
                refuse(origin, respond, bad);
            }
            return;
        }
    };
    let (counted, shard) = (Counted::new(origin), Rc::clone(&origin.shard));
    // Boxed once: each layer around a future would hold it twice otherwise.
    let serving = Box::pin(serve(counted, body, respond, request));
    let tasks = &origin.shard.tasks;
    tasks.spawn(async move { serve_isolated(&shard, serving).await });
}

/// Makes a checked request of what the machine understood.
fn understand(
    origin: &Origin,
    head: &http::request::Parts,
    ends: bool,
) -> Result<Request, BadRequest> {
    let config = origin.shard.config();
    let limits = request_limits(&config);
    // The machine checks that there is one, and forgets it where there is no authority.
    let here = if origin.front.secure { "https" } else { "http" };
    let scheme = head.uri.scheme_str().unwrap_or(here);
    let authority = head.uri.authority().map(http::uri::Authority::as_str);
    let path = head.uri.path_and_query().map(|path| path.as_str());
    let protocol = head.extensions.get::<Protocol>().map(Protocol::as_str);
    let mut fields = head
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
    let given = RequestFields {
        version: Version::Http2,
        method: head.method.as_str().as_bytes(),
        scheme: Some(scheme.as_bytes()),
        authority: authority.map(str::as_bytes),
        path: path.map(str::as_bytes),
        protocol: protocol.map(str::as_bytes),
        fields: &mut fields,
        ends,
    };
    Request::from_fields(given, &limits)
}

async fn serve(counted: Counted, body: RecvStream, respond: SendResponse<Bytes>, request: Request) {
    let origin = &counted.0;
    let shard = &origin.shard;
    let config = shard.config();
    let proxies = &config.limits.trusted_proxies;
    let account = Account::open(shard, client(proxies, origin.peer, request.headers()));
    let respond = Rc::new(RefCell::new(respond));
    let mut incoming = Incoming {
        body,
        respond: Rc::clone(&respond),
    };
    let exchange = Exchange {
        shard: Rc::clone(shard),
        front: origin.front.of(&request, origin.peer, &config),
        account,
        request: &request,
        input: Input::Stream(&mut incoming),
    };
    // Whatever the answer waits for, nobody waits for it once the stream is reset.
    let reset = poll_fn(|cx| respond.borrow_mut().poll_reset(cx));
    let First::Left(Some(response)) = first(Box::pin(session::answer(exchange)), reset).await
    else {
        return;
    };
    let Incoming {
        body,
        respond: other,
    } = incoming;
    drop(other);
    if let Some(respond) = Rc::into_inner(respond) {
        let open = Open {
            body,
            respond: respond.into_inner(),
        };
        answer::send(shard, open, account, &request, response).await;
    }
}

/// A stream whose answer is about to begin.
pub(super) struct Open {
    pub(super) body: RecvStream,
    pub(super) respond: SendResponse<Bytes>,
}

/// Answers a request that is not understood.
fn refuse(origin: &Rc<Origin>, respond: SendResponse<Bytes>, bad: BadRequest) {
    let mut response = Response::plain(bad.status, bad.reason);
    response.complete(origin.front, &origin.shard.config());
    answer::send_short(respond, response);
}
