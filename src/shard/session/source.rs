//! A source: from its request to the end of its body.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use corecast_config::{Config, Latency, is_reserved_path};
use corecast_media::name::{MountName, SessionId};
use corecast_media::time::Time;
use corecast_mesh::message::{EndReason, PublishRefusal, SourceInfo};
use corecast_protocol::audio::Framer;
use corecast_protocol::http::{BodyFraming, Request, Version};
use corecast_protocol::http1::{ChunkedDecoder, ChunkedEvent, ResponseHead};
use corecast_protocol::icy::SourceRequest;
use corecast_protocol::icy::source::credentials;
use monoio::time::Instant;

use super::auth;
use super::question::{self, Finding};
use super::stream::is_output;
use crate::admission::Refused;
use crate::admission::bars;
use crate::admission::guessing::{self, Surface};
use crate::driver::Shard;
use crate::http::connection::{BodyFault, Connection};
use crate::http::exchange::{Account, Sent};
use crate::http::response::{Answering, CONTINUE, Response, SERVER, unix_seconds, version_for};
use crate::net::buffer::SCRATCH_BYTES;
use crate::probe::{Refusal, RequestKind};
use crate::publication::Publication;
use crate::task::{First, first};

/// How long after a first refusal a mount in use is asked once more: longer than the pace of
/// reads, by which the end of a connection is seen.
const SECOND_TRY: Duration = Duration::from_millis(300);

/// No source is given up sooner, however short its mount waits for a lost one: an encoder of Ogg
/// may send a page every few seconds.
const SILENCE_MIN: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });

/// Bytes after which a source that sends faster than we ask lets others have their turn.
const TURN_BYTES: usize = 256 * 1024;

/// A source that may publish, if its mount has a place for it.
pub(crate) struct Admitted {
    pub(crate) session: SessionId,
    pub(crate) since: Time,
    pub(crate) wish: SourceRequest,
    /// How long it may stay, if there is a limit.
    pub(crate) stay_max: Option<Duration>,
    /// Whether it is spoken to in HTTP; legacy Shoutcast sources have heard all that they know.
    pub(crate) hears_http: bool,
}

/// Serves a source until it ends; the connection ends with it.
pub(crate) async fn run(mut connection: Connection, request: Request) {
    let shard = Rc::clone(&connection.shard);
    shard.probe.requests.at(RequestKind::Source as usize).add(1);
    let account = Account::open(&shard, connection.peer);
    let (session, since) = (account.session, account.since);
    let (wish, stay_max) = match admit(&mut connection, &request, account).await {
        Ok(admitted) => admitted,
        Err(refused) => {
            let (status, reason) = match &refused {
                Some(refused) => (refused.status, EndReason::PeerClosed),
                None => (400, EndReason::PeerReset),
            };
            tell(
                &connection,
                &request,
                (session, since),
                status,
                reason,
                None,
            );
            if let Some(refused) = refused {
                shard.probe.refused.at(refused.counted as usize).add(1);
                connection
                    .refuse(request.version(), Response::refusal(&refused))
                    .await;
            }
            return;
        }
    };
    let admitted = Admitted {
        session,
        since,
        wish,
        stay_max,
        hears_http: true,
    };
    publish(connection, request, admitted).await;
}

/// Feeds the mount, if it has a place, until the source ends.
pub(crate) async fn publish(mut connection: Connection, request: Request, admitted: Admitted) {
    let Admitted {
        session,
        since,
        wish,
        stay_max,
        hears_http,
    } = admitted;
    let shard = Rc::clone(&connection.shard);
    let ids = (session, since);
    let mount = wish.mount.clone();
    let info = source_info(&wish, connection.peer);
    let asked = take_mount(&shard, session, &mount, info).await;
    let mut publication = match asked {
        Ok(publication) => publication,
        Err(refused) => {
            shard.probe.refused.at(refused.counted as usize).add(1);
            let reason = EndReason::PeerClosed;
            tell(
                &connection,
                &request,
                ids,
                refused.status,
                reason,
                Some(mount),
            );
            if hears_http {
                connection
                    .refuse(request.version(), Response::refusal(&refused))
                    .await;
            } else {
                connection.close_in_order().await;
            }
            return;
        }
    };
    // A drain ends it, and gives it the time to hear so.
    let _hold = Answering::new(&shard);
    publication.start();
    let mut feed = Feed::new(&wish, &mount, &shard);
    feed.until = stay_max.map(|stay_max| Instant::now() + stay_max);
    let welcomed = !hears_http || welcome(&mut connection, &request).await.is_ok();
    let reason = if welcomed {
        feed.run(&mut connection, &mut publication).await
    } else {
        EndReason::PeerReset
    };
    publication.end(reason);
    drop(publication);
    tell(&connection, &request, ids, 200, reason, Some(mount));
    if hears_http {
        finish(connection, &request, reason).await;
    }
}

