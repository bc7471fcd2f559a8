//! Multivariant playlists (draft-pantos-hls-rfc8216bis section 4.4.6).

use super::attributes::{Attributes, integer};

/// A multivariant playlist.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Multivariant {
    /// What is wrong with it.
    pub(crate) faults: Vec<String>,
    /// `EXT-X-VERSION`, 1 where it is missing.
    pub(crate) version: u64,
    /// `EXT-X-INDEPENDENT-SEGMENTS`.
    pub(crate) is_independent: bool,
    /// `EXT-X-STREAM-INF`.
    pub(crate) variants: Vec<Variant>,
    /// `EXT-X-MEDIA`.
    pub(crate) media: Vec<Media>,
}

/// `EXT-X-STREAM-INF`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Variant {
    pub(crate) uri: String,
    pub(crate) bandwidth_bps: Option<u64>,
    pub(crate) average_bps: Option<u64>,
    pub(crate) codecs: Vec<String>,
    pub(crate) resolution: Option<String>,
    pub(crate) frame_rate: Option<f64>,
    pub(crate) audio: Option<String>,
}

/// `EXT-X-MEDIA`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Media {
    pub(crate) kind: String,
    pub(crate) group: String,
    pub(crate) uri: Option<String>,
}

impl Multivariant {
    /// Reads a playlist; what is wrong stands in [`Multivariant::faults`].
    pub(crate) fn parse(text: &str) -> Multivariant {
        let mut list = Multivariant {
            version: 1,
            ..Multivariant::default()
        };
        if text.lines().next() != Some("#EXTM3U") {
            list.faults.push("the first line is not #EXTM3U".to_owned());
        }
        if text.contains(|letter: char| letter.is_control() && letter != '\n') {
            list.faults.push("control characters".to_owned());
        }
        let mut variant: Option<Variant> = None;
        for line in text.lines().filter(|line| !line.is_empty()) {
            let Some(tag) = line.strip_prefix('#') else {
                match variant.take() {
                    Some(variant) => list.variants.push(Variant {
                        uri: line.to_owned(),
                        ..variant
                    }),
                    None => list.faults.push(format!("{line} has no EXT-X-STREAM-INF")),
                }
                continue;
            };
            let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
            match name {
                "EXT-X-VERSION" => list.version = integer(value).unwrap_or(0),
                "EXT-X-INDEPENDENT-SEGMENTS" => list.is_independent = true,
                "EXT-X-STREAM-INF" | "EXT-X-MEDIA" => match Attributes::parse(value) {
                    Ok(attributes) if name == "EXT-X-MEDIA" => list.on_media(&attributes),
                    Ok(attributes) => variant = Some(stream(&attributes)),
                    Err(fault) => list.faults.push(format!("{name}: {fault}")),
                },
                "EXTINF" | "EXT-X-TARGETDURATION" | "EXT-X-PART" => {
                    list.faults
                        .push(format!("{name} belongs into a media playlist"));
                }
                _ => {}
            }
        }
        list
    }

    fn on_media(&mut self, attributes: &Attributes) {
        match (attributes.plain("TYPE"), attributes.quoted("GROUP-ID")) {
            (Some(kind), Some(group)) if attributes.quoted("NAME").is_some() => {
                self.media.push(Media {
                    kind: kind.to_owned(),
                    group: group.to_owned(),
                    uri: attributes.quoted("URI").map(str::to_owned),
                });
            }
            _ => self
                .faults
                .push("EXT-X-MEDIA lacks TYPE, GROUP-ID or NAME".to_owned()),
        }
    }

    /// The addresses of all media playlists, each once.
    pub(crate) fn uris(&self) -> Vec<&str> {
        let variants = self.variants.iter().map(|variant| variant.uri.as_str());
        let media = self.media.iter().filter_map(|media| media.uri.as_deref());
        let mut uris: Vec<&str> = Vec::new();
        for uri in variants.chain(media) {
            if !uris.contains(&uri) {
                uris.push(uri);
            }
        }
        uris
    }
}

fn stream(attributes: &Attributes) -> Variant {
    let codecs = attributes.quoted("CODECS").unwrap_or_default();
    let frame_rate = attributes.plain("FRAME-RATE");
    Variant {
        uri: String::new(),
        bandwidth_bps: attributes.integer("BANDWIDTH"),
        average_bps: attributes.integer("AVERAGE-BANDWIDTH"),
        codecs: codecs
            .split(',')
            .map(|codec| codec.trim().to_owned())
            .collect(),
        resolution: attributes.plain("RESOLUTION").map(str::to_owned),
        frame_rate: frame_rate.and_then(|rate| rate.parse().ok()),
        audio: attributes.quoted("AUDIO").map(str::to_owned),
    }
}
