//! Headers that encoders made (x264, x265, Kvazaar, SVT-AV1, libaom, libvpx, LAME and FFmpeg's
//! own), and what has gone wrong in some.

use bytes::Bytes;

use super::*;
use crate::track::{TrackCodec, TrackFormat};

/// Bytes of a text of hexadecimal digits.
fn hex(text: &str) -> Bytes {
    let digits: Vec<u8> = text
        .chars()
        .filter(|digit| !digit.is_whitespace())
        .map(|digit| digit.to_digit(16).expect("a digit") as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

/// Size and thousandths of frames a second, or rate and channels.
fn summary(format: &TrackFormat) -> (String, (u16, u16, u32), (u32, u8)) {
    (
        format.rfc6381.to_string(),
        (format.width, format.height, format.frame_rate_millihz),
        (format.sample_rate_hz, format.channels),
    )
}

fn check_config(codec: TrackCodec, config: &str, rfc6381: &str, picture: (u16, u16, u32)) {
    let config = hex(config);
    let format = describe::from_config(codec, &config).expect("a configuration");
    assert_eq!(summary(&format), (rfc6381.to_owned(), picture, (0, 0)));
    assert_eq!(format.config, config);
    // Whatever is cut off: an answer or a fault, and no more than that.
    for end in 0..config.len() {
        let _ = describe::from_config(codec, &config.slice(..end));
    }
}

/// High, 4:2:2 with 10 bits, constrained baseline, interlaced with scaling lists, 4:4:4.
const H264: [(&str, &str, (u16, u16, u32)); 6] = [
    (
        "0164000dffe100196764000dacd941519e226c04400000fa40003a9803c50a658001000468ef8fcbfdf8f800",
        "avc1.64000d",
        (322, 182, 29_970),
    ),
    (
        "017a000dffe1001a677a000db6cd941519e222f01100000303e90000ea600f1429960100\
         0468ef8fcbfefafa00",
        "avc1.7a000d",
        (322, 182, 29_970),
    ),
    (
        "0142c00cffe100196742c00cd901419f9f011000000300100000030320f142a48001000568cb83cb20",
        "avc1.42c00c",
        (320, 180, 25_000),
    ),
    (
        "01640015ffe1001c67640015acd941433f27fe019e01a02000007d20000ea603e28532c00100\
         0468fe8fcbfdf8f800",
        "avc1.640015",
        (320, 180, 14_985),
    ),
    (
        "01640020ffe1002467640020acd940500bbf2e0220000003002000000c8c08001e848003d0949a701f162d96\
         01000768fba3cb3002c0fdf8f800",
        "avc1.640020",
        (1_280, 720, 50_000),
    ),
    (
        "01f4002affe1001a67f4002a919b280f0044fc4e022000007d20003a9801e30632c001000668ebe3c44844ff\
         f8f800",
        "avc1.f4002a",
        (1_920, 1_080, 59_940),
    ),
];

#[test]
fn h264_configurations_say_profile_size_and_rate() {
    for (config, rfc6381, picture) in H264 {
        let config: String = config.split_whitespace().collect();
        check_config(TrackCodec::H264, &config, rfc6381, picture);
    }
}

#[test]
fn h264_records_are_written_as_they_were_read() {
    for (config, ..) in H264.iter().take(5) {
        let record = hex(&config.split_whitespace().collect::<String>());
        let parsed = h264::Config::parse(&record).expect("a record");
        assert_eq!(parsed.record(), record);
        let again = h264::Config::from_parameter_sets(parsed.sps.clone(), parsed.pps.clone());
        assert_eq!(again, Ok(parsed));
    }
    assert!(h264::Config::from_parameter_sets(vec![], vec![]).is_err());
}

/// Parameter sets of x265 (scaling lists and a buffering model; layers and the high tier with
/// 4:2:2; 12 bits) and of Kvazaar.
const H265: [(&str, &str, (u16, u16, u32)); 5] = [
    (
        "42010101600000030090000003000003007ba003c08010e596566924e5780b40400000fa40003a98\
         05261f8003d090007a1220",
        "hvc1.1.6.L123.90",
        (1_920, 1_080, 59_940),
    ),
    (
        "4201022408000003009d080000030000990000b0112069c93e59598acd24995e02d01000003e9\
         00005dc0080",
        "hvc1.4.10.H153.9d.8",
        (130, 98, 23_976),
    ),
    (
        "420101040800000300998800000300003ca00a080c1f394a595952930bc05a02000003000200\
         0003003210",
        "hvc1.4.10.L60.99.88",
        (320, 180, 25_000),
    ),
    (
        "4201020160000003008000000300000300ba0000a003c08010e5b04021924cab0101000003\
         03e90000ea6008",
        "hvc1.1.6.L186.80",
        (1_920, 1_080, 59_940),
    ),
    (
        "4201020160000003008000000300000300ba0000a00280802d16c100864932ac0404000003000\
         400000300c820",
        "hvc1.1.6.L186.80",
        (1_280, 720, 50_000),
    ),
];

#[test]
fn hevc_configurations_are_made_of_parameter_sets_and_read_back() {
    let vps = hex("40010c01ffff01600000030090000003000003007b959809");
    let pps = hex("4401c172b46240");
    for (sps, rfc6381, picture) in H265 {
        let sps = hex(&sps.split_whitespace().collect::<String>());
        let sets = vec![pps.clone(), sps, vps.clone()];
        let made = h265::Config::from_parameter_sets(sets).expect("parameter sets");
        let record = made.record();
        assert_eq!(h265::Config::parse(&record), Ok(made));
        let record: String = record.iter().map(|byte| format!("{byte:02x}")).collect();
        check_config(TrackCodec::H265, &record, rfc6381, picture);
    }
    assert!(h265::Config::from_parameter_sets(vec![vps, pps]).is_err());
}

#[test]
fn av1_configurations_say_profile_size_and_colours() {
    for (config, rfc6381, picture) in [
        (
            "81000c000a0b0200000521e836a017c002",
            "av01.0.00M.08",
            (322, 182, 0),
        ),
        (
            "81004c000a0b000000043d06d4daf94040",
            "av01.0.00M.10",
            (322, 182, 0),
        ),
        (
            "81090c000a0f0200004a955dfe1b805f0204040208",
            "av01.0.09M.08.0.110.02.02.01.0",
            (1_920, 1_080, 0),
        ),
        (
            "814048000a0b400000043cfeccdaf94080",
            "av01.2.00M.10.0.100.02.02.02.0",
            (320, 180, 0),
        ),
    ] {
        check_config(TrackCodec::Av1, config, rfc6381, picture);
        let record = hex(config);
        let parsed = av1::Config::parse(&record).expect("a record");
        assert_eq!(av1::record(&parsed.sequence), Ok(record));
    }
}

#[test]
fn av1_units_are_keyframes_with_their_sequence_header() {
    let content = |unit: &Bytes| {
        av1::Content::parse(unit).map(|content| (content.is_keyframe(), content.picture))
    };
    // A delimiter, a sequence header and the start of a key frame, of a size that fits.
    let key = hex("12000a0b000000043d06d4daf9404032041011 8f3c"
        .replace(' ', "")
        .as_str());
    assert_eq!(content(&key), Ok((true, true)));
    let bare = av1::without_delimiter(&key).expect("units");
    assert_eq!(*bare, key[2..]);
    assert_eq!(av1::without_delimiter(&bare), Ok(bare.clone()));
    // A key frame alone, an inter frame, one that is shown again.
    assert_eq!(content(&hex("320110")), Ok((false, true)));
    assert_eq!(content(&hex("320128")), Ok((false, true)));
    assert_eq!(content(&hex("1a01d8")), Ok((false, true)));
    assert_eq!(content(&hex("3205ff")), Err(HeaderFault::Truncated));
    assert_eq!(content(&Bytes::new()), Ok((false, false)));
}

#[test]
fn vp9_says_in_keyframes_what_it_is() {
    for (config, rfc6381) in [
        ("010000000128860202020000", "vp09.01.40.08"),
        ("0228a20202020000", "vp09.02.40.10"),
    ] {
        check_config(TrackCodec::Vp9, config, rfc6381, (0, 0, 0));
    }
    let record = hex("0228a20202020000");
    let parsed = vp9::Config::parse(&record).expect("a record");
    assert_eq!(parsed.record(), record);
    for (frame, rfc6381, picture) in [
        ("824983420014100b560638", "vp09.00.11.08", (322, 182, 0)),
        ("a2498342000efe086ec0c7", "vp09.01.40.08", (1_920, 1_080, 0)),
        ("92498342003bf821bb031c", "vp09.02.40.10", (1_920, 1_080, 0)),
    ] {
        let format = describe::from_unit(TrackCodec::Vp9, &hex(frame)).expect("a keyframe");
        assert_eq!(summary(&format), (rfc6381.to_owned(), picture, (0, 0)));
        let described = describe::from_config(TrackCodec::Vp9, &format.config);
        assert_eq!(described.expect("made here").rfc6381, format.rfc6381);
    }
    let inter = hex("a6004092f121400601");
    assert!(!vp9::FrameHeader::parse(&inter).expect("a frame").is_key);
    assert!(describe::from_unit(TrackCodec::Vp9, &inter).is_err());
}

/// Coding, configuration or nothing, unit; the `codecs` parameter, rate and channels, nanoseconds.
type Heard = (
    TrackCodec,
    &'static str,
    &'static str,
    &'static str,
    (u32, u8),
    u64,
);

const OPUS: &str = "4f707573486561640102380180bb0000000000";
const OPUS_SURROUND: &str = "4f707573486561640106380180bb00000000010402000401020305";
const FLAC: &str = "10001000000000000000 0bb802f0 00000000 00000000000000000000000000000000";
const AC3: &str = "0b77fe95144043e106";
const EAC3: &str = "0b77037f3f87c00020";

#[rustfmt::skip]
const HEARD: [Heard; 8] = [
    (TrackCodec::Aac, "1190", "21", "mp4a.40.2", (48_000, 2), 21_333_333),
    (TrackCodec::Opus, OPUS, "fc", "Opus", (48_000, 2), 20_000_000),
    (TrackCodec::Opus, OPUS_SURROUND, "0b06", "Opus", (48_000, 6), 120_000_000),
    (TrackCodec::Flac, FLAC, "fff8caa800", "fLaC", (48_000, 2), 85_333_333),
    (TrackCodec::Mp3, "", "fffb50c4", "mp4a.40.34", (44_100, 1), 26_122_449),
    (TrackCodec::Mp3, "", "fff35000", "mp4a.40.34", (22_050, 2), 26_122_449),
    (TrackCodec::Ac3, "", AC3, "ac-3", (48_000, 2), 32_000_000),
    (TrackCodec::Eac3, "", EAC3, "ec-3", (48_000, 6), 32_000_000),
];

#[test]
fn sound_says_rate_channels_and_duration() {
    for (codec, config, unit, rfc6381, sound, nanos) in HEARD {
        let unit = hex(unit);
        let format = if config.is_empty() {
            describe::from_unit(codec, &unit)
        } else {
            describe::from_config(codec, &hex(config))
        };
        let format = format.expect("sound");
        assert_eq!(summary(&format), (rfc6381.to_owned(), (0, 0, 0), sound));
        assert_eq!(describe::sound_nanos(&format, &unit), nanos, "{codec}");
        for end in 0..unit.len() {
            let _ = describe::from_unit(codec, &unit[..end]);
            let _ = describe::sound_nanos(&format, &unit[..end]);
        }
    }
    // Each of them is not the other.
    for (codec, unit) in [
        (TrackCodec::Ac3, EAC3),
        (TrackCodec::Eac3, AC3),
        (TrackCodec::Mp3, "fffd5000"),
    ] {
        assert!(describe::from_unit(codec, &hex(unit)).is_err());
    }
}

#[test]
fn ac3_headers_give_lengths_and_boxes() {
    let plain = ac3::Header::parse(&hex("0b77fe95144043e106")).expect("a header");
    // 192 kbit/s at 48 kHz.
    assert_eq!(plain.frame_bytes, 768);
    assert_eq!(plain.specific_box(), [0x10, 0x11, 0x40]);
    let enhanced = ac3::Header::parse(&hex("0b77037f3f87c00020")).expect("a header");
    assert_eq!(enhanced.frame_bytes, 1_792);
    // 448 kbit/s, one substream, five channels and the low one.
    assert_eq!(enhanced.specific_box(), [0x0e, 0x00, 0x20, 0x0f, 0x00]);
}

#[test]
fn flac_headers_are_found_with_all_that_may_stand_around_them() {
    let block = [7u8; 34];
    let with_header = [&[0x80, 0, 0, 34][..], &block].concat();
    let whole = [b"fLaC", &with_header[..]].concat();
    for header in [
        &block[..],
        &with_header,
        &whole,
        &[&whole[..], b"more"].concat(),
    ] {
        assert_eq!(sound::stream_info(header), Ok(&block[..]));
    }
    assert_eq!(sound::stream_info(b"fLaC"), Err(HeaderFault::Truncated));
}

/// A payload of units with lengths of four bytes.
fn payload(units: &[&str]) -> Bytes {
    let mut payload = Vec::new();
    for unit in units {
        let unit = hex(unit);
        payload.extend_from_slice(&(unit.len() as u32).to_be_bytes());
        payload.extend_from_slice(&unit);
    }
    payload.into()
}

#[test]
fn h264_keyframes_are_known_by_what_they_hold() {
    for (units, flagged, expected) in [
        // An IDR picture, whatever the container says.
        (&["0605ff", "658884"][..], false, true),
        (&["419a24"], true, false),
        // A recovery point behind another message, and an intra picture that is flagged.
        (&["0601013206010580", "419a24"], false, true),
        (&["060502060180", "419a24"], false, false),
        (&["4188842f"], true, true),
        (&["4188842f"], false, false),
        (&["6742"], true, false),
    ] {
        let content = h264::Content::parse(&payload(units)).expect("whole");
        assert_eq!(content.is_keyframe(flagged), expected, "{units:?}");
    }
    assert!(h264::Content::parse(&[0, 0, 0, 9, 1]).is_err());
}

#[test]
fn parameter_sets_among_pictures_take_the_place_of_those_with_their_number() {
    let (config, ..) = H264[0];
    let config = hex(config);
    let changed = |units: &[&str]| {
        describe::changed_config(TrackCodec::H264, &config, &payload(units))
            .map(|config| describe::from_config(TrackCodec::H264, &config).expect("made here"))
    };
    let (same, other) = (
        "67640 00dacd941519e226c04400000fa40003a9803c50a6580",
        "6742c00cd901419f9f011000000300100000030320f142a480",
    );
    let same = same.replace(' ', "");
    assert_eq!(changed(&[&same, "68ef8fcb", "658884"]), None);
    assert_eq!(changed(&["658884"]), None);
    let format = changed(&[other, "68ef8fcb", "658884"]).expect("another size");
    assert_eq!((format.width, format.height), (320, 180));
    // Without a configuration, one is made of them.
    let units = payload(&[&same, "68ef8fcb", "658884"]);
    let made = describe::from_unit(TrackCodec::H264, &units).expect("sets");
    assert_eq!(
        made,
        describe::from_config(TrackCodec::H264, &config).expect("a record")
    );
    assert!(describe::from_unit(TrackCodec::H264, &payload(&["658884"])).is_err());
    // One that cannot be read changes nothing.
    assert_eq!(changed(&["6742c0", "658884"]), None);
    // Another number is another set.
    let more = changed(&["6853", "658884"]).expect("one more");
    let sets = h264::Config::parse(&more.config).expect("a record").pps;
    assert_eq!(sets, [hex("68ef8fcb"), hex("6853")]);

    let sets = |sps: usize| {
        let sps = H265[sps].0.split_whitespace().collect::<String>();
        vec![hex(&sps), hex("4401c172b46240")]
    };
    let config = h265::Config::from_parameter_sets(sets(0)).expect("parameter sets");
    let changed = |sps: usize| {
        let units: Vec<String> = sets(sps)
            .iter()
            .map(|set| set.iter().map(|byte| format!("{byte:02x}")).collect())
            .collect();
        let units: Vec<&str> = units.iter().map(String::as_str).collect();
        describe::changed_config(TrackCodec::H265, &config.record(), &payload(&units))
    };
    assert_eq!(changed(0), None);
    let config = changed(4).expect("another size");
    let format = describe::from_config(TrackCodec::H265, &config).expect("made here");
    assert_eq!((format.width, format.height), (1_280, 720));

    let config = hex("81004c000a0b000000043d06d4daf94040");
    let changed = |unit: &str| describe::changed_config(TrackCodec::Av1, &config, &hex(unit));
    assert_eq!(
        changed(
            "0a0b000000043d06d4daf940403201 10"
                .replace(' ', "")
                .as_str()
        ),
        None
    );
    let other = "0a0b400000043cfeccdaf94080";
    let config = changed(&format!("{other}320110")).expect("another header");
    assert_eq!(config, hex(&format!("81404800{other}")));
}

#[test]
fn hevc_keyframes_are_random_access_pictures() {
    for (unit, expected) in [
        ("2801ac", true),
        ("2a01ac", true),
        ("2001", true),
        ("0201d0", false),
        ("4001", false),
    ] {
        let content = h265::Content::parse(&payload(&[unit])).expect("whole");
        assert_eq!(content.irap, expected, "{unit}");
    }
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    // Cropped to nothing: 16 by 16 less 8 units of two on the left.
    let bits = "01100111 01000010 00000000 00001010 1 1 1 1 011 0 1 1 1 1 1 0001001 1 1 1 0 1";
    let digits: Vec<u8> = bits.bytes().filter(|byte| *byte != b' ').collect();
    let unit: Vec<u8> = digits
        .chunks(8)
        .map(|byte| byte.iter().fold(0, |value, bit| value << 1 | (bit - b'0')) << (8 - byte.len()))
        .collect();
    let fault = h264::Sps::parse(&unit);
    assert_eq!(fault, Err(HeaderFault::Invalid("size of pictures")));
}
