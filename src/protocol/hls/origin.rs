//! The reader's side of a mount, one on each shard: it keeps what the packager said and answers
//! requests from it. Every answer for one address has the same bytes; nothing is rendered here.
//!
//! A request that has to wait is only a [`WaitKey`]; who waits is kept by the caller (see
//! [`super::Waiters`]), who asks again when [`Origin::apply`] says that the key is released.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corecast_media::time::Time;

use super::answer::{Answer, Body, Cache, ContentType, Response};
use super::directive::{BadDirective, Directives, Skip};
use super::name::{RenditionId, Resource};
use super::step::{Edge, Multivariant, Piece, Playlist, Rendered, Step, Update};

/// How many target durations a request may wait (draft-pantos-hls-rfc8216bis section 6.2.5.2).
const WAIT_TARGETS_MAX: u32 = 3;

/// How long the answer to a blocked request may be kept, in target durations: the draft's
/// appendix on CDNs asks for six.
const BLOCKED_CACHE_TARGETS: u32 = 6;

/// How many init segments of a rendition are kept: more than a window holds of a source that
/// changes its configuration with every segment.
const INITS_MAX: usize = 64;

/// How many gaps in a row have a place; more than any window holds.
const GAPS_MAX: u64 = 1 << 16;

/// What a request waits for. Keys of one rendition rise with time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaitKey {
    /// Whose playlist; none for the first multivariant playlist.
    pub rendition: Option<RenditionId>,
    /// The segment.
    pub msn: u64,
    /// The part of it; [`u32::MAX`] for the whole segment.
    pub part: u32,
}

/// What a step sets free: see [`Released::covers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// Nobody.
    Nothing,
    /// The waiters of one rendition up to this key, itself included.
    UpTo(WaitKey),
    /// Everybody.
    All,
}

impl Released {
    /// Whether a request that waits for `key` should be asked again.
    pub fn covers(&self, key: &WaitKey) -> bool {
        match self {
            Released::Nothing => false,
            Released::UpTo(last) => last.rendition == key.rendition && key <= last,
            Released::All => true,
        }
    }
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    /// What it asks for.
    pub resource: Resource<'r>,
    /// Whether it came to the mount's own address and not into the folder of media playlists;
    /// matters to the multivariant playlist only.
    pub outside: bool,
    /// What its query says.
    pub directives: &'r Directives,
    /// Whether the client takes gzip.
    pub gzip: bool,
    /// When it came; it waits from then on.
    pub arrived: Time,
}

/// What one shard knows of a mount's HLS.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    multivariant: Option<Arc<Multivariant>>,
    manifest: Option<Arc<Rendered>>,
    shelves: BTreeMap<RenditionId, Shelf>,
}

/// One rendition's files.
#[derive(Clone, Debug, Default)]
struct Shelf {
    /// Numbers rise by one from the first's.
    inits: VecDeque<(u32, Bytes)>,
    /// Media sequence numbers rise by one from the first's.
    segments: VecDeque<Shelved>,
    playlist: Option<Playlist>,
}

#[derive(Clone, Debug)]
struct Shelved {
    msn: u64,
    /// None for a gap.
    parts: Vec<Option<Bytes>>,
    /// Whether they are packed sound.
    packed: bool,
    /// The parts again, once all are there and none is a gap.
    whole: Option<Arc<[Bytes]>>,
}

impl Origin {
    /// Nothing known yet: requests wait for the first step.
    pub fn new() -> Self {
        Origin::default()
    }

    /// Takes a step and says who waits no longer.
    pub fn apply(&mut self, step: &Step) -> Released {
        match step {
            Step::Multivariant(multivariant) => self.on_multivariant(multivariant),
            Step::Init {
                rendition,
                number,
                bytes,
            } => {
                if let Some(shelf) = self.shelves.get_mut(rendition) {
                    shelf.inits.push_back((*number, bytes.clone()));
                    if shelf.inits.len() > INITS_MAX {
                        shelf.inits.pop_front();
                    }
                }
                Released::Nothing
            }
            Step::Manifest(manifest) => {
                let first = self.manifest.replace(Arc::clone(manifest)).is_none();
                if first {
                    Released::All
                } else {
                    Released::Nothing
                }
            }
            Step::Update(update) => self.on_update(update),
            Step::Snapshot(origin) => {
                self.clone_from(origin);
                Released::All
            }
        }
    }

    /// Forgets everything: the source is gone for good. Who waits is to be asked again, and then
    /// waits for the next source.
    pub fn clear(&mut self) -> Released {
        *self = Origin::new();
        Released::All
    }

