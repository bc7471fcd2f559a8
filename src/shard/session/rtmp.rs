//! RTMP: a connection that publishes or plays.
//!
//! A publisher's media goes through the FLV demuxer to its mount, as access units. A player
//! becomes a steady listener of what is written from the mount's tracks as RTMP chunks.

use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use corecast_config::is_reserved_path;
use corecast_media::frame::MediaEvent;
use corecast_media::name::{MountName, Output, SessionId};
use corecast_media::time::Time;
use corecast_mesh::message::{AccessRecord, EndReason, JoinRefusal, Question, SourceInfo};
use corecast_protocol::flv;
use corecast_protocol::http::{Credentials, query};
use corecast_protocol::rtmp::{BadPeer, End, Event, Media, ServerSession, StreamRequest};
use corecast_protocol::text;
use monoio::time::Instant;

use super::listener;
use super::question::{self, Finding};
use super::source::take_mount;
use super::{auth, stream};
use crate::admission::Refused;
use crate::admission::bars;
use crate::admission::guessing::{self, Surface};
use crate::driver::Shard;
use crate::http::connection::{BodyFault, Connection};
use crate::http::exchange::log_text;
use crate::http::response::Answering;
use crate::hub::ListenerCard;
use crate::joining::Wish;
use crate::net::ReaderSocket;
use crate::probe::{LeftOut, Refusal};
use crate::publication::Publication;
use crate::task::{First, first};

/// The least time after which a silent publisher is given up.
const SILENCE_MIN: Duration = Duration::from_secs(10);

/// Bytes after which a publisher that sends faster than we ask lets others have their turn.
const TURN_BYTES: usize = 256 * 1024;

/// The parameters of a stream's query that may hold its password.
const PASSWORD_NAMES: [&str; 5] = ["password", "pass", "token", "key", "secret"];

/// What a client did wrong or was refused for, as RTMP says it.
const DENIED: &str = "NetStream.Publish.Denied";
const BAD_NAME: &str = "NetStream.Publish.BadName";
const NOT_FOUND: &str = "NetStream.Play.StreamNotFound";
const FAILED: &str = "NetStream.Play.Failed";

/// Serves a connection to an RTMP port until it ends or becomes a steady listener.
pub(crate) async fn serve(connection: Connection) {
    let shard = Rc::clone(&connection.shard);
    let config = shard.config();
    let ip = connection.peer.ip();
    if !corecast_config::may_come(&config.limits.allow_ips, &config.limits.deny_ips, ip) {
        shard.probe.refused.at(Refusal::Barred as usize).add(1);
        return connection.close_in_order().await;
    }
    let talk = Talk {
        session: ServerSession::new(random()),
        since: shard.now(),
        shard,
        connection,
        unbroken_bytes: 0,
    };
    talk.run().await;
}

/// Bytes that nobody can guess, for the handshake's signature; no secret hangs on them.
pub(crate) fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    for (i, chunk) in bytes.chunks_exact_mut(8).enumerate() {
        chunk.copy_from_slice(&RandomState::new().hash_one(i).to_le_bytes());
    }
    bytes
}

/// One connection.
struct Talk {
    shard: Rc<Shard>,
    connection: Connection,
    session: ServerSession,
    since: Time,
    /// Taken since others had their turn.
    unbroken_bytes: usize,
}

/// How a publication ended, and whether the client may go on with another.
struct Published {
    reason: EndReason,
    goes_on: bool,
}

