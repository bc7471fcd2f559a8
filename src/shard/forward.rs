//! Forwards: mounts that are pushed to other servers by RTMP. A forward runs on its mount's home
//! shard, one task for each URL.
//!
//! The task connects and asks as a publisher; then its socket becomes a steady listener of what is
//! written from the mount's tracks as RTMP chunks, so that a forward costs what a player costs. The
//! task goes on reading what the other server says.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io::IoSlice;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use corecast_media::name::{MountName, Output, SessionId};
use corecast_mesh::message::EndReason;
use corecast_protocol::rtmp::{ClientEvent, ClientSession, Purpose, STREAM_ID, Url};
use monoio::time::Instant;

use crate::dial::dial;
use crate::driver::Shard;
use crate::http::exchange::log_text;
use crate::http::response::SERVER;
use crate::hub::ListenerCard;
use crate::joining::Wish;
use crate::net::ReaderSocket;
use crate::net::tcp::TcpConnection;
use crate::net::wire::Wire;
use crate::relay::turns::Turns;
use crate::session::rtmp::random;
use crate::task::{First, Signal, first, isolated};

/// How often a forward looks whether its mount has a source, and whether it is still served.
const LOOK: Duration = Duration::from_millis(500);

/// How long the other server may take for one step of the way to the stream.
const STEP_MAX: Duration = Duration::from_secs(10);

/// The wait after the first failure, and the longest one.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// How long a forward rests that panicked.
const PANIC_PAUSE: Duration = Duration::from_secs(1);

/// The forwards of a shard. Lives on: its shard.
#[derive(Debug, Default)]
pub(crate) struct Forwards {
    stops: RefCell<BTreeMap<(MountName, String), Rc<Signal>>>,
    changed: Signal,
}

impl Forwards {
    /// The settings are others now.
    pub(crate) fn handle_reload(&self) {
        self.changed.set();
    }
}

/// Keeps those forwards running for ever that the settings name and whose mounts live here.
pub(crate) async fn run(shard: &Rc<Shard>) {
    loop {
        follow_settings(shard);
        shard.forwards.changed.wait().await;
    }
}

/// Ends forwards that are gone, and starts those that are new.
fn follow_settings(shard: &Rc<Shard>) {
    let config = shard.config();
    let mut wanted = Vec::new();
    for (name, settings) in &config.mounts {
        let Ok(mount) = MountName::parse(name) else {
            continue;
        };
        if shard.look(|hub| hub.is_home_of(&mount)) {
            let urls = settings.forward.split_whitespace();
            wanted.extend(urls.map(|url| (mount.clone(), url.to_owned())));
        }
    }
    let mut stops = shard.forwards.stops.borrow_mut();
    stops.retain(|forward, stop| {
        let stays = wanted.contains(forward);
        if !stays {
            stop.set();
        }
        stays
    });
    for forward in wanted {
        if stops.contains_key(&forward) {
            continue;
        }
        let stop = Rc::new(Signal::default());
        stops.insert(forward.clone(), Rc::clone(&stop));
        let (mount, url) = forward;
        shard
            .tasks
            .spawn(supervise(Rc::clone(shard), mount, url, stop));
    }
}

/// Runs one forward until it is told to stop; a panic in it is counted, and it starts again.
async fn supervise(shard: Rc<Shard>, mount: MountName, url: String, stop: Rc<Signal>) {
    let url = match Url::parse(&url) {
        Ok(url) => url,
        Err(fault) => {
            tracing::error!(%mount, fault, "a forward has a bad URL and does not run");
            return;
        }
    };
    loop {
        let work = isolated(Box::pin(forward(&shard, &mount, &url)));
        match first(stop.wait(), work).await {
            First::Left(()) | First::Right(Ok(())) => return,
            First::Right(Err(panic)) => {
                shard.probe.panics.add(1);
                tracing::error!(%mount, panic, "a forward panicked and starts again");
                monoio::time::sleep(PANIC_PAUSE).await;
            }
        }
    }
}

/// Pushes the mount again and again, until the node drains.
async fn forward(shard: &Rc<Shard>, mount: &MountName, url: &Url) {
    let seed = RandomState::new().hash_one(mount.as_str());
    let mut turns = Turns::new(1, RETRY_MIN, RETRY_MAX, seed);
    // Without the stream's name, which is its password, and without queries.
    let app = url.app.split('?').next().unwrap_or_default();
    let host = format!("{}:{}/{app}", url.host, url.port);
    while !shard.is_draining() {
        if !shard.look(|hub| hub.is_live(mount)) {
            monoio::time::sleep(LOOK).await;
            continue;
        }
        turns.next();
        let push = Push {
            shard,
            mount,
            session: shard.next_session(),
        };
        let since = shard.now();
        let (lived, error) = match push.open(url).await {
            Ok((reading, client)) => {
                tracing::info!(%mount, host, "forward has its stream");
                (true, push.attend(reading, client).await)
            }
            Err(error) => (false, error),
        };
        let wait = if lived {
            turns.lose(shard.now().since(since))
        } else {
            turns.fail()
        };
        let error = without_key(&error, url);
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(%mount, host, error, wait_ms, "forward has no stream");
        monoio::time::sleep(wait).await;
    }
}

/// What went wrong, as logs may say it: servers like to repeat the name that they were given.
fn without_key(error: &str, url: &Url) -> String {
    let name = url.stream.split('?').next().unwrap_or_default();
    let secrets = [&url.stream, name, &url.app].into_iter();
    let secrets = secrets.filter(|secret| !secret.is_empty());
    let shown = secrets.fold(error.to_owned(), |error, secret| {
        error.replace(secret, "***")
    });
    log_text(&shown).into()
}

