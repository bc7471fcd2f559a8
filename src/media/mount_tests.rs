use super::*;
use crate::frame::FrameKind;
use crate::name::ShardId;

const ONE: SessionId = SessionId::new(ShardId(0), 1);
const TWO: SessionId = SessionId::new(ShardId(0), 2);

fn policy() -> Policy {
    Policy {
        takeover: false,
        source_timeout: Duration::from_secs(10),
        fallback: MountName::parse("/backup").ok(),
        wait_max: Duration::from_secs(1),
        quantum_bytes: 0,
        burst_bytes: 0,
    }
}

fn info(content_type: &str) -> Arc<SourceInfo> {
    Arc::new(SourceInfo {
        content_type: content_type.into(),
        ..SourceInfo::default()
    })
}

fn frame(len: usize, kind: FrameKind) -> MediaEvent {
    MediaEvent::Frame(Frame {
        payload: vec![7; len].into(),
        duration_us: 26_122,
        kind,
    })
}

fn runs(mount: &mut Mount) -> Vec<usize> {
    let mut sizes = Vec::new();
    while let Some(update) = mount.poll_update() {
        if let ReplicaUpdate::Run(run) = update {
            sizes.push(run.payload.len());
        }
    }
    sizes
}

fn states(mount: &mut Mount) -> Vec<SourceState> {
    let mut states = Vec::new();
    while let Some(update) = mount.poll_update() {
        if let ReplicaUpdate::State(state) = update {
            states.push(state);
        }
    }
    states
}

#[test]
fn one_source_at_a_time_unless_takeover_is_allowed() {
    let mut mount = Mount::new(policy());
    assert_eq!(
        mount.publish(Time::ZERO, ONE, info("audio/mpeg")),
        Ok(Admitted::Free)
    );
    assert_eq!(
        mount.publish(Time::ZERO, TWO, info("audio/mpeg")),
        Err(InUse)
    );
    mount.set_policy(Policy {
        takeover: true,
        ..policy()
    });
    let taken = mount.publish(Time::ZERO, TWO, info("audio/mpeg"));
    assert_eq!(taken, Ok(Admitted::TookOver(ONE)));
    assert!(
        !mount.unpublish(Time::ZERO, ONE),
        "the old source has no say any more"
    );
    assert_eq!(mount.publisher(), Some(TWO));
}

#[test]
fn runs_are_cut_by_size_and_by_time() {
    let mut mount = Mount::new(policy());
    mount
        .publish(Time::ZERO, ONE, info("audio/mpeg"))
        .expect("free");
    mount.push(Time::ZERO, ONE, vec![frame(417, FrameKind::Entry); 11]);
    assert_eq!(
        runs(&mut mount),
        [417 * 10],
        "4 KiB are a quarter of the quantum"
    );
    assert_eq!(mount.poll_timeout(), Some(Time::from_millis(250)));
    mount.handle_timeout(Time::from_millis(250));
    assert_eq!(runs(&mut mount), [417]);
    mount.push(
        Time::from_millis(300),
        TWO,
        vec![frame(9_000, FrameKind::Entry)],
    );
    assert_eq!(
        mount.bytes_read(),
        417 * 11,
        "a stranger's media is dropped"
    );
}

#[test]
fn instant_mounts_pass_every_read_on() {
    let mut mount = Mount::new(Policy {
        wait_max: Duration::ZERO,
        ..policy()
    });
    mount
        .publish(Time::ZERO, ONE, info("audio/mpeg"))
        .expect("free");
    mount.push(Time::ZERO, ONE, vec![frame(417, FrameKind::Entry)]);
    assert_eq!(runs(&mut mount), [417]);
    assert_eq!(mount.snapshot().pace.period, Duration::ZERO);
}