    /// Answers a request.
    pub fn request(&self, now: Time, request: &Request<'_>) -> Answer {
        let answer = match request.resource {
            Resource::Multivariant => self.multivariant(request),
            Resource::Manifest => self.manifest(request),
            Resource::Playlist(rendition) => self.playlist(now, rendition, request),
            Resource::Init {
                rendition,
                epoch,
                number,
            } => self.init(rendition, epoch, number),
            Resource::Segment {
                rendition,
                epoch,
                msn,
                packed,
            } => self.segment(rendition, epoch, msn, packed, request.arrived),
            Resource::Part {
                rendition,
                epoch,
                msn,
                part,
                packed,
            } => self.part(rendition, epoch, (msn, part), packed, request.arrived),
        };
        match answer {
            Answer::Wait { until, .. } if until <= now => Answer::Unavailable,
            answer => answer,
        }
    }

    /// How long a request may wait.
    pub fn wait_max(&self) -> Duration {
        self.target_duration() * WAIT_TARGETS_MAX
    }

    /// The renditions that are offered, in the order of ids.
    pub fn renditions(&self) -> impl Iterator<Item = RenditionId> {
        self.shelves.keys().copied()
    }

    /// How far a rendition's playlist goes, and whether it has ended.
    pub fn edge(&self, rendition: RenditionId) -> Option<(Edge, bool)> {
        let playlist = self.shelves.get(&rendition)?.playlist.as_ref()?;
        Some((playlist.edge, playlist.ended))
    }

    /// What the part that comes next will be called, in the folder of the playlist.
    pub fn next_part(&self, rendition: RenditionId) -> Option<String> {
        let epoch = &self.multivariant.as_ref()?.epoch;
        let shelf = self.shelves.get(&rendition)?;
        let playlist = shelf.playlist.as_ref().filter(|playlist| !playlist.ended)?;
        let next = Resource::Part {
            rendition,
            epoch,
            msn: playlist.edge.msn,
            part: playlist.edge.parts,
            packed: shelf.segments.back()?.packed,
        };
        Some(next.to_string())
    }

    /// Bytes of media that are held.
    pub fn media_bytes(&self) -> usize {
        let parts = |segment: &Shelved| -> usize {
            segment.parts.iter().flatten().map(|part| part.len()).sum()
        };
        self.shelves
            .values()
            .flat_map(|shelf| shelf.segments.iter().map(parts))
            .sum()
    }

    fn target_duration(&self) -> Duration {
        let seconds = self.multivariant.as_ref();
        Duration::from_secs(seconds.map_or(2, |known| u64::from(known.target_duration_s)))
    }

    fn on_multivariant(&mut self, multivariant: &Arc<Multivariant>) -> Released {
        let before = self.multivariant.replace(Arc::clone(multivariant));
        let same_epoch = before.is_some_and(|before| before.epoch == multivariant.epoch);
        if !same_epoch {
            self.shelves.clear();
            self.manifest = None;
        }
        let count = self.shelves.len();
        self.shelves
            .retain(|rendition, _| multivariant.renditions.contains(rendition));
        let gone = self.shelves.len() < count;
        for &rendition in multivariant.renditions.iter() {
            self.shelves.entry(rendition).or_default();
        }
        if same_epoch && !gone {
            Released::Nothing
        } else {
            Released::All
        }
    }

    fn on_update(&mut self, update: &Update) -> Released {
        let Some(shelf) = self.shelves.get_mut(&update.rendition) else {
            return Released::Nothing;
        };
        for piece in &update.pieces {
            shelf.push(piece);
        }
        shelf.complete_below(update.playlist.edge.msn);
        shelf.drop_below(update.kept_from);
        shelf.playlist = Some(update.playlist.clone());
        let edge = update.playlist.edge;
        let (msn, part) = match (update.playlist.ended, edge.parts.checked_sub(1)) {
            (true, _) => (u64::MAX, u32::MAX),
            (false, Some(part)) => (edge.msn, part),
            (false, None) => (edge.msn.saturating_sub(1), u32::MAX),
        };
        Released::UpTo(WaitKey {
            rendition: Some(update.rendition),
            msn,
            part,
        })
    }

    fn multivariant(&self, request: &Request<'_>) -> Answer {
        let Some(known) = &self.multivariant else {
            return self.wait(None, 0, 0, request.arrived);
        };
        let rendered = if request.outside {
            &known.outside
        } else {
            &known.inside
        };
        text(rendered, request, Cache::Revalidate)
    }

    fn manifest(&self, request: &Request<'_>) -> Answer {
        let mut newest = self.shelves.values().map(|shelf| shelf.segments.back());
        if newest.any(|newest| newest.is_some_and(|newest| newest.packed)) {
            return Answer::NotFound;
        }
        let Some(manifest) = &self.manifest else {
            return self.wait(None, 0, 0, request.arrived);
        };
        let mut answer = text(manifest, request, Cache::Revalidate);
        if let Answer::Ready(response) = &mut answer {
            response.content_type = ContentType::Manifest;
        }
        answer
    }

