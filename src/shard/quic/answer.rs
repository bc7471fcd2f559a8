//! The task of a request: checks it, has it answered, and sends the answer (RFC 9114 section 4).

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use corecast_protocol::hls::Resource;
use corecast_protocol::http::{
    BadRequest, BodyFraming, Fields, Method, Request, RequestFields, Version,
};
use quiche::h3::{Header, NameValue};

use super::code;
use super::stream::{Gone, RequestStream};
use crate::admission::client::client;
use crate::driver::Shard;
use crate::http::answer::{self, Cut, Outlet};
use crate::http::connection::request_limits;
use crate::http::exchange::{Account, Exchange, Front, Input, StreamInput, serve_isolated};
use crate::http::hls_path::named;
use crate::http::response::{Body, Response, stream_fields};
use crate::net::StreamSocket;
use crate::session;
use crate::task::{First, first};

/// How urgent answers are where the client does not say so (RFC 9218): what a player needs first.
const URGENCY_PLAYLIST: u8 = 1;
const URGENCY_PART: u8 = 2;
const URGENCY: u8 = 3;

/// RFC 8297.
const EARLY_HINTS: u16 = 103;

/// The status of leave to send a body (RFC 9110 section 15.2.1).
const CONTINUE: u16 = 100;

/// What the requests of an endpoint have in common.
pub(super) struct Origin {
    pub(super) shard: Rc<Shard>,
    pub(super) front: Front,
}

/// Serves one request.
pub(super) async fn serve(origin: Origin, stream: RequestStream) {
    let shard = Rc::clone(&origin.shard);
    // Boxed once: each layer around a future would hold it twice otherwise.
    let serving = Box::pin(serve_request(origin, stream));
    serve_isolated(&shard, serving).await;
}

async fn serve_request(origin: Origin, stream: RequestStream) {
    let Origin { shard, front } = origin;
    let peer = stream.peer();
    let request = match understand(&shard, &stream) {
        Ok(request) => request,
        Err(bad) => return refuse(&shard, front, peer, stream, bad),
    };
    if stream.is_early() && !may_come_early(&request) {
        // RFC 8470 section 5.2.
        let bad = BadRequest::new(425, "send it again once the handshake is over");
        return refuse(&shard, front, peer, stream, bad);
    }
    let proxies = &shard.config().limits.trusted_proxies;
    let account = Account::open(&shard, client(proxies, peer, request.headers()));
    let mut incoming = Incoming {
        stream: &stream,
        left: match request.body_framing() {
            BodyFraming::Length(length) => Some(length),
            _ => None,
        },
    };
    let exchange = Exchange {
        shard: Rc::clone(&shard),
        front,
        account,
        request: &request,
        input: Input::Stream(&mut incoming),
    };
    // Whatever the answer waits for, nobody waits for it once the stream is reset.
    let gone = std::future::poll_fn(|cx| stream.poll_gone(cx));
    let First::Left(Some(response)) = first(Box::pin(session::answer(exchange)), gone).await else {
        stream.reset(code::REQUEST_CANCELLED);
        return;
    };
    send(&shard, stream, account, &request, response).await;
}

/// Whether a request may be served though somebody may have sent it again (RFC 8470 section 4):
/// where it changes nothing. Admin requests of Icecast do, though they are GET; and who shows who
/// he is may do what others may not.
fn may_come_early(request: &Request) -> bool {
    // Whether a body follows is not known yet where the end of the stream comes in a packet of its
    // own. It changes nothing: these methods have no use for one.
    let is_safe = matches!(
        request.method(),
        Method::Get | Method::Head | Method::Options
    );
    is_safe
        && !matches!(request.body_framing(), BodyFraming::Length(_))
        && !request.path().starts_with("/admin")
        && request.headers().find("authorization").is_none()
}

/// The body of a request.
struct Incoming<'s> {
    stream: &'s RequestStream,
    /// What `Content-Length` still promises.
    left: Option<u64>,
}