#[test]
fn a_lost_source_is_waited_for_and_then_given_up() {
    let mut mount = Mount::new(policy());
    mount
        .publish(Time::ZERO, ONE, info("audio/mpeg"))
        .expect("free");
    states(&mut mount);
    assert!(mount.unpublish(Time::from_millis(1_000), ONE));
    assert_eq!(states(&mut mount), [SourceState::Waiting]);
    assert_eq!(mount.poll_timeout(), Some(Time::from_millis(11_000)));
    mount.handle_timeout(Time::from_millis(10_999));
    assert_eq!(mount.state(), SourceState::Waiting);
    mount.handle_timeout(Time::from_millis(11_000));
    let gone = SourceState::Gone {
        fallback: MountName::parse("/backup").ok(),
    };
    assert_eq!(states(&mut mount), [gone]);
    assert_eq!(
        mount.publish(Time::from_millis(12_000), TWO, info("audio/mpeg")),
        Ok(Admitted::Free)
    );
}

#[test]
fn a_source_that_is_not_waited_for_is_gone_at_once() {
    let mut mount = Mount::new(policy());
    mount.give_up();
    mount
        .publish(Time::ZERO, ONE, info("audio/mpeg"))
        .expect("free");
    mount.give_up();
    assert_eq!(
        mount.state(),
        SourceState::Live,
        "there is nothing to wait for"
    );
    mount.unpublish(Time::ZERO, ONE);
    mount.give_up();
    assert!(matches!(mount.state(), SourceState::Gone { .. }));
}

#[test]
fn a_source_that_returns_in_time_keeps_the_burst_of_the_same_kind_only() {
    let mut mount = Mount::new(policy());
    mount
        .publish(Time::ZERO, ONE, info("audio/mpeg; charset=x"))
        .expect("free");
    mount.push(Time::ZERO, ONE, vec![frame(5_000, FrameKind::Entry)]);
    mount.unpublish(Time::ZERO, ONE);
    mount
        .publish(Time::ZERO, TWO, info("Audio/MPEG"))
        .expect("free");
    assert_eq!(mount.snapshot().runs.len(), 1);
    mount.unpublish(Time::ZERO, TWO);
    mount
        .publish(Time::ZERO, ONE, info("application/ogg"))
        .expect("free");
    assert_eq!(mount.snapshot().runs.len(), 0);
}

#[test]
fn the_pace_follows_the_bit_rate() {
    let of = |rate| pace(&policy(), rate);
    assert_eq!(
        (of(128_000).quantum_bytes, of(128_000).period),
        (16_384, Duration::from_secs(1))
    );
    assert_eq!(of(320_000).period, Duration::from_micros(409_600));
    assert_eq!(of(4_000_000).quantum_bytes, 65_536);
    assert_eq!(of(0), of(128_000));
    let forced = pace(
        &Policy {
            quantum_bytes: 1_400,
            ..policy()
        },
        128_000,
    );
    assert_eq!(forced.period, Duration::from_micros(87_500));
}

#[test]
fn titles_and_headers_stand_between_runs() {
    let mut mount = Mount::new(policy());
    mount
        .publish(Time::ZERO, ONE, info("application/ogg"))
        .expect("free");
    while mount.poll_update().is_some() {}
    mount.push(
        Time::ZERO,
        ONE,
        vec![
            frame(10, FrameKind::Entry),
            frame(20, FrameKind::Header),
            MediaEvent::InitHeaders(Bytes::from_static(b"h")),
            MediaEvent::Metadata(Metadata::from_title("t")),
            frame(30, FrameKind::Entry),
        ],
    );
    mount.handle_timeout(Time::from_millis(250));
    let mut order = String::new();
    while let Some(update) = mount.poll_update() {
        order += &match update {
            ReplicaUpdate::Run(run) => format!("run {} ", run.payload.len()),
            ReplicaUpdate::InitHeaders(_) => "headers ".to_owned(),
            ReplicaUpdate::Metadata(_) => "title ".to_owned(),
            other => format!("{other:?} "),
        };
    }
    assert_eq!(order, "run 30 headers title run 30 ");
}
