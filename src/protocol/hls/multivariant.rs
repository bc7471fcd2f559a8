//! Writes the multivariant playlist (draft-pantos-hls-rfc8216bis section 4.4.6).

use std::fmt::Write;

use corecast_media::track::{TrackFormat, TrackKind};

use super::name::{RenditionId, Resource};

/// Section 8: audio groups need 4.
const VERSION: u32 = 4;

/// The name of the only audio group.
const AUDIO_GROUP: &str = "audio";

/// What is said of one rendition.
#[derive(Debug)]
pub(super) struct Offer<'o> {
    pub(super) rendition: RenditionId,
    pub(super) format: &'o TrackFormat,
    /// Pictures in 1,000 seconds as measured, for formats that do not say.
    pub(super) frame_rate_millihz: u32,
    /// The highest rate of a segment, and that of all, in bits per second.
    pub(super) peak_bps: u64,
    pub(super) average_bps: u64,
}

/// The text; `prefix` leads to the folder of the media playlists.
pub(super) fn write(offers: &[Offer<'_>], independent: bool, prefix: &str) -> String {
    let mut text = String::with_capacity(512);
    let _ = writeln!(text, "#EXTM3U\n#EXT-X-VERSION:{VERSION}");
    if independent {
        text.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
    }
    let of = |kind: TrackKind| {
        offers
            .iter()
            .filter(move |offer| offer.rendition.kind == kind)
    };
    let has_video = of(TrackKind::Video).next().is_some();
    let audio_count = of(TrackKind::Audio).count();
    let has_group = (has_video && audio_count > 0) || audio_count > 1;
    if has_group {
        for offer in of(TrackKind::Audio) {
            write_media(&mut text, offer, prefix);
        }
    }
    let variants: Vec<&Offer<'_>> = if has_video {
        of(TrackKind::Video).collect()
    } else {
        of(TrackKind::Audio).take(1).collect()
    };
    for variant in variants {
        write_variant(&mut text, variant, offers, has_group);
        let name = Resource::Playlist(variant.rendition);
        let _ = writeln!(text, "{prefix}{name}");
    }
    text
}

/// Section 4.4.6.1.
fn write_media(text: &mut String, offer: &Offer<'_>, prefix: &str) {
    let index = offer.rendition.index;
    let first = if index == 0 { "YES" } else { "NO" };
    let _ = write!(
        text,
        "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{AUDIO_GROUP}\",NAME=\"Audio {}\",\
         DEFAULT={first},AUTOSELECT=YES",
        u32::from(index) + 1
    );
    if offer.format.channels > 0 {
        let _ = write!(text, ",CHANNELS=\"{}\"", offer.format.channels);
    }
    let name = Resource::Playlist(offer.rendition);
    let _ = writeln!(text, ",URI=\"{prefix}{name}\"");
}

/// Section 4.4.6.2.
fn write_variant(text: &mut String, variant: &Offer<'_>, offers: &[Offer<'_>], has_group: bool) {
    let others = || {
        offers.iter().filter(|offer| {
            has_group
                && offer.rendition.kind == TrackKind::Audio
                && offer.rendition != variant.rendition
        })
    };
    // The dearest rendition of the group goes with the variant.
    let audio_peak = others().map(|offer| offer.peak_bps).max().unwrap_or(0);
    let audio_average = others().map(|offer| offer.average_bps).max().unwrap_or(0);
    let (peak, average) = if variant.rendition.kind == TrackKind::Video {
        (
            variant.peak_bps + audio_peak,
            variant.average_bps + audio_average,
        )
    } else {
        (
            variant.peak_bps.max(audio_peak),
            variant.average_bps.max(audio_average),
        )
    };
    let mut codecs: Vec<&str> = vec![&variant.format.rfc6381];
    for offer in others() {
        if !codecs.contains(&&*offer.format.rfc6381) {
            codecs.push(&offer.format.rfc6381);
        }
    }
    codecs.retain(|codec| !codec.is_empty());
    let _ = write!(
        text,
        "#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={}",
        peak.max(1),
        average.max(1)
    );
    if !codecs.is_empty() {
        let _ = write!(text, ",CODECS=\"{}\"", codecs.join(","));
    }
    let format = variant.format;
    if format.width > 0 && format.height > 0 {
        let _ = write!(text, ",RESOLUTION={}x{}", format.width, format.height);
    }
    let rate = match format.frame_rate_millihz {
        0 => variant.frame_rate_millihz,
        rate => rate,
    };
    if rate > 0 && variant.rendition.kind == TrackKind::Video {
        let _ = write!(text, ",FRAME-RATE={}.{:03}", rate / 1_000, rate % 1_000);
    }
    if has_group {
        let _ = write!(text, ",AUDIO=\"{AUDIO_GROUP}\"");
    }
    text.push('\n');
}
