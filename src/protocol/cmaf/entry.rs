//! Sample entries: how each codec stands in `stsd`, with its configuration (ISO/IEC 14496-12
//! section 8.5.2 and the codecs' own bindings).

use corecast_media::track::{TrackCodec, TrackFormat};

use super::atom::Writer;

/// Sections 12.1.3.2: 72 pixels per inch, as 16.16.
const RESOLUTION: u32 = 0x0048_0000;

/// The only entry of `dref`.
const DATA_REFERENCE: u16 = 1;

/// What the sound's samples are said to be wide where the codec does not tell.
const SAMPLE_BITS: u16 = 16;

/// ISO/IEC 14496-1 table 5: what the descriptor's decoder takes.
const OBJECT_AAC: u8 = 0x40;
const OBJECT_MP3_MPEG2: u8 = 0x69;
const OBJECT_MP3_MPEG1: u8 = 0x6b;

/// Above this rate layer III is MPEG-1's (ISO/IEC 13818-3 section 1.1 has 24 kHz and less).
const MPEG2_RATE_MAX_HZ: u32 = 24_000;

/// Writes the entry for `format`.
pub(super) fn write(stsd: &mut Writer, format: &TrackFormat) {
    let config = &format.config[..];
    match format.codec {
        TrackCodec::H264 => visual(stsd, *b"avc1", format, |entry| {
            entry.atom(*b"avcC", |avcc| avcc.slice(config));
        }),
        TrackCodec::H265 => visual(stsd, *b"hvc1", format, |entry| {
            entry.atom(*b"hvcC", |hvcc| hvcc.slice(config));
        }),
        TrackCodec::Av1 => visual(stsd, *b"av01", format, |entry| {
            entry.atom(*b"av1C", |av1c| av1c.slice(config));
        }),
        TrackCodec::Vp9 => visual(stsd, *b"vp09", format, |entry| vp9(entry, config)),
        TrackCodec::Aac => audio(stsd, *b"mp4a", format, SAMPLE_BITS, |entry| {
            elementary(entry, OBJECT_AAC, config);
        }),
        TrackCodec::Mp3 => audio(stsd, *b"mp4a", format, SAMPLE_BITS, |entry| {
            let is_mpeg2 = (1..=MPEG2_RATE_MAX_HZ).contains(&format.sample_rate_hz);
            let object = if is_mpeg2 {
                OBJECT_MP3_MPEG2
            } else {
                OBJECT_MP3_MPEG1
            };
            elementary(entry, object, &[]);
        }),
        TrackCodec::Opus => audio(stsd, *b"Opus", format, SAMPLE_BITS, |entry| {
            entry.atom(*b"dOps", |dops| opus(dops, format));
        }),
        TrackCodec::Flac => audio(stsd, *b"fLaC", format, flac_bits(config), |entry| {
            // "Encapsulation of FLAC in ISO Base Media File Format" section 3.3.2.
            entry.full(*b"dfLa", 0, 0, |dfla| {
                let length = u32::try_from(config.len()).unwrap_or(0) & 0x00ff_ffff;
                dfla.u32(0x8000_0000 | length);
                dfla.slice(config);
            });
        }),
        TrackCodec::Ac3 => audio(stsd, *b"ac-3", format, SAMPLE_BITS, |entry| {
            entry.atom(*b"dac3", |dac3| ac3(dac3, format));
        }),
        TrackCodec::Eac3 => audio(stsd, *b"ec-3", format, SAMPLE_BITS, |entry| {
            entry.atom(*b"dec3", |dec3| eac3(dec3, format));
        }),
    }
}

/// ISO/IEC 14496-12 section 12.1.3.2.
fn visual(
    stsd: &mut Writer,
    kind: [u8; 4],
    format: &TrackFormat,
    config: impl FnOnce(&mut Writer),
) {
    stsd.atom(kind, |entry| {
        entry.zeros(6);
        entry.u16(DATA_REFERENCE);
        entry.zeros(16);
        entry.u16(format.width);
        entry.u16(format.height);
        entry.u32(RESOLUTION);
        entry.u32(RESOLUTION);
        entry.u32(0);
        entry.u16(1);
        entry.zeros(32);
        entry.u16(0x18);
        entry.u16(u16::MAX);
        config(entry);
    });
}

/// Section 12.2.3.2.
fn audio(
    stsd: &mut Writer,
    kind: [u8; 4],
    format: &TrackFormat,
    sample_bits: u16,
    config: impl FnOnce(&mut Writer),
) {
    // Rates of more than 16 bits do not fit: the nearest that divides them, as FLAC's binding says.
    let mut rate_hz = super::timescale(format);
    while rate_hz > u32::from(u16::MAX) {
        rate_hz /= 2;
    }
    stsd.atom(kind, |entry| {
        entry.zeros(6);
        entry.u16(DATA_REFERENCE);
        entry.zeros(8);
        entry.u16(u16::from(format.channels));
        entry.u16(sample_bits);
        entry.u32(0);
        entry.u32(rate_hz << 16);
        config(entry);
    });
}

