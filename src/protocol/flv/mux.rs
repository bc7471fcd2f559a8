//! Tracks and access units to tags.
//!
//! H.264, AAC and MP3 are written as classic tags where they are the first of their kind, so that
//! every player knows them; other codings and further tracks as Enhanced RTMP has them.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use corecast_media::frame::{Frame, FrameKind, MediaEvent};
use corecast_media::track::{AccessUnit, MediaTime, Track, TrackCodec, TrackFormat, TrackKind};

use super::body::{
    FRAME_TYPE_INTER, FRAME_TYPE_KEY, audio_packet, fourcc, multitrack, video_packet,
};
use super::script;
use super::tag::{BODY_BYTES_MAX, HEADER_BYTES, TAG_HEADER_BYTES};
use crate::output::StreamWriter;
use crate::rtmp::{self, MediaKind, MessageType};
use crate::websocket::{Opcode, put_head};

/// The bytes of a body in front of its payload: the longest is that of a further HEVC track.
const HEAD_BYTES_MAX: usize = 16;

/// A mount's tracks as an FLV stream (HTTP-FLV): file header and tags.
#[derive(Debug)]
pub struct FlvWriter(Muxer);

/// A mount's tracks as an FLV stream in WebSocket messages (RFC 6455): one unmasked binary message
/// for the file header and for each tag.
#[derive(Debug)]
pub struct WsFlvWriter(Muxer);

/// A mount's tracks as RTMP messages of the stream [`rtmp::STREAM_ID`], in chunks of
/// [`rtmp::CHUNK_BYTES`].
#[derive(Debug)]
pub struct RtmpWriter(Muxer);

impl FlvWriter {
    /// Bytes of the file header, which joiners get before all tags.
    pub const OPENING_BYTES: u32 = HEADER_BYTES as u32;

    /// A writer before the tracks.
    pub fn new() -> Self {
        FlvWriter(Muxer::new(Wrapping::File))
    }
}

impl WsFlvWriter {
    /// Bytes of the message with the file header, which joiners get before all tags.
    pub const OPENING_BYTES: u32 = 2 + HEADER_BYTES as u32;

    /// A writer before the tracks.
    pub fn new() -> Self {
        WsFlvWriter(Muxer::new(Wrapping::WebSocket))
    }
}

impl RtmpWriter {
    /// A writer before the tracks.
    pub fn new() -> Self {
        RtmpWriter(Muxer::new(Wrapping::Rtmp))
    }
}

impl Default for FlvWriter {
    fn default() -> Self {
        FlvWriter::new()
    }
}

impl Default for WsFlvWriter {
    fn default() -> Self {
        WsFlvWriter::new()
    }
}

impl Default for RtmpWriter {
    fn default() -> Self {
        RtmpWriter::new()
    }
}

impl StreamWriter for FlvWriter {
    fn write(&mut self, event: &MediaEvent, out: &mut Vec<MediaEvent>) {
        self.0.write(event, out);
    }
}

impl StreamWriter for WsFlvWriter {
    fn write(&mut self, event: &MediaEvent, out: &mut Vec<MediaEvent>) {
        self.0.write(event, out);
    }
}

impl StreamWriter for RtmpWriter {
    fn write(&mut self, event: &MediaEvent, out: &mut Vec<MediaEvent>) {
        self.0.write(event, out);
    }
}

/// What stands around a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrapping {
    File,
    WebSocket,
    Rtmp,
}

impl Wrapping {
    fn put_file_header(self, out: &mut BytesMut, tracks: &[Track]) {
        let has = |kind| tracks.iter().any(|track| track.format.codec.kind() == kind);
        // Annex E.2: bit 2 is sound, bit 0 pictures. Players wait for what is said here.
        let flags = u8::from(has(TrackKind::Audio)) << 2 | u8::from(has(TrackKind::Video));
        let header = [b'F', b'L', b'V', 1, flags, 0, 0, 0, 9, 0, 0, 0, 0];
        match self {
            Wrapping::File => out.extend_from_slice(&header),
            Wrapping::WebSocket => {
                put_head(out, Opcode::Binary, header.len());
                out.extend_from_slice(&header);
            }
            Wrapping::Rtmp => {}
        }
    }

