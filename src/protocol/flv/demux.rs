//! Tags to tracks and access units.

use std::sync::Arc;

use bytes::Bytes;
use corecast_media::codec::{HeaderFault, av1, describe, h264, h265, nal, sound, vp9};
use corecast_media::frame::MediaEvent;
use corecast_media::metadata::Metadata;
use corecast_media::track::{
    AccessUnit, MediaTime, TRACKS_MAX, Track, TrackCodec, TrackFormat, TrackId, TrackKind,
};

use super::body::{self, Content, Piece};
use super::fault::FlvFault;
use super::script;
use crate::rtmp::MediaKind;

/// How long the tracks that are known wait for the other kind, by the tags' own time.
pub const WAIT_MS_MAX: i64 = 1_000;
/// The most units that wait.
pub const WAIT_UNITS_MAX: usize = 256;
/// The most bytes that wait.
pub const WAIT_BYTES_MAX: usize = 8 * 1_024 * 1_024;

/// How many bytes of tracks that change can be said at once; what is received adds to it again.
/// Every change is written to every reader, with all configurations: without this, a few bytes of
/// a publisher would cost a megabyte each.
pub const CREDIT_BYTES_MAX: usize = TRACKS_MAX * (describe::CONFIG_BYTES_MAX + TRACK_COST_BYTES);
/// What a change costs for each track beside its configuration.
const TRACK_COST_BYTES: usize = 256;

const NANOS_PER_MS: i64 = 1_000_000;

/// Makes events of the tags of one session.
///
/// The first event is [`MediaEvent::Tracks`], as soon as a unit came and both kinds are known, or
/// the other kind did not come within [`WAIT_MS_MAX`]. Payloads are slices of the bodies.
#[derive(Debug)]
pub struct Demuxer {
    tracks: Vec<State>,
    /// Whether tracks were said, and whether they changed since.
    is_announced: bool,
    is_changed: bool,
    /// Whether the other kind may still come.
    awaits_both: bool,
    /// The frame rate of `onMetaData`, for pictures that do not say theirs; 0 for none.
    said_rate_millihz: u32,
    /// The title that was said last.
    metadata: Option<Metadata>,
    /// How many bytes of changes may be said.
    credit_bytes: usize,
    /// Units that came before the tracks were said.
    waiting: Vec<AccessUnit>,
    waiting_bytes: usize,
    /// Scratch of one tag.
    pieces: Vec<Piece>,
    dropped_units: u64,
    damaged_units: u64,
}

/// One track of the session.
#[derive(Debug)]
struct State {
    kind: TrackKind,
    /// The publisher's number among tracks of this kind.
    number: u8,
    format: TrackFormat,
    /// The bytes of lengths in the publisher's payloads, where the coding has NAL units.
    length_bytes: usize,
}

impl Default for Demuxer {
    fn default() -> Self {
        Demuxer::new()
    }
}

impl Demuxer {
    /// A demuxer before the first tag.
    pub fn new() -> Self {
        Demuxer {
            tracks: Vec::new(),
            is_announced: false,
            is_changed: false,
            awaits_both: true,
            said_rate_millihz: 0,
            metadata: None,
            credit_bytes: CREDIT_BYTES_MAX,
            waiting: Vec::new(),
            waiting_bytes: 0,
            pieces: Vec::new(),
            dropped_units: 0,
            damaged_units: 0,
        }
    }

    /// Units that were dropped because their decoder configuration had not come, or was gone before
    /// the tracks were said.
    pub fn dropped_units(&self) -> u64 {
        self.dropped_units
    }

    /// Units that were dropped because they are none, or because their tracks change more often
    /// than [`CREDIT_BYTES_MAX`] allows.
    pub fn damaged_units(&self) -> u64 {
        self.damaged_units
    }

    /// Takes one tag, or one RTMP message, and appends what follows from it. `timestamp_ms` is
    /// past the wrap of its 32 bits.
    ///
    /// # Errors
    /// Where the tag cannot be used. It is lost then; later ones may be right.
    pub fn push(
        &mut self,
        kind: MediaKind,
        timestamp_ms: i64,
        payload: Bytes,
        out: &mut Vec<MediaEvent>,
    ) -> Result<(), FlvFault> {
        self.credit_bytes = (self.credit_bytes + payload.len()).min(CREDIT_BYTES_MAX);
        let kind = match kind {
            MediaKind::Audio => TrackKind::Audio,
            MediaKind::Video => TrackKind::Video,
            MediaKind::Script => {
                self.on_script(&payload, out);
                return Ok(());
            }
        };
        let mut pieces = std::mem::take(&mut self.pieces);
        let mut result = body::parse(kind, payload, &mut pieces);
        for piece in pieces.drain(..) {
            let taken = self.on_piece(kind, timestamp_ms, piece, out);
            result = result.and(taken);
        }
        self.pieces = pieces;
        result
    }