/// `vpcC` ("VP Codec ISO Media File Format Binding" section "Syntax"). Some encoders send the
/// record with the box's version in front.
fn vp9(entry: &mut Writer, config: &[u8]) {
    const VERSION_1: [u8; 4] = [1, 0, 0, 0];
    let record = config.strip_prefix(&VERSION_1).unwrap_or(config);
    entry.full(*b"vpcC", 1, 0, |vpcc| vpcc.slice(record));
    // Profile, level, bits; then the primaries, the transfer and the matrix of ISO/IEC 23091-2.
    if let [_, _, bits, primaries, transfer, matrix, ..] = *record {
        entry.atom(*b"colr", |colr| {
            colr.slice(b"nclx");
            colr.u16(u16::from(primaries));
            colr.u16(u16::from(transfer));
            colr.u16(u16::from(matrix));
            colr.u8((bits & 1) << 7);
        });
    }
}

/// `esds` (ISO/IEC 14496-14 section 5.6.1): the descriptors of ISO/IEC 14496-1 section 7.2.6.
fn elementary(entry: &mut Writer, object: u8, config: &[u8]) {
    const HEADER_BYTES: usize = 5;
    let specific_bytes = if config.is_empty() {
        0
    } else {
        HEADER_BYTES + config.len()
    };
    let decoder_bytes = 13 + specific_bytes;
    let stream_bytes = 3 + HEADER_BYTES + decoder_bytes + HEADER_BYTES + 1;
    entry.full(*b"esds", 0, 0, |esds| {
        descriptor(esds, 3, stream_bytes);
        esds.u16(0);
        esds.u8(0);
        descriptor(esds, 4, decoder_bytes);
        esds.u8(object);
        // Audio, upstream 0, reserved 1; buffer and bit rates are not known.
        esds.u8(0x15);
        esds.zeros(11);
        if !config.is_empty() {
            descriptor(esds, 5, config.len());
            esds.slice(config);
        }
        // Section 7.3.2.3: predefined for MP4.
        descriptor(esds, 6, 1);
        esds.u8(2);
    });
}

/// A descriptor's tag and its length in four bytes of seven bits (section 8.3.3).
fn descriptor(esds: &mut Writer, tag: u8, bytes: usize) {
    esds.u8(tag);
    for shift in [21, 14, 7, 0] {
        let more = if shift == 0 { 0 } else { 0x80 };
        esds.u8(((bytes >> shift) & 0x7f) as u8 | more);
    }
}

/// "Encapsulation of Opus in ISO Base Media File Format" section 4.3.2: the identification header
/// (RFC 7845 section 5.1) in the other byte order.
fn opus(dops: &mut Writer, format: &TrackFormat) {
    let head = format.config.strip_prefix(b"OpusHead".as_slice());
    dops.u8(0);
    let Some(
        [
            _version,
            channels,
            s0,
            s1,
            r0,
            r1,
            r2,
            r3,
            g0,
            g1,
            family,
            mapping @ ..,
        ],
    ) = head
    else {
        dops.u8(format.channels.clamp(1, 2));
        dops.zeros(2);
        dops.u32(super::timescale(format));
        dops.zeros(3);
        return;
    };
    dops.u8(*channels);
    dops.slice(&[*s1, *s0, *r3, *r2, *r1, *r0, *g1, *g0]);
    // Section 5.1.1: family 0 has no table; the others have two counts and one byte a channel.
    let table = mapping.get(..2 + usize::from(*channels));
    match table.filter(|_| *family != 0) {
        Some(table) => {
            dops.u8(*family);
            dops.slice(table);
        }
        None => dops.u8(0),
    }
}

/// Bits of one sample (RFC 9639 section 8.2).
fn flac_bits(stream_info: &[u8]) -> u16 {
    match stream_info.get(12..14) {
        Some(&[high, low]) => u16::from(((high & 1) << 4) | (low >> 4)) + 1,
        _ => SAMPLE_BITS,
    }
}

/// ETSI TS 102 366 annex F.4. A configuration of the box's size is taken as the box's body; the
/// stream's own frames say the rest again.
fn ac3(dac3: &mut Writer, format: &TrackFormat) {
    const BYTES: usize = 3;
    if format.config.len() == BYTES {
        return dac3.slice(&format.config);
    }
    let (mode, has_lfe) = channel_mode(format.channels);
    let bits =
        (rate_code(format.sample_rate_hz) << 22) | (8 << 17) | (mode << 11) | (has_lfe << 10);
    let [_, bytes @ ..] = bits.to_be_bytes();
    dac3.slice(&bytes);
}

/// Annex F.6: one independent substream.
fn eac3(dec3: &mut Writer, format: &TrackFormat) {
    const BYTES_MIN: usize = 5;
    if format.config.len() >= BYTES_MIN {
        return dec3.slice(&format.config);
    }
    let (mode, has_lfe) = channel_mode(format.channels);
    let bits = (rate_code(format.sample_rate_hz) << 22) | (16 << 17) | (mode << 9) | (has_lfe << 8);
    let [_, bytes @ ..] = bits.to_be_bytes();
    dec3.u16(0);
    dec3.slice(&bytes);
}

/// Section 4.4.1.3.
fn rate_code(sample_rate_hz: u32) -> u32 {
    match sample_rate_hz {
        44_100 => 1,
        32_000 => 2,
        _ => 0,
    }
}

/// The usual coding mode of so many channels, and whether one of them is for low frequencies
/// (section 4.4.2.3).
fn channel_mode(channels: u8) -> (u32, u32) {
    match channels {
        1 => (1, 0),
        3 => (3, 0),
        4 => (6, 0),
        5 => (7, 0),
        6.. => (7, 1),
        _ => (2, 0),
    }
}
