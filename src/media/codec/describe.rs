//! The one face of the headers: a configuration or a unit to a [`TrackFormat`], and what a unit
//! says of itself.

use std::sync::Arc;

use bytes::Bytes;

use super::sound::{Mp3Header, OPUS_RATE_HZ, OpusHead, Sound, StreamInfo};
use super::video::Picture;
use super::{HeaderFault, aac, ac3, av1, h264, h265, sound, vp9};
use crate::track::{TrackCodec, TrackFormat};

/// The longest configuration of a track that is kept, in bytes.
pub const CONFIG_BYTES_MAX: usize = 64 * 1_024;

/// What a decoder must know of a track with the configuration `config`, which is in the form that
/// [`TrackCodec`] says.
///
/// # Errors
/// Where the configuration is none, or is too long; and for codings that have none: see
/// [`from_unit`].
pub fn from_config(codec: TrackCodec, config: &Bytes) -> Result<TrackFormat, HeaderFault> {
    if config.len() > CONFIG_BYTES_MAX {
        return Err(HeaderFault::Invalid("length"));
    }
    match codec {
        TrackCodec::H264 => {
            let sps = h264::Config::parse(config)?.first;
            let rate = sps.frame_rate_millihz;
            Ok(pictures(codec, config, &sps.rfc6381(), sps.picture, rate))
        }
        TrackCodec::H265 => {
            let sps = h265::Config::parse(config)?.first;
            let rate = sps.frame_rate_millihz;
            let rfc6381 = sps.profile.rfc6381();
            Ok(pictures(codec, config, &rfc6381, sps.picture, rate))
        }
        TrackCodec::Av1 => {
            let header = av1::Config::parse(config)?.header;
            let header = header.ok_or(HeaderFault::Unsupported("AV1 without sequence header"))?;
            let rate = header.frame_rate_millihz;
            let rfc6381 = header.rfc6381();
            Ok(pictures(codec, config, &rfc6381, header.picture, rate))
        }
        TrackCodec::Vp9 => {
            let parsed = vp9::Config::parse(config)?;
            let rfc6381 = parsed.rfc6381();
            Ok(pictures(codec, config, &rfc6381, Picture::default(), 0))
        }
        TrackCodec::Aac => {
            let parsed = aac::Config::parse(config)?;
            let sound = Sound {
                sample_rate_hz: parsed.sample_rate_hz(),
                channels: parsed.channels(),
            };
            Ok(sounds(codec, config, &parsed.rfc6381(), sound))
        }
        TrackCodec::Opus => {
            let sound = Sound {
                sample_rate_hz: OPUS_RATE_HZ,
                channels: OpusHead::parse(config)?.channels,
            };
            Ok(sounds(codec, config, "Opus", sound))
        }
        TrackCodec::Flac => {
            let info = StreamInfo::parse(config)?;
            Ok(sounds(codec, config, "fLaC", info.sound))
        }
        TrackCodec::Mp3 | TrackCodec::Ac3 | TrackCodec::Eac3 => {
            Err(HeaderFault::Unsupported("a configuration"))
        }
    }
}

