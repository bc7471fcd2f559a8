//! What a logical stream holds, by the first packet (RFC 3533 section 4: each codec identifies
//! itself in the page that begins a stream).

use corecast_media::codec::{AudioFormat, Codec};

/// What the first packet of a logical stream says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The parameters; the codec is [`Codec::Opaque`] for those that are only passed on.
    pub format: AudioFormat,
    /// How the set-up goes on.
    pub headers: Headers,
    /// Granule positions per second; zero where they are no samples.
    pub granule_rate_hz: u32,
    /// Samples that a decoder drops at the start; granule positions count them (RFC 7845
    /// section 4.2).
    pub pre_skip: u32,
}

/// How many packets of set-up a stream starts with, the first one included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Headers {
    /// So many.
    Count(u32),
    /// FLAC: up to the metadata block that says that it is the last.
    UntilLastBlock,
}

/// The most packets of set-up that are believed.
pub const HEADER_PACKETS_MAX: u32 = 1_024;

/// Where a codec's second packet (or FLAC's comment block) has its tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommentAt {
    /// After so many bytes of every packet that starts with this word.
    Word(&'static [u8]),
    /// The whole second packet.
    SecondPacket,
    /// FLAC's block type 4.
    FlacBlock,
    /// Nowhere.
    Nowhere,
}

const UNKNOWN: Identity = Identity {
    format: AudioFormat {
        codec: Codec::Opaque,
        sample_rate_hz: 0,
        channels: 0,
        bitrate_bps: 0,
    },
    headers: Headers::Count(1),
    granule_rate_hz: 0,
    pre_skip: 0,
};

impl Identity {
    /// Reads the first packet; what is not known is passed on with that packet as its set-up.
    pub fn parse(packet: &[u8]) -> Self {
        vorbis(packet)
            .or_else(|| opus(packet))
            .or_else(|| flac(packet))
            .or_else(|| speex(packet))
            .or_else(|| theora(packet))
            .unwrap_or(UNKNOWN)
    }

    /// Where the tags are.
    pub fn comment_at(&self) -> CommentAt {
        match self.format.codec {
            Codec::Vorbis => CommentAt::Word(b"\x03vorbis"),
            Codec::Opus => CommentAt::Word(b"OpusTags"),
            Codec::Flac => CommentAt::FlacBlock,
            Codec::Speex => CommentAt::SecondPacket,
            _ => CommentAt::Nowhere,
        }
    }
}

fn u32_le(packet: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*packet.get(at..)?.first_chunk()?))
}

fn channels(count: u32) -> u8 {
    u8::try_from(count).unwrap_or(u8::MAX)
}

/// Vorbis I specification section 4.2.2: identification, comment and set-up header.
fn vorbis(packet: &[u8]) -> Option<Identity> {
    packet.strip_prefix(b"\x01vorbis")?;
    let rate = u32_le(packet, 12)?;
    let nominal = u32_le(packet, 20)?;
    let format = AudioFormat {
        codec: Codec::Vorbis,
        sample_rate_hz: rate,
        channels: *packet.get(11)?,
        // Signed, and not above zero where it was not said.
        bitrate_bps: if nominal > i32::MAX as u32 {
            0
        } else {
            nominal
        },
    };
    Some(Identity {
        format,
        headers: Headers::Count(3),
        granule_rate_hz: rate,
        pre_skip: 0,
    })
}

/// RFC 7845 section 5.1. Opus is always decoded at 48 kHz, and granule positions count so
/// (section 4).
fn opus(packet: &[u8]) -> Option<Identity> {
    const RATE_HZ: u32 = 48_000;
    packet.strip_prefix(b"OpusHead")?;
    let pre_skip = u16::from_le_bytes(*packet.get(10..)?.first_chunk()?);
    let format = AudioFormat {
        codec: Codec::Opus,
        sample_rate_hz: RATE_HZ,
        channels: *packet.get(9)?,
        bitrate_bps: 0,
    };
    Some(Identity {
        format,
        headers: Headers::Count(2),
        granule_rate_hz: RATE_HZ,
        pre_skip: u32::from(pre_skip),
    })
}

/// RFC 9639 section 10.1 (FLAC in Ogg) and 8.2 (its stream info).
fn flac(packet: &[u8]) -> Option<Identity> {
    packet.strip_prefix(b"\x7fFLAC")?;
    let more = u16::from_be_bytes(*packet.get(7..)?.first_chunk()?);
    if packet.get(9..13)? != b"fLaC" {
        return None;
    }
    // After the block's own header of 4 bytes: 10 bytes of sizes, then 20 bits of rate and 3 bits
    // of channels.
    let bits = u32::from_be_bytes(*packet.get(27..)?.first_chunk()?);
    let rate = bits >> 12;
    let format = AudioFormat {
        codec: Codec::Flac,
        sample_rate_hz: rate,
        channels: channels(((bits >> 9) & 0b111) + 1),
        bitrate_bps: 0,
    };
    let headers = match more {
        0 => Headers::UntilLastBlock,
        more => Headers::Count((u32::from(more) + 1).min(HEADER_PACKETS_MAX)),
    };
    Some(Identity {
        format,
        headers,
        granule_rate_hz: rate,
        pre_skip: 0,
    })
}

/// Speex manual section 7.3: the header packet, the comments, then as many extra headers as it
/// says.
fn speex(packet: &[u8]) -> Option<Identity> {
    packet.strip_prefix(b"Speex   ")?;
    let rate = u32_le(packet, 36)?;
    let bitrate = u32_le(packet, 52)?;
    let extra = u32_le(packet, 68)?.min(HEADER_PACKETS_MAX - 2);
    let format = AudioFormat {
        codec: Codec::Speex,
        sample_rate_hz: rate,
        channels: channels(u32_le(packet, 48)?),
        bitrate_bps: if bitrate > i32::MAX as u32 {
            0
        } else {
            bitrate
        },
    };
    let headers = Headers::Count(2 + extra);
    Some(Identity {
        format,
        headers,
        granule_rate_hz: rate,
        pre_skip: 0,
    })
}

/// Theora specification section 6.1: three headers. It is passed on; its granule positions are no
/// samples.
fn theora(packet: &[u8]) -> Option<Identity> {
    packet.strip_prefix(b"\x80theora")?;
    Some(Identity {
        headers: Headers::Count(3),
        ..UNKNOWN
    })
}
