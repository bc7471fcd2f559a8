//! The one face of the headers: a configuration or a first unit to a [`TrackFormat`].

use std::sync::Arc;

use bytes::Bytes;

use super::video::Picture;
use super::{HeaderFault, aac, h264};
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
        TrackCodec::Aac => {
            let parsed = aac::Config::parse(config)?;
            let (rate, channels) = (parsed.sample_rate_hz(), parsed.channels());
            Ok(sound(codec, config, &parsed.rfc6381(), rate, channels))
        }
        _ => Err(HeaderFault::Unsupported("a configuration")),
    }
}

/// What a decoder must know of a track without a configuration, from its unit `payload`.
///
/// # Errors
/// Where the unit does not say it.
pub fn from_unit(_codec: TrackCodec, _payload: &[u8]) -> Result<TrackFormat, HeaderFault> {
    Err(HeaderFault::Unsupported("a track without configuration"))
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

fn sound(
    codec: TrackCodec,
    config: &Bytes,
    rfc6381: &str,
    sample_rate_hz: u32,
    channels: u8,
) -> TrackFormat {
    TrackFormat {
        codec,
        config: config.clone(),
        rfc6381: Arc::from(rfc6381),
        width: 0,
        height: 0,
        frame_rate_millihz: 0,
        sample_rate_hz,
        channels,
    }
}