/// Asks the mount's home for its source slot; where it is in use, once more a little later.
pub(crate) async fn take_mount(
    shard: &Rc<Shard>,
    session: SessionId,
    mount: &MountName,
    info: SourceInfo,
) -> Result<Publication, Refused> {
    let mut asked = Publication::ask(shard, session, mount, info.clone(), false).await;
    if matches!(asked, Err(Some(PublishRefusal::InUse))) {
        // An encoder that reconnects at once may be ahead of our look at its old connection.
        monoio::time::sleep(SECOND_TRY).await;
        asked = Publication::ask(shard, session, mount, info, false).await;
    }
    asked.map_err(|refusal| match refusal {
        Some(PublishRefusal::InUse) => Refused::new(409, "Mountpoint in use", Refusal::InUse),
        Some(PublishRefusal::SourcesMax) => {
            Refused::busy("too many sources connected", Refusal::Full)
        }
        Some(PublishRefusal::Draining) => {
            Refused::busy("the server is shutting down", Refusal::Draining)
        }
        None => Refused::busy("the server is busy", Refusal::Full),
    })
}

/// The access log's line for a source.
pub(crate) fn tell(
    connection: &Connection,
    request: &Request,
    (session, since): (SessionId, Time),
    status: u16,
    reason: EndReason,
    mount: Option<MountName>,
) {
    let shard = &connection.shard;
    let account = Account {
        session,
        since,
        peer: connection.peer,
    };
    let bytes = connection.sent_bytes();
    let mut line = account.record(shard, request, status, Sent { bytes, reason });
    line.mount = mount;
    shard.tell_access(line);
}

/// What the request publishes, if it may, and for how long at most; nothing where the peer has
/// gone meanwhile.
async fn admit(
    connection: &mut Connection,
    request: &Request,
    account: Account,
) -> Result<(SourceRequest, Option<Duration>), Option<Refused>> {
    let config = connection.shard.config();
    if let Some(refused) = bars::bar(&config, account.peer.ip(), request) {
        return Err(Some(refused));
    }
    let path = request.path();
    let given = credentials(request.headers());
    let (shard, ip) = (Rc::clone(&connection.shard), connection.peer.ip());
    let locked = guessing::locked_out(&shard, Surface::Sources, ip);
    if given.is_some()
        && let Some(refused) = locked
    {
        return Err(Some(refused));
    }
    let known = given
        .as_ref()
        .is_some_and(|given| auth::may_publish(&config, path, given));
    let askable = given.is_some() && question::guards_sources(config.mount(path));
    if !known && !askable {
        if given.is_some() {
            guessing::note_failure(&shard, Surface::Sources, ip);
        }
        let text = "a source needs the right password";
        return Err(Some(Refused::unauthorized(text)));
    }
    let wish = wish(&config, request).map_err(Some)?;
    if known {
        return Ok((wish, None));
    }
    let asked = question::question(account, request, wish.mount.clone(), true);
    let finding = question::ask(&shard, connection.failed(), asked).await;
    match question::judged(&shard, Surface::Sources, ip, finding) {
        Finding::Welcome(stay_max) => Ok((wish, stay_max)),
        Finding::Unwelcome(refused) => Err(Some(refused)),
        Finding::Gone => Err(None),
    }
}

/// What the request wants to publish.
fn wish(config: &Config, request: &Request) -> Result<SourceRequest, Refused> {
    let refused = |status, text| Refused::new(status, text, Refusal::NotFound);
    if is_reserved_path(request.path()) || is_output(config, request.path()) {
        return Err(refused(403, "this path cannot be a mount"));
    }
    SourceRequest::from_request(request).map_err(|bad| refused(bad.status, bad.reason))
}

fn source_info(wish: &SourceRequest, peer: SocketAddr) -> SourceInfo {
    SourceInfo {
        address: Some(peer),
        ..wish.info.clone()
    }
}