impl StreamInput for Incoming<'_> {
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        let piece = ready!(self.stream.poll_body(cx))?;
        if let Some(left) = &mut self.left {
            let length = piece.as_ref().map_or(0, Bytes::len) as u64;
            let rest = left.checked_sub(length);
            if rest.is_none_or(|rest| piece.is_none() && rest > 0) {
                // RFC 9114 section 4.1.2.
                self.stream.reset(code::MESSAGE_ERROR);
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
            *left = rest.unwrap_or_default();
        }
        Poll::Ready(Ok(piece))
    }

    fn send_continue(&mut self) {
        let go_on = start(CONTINUE, &Fields::default());
        self.stream.send_head(go_on, URGENCY, false);
    }

    fn hint(&mut self, fields: &Fields) {
        let hints = start(EARLY_HINTS, fields);
        self.stream.send_head(hints, URGENCY_PLAYLIST, false);
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_gone(cx)
    }
}

/// Makes a checked request of the fields.
fn understand(shard: &Shard, stream: &RequestStream) -> Result<Request, BadRequest> {
    let config = shard.config();
    let limits = request_limits(&config);
    let (pseudo, rest) = pseudo_fields(stream.head())?;
    let said = |name: &[u8]| pseudo.get(name).copied();
    let mut fields = rest.iter().map(|field| (field.name(), field.value()));
    let given = RequestFields {
        version: Version::Http3,
        method: said(b":method").ok_or(BadRequest::new(400, "no method"))?,
        scheme: said(b":scheme"),
        authority: said(b":authority"),
        path: said(b":path"),
        protocol: said(b":protocol"),
        fields: &mut fields,
        ends: stream.ends(),
    };
    Request::from_fields(given, &limits)
}

type Pseudo<'f> = HashMap<&'f [u8], &'f [u8]>;

/// The pseudo fields, each at most once and before the others (RFC 9114 section 4.3), and the
/// others.
fn pseudo_fields(fields: &[Header]) -> Result<(Pseudo<'_>, &[Header]), BadRequest> {
    const KNOWN: [&[u8]; 5] = [
        b":method",
        b":scheme",
        b":authority",
        b":path",
        b":protocol",
    ];
    let count = fields
        .iter()
        .take_while(|field| field.name().first() == Some(&b':'))
        .count();
    let (front, rest) = fields.split_at_checked(count).unwrap_or_default();
    let mut pseudo = HashMap::with_capacity(KNOWN.len());
    for field in front {
        let known = KNOWN.contains(&field.name());
        if !known || pseudo.insert(field.name(), field.value()).is_some() {
            return Err(BadRequest::new(400, "bad pseudo field"));
        }
    }
    let late = rest.iter().any(|field| field.name().first() == Some(&b':'));
    if late {
        return Err(BadRequest::new(400, "pseudo field after others"));
    }
    Ok((pseudo, rest))
}

/// Answers a request that is not served.
fn refuse(shard: &Shard, front: Front, peer: SocketAddr, stream: RequestStream, bad: BadRequest) {
    session::tell_malformed(shard, peer, bad.status, bad.reason);
    if bad.status == 400 {
        // RFC 9114 section 4.1.2.
        return stream.reset(code::MESSAGE_ERROR);
    }
    let mut response = Response::plain(bad.status, bad.reason);
    response.complete(front, &shard.config());
    stream.send_head(head_of(&response), URGENCY, false);
    if let Body::Pieces(pieces) = response.body {
        stream.send_pieces(pieces);
    }
}

/// Sends an answer, and counts it.
async fn send(
    shard: &Rc<Shard>,
    stream: RequestStream,
    account: Account,
    request: &Request,
    response: Response,
) {
    let begin = |response: &Response, ends: bool| {
        stream.send_head(head_of(response), urgency(request.path()), ends);
        let sent_bytes = 0;
        Ok(StreamOutlet { stream, sent_bytes })
    };
    answer::send(shard, account, request, response, begin).await;
}

