//! What is written is read again: every packet in order, every time, every byte.

use std::sync::Arc;

use bytes::Bytes;
use corecast_media::frame::{Frame, FrameKind, MediaEvent};
use corecast_media::track::{AccessUnit, MediaTime, Track, TrackCodec, TrackFormat, TrackId};

use super::demux::{Event, Fault, Pes, Reader};
use super::elementary::stream_type;
use super::mux::{LEAD_NS, PCR_EVERY_NS, TABLES_EVERY_NS};
use super::packet::PACKET_BYTES;
use super::psi::Program;
use super::{PCR_PER_TICK, PCR_WRAP, Writer};
use crate::output::StreamWriter;

/// 320x180 at 25 Hz, as an encoder wrote them.
const SPS: &[u8] = &[
    0x67, 0x4d, 0x40, 0x0c, 0xec, 0xa0, 0xa0, 0xcf, 0xcf, 0x80, 0x88, 0, 0, 3, 0, 8, 0, 0, 3, 1,
    0x90, 0x78, 0xa1, 0x4c, 0xb0,
];
pub(super) const PPS: &[u8] = &[0x68, 0xce, 0x0f, 0xc8];
/// 320x180 at 25 Hz, as an encoder wrote them.
const HEVC_SETS: [&[u8]; 3] = [
    &[
        0x40, 1, 0x0c, 1, 0xff, 0xff, 1, 0x60, 0, 0, 3, 0, 0x90, 0, 0, 3, 0, 0, 3, 0, 0x3c, 0x95,
        0x94, 9,
    ],
    &[
        0x42, 1, 1, 1, 0x60, 0, 0, 3, 0, 0x90, 0, 0, 3, 0, 0, 3, 0, 0x3c, 0xa0, 0x0a, 8, 0x0c,
        0x1f, 0x3e, 0x59, 0x59, 0x52, 0x93, 0x0b, 0xc0, 0x5a, 2, 0, 0, 3, 0, 2, 0, 0, 3, 0, 0x32,
        0x10,
    ],
    &[0x44, 1, 0xc0, 0x73, 0xc1, 0x89],
];

fn avc_config() -> Vec<u8> {
    let mut config = vec![1, 0x4d, 0x40, 0x0c, 0xff, 0xe1, 0, SPS.len() as u8];
    config.extend_from_slice(SPS);
    config.extend_from_slice(&[1, 0, PPS.len() as u8]);
    config.extend_from_slice(PPS);
    config
}

fn hevc_config() -> Vec<u8> {
    let mut config = vec![0; 22];
    config.push(3);
    for (set, kind) in HEVC_SETS.iter().zip([32_u8, 33, 34]) {
        config.extend_from_slice(&[0x80 | kind, 0, 1, 0, set.len() as u8]);
        config.extend_from_slice(set);
    }
    config
}

fn opus_config(channels: u8) -> Vec<u8> {
    let mut head = b"OpusHead\x01".to_vec();
    head.extend_from_slice(&[channels, 0x38, 1, 0x80, 0xbb, 0, 0, 0, 0, 0]);
    head
}

pub(super) fn track(id: u8, codec: TrackCodec) -> Track {
    let config = match codec {
        TrackCodec::H264 => avc_config(),
        TrackCodec::H265 => hevc_config(),
        // AAC-LC, 48 kHz, stereo.
        TrackCodec::Aac => vec![0x11, 0x90],
        TrackCodec::Opus => opus_config(2),
        _ => Vec::new(),
    };
    let format = TrackFormat {
        codec,
        config: config.into(),
        rfc6381: "".into(),
        width: 0,
        height: 0,
        frame_rate_millihz: 0,
        sample_rate_hz: 48_000,
        channels: 2,
    };
    Track {
        id: TrackId(id),
        format,
    }
}

pub(super) fn tracks(tracks: &[Track]) -> MediaEvent {
    MediaEvent::Tracks(Arc::from(tracks))
}

/// `length` bytes that follow from `seed`, none of which makes a start code.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let byte = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695);
        (state >> 56) as u8 | 1
    };
    (0..length).map(byte).collect()
}