    fn playlist(&self, now: Time, rendition: RenditionId, request: &Request<'_>) -> Answer {
        let Some(shelf) = self.shelves.get(&rendition) else {
            return match self.multivariant {
                Some(_) => Answer::NotFound,
                None => self.wait(None, 0, 0, request.arrived),
            };
        };
        let Some(playlist) = &shelf.playlist else {
            return self.wait(Some(rendition), 0, 0, request.arrived);
        };
        // Section 6.2.5.2: what ended for good is given at once.
        if playlist.ended {
            return text(&playlist.full, request, Cache::Revalidate);
        }
        let directives = request.directives;
        // Players that know nothing of parts give up on a list without segments.
        let knows_parts = directives.msn.is_some() || directives.skip != Skip::Nothing;
        if !playlist.has_segments && !knows_parts && now < request.arrived + self.wait_max() {
            return self.wait(
                Some(rendition),
                playlist.edge.msn,
                u32::MAX,
                request.arrived,
            );
        }
        let cache = match directives.msn {
            None => Cache::Revalidate,
            Some(msn) => {
                match awaited(&playlist.edge, msn, directives.part, self.parts_ahead_max()) {
                    Err(reason) => return Answer::BadRequest(reason),
                    Ok(Some((msn, part))) => {
                        return self.wait(Some(rendition), msn, part, request.arrived);
                    }
                    Ok(None) => Cache::Seconds(self.target_seconds() * BLOCKED_CACHE_TARGETS),
                }
            }
        };
        let delta = match directives.skip {
            Skip::Nothing => None,
            Skip::Segments => playlist.delta.as_ref(),
            Skip::SegmentsAndDateranges => playlist.delta_v2.as_ref().or(playlist.delta.as_ref()),
        };
        text(delta.unwrap_or(&playlist.full), request, cache)
    }

    fn init(&self, rendition: RenditionId, epoch: &str, number: u32) -> Answer {
        let Some(shelf) = self.shelf(rendition, epoch) else {
            return Answer::NotFound;
        };
        let found = shelf.inits.iter().find(|(known, _)| *known == number);
        match found {
            Some((_, bytes)) => media(rendition, false, Body::One(bytes.clone())),
            None => Answer::NotFound,
        }
    }

    fn segment(
        &self,
        rendition: RenditionId,
        epoch: &str,
        msn: u64,
        packed: bool,
        arrived: Time,
    ) -> Answer {
        let Some(shelf) = self.shelf(rendition, epoch) else {
            return Answer::NotFound;
        };
        let found = shelf
            .segment(msn)
            .filter(|segment| segment.packed == packed)
            .and_then(|segment| segment.whole.as_ref());
        match (found, &shelf.playlist) {
            (Some(whole), _) => media(rendition, packed, Body::Pieces(Arc::clone(whole))),
            // Players of DASH ask for the next one: ffmpeg takes a 404 for a hole and goes past it.
            (None, Some(playlist)) if !playlist.ended && playlist.edge.msn == msn => {
                self.wait(Some(rendition), msn, u32::MAX, arrived)
            }
            _ => Answer::NotFound,
        }
    }

    fn part(
        &self,
        rendition: RenditionId,
        epoch: &str,
        (msn, part): (u64, u32),
        packed: bool,
        arrived: Time,
    ) -> Answer {
        let Some(shelf) = self.shelf(rendition, epoch) else {
            return Answer::NotFound;
        };
        let index = usize::try_from(part).unwrap_or(usize::MAX);
        let found = shelf
            .segment(msn)
            .filter(|segment| segment.packed == packed)
            .and_then(|segment| segment.parts.get(index));
        match (found, &shelf.playlist) {
            (Some(Some(bytes)), _) => media(rendition, packed, Body::One(bytes.clone())),
            // Only what the playlist hints at is waited for.
            (None, Some(playlist))
                if !playlist.ended && (playlist.edge.msn, playlist.edge.parts) == (msn, part) =>
            {
                self.wait(Some(rendition), msn, part, arrived)
            }
            _ => Answer::NotFound,
        }
    }

    fn shelf(&self, rendition: RenditionId, epoch: &str) -> Option<&Shelf> {
        let known = self.multivariant.as_ref()?;
        (*known.epoch == *epoch).then(|| self.shelves.get(&rendition))?
    }

    fn wait(&self, rendition: Option<RenditionId>, msn: u64, part: u32, arrived: Time) -> Answer {
        Answer::Wait {
            key: WaitKey {
                rendition,
                msn,
                part,
            },
            until: arrived + self.wait_max(),
        }
    }

