//! A node of one or two hubs under a clock of our own.

use std::io::IoSlice;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corecast_config::{Config, HlsMode, Mount, Relay};
use corecast_media::codec::{AudioFormat, Codec};
use corecast_media::frame::{Frame, FrameKind, MediaEvent};
use corecast_media::metadata::Metadata;
use corecast_media::name::{MountName, Output, SessionId, ShardId};
use corecast_media::socket::{Sent, Socket};
use corecast_media::time::Time;
use corecast_media::track::{AccessUnit, MediaTime, Track, TrackCodec, TrackFormat, TrackId};
use corecast_mesh::lockout::Lockouts;
use corecast_mesh::message::{
    EndReason, HlsMessage, JoinRefusal, SeatKind, ShardMessage, SourceInfo,
};
use corecast_mesh::seats::{NodeSeats, Seats};
use corecast_mesh::topology::Topology;
use corecast_protocol::hls::{Answer, Directives, Request, Resource, Step};

use super::{Hub, HubEvent, Watched};

/// Takes everything.
#[derive(Debug)]
struct Sink;

impl Socket for Sink {
    fn send(&mut self, slices: &[IoSlice<'_>]) -> Sent {
        Sent::Bytes(slices.iter().map(|slice| slice.len()).sum())
    }

    fn is_closed(&mut self) -> bool {
        false
    }
}

/// Hubs that hear each other.
struct Node {
    hubs: Vec<Hub<Sink>>,
    events: Vec<HubEvent<Sink>>,
    now: Time,
    sessions: u64,
}

impl Node {
    fn start(shards: u16, config: Config) -> Self {
        let topology = Topology::new(shards);
        let seats = Arc::new(NodeSeats {
            listeners: Seats::new(100),
            sources: Seats::new(100),
            connections: Seats::new(100),
            lockouts: Lockouts::default(),
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
    fn home(&self) -> (usize, usize) {
        let at = self.hubs.iter().position(|hub| hub.is_home_of(&mount()));
        let at = at.expect("every mount has a home");
        (at, (at + 1) % self.hubs.len())
    }

    /// Lets messages through, but none to the shard `deaf`.
    fn settle_but(&mut self, deaf: Option<usize>) {
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

    fn settle(&mut self) {
        self.settle_but(None);
    }

    fn pass(&mut self, millis: u64) {
        self.now = Time::from_millis(self.now.as_millis() + millis);
        for hub in &mut self.hubs {
            hub.handle_timeout(self.now);
        }
        self.settle();
    }

    fn session(&mut self, shard: usize) -> SessionId {
        self.sessions += 1;
        SessionId::new(ShardId(shard as u16), self.sessions)
    }

    fn publish(&mut self, content_type: &str) -> SessionId {
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

    fn push(&mut self, session: SessionId, events: Vec<MediaEvent>) {
        self.hubs[session.shard().index()].push_media(self.now, session, events);
    }

    /// Pictures for `millis` ms, a keyframe each second, as they are taken.
    fn film(&mut self, session: SessionId, millis: u64) {
        self.push(session, vec![MediaEvent::Tracks(vec![track()].into())]);
        for at in (0..millis).step_by(100) {
            self.push(session, vec![picture(at)]);
            self.pass(100);
        }
    }

    /// Asks for the mount's playlist on `shard`.
    fn watch(&mut self, shard: usize, resource: Resource<'_>, query: &str) -> Watched {
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
    fn playlist(&mut self, shard: usize) -> String {
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
    fn asks(&mut self, shard: usize, output: Output) -> Result<(), JoinRefusal> {
        let session = self.session(shard);
        self.asks_for(session, output, SeatKind::Listener)
    }

    fn asks_for(
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

    fn asked_again(&mut self) -> usize {
        let again = |event: &HubEvent<Sink>| matches!(event, HubEvent::AskAgain { .. });
        let count = self.events.iter().filter(|event| again(event)).count();
        self.events.clear();
        count
    }

    fn waiting(&self) -> u64 {
        self.hubs.iter().map(|hub| hub.counts().hls_waiting).sum()
    }

    fn reload(&mut self, change: impl FnOnce(&mut Mount)) {
        let mut config = (*self.hubs[0].config).clone();
        change(&mut config.mount_defaults);
        let config = Arc::new(config);
        for hub in &mut self.hubs {
            hub.reload(self.now, Arc::clone(&config));
        }
        self.settle();
    }
}

fn mount() -> MountName {
    MountName::parse("/cam").expect("a good name")
}

fn track() -> Track {
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

fn picture(at_ms: u64) -> MediaEvent {
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
fn frames(count: usize) -> Vec<MediaEvent> {
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

fn mp3() -> MediaEvent {
    MediaEvent::Format(AudioFormat {
        codec: Codec::Mp3,
        sample_rate_hz: 44_100,
        channels: 2,
        bitrate_bps: 128_000,
    })
}

#[test]
fn a_drain_answers_who_waits_at_once() {
    let mut node = Node::start(2, Config::default());
    let (home, away) = node.home();
    let source = node.publish(Output::Rtmp.content_type());
    node.film(source, 4_000);
    let _ = node.watch(away, Resource::Multivariant, "");
    let playlist = Resource::parse("v0.m3u8").expect("a name of ours");
    let text = node.playlist(away);
    let first = text
        .lines()
        .find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:"));
    let first: u64 = first.and_then(|n| n.parse().ok()).expect("a number");
    let edge = first + text.matches("#EXTINF").count() as u64;
    let query = format!("_HLS_msn={edge}");
    node.asked_again();
    for shard in [home, away] {
        let _ = node.watch(shard, Resource::Multivariant, "");
        let waits = node.watch(shard, playlist, &query);
        assert!(matches!(waits, Watched::Wait(_)), "{waits:?}");
    }
    node.asked_again();
    for hub in &mut node.hubs {
        hub.drain(node.now);
    }
    node.settle();
    assert_eq!((node.asked_again(), node.waiting()), (2, 0));
    let again = node.watch(away, playlist, &query);
    assert!(
        matches!(again, Watched::Refused(JoinRefusal::Draining)),
        "{again:?}"
    );
}

#[test]
fn a_reload_turns_hls_off_and_on_under_who_watches() {
    let mut node = Node::start(2, Config::default());
    let (home, away) = node.home();
    let source = node.publish(Output::Rtmp.content_type());
    node.film(source, 4_000);
    assert!(node.playlist(away).contains("#EXTINF"));
    node.reload(|mount| mount.hls = HlsMode::Off);
    let refused = node.watch(away, Resource::Multivariant, "");
    assert!(
        matches!(refused, Watched::Refused(JoinRefusal::NotFound)),
        "{refused:?}"
    );
    assert_eq!(node.hubs[home].holdings().packagers, 0);
    node.pass(2_000);
    node.reload(|mount| mount.hls = HlsMode::Always);
    assert_eq!(node.hubs[home].holdings().packagers, 1);
    assert!(node.playlist(away).contains("#EXTINF"));
    node.pass(40_000);
    node.pass(1);
    assert_eq!(node.hubs[away].holdings().watches, 0);
    assert_eq!(node.hubs[home].holdings().packagers, 1);
    node.reload(|mount| mount.hls = HlsMode::OnDemand);
    assert_eq!(node.hubs[home].holdings().packagers, 0, "nobody watches");
}

#[test]
fn steps_for_a_shard_that_hears_nothing_are_bounded_and_it_has_all_of_them_then() {
    let mut node = Node::start(2, Config::default());
    let (home, away) = node.home();
    let source = node.publish(Output::Rtmp.content_type());
    node.film(source, 3_000);
    assert!(node.playlist(away).contains("#EXTINF"));
    for at in (3_000..300_000).step_by(100) {
        node.push(source, vec![picture(at)]);
        node.now = Time::from_millis(node.now.as_millis() + 100);
        node.hubs[home].handle_timeout(node.now);
        node.settle_but(Some(away));
    }
    let mut queued = Vec::new();
    node.hubs[home].handle_room(ShardId(away as u16));
    while let Some((_, message)) = node.hubs[home].poll_transmit() {
        queued.push(message);
    }
    assert!(queued.len() < 1_030, "{} messages wait", queued.len());
    let last = queued.last();
    let whole = matches!(
        last,
        Some(ShardMessage::Hls {
            message: HlsMessage::Step(Step::Snapshot(_)),
            ..
        })
    );
    assert!(whole, "{last:?}");
    for message in queued {
        node.hubs[away].handle_message(node.now, ShardId(home as u16), message);
    }
    let (here, there) = (node.playlist(home), node.playlist(away));
    assert_eq!(here, there);
}

#[test]
fn who_waits_for_a_relay_gets_any_output_as_soon_as_it_comes() {
    let relay = Relay {
        mount: "/cam".to_owned(),
        url: "http://127.0.0.1:1/cam".to_owned(),
        on_demand: true,
        ..Relay::default()
    };
    let config = Config {
        relays: vec![relay],
        ..Config::default()
    };
    let mut node = Node::start(2, config);
    let (home, away) = node.home();
    let session = node.session(away);
    let stream = mount().with_output(Output::Flv);
    node.hubs[away].reserve(node.now, session, stream, SeatKind::Listener);
    node.settle();
    assert_eq!(node.hubs[home].demand(&mount()), 1, "it waits");
    let waits = node.watch(away, Resource::Multivariant, "");
    assert!(matches!(waits, Watched::Wait(_)), "{waits:?}");
    let waits = node.watch(away, Resource::Multivariant, "");
    assert!(matches!(waits, Watched::Wait(_)), "{waits:?}");
    assert_eq!(node.hubs[home].demand(&mount()), 2);
    node.events.clear();
    let source = node.publish("audio/mpeg");
    let seated = node.events.iter().any(|event| {
        matches!(event, HubEvent::SeatAnswer { session: of, answer: Ok(_) } if *of == session)
    });
    assert!(seated, "{:?}", node.events);
    node.push(source, [vec![mp3()], frames(200)].concat());
    node.pass(100);
    assert!(node.asked_again() > 0);
    assert!(node.playlist(away).contains("#EXTINF"));
}

#[test]
fn outputs_go_on_where_radio_follows_tracks() {
    let config = Config {
        mount_defaults: Mount {
            takeover: true,
            ..Mount::default()
        },
        ..Config::default()
    };
    let mut node = Node::start(1, config);
    let source = node.publish(Output::Rtmp.content_type());
    node.film(source, 4_000);
    let before = node.playlist(0);
    let radio = node.publish("audio/mpeg");
    node.push(radio, [vec![mp3()], frames(400)].concat());
    node.pass(100);
    let after = node.playlist(0);
    assert!(!after.is_empty() && after != before, "{after}");
    let sound = after.lines().any(|line| line.starts_with("a0-"));
    assert!(sound, "{after}");
}

#[test]
fn who_asks_before_there_is_a_run_gets_what_comes() {
    let mut node = Node::start(1, Config::default());
    let source = node.publish("audio/mpeg");
    node.push(source, [vec![mp3()], frames(1)].concat());
    let _ = node.watch(0, Resource::Multivariant, "");
    node.push(source, frames(200));
    node.pass(100);
    assert!(node.playlist(0).contains("#EXTINF"));
}

#[test]
fn who_starts_late_is_told_the_title() {
    let mut node = Node::start(1, Config::default());
    let source = node.publish("audio/mpeg");
    node.push(source, [vec![mp3()], frames(200)].concat());
    node.hubs[0].set_metadata(node.now, mount(), Metadata::from_title("A Song"));
    node.push(source, frames(200));
    node.pass(1_000);
    assert!(node.playlist(0).contains("A Song"));
}

#[test]
fn the_peak_and_the_slow_of_outputs_are_their_mounts() {
    let mut node = Node::start(2, Config::default());
    let (home, away) = node.home();
    let source = node.publish(Output::Rtmp.content_type());
    let session = node.session(away);
    node.hubs[away].reserve(node.now, session, mount(), SeatKind::Listener);
    node.settle();
    let refused = node.events.iter().any(|event| {
        let answer = match event {
            HubEvent::SeatAnswer { answer, .. } => answer.as_ref().err(),
            _ => None,
        };
        answer == Some(&JoinRefusal::OutputsOnly)
    });
    assert!(refused, "before its first unit too: {:?}", node.events);
    node.film(source, 1_000);
    for _ in 0..2 {
        let session = node.session(away);
        let asked = node.asks_for(session, Output::Flv, SeatKind::Listener);
        assert_eq!(asked, Ok(()));
        node.hubs[away].release(node.now, session);
        node.settle();
    }
    node.pass(4_000);
    node.pass(1);
    let report = node.hubs[home].snapshot(node.now, false).mounts;
    let [report] = &report[..] else {
        panic!("{report:?}")
    };
    assert_eq!((report.listeners, report.listeners_peak), (0, 1));
    assert_eq!(node.hubs[home].holdings().outputs, 0);
}

#[test]
fn a_forward_is_no_listener_of_its_mount() {
    let mut config = Config::default();
    config.mount_defaults.listeners_max = 1;
    let mut node = Node::start(2, config);
    let (home, away) = node.home();
    let source = node.publish(Output::Rtmp.content_type());
    node.film(source, 1_000);
    let [forward, another] = [node.session(home), node.session(home)];
    let [player, late] = [node.session(away), node.session(away)];
    for (session, kind, answer) in [
        (forward, SeatKind::Forward, Ok(())),
        (player, SeatKind::Listener, Ok(())),
        (late, SeatKind::Listener, Err(JoinRefusal::MountFull)),
        (another, SeatKind::Forward, Ok(())),
    ] {
        assert_eq!(node.asks_for(session, Output::Rtmp, kind), answer);
    }
    let seats = Arc::clone(&node.hubs[home].seats);
    let listeners = |node: &Node| node.hubs[home].snapshot(node.now, false).mounts[0].listeners;
    assert_eq!((listeners(&node), seats.listeners.taken()), (1, 1));
    assert_eq!(
        node.hubs[home].demand(&mount()),
        3,
        "a relay on demand goes on"
    );
    for (session, left) in [(forward, 2), (player, 1), (another, 0)] {
        let shard = session.shard().index();
        node.hubs[shard].release(node.now, session);
        node.settle();
        assert_eq!(node.hubs[home].demand(&mount()), left);
    }
    assert_eq!((listeners(&node), seats.listeners.taken()), (0, 0));
}

#[test]
fn a_player_that_comes_in_a_gap_waits_with_the_others() {
    let mut config = Config::default();
    config.mount_defaults.source_timeout = Duration::from_secs(5);
    let mut node = Node::start(2, config);
    let (home, away) = node.home();
    let source = node.publish(Output::Rtmp.content_type());
    node.film(source, 1_000);
    node.hubs[home].unpublish(node.now, source, EndReason::PeerReset);
    node.settle();
    assert!(
        node.asks(away, Output::Flv).is_ok(),
        "the source may come back"
    );
    let again = node.publish(Output::Rtmp.content_type());
    node.film(again, 1_000);
    let report = &node.hubs[home].snapshot(node.now, false).mounts[0];
    assert_eq!(report.listeners, 1);
    node.hubs[home].unpublish(node.now, again, EndReason::PeerReset);
    node.pass(5_000);
    assert_eq!(node.asks(away, Output::Mpegts), Err(JoinRefusal::NoSource));
}

#[test]
fn nothing_is_written_of_codings_without_units() {
    let mut node = Node::start(2, Config::default());
    let (_, away) = node.home();
    let source = node.publish("application/ogg");
    let vorbis = AudioFormat {
        codec: Codec::Vorbis,
        ..AudioFormat::default()
    };
    node.push(source, vec![MediaEvent::Format(vorbis)]);
    node.settle();
    assert_eq!(node.asks(away, Output::Flv), Err(JoinRefusal::NotFound));
    let refused = node.watch(away, Resource::Multivariant, "");
    assert!(matches!(refused, Watched::Wait(_)), "{refused:?}");
    let refused = node.watch(away, Resource::Multivariant, "");
    let not_found = matches!(refused, Watched::Refused(JoinRefusal::NotFound));
    assert!(not_found, "{refused:?}");
}