/// What an answer's body goes out by.
struct StreamOutlet {
    stream: RequestStream,
    sent_bytes: u64,
}

impl Outlet for StreamOutlet {
    async fn send_pieces(&mut self, pieces: Vec<Bytes>) -> Result<(), Cut> {
        let length: usize = pieces.iter().map(Bytes::len).sum();
        self.stream.send_pieces(pieces);
        let sent = self.flush().await;
        self.sent_bytes += length.saturating_sub(self.stream.waiting_bytes()) as u64;
        sent
    }

    async fn send(&mut self, piece: Bytes, ends: bool) -> Result<(), Cut> {
        self.sent_bytes += piece.len() as u64;
        if !piece.is_empty() {
            self.stream.send(piece).await.map_err(|Gone| Cut)?;
        }
        if ends {
            self.stream.end();
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Cut> {
        self.stream.sent().await.map_err(|Gone| Cut)
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_gone(cx)
    }

    fn fail(&mut self) {
        self.stream.reset(code::INTERNAL_ERROR);
    }

    fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }

    fn into_socket(self) -> Box<dyn StreamSocket> {
        Box::new(self.stream.into_socket())
    }
}

/// The status and the fields of a head.
fn start(status: u16, given: &Fields) -> Vec<Header> {
    let mut fields = Vec::with_capacity(16);
    fields.push(Header::new(b":status", status.to_string().as_bytes()));
    for (name, value) in stream_fields(given) {
        fields.push(Header::new(name.to_ascii_lowercase().as_bytes(), value));
    }
    fields
}

/// The head of an answer.
fn head_of(response: &Response) -> Vec<Header> {
    let mut fields = start(response.status, &response.fields);
    if let Some(length) = response.told_length() {
        fields.push(Header::new(
            b"content-length",
            length.to_string().as_bytes(),
        ));
    }
    fields
}

fn urgency(path: &str) -> u8 {
    match named(path).map(|named| named.resource) {
        Some(Resource::Multivariant | Resource::Manifest | Resource::Playlist(_)) => {
            URGENCY_PLAYLIST
        }
        Some(Resource::Part { .. } | Resource::Init { .. }) => URGENCY_PART,
        _ => URGENCY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_nothing_may_come_early() {
        let early = |method: &[u8], path: &[u8], field: Option<(&'static [u8], &'static [u8])>| {
            let given = RequestFields {
                version: Version::Http3,
                method,
                scheme: Some(b"https"),
                authority: Some(b"localhost"),
                path: Some(path),
                protocol: None,
                fields: &mut field.into_iter(),
                ends: field.is_none(),
            };
            let limits = request_limits(&corecast_config::Config::default());
            may_come_early(&Request::from_fields(given, &limits).expect("a good request"))
        };
        assert!(early(b"GET", b"/live/cam/hls/v0.m3u8", None));
        assert!(early(b"HEAD", b"/live", None));
        // Its end comes in a packet of its own.
        assert!(early(b"GET", b"/live", Some((b"accept", b"*/*"))));
        assert!(!early(b"POST", b"/live", None));
        assert!(!early(b"GET", b"/live", Some((b"content-length", b"5"))));
        assert!(!early(
            b"GET",
            b"/live",
            Some((b"authorization", b"Basic eDp5"))
        ));
        assert!(!early(b"GET", b"/admin/killsource?mount=/live", None));
        assert!(!early(
            b"GET",
            b"/admin.cgi?pass=x&mode=updinfo&song=y",
            None
        ));
    }

    #[test]
    fn playlists_go_before_parts_and_parts_before_segments() {
        let order = [
            "/live/cam.m3u8",
            "/live/cam/hls/v0.m3u8",
            "/live/cam/hls/v0-abc-7.1.m4s",
            "/live/cam/hls/v0-abc-7.m4s",
            "/live/cam",
        ];
        assert_eq!(order.map(urgency), [1, 1, 2, 3, 3]);
    }
}