/// One NAL unit of a picture behind its length.
fn picture(codec: TrackCodec, keyframe: bool, seed: u64, length: usize) -> Bytes {
    let mut nal = match (codec, keyframe) {
        (TrackCodec::H265, true) => vec![0x26, 1],
        (TrackCodec::H265, false) => vec![0x02, 1],
        (_, true) => vec![0x65],
        (_, false) => vec![0x41],
    };
    nal.extend(noise(seed, length));
    lengths(&[&nal])
}

pub(super) fn lengths(nals: &[&[u8]]) -> Bytes {
    let mut bytes = Vec::new();
    for nal in nals {
        bytes.extend_from_slice(&(nal.len() as u32).to_be_bytes());
        bytes.extend_from_slice(nal);
    }
    bytes.into()
}

pub(super) fn unit(
    track: u8,
    dts_ms: i64,
    pts_ms: i64,
    keyframe: bool,
    payload: Bytes,
) -> MediaEvent {
    MediaEvent::Unit(AccessUnit {
        track: TrackId(track),
        dts: MediaTime::from_millis(dts_ms),
        pts: MediaTime::from_millis(pts_ms),
        keyframe,
        payload,
    })
}

pub(super) fn sound(track: u8, dts_ms: i64, seed: u64, length: usize) -> MediaEvent {
    unit(track, dts_ms, dts_ms, true, noise(seed, length).into())
}

/// Pictures at 25 Hz with a keyframe each second and B-frames, and sound each 21 ms, in the order
/// of their decoding, from `start_ms` on.
pub(super) fn program(
    video: TrackCodec,
    audio: TrackCodec,
    start_ms: i64,
    length_ms: i64,
) -> Vec<MediaEvent> {
    let mut units = Vec::new();
    for number in 0..length_ms / 40 {
        let dts_ms = number * 40;
        let keyframe = number % 25 == 0;
        let length = if keyframe {
            30_000
        } else {
            900 + number as usize * 7
        };
        let payload = picture(video, keyframe, number as u64, length);
        let delay_ms = [80, 160, 40, 0][number as usize % 4];
        units.push((
            dts_ms,
            unit(
                0,
                start_ms + dts_ms,
                start_ms + dts_ms + delay_ms,
                keyframe,
                payload,
            ),
        ));
    }
    for number in 0..length_ms / 21 {
        let dts_ms = number * 21;
        units.push((
            dts_ms,
            sound(
                1,
                start_ms + dts_ms,
                number as u64,
                200 + number as usize % 180,
            ),
        ));
    }
    units.sort_by_key(|(dts_ms, _)| *dts_ms);
    let mut events = vec![tracks(&[track(0, video), track(1, audio)])];
    events.extend(units.into_iter().map(|(_, unit)| unit));
    events
}

pub(super) fn write(writer: &mut Writer, events: &[MediaEvent]) -> Vec<MediaEvent> {
    let mut out = Vec::new();
    for event in events {
        writer.write(event, &mut out);
    }
    out
}

pub(super) fn frames(out: &[MediaEvent]) -> Vec<Frame> {
    let frame = |event: &MediaEvent| match event {
        MediaEvent::Frame(frame) => Some(frame.clone()),
        _ => None,
    };
    out.iter().filter_map(frame).collect()
}

pub(super) fn stream(frames: &[Frame]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        assert_eq!(frame.payload.len() % PACKET_BYTES, 0);
        bytes.extend_from_slice(&frame.payload);
    }
    bytes
}

pub(super) fn read(bytes: &[u8]) -> Vec<Event> {
    let (mut reader, mut events) = (Reader::new(), Vec::new());
    reader.push(bytes, &mut events);
    reader.finish(&mut events);
    events
}

pub(super) fn faults(events: &[Event]) -> Vec<Fault> {
    let fault = |event: &Event| match event {
        Event::Fault(fault) => Some(*fault),
        _ => None,
    };
    events.iter().filter_map(fault).collect()
}