impl Talk {
    async fn run(mut self) {
        let patience = self.shard.config().limits.header_timeout;
        let mut deadline = Instant::now() + patience;
        loop {
            let Some(event) = self.session.poll_event() else {
                let left = deadline.saturating_duration_since(Instant::now());
                // Who never stops talking is late too.
                let received = match left.is_zero() {
                    true => Err(EndReason::Timeout),
                    false => self.receive(left).await,
                };
                match received {
                    Ok(()) => continue,
                    Err(reason) => return self.close(reason).await,
                }
            };
            match event {
                Event::Publish(wish) => {
                    // A drain ends it, and gives it the time to hear so.
                    let _hold = Answering::new(&self.shard);
                    let published = Box::pin(self.publish(&wish)).await;
                    let Some(Published { reason, goes_on }) = published else {
                        return self.close(EndReason::PeerClosed).await;
                    };
                    if !goes_on {
                        return self.close(reason).await;
                    }
                    deadline = Instant::now() + patience;
                }
                Event::Play(wish) => return Box::pin(self.play(&wish)).await,
                // Nothing is published or played now.
                Event::Media(_)
                | Event::Paused(_)
                | Event::Unpublish
                | Event::Stopped
                | Event::Pong(_) => {}
            }
        }
    }

    /// Sends what the machine wants sent.
    async fn flush(&mut self) -> std::io::Result<()> {
        while let Some(bytes) = self.session.poll_transmit() {
            self.connection.send(&[&bytes]).await?;
        }
        Ok(())
    }

    /// Receives once and answers what the machine answers itself.
    async fn receive(&mut self, silence_max: Duration) -> Result<(), EndReason> {
        let bytes = match self.connection.receive_some(silence_max).await {
            Ok(bytes) if bytes.is_empty() => return Err(EndReason::PeerClosed),
            Ok(bytes) => bytes,
            Err(BodyFault::Late) => return Err(EndReason::Timeout),
            Err(BodyFault::Gone | BodyFault::Refused(_)) => return Err(EndReason::PeerReset),
        };
        let length = bytes.len();
        self.take(bytes)?;
        self.flush().await.map_err(|_| EndReason::PeerReset)?;
        self.breathe(length).await;
        Ok(())
    }

