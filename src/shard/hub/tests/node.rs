//! A node of one or two hubs, what feeds them, and who asks them.

use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use corecast_config::{Config, Mount};
use corecast_media::codec::{AudioFormat, Codec};
use corecast_media::frame::{Frame, FrameKind, MediaEvent};
use corecast_media::name::{MountName, Output, SessionId, ShardId};
use corecast_media::socket::{Sent, Socket};
use corecast_media::time::Time;
use corecast_media::track::{AccessUnit, MediaTime, Track, TrackCodec, TrackFormat, TrackId};
use corecast_mesh::lockout::Lockouts;
use corecast_mesh::message::{JoinRefusal, SeatKind, ShardSnapshot, SourceInfo};
use corecast_mesh::seats::{NodeSeats, Players, Seats};
use corecast_mesh::topology::Topology;
use corecast_protocol::hls::{Answer, Directives, Request, Resource};

use crate::hub::{Hub, HubEvent, ListenerCard, Watched};

/// Takes everything.
#[derive(Debug)]
pub(super) struct Sink;

impl Socket for Sink {
    fn send(&mut self, slices: &[IoSlice<'_>]) -> Sent {
        Sent::Bytes(slices.iter().map(|slice| slice.len()).sum())
    }

    fn is_closed(&mut self) -> bool {
        false
    }
}

/// Hubs that hear each other.
pub(super) struct Node {
    pub(super) hubs: Vec<Hub<Sink>>,
    pub(super) events: Vec<HubEvent<Sink>>,
    pub(super) now: Time,
    pub(super) sessions: u64,
}

impl Node {
    pub(super) fn start(shards: u16, config: Config) -> Self {
        let topology = Topology::new(shards);
        let seats = Arc::new(NodeSeats {
            listeners: Seats::new(100),
            sources: Seats::new(100),
            connections: Seats::new(100),
            lockouts: Lockouts::default(),
            players: Players::default(),
        });
        let config = Arc::new(config);
        let hub = |id| Hub::new(id, topology, Arc::clone(&config), Arc::clone(&seats));
        Node {
            hubs: topology.ids().map(hub).collect(),
            events: Vec::new(),
            now: Time::from_millis(1_000),
            sessions: 0,
        }
    }

    /// The shard that is the mount's home, and another one.
    pub(super) fn home(&self) -> (usize, usize) {
        let at = self.hubs.iter().position(|hub| hub.is_home_of(&mount()));
        let at = at.expect("every mount has a home");
        (at, (at + 1) % self.hubs.len())
    }

    /// Lets messages through, but none to the shard `deaf`.
    pub(super) fn settle_but(&mut self, deaf: Option<usize>) {
        loop {
            let mut sent = Vec::new();
            for (from, hub) in self.hubs.iter_mut().enumerate() {
                while let Some((to, message)) = hub.poll_transmit() {
                    if deaf == Some(to.index()) {
                        hub.return_message(to, message);
                        continue;
                    }
                    sent.push((ShardId(from as u16), to, message));
                }
                self.events.extend(std::iter::from_fn(|| hub.poll_event()));
            }
            if sent.is_empty() {
                return;
            }
            for (from, to, message) in sent {
                self.hubs[to.index()].handle_message(self.now, from, message);
            }
        }
    }

    pub(super) fn settle(&mut self) {
        self.settle_but(None);
    }

    pub(super) fn pass(&mut self, millis: u64) {
        self.now = Time::from_millis(self.now.as_millis() + millis);
        for hub in &mut self.hubs {
            hub.handle_timeout(self.now);
        }
        self.settle();
    }

    pub(super) fn session(&mut self, shard: usize) -> SessionId {
        self.sessions += 1;
        SessionId::new(ShardId(shard as u16), self.sessions)
    }

    pub(super) fn publish(&mut self, content_type: &str) -> SessionId {
        let (home, _) = self.home();
        let session = self.session(home);
        let info = SourceInfo {
            content_type: content_type.into(),
            ..SourceInfo::default()
        };
        self.hubs[home].publish(self.now, session, mount(), info);
        self.settle();
        session
    }

    pub(super) fn push(&mut self, session: SessionId, events: Vec<MediaEvent>) {
        self.hubs[session.shard().index()].push_media(self.now, session, events);
    }

    /// Pictures for `millis` ms, a keyframe each second, as they are taken.
    pub(super) fn film(&mut self, session: SessionId, millis: u64) {
        self.push(session, vec![MediaEvent::Tracks(vec![track()].into())]);
        for at in (0..millis).step_by(100) {
            self.push(session, vec![picture(at)]);
            self.pass(100);
        }
    }

    /// Asks for the mount's playlist on `shard`.
    pub(super) fn watch(&mut self, shard: usize, resource: Resource<'_>, query: &str) -> Watched {
        let session = self.session(shard);
        let request = Request {
            resource,
            outside: true,
            directives: &Directives::parse(query).expect("a good query"),
            gzip: false,
            arrived: self.now,
        };
        let watched = self.hubs[shard].watch(self.now, session, &mount(), &request, None);
        self.settle();
        watched
    }

