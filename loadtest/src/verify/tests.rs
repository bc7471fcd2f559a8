use super::*;

const STREAM: Stream = Stream::new(42);

fn heard(from: u64, to: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    STREAM.write_range(from, to, &mut bytes);
    bytes
}

/// Verifies `bytes` in pieces of `piece` bytes.
fn verify(bytes: &[u8], piece: usize) -> Findings {
    let mut verifier = Verifier::new(STREAM);
    bytes.chunks(piece).for_each(|piece| verifier.push(piece));
    verifier.finish()
}

/// Verifies in pieces of many sizes and checks that the pieces make no difference.
fn check(bytes: &[u8]) -> Findings {
    let findings = verify(bytes, 1_400);
    for piece in [1, 7, 417, 418, 4_096, 1 << 20] {
        assert_eq!(verify(bytes, piece), findings, "pieces of {piece}");
    }
    findings
}

#[test]
fn a_clean_stream_is_flawless_from_any_frame_to_any_byte() {
    for (from, to) in [
        (0, 30_000),
        (frame_start(1_000), frame_start(1_000) + 9_999),
    ] {
        let findings = check(&heard(from, to));
        assert!(findings.flawless(), "{findings:?}");
        assert_eq!(findings.bytes, to - from);
        assert_eq!(findings.unaligned_starts, 0);
        assert!(findings.frames >= (to - from) / 418 - 1);
    }
}

#[test]
fn a_start_inside_a_frame_is_named_but_not_wrong() {
    let findings = check(&heard(frame_start(9) + 100, 20_000));
    assert!(findings.flawless(), "{findings:?}");
    assert_eq!(findings.unaligned_starts, 1);
}

#[test]
fn a_wrong_byte_before_the_first_whole_frame_counts() {
    let mut bytes = heard(frame_start(9) + 100, 20_000);
    bytes[5] ^= 1;
    assert_eq!(check(&bytes).wrong_bytes, 1);
}

#[test]
fn every_flipped_byte_counts_wherever_it_is() {
    let clean = heard(0, 8_000);
    for at in (0..clean.len()).step_by(13) {
        let mut bytes = clean.clone();
        bytes[at] ^= 0x10;
        let findings = verify(&bytes, 1_400);
        assert_eq!(findings.wrong_bytes, 1, "byte {at}: {findings:?}");
        assert_eq!(
            (findings.torn, findings.gaps, findings.repeats),
            (0, 0, 0),
            "byte {at}"
        );
    }
}

#[test]
fn lost_frames_are_a_gap_and_no_wrong_byte() {
    let mut bytes = heard(0, frame_start(10));
    bytes.extend(heard(frame_start(13), frame_start(30)));
    let findings = check(&bytes);
    assert_eq!((findings.gaps, findings.frames_lost), (1, 3));
    assert!(findings.bytes_right());
    assert!(!findings.flawless());
}

#[test]
fn a_frame_that_comes_again_is_a_repeat() {
    let mut bytes = heard(0, frame_start(10));
    bytes.extend(heard(frame_start(9), frame_start(30)));
    let findings = check(&bytes);
    assert_eq!(findings.repeats, 1);
    assert!(!findings.bytes_right());
}

#[test]
fn a_byte_too_many_or_too_few_is_a_tear() {
    let clean = heard(0, 20_000);
    let mut more = clean.clone();
    more.insert(5_000, 0);
    let findings = check(&more);
    assert_eq!(findings.torn, 1, "{findings:?}");
    assert!(!findings.bytes_right());
    let mut less = clean;
    less.remove(5_000);
    let findings = check(&less);
    assert_eq!(findings.torn, 1, "{findings:?}");
    assert!(!findings.bytes_right());
}

#[test]
fn bytes_of_another_source_are_wrong() {
    let mut bytes = Vec::new();
    Stream::new(43).write_range(0, 20_000, &mut bytes);
    let findings = verify(&bytes, 1_400);
    assert!(findings.wrong_bytes > 10_000, "{findings:?}");
    let mut mixed = heard(0, frame_start(20));
    let mut other = Vec::new();
    Stream::new(43).write_range(frame_start(20), frame_start(60), &mut other);
    mixed.extend(other);
    mixed.extend(heard(frame_start(60), frame_start(90)));
    let findings = verify(&mixed, 1_400);
    assert!(findings.wrong_bytes > 10_000, "{findings:?}");
    assert_eq!(findings.torn, 1, "{findings:?}");
}

#[test]
fn the_unfinished_last_frame_is_compared_too() {
    let mut bytes = heard(0, frame_start(20) + 100);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    assert_eq!(check(&bytes).wrong_bytes, 1);
}

#[test]
fn a_gap_just_before_the_end_is_a_gap_however_little_follows() {
    for len in 1..frame_len(40) as u64 {
        for after in [23, 24, 40] {
            let mut bytes = heard(0, frame_start(20));
            bytes.extend(heard(frame_start(after), frame_start(after) + len));
            let findings = verify(&bytes, 1_400);
            assert!(
                findings.bytes_right(),
                "{len} bytes of frame {after}: {findings:?}"
            );
            assert_eq!(
                findings.gaps,
                u64::from(len >= 42),
                "{len} bytes of frame {after}"
            );
        }
    }
}