    /// Lets others have their turn where the peer sends faster than we ask.
    async fn breathe(&mut self, received: usize) {
        self.unbroken_bytes += received;
        if self.unbroken_bytes >= TURN_BYTES {
            self.unbroken_bytes = 0;
            monoio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn take(&mut self, bytes: Bytes) -> Result<(), EndReason> {
        self.session.handle_input(bytes).map_err(|BadPeer(fault)| {
            tracing::debug!(
                shard = self.shard.id.0,
                fault,
                "an RTMP client broke the protocol"
            );
            EndReason::Malformed
        })
    }

    async fn close(mut self, reason: EndReason) {
        if matches!(reason, EndReason::PeerReset) {
            return;
        }
        if self.flush().await.is_ok() {
            self.connection.close_in_order().await;
        }
    }

    /// Feeds the mount that the client names, until either wants to end. Nothing where the client
    /// was refused.
    async fn publish(&mut self, wish: &StreamRequest) -> Option<Published> {
        let session = self.shard.next_session();
        let since = self.shard.now();
        let admitted = self.admit_publisher(wish, session).await;
        let (mount, stay_max) = match admitted {
            Ok(admitted) => admitted,
            Err(refused) => return self.refuse_publisher(wish, session, &refused).await,
        };
        let info = source_info(wish, &self.connection);
        let asked = take_mount(&self.shard, session, &mount, info).await;
        let mut publication = match asked {
            Ok(publication) => publication,
            Err(refused) => return self.refuse_publisher(wish, session, &refused).await,
        };
        publication.start();
        self.session.accept_publish();
        let until = stay_max.map(|stay_max| Instant::now() + stay_max);
        let published = match self.flush().await {
            Ok(()) => self.feed(&mount, &mut publication, until).await,
            Err(_) => Published {
                reason: EndReason::PeerReset,
                goes_on: false,
            },
        };
        publication.end(published.reason);
        drop(publication);
        self.tell(
            (session, since),
            wish,
            "PUBLISH",
            200,
            published.reason,
            Some(mount),
        );
        Some(published)
    }

    /// The mount that the client may feed, and for how long.
    async fn admit_publisher(
        &mut self,
        wish: &StreamRequest,
        session: SessionId,
    ) -> Result<(MountName, Option<Duration>), Refused> {
        let config = self.shard.config();
        let ip = self.connection.peer.ip();
        let path = wish.path();
        if let Some(refused) = bars::bar_agent(&config, &wish.agent) {
            return Err(refused);
        }
        let given = credentials(wish);
        if let Some(refused) = guessing::locked_out(&self.shard, Surface::Sources, ip) {
            return Err(refused);
        }
        let mount = MountName::parse(&path).ok();
        let mount =
            mount.filter(|_| !is_reserved_path(&path) && !stream::is_output(&config, &path));
        let Some(mount) = mount else {
            return Err(Refused::new(
                403,
                "this path cannot be a mount",
                Refusal::NotFound,
            ));
        };
        if auth::may_publish(&config, &path, &given) {
            return Ok((mount, None));
        }
        if !question::guards_sources(config.mount(&path)) {
            guessing::note_failure(&self.shard, Surface::Sources, ip);
            let text = "a source needs the right password";
            return Err(Refused::unauthorized(text));
        }
        let asked = self.question(wish, session, mount.clone(), true);
        match question::ask(&self.shard, self.connection.failed(), asked).await {
            Finding::Welcome(stay_max) => Ok((mount, stay_max)),
            Finding::Unwelcome(refused) => {
                if refused.status == 401 {
                    guessing::note_failure(&self.shard, Surface::Sources, ip);
                }
                Err(refused)
            }
            Finding::Gone => Err(Refused::busy("gone", Refusal::NotFound)),
        }
    }

    fn question(
        &self,
        wish: &StreamRequest,
        session: SessionId,
        mount: MountName,
        publisher: bool,
    ) -> Question {
        let given = credentials(wish);
        let shown = !(given.user.is_empty() && given.password.is_empty());
        Question {
            session,
            client: session,
            publisher,
            mount,
            peer: self.connection.peer,
            credentials: shown.then(|| (given.user.into(), given.password.into())),
            target: target(wish).into(),
            user_agent: log_text(&wish.agent).into(),
            referer: log_text(&wish.page_url),
        }
    }

    async fn refuse_publisher(
        &mut self,
        wish: &StreamRequest,
        session: SessionId,
        refused: &Refused,
    ) -> Option<Published> {
        self.shard.probe.refused.at(refused.counted as usize).add(1);
        let code = match refused.status {
            401 | 429 => DENIED,
            _ => BAD_NAME,
        };
        self.session.refuse_publish(code, &refused.text);
        let ids = (session, self.shard.now());
        self.tell(
            ids,
            wish,
            "PUBLISH",
            refused.status,
            EndReason::PeerClosed,
            None,
        );
        None
    }

    /// Hands the publisher's media to the hub until one of them ends it.
    async fn feed(
        &mut self,
        mount: &MountName,
        publication: &mut Publication,
        until: Option<Instant>,
    ) -> Published {
        let mut intake = Intake::default();
        let ends = |reason| Published {
            reason,
            goes_on: false,
        };
        // Pings and titles keep no mount: it is given up as if its publisher were silent.
        let mut heard = Instant::now();
        loop {
            let (events, goes_on) = self.take_media(&mut intake);
            let now = Instant::now();
            if events.iter().any(|it| matches!(it, MediaEvent::Unit(_))) {
                heard = now;
            }
            self.push(publication.session, events);
            if !goes_on {
                return Published {
                    reason: EndReason::PeerClosed,
                    goes_on: true,
                };
            }
            if until.is_some_and(|until| until <= now) {
                self.session.end(End::Rejected("the source's time is over"));
                return ends(EndReason::TimeLimit);
            }
            let config = self.shard.config();
            let silence_max = config.mount(mount.as_str()).source_timeout.max(SILENCE_MIN);
            let left = (heard + silence_max).saturating_duration_since(now);
            if left.is_zero() {
                self.session
                    .end(End::Rejected("no sound or picture came for too long"));
                return ends(EndReason::Timeout);
            }
            let received = self.connection.receive_some(left);
            let bytes = match first(&mut publication.ticket.ended, received).await {
                First::Left(ended) => {
                    publication.open = false;
                    let reason = ended.unwrap_or(EndReason::Internal);
                    self.session.end(farewell(reason));
                    return ends(reason);
                }
                First::Right(Ok(bytes)) if bytes.is_empty() => return ends(EndReason::PeerClosed),
                First::Right(Ok(bytes)) => bytes,
                First::Right(Err(BodyFault::Late)) => return ends(EndReason::Timeout),
                First::Right(Err(_)) => return ends(EndReason::PeerReset),
            };
            let length = bytes.len();
            self.shard.probe.source_bytes.add(length as u64);
            if let Err(reason) = self.take(bytes) {
                return ends(reason);
            }
            if self.flush().await.is_err() {
                return ends(EndReason::PeerReset);
            }
            self.breathe(length).await;
        }
    }

    /// What the publisher sent until it unpublished, and whether it has not.
    fn take_media(&mut self, intake: &mut Intake) -> (Vec<MediaEvent>, bool) {
        let mut events = Vec::new();
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Media(media) => intake.take(&self.shard, media, &mut events),
                Event::Unpublish => return (events, false),
                _ => {}
            }
        }
        (events, true)
    }