    fn target_seconds(&self) -> u32 {
        u32::try_from(self.target_duration().as_secs()).unwrap_or(u32::MAX)
    }

    /// The Advance Part Limit (section 6.2.5.2).
    fn parts_ahead_max(&self) -> u64 {
        let known = self.multivariant.as_ref();
        let part_target = known.map_or(Duration::ZERO, |known| known.part_target);
        if part_target.is_zero() || part_target >= Duration::from_secs(1) {
            return 3;
        }
        Duration::from_secs(3)
            .as_micros()
            .div_ceil(part_target.as_micros())
            .try_into()
            .unwrap_or(u64::MAX)
    }
}

/// What a request has to wait for: nothing, or the segment and part (section 6.2.5.2).
fn awaited(
    edge: &Edge,
    msn: u64,
    part: Option<u64>,
    parts_ahead_max: u64,
) -> Result<Option<(u64, u32)>, BadDirective> {
    // The last complete segment is the one before the edge's.
    if msn > edge.msn.saturating_add(1) {
        return Err(BadDirective::TooFarAhead);
    }
    let Some(part) = part else {
        return Ok((msn >= edge.msn).then_some((msn, u32::MAX)));
    };
    // A part behind the last one of a complete segment is the first one of the next.
    let follows = msn.checked_add(1) == Some(edge.msn)
        && edge.parts_before > 0
        && part >= u64::from(edge.parts_before);
    let (msn, part) = if follows { (edge.msn, 0) } else { (msn, part) };
    if msn < edge.msn {
        return Ok(None);
    }
    let listed = if msn == edge.msn {
        u64::from(edge.parts)
    } else {
        0
    };
    if part < listed {
        return Ok(None);
    }
    // One more than the limit from the last one that is listed.
    if part - listed >= parts_ahead_max {
        return Err(BadDirective::TooFarAhead);
    }
    let part = u32::try_from(part).map_err(|_| BadDirective::TooFarAhead)?;
    Ok(Some((msn, part)))
}

fn text(rendered: &Rendered, request: &Request<'_>, cache: Cache) -> Answer {
    let (body, etag, gzip, cache) = match &request.directives.token {
        Some(token) => (rendered.with_token(token), None, false, cache.private()),
        None if request.gzip => (
            rendered.gzip.clone(),
            Some(Arc::clone(&rendered.gzip_etag)),
            true,
            cache,
        ),
        None => (
            rendered.plain.clone(),
            Some(Arc::clone(&rendered.etag)),
            false,
            cache,
        ),
    };
    Answer::Ready(Response {
        content_type: ContentType::Playlist,
        cache,
        etag,
        gzip,
        body: Body::One(body),
    })
}

fn media(rendition: RenditionId, packed: bool, body: Body) -> Answer {
    Answer::Ready(Response {
        content_type: if packed {
            ContentType::AudioMpeg
        } else {
            ContentType::of(rendition.kind)
        },
        cache: Cache::Immutable,
        etag: None,
        gzip: false,
        body,
    })
}

impl Shelved {
    fn new(msn: u64) -> Self {
        Shelved {
            msn,
            parts: Vec::new(),
            packed: false,
            whole: None,
        }
    }
}

impl Shelf {
    fn segment(&self, msn: u64) -> Option<&Shelved> {
        let first = self.segments.front()?.msn;
        let index = usize::try_from(msn.checked_sub(first)?).ok()?;
        self.segments.get(index)
    }

    fn push(&mut self, piece: &Piece) {
        let continues = self
            .segments
            .back()
            .is_some_and(|segment| segment.msn == piece.msn);
        if !continues {
            // Segments that are gaps have no pieces.
            let first = self.segments.back().map_or(piece.msn, |last| last.msn + 1);
            let first = first.max(piece.msn.saturating_sub(GAPS_MAX));
            self.segments.extend((first..=piece.msn).map(Shelved::new));
        }
        let Some(segment) = self.segments.back_mut() else {
            return;
        };
        segment.packed = piece.packed;
        segment.parts.push(piece.bytes.clone());
    }

    /// A segment with a gap is never whole.
    fn complete_below(&mut self, msn: u64) {
        for segment in self.segments.iter_mut().rev() {
            if segment.whole.is_some() {
                break;
            }
            if segment.msn < msn && !segment.parts.is_empty() {
                segment.whole = segment.parts.iter().cloned().collect();
            }
        }
    }

    fn drop_below(&mut self, msn: u64) {
        while self.segments.front().is_some_and(|first| first.msn < msn) {
            self.segments.pop_front();
        }
    }
}
