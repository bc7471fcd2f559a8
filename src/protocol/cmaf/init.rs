//! The header of a rendition: `ftyp` and `moov` without samples (ISO/IEC 14496-12 section 8.8,
//! ISO/IEC 23000-19 section 7.3.1).

use bytes::Bytes;
use corecast_media::track::{Track, TrackCodec, TrackFormat, TrackKind};

use super::FILE_TRACK_ID;
use super::atom::Writer;
use super::entry;

/// Ticks per second of every video track (CMAF leaves it open; this holds all usual frame rates).
const VIDEO_TIMESCALE: u32 = 90_000;

/// Ticks per second of every Opus track (RFC 7845 section 4: Opus is decoded at 48 kHz).
const OPUS_TIMESCALE: u32 = 48_000;

/// Ticks per second where a sound's rate is not known.
const FALLBACK_TIMESCALE: u32 = 48_000;

/// The unity matrix of ISO/IEC 14496-12 section 8.2.2.2.
const UNITY_MATRIX: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];

/// The language `und`, packed (section 8.4.2.3).
const LANGUAGE_UNDETERMINED: u16 = 0x55c4;

/// What a header takes beside the decoder's configuration; a hint for the allocation only.
const HEADER_BYTES_USUAL: usize = 768;

/// Ticks per second of the clock of a rendition with `format`: 90,000 for video, the sampling rate
/// for sound (48,000 for Opus, and where the rate is not known). Never 0.
pub fn timescale(format: &TrackFormat) -> u32 {
    match (format.codec.kind(), format.codec) {
        (TrackKind::Video, _) => VIDEO_TIMESCALE,
        (TrackKind::Audio, TrackCodec::Opus) => OPUS_TIMESCALE,
        (TrackKind::Audio, _) if format.sample_rate_hz == 0 => FALLBACK_TIMESCALE,
        (TrackKind::Audio, _) => format.sample_rate_hz,
    }
}

/// The header of the rendition that carries `track` alone. What [`TrackFormat`] does not know is
/// written as zero; the file's track is always [`FILE_TRACK_ID`].
pub fn write_init(track: &Track) -> Bytes {
    let format = &track.format;
    let mut writer = Writer::with_capacity(HEADER_BYTES_USUAL + format.config.len());
    writer.atom(*b"ftyp", |ftyp| {
        ftyp.slice(b"iso6");
        ftyp.u32(0);
        // ISO/IEC 23000-19 section 7.2: not cmf2, which wants negative composition offsets.
        for brand in [b"iso6", b"cmfc"] {
            ftyp.slice(brand);
        }
    });
    writer.atom(*b"moov", |moov| {
        write_mvhd(moov, timescale(format));
        moov.atom(*b"trak", |trak| {
            write_tkhd(trak, format);
            trak.atom(*b"mdia", |mdia| write_mdia(mdia, format));
        });
        moov.atom(*b"mvex", |mvex| {
            // Section 8.8.3: the sample description; all else is said in every fragment.
            mvex.full(*b"trex", 0, 0, |trex| {
                trex.u32(FILE_TRACK_ID);
                trex.u32(1);
                trex.zeros(12);
            });
        });
    });
    writer.finish()
}

/// Section 8.2.2; the duration is not known.
fn write_mvhd(moov: &mut Writer, timescale: u32) {
    moov.full(*b"mvhd", 0, 0, |mvhd| {
        mvhd.zeros(8);
        mvhd.u32(timescale);
        mvhd.u32(0);
        mvhd.u32(0x1_0000);
        mvhd.u16(0x100);
        mvhd.zeros(10);
        UNITY_MATRIX.iter().for_each(|&value| mvhd.u32(value));
        mvhd.zeros(24);
        mvhd.u32(FILE_TRACK_ID + 1);
    });
}

/// Section 8.3.2: a track that is enabled and in the movie.
fn write_tkhd(trak: &mut Writer, format: &TrackFormat) {
    let is_audio = format.codec.kind() == TrackKind::Audio;
    trak.full(*b"tkhd", 0, 0b11, |tkhd| {
        tkhd.zeros(8);
        tkhd.u32(FILE_TRACK_ID);
        tkhd.zeros(16);
        tkhd.u16(0);
        tkhd.u16(u16::from(is_audio));
        tkhd.u16(if is_audio { 0x100 } else { 0 });
        tkhd.u16(0);
        UNITY_MATRIX.iter().for_each(|&value| tkhd.u32(value));
        tkhd.u32(u32::from(format.width) << 16);
        tkhd.u32(u32::from(format.height) << 16);
    });
}

fn write_mdia(mdia: &mut Writer, format: &TrackFormat) {
    let kind = format.codec.kind();
    mdia.full(*b"mdhd", 0, 0, |mdhd| {
        mdhd.zeros(8);
        mdhd.u32(timescale(format));
        mdhd.u32(0);
        mdhd.u16(LANGUAGE_UNDETERMINED);
        mdhd.u16(0);
    });
    mdia.full(*b"hdlr", 0, 0, |hdlr| {
        hdlr.u32(0);
        hdlr.slice(match kind {
            TrackKind::Video => b"vide",
            TrackKind::Audio => b"soun",
        });
        hdlr.zeros(12);
        hdlr.slice(b"corecast\0");
    });
    mdia.atom(*b"minf", |minf| {
        match kind {
            TrackKind::Video => minf.full(*b"vmhd", 0, 1, |vmhd| vmhd.zeros(8)),
            TrackKind::Audio => minf.full(*b"smhd", 0, 0, |smhd| smhd.zeros(4)),
        }
        minf.atom(*b"dinf", |dinf| {
            dinf.full(*b"dref", 0, 0, |dref| {
                dref.u32(1);
                // Section 8.7.2: the media is in this very file.
                dref.full(*b"url ", 0, 1, |_| {});
            });
        });
        minf.atom(*b"stbl", |stbl| {
            stbl.full(*b"stsd", 0, 0, |stsd| {
                stsd.u32(1);
                entry::write(stsd, format);
            });
            for (table, fields) in [(b"stts", 1), (b"stsc", 1), (b"stsz", 2), (b"stco", 1)] {
                stbl.full(*table, 0, 0, |table| table.zeros(4 * fields));
            }
        });
    });
}