    fn push(&self, session: SessionId, events: Vec<MediaEvent>) {
        if !events.is_empty() {
            self.shard
                .with_hub(|hub, now| hub.push_media(now, session, events));
        }
    }

    /// Makes the client a steady listener of the mount that it names, or tells it why not.
    async fn play(mut self, wish: &StreamRequest) {
        let session = self.shard.next_session();
        let refused = match self.admit_player(wish, session).await {
            Ok((seat_wish, until)) => {
                self.session.accept_play();
                return self.attach(wish, seat_wish, until);
            }
            Err(refused) => refused,
        };
        self.shard.probe.refused.at(refused.counted as usize).add(1);
        let code = match refused.counted {
            Refusal::NotFound | Refusal::NoSource => NOT_FOUND,
            _ => FAILED,
        };
        self.session.refuse_play(code, &refused.text);
        let ids = (session, self.shard.now());
        self.tell(
            ids,
            wish,
            "PLAY",
            refused.status,
            EndReason::PeerClosed,
            None,
        );
        self.close(EndReason::PeerClosed).await;
    }

    async fn admit_player(
        &mut self,
        wish: &StreamRequest,
        session: SessionId,
    ) -> Result<(Wish, Option<Time>), Refused> {
        let config = self.shard.config();
        let path = wish.path();
        let mount =
            MountName::parse(&path).map_err(|_| listener::refused(JoinRefusal::NotFound))?;
        let ip = self.connection.peer.ip();
        let barred = bars::bar_agent(&config, &wish.agent);
        let barred = barred.or_else(|| bars::bar_listener(&config, &path, ip, &wish.agent));
        if let Some(refused) = barred {
            return Err(refused);
        }
        let mut seat_wish = Wish::new(&self.shard, session);
        let seat = seat_wish.seat(mount.with_output(Output::Rtmp)).await;
        seat.map_err(listener::refused)?;
        if !question::guards_listeners(config.mount(&path)) {
            let until = listener::stay_until(&self.shard, &mount, None);
            return Ok((seat_wish, until));
        }
        let asked = self.question(wish, session, mount.clone(), false);
        let gone = self.connection.failed();
        match question::ask_about_listener(&self.shard, gone, asked).await {
            Finding::Welcome(stay_max) => {
                let until = listener::stay_until(&self.shard, &mount, stay_max);
                Ok((seat_wish, until))
            }
            Finding::Unwelcome(refused) => Err(refused),
            Finding::Gone => Err(Refused::busy("gone", Refusal::NotFound)),
        }
    }

