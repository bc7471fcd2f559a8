//! What is written of odd tracks and units.

use bytes::Bytes;
use corecast_media::track::{Track, TrackCodec};

use super::Writer;
use super::demux::Event;
use super::psi::Program;
use super::tests::{
    PPS, adts, faults, frames, lengths, nals, pes, read, sound, stream, track, tracks, unit, write,
};

#[test]
fn opus_says_lengths_and_channels() {
    let mut sent = vec![tracks(&[track(0, TrackCodec::Opus)])];
    sent.extend([254, 255, 510, 1_275].map(|length| sound(0, length as i64, 1, length)));
    let events = read(&stream(&frames(&write(&mut Writer::new(), &sent))));
    let heads: Vec<Vec<u8>> = pes(&events, 0x100)
        .iter()
        .map(|pes| {
            let length = pes.payload[2..].iter().position(|&byte| byte != 255);
            pes.payload[..3 + length.expect("an end")].to_vec()
        })
        .collect();
    let head = |lengths: &[u8]| [&[0x7f, 0xe0], lengths].concat();
    let expected = [
        head(&[254]),
        head(&[255, 0]),
        head(&[255, 255, 0]),
        head(&[255, 255, 255, 255, 255, 0]),
    ];
    assert_eq!(heads, expected);
    let Some(Event::Program(Program { streams, .. })) = events.first() else {
        panic!("the tables come first");
    };
    assert_eq!(streams[0].registration(), Some(*b"Opus"));
    assert!(streams[0].descriptors.ends_with(&[0x7f, 2, 0x80, 2]));
}

#[test]
fn what_a_transport_stream_cannot_carry_is_left_out() {
    let left_out = [TrackCodec::Av1, TrackCodec::Vp9, TrackCodec::Flac];
    let mut all: Vec<Track> = (0..3)
        .map(|at| track(at, left_out[usize::from(at)]))
        .collect();
    let mut writer = Writer::new();
    assert_eq!(write(&mut writer, &[tracks(&all), sound(2, 0, 1, 9)]), []);
    all.push(track(3, TrackCodec::Ac3));
    let out = write(
        &mut writer,
        &[tracks(&all), sound(2, 0, 1, 9), sound(3, 0, 1, 9)],
    );
    let events = read(&stream(&frames(&out)));
    assert_eq!(faults(&events), []);
    assert_eq!(pes(&events, 0x103).len(), 1);
    // AAC that ADTS has no field for: object type 42, an own rate, channels from a PCE.
    for config in [
        &[0xf9, 0x46, 0x40][..],
        &[0x17, 0x80, 0, 0, 0],
        &[0x11, 0x80],
        &[0x11],
        &[],
    ] {
        let mut odd = track(0, TrackCodec::Aac);
        odd.format.config = Bytes::copy_from_slice(config);
        assert_eq!(
            write(&mut Writer::new(), &[tracks(&[odd]), sound(0, 0, 1, 9)]),
            []
        );
    }
    // Explicit SBR: the header tells the core coder, 24 kHz.
    let mut sbr = track(0, TrackCodec::Aac);
    sbr.format.config = Bytes::from_static(&[0x2b, 0x11, 0x88, 0x00]);
    let out = frames(&write(
        &mut Writer::new(),
        &[tracks(&[sbr]), sound(0, 0, 1, 9)],
    ));
    let events = read(&stream(&out));
    assert_eq!(adts(&pes(&events, 0x100)[0].payload).0, 6);
}

#[test]
fn damaged_units_are_dropped_and_counted() {
    let mut writer = Writer::new();
    let sent = [tracks(&[
        track(0, TrackCodec::H264),
        track(1, TrackCodec::Aac),
    ])];
    write(&mut writer, &sent);
    let bad: [&[u8]; 5] = [&[], &[0, 0], &[0, 0, 0, 9, 1], &[0xff; 9], &[0, 0, 0, 0]];
    for payload in bad {
        let payload = Bytes::copy_from_slice(payload);
        assert_eq!(write(&mut writer, &[unit(0, 0, 0, true, payload)]), []);
    }
    assert_eq!(
        write(&mut writer, &[sound(1, 0, 1, 8_185), sound(1, 0, 1, 0)]),
        []
    );
    assert_eq!(write(&mut writer, &[sound(1, 0, 1, 8_184)]).len(), 1);
    assert_eq!(writer.dropped_units(), 7);
}

#[test]
fn what_the_source_sends_itself_is_not_sent_twice() {
    let delimiter: &[u8] = &[0x09, 0x10];
    let own: &[u8] = &[0x67, 1, 2, 3];
    let payload = lengths(&[delimiter, own, PPS, &[0x65, 1, 2]]);
    let sent = [
        tracks(&[track(0, TrackCodec::H264)]),
        unit(0, 0, 0, true, payload.clone()),
    ];
    let events = read(&stream(&frames(&write(&mut Writer::new(), &sent))));
    assert_eq!(nals(&pes(&events, 0x100)[0].payload, &[]), payload);
}
