//! One try of a relay: connect, ask, feed the mount until the stream ends.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use corecast_config::{HttpUrl, Latency};
use corecast_media::frame::MediaEvent;
use corecast_media::name::SessionId;
use corecast_media::time::Time;
use corecast_mesh::message::{EndReason, PublishRefusal, RelayState, SourceInfo};
use corecast_protocol::audio::Framer;
use corecast_protocol::http::{Credentials, Limits};
use corecast_protocol::icy::{Pull, PullEvent, PullRequest};
use monoio::time::Instant;

use super::{Desk, crowded_out};
use crate::dial::dial;
use crate::driver::Shard;
use crate::http::response::SERVER;
use crate::net::buffer::SCRATCH_BYTES;
use crate::net::tcp::TcpConnection;
use crate::net::wire::Wire;
use crate::publication::Publication;
use crate::task::{First, first};

/// The most redirects that are followed.
const REDIRECTS_MAX: usize = 3;

/// Bytes after which a stream that comes faster than we ask lets others have their turn.
const TURN_BYTES: usize = 256 * 1024;

/// How a try ended.
#[derive(Debug)]
pub(super) struct Outcome {
    /// How long the mount was fed, if it was.
    pub(super) live: Option<Duration>,
    /// Why it ended.
    pub(super) error: String,
}

/// One try.
pub(super) struct Attempt<'a> {
    shard: &'a Rc<Shard>,
    desk: &'a Desk,
    session: SessionId,
    live_since: Option<Time>,
}

/// A stream behind its head.
struct Stream {
    tcp: TcpConnection,
    peer: SocketAddr,
    pull: Pull,
    info: SourceInfo,
    _place: Place,
}

impl<'a> Attempt<'a> {
    pub(super) fn new(shard: &'a Rc<Shard>, desk: &'a Desk) -> Self {
        Attempt {
            shard,
            desk,
            session: shard.next_session(),
            live_since: None,
        }
    }

    /// Takes the stream from `url` until it ends.
    pub(super) async fn run(mut self, url: &HttpUrl) -> Outcome {
        let error = match self.open(url).await {
            Ok(stream) => self.feed(stream).await.err().unwrap_or_default(),
            Err(error) => error,
        };
        let live = self.live_since.map(|since| self.shard.now().since(since));
        Outcome { live, error }
    }

    /// Asks for the stream, wherever redirects lead.
    async fn open(&self, url: &HttpUrl) -> Result<Stream, String> {
        let mut at = url.clone();
        for _ in 0..=REDIRECTS_MAX {
            // Others than the hosts that the operator named do not get the password.
            let trusted = at.host == url.host && at.port == url.port;
            let location = match self.ask(&at, trusted).await? {
                Asked::Stream(stream) => return Ok(*stream),
                Asked::Moved(location) => location,
            };
            at = at
                .join(&location)
                .map_err(|fault| format!("redirect to {location:?}: it {fault}"))?;
        }
        Err(format!("more than {REDIRECTS_MAX} redirects"))
    }

    async fn ask(&self, url: &HttpUrl, trusted: bool) -> Result<Asked, String> {
        let settings = &self.desk.settings;
        let place = Place::take(self.shard).ok_or("the server has all connections it may have")?;
        let (mut tcp, peer) = dial(self.shard, self.session, &url.host, url.port).await?;
        let credentials = (trusted && !settings.user.is_empty()).then(|| Credentials {
            user: settings.user.clone(),
            password: settings.password.clone(),
        });
        let mut head = BytesMut::new();
        let request = PullRequest {
            target: &url.target,
            authority: &url.authority(),
            agent: SERVER,
            credentials: credentials.as_ref(),
            titles: settings.titles,
        };
        request.write_to(&mut head);
        tcp.send_all(&mut [IoSlice::new(&head)], settings.silence_max)
            .await
            .map_err(|error| format!("send the request: {error}"))?;
        let limits = &self.shard.config().limits;
        let mut pull = Pull::new(Limits {
            head_bytes_max: limits.header_bytes_max as usize,
            header_count_max: usize::from(limits.header_count_max),
            ..Limits::default()
        });
        let deadline = Instant::now() + settings.silence_max;
        loop {
            let bytes = self.receive(&mut tcp, deadline).await?;
            if bytes.is_empty() {
                return Err("closed without an answer".to_owned());
            }
            pull.handle_input(bytes).map_err(|bad| bad.to_string())?;
            match pull.poll_event() {
                None => {}
                Some(PullEvent::Live(info)) => {
                    let info = SourceInfo {
                        address: Some(peer),
                        ..*info
                    };
                    return Ok(Asked::Stream(Box::new(Stream {
                        tcp,
                        peer,
                        pull,
                        info,
                        _place: place,
                    })));
                }
                Some(PullEvent::Moved(location)) => return Ok(Asked::Moved(location)),
                Some(PullEvent::Refused(status)) => return Err(format!("answered {status}")),
                Some(_) => return Err("answered with nothing".to_owned()),
            }
        }
    }

    /// What has come; empty where the peer sends no more.
    async fn receive(&self, tcp: &mut TcpConnection, until: Instant) -> Result<Bytes, String> {
        match tcp.receive_until(until, &self.shard.scratch).await {
            Ok(received) => received.ok_or_else(|| "fell silent".to_owned()),
            Err(error) => Err(format!("receive: {error}")),
        }
    }

