//! MPEG audio and ADTS: every frame is a unit.

use std::sync::Arc;

use bytes::Bytes;
use corecast_media::codec::Codec;
use corecast_media::track::{Track, TrackCodec, TrackFormat};

use super::{Said, TRACK};
use crate::adts::{self, sbr};
use crate::mpa;

/// RFC 6381 section 3.3 with the object type of layer III in MPEG-4.
const MP3_RFC6381: &str = "mp4a.40.34";

/// MPEG audio of layer III.
#[derive(Debug, Default)]
pub(super) struct Mpa {
    /// Rate and channels that were said.
    said: Option<(u32, u8)>,
}

impl Mpa {
    pub(super) fn on_frame(&mut self, frame: &Bytes, said: &mut Vec<Said>) {
        let header = frame.first_chunk().copied();
        let Some(header) = header.and_then(mpa::header::Header::parse) else {
            return;
        };
        let format = header.format();
        if format.codec != Codec::Mp3 || header.is_contents_table(frame) {
            return;
        }
        let parameters = (format.sample_rate_hz, format.channels);
        if self.said.replace(parameters) != Some(parameters) {
            let config = Bytes::new();
            said.push(track(TrackCodec::Mp3, config, MP3_RFC6381, parameters));
        }
        said.push(Said::Unit(frame.clone(), header.samples()));
    }
}

/// AAC.
#[derive(Debug, Default)]
pub(super) struct Adts {
    /// The configuration that was said or is about to be.
    config: Option<[u8; 2]>,
    /// First units whose replicated band is not decided yet.
    held: Vec<Bytes>,
    /// How many of them carry one.
    bands: usize,
    is_decided: bool,
    has_band: bool,
}

impl Adts {
    pub(super) fn buffered_bytes(&self) -> usize {
        self.held.iter().map(Bytes::len).sum()
    }

    pub(super) fn on_frame(&mut self, frame: &Bytes, said: &mut Vec<Said>) {
        let header = frame.first_chunk().copied();
        let Some(header) = header.and_then(adts::header::Header::parse) else {
            return;
        };
        let format = header.format();
        let config = header.specific_config();
        if self.config != Some(config) {
            self.decide(self.has_band, said);
            *self = Adts {
                config: Some(config),
                ..Adts::default()
            };
        }
        // Several blocks have no borders that could be seen without decoding; and without a number
        // of channels a configuration needs what stands in the first block.
        if header.blocks() > 1 || format.channels == 0 {
            if self.is_decided {
                said.push(Said::Gap(self.samples(header.samples())));
            }
            return;
        }
        let block = frame.slice(header.payload_at().min(frame.len())..);
        if self.is_decided {
            return said.push(Said::Unit(block, self.samples(header.samples())));
        }
        if format.sample_rate_hz > sbr::CORE_RATE_MAX_HZ {
            self.held.push(block);
            return self.decide(false, said);
        }
        self.bands += usize::from(sbr::is_in(&block));
        self.held.push(block);
        let misses = self.held.len() - self.bands;
        if self.bands >= sbr::BLOCKS_WITH_BAND {
            self.decide(true, said);
        } else if misses > sbr::BLOCKS - sbr::BLOCKS_WITH_BAND {
            self.decide(false, said);
        }
    }

    /// Says the track and the units that waited for it.
    fn decide(&mut self, has_band: bool, said: &mut Vec<Said>) {
        let Some(config) = self.config else {
            return;
        };
        if self.is_decided || self.held.is_empty() {
            return;
        }
        self.is_decided = true;
        self.has_band = has_band;
        said.extend(aac_track(config, has_band));
        let samples = self.samples(adts::header::BLOCK_SAMPLES);
        let units = self.held.drain(..);
        said.extend(units.map(|block| Said::Unit(block, samples)));
    }

    /// Samples of the decoded sound for those of the core coder.
    fn samples(&self, core: u32) -> u32 {
        if self.has_band { 2 * core } else { core }
    }
}

/// The track of a configuration; a replicated band is not in it and is found by decoders.
fn aac_track(config: [u8; 2], has_band: bool) -> Option<Said> {
    let parsed = corecast_media::codec::aac::Config::parse(&config).ok()?;
    let (rate_hz, name) = if has_band {
        let name = format!("mp4a.40.{}", corecast_media::codec::aac::object_type::SBR);
        (2 * parsed.core_rate_hz, name)
    } else {
        (parsed.core_rate_hz, parsed.rfc6381())
    };
    let config = Bytes::copy_from_slice(&config);
    let parameters = (rate_hz, parsed.core_channels);
    Some(track(TrackCodec::Aac, config, &name, parameters))
}

/// A track of sound with so many samples a second and channels.
fn track(
    codec: TrackCodec,
    config: Bytes,
    rfc6381: &str,
    (sample_rate_hz, channels): (u32, u8),
) -> Said {
    Said::Track(Track {
        id: TRACK,
        format: TrackFormat {
            codec,
            config,
            rfc6381: Arc::from(rfc6381),
            width: 0,
            height: 0,
            frame_rate_millihz: 0,
            sample_rate_hz,
            channels,
        },
    })
}