    /// A tag with the body `head` and `payload`; one that is too long is left out.
    fn put(self, out: &mut BytesMut, kind: MediaKind, time_ms: u32, head: &[u8], payload: &[u8]) {
        let size = head.len() + payload.len();
        if size > BODY_BYTES_MAX {
            return;
        }
        if self == Wrapping::Rtmp {
            let (csid, message) = match kind {
                MediaKind::Audio => (4, MessageType::AUDIO),
                MediaKind::Video => (6, MessageType::VIDEO),
                MediaKind::Script => (5, MessageType::DATA),
            };
            let parts = [head, payload];
            let (stream, chunk) = (rtmp::STREAM_ID, rtmp::CHUNK_BYTES);
            return rtmp::write_message(out, csid, message, time_ms, stream, &parts, chunk);
        }
        // At most 2^24 and a few: 32 bits hold it.
        let tag_bytes = TAG_HEADER_BYTES + size;
        out.reserve(tag_bytes + 16);
        if self == Wrapping::WebSocket {
            put_head(out, Opcode::Binary, tag_bytes + 4);
        }
        out.put_u8(kind.code());
        out.put_uint(size as u64, 3);
        out.put_uint(u64::from(time_ms & 0xff_ffff), 3);
        out.put_u8((time_ms >> 24) as u8);
        out.put_uint(0, 3);
        out.extend_from_slice(head);
        out.extend_from_slice(payload);
        out.put_u32(tag_bytes as u32);
    }
}

/// What the three writers share.
#[derive(Debug)]
struct Muxer {
    wrapping: Wrapping,
    tracks: Option<Arc<[Track]>>,
    title: Arc<str>,
    /// The time of the newest unit.
    newest: MediaTime,
}

impl Muxer {
    fn new(wrapping: Wrapping) -> Self {
        Muxer {
            wrapping,
            tracks: None,
            title: Arc::from(""),
            newest: MediaTime::ZERO,
        }
    }

    fn write(&mut self, event: &MediaEvent, out: &mut Vec<MediaEvent>) {
        match event {
            MediaEvent::Tracks(tracks) => self.on_tracks(tracks, out),
            MediaEvent::Metadata(metadata) => {
                if self.title == metadata.title {
                    return;
                }
                self.title = Arc::clone(&metadata.title);
                if let Some(tracks) = self.tracks.clone() {
                    let mut tag = BytesMut::new();
                    self.put_metadata(&mut tag, &tracks, time_ms(self.newest));
                    self.push_setup(tag, &tracks, out);
                }
            }
            MediaEvent::Unit(unit) => self.on_unit(unit, out),
            MediaEvent::Frame(_) | MediaEvent::Format(_) | MediaEvent::InitHeaders(_) => {}
        }
    }

    fn on_tracks(&mut self, tracks: &Arc<[Track]>, out: &mut Vec<MediaEvent>) {
        let known = self.tracks.replace(Arc::clone(tracks));
        if known.as_ref() == Some(tracks) {
            return;
        }
        let mut tags = BytesMut::new();
        // Nobody reads before the first tracks.
        if known.is_some() {
            self.put_setup(&mut tags, tracks, time_ms(self.newest));
        }
        self.push_setup(tags, tracks, out);
    }

    /// `tags` for those who read already, and what joiners get from now on.
    fn push_setup(&self, tags: BytesMut, tracks: &[Track], out: &mut Vec<MediaEvent>) {
        if !tags.is_empty() {
            out.push(MediaEvent::Frame(Frame {
                payload: tags.freeze(),
                duration_us: 0,
                kind: FrameKind::Header,
            }));
        }
        let mut headers = BytesMut::new();
        self.wrapping.put_file_header(&mut headers, tracks);
        self.put_setup(&mut headers, tracks, 0);
        out.push(MediaEvent::InitHeaders(headers.freeze()));
    }