    fn attach(mut self, wish: &StreamRequest, seat_wish: Wish, until: Option<Time>) {
        let mut head = Vec::new();
        while let Some(bytes) = self.session.poll_transmit() {
            head.extend_from_slice(&bytes);
        }
        let card = Box::new(ListenerCard {
            peer: self.connection.peer,
            user_agent: log_text(&wish.agent).into(),
            referer: log_text(&wish.page_url),
            request: request_line("PLAY", wish),
            user: None,
            since: self.since,
            until,
            relays: false,
        });
        if let Ok(socket) = self.connection.into_steady() {
            seat_wish.attach(ReaderSocket::from(socket), Bytes::from(head), 0, card);
        }
    }

    /// The access log's line for a publisher, or for a player that was refused.
    fn tell(
        &self,
        (session, since): (SessionId, Time),
        wish: &StreamRequest,
        verb: &str,
        status: u16,
        reason: EndReason,
        mount: Option<MountName>,
    ) {
        self.shard.tell_access(AccessRecord {
            session,
            peer: self.connection.peer,
            user: None,
            request: request_line(verb, wish),
            status,
            bytes: self.connection.sent_bytes(),
            referer: log_text(&wish.page_url),
            user_agent: log_text(&wish.agent).into(),
            duration: self.shard.now().since(since),
            reason,
            mount,
        });
    }
}

/// A publisher's messages on their way to units.
#[derive(Default)]
struct Intake {
    demuxer: flv::Demuxer,
    /// Units that were told as left out: without a configuration, and damaged ones.
    told: (u64, u64),
}

impl Intake {
    fn take(&mut self, shard: &Shard, media: Media, events: &mut Vec<MediaEvent>) {
        let demuxer = &mut self.demuxer;
        let left_out = &shard.probe.units_left_out;
        if let Err(fault) = demuxer.push(media.kind, media.timestamp_ms, media.payload, events) {
            left_out.at(LeftOut::Damaged as usize).add(1);
            tracing::debug!(%fault, "a message of an RTMP publisher was left out");
        }
        let counted = (demuxer.dropped_units(), demuxer.damaged_units());
        let (dropped, damaged) = std::mem::replace(&mut self.told, counted);
        let of = |why: LeftOut| left_out.at(why as usize);
        of(LeftOut::Unconfigured).add(counted.0 - dropped);
        of(LeftOut::Damaged).add(counted.1 - damaged);
    }
}

/// What a publisher is told that has to go.
fn farewell(reason: EndReason) -> End<'static> {
    match reason {
        EndReason::Drained => End::Reconnect(None),
        EndReason::TakenOver => End::Rejected("another source took the mount over"),
        EndReason::Killed => End::Rejected("ended by an administrator"),
        _ => End::Rejected("the server ended the stream"),
    }
}

/// The path and query that the client asked for.
fn target(wish: &StreamRequest) -> String {
    let mut target = wish.path();
    if !wish.query.is_empty() {
        target.push('?');
        target.push_str(&wish.query);
    }
    target
}

/// As the access log shows it: without the query, which may hold a password.
fn request_line(verb: &str, wish: &StreamRequest) -> Box<str> {
    log_text(&format!("{verb} {} RTMP", wish.path()))
}

/// User and password from the query of the stream's name.
fn credentials(wish: &StreamRequest) -> Credentials {
    let mut given = Credentials {
        user: String::new(),
        password: String::new(),
    };
    for (name, value) in query::pairs(&wish.query) {
        if name == "user" || name == "username" {
            given.user = value;
        } else if PASSWORD_NAMES.contains(&name.as_str()) {
            given.password = value;
        }
    }
    given
}

fn source_info(wish: &StreamRequest, connection: &Connection) -> SourceInfo {
    SourceInfo {
        content_type: "application/x-rtmp".into(),
        name: text::clean(&wish.stream, 256).into(),
        user_agent: log_text(&wish.agent).into(),
        address: Some(connection.peer),
        ..SourceInfo::default()
    }
}