    /// The text of the first media playlist on `shard`, once asked for again.
    pub(super) fn playlist(&mut self, shard: usize) -> String {
        self.watch(shard, Resource::Multivariant, "");
        let first = Resource::parse("v0.m3u8").expect("a name of ours");
        let other = Resource::parse("a0.m3u8").expect("a name of ours");
        for resource in [first, other] {
            if let Watched::Answer(Answer::Ready(found)) = self.watch(shard, resource, "") {
                let text: Vec<u8> = found.body.pieces().iter().flatten().copied().collect();
                return String::from_utf8(text).expect("playlists are text");
            }
        }
        String::new()
    }

    /// Asks for a seat at an output on `shard`.
    pub(super) fn asks(&mut self, shard: usize, output: Output) -> Result<(), JoinRefusal> {
        let session = self.session(shard);
        self.asks_for(session, output, SeatKind::Listener)
    }

    pub(super) fn asks_for(
        &mut self,
        session: SessionId,
        output: Output,
        kind: SeatKind,
    ) -> Result<(), JoinRefusal> {
        self.events.clear();
        let stream = mount().with_output(output);
        self.hubs[session.shard().index()].reserve(self.now, session, stream, kind);
        self.settle();
        let answer = self.events.iter().find_map(|event| match event {
            HubEvent::SeatAnswer { answer, .. } => Some(answer.as_ref().map(|_| ())),
            _ => None,
        });
        answer.expect("an answer").map_err(|refusal| *refusal)
    }

    pub(super) fn asked_again(&mut self) -> usize {
        let again = |event: &HubEvent<Sink>| matches!(event, HubEvent::AskAgain { .. });
        let count = self.events.iter().filter(|event| again(event)).count();
        self.events.clear();
        count
    }

    /// Bytes sent to readers of the mount, as control puts them together.
    pub(super) fn sent(&self) -> u64 {
        let all = self.hubs.iter().map(|hub| hub.snapshot(self.now, false));
        let of = |snapshot: ShardSnapshot| {
            let before = snapshot
                .mounts
                .iter()
                .map(|report| report.bytes_sent_before);
            let now = snapshot.sent.iter().map(|(name, bytes)| {
                assert_eq!(*name, mount());
                *bytes
            });
            before.chain(now).sum::<u64>()
        };
        all.map(of).sum()
    }

    pub(super) fn waiting(&self) -> u64 {
        self.hubs.iter().map(|hub| hub.counts().hls_waiting).sum()
    }

    pub(super) fn reload(&mut self, change: impl FnOnce(&mut Mount)) {
        let mut config = (*self.hubs[0].config).clone();
        change(&mut config.mount_defaults);
        let config = Arc::new(config);
        for hub in &mut self.hubs {
            hub.reload(self.now, Arc::clone(&config));
        }
        self.settle();
    }
}

pub(super) fn mount() -> MountName {
    MountName::parse("/cam").expect("a good name")
}

pub(super) fn card() -> Box<ListenerCard> {
    Box::new(ListenerCard {
        peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
        user_agent: "test".into(),
        referer: "".into(),
        request: "GET /cam HTTP/1.1".into(),
        user: None,
        since: Time::ZERO,
        until: None,
        relays: false,
    })
}

pub(super) fn track() -> Track {
    Track {
        id: TrackId(0),
        format: TrackFormat {
            codec: TrackCodec::H264,
            config: Bytes::from_static(
                b"\x01\x64\x00\x1e\xff\xe1\x00\x04\x67\x64\x00\x1e\x01\x00\x04\x68\xeb\xe3\xcb",
            ),
            rfc6381: "avc1.64001E".into(),
            width: 320,
            height: 180,
            frame_rate_millihz: 10_000,
            sample_rate_hz: 0,
            channels: 0,
        },
    }
}

pub(super) fn picture(at_ms: u64) -> MediaEvent {
    let keyframe = at_ms.is_multiple_of(1_000);
    let time = MediaTime::from_millis(at_ms as i64);
    MediaEvent::Unit(AccessUnit {
        track: TrackId(0),
        dts: time,
        pts: time,
        keyframe,
        payload: vec![0, 0, 0, 2, if keyframe { 0x65 } else { 0x41 }, 0].into(),
    })
}

/// Frames of MPEG audio, layer III, 128 kbit/s, 44.1 kHz.
pub(super) fn frames(count: usize) -> Vec<MediaEvent> {
    let frame = |_| {
        let mut payload = vec![0; 417];
        payload[..4].copy_from_slice(&[0xFF, 0xFB, 0x90, 0]);
        MediaEvent::Frame(Frame {
            payload: payload.into(),
            duration_us: 26_122,
            kind: FrameKind::Entry,
        })
    };
    (0..count).map(frame).collect()
}

pub(super) fn mp3() -> MediaEvent {
    MediaEvent::Format(AudioFormat {
        codec: Codec::Mp3,
        sample_rate_hz: 44_100,
        channels: 2,
        bitrate_bps: 128_000,
    })
}