    fn put_setup(&self, out: &mut BytesMut, tracks: &[Track], time_ms: u32) {
        self.put_metadata(out, tracks, time_ms);
        for (track, number) in numbered(tracks) {
            let Some(config) = config_of(&track.format, number) else {
                continue;
            };
            let mut head = Head::new(track.format.codec, number);
            head.sequence_start();
            let kind = head.kind;
            self.wrapping.put(out, kind, time_ms, head.bytes(), &config);
        }
    }

    fn put_metadata(&self, out: &mut BytesMut, tracks: &[Track], time_ms: u32) {
        let body = script::on_metadata(tracks, &self.title);
        self.wrapping
            .put(out, MediaKind::Script, time_ms, &[], &body);
    }

    fn on_unit(&mut self, unit: &AccessUnit, out: &mut Vec<MediaEvent>) {
        let tracks = self.tracks.as_deref().unwrap_or_default();
        let Some((track, number)) = numbered(tracks).find(|(track, _)| track.id == unit.track)
        else {
            return;
        };
        let has_pictures = has_kind(tracks, TrackKind::Video);
        let codec = track.format.codec;
        let starts = codec.kind() == TrackKind::Video || !has_pictures;
        let entry = number == 0 && unit.keyframe && starts;
        let mut head = Head::new(codec, number);
        head.unit(unit);
        self.newest = unit.dts;
        let mut tag = BytesMut::new();
        let (kind, time) = (head.kind, time_ms(unit.dts));
        self.wrapping
            .put(&mut tag, kind, time, head.bytes(), &unit.payload);
        if tag.is_empty() {
            return;
        }
        out.push(MediaEvent::Frame(Frame {
            payload: tag.freeze(),
            duration_us: 0,
            kind: if entry {
                FrameKind::Entry
            } else {
                FrameKind::Inner
            },
        }));
    }
}

fn has_kind(tracks: &[Track], kind: TrackKind) -> bool {
    tracks.iter().any(|track| track.format.codec.kind() == kind)
}

/// Each track and its place among those of its kind.
fn numbered(tracks: &[Track]) -> impl Iterator<Item = (&Track, u8)> {
    tracks.iter().enumerate().map(|(at, track)| {
        let kind = track.format.codec.kind();
        let before = tracks.iter().take(at);
        let number = before
            .filter(|other| other.format.codec.kind() == kind)
            .count();
        // At most TRACKS_MAX tracks.
        (track, number as u8)
    })
}

/// The low 32 bits of a time in milliseconds: FLV and RTMP wrap there.
fn time_ms(time: MediaTime) -> u32 {
    time.as_millis() as u32
}

/// The body of a sequence start; `None` where there is none: classic MP3 says all in its frames.
fn config_of(format: &TrackFormat, number: u8) -> Option<Bytes> {
    match format.codec {
        TrackCodec::Mp3 if number == 0 => None,
        TrackCodec::Vp9 => {
            // With version and flags of its box (VP Codec ISO Media File Format Binding).
            let mut config = BytesMut::from(&[1, 0, 0, 0][..]);
            config.extend_from_slice(&format.config);
            Some(config.freeze())
        }
        TrackCodec::Flac => {
            let mut config = BytesMut::from(&b"fLaC"[..]);
            // RFC 9639 section 8.1: the last block, STREAMINFO, and its length.
            config.put_u8(0x80);
            config.put_uint(format.config.len() as u64, 3);
            config.extend_from_slice(&format.config);
            Some(config.freeze())
        }
        _ => Some(format.config.clone()),
    }
}

/// What stands in front of a body's payload.
struct Head {
    kind: MediaKind,
    codec: TrackCodec,
    number: u8,
    bytes: [u8; HEAD_BYTES_MAX],
    length: usize,
}

