//! Script tags: what `onMetaData` says (annex E.5).

use bytes::{Bytes, BytesMut};
use corecast_media::metadata::Metadata;
use corecast_media::track::{Track, TrackCodec, TrackKind};

use super::body::fourcc;
use crate::rtmp::amf::{Decoder, METADATA_VALUES_MAX, Value, Writer};

/// What a publisher's `onMetaData` says that matters here.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    /// The title, where there is one.
    pub metadata: Option<Metadata>,
    /// Whether sound is announced.
    pub has_audio: bool,
    /// Whether pictures are announced.
    pub has_video: bool,
    /// Pictures in 1,000 seconds; 0 where it is not said.
    pub frame_rate_millihz: u32,
}

/// Frame rates that are believed.
const RATES: std::ops::RangeInclusive<f64> = 1.0..=1_000.0;

/// Reads the body of a script tag; `None` where it is no `onMetaData`.
pub fn parse(body: &[u8]) -> Option<Said> {
    let mut values = Decoder::new(body, METADATA_VALUES_MAX);
    let mut name = values.decode().ok()??;
    if name.as_str() == Some("@setDataFrame") {
        name = values.decode().ok()??;
    }
    if name.as_str() != Some("onMetaData") {
        return None;
    }
    let fields = values.decode().ok()??;
    let text = |name| {
        fields
            .field(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let (artist, title) = (text("artist"), text("title"));
    let metadata = match (artist.trim(), title.trim()) {
        (_, "") => None,
        // It may be the whole line.
        ("", title) => Some(Metadata::from_title(title)),
        (artist, title) => Some(Metadata::from_parts(artist, title)),
    };
    let announces = |name| match fields.field(name) {
        Some(Value::Number(number)) => *number != 0.0,
        Some(Value::String(text)) => !text.is_empty(),
        _ => false,
    };
    let rate = fields.field("framerate").and_then(Value::as_number);
    let millihz = |rate: f64| (rate * 1_000.0).round() as u32;
    Some(Said {
        metadata,
        has_audio: announces("audiocodecid"),
        has_video: announces("videocodecid"),
        frame_rate_millihz: rate.filter(|rate| RATES.contains(rate)).map_or(0, millihz),
    })
}

/// The body of a script tag with `onMetaData` for `tracks`; `title` may be empty.
pub fn on_metadata(tracks: &[Track], title: &str) -> Bytes {
    let mut body = BytesMut::new();
    let mut writer = Writer(&mut body);
    let first = |kind| {
        let mut tracks = tracks.iter().map(|track| &track.format);
        tracks.find(|format| format.codec.kind() == kind)
    };
    let mut fields: Vec<(&str, Value)> = Vec::new();
    if let Some(format) = first(TrackKind::Video) {
        fields.push(("width", Value::Number(f64::from(format.width))));
        fields.push(("height", Value::Number(f64::from(format.height))));
        if format.frame_rate_millihz > 0 {
            let rate = f64::from(format.frame_rate_millihz) / 1_000.0;
            fields.push(("framerate", Value::Number(rate)));
        }
        fields.push(("videocodecid", Value::Number(codec_id(format.codec))));
    }
    if let Some(format) = first(TrackKind::Audio) {
        let rate = f64::from(format.sample_rate_hz);
        fields.push(("audiosamplerate", Value::Number(rate)));
        fields.push(("audiosamplesize", Value::Number(16.0)));
        fields.push(("stereo", Value::Boolean(format.channels > 1)));
        fields.push(("audiocodecid", Value::Number(codec_id(format.codec))));
    }
    if !title.is_empty() {
        fields.push(("title", Value::String(title.into())));
    }
    fields.push(("encoder", Value::String("corecast".into())));
    // A dozen at most.
    writer.string("onMetaData").ecma_array(fields.len() as u32);
    for (name, value) in &fields {
        writer.key(name).value(value);
    }
    writer.end();
    body.freeze()
}

/// The number of a coding: of classic tags, or the FourCC (Enhanced RTMP, "Enhancing onMetaData").
fn codec_id(codec: TrackCodec) -> f64 {
    let id = match codec {
        TrackCodec::H264 => 7,
        TrackCodec::Aac => 10,
        TrackCodec::Mp3 => 2,
        _ => u32::from_be_bytes(*fourcc(codec)),
    };
    f64::from(id)
}