/// One try.
struct Push<'a> {
    shard: &'a Rc<Shard>,
    mount: &'a MountName,
    session: SessionId,
}

/// Ends the steady half when the task is dropped.
struct Steady<'a>(&'a Rc<Shard>, SessionId);

impl Drop for Steady<'_> {
    fn drop(&mut self) {
        let reason = EndReason::PeerClosed;
        self.0
            .with_hub(|hub, now| hub.end_session(now, self.1, reason));
    }
}

impl Push<'_> {
    /// Connects, asks, and makes the socket a listener; what is given back reads from it.
    async fn open(&self, url: &Url) -> Result<(TcpConnection, ClientSession), String> {
        if url.tls {
            return Err("RTMPS is not there yet".to_owned());
        }
        let mut seat = Wish::of_forward(self.shard, self.session);
        let stream = self.mount.with_output(Output::Rtmp);
        seat.seat(stream)
            .await
            .map_err(|refusal| format!("no seat at the mount: {refusal:?}"))?;
        let (mut tcp, peer) = dial(self.shard, self.session, &url.host, url.port).await?;
        let mut client = ClientSession::new(Purpose::Publish, url, SERVER, random());
        self.ask(&mut tcp, &mut client).await?;
        if client.stream_id() != Some(STREAM_ID) {
            return Err("the server counts its streams in a way of its own".to_owned());
        }
        let reading = tcp.try_clone().map_err(|error| error.to_string())?;
        if !self.shard.seats.connections.take() {
            return Err("the server has all connections it may have".to_owned());
        }
        self.shard.probe.connections.add(1);
        let socket = tcp.into_socket().map_err(|error| error.to_string());
        let mut socket = socket.inspect_err(|_| {
            self.shard.seats.connections.give_back();
            self.shard.probe.connections.add(-1);
        })?;
        socket.leave_input();
        seat.attach(ReaderSocket::from(socket), Bytes::new(), 0, self.card(peer));
        Ok((reading, client))
    }

    fn card(&self, peer: SocketAddr) -> Box<ListenerCard> {
        Box::new(ListenerCard {
            peer,
            user_agent: "forward".into(),
            referer: "".into(),
            request: format!("FORWARD {} RTMP", self.mount).into(),
            user: None,
            since: self.shard.now(),
            until: None,
            relays: true,
        })
    }

    /// Speaks until the other server takes the stream.
    async fn ask(&self, tcp: &mut TcpConnection, client: &mut ClientSession) -> Result<(), String> {
        loop {
            while let Some(bytes) = client.poll_transmit() {
                tcp.send_all(&mut [IoSlice::new(&bytes)], STEP_MAX)
                    .await
                    .map_err(|error| format!("send: {error}"))?;
            }
            match client.poll_event() {
                Some(ClientEvent::Ready) => return Ok(()),
                Some(ClientEvent::Ended { code, description }) => {
                    return Err(format!("{code}: {description}"));
                }
                Some(_) => continue,
                None => {}
            }
            let bytes = self.receive(tcp, STEP_MAX).await?;
            let bytes = bytes.ok_or("the server does not answer")?;
            client.handle_input(bytes).map_err(|bad| bad.to_string())?;
        }
    }

    /// Hears what the other server says while the hub sends; why it is over.
    async fn attend(&self, mut tcp: TcpConnection, mut client: ClientSession) -> String {
        let _steady = Steady(self.shard, self.session);
        loop {
            let mut say = Vec::new();
            while let Some(bytes) = client.poll_transmit() {
                say.extend_from_slice(&bytes);
            }
            if !say.is_empty() {
                let say = Bytes::from(say);
                self.shard
                    .with_hub(|hub, _| hub.interject(self.session, &say));
            }
            while let Some(event) = client.poll_event() {
                match event {
                    ClientEvent::Ended { code, description } => {
                        return format!("{code}: {description}");
                    }
                    ClientEvent::Reconnect(_) => return "the server asked us to come again".into(),
                    _ => {}
                }
            }
            match self.receive(&mut tcp, LOOK).await {
                Ok(Some(bytes)) => {
                    if let Err(bad) = client.handle_input(bytes) {
                        return bad.to_string();
                    }
                }
                Ok(None) if self.shard.look(|hub| hub.is_listening(self.session)) => {}
                Ok(None) => return "the mount's source is gone, or the server too slow".into(),
                Err(error) => return error,
            }
        }
    }

    /// What has come; nothing where nothing did in `wait_max`.
    async fn receive(
        &self,
        tcp: &mut TcpConnection,
        wait_max: Duration,
    ) -> Result<Option<Bytes>, String> {
        let until = Instant::now() + wait_max;
        match tcp.receive_until(until, &self.shard.scratch).await {
            Ok(Some(bytes)) if bytes.is_empty() => Err("the server hung up".to_owned()),
            Ok(received) => Ok(received),
            Err(error) => Err(format!("receive: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_complaint_is_logged_without_our_key() {
        let url = Url::parse("rtmp://example.com/app?user=a1b2/key-77?token=s3cret");
        let url = url.expect("a good URL");
        for (said, logged) in [
            ("BadName: key-77 is in use", "BadName: *** is in use"),
            ("no key-77?token=s3cret here", "no *** here"),
            ("in app?user=a1b2:\n\u{7}refused", "in ***: refused"),
        ] {
            let found = without_key(said, &url);
            let squeezed: Vec<&str> = found.split_whitespace().collect();
            assert_eq!(squeezed.join(" "), logged);
        }
    }
}