impl Head {
    fn new(codec: TrackCodec, number: u8) -> Self {
        let kind = match codec.kind() {
            TrackKind::Video => MediaKind::Video,
            TrackKind::Audio => MediaKind::Audio,
        };
        Head {
            kind,
            codec,
            number,
            bytes: [0; HEAD_BYTES_MAX],
            length: 0,
        }
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    fn put(&mut self, bytes: &[u8]) {
        let room = self.bytes.iter_mut().skip(self.length);
        let written = room.zip(bytes).map(|(to, from)| *to = *from).count();
        debug_assert_eq!(written, bytes.len(), "the longest head fits");
        self.length += written;
    }

    fn sequence_start(&mut self) {
        match (self.codec, self.number) {
            (TrackCodec::H264, 0) => self.put(&[FRAME_TYPE_KEY << 4 | 7, 0, 0, 0, 0]),
            (TrackCodec::Aac, 0) => self.put(&[0xaf, 0]),
            _ => self.enhanced(FRAME_TYPE_KEY, video_packet::SEQUENCE_START),
        }
    }

    fn unit(&mut self, unit: &AccessUnit) {
        let frame_type = if unit.keyframe {
            FRAME_TYPE_KEY
        } else {
            FRAME_TYPE_INTER
        };
        // Two's complement in 24 bits.
        let composition = unit.pts.as_millis().saturating_sub(unit.dts.as_millis());
        let composition = composition.clamp(-(1 << 23), (1 << 23) - 1) as i32;
        let [_, c2, c1, c0] = composition.to_be_bytes();
        match (self.codec, self.number) {
            (TrackCodec::H264, 0) => self.put(&[frame_type << 4 | 7, 1, c2, c1, c0]),
            (TrackCodec::Aac, 0) => self.put(&[0xaf, 1]),
            (TrackCodec::Mp3, 0) => self.put(&[mp3_flags(&unit.payload)]),
            (TrackCodec::H264 | TrackCodec::H265, _) if composition == 0 => {
                self.enhanced(frame_type, video_packet::CODED_FRAMES_X);
            }
            (TrackCodec::H264 | TrackCodec::H265, _) => {
                self.enhanced(frame_type, video_packet::CODED_FRAMES);
                self.put(&[c2, c1, c0]);
            }
            _ => self.enhanced(frame_type, video_packet::CODED_FRAMES),
        }
    }

    /// ExVideoTagHeader or ExAudioTagHeader; the packets that are written have the same number in
    /// both.
    fn enhanced(&mut self, frame_type: u8, packet_type: u8) {
        let (first, several) = match self.kind {
            MediaKind::Video => (0x80 | frame_type << 4, video_packet::MULTITRACK),
            _ => (0x90, audio_packet::MULTITRACK),
        };
        if self.number == 0 {
            self.put(&[first | packet_type]);
            self.put(fourcc(self.codec));
        } else {
            self.put(&[first | several, multitrack::ONE_TRACK << 4 | packet_type]);
            self.put(fourcc(self.codec));
            self.put(&[self.number]);
        }
    }
}

/// SoundFormat, SoundRate, SoundSize and SoundType of MP3 (annex E.4.2.1), from the frame's header
/// (ISO/IEC 11172-3 section 2.4.1.3).
fn mp3_flags(payload: &[u8]) -> u8 {
    let version = payload.get(1).map_or(3, |byte| byte >> 3 & 3);
    let rate = payload.get(2).map_or(0, |byte| byte >> 2 & 3);
    let is_mono = payload.get(3).is_some_and(|byte| byte >> 6 == 3);
    // 44.1 kHz and above are 3, 22.05 kHz 2, 11.025 kHz 1; 8 kHz has a format of its own.
    let (format, rate) = match (version, rate) {
        (3, _) => (2, 3),
        (2, _) => (2, 2),
        (_, 2) => (14, 0),
        _ => (2, 1),
    };
    format << 4 | rate << 2 | 1 << 1 | u8::from(!is_mono)
}