/// Says that the body may come and, where it ends with the connection, that all is well: such a
/// peer never gets to read an answer at the end.
async fn welcome(connection: &mut Connection, request: &Request) -> std::io::Result<()> {
    let go_on: &[u8] = if request.expects_continue() {
        CONTINUE
    } else {
        b""
    };
    let mut head = BytesMut::new();
    if request.body_framing() == BodyFraming::UntilClose {
        write_ok(&mut head, request, None);
    }
    connection.send(&[go_on, &head]).await
}

fn write_ok(out: &mut BytesMut, request: &Request, length: Option<u64>) {
    let mut head = ResponseHead::start(out, version_for(request.version()), 200)
        .date(unix_seconds())
        .header("Server", SERVER);
    if let Some(length) = length {
        head = head.header_number("Content-Length", length);
    }
    head.header("Connection", "close").finish();
}

/// The last words to a source.
async fn finish(mut connection: Connection, request: &Request, reason: EndReason) {
    let announced = request.body_framing() != BodyFraming::UntilClose;
    let (status, text) = match reason {
        EndReason::PeerClosed if announced => {
            let mut head = BytesMut::new();
            write_ok(&mut head, request, Some(0));
            if connection.send(&[&head]).await.is_ok() {
                connection.close_in_order().await;
            }
            return;
        }
        EndReason::PeerClosed | EndReason::PeerReset => return,
        EndReason::Malformed => (400, "bad body"),
        EndReason::Timeout => (408, "the source fell silent"),
        EndReason::TakenOver => (409, "another source took the mount over"),
        EndReason::Killed => (403, "ended by an administrator"),
        EndReason::TimeLimit => (403, "the source's time is over"),
        EndReason::Drained => (503, "the server is shutting down"),
        EndReason::TooSlow | EndReason::SourceGone | EndReason::Internal => {
            (500, "the server failed")
        }
    };
    if announced {
        let answer = Response::plain(status, text);
        connection.refuse(request.version(), answer).await;
    }
}

/// What undoes the framing of a source's body.
enum Body {
    UntilClose,
    Length(u64),
    Chunked(Box<ChunkedDecoder>),
}

/// What a piece of a body came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    More,
    End,
    Malformed,
}

impl Body {
    fn new(framing: BodyFraming) -> Self {
        match framing {
            BodyFraming::UntilClose => Body::UntilClose,
            BodyFraming::None => Body::Length(0),
            BodyFraming::Length(length) => Body::Length(length),
            BodyFraming::Chunked => Body::Chunked(Box::default()),
        }
    }

    /// Hands what `input` holds of the body to `take`; what is behind the body is dropped.
    fn decode(&mut self, mut input: Bytes, mut take: impl FnMut(Bytes)) -> Progress {
        match self {
            Body::UntilClose => take(input),
            Body::Length(left) => {
                let here = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(input.len());
                *left -= here as u64;
                take(input.split_to(here));
            }
            Body::Chunked(decoder) => loop {
                match decoder.decode(&mut input) {
                    Ok(ChunkedEvent::Payload(payload)) => take(payload),
                    Ok(ChunkedEvent::NeedMore | ChunkedEvent::End) => break,
                    Err(_) => return Progress::Malformed,
                }
            },
        }
        if self.is_over() {
            Progress::End
        } else {
            Progress::More
        }
    }

    fn is_over(&self) -> bool {
        match self {
            Body::UntilClose => false,
            Body::Length(left) => *left == 0,
            Body::Chunked(decoder) => decoder.is_end(),
        }
    }
}

/// How a mount's settings shape the reading of its source.
struct Rhythm {
    config: Arc<Config>,
    silence_max: Duration,
    /// The time between two reads in beats of the shard; zero for every byte at once.
    pace_beats: u32,
}

impl Rhythm {
    fn of(config: Arc<Config>, mount: &MountName) -> Self {
        let settings = config.mount(mount.as_str());
        let pace_beats = match settings.latency {
            Latency::Radio => 2,
            Latency::Live => 1,
            Latency::Instant => 0,
        };
        let silence_max = settings.source_timeout.max(SILENCE_MIN);
        Rhythm {
            config,
            silence_max,
            pace_beats,
        }
    }
}

