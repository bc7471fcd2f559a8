//! Opus and FLAC in Ogg: one chain link after another, timed by granule positions.

use bytes::Bytes;
use corecast_media::codec::Codec;
use corecast_media::codec::describe;
use corecast_media::codec::sound::{self, STREAM_INFO_BYTES};
use corecast_media::track::{Track, TrackCodec};

use super::packets::Packets;
use super::{Said, TRACK};
use crate::ogg::codec::Identity;
use crate::ogg::page::{HEADER_BYTES, Page, page_bytes};

/// Parts of a second by which positions and counted samples may differ: some encoders round.
const TOLERANCE_PARTS: u32 = 100;

/// Seconds without media that are believed; a longer jump is one of the encoder's clock.
const GAP_SECONDS_MAX: u32 = 10;

/// The links of one chain.
#[derive(Debug, Default)]
pub(super) struct Pages {
    link: Option<Link>,
}

/// The logical stream of a link that is heard.
#[derive(Debug)]
struct Link {
    serial: u32,
    codec: TrackCodec,
    rate_hz: u32,
    packets: Packets,
    /// The granule position at which the next packet starts, once a page told it.
    position: Option<i64>,
    /// Samples that a decoder drops and that still count as time (RFC 7845 section 4.2).
    pre_skip: u32,
}

impl Pages {
    pub(super) fn buffered_bytes(&self) -> usize {
        self.link
            .as_ref()
            .map_or(0, |link| link.packets.buffered_bytes())
    }

    /// Takes the set-up of the next link.
    pub(super) fn on_set_up(&mut self, pages: &Bytes, said: &mut Vec<Said>) {
        self.link = None;
        for page in split(pages).filter(|page| page.is_first) {
            let Some((packet, true)) = page.pieces().next() else {
                continue;
            };
            let identity = Identity::parse(&packet);
            if identity.format.codec == Codec::Opaque {
                continue;
            }
            // The first stream of sound is the one that is heard.
            self.link = set_up(&page, &packet, &identity, said);
            return;
        }
    }

    /// Takes a page of media.
    pub(super) fn on_page(&mut self, page: &Bytes, said: &mut Vec<Said>) {
        let Some(page) = Page::parse(page.clone()) else {
            return;
        };
        if let Some(link) = &mut self.link
            && link.serial == page.serial
        {
            link.on_page(&page, said);
        }
    }
}

/// The pages of a set-up, which stand one after another.
fn split(pages: &Bytes) -> impl Iterator<Item = Page> {
    let mut rest = pages.clone();
    std::iter::from_fn(move || {
        let segment = |at| rest.get(at).copied().unwrap_or(0);
        let bytes = page_bytes(*rest.first_chunk::<HEADER_BYTES>()?, segment)?;
        if bytes > rest.len() {
            return None;
        }
        Page::parse(rest.split_to(bytes))
    })
}

/// Reads the first packet of a stream of sound and says its track.
fn set_up(page: &Page, packet: &Bytes, identity: &Identity, said: &mut Vec<Said>) -> Option<Link> {
    let (codec, config) = match identity.format.codec {
        Codec::Opus => (TrackCodec::Opus, packet.clone()),
        Codec::Flac => (TrackCodec::Flac, stream_info(packet)?),
        _ => return None,
    };
    let format = describe::from_config(codec, &config).ok()?;
    let rate_hz = format.sample_rate_hz;
    said.push(Said::Track(Track { id: TRACK, format }));
    Some(Link {
        serial: page.serial,
        codec,
        rate_hz,
        packets: Packets::default(),
        position: None,
        pre_skip: identity.pre_skip,
    })
}

/// STREAMINFO out of the first packet (RFC 9639 section 10.1), without what is only true of a file:
/// the lengths of its frames, how many samples it has and their checksum. Zero means not known.
fn stream_info(packet: &[u8]) -> Option<Bytes> {
    const AT: usize = 9 + 4 + 4;
    let info: &[u8; STREAM_INFO_BYTES] = packet.get(AT..)?.first_chunk()?;
    let mut info = *info;
    let (head, tail) = info.split_at_mut(14);
    head.get_mut(4..10)?.fill(0);
    *head.get_mut(13)? &= 0xf0;
    tail.fill(0);
    Some(Bytes::copy_from_slice(&info))
}

impl Link {
    fn on_page(&mut self, page: &Page, said: &mut Vec<Said>) {
        let mut packets = Vec::new();
        self.packets.push(page, &mut packets);
        let codec = self.codec;
        let mut units: Vec<(Bytes, u32)> = packets
            .into_iter()
            .map(|packet| {
                let samples = match codec {
                    TrackCodec::Opus => sound::opus_samples(&packet),
                    _ => sound::flac_samples(&packet),
                };
                (packet, samples)
            })
            .filter(|(_, samples)| *samples > 0)
            .collect();
        // At most 255 packets end in a page, each of at most 65,536 samples.
        let total: u32 = units.iter().map(|(_, samples)| samples).sum();
        if let Some(granule) = page.granule {
            self.on_position(granule.cast_signed(), total, page.is_last, said);
        }
        let end = self
            .position
            .map(|start| start.saturating_add(total.into()));
        self.position = end;
        for (_, samples) in &mut units {
            let skipped = self.pre_skip.min(*samples / 2);
            self.pre_skip -= skipped;
            *samples -= skipped;
        }
        if let (true, Some(granule), Some(end)) = (page.is_last, page.granule, end)
            && let Some((_, samples)) = units.last_mut()
        {
            // RFC 7845 section 4.4: the last page may end inside of its last packet.
            let trimmed = end.saturating_sub(granule.cast_signed());
            let trimmed = u32::try_from(trimmed).unwrap_or(0);
            *samples = samples.saturating_sub(trimmed).max(1);
        }
        said.extend(
            units
                .into_iter()
                .map(|(unit, samples)| Said::Unit(unit, samples)),
        );
    }

    /// Compares a page's position at its end with the samples that were counted: what is missing
    /// was lost, and its time passes.
    fn on_position(&mut self, granule: i64, samples: u32, is_last: bool, said: &mut Vec<Said>) {
        let start = granule.saturating_sub(samples.into());
        let Some(expected) = self.position else {
            self.position = Some(start.max(0));
            return;
        };
        let tolerance = i64::from(self.rate_hz / TOLERANCE_PARTS);
        let gap_max = i64::from(self.rate_hz).saturating_mul(GAP_SECONDS_MAX.into());
        let ahead = start.saturating_sub(expected);
        if ahead.saturating_abs() <= tolerance || (is_last && ahead < 0) {
            return;
        }
        self.position = Some(start);
        if ahead > 0 && ahead <= gap_max {
            said.push(Said::Gap(u32::try_from(ahead).unwrap_or(0)));
        }
    }
}
