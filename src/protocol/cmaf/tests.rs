use std::sync::Arc;

use bytes::Bytes;
use corecast_media::metadata::Metadata;
use corecast_media::track::{Track, TrackCodec, TrackFormat, TrackId};

use super::*;

fn format(codec: TrackCodec, config: &'static [u8]) -> TrackFormat {
    TrackFormat {
        codec,
        config: Bytes::from_static(config),
        rfc6381: Arc::from(""),
        width: 640,
        height: 360,
        frame_rate_millihz: 25_000,
        sample_rate_hz: 44_100,
        channels: 2,
    }
}

fn sample(payload: &'static [u8], duration: u32, offset: i32, keyframe: bool) -> Sample {
    Sample {
        payload: Bytes::from_static(payload),
        duration_ticks: duration,
        composition_offset_ticks: offset,
        keyframe,
    }
}

fn fragment(codec: TrackCodec, samples: &[Sample]) -> Fragment<'_> {
    Fragment {
        sequence: 7,
        track: TrackId(3),
        codec,
        decode_time_ticks: 1 << 40,
        samples,
        events: &[],
        produced: None,
    }
}

#[test]
fn a_fragment_says_what_it_was_given() {
    let samples = [
        sample(b"key", 3_600, 7_200, true),
        sample(b"b-frame", 3_601, -3_600, false),
        sample(b"", 3_599, 0, false),
    ];
    let bytes = write_fragment(&fragment(TrackCodec::H264, &samples));
    let read = reader::read_fragments(&bytes).expect("our own boxes");
    let [read] = &read[..] else {
        panic!("{read:?}")
    };
    assert_eq!((read.sequence, read.track_id), (7, FILE_TRACK_ID));
    assert_eq!(read.decode_time_ticks, 1 << 40);
    assert_eq!(read.duration_ticks(), 10_800);
    assert_eq!(read.samples.len(), samples.len());
    for (read, written) in read.samples.iter().zip(&samples) {
        assert_eq!(read.payload, &written.payload[..]);
        assert_eq!(read.duration_ticks, written.duration_ticks);
        assert_eq!(
            read.composition_offset_ticks,
            i64::from(written.composition_offset_ticks)
        );
        assert_eq!(read.keyframe, written.keyframe);
    }
}

#[test]
fn a_header_says_the_format() {
    let track = Track {
        id: TrackId(3),
        format: format(TrackCodec::H264, b"\x01\x64\0\x1f"),
    };
    let bytes = write_init(&track);
    let init = reader::read_init(&bytes).expect("our own boxes");
    assert_eq!((init.track_id, init.timescale), (FILE_TRACK_ID, 90_000));
    assert_eq!((init.width, init.height), (640, 360));
    assert_eq!((&init.handler, &init.entry), (b"vide", b"avc1"));
    let avcc = reader::child(init.config, *b"avcC").expect("the configuration");
    assert_eq!(avcc.body, b"\x01\x64\0\x1f");
}

#[test]
fn titles_and_the_clock_stand_in_front() {
    let samples = [sample(b"a", 1_024, 0, true)];
    let events = [TimedId3 {
        id: 9,
        timescale: 44_100,
        time_ticks: 5,
        metadata: Metadata::from_title("T"),
    }];
    let mut fragment = fragment(TrackCodec::Aac, &samples);
    fragment.events = &events;
    fragment.produced = Some(Produced {
        unix_nanos: 1_500_000_000,
    });
    let bytes = write_fragment(&fragment);
    let kinds: Vec<_> = reader::atoms(&bytes)
        .map(|atom| atom.expect("our own boxes").kind)
        .collect();
    assert_eq!(kinds, [*b"prft", *b"emsg", *b"moof", *b"mdat"]);
    let prft = reader::child(&bytes, *b"prft").expect("the clock").body;
    let expected = [
        &[1, 0, 0, 24, 0, 0, 0, 1][..],
        &2_208_988_801_u32.to_be_bytes(),
        &0x8000_0000_u32.to_be_bytes(),
        &(1_u64 << 40).to_be_bytes(),
    ];
    assert_eq!(prft, expected.concat());
}

