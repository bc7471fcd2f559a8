//! What is written from a mount's tracks, at the mount's home.
//!
//! Each output is a mount of its own with the name of [`MountName::with_output`]: it has the
//! source and the settings of its base, and windows, readers, seats and slow readers as every
//! mount. It exists while somebody reads it; a writer that nobody reads does not run.

use std::sync::Arc;
use std::time::Duration;

use corecast_media::codec::Codec;
use corecast_media::fanout::Socket;
use corecast_media::frame::MediaEvent;
use corecast_media::gop::{GopCache, GopLimits};
use corecast_media::metadata::Metadata;
use corecast_media::name::{MountName, Output, SessionId};
use corecast_media::time::Time;
use corecast_media::timeline::Timeline;
use corecast_media::track::Track;
use corecast_mesh::message::{MountReport, SourceInfo};
use corecast_protocol::audio::Framer;
use corecast_protocol::flv::{FlvWriter, RtmpWriter, WsFlvWriter};
use corecast_protocol::mpegts;
use corecast_protocol::output::StreamWriter;
use corecast_protocol::radio::{RadioUnits, has_units};

use super::Hub;

/// How much of a mount's past is there for an output that starts: enough for three segments of
/// two seconds and the group of pictures before them.
const GOP_LIMITS: GopLimits = GopLimits {
    age_max: Duration::from_secs(8),
    bytes_max: 32 * 1024 * 1024,
};

/// The tracks of a mount and what is written from them.
#[derive(Debug)]
pub(super) struct Tracks {
    gop: GopCache,
    /// The mount's own clock, whatever its sources' clocks do.
    timeline: Timeline,
    /// Whether the source sends tracks; else frames of radio.
    coded: bool,
    /// Makes tracks of the radio's frames, while somebody wants them.
    radio: Option<Box<RadioUnits>>,
    /// The mounts that are this one's outputs.
    pub(super) outputs: Vec<usize>,
}

/// One event on the mount's own clock.
#[derive(Clone, Debug)]
struct Moment {
    event: MediaEvent,
    /// Its times do not continue those before it.
    jumped: bool,
}

/// How an output is written.
#[derive(Debug)]
pub(super) struct Written {
    /// The mount that it is written from.
    base: usize,
    writer: Box<dyn StreamWriter>,
}

impl Tracks {
    pub(super) fn new() -> Self {
        Tracks {
            gop: GopCache::new(GOP_LIMITS),
            timeline: Timeline::new(),
            coded: false,
            radio: None,
            outputs: Vec::new(),
        }
    }

    /// Whether there are no bytes of the mount itself, only what is written from its tracks.
    pub(super) fn are_coded(&self) -> bool {
        self.coded
    }

    /// What the outputs are written from, out of what the source sent.
    fn take(&mut self, now: Time, events: &[MediaEvent]) -> Vec<Moment> {
        let mut media = Vec::new();
        for event in events {
            match event {
                MediaEvent::Tracks(_) | MediaEvent::Unit(_) => {
                    self.coded = true;
                    media.push(self.place(now, event.clone()));
                }
                MediaEvent::Metadata(_) => media.push(self.place(now, event.clone())),
                MediaEvent::Frame(_) | MediaEvent::Format(_) | MediaEvent::InitHeaders(_) => {
                    let mut made = Vec::new();
                    if let Some(radio) = &mut self.radio {
                        radio.push(event, &mut made);
                    }
                    media.extend(made.into_iter().map(|event| self.place(now, event)));
                }
            }
        }
        media
    }

    /// Puts an event on the mount's clock, and keeps it for who comes later.
    fn place(&mut self, now: Time, event: MediaEvent) -> Moment {
        let (event, jumped) = match event {
            MediaEvent::Unit(unit) => {
                let (unit, jumped) = self.timeline.place(unit);
                (MediaEvent::Unit(unit), jumped)
            }
            other => (other, false),
        };
        self.gop.push_event(now, &event);
        Moment { event, jumped }
    }

    /// The tracks as they are now; empty where none are known.
    pub(super) fn all(&self) -> &Arc<[Track]> {
        self.gop.tracks()
    }

    /// Whether the mount can be packaged; `codec` is what was measured of the radio's frames.
    pub(super) fn may_have_units(&self, codec: Codec) -> bool {
        self.coded || codec == Codec::Opaque || has_units(codec)
    }

    /// What is known of the mount's past, oldest first.
    pub(super) fn replay(&self) -> impl Iterator<Item = (Time, MediaEvent)> {
        self.gop.replay()
    }