    /// `onMetaData`: a title is passed on, and where only one kind is announced, nothing waits for
    /// the other.
    fn on_script(&mut self, payload: &[u8], out: &mut Vec<MediaEvent>) {
        let Some(said) = script::parse(payload) else {
            return;
        };
        self.awaits_both = said.has_audio == said.has_video;
        self.said_rate_millihz = said.frame_rate_millihz;
        if said.metadata.is_some() && said.metadata != self.metadata && self.has_credit() {
            self.metadata = said.metadata;
            out.extend(self.metadata.clone().map(MediaEvent::Metadata));
        }
    }

    fn on_piece(
        &mut self,
        kind: TrackKind,
        timestamp_ms: i64,
        piece: Piece,
        out: &mut Vec<MediaEvent>,
    ) -> Result<(), FlvFault> {
        match piece.content {
            Content::Config(config) => self.on_config(kind, piece.number, piece.codec, config),
            Content::Unit {
                composition_ms,
                offset_nanos,
                keyframe,
                payload,
            } => {
                let at = match self.place(kind, piece.number, piece.codec, &payload) {
                    Some(at) => at,
                    None => return Ok(()),
                };
                let dts = MediaTime::from_millis(timestamp_ms);
                let shift = i64::from(composition_ms) * NANOS_PER_MS + i64::from(offset_nanos);
                self.on_unit(at, dts, shift, keyframe, payload, out);
                Ok(())
            }
        }
    }
}

impl Demuxer {
    fn on_config(
        &mut self,
        kind: TrackKind,
        number: u8,
        codec: TrackCodec,
        config: Bytes,
    ) -> Result<(), FlvFault> {
        // Some encoders send an empty one first and the real one as soon as they know it.
        let has_none = matches!(codec, TrackCodec::Mp3 | TrackCodec::Ac3 | TrackCodec::Eac3);
        // "Enhanced Audio": either header of Opus may come, its comments too.
        let is_comment = codec == TrackCodec::Opus && config.starts_with(b"OpusTags");
        if has_none || is_comment || config.is_empty() {
            return Ok(());
        }
        let (config, length_bytes) = canonical(codec, config)?;
        let known = self.find(kind, number);
        if let Some(track) = known.and_then(|at| self.tracks.get_mut(at))
            && track.format.codec == codec
            && track.format.config == config
        {
            track.length_bytes = length_bytes;
            return Ok(());
        }
        let format = describe::from_config(codec, &config)?;
        self.set_format(kind, number, format, length_bytes)
    }

    fn find(&self, kind: TrackKind, number: u8) -> Option<usize> {
        let mut tracks = self.tracks.iter();
        tracks.position(|track| track.kind == kind && track.number == number)
    }

    fn set_format(
        &mut self,
        kind: TrackKind,
        number: u8,
        mut format: TrackFormat,
        length_bytes: usize,
    ) -> Result<(), FlvFault> {
        if kind == TrackKind::Video && number == 0 && format.frame_rate_millihz == 0 {
            format.frame_rate_millihz = self.said_rate_millihz;
        }
        let state = State {
            kind,
            number,
            format,
            length_bytes,
        };
        let known = self.find(kind, number);
        if let Some(at) = known
            && let Some(track) = self.tracks.get_mut(at)
        {
            *track = state;
            self.forget_waiting(at);
        } else if self.tracks.len() < TRACKS_MAX {
            self.tracks.push(state);
        } else {
            return Err(FlvFault::TooManyTracks);
        }
        self.is_changed = true;
        Ok(())
    }

    /// The track that a unit belongs to; `None` where its configuration did not come.
    fn place(
        &mut self,
        kind: TrackKind,
        number: u8,
        codec: TrackCodec,
        payload: &Bytes,
    ) -> Option<usize> {
        let known = self.find(kind, number);
        if let Some(at) = known
            && self.tracks.get(at)?.format.codec == codec
        {
            return Some(at);
        }
        // Some codings say in their units what they are, some encoders send no configuration.
        let units = match codec {
            TrackCodec::H264 | TrackCodec::H265 => nal_payload(nal::LENGTH_BYTES, payload),
            _ => Ok(payload.clone()),
        };
        let placed = units
            .and_then(|units| describe::from_unit(codec, &units))
            .map_err(FlvFault::from)
            .and_then(|format| self.set_format(kind, number, format, nal::LENGTH_BYTES));
        if placed.is_err() {
            self.dropped_units += 1;
            return None;
        }
        self.find(kind, number)
    }