/// The entry's type and the boxes in it.
fn entry(format: TrackFormat) -> ([u8; 4], Vec<u8>) {
    let track = Track {
        id: TrackId(0),
        format,
    };
    let bytes = write_init(&track);
    let init = reader::read_init(&bytes).expect("our own boxes");
    (init.entry, init.config.to_vec())
}

/// A box by hand.
fn atom(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 8).expect("a short box");
    [&length.to_be_bytes()[..], kind, body].concat()
}

/// Checks the entry of `codec` with `config`.
fn check_entry(codec: TrackCodec, config: &[u8], kind: &[u8; 4], boxes: &[u8]) {
    let mut format = format(codec, b"");
    format.config = Bytes::copy_from_slice(config);
    assert_eq!(entry(format), (*kind, boxes.to_vec()), "{codec}");
}

#[test]
fn pictures_have_their_entries() {
    check_entry(
        TrackCodec::H265,
        b"\x01hevc",
        b"hvc1",
        &atom(b"hvcC", b"\x01hevc"),
    );
    let av1 = [0x81, 0, 12];
    check_entry(TrackCodec::Av1, &av1, b"av01", &atom(b"av1C", &av1));
    let vp9 = [0, 31, 0x83, 9, 16, 9, 0, 0];
    let record = [&[1, 0, 0, 0], &vp9[..]].concat();
    let colr = atom(b"colr", b"nclx\0\x09\0\x10\0\x09\x80");
    let boxes = [atom(b"vpcC", &record), colr].concat();
    check_entry(TrackCodec::Vp9, &vp9, b"vp09", &boxes);
    // Some send the box's version too.
    check_entry(TrackCodec::Vp9, &record, b"vp09", &boxes);
}

/// `esds` for `object`, with the descriptor `specific`.
fn esds(object: u8, specific: &[u8]) -> Vec<u8> {
    let decoder = 13 + specific.len() as u8;
    let stream = 3 + 5 + decoder + 5 + 1;
    let head = [3, 0x80, 0x80, 0x80, stream, 0, 0, 0, 4, 0x80, 0x80, 0x80];
    let head = [&[0; 4], &head[..], &[decoder, object, 0x15], &[0; 11]].concat();
    let tail = [6, 0x80, 0x80, 0x80, 1, 2];
    atom(b"esds", &[&head, specific, &tail[..]].concat())
}

#[test]
fn sounds_have_their_entries() {
    let specific = esds(0x40, &[5, 0x80, 0x80, 0x80, 2, 0x12, 0x10]);
    check_entry(TrackCodec::Aac, &[0x12, 0x10], b"mp4a", &specific);
    check_entry(TrackCodec::Mp3, &[], b"mp4a", &esds(0x6b, &[]));
    for (head, dops) in [
        (
            &b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\xff\xfe\0"[..],
            &b"\0\x02\x01\x38\0\0\xbb\x80\xfe\xff\0"[..],
        ),
        (
            b"OpusHead\x01\x06\x38\x01\x80\xbb\0\0\0\0\x01\x04\x02\0\x04\x01\x02\x03\x05",
            b"\0\x06\x01\x38\0\0\xbb\x80\0\0\x01\x04\x02\0\x04\x01\x02\x03\x05",
        ),
    ] {
        check_entry(TrackCodec::Opus, head, b"Opus", &atom(b"dOps", dops));
    }
    let info = b"\x10\0\x10\0\0\0\0\0\0\0\x17\x70\x03\x70\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let boxes = atom(b"dfLa", &[b"\0\0\0\0\x80\0\0\x22", &info[..]].concat());
    check_entry(TrackCodec::Flac, info, b"fLaC", &boxes);
    // 44.1 kHz, stereo, and what is not known is zero; or as it was given.
    for (config, dac3) in [(&[][..], [0x50, 0x10, 0]), (&[1, 2, 3], [1, 2, 3])] {
        check_entry(TrackCodec::Ac3, config, b"ac-3", &atom(b"dac3", &dac3));
    }
    for (config, dec3) in [
        (&[][..], [0, 0, 0x60, 0x04, 0]),
        (&[1, 2, 3, 4, 5], [1, 2, 3, 4, 5]),
    ] {
        check_entry(TrackCodec::Eac3, config, b"ec-3", &atom(b"dec3", &dec3));
    }
}