pub(super) fn pes<'a>(events: &'a [Event], pid: u16) -> Vec<&'a Pes> {
    let pes = |event: &'a Event| match event {
        Event::Pes(pes) if pes.pid == pid => Some(pes),
        _ => None,
    };
    events.iter().filter_map(pes).collect()
}

/// The NAL units behind start codes, without those that the writer adds.
pub(super) fn nals(payload: &[u8], added: &[&[u8]]) -> Bytes {
    let starts: Vec<usize> = (0..payload.len())
        .filter(|&at| payload[at..].starts_with(&[0, 0, 0, 1]))
        .chain([payload.len()])
        .collect();
    let nals = starts.windows(2).map(|pair| &payload[pair[0] + 4..pair[1]]);
    lengths(&nals.filter(|nal| !added.contains(nal)).collect::<Vec<_>>())
}

/// Index of the rate, channels and length of an ADTS frame (ISO/IEC 14496-3 table 1.A.6).
pub(super) fn adts(frame: &[u8]) -> (u8, u8, usize) {
    let &[0xff, 0xf1, b2, b3, b4, b5, _] = frame.first_chunk().expect("a header") else {
        panic!("no sync word: {:?}", &frame[..7]);
    };
    let length = usize::from(b3 & 3) << 11 | usize::from(b4) << 3 | usize::from(b5 >> 5);
    ((b2 >> 2) & 0xf, (b2 & 1) << 2 | b3 >> 6, length)
}

fn ticks(ms: i64) -> u64 {
    ((ms + 10_000) * 90).rem_euclid(1 << 33) as u64
}

/// Checks payloads and times of the units of one track, with `open` to take the payload's new
/// form off.
fn check_units(sent: &[MediaEvent], found: &[&Pes], id: u8, open: impl Fn(&[u8]) -> Bytes) {
    let units: Vec<&AccessUnit> = sent
        .iter()
        .filter_map(|event| match event {
            MediaEvent::Unit(unit) if unit.track == TrackId(id) => Some(unit),
            _ => None,
        })
        .collect();
    assert_eq!(units.len(), found.len());
    for (unit, pes) in units.iter().zip(found) {
        assert_eq!(open(&pes.payload), unit.payload);
        let (pts, dts) = (ticks(unit.pts.as_millis()), ticks(unit.dts.as_millis()));
        assert_eq!((pes.pts, pes.dts.unwrap_or(pts)), (Some(pts), dts));
    }
}

/// What holds for the clock and the tables of every stream without jumps.
fn check_clock(events: &[Event], packets: &[u8]) {
    let mut last: Option<u64> = None;
    let every = (PCR_EVERY_NS * 27 / 1_000) as u64;
    let mut now = None;
    let mut references = 0;
    for event in events {
        match event {
            Event::Pcr(pcr) => {
                assert!(!pcr.discontinuity);
                let step = last.map(|last| (pcr.ticks + PCR_WRAP - last) % PCR_WRAP);
                assert!(
                    step.is_none_or(|step| step > 0 && step <= every),
                    "{step:?}"
                );
                (last, now) = (Some(pcr.ticks), Some(pcr.ticks / PCR_PER_TICK));
                references += 1;
            }
            Event::Pes(pes) => {
                // A decoder has time, and not for ever.
                let dts = pes.dts.or(pes.pts).expect("a time");
                let ahead = dts.wrapping_sub(now.expect("a clock before")) & ((1 << 33) - 1);
                let lead = LEAD_NS as u64 * 9 / 100_000;
                assert!(ahead >= lead / 2 && ahead <= 2 * lead, "{ahead}");
            }
            _ => {}
        }
    }
    assert!(references > 1);
    let (mut now, mut tables) = (0, None);
    for packet in packets.chunks_exact(PACKET_BYTES) {
        let packet = super::packet::Packet::parse(packet.try_into().expect("a packet"));
        let packet = packet.expect("a packet");
        now = packet.adaptation.pcr.unwrap_or(now);
        if packet.pid == super::psi::PID_PMT {
            let step = tables.map_or(0, |last| (now + PCR_WRAP - last) % PCR_WRAP);
            // The clock is read up to 40 ms before.
            assert!(step as i64 <= (TABLES_EVERY_NS + PCR_EVERY_NS) * 27 / 1_000);
            tables = Some(now).filter(|now| *now > 0);
        }
    }
}

