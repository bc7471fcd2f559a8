//! The bodies of audio and video tags (annex E.4.2 and E.4.3; Enhanced RTMP v2, "Enhanced Audio"
//! and "Enhanced Video").

use bytes::{Buf, Bytes};
use corecast_media::track::{TRACKS_MAX, TrackCodec, TrackKind};

use super::fault::FlvFault;

/// The numbers of video packets (VideoPacketType).
pub mod video_packet {
    /// A decoder configuration.
    pub const SEQUENCE_START: u8 = 0;
    /// Pictures, with a composition time where the coding reorders them.
    pub const CODED_FRAMES: u8 = 1;
    /// No more pictures.
    pub const SEQUENCE_END: u8 = 2;
    /// Pictures whose composition time is zero.
    pub const CODED_FRAMES_X: u8 = 3;
    /// Values in AMF, such as colours.
    pub const METADATA: u8 = 4;
    /// A decoder configuration in the form of MPEG-2 transport streams.
    pub const TRANSPORT_SEQUENCE_START: u8 = 5;
    /// Several tracks, or one that is not the first.
    pub const MULTITRACK: u8 = 6;
    /// Something in front of the packet itself.
    pub const MOD_EX: u8 = 7;
}

/// The numbers of audio packets (AudioPacketType).
pub mod audio_packet {
    /// A decoder configuration.
    pub const SEQUENCE_START: u8 = 0;
    /// Sound.
    pub const CODED_FRAMES: u8 = 1;
    /// No more sound.
    pub const SEQUENCE_END: u8 = 2;
    /// Which channel is where.
    pub const MULTICHANNEL_CONFIG: u8 = 4;
    /// Several tracks, or one that is not the first.
    pub const MULTITRACK: u8 = 5;
    /// Something in front of the packet itself.
    pub const MOD_EX: u8 = 7;
}

/// How tracks share a packet (AvMultitrackType).
pub mod multitrack {
    /// One track.
    pub const ONE_TRACK: u8 = 0;
    /// Several tracks of one coding.
    pub const MANY_TRACKS: u8 = 1;
    /// Several tracks, each with its coding.
    pub const MANY_TRACKS_MANY_CODECS: u8 = 2;
}

/// FrameType of a picture that a decoder may start with.
pub const FRAME_TYPE_KEY: u8 = 1;
/// FrameType of all other pictures.
pub const FRAME_TYPE_INTER: u8 = 2;
/// FrameType of a body that holds a command to the player instead of pictures.
const FRAME_TYPE_COMMAND: u8 = 5;

/// The most pieces in front of a packet.
const MOD_EX_MAX: usize = 8;
/// ModEx type: an offset of the presentation time in nanoseconds.
const TIMESTAMP_OFFSET_NANO: u8 = 0;

/// One track's share of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// How the track is coded.
    pub codec: TrackCodec,
    /// The number of the track among those of its kind; 0 where the body does not say it.
    pub number: u8,
    /// What it is.
    pub content: Content,
}

/// What one track's share is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A decoder configuration, as it stands in the body.
    Config(Bytes),
    /// An access unit.
    Unit {
        /// Presentation time less decoding time, in milliseconds.
        composition_ms: i32,
        /// What is added to the presentation time, below one millisecond.
        offset_nanos: u32,
        /// Whether the body calls it a keyframe; always for sound.
        keyframe: bool,
        /// The coded bytes.
        payload: Bytes,
    },
}

/// Takes the body of an audio or video tag apart; what says nothing to us (ends, colours, commands)
/// gives no piece.
///
/// # Errors
/// Where the body ends before what it declares, or the coding is not carried here.
pub fn parse(kind: TrackKind, mut body: Bytes, pieces: &mut Vec<Piece>) -> Result<(), FlvFault> {
    // Some encoders send empty messages to keep a connection busy.
    if body.is_empty() {
        return Ok(());
    }
    let first = u8_of(&mut body)?;
    match kind {
        TrackKind::Video if first & 0x80 != 0 => {
            let keyframe = first >> 4 & 7 == FRAME_TYPE_KEY;
            let is_command = first >> 4 & 7 == FRAME_TYPE_COMMAND;
            Enhanced::new(kind, keyframe).parse(first & 0x0f, is_command, body, pieces)
        }
        TrackKind::Video => classic_video(first, body, pieces),
        TrackKind::Audio if first >> 4 == 9 => {
            Enhanced::new(kind, true).parse(first & 0x0f, false, body, pieces)
        }
        TrackKind::Audio => classic_audio(first, body, pieces),
    }
}