    /// Feeds the mount until the stream ends or must go, and says why.
    async fn feed(&mut self, mut stream: Stream) -> Result<(), String> {
        let mut publication = take_mount(self.shard, self.session, self.desk, &stream).await?;
        self.live_since = Some(self.shard.now());
        self.desk.enter(self.shard.now(), RelayState::Live);
        self.desk.report.borrow_mut().error = Arc::from("");
        let (mount, peer) = (&self.desk.mount, stream.peer);
        tracing::info!(%mount, %peer, "relay has its stream");
        let framer = Framer::for_content_type(&stream.info.content_type);
        let mut intake = Intake {
            attempt: self,
            framer,
            events: Vec::new(),
        };
        let (error, reason) = intake.run(&mut stream, &mut publication).await;
        publication.end(reason);
        Err(error)
    }
}

/// What a server answered.
enum Asked {
    Stream(Box<Stream>),
    Moved(String),
}

/// The way of a stream's bytes to the hub.
struct Intake<'a> {
    attempt: &'a Attempt<'a>,
    framer: Framer,
    events: Vec<MediaEvent>,
}

impl Intake<'_> {
    async fn run(
        &mut self,
        stream: &mut Stream,
        publication: &mut Publication,
    ) -> (String, EndReason) {
        let mut unbroken_bytes = 0;
        let ended = loop {
            if let Some(ended) = self.take(&mut stream.pull) {
                break ended;
            }
            let until = Instant::now() + self.attempt.desk.settings.silence_max;
            let receiving = self.attempt.receive(&mut stream.tcp, until);
            let bytes = match first(&mut publication.ticket.ended, receiving).await {
                First::Left(ended) => return lost(publication, ended.ok()),
                First::Right(Ok(bytes)) => bytes,
                First::Right(Err(error)) => break (error, EndReason::PeerReset),
            };
            if bytes.is_empty() {
                break ("the stream ended".to_owned(), EndReason::PeerClosed);
            }
            let length = bytes.len();
            self.attempt.shard.probe.source_bytes.add(length as u64);
            if let Err(bad) = stream.pull.handle_input(bytes) {
                self.take(&mut stream.pull);
                break (bad.to_string(), EndReason::Malformed);
            }
            unbroken_bytes += length;
            if let Some(until) = self.pause(&mut stream.tcp, length, &mut unbroken_bytes)
                && let First::Left(ended) = first(
                    &mut publication.ticket.ended,
                    monoio::time::sleep_until(until),
                )
                .await
            {
                return lost(publication, ended.ok());
            }
        };
        self.framer.finish();
        self.flush();
        ended
    }

    /// Hands to the hub what has come; why the stream is over, where it is.
    fn take(&mut self, pull: &mut Pull) -> Option<(String, EndReason)> {
        let mut over = None;
        while let Some(event) = pull.poll_event() {
            match event {
                PullEvent::Audio(audio) => {
                    self.framer.push(audio);
                    self.events
                        .extend(std::iter::from_fn(|| self.framer.poll()));
                }
                PullEvent::Title(title) if self.attempt.desk.settings.titles => {
                    self.events.push(MediaEvent::Metadata(title));
                }
                PullEvent::Title(_) => {}
                PullEvent::End
                | PullEvent::Live(_)
                | PullEvent::Moved(_)
                | PullEvent::Refused(_) => {
                    over = Some(("the stream ended".to_owned(), EndReason::PeerClosed));
                }
            }
        }
        self.flush();
        over
    }

    fn flush(&mut self) {
        self.events
            .extend(std::iter::from_fn(|| self.framer.poll()));
        let events = std::mem::take(&mut self.events);
        let session = self.attempt.session;
        if !events.is_empty() {
            let shard = self.attempt.shard;
            shard.with_hub(|hub, now| hub.push_media(now, session, events));
        }
    }

    /// Until when the next read waits: what comes meanwhile gathers in the socket.
    fn pause(
        &self,
        tcp: &mut TcpConnection,
        length: usize,
        unbroken_bytes: &mut usize,
    ) -> Option<Instant> {
        let Attempt { shard, desk, .. } = self.attempt;
        if length < SCRATCH_BYTES {
            *unbroken_bytes = 0;
            let beats = match shard.config().mount(desk.mount.as_str()).latency {
                Latency::Radio => 2,
                Latency::Live => 1,
                Latency::Instant => return None,
            };
            tcp.rest();
            Some(shard.next_beat(beats))
        } else if *unbroken_bytes >= TURN_BYTES {
            *unbroken_bytes = 0;
            Some(Instant::now() + Duration::from_millis(1))
        } else {
            None
        }
    }
}

/// Asks the mount's home for its source slot.
async fn take_mount(
    shard: &Rc<Shard>,
    session: SessionId,
    desk: &Desk,
    stream: &Stream,
) -> Result<Publication, String> {
    if let Some(why) = crowded_out(shard, desk) {
        return Err(why.to_owned());
    }
    let info = stream.info.clone();
    let asked = Publication::ask(shard, session, &desk.mount, info, desk.listed).await;
    let mut publication = asked.map_err(|refusal| match refusal {
        Some(PublishRefusal::InUse) => "the mount has another source",
        Some(PublishRefusal::SourcesMax) => "the server has all sources it may have",
        Some(PublishRefusal::Draining) => "the server is shutting down",
        None => "the mount's home did not answer",
    })?;
    publication.start();
    publication.end(EndReason::SourceGone);
    shard.probe.relays_started.add(1);
    Ok(publication)
}

/// The hub has ended the source.
fn lost(publication: &mut Publication, reason: Option<EndReason>) -> (String, EndReason) {
    publication.open = false;
    let reason = reason.unwrap_or(EndReason::Internal);
    (format!("the mount ended it: {}", reason.name()), reason)
}

/// A connection's place among those that the node may have. Given back when dropped.
struct Place(Rc<Shard>);

impl Place {
    fn take(shard: &Rc<Shard>) -> Option<Self> {
        let taken = shard.seats.connections.take();
        taken.then(|| Place(Rc::clone(shard)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.seats.connections.give_back();
    }
}