#[test]
fn every_coding_of_video_comes_out_as_it_went_in() {
    let added = |codec| match codec {
        TrackCodec::H264 => vec![&[0x09, 0xf0][..], SPS, PPS],
        _ => [&[&[0x46, 1, 0x50][..]][..], &HEVC_SETS].concat(),
    };
    for codec in [TrackCodec::H264, TrackCodec::H265] {
        let sent = program(codec, TrackCodec::Aac, 0, 5_000);
        let out = frames(&write(&mut Writer::new(), &sent));
        assert_eq!(out.len(), sent.len() - 1);
        let bytes = stream(&out);
        let events = read(&bytes);
        assert_eq!(faults(&events), []);
        check_clock(&events, &bytes);
        let video = pes(&events, 0x100);
        check_units(&sent, &video, 0, |payload| nals(payload, &added(codec)));
        check_units(&sent, &pes(&events, 0x101), 1, |payload| {
            // 48 kHz is the third of the table.
            assert_eq!(adts(payload), (3, 2, payload.len()));
            Bytes::copy_from_slice(&payload[7..])
        });
        for (at, pes) in video.iter().enumerate() {
            // A delimiter before all, the sets before keyframes.
            assert_eq!(pes.random_access, at % 25 == 0);
            let first = [&[0, 0, 0, 1][..], added(codec)[0], &[0, 0, 0, 1]].concat();
            assert!(pes.payload.starts_with(&first));
            let sets = added(codec)[1..].iter().all(|set| {
                pes.payload
                    .windows(set.len())
                    .take(120)
                    .any(|window| window == *set)
            });
            assert_eq!(sets, at % 25 == 0);
        }
    }
}

#[test]
fn every_coding_of_sound_comes_out_as_it_went_in() {
    let codings = [
        (TrackCodec::Aac, stream_type::ADTS, 7),
        (TrackCodec::Mp3, stream_type::MPEG1_AUDIO, 0),
        (TrackCodec::Ac3, stream_type::AC3, 0),
        (TrackCodec::Eac3, stream_type::EAC3, 0),
        (TrackCodec::Opus, stream_type::PRIVATE, 3),
    ];
    for (codec, stream_type, header_bytes) in codings {
        let mut sent = vec![tracks(&[track(5, codec)])];
        // Below 255 bytes, so that Opus has one byte of length.
        sent.extend((0..200).map(|at| sound(5, at * 20, at as u64, 1 + at as usize)));
        let out = frames(&write(&mut Writer::new(), &sent));
        let bytes = stream(&out);
        let events = read(&bytes);
        assert_eq!(faults(&events), []);
        check_clock(&events, &bytes);
        check_units(&sent, &pes(&events, 0x105), 5, |payload| {
            Bytes::copy_from_slice(&payload[header_bytes..])
        });
        let Some(Event::Program(program)) = events.first() else {
            panic!("the tables come first");
        };
        assert_eq!(program.pcr_pid, 0x105);
        assert_eq!(program.streams[0].stream_type, stream_type);
        // Joiners come in at least as often as the tables stand there.
        let entries = out.iter().filter(|frame| frame.kind == FrameKind::Entry);
        assert!((40..=60).contains(&entries.count()), "{codec}");
        let played_us: u32 = out.iter().map(|frame| frame.duration_us).sum();
        assert_eq!(played_us, 199 * 20_000);
    }
}

