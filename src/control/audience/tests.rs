//! Visits, hours and kinds.

use std::net::SocketAddr;

use corecast_media::name::{SessionId, ShardId};
use corecast_mesh::message::EndReason;

use super::agent::CLASSES;
use super::*;

const VLC: &str = "VLC/3.0.20 LibVLC/3.0.20";

fn live() -> MountName {
    MountName::parse("/live").expect("a good name")
}

fn peer(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 1_000))
}

fn ended(last: u8, user_agent: &str, ms: u64) -> AccessRecord {
    AccessRecord {
        session: SessionId::default(),
        peer: peer(last),
        user: None,
        request: "GET /live HTTP/1.1".into(),
        status: 200,
        bytes: 1,
        referer: "".into(),
        user_agent: user_agent.into(),
        duration: Duration::from_millis(ms),
        reason: EndReason::PeerClosed,
        mount: Some(live()),
    }
}

fn there(last: u8, user_agent: &str, since_ms: u64) -> SessionReport {
    SessionReport {
        session: SessionId::new(ShardId(0), since_ms),
        publisher: false,
        mount: live(),
        peer: peer(last),
        user_agent: user_agent.into(),
        since: Time::from_millis(since_ms),
        bytes: 0,
        lag: Duration::ZERO,
    }
}

fn audience() -> Audience {
    Audience::new(Arc::new(ControlProbe::new()))
}

fn numbers(audience: &mut Audience, at_ms: u64, sessions: &[SessionReport]) -> Numbers {
    let all = audience.count(Time::from_millis(at_ms), sessions);
    all.get(&live()).cloned().unwrap_or_default()
}

#[test]
fn a_player_that_looks_and_comes_back_is_one_visit() {
    let mut audience = audience();
    audience.handle_ended(Time::from_millis(10_500), &ended(1, VLC, 500));
    audience.handle_ended(Time::from_millis(11_000), &ended(1, VLC, 300));
    let now = numbers(&mut audience, 20_000, &[there(1, VLC, 12_000)]);
    let total = now.total();
    assert_eq!((total.listeners, total.visits, now.unique), (1, 1, 1));
    assert_eq!(total.listened, Duration::from_millis(8_800));
    // An hour later it goes: still one.
    audience.handle_ended(Time::from_millis(3_612_000), &ended(1, VLC, 3_600_000));
    assert_eq!(numbers(&mut audience, 3_612_000, &[]).total().visits, 1);
    // The next one is another visit.
    audience.handle_ended(Time::from_millis(3_620_000), &ended(1, VLC, 5_000));
    assert_eq!(numbers(&mut audience, 3_620_000, &[]).total().visits, 2);
}

#[test]
fn others_late_ones_and_long_ones_are_visits_of_their_own() {
    for (what, first, second) in [
        (
            "another agent",
            ended(1, VLC, 500),
            ended(1, "mpv 1", 4_000),
        ),
        ("another address", ended(1, VLC, 500), ended(2, VLC, 4_000)),
        ("a long first", ended(1, VLC, 2_000), ended(1, VLC, 4_000)),
        ("too late", ended(1, VLC, 500), ended(1, VLC, 2_900)),
    ] {
        let mut audience = audience();
        audience.handle_ended(Time::from_millis(10_000), &first);
        audience.handle_ended(Time::from_millis(18_000), &second);
        assert_eq!(
            numbers(&mut audience, 20_000, &[]).total().visits,
            2,
            "{what}"
        );
    }
}

#[test]
fn two_behind_one_address_are_two() {
    let mut audience = audience();
    let sessions = [
        there(1, VLC, 1_000),
        there(1, VLC, 2_000),
        there(1, "mpv 1", 2_000),
    ];
    let now = numbers(&mut audience, 10_000, &sessions);
    assert_eq!(
        (now.total().listeners, now.total().visits, now.unique),
        (3, 3, 2)
    );
    let of = |class: &str| {
        let at = CLASSES
            .iter()
            .position(|name| *name == class)
            .expect("a kind");
        now.classes[at].listeners
    };
    assert_eq!((of("vlc"), of("mpv_ffmpeg"), of("other")), (2, 1, 0));
}

#[test]
fn sources_errors_and_pages_are_no_listeners() {
    let mut audience = audience();
    let source = AccessRecord {
        request: "PUT /live HTTP/1.1".into(),
        ..ended(1, VLC, 10_000)
    };
    let refused = AccessRecord {
        status: 503,
        ..ended(1, VLC, 10_000)
    };
    let page = AccessRecord {
        mount: None,
        ..ended(1, VLC, 10_000)
    };
    for record in [source, refused, page] {
        audience.handle_ended(Time::from_millis(20_000), &record);
    }
    let publisher = SessionReport {
        publisher: true,
        ..there(1, VLC, 0)
    };
    assert_eq!(
        numbers(&mut audience, 20_000, &[publisher]).total(),
        Tally::default()
    );
}

#[test]
fn what_peers_do_costs_bounded_memory() {
    let mut audience = audience();
    for visit in 0..PROBES_MAX + 100 {
        let agent = format!("agent {visit}");
        audience.handle_ended(Time::from_millis(10_000), &ended(1, &agent, 1));
    }
    assert_eq!(
        (audience.probes.len(), audience.order.len()),
        (PROBES_MAX, PROBES_MAX)
    );
    for mount in 0..MOUNTS_MAX + 10 {
        let record = AccessRecord {
            mount: MountName::parse(&format!("/m{mount}")).ok(),
            ..ended(1, VLC, 10_000)
        };
        audience.handle_ended(Time::from_millis(20_000), &record);
    }
    assert_eq!(audience.past.len(), MOUNTS_MAX);
}