/// VIDEODATA (annex E.4.3.1); 12 is HEVC, as Chinese services had it before there was a FourCC.
fn classic_video(first: u8, mut body: Bytes, pieces: &mut Vec<Piece>) -> Result<(), FlvFault> {
    let frame_type = first >> 4;
    if frame_type == FRAME_TYPE_COMMAND {
        return Ok(());
    }
    let codec = match first & 0x0f {
        7 => TrackCodec::H264,
        12 => TrackCodec::H265,
        2 => return Err(FlvFault::Unsupported("Sorenson H.263")),
        3 | 6 => return Err(FlvFault::Unsupported("screen video")),
        4 | 5 => return Err(FlvFault::Unsupported("VP6")),
        8 => return Err(FlvFault::Unsupported("H.263")),
        9 => return Err(FlvFault::Unsupported("MPEG-4 part 2")),
        13 => return Err(FlvFault::Unsupported("AV1 without a FourCC")),
        _ => return Err(FlvFault::Unsupported("video codec")),
    };
    let packet_type = u8_of(&mut body)?;
    let composition_ms = i24_of(&mut body)?;
    let content = match packet_type {
        0 => Content::Config(body),
        1 => Content::Unit {
            composition_ms,
            offset_nanos: 0,
            keyframe: frame_type == FRAME_TYPE_KEY,
            payload: body,
        },
        2 => return Ok(()),
        _ => return Err(FlvFault::Malformed("packet type")),
    };
    push(pieces, codec, 0, content);
    Ok(())
}

/// AUDIODATA (annex E.4.2.1). What rate, size and channels say is ignored: the sound says it
/// itself.
fn classic_audio(first: u8, mut body: Bytes, pieces: &mut Vec<Piece>) -> Result<(), FlvFault> {
    let codec = match first >> 4 {
        10 => TrackCodec::Aac,
        2 | 14 => TrackCodec::Mp3,
        0 | 3 => return Err(FlvFault::Unsupported("linear PCM")),
        1 => return Err(FlvFault::Unsupported("ADPCM")),
        4..=6 => return Err(FlvFault::Unsupported("Nellymoser")),
        7 | 8 => return Err(FlvFault::Unsupported("G.711")),
        11 => return Err(FlvFault::Unsupported("Speex")),
        _ => return Err(FlvFault::Unsupported("audio codec")),
    };
    let packet_type = match codec {
        TrackCodec::Aac => u8_of(&mut body)?,
        _ => 1,
    };
    let content = match packet_type {
        0 => Content::Config(body),
        1 => sound(body, 0),
        _ => return Err(FlvFault::Malformed("packet type")),
    };
    push(pieces, codec, 0, content);
    Ok(())
}

/// An enhanced body: ExVideoTagHeader and ExAudioTagHeader have the same shape.
struct Enhanced {
    kind: TrackKind,
    keyframe: bool,
    offset_nanos: u32,
}

impl Enhanced {
    fn new(kind: TrackKind, keyframe: bool) -> Self {
        Enhanced {
            kind,
            keyframe,
            offset_nanos: 0,
        }
    }

    fn parse(
        mut self,
        packet_type: u8,
        is_command: bool,
        mut body: Bytes,
        pieces: &mut Vec<Piece>,
    ) -> Result<(), FlvFault> {
        let packet_type = self.read_mod_ex(packet_type, &mut body)?;
        if is_command && packet_type != video_packet::METADATA {
            return Ok(());
        }
        let several = match self.kind {
            TrackKind::Video => video_packet::MULTITRACK,
            TrackKind::Audio => audio_packet::MULTITRACK,
        };
        if packet_type == several {
            return self.parse_tracks(several, body, pieces);
        }
        let codec = self.codec(&mut body)?;
        self.piece(codec, 0, packet_type, body, pieces)
    }

    /// ModEx: each says which packet type comes behind it. Unknown ones are passed over.
    fn read_mod_ex(&mut self, packet_type: u8, body: &mut Bytes) -> Result<u8, FlvFault> {
        const _: () = assert!(video_packet::MOD_EX == audio_packet::MOD_EX);
        let mut packet_type = packet_type;
        for _ in 0..MOD_EX_MAX {
            if packet_type != video_packet::MOD_EX {
                return Ok(packet_type);
            }
            let mut size = usize::from(u8_of(body)?) + 1;
            if size == 256 {
                size = usize::from(u16_of(body)?) + 1;
            }
            let mut data = split(body, size)?;
            let next = u8_of(body)?;
            if next >> 4 == TIMESTAMP_OFFSET_NANO {
                let nanos = u24_of(&mut data)?;
                if nanos >= 1_000_000 {
                    return Err(FlvFault::Malformed("nanoseconds"));
                }
                self.offset_nanos = nanos;
            }
            packet_type = next & 0x0f;
        }
        Err(FlvFault::Malformed("number of modifiers"))
    }

    fn parse_tracks(
        &self,
        several: u8,
        mut body: Bytes,
        pieces: &mut Vec<Piece>,
    ) -> Result<(), FlvFault> {
        let head = u8_of(&mut body)?;
        let (sharing, packet_type) = (head >> 4, head & 0x0f);
        if packet_type == several || sharing > multitrack::MANY_TRACKS_MANY_CODECS {
            return Err(FlvFault::Malformed("multitrack type"));
        }
        let shared_codec = match sharing {
            multitrack::MANY_TRACKS_MANY_CODECS => None,
            _ => Some(self.codec(&mut body)?),
        };
        for _ in 0..TRACKS_MAX {
            let codec = match shared_codec {
                Some(codec) => codec,
                None => self.codec(&mut body)?,
            };
            let number = u8_of(&mut body)?;
            let share = if sharing == multitrack::ONE_TRACK {
                body.split_off(0)
            } else {
                let size = u24_of(&mut body)? as usize;
                split(&mut body, size)?
            };
            self.piece(codec, number, packet_type, share, pieces)?;
            if body.is_empty() {
                return Ok(());
            }
        }
        Err(FlvFault::TooManyTracks)
    }