/// What a decoder must know of a track whose units say it themselves, from its unit `payload`:
/// sound in every unit; pictures in keyframes with their parameter sets, of which the
/// configuration is made then.
///
/// # Errors
/// Where the unit does not say it, and for codings that say it in a configuration only.
pub fn from_unit(codec: TrackCodec, payload: &[u8]) -> Result<TrackFormat, HeaderFault> {
    let none = Bytes::new();
    match codec {
        // RFC 6381 knows it as an object of MPEG-4; it is what playlists want.
        TrackCodec::Mp3 => {
            let header = Mp3Header::parse(payload)?;
            Ok(sounds(codec, &none, "mp4a.40.34", header.sound))
        }
        TrackCodec::Ac3 | TrackCodec::Eac3 => {
            let header = ac3::Header::parse(payload)?;
            let is_enhanced = codec == TrackCodec::Eac3;
            if header.is_enhanced != is_enhanced {
                return Err(HeaderFault::Invalid("AC-3 version"));
            }
            let rfc6381 = if is_enhanced { "ec-3" } else { "ac-3" };
            Ok(sounds(codec, &none, rfc6381, header.sound))
        }
        TrackCodec::Vp9 => {
            let header = vp9::FrameHeader::parse(payload)?;
            let (Some(mut config), Some(picture)) = (header.config, header.picture) else {
                return Err(HeaderFault::Unsupported("a start without keyframe"));
            };
            config.level = vp9::level_of(picture);
            Ok(pictures(
                codec,
                &config.record(),
                &config.rfc6381(),
                picture,
                0,
            ))
        }
        TrackCodec::H264 => from_config(codec, &h264::Config::of_payload(payload)?.record()),
        TrackCodec::H265 => from_config(codec, &h265::Config::of_payload(payload)?.record()),
        TrackCodec::Av1 => {
            let sequence = av1::Content::parse(payload)?.sequence;
            let sequence = sequence.ok_or(HeaderFault::Unsupported("a start without keyframe"))?;
            from_config(codec, &av1::record(sequence.whole)?)
        }
        TrackCodec::Aac | TrackCodec::Opus | TrackCodec::Flac => {
            Err(HeaderFault::Unsupported("a track without configuration"))
        }
    }
}

/// The configuration of a track after a keyframe with parameter sets, or a sequence header, that
/// say something else than `config`; `None` where they do not, or are damaged.
pub fn changed_config(codec: TrackCodec, config: &Bytes, keyframe: &[u8]) -> Option<Bytes> {
    match codec {
        TrackCodec::H264 => {
            let changed = h264::Config::parse(config).ok()?.with_sets_of(keyframe);
            changed.ok()?.map(|config| config.record())
        }
        TrackCodec::H265 => {
            let changed = h265::Config::parse(config).ok()?.with_sets_of(keyframe);
            changed.ok()?.map(|config| config.record())
        }
        TrackCodec::Av1 => av1::Config::parse(config).ok()?.changed_by(keyframe).ok()?,
        _ => None,
    }
}

/// The nanoseconds that a unit of sound plays; 0 where it does not say it, and for pictures.
pub fn sound_nanos(format: &TrackFormat, payload: &[u8]) -> u64 {
    let samples = match format.codec {
        TrackCodec::Aac => {
            return aac::Config::parse(&format.config).map_or(0, |config| config.frame_nanos());
        }
        TrackCodec::Mp3 => Mp3Header::parse(payload).map_or(0, |header| header.samples),
        TrackCodec::Opus => sound::opus_samples(payload),
        TrackCodec::Flac => sound::flac_samples(payload),
        TrackCodec::Ac3 | TrackCodec::Eac3 => {
            ac3::Header::parse(payload).map_or(0, |header| header.samples)
        }
        TrackCodec::H264 | TrackCodec::H265 | TrackCodec::Av1 | TrackCodec::Vp9 => 0,
    };
    let rate = u64::from(format.sample_rate_hz.max(1));
    (u64::from(samples) * 1_000_000_000 + rate / 2) / rate
}

fn pictures(
    codec: TrackCodec,
    config: &Bytes,
    rfc6381: &str,
    picture: Picture,
    frame_rate_millihz: u32,
) -> TrackFormat {
    TrackFormat {
        codec,
        config: config.clone(),
        rfc6381: Arc::from(rfc6381),
        width: picture.width,
        height: picture.height,
        frame_rate_millihz,
        sample_rate_hz: 0,
        channels: 0,
    }
}

fn sounds(codec: TrackCodec, config: &Bytes, rfc6381: &str, sound: Sound) -> TrackFormat {
    TrackFormat {
        codec,
        config: config.clone(),
        rfc6381: Arc::from(rfc6381),
        width: 0,
        height: 0,
        frame_rate_millihz: 0,
        sample_rate_hz: sound.sample_rate_hz,
        channels: sound.channels,
    }
}