    fn on_unit(
        &mut self,
        at: usize,
        dts: MediaTime,
        shift: i64,
        flagged: bool,
        payload: Bytes,
        out: &mut Vec<MediaEvent>,
    ) {
        let Some(track) = self.tracks.get(at) else {
            return;
        };
        let taken = take(track.format.codec, track.length_bytes, flagged, &payload);
        let Ok(taken) = taken else {
            self.damaged_units += 1;
            return;
        };
        if taken.has_sets {
            self.refresh(at, &taken.payload);
        }
        let (true, Some(track)) = (taken.has_media, self.tracks.get(at)) else {
            return;
        };
        let dts = match track.kind {
            TrackKind::Audio => dts.plus(shift),
            TrackKind::Video => dts,
        };
        let pts = match track.kind {
            TrackKind::Audio => dts,
            TrackKind::Video => dts.plus(shift),
        };
        let unit = AccessUnit {
            // At most TRACKS_MAX tracks.
            track: TrackId(at as u8),
            dts,
            pts,
            keyframe: taken.keyframe,
            payload: taken.payload,
        };
        if !self.is_announced && self.is_waiting(&unit) {
            self.waiting_bytes += unit.payload.len();
            self.waiting.push(unit);
            return;
        }
        if self.is_changed {
            if !self.has_credit() {
                self.damaged_units += 1;
                return;
            }
            self.announce(out);
        }
        out.push(MediaEvent::Unit(unit));
    }

    /// Whether a change may be said, which then is paid for.
    fn has_credit(&mut self) -> bool {
        let costs = self.tracks.iter();
        let costs = costs.map(|track| track.format.config.len() + TRACK_COST_BYTES);
        let left = self.credit_bytes.checked_sub(costs.sum());
        self.credit_bytes = left.unwrap_or(self.credit_bytes);
        left.is_some()
    }

    /// Takes over what units say: the rate of sound without a configuration, the size of VP9's
    /// pictures, parameter sets that stand among the pictures.
    fn refresh(&mut self, at: usize, payload: &[u8]) {
        let Some(track) = self.tracks.get_mut(at) else {
            return;
        };
        let format = &track.format;
        let said = match format.codec {
            TrackCodec::Mp3 | TrackCodec::Ac3 | TrackCodec::Eac3 => {
                describe::from_unit(format.codec, payload)
            }
            TrackCodec::Vp9 => describe::from_unit(format.codec, payload).map(|said| TrackFormat {
                config: format.config.clone(),
                rfc6381: Arc::clone(&format.rfc6381),
                frame_rate_millihz: format.frame_rate_millihz,
                ..said
            }),
            _ => {
                let changed = describe::changed_config(format.codec, &format.config, payload);
                let Some(config) = changed else {
                    return;
                };
                describe::from_config(format.codec, &config)
            }
        };
        let Ok(mut said) = said else {
            return;
        };
        if said.frame_rate_millihz == 0 {
            said.frame_rate_millihz = format.frame_rate_millihz;
        }
        if said != *format {
            track.format = said;
            self.is_changed = true;
            self.forget_waiting(at);
        }
    }

    /// Lets go of the units of the track `at` that wait: they have its format of before, which
    /// nobody will be told.
    fn forget_waiting(&mut self, at: usize) {
        let before = self.waiting.len();
        self.waiting.retain(|unit| usize::from(unit.track.0) != at);
        self.dropped_units += (before - self.waiting.len()) as u64;
        self.waiting_bytes = self.waiting.iter().map(|unit| unit.payload.len()).sum();
    }

    /// Whether the tracks should not be said yet.
    fn is_waiting(&self, unit: &AccessUnit) -> bool {
        // VP9 says in its first keyframe how large its pictures are.
        let lacks_size =
            |track: &State| track.format.codec == TrackCodec::Vp9 && track.format.width == 0;
        let has = |kind| {
            let mut tracks = self.tracks.iter();
            tracks.any(|track| track.kind == kind && !lacks_size(track))
        };
        if !self.awaits_both || has(TrackKind::Audio) && has(TrackKind::Video) {
            return false;
        }
        let first = self.waiting.first().map_or(unit.dts, |first| first.dts);
        self.waiting.len() < WAIT_UNITS_MAX
            && self.waiting_bytes + unit.payload.len() <= WAIT_BYTES_MAX
            && unit.dts.since(first).abs() < WAIT_MS_MAX * NANOS_PER_MS
    }