    fn piece(
        &self,
        codec: TrackCodec,
        number: u8,
        packet_type: u8,
        mut share: Bytes,
        pieces: &mut Vec<Piece>,
    ) -> Result<(), FlvFault> {
        const _: () = assert!(video_packet::SEQUENCE_START == audio_packet::SEQUENCE_START);
        const _: () = assert!(video_packet::CODED_FRAMES == audio_packet::CODED_FRAMES);
        let is_video = self.kind == TrackKind::Video;
        let content = match packet_type {
            video_packet::SEQUENCE_START => Content::Config(share),
            video_packet::CODED_FRAMES if is_video => {
                let has_composition = matches!(codec, TrackCodec::H264 | TrackCodec::H265);
                let composition_ms = if has_composition {
                    i24_of(&mut share)?
                } else {
                    0
                };
                self.picture(composition_ms, share)
            }
            video_packet::CODED_FRAMES_X if is_video => self.picture(0, share),
            audio_packet::CODED_FRAMES => sound(share, self.offset_nanos),
            _ => return Ok(()),
        };
        push(pieces, codec, number, content);
        Ok(())
    }

    fn picture(&self, composition_ms: i32, payload: Bytes) -> Content {
        Content::Unit {
            composition_ms,
            offset_nanos: self.offset_nanos,
            keyframe: self.keyframe,
            payload,
        }
    }

    fn codec(&self, body: &mut Bytes) -> Result<TrackCodec, FlvFault> {
        let fourcc = split(body, 4)?;
        match (self.kind, &*fourcc) {
            (TrackKind::Video, b"avc1") => Ok(TrackCodec::H264),
            (TrackKind::Video, b"hvc1") => Ok(TrackCodec::H265),
            (TrackKind::Video, b"av01") => Ok(TrackCodec::Av1),
            (TrackKind::Video, b"vp09") => Ok(TrackCodec::Vp9),
            (TrackKind::Video, b"vp08") => Err(FlvFault::Unsupported("VP8")),
            (TrackKind::Video, b"vvc1") => Err(FlvFault::Unsupported("VVC")),
            (TrackKind::Audio, b"mp4a") => Ok(TrackCodec::Aac),
            (TrackKind::Audio, b".mp3") => Ok(TrackCodec::Mp3),
            (TrackKind::Audio, b"Opus") => Ok(TrackCodec::Opus),
            (TrackKind::Audio, b"fLaC") => Ok(TrackCodec::Flac),
            (TrackKind::Audio, b"ac-3") => Ok(TrackCodec::Ac3),
            (TrackKind::Audio, b"ec-3") => Ok(TrackCodec::Eac3),
            _ => Err(FlvFault::Unsupported("FourCC")),
        }
    }
}

/// The FourCC of a coding.
pub const fn fourcc(codec: TrackCodec) -> &'static [u8; 4] {
    match codec {
        TrackCodec::H264 => b"avc1",
        TrackCodec::H265 => b"hvc1",
        TrackCodec::Av1 => b"av01",
        TrackCodec::Vp9 => b"vp09",
        TrackCodec::Aac => b"mp4a",
        TrackCodec::Mp3 => b".mp3",
        TrackCodec::Opus => b"Opus",
        TrackCodec::Flac => b"fLaC",
        TrackCodec::Ac3 => b"ac-3",
        TrackCodec::Eac3 => b"ec-3",
    }
}

fn sound(payload: Bytes, offset_nanos: u32) -> Content {
    Content::Unit {
        composition_ms: 0,
        offset_nanos,
        keyframe: true,
        payload,
    }
}

fn push(pieces: &mut Vec<Piece>, codec: TrackCodec, number: u8, content: Content) {
    pieces.push(Piece {
        codec,
        number,
        content,
    });
}

fn split(body: &mut Bytes, size: usize) -> Result<Bytes, FlvFault> {
    if body.len() < size {
        return Err(FlvFault::Truncated);
    }
    Ok(body.split_to(size))
}

fn u8_of(body: &mut Bytes) -> Result<u8, FlvFault> {
    body.try_get_u8().map_err(|_| FlvFault::Truncated)
}

fn u16_of(body: &mut Bytes) -> Result<u16, FlvFault> {
    body.try_get_u16().map_err(|_| FlvFault::Truncated)
}

fn u24_of(body: &mut Bytes) -> Result<u32, FlvFault> {
    let value = body.try_get_uint(3).map_err(|_| FlvFault::Truncated)?;
    // Three bytes.
    Ok(value as u32)
}

fn i24_of(body: &mut Bytes) -> Result<i32, FlvFault> {
    let value = u24_of(body)?;
    // The sign is moved to the highest bit and back.
    Ok((value << 8) as i32 >> 8)
}
