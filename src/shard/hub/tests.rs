//! Hubs that hear each other, under a clock of our own.

mod node;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corecast_config::{Config, HlsMode, Mount, Relay};
use corecast_media::codec::{AudioFormat, Codec};
use corecast_media::frame::MediaEvent;
use corecast_media::metadata::Metadata;
use corecast_media::name::{Output, ShardId};
use corecast_media::time::Time;
use corecast_mesh::message::{EndReason, HlsMessage, JoinRefusal, SeatKind, ShardMessage};
use corecast_protocol::hls::{Resource, Step};

use self::node::*;
use super::{HubEvent, Watched};

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
    node.hubs[away].note_sent(node.now, &mount(), 7, 1_000);
    node.reload(|mount| mount.hls = HlsMode::Off);
    let refused = node.watch(away, Resource::Multivariant, "");
    assert!(
        matches!(refused, Watched::Refused(JoinRefusal::NotFound)),
        "{refused:?}"
    );
    assert_eq!(node.hubs[home].holdings().packagers, 0);
    node.pass(2_000);
    assert_eq!(node.hubs[away].holdings().watches, 0);
    assert_eq!(node.sent(), 1_000, "they were sent");
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
fn what_was_sent_is_counted_when_its_readers_have_gone() {
    let mut node = Node::start(2, Config::default());
    let (_, away) = node.home();
    let source = node.publish("audio/mpeg");
    node.push(source, [vec![mp3()], frames(400)].concat());
    let [all, flv] = [node.session(away), node.session(away)];
    for (session, stream) in [(all, mount()), (flv, mount().with_output(Output::Flv))] {
        node.hubs[away].reserve(node.now, session, stream, SeatKind::Listener);
        node.settle();
        let head = Bytes::new();
        node.hubs[away].attach(node.now, session, Sink, head, 0, card());
    }
    assert!(node.playlist(away).contains("#EXTINF"));
    node.push(source, frames(400));
    node.pass(2_000);
    node.hubs[away].note_sent(node.now, &mount(), 7, 1_000_000);
    let before = node.sent();
    let sessions = node.hubs[away].snapshot(node.now, true).sessions;
    let heard = Vec::from_iter(sessions.iter().map(|session| session.bytes));
    assert!(heard.len() == 2 && heard.iter().all(|bytes| *bytes > 20_000));
    assert_eq!(before, 1_000_000 + heard.iter().sum::<u64>());
    for session in [all, flv] {
        node.hubs[away].end_session(node.now, session, EndReason::PeerClosed);
    }
    for _ in 0..41 {
        node.pass(1_000);
    }
    let holdings = node.hubs[away].holdings();
    assert_eq!((holdings.replicas, holdings.watches), (0, 0));
    assert_eq!(node.sent(), before);
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