    /// Says the tracks, and then what waited for them.
    fn announce(&mut self, out: &mut Vec<MediaEvent>) {
        let tracks = self.tracks.iter().zip(0..).map(|(track, id)| Track {
            id: TrackId(id),
            format: track.format.clone(),
        });
        out.push(MediaEvent::Tracks(Arc::from_iter(tracks)));
        out.extend(self.waiting.drain(..).map(MediaEvent::Unit));
        self.waiting_bytes = 0;
        self.is_announced = true;
        self.is_changed = false;
    }
}

/// A configuration in our form, and the bytes of lengths in the payloads that it speaks of.
fn canonical(codec: TrackCodec, config: Bytes) -> Result<(Bytes, usize), HeaderFault> {
    match codec {
        TrackCodec::H264 => {
            let mut parsed = h264::Config::parse(&config)?;
            let length_bytes = std::mem::replace(&mut parsed.length_bytes, nal::LENGTH_BYTES);
            if length_bytes == nal::LENGTH_BYTES {
                return Ok((config, length_bytes));
            }
            Ok((parsed.record(), length_bytes))
        }
        TrackCodec::H265 => {
            let mut parsed = h265::Config::parse(&config)?;
            let length_bytes = std::mem::replace(&mut parsed.length_bytes, nal::LENGTH_BYTES);
            if length_bytes == nal::LENGTH_BYTES {
                return Ok((config, length_bytes));
            }
            Ok((parsed.record(), length_bytes))
        }
        TrackCodec::Vp9 => Ok((vp9::Config::parse(&config)?.record(), nal::LENGTH_BYTES)),
        TrackCodec::Flac => {
            let block = sound::stream_info(&config)?;
            Ok((config.slice_ref(block), nal::LENGTH_BYTES))
        }
        _ => Ok((config, nal::LENGTH_BYTES)),
    }
}

/// A unit in our form.
struct Taken {
    /// Whether a decoder may start with it.
    keyframe: bool,
    /// Whether it says something of the track itself.
    has_sets: bool,
    /// Whether there is anything to decode: some encoders send parameter sets alone.
    has_media: bool,
    payload: Bytes,
}

fn take(
    codec: TrackCodec,
    length_bytes: usize,
    flagged: bool,
    payload: &Bytes,
) -> Result<Taken, HeaderFault> {
    match codec {
        TrackCodec::H264 => {
            let payload = nal_payload(length_bytes, payload)?;
            let content = h264::Content::parse(&payload)?;
            Ok(Taken {
                keyframe: content.is_keyframe(flagged),
                has_sets: content.parameter_sets,
                has_media: content.picture,
                payload,
            })
        }
        TrackCodec::H265 => {
            let payload = nal_payload(length_bytes, payload)?;
            let content = h265::Content::parse(&payload)?;
            Ok(Taken {
                keyframe: content.irap,
                has_sets: content.parameter_sets,
                has_media: content.picture,
                payload,
            })
        }
        TrackCodec::Av1 => {
            let payload = av1::without_delimiter(payload)?;
            let content = av1::Content::parse(&payload)?;
            Ok(Taken {
                keyframe: content.is_keyframe(),
                has_sets: content.sequence.is_some(),
                has_media: content.picture,
                payload: payload.clone(),
            })
        }
        TrackCodec::Vp9 => {
            let keyframe = vp9::FrameHeader::parse(payload)?.is_key;
            Ok(Taken {
                keyframe,
                has_sets: keyframe,
                has_media: true,
                payload: payload.clone(),
            })
        }
        _ => Ok(Taken {
            keyframe: true,
            has_sets: matches!(codec, TrackCodec::Mp3 | TrackCodec::Ac3 | TrackCodec::Eac3),
            has_media: !payload.is_empty(),
            payload: payload.clone(),
        }),
    }
}

/// A payload of NAL units with lengths of [`nal::LENGTH_BYTES`]. Some encoders send start codes
/// instead of lengths, against the book.
fn nal_payload(length_bytes: usize, payload: &Bytes) -> Result<Bytes, HeaderFault> {
    let is_whole = nal::Units::new(payload, length_bytes).all(|unit| unit.is_ok());
    if !is_whole && nal::is_annex_b(payload) {
        return Ok(nal::from_annex_b(payload));
    }
    nal::widen(payload, length_bytes)
}