    /// Another source comes, of this kind; `wanted` says whether anybody wants its tracks.
    fn restart(&mut self, content_type: &str, wanted: bool) {
        self.gop.reset();
        self.timeline.new_session();
        self.coded = content_type == Output::Rtmp.content_type();
        self.radio = (wanted && !self.coded).then(Box::default);
    }
}

/// The past, the title that holds now among it: behind the tracks, before their first unit.
pub(super) fn with_title(
    now: Time,
    title: &Metadata,
    past: impl Iterator<Item = (Time, MediaEvent)>,
) -> Vec<(Time, MediaEvent)> {
    let mut past: Vec<(Time, MediaEvent)> = past.collect();
    // Tracks alone have no time of their own.
    let since = past.get(1).map_or(now, |(arrived, _)| *arrived);
    if let Some((arrived, _)) = past.first_mut() {
        *arrived = since;
    }
    if *title != Metadata::default() {
        let at = past.len().min(1);
        past.insert(at, (since, MediaEvent::Metadata(title.clone())));
    }
    past
}

fn writer(output: Output) -> Box<dyn StreamWriter> {
    match output {
        Output::Flv => Box::new(FlvWriter::new()),
        Output::WsFlv => Box::new(WsFlvWriter::new()),
        Output::Mpegts => Box::new(mpegts::Writer::new()),
        Output::Rtmp => Box::new(RtmpWriter::new()),
    }
}

/// How much of an output's init headers stands at the start of its bytes and nowhere else: a
/// player takes a second file header for a tag.
pub(super) const fn opening_bytes(output: Option<Output>) -> u32 {
    match output {
        Some(Output::Flv) => FlvWriter::OPENING_BYTES,
        Some(Output::WsFlv) => WsFlvWriter::OPENING_BYTES,
        Some(Output::Mpegts | Output::Rtmp) | None => 0,
    }
}

/// What the source of an output says.
pub(super) fn info_of(info: &SourceInfo, output: Output) -> Arc<SourceInfo> {
    Arc::new(SourceInfo {
        content_type: output.content_type().into(),
        ..info.clone()
    })
}

impl<S: Socket> Hub<S> {
    /// The output `name` of a mount whose home this shard is, written from what is known of the
    /// mount's tracks; nothing where there is no such mount.
    pub(super) fn start_output(
        &mut self,
        now: Time,
        name: &MountName,
        output: Output,
    ) -> Option<usize> {
        let base = self.home_key(now, &name.to_base(), false)?;
        let written = Written {
            base,
            writer: writer(output),
        };
        self.wake_radio(now, base);
        let key = self.insert_home(name, Some(written));
        self.homes[base].tracks.outputs.push(key);
        if let Some(session) = self.homes[base].mount.publisher() {
            self.publish_output(now, key, session);
            let home = &self.homes[base];
            let newest = home.tracks.gop.replay_newest();
            let past = with_title(now, home.mount.metadata(), newest);
            for (arrived, event) in past {
                let jumped = false;
                self.write_output(arrived, key, session, &[Moment { event, jumped }]);
            }
        } else if let Some((base, home)) = self.homes.get2_mut(base, key) {
            let info = info_of(base.mount.info(), output);
            home.mount.wait_with(&base.mount, info);
        }
        Some(key)
    }

    /// The mount has another source: its outputs have it too.
    pub(super) fn publish_outputs(&mut self, now: Time, base: usize) {
        let home = &mut self.homes[base];
        let wanted = !home.tracks.outputs.is_empty() || home.hls.runs();
        home.tracks.restart(&home.mount.info().content_type, wanted);
        let Some(session) = self.homes[base].mount.publisher() else {
            return;
        };
        for key in self.homes[base].tracks.outputs.clone() {
            self.publish_output(now, key, session);
            self.tend_home(key);
        }
    }

    fn publish_output(&mut self, now: Time, key: usize, session: SessionId) {
        let Some(base) = self.homes[key].written.as_ref().map(|written| written.base) else {
            return;
        };
        let Some(output) = self.homes[key].name.output() else {
            return;
        };
        let info = info_of(self.homes[base].mount.info(), output);
        let mount = &mut self.homes[key].mount;
        let headers = mount.init_headers().clone();
        // Never refused: who has the mount has its outputs.
        let _ = mount.publish(now, session, info);
        // The writer goes on: what it said of the tracks holds until they are others.
        if *mount.init_headers() != headers {
            mount.push(now, session, vec![MediaEvent::InitHeaders(headers)]);
        }
    }

    /// The mount's source is gone, and with it that of its outputs.
    pub(super) fn unpublish_outputs(
        &mut self,
        now: Time,
        base: usize,
        session: SessionId,
        for_good: bool,
    ) {
        for key in self.homes[base].tracks.outputs.clone() {
            self.homes[key].mount.unpublish(now, session);
            if for_good {
                self.homes[key].mount.give_up();
            }
            self.tend_home(key);
        }
    }