#[test]
fn a_joiner_at_any_entry_reads_without_a_fault() {
    let sent = program(TrackCodec::H264, TrackCodec::Aac, 0, 4_000);
    let out = write(&mut Writer::new(), &sent);
    let Some(MediaEvent::InitHeaders(headers)) = out.first() else {
        panic!("the tables come first");
    };
    let frames = frames(&out);
    let entries: Vec<usize> = (0..frames.len())
        .filter(|&at| frames[at].kind == FrameKind::Entry)
        .collect();
    assert_eq!(entries.len(), 4);
    for at in entries {
        let joined = [headers.as_ref(), &stream(&frames[at..])].concat();
        let events = read(&joined);
        assert_eq!(faults(&events), []);
        assert!(matches!(events[..2], [Event::Program(_), Event::Pcr(_)]));
        assert!(pes(&events, 0x100)[0].random_access);
        // The tables also stand in the stream itself.
        let alone = read(&stream(&frames[at..]));
        assert!(matches!(alone[0], Event::Program(_)));
    }
}

#[test]
fn times_wrap_at_33_bits() {
    // The clock wraps after 4 of 8 seconds, and once more for a source that counts below zero.
    for wrap_ms in [(1_i64 << 33) / 90 - 14_000, -14_000] {
        let sent = program(TrackCodec::H264, TrackCodec::Aac, wrap_ms, 8_000);
        let bytes = stream(&frames(&write(&mut Writer::new(), &sent)));
        let events = read(&bytes);
        assert_eq!(faults(&events), []);
        check_clock(&events, &bytes);
        check_units(&sent, &pes(&events, 0x100), 0, |payload| {
            nals(payload, &[&[0x09, 0xf0], SPS, PPS])
        });
        let times: Vec<u64> = pes(&events, 0x101)
            .iter()
            .filter_map(|pes| pes.pts)
            .collect();
        let falls = times.windows(2).filter(|pair| pair[1] < pair[0]).count();
        assert_eq!(falls, 1);
    }
}

#[test]
fn a_jump_of_the_clock_is_said_once_and_before_its_first_unit() {
    for (second_ms, jumps) in [(60_000, 1), (-500_000, 1), (8_900, 0)] {
        let mut sent = program(TrackCodec::H264, TrackCodec::Aac, 0, 3_000);
        sent.extend_from_slice(&program(
            TrackCodec::H264,
            TrackCodec::Aac,
            second_ms,
            3_000,
        ));
        let events = read(&stream(&frames(&write(&mut Writer::new(), &sent))));
        assert_eq!(faults(&events), []);
        let is_jump = |event: &Event| matches!(event, Event::Pcr(pcr) if pcr.discontinuity);
        assert_eq!(events.iter().filter(|event| is_jump(event)).count(), jumps);
        if jumps > 0 {
            let jump = events.iter().position(is_jump).expect("a jump");
            let after = ticks(second_ms);
            let first = events.iter().position(
                |event| matches!(event, Event::Pes(pes) if pes.dts.or(pes.pts) >= Some(after)),
            );
            if second_ms > 0 {
                assert!(jump < first.expect("a unit of the new clock"));
            }
        }
    }
}

#[test]
fn late_sound_stays_ahead_of_the_clock() {
    let mut sent = vec![tracks(&[
        track(0, TrackCodec::H264),
        track(1, TrackCodec::Aac),
    ])];
    for number in 0..200_i64 {
        let keyframe = number % 50 == 0;
        let payload = picture(TrackCodec::H264, keyframe, number as u64, 500);
        sent.push(unit(0, number * 40, number * 40, keyframe, payload));
        // 900 ms behind the pictures.
        let at = number * 40 - 900;
        sent.push(sound(1, at, 1, 100));
        sent.push(sound(1, at + 20, 2, 100));
    }
    let events = read(&stream(&frames(&write(&mut Writer::new(), &sent))));
    assert_eq!(faults(&events), []);
    let mut clock = 0;
    for event in &events[30..] {
        match event {
            Event::Pcr(pcr) => {
                assert!(pcr.ticks > clock);
                clock = pcr.ticks;
            }
            Event::Pes(pes) => {
                let dts = pes.dts.or(pes.pts).expect("a time");
                assert!(dts * PCR_PER_TICK > clock, "too late");
            }
            _ => {}
        }
    }
}