/// Whether the source may never look at the answer that it got before its body. ffmpeg's
/// `-legacy_icecast` does not: its close is a reset, which throws away what its kernel still holds
/// back (Nagle) because we have not acknowledged what came before. Reading at once acknowledges at
/// once, so that its last frame is not lost.
fn reads_no_answer(wish: &SourceRequest) -> bool {
    wish.framing == BodyFraming::UntilClose
        && wish.version == Version::Http11
        && !wish.expects_continue
}

/// The way of a source's bytes to the hub.
struct Feed<'a> {
    shard: &'a Rc<Shard>,
    mount: &'a MountName,
    body: Body,
    framer: Framer,
    rhythm: Rhythm,
    /// Never paced, see [`reads_no_answer`].
    eager: bool,
    /// When the source must go, if it may not stay for ever.
    until: Option<Instant>,
}

impl<'a> Feed<'a> {
    fn new(wish: &SourceRequest, mount: &'a MountName, shard: &'a Rc<Shard>) -> Self {
        Feed {
            shard,
            mount,
            body: Body::new(wish.framing),
            framer: Framer::for_content_type(&wish.info.content_type),
            rhythm: Rhythm::of(shard.config(), mount),
            eager: reads_no_answer(wish),
            until: None,
        }
    }

    /// Feeds the mount until the source ends or must go, and says why.
    async fn run(
        mut self,
        connection: &mut Connection,
        publication: &mut Publication,
    ) -> EndReason {
        let session = publication.session;
        let mut unbroken_bytes = 0;
        let reason = loop {
            if self.body.is_over() {
                break EndReason::PeerClosed;
            }
            if self.until.is_some_and(|until| until <= Instant::now()) {
                break EndReason::TimeLimit;
            }
            let received = connection.receive_some(self.rhythm.silence_max);
            let bytes = match first(&mut publication.ticket.ended, received).await {
                First::Left(ended) => {
                    publication.open = false;
                    return ended.unwrap_or(EndReason::Internal);
                }
                First::Right(Ok(bytes)) => bytes,
                First::Right(Err(BodyFault::Late)) => break EndReason::Timeout,
                First::Right(Err(_)) => break EndReason::PeerReset,
            };
            if bytes.is_empty() {
                let whole = matches!(self.body, Body::UntilClose);
                break if whole {
                    EndReason::PeerClosed
                } else {
                    EndReason::PeerReset
                };
            }
            let length = bytes.len();
            if self.push(session, bytes) == Progress::Malformed {
                break EndReason::Malformed;
            }
            unbroken_bytes += length;
            let pause = self.pause(connection, length, &mut unbroken_bytes);
            if let Some(until) = pause
                && let First::Left(ended) = first(
                    &mut publication.ticket.ended,
                    monoio::time::sleep_until(until),
                )
                .await
            {
                publication.open = false;
                return ended.unwrap_or(EndReason::Internal);
            }
        };
        self.framer.finish();
        self.flush(session);
        reason
    }

    /// Hands media to the hub.
    fn push(&mut self, session: SessionId, bytes: Bytes) -> Progress {
        self.shard.probe.source_bytes.add(bytes.len() as u64);
        let framer = &mut self.framer;
        let progress = self.body.decode(bytes, |payload| framer.push(payload));
        self.flush(session);
        progress
    }

    fn flush(&mut self, session: SessionId) {
        let events: Vec<_> = std::iter::from_fn(|| self.framer.poll()).collect();
        if !events.is_empty() {
            self.shard
                .with_hub(|hub, now| hub.push_media(now, session, events));
        }
    }

    /// Until when the next read waits after one of `length` bytes: what comes meanwhile gathers
    /// in the socket, and costs one wake-up instead of one for each packet.
    fn pause(
        &mut self,
        connection: &mut Connection,
        length: usize,
        unbroken_bytes: &mut usize,
    ) -> Option<Instant> {
        let config = self.shard.config();
        if !Arc::ptr_eq(&config, &self.rhythm.config) {
            self.rhythm = Rhythm::of(config, self.mount);
        }
        if length < SCRATCH_BYTES {
            *unbroken_bytes = 0;
            let paced = self.rhythm.pace_beats > 0 && !self.eager;
            paced.then(|| {
                connection.rest();
                self.shard.next_beat(self.rhythm.pace_beats)
            })
        } else if *unbroken_bytes >= TURN_BYTES {
            *unbroken_bytes = 0;
            Some(Instant::now() + Duration::from_millis(1))
        } else {
            None
        }
    }
}