    /// What the source of `base` sent, for its outputs.
    pub(super) fn write_outputs(
        &mut self,
        now: Time,
        base: usize,
        session: SessionId,
        events: &[MediaEvent],
    ) {
        let tracks = &mut self.homes[base].tracks;
        let media = tracks.take(now, events);
        if media.is_empty() {
            return;
        }
        for key in tracks.outputs.clone() {
            self.write_output(now, key, session, &media);
            self.tend_home(key);
        }
        if self.homes[base].hls.runs() {
            for Moment { event, jumped } in &media {
                self.package(now, base, event, *jumped);
            }
            self.pass_steps(now, base);
        }
    }

    /// Somebody wants the radio's tracks: they are made from now on, and of what a joiner would
    /// get at once.
    pub(super) fn wake_radio(&mut self, now: Time, key: usize) {
        let home = &mut self.homes[key];
        if home.tracks.coded || home.tracks.radio.is_some() {
            return;
        }
        home.tracks.radio = Some(Box::default());
        let snapshot = home.mount.snapshot();
        // Said once by the source, perhaps before the first frame that is still there.
        let format = MediaEvent::Format(snapshot.format);
        home.tracks.take(now, &[format]);
        let mut framer = Framer::for_content_type(&snapshot.info.content_type);
        framer.push(snapshot.init_headers);
        for run in snapshot.runs {
            framer.push(run.payload);
            let events: Vec<_> = std::iter::from_fn(|| framer.poll()).collect();
            home.tracks.take(run.arrived.min(now), &events);
        }
    }

    /// Makes no more tracks of the radio if nobody wants them.
    pub(super) fn rest_radio(&mut self, key: usize) {
        let home = &mut self.homes[key];
        let wanted = !home.tracks.outputs.is_empty() || home.hls.runs();
        if !wanted && home.tracks.radio.take().is_some() {
            home.tracks.gop.reset();
        }
    }

    /// A title from outside the stream, for the outputs of `base`.
    pub(super) fn write_title(&mut self, now: Time, base: usize, title: &Metadata) {
        if let Some(session) = self.homes[base].mount.publisher() {
            let event = MediaEvent::Metadata(title.clone());
            self.write_outputs(now, base, session, &[event]);
        }
    }

    fn write_output(&mut self, now: Time, key: usize, session: SessionId, media: &[Moment]) {
        let home = &mut self.homes[key];
        let Some(written) = &mut home.written else {
            return;
        };
        let mut events = Vec::new();
        for moment in media {
            written.writer.write(&moment.event, &mut events);
        }
        home.mount.push(now, session, events);
    }

    /// Nobody reads an output any more.
    pub(super) fn end_output(&mut self, key: usize) {
        let home = self.homes.remove(key);
        self.home_of.remove(&home.name);
        if let Some(written) = home.written {
            let base = &mut self.homes[written.base];
            base.tracks.outputs.retain(|output| *output != key);
            self.rest_radio(written.base);
            self.forget_home_if_unused(written.base);
        }
    }

    /// The mount that `key` is written from, or itself.
    pub(super) fn base_of(&self, key: usize) -> usize {
        let written = self.homes[key].written.as_ref();
        written.map_or(key, |written| written.base)
    }

    /// Seats taken at a mount and all its outputs, whichever of them is asked about.
    pub(super) fn listeners_of(&self, key: usize) -> u32 {
        let base = &self.homes[self.base_of(key)];
        let outputs = base.tracks.outputs.iter();
        let written: u32 = outputs.map(|key| self.homes[*key].listeners()).sum();
        base.listeners().saturating_add(written)
    }

    /// The mounts whose home this shard is, their outputs counted with them.
    pub(super) fn mount_reports(&self) -> Vec<MountReport> {
        let bases = self.homes.iter().filter(|(_, home)| home.written.is_none());
        let report = |(key, home): (usize, &super::home::Home)| MountReport {
            listeners: self.listeners_of(key),
            ..home.report()
        };
        bases.map(report).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_of_tracks_without_units_is_of_now() {
        let (now, title) = (Time::from_millis(9_000), Metadata::from_title("now"));
        let tracks = (Time::ZERO, MediaEvent::Tracks(Arc::from([])));
        let past = with_title(now, &title, std::iter::once(tracks));
        let times: Vec<Time> = past.iter().map(|(arrived, _)| *arrived).collect();
        assert_eq!(times, [now, now]);
    }
}