#[test]
fn clocks_and_fields_fit_the_sound() {
    for (codec, rate_hz, timescale, entry_hz) in [
        (TrackCodec::Aac, 22_050, 22_050, 22_050_u16),
        (TrackCodec::Opus, 44_100, 48_000, 48_000),
        (TrackCodec::Flac, 96_000, 96_000, 48_000),
        (TrackCodec::Flac, 352_800, 352_800, 44_100),
        (TrackCodec::Mp3, 0, 48_000, 48_000),
    ] {
        let mut format = format(codec, b"");
        format.sample_rate_hz = rate_hz;
        assert_eq!(super::timescale(&format), timescale);
        let track = Track {
            id: TrackId(0),
            format,
        };
        let bytes = write_init(&track);
        let path = [*b"moov", *b"trak", *b"mdia", *b"minf", *b"stbl", *b"stsd"];
        let stsd = reader::descend(&bytes, &path).expect("our own boxes");
        // Full box, count, the entry's header and 24 bytes in front of the rate.
        assert_eq!(
            stsd.get(40..44),
            Some(&(u32::from(entry_hz) << 16).to_be_bytes()[..])
        );
    }
}

#[test]
fn cut_files_are_faults_and_no_panics() {
    let samples = [
        sample(b"key", 3_600, 7_200, true),
        sample(b"more", 3_601, 0, false),
    ];
    let track = Track {
        id: TrackId(0),
        format: format(TrackCodec::H264, b"\x01\x64\0\x1f"),
    };
    let init = write_init(&track);
    let whole = write_fragment(&fragment(TrackCodec::H264, &samples));
    for length in 0..init.len() {
        assert!(reader::read_init(&init[..length]).is_err(), "{length}");
    }
    for length in 1..whole.len() {
        assert!(
            reader::read_fragments(&whole[..length]).is_err(),
            "{length}"
        );
    }
    assert_eq!(reader::read_fragments(&[]), Ok(Vec::new()));
    // A sample that is said to be longer than the file.
    let mut longer = whole.to_vec();
    let size = whole.windows(4).position(|field| field == [0, 0, 0, 4]);
    longer[size.expect("the second sample's size") + 2] = 1;
    assert_eq!(
        reader::read_fragments(&longer),
        Err(reader::Malformed::Outside)
    );
    let short = [0, 0, 0, 7, b'f', b'r', b'e', b'e'];
    assert_eq!(
        reader::read_fragments(&short),
        Err(reader::Malformed::Length)
    );
    let empty = atom(b"free", b"").repeat(reader::BOXES_MAX + 1);
    assert_eq!(
        reader::read_fragments(&empty),
        Err(reader::Malformed::TooMany)
    );
}

#[test]
fn packed_sound_says_its_time() {
    let samples = [
        sample(b"one", 1_152, 0, true),
        sample(b"two", 1_152, 0, true),
    ];
    let events = [TimedId3 {
        id: 1,
        timescale: 44_100,
        time_ticks: 0,
        metadata: Metadata::from_title("T"),
    }];
    // 2^33 ticks of 90 kHz and one second more.
    let time_ticks = (1_u64 << 33) * 44_100 / 90_000 + 44_100;
    let bytes = write_packed(time_ticks, 44_100, &samples, &events);
    let title = id3::tag(&Metadata::from_title("T"));
    let (tag, rest) = bytes.split_at(10 + 10 + 45 + 8);
    assert_eq!(rest, [&title[..], b"onetwo"].concat());
    assert!(tag.starts_with(b"ID3\x04\0\0\0\0\0\x3fPRIV\0\0\0\x35\0\0com.apple."));
    let (_, pts) = tag.split_last_chunk::<8>().expect("a tag");
    assert!((89_998..=90_000).contains(&u64::from_be_bytes(*pts)));
    assert!(is_packed_only(TrackCodec::Mp3) && !is_packed_only(TrackCodec::Aac));
}