#[test]
fn pictures_that_stop_keep_neither_the_clock_nor_the_joiners() {
    let mut sent = vec![tracks(&[
        track(0, TrackCodec::H264),
        track(1, TrackCodec::Aac),
    ])];
    let payload = picture(TrackCodec::H264, true, 1, 500);
    sent.push(unit(0, 0, 0, true, payload));
    sent.extend((0..500).map(|at| sound(1, at * 20, at as u64, 300)));
    let out = frames(&write(&mut Writer::new(), &sent));
    let bytes = stream(&out);
    let events = read(&bytes);
    assert_eq!(faults(&events), []);
    let last = events.iter().rev().find_map(|event| match event {
        Event::Pcr(pcr) => Some(pcr.ticks / PCR_PER_TICK),
        _ => None,
    });
    assert!(last.expect("a clock") > ticks(9_000));
    assert!(
        out[1..90]
            .iter()
            .all(|frame| frame.kind == FrameKind::Inner)
    );
    assert!(
        out[110..]
            .iter()
            .any(|frame| frame.kind == FrameKind::Entry)
    );
}

#[test]
fn a_change_of_tracks_is_told_to_present_readers_once() {
    let mut writer = Writer::new();
    let mut out = write(
        &mut writer,
        &program(TrackCodec::H264, TrackCodec::Aac, 0, 1_000),
    );
    // Other parameter sets alone change no table.
    let mut other = track(0, TrackCodec::H264);
    other.format.config = Bytes::from_static(&[1, 0, 0, 0, 0xff, 0xe1, 0, 2, 0x67, 9, 0]);
    assert_eq!(
        write(&mut writer, &[tracks(&[other, track(1, TrackCodec::Aac)])]),
        []
    );
    let change = write(
        &mut writer,
        &program(TrackCodec::H265, TrackCodec::Mp3, 1_000, 1_000),
    );
    let kinds: Vec<FrameKind> = frames(&change[..1])
        .iter()
        .map(|frame| frame.kind)
        .collect();
    assert_eq!(kinds, [FrameKind::Header]);
    assert!(matches!(change[1], MediaEvent::InitHeaders(_)));
    out.extend(change);
    let events = read(&stream(&frames(&out)));
    assert_eq!(faults(&events), []);
    let programs: Vec<&Program> = events
        .iter()
        .filter_map(|event| match event {
            Event::Program(program) => Some(program),
            _ => None,
        })
        .collect();
    assert_eq!(programs.len(), 2);
    assert_eq!([programs[0].version, programs[1].version], [0, 1]);
    assert_eq!(programs[1].streams[0].registration(), Some(*b"HEVC"));
}

#[test]
fn many_tracks_make_tables_of_several_packets() {
    let all: Vec<Track> = (0..16).map(|id| track(id, TrackCodec::Opus)).collect();
    let mut sent = vec![tracks(&all)];
    sent.extend((0..16).map(|id| sound(id, 0, 1, 60)));
    let events = read(&stream(&frames(&write(&mut Writer::new(), &sent))));
    assert_eq!(faults(&events), []);
    let Some(Event::Program(program)) = events.first() else {
        panic!("the tables come first");
    };
    assert_eq!(program.streams.len(), 16);
    assert!((0..16).all(|id| pes(&events, 0x100 + id).len() == 1));
}

#[test]
fn long_pictures_go_out_without_a_length() {
    let sizes = [100, 65_000, 65_600, 400_000];
    let mut sent = vec![tracks(&[track(0, TrackCodec::H264)])];
    for (at, size) in sizes.into_iter().enumerate() {
        let payload = picture(TrackCodec::H264, true, 3, size);
        sent.push(unit(0, at as i64 * 40, at as i64 * 40, true, payload));
    }
    let events = read(&stream(&frames(&write(&mut Writer::new(), &sent))));
    assert_eq!(faults(&events), []);
    check_units(&sent, &pes(&events, 0x100), 0, |payload| {
        nals(payload, &[&[0x09, 0xf0], SPS, PPS])
    });
}
