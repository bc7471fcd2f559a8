//! A mount as HLS, at its home: one packager, and the shards that hear what it says.
//!
//! On demand a packager runs while some shard watches. It starts with the groups of pictures that
//! are there already, so that who asked first need not wait for a segment to happen.

use std::sync::Arc;

use corecast_config::HlsMode;
use corecast_media::fanout::Socket;
use corecast_media::frame::MediaEvent;
use corecast_media::name::{MountName, ShardId};
use corecast_media::time::Time;
use corecast_mesh::message::{HlsMessage, JoinRefusal, ShardMessage, SourceState};
use corecast_protocol::hls::{Origin, Packager, PackagerSettings, Step};

use super::Hub;
use super::home::Home;
use super::outputs::with_title;

/// The most bytes of media that one mount's packager holds.
const BYTES_MAX: usize = 512 * 1024 * 1024;

/// Segments follow each other no faster than this, in milliseconds, unless shorter ones are wished
/// for: numbers rise with the clock at least as fast.
const SEGMENT_MS_MIN: u64 = 500;

/// One mount's HLS.
#[derive(Debug, Default)]
pub(super) struct Packaging {
    packager: Option<Box<Packager>>,
    /// What the packager said so far: what a shard that comes starts from.
    origin: Origin,
    /// Shards that hear it, in order.
    watchers: Vec<ShardId>,
}

/// What the packagers of a mount have used, as long as its home is there: no other may use it
/// again, however short a life was.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lives {
    next_epoch: u64,
    next_msn: u64,
}

impl Packaging {
    /// Whether nobody needs it.
    pub(super) fn is_unused(&self) -> bool {
        self.watchers.is_empty()
    }

    /// Shards that hear it.
    pub(super) fn watcher_count(&self) -> usize {
        self.watchers.len()
    }

    /// Whether a packager takes media now.
    pub(super) fn runs(&self) -> bool {
        self.packager.is_some()
    }

    /// When its packager has something to do.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.packager.as_ref()?.poll_timeout()
    }
}

impl<S: Socket> Hub<S> {
    pub(super) fn handle_watch(&mut self, now: Time, from: ShardId, mount: MountName) {
        let key = self.home_key(now, &mount, false);
        let answer = match key {
            _ if self.draining => Err(JoinRefusal::Draining),
            None => Err(JoinRefusal::NotFound),
            Some(key) => self.admit_watcher(now, key, from),
        };
        let granted = answer.is_ok();
        self.send_hls(from, &mount, HlsMessage::Answer(answer));
        let Some(key) = key else { return };
        if granted {
            let step = Step::Snapshot(Arc::new(self.homes[key].hls.origin.clone()));
            self.send_hls(from, &mount, HlsMessage::Step(step));
        }
        self.run_home(now, key, now);
    }

    fn admit_watcher(&mut self, now: Time, key: usize, from: ShardId) -> Result<(), JoinRefusal> {
        let home = &self.homes[key];
        let settings = self.config.mount(home.name.base());
        if settings.hls == HlsMode::Off || !home.tracks.may_have_units(home.mount.format().codec) {
            return Err(JoinRefusal::NotFound);
        }
        let comes = self.call_relay(now, key).is_some();
        let home = &mut self.homes[key];
        let live = !matches!(home.mount.state(), SourceState::Gone { .. });
        // What an ended source left can still be watched to its end.
        if !live && !comes && home.hls.origin.renditions().next().is_none() {
            return Err(JoinRefusal::NoSource);
        }
        if !home.hls.watchers.contains(&from) {
            home.hls.watchers.push(from);
            home.hls.watchers.sort_unstable();
        }
        self.start_packager(now, key);
        Ok(())
    }

    pub(super) fn handle_unwatch(
        &mut self,
        now: Time,
        from: ShardId,
        mount: &MountName,
        bytes_sent: u64,
    ) {
        let Some(&key) = self.home_of.get(mount) else {
            return;
        };
        self.note_sent_before(key, bytes_sent);
        let home = &mut self.homes[key];
        home.hls.watchers.retain(|shard| *shard != from);
        let always = self.config.mount(home.name.base()).hls == HlsMode::Always;
        if home.hls.watchers.is_empty() && !always {
            home.hls = Packaging::default();
            self.rest_radio(key);
        }
        self.run_home(now, key, now);
    }

    /// Starts the mount's packager if it has a source and somebody wants it, with what is known
    /// of its past.
    pub(super) fn start_packager(&mut self, now: Time, key: usize) {
        let home = &self.homes[key];
        let settings = self.config.mount(home.name.base());
        let wanted = match settings.hls {
            HlsMode::Off => false,
            HlsMode::OnDemand => !home.hls.watchers.is_empty(),
            HlsMode::Always => home.written.is_none(),
        };
        if !wanted || home.hls.runs() || home.mount.state() != SourceState::Live {
            return;
        }
        self.wake_radio(now, key);
        let home = &self.homes[key];
        let past = with_title(now, home.mount.metadata(), home.tracks.replay());
        let oldest = past.iter().map(|(arrived, _)| *arrived).min();
        let settings = self.packager_settings(now, oldest.unwrap_or(now), key);
        let home = &mut self.homes[key];
        home.hls.packager = Some(Box::new(Packager::new(settings)));
        for (arrived, event) in past {
            self.package(arrived, key, &event, false);
        }
        self.pass_steps(now, key);
    }

    /// What a packager is told that starts `now` with media that came from `oldest` on: the wall
    /// clock gives it a name and numbers that come after all before, also over restarts.
    fn packager_settings(&mut self, now: Time, oldest: Time, key: usize) -> PackagerSettings {
        let (unix_ms, oldest_ms) = (self.unix_ms(now), self.unix_ms(oldest));
        let home = &mut self.homes[key];
        let settings = self.config.mount(home.name.base());
        let apart_ms = (settings.hls_segment.as_millis() as u64).clamp(1, SEGMENT_MS_MIN);
        let last = home.name.base().rsplit('/').next().unwrap_or_default();
        let epoch = unix_ms.max(home.lives.next_epoch);
        home.lives.next_epoch = epoch + 1;
        PackagerSettings {
            target: settings.hls_segment,
            part_target: settings.hls_part,
            window: settings.hls_window,
            bytes_max: BYTES_MAX,
            epoch: base36(epoch).into(),
            first_msn: (oldest_ms / apart_ms).max(home.lives.next_msn),
            prefix: format!("{}/hls/", percent_encoded(last)).into(),
        }
    }

    /// Hands one event to the packager, if there is one.
    pub(super) fn package(
        &mut self,
        arrived: Time,
        key: usize,
        event: &MediaEvent,
        discontinuity: bool,
    ) {
        let unix_ms = self.unix_ms(arrived);
        if let Some(packager) = &mut self.homes[key].hls.packager {
            packager.push(arrived, unix_ms, event, discontinuity);
        }
    }

    /// The source is gone for good: every playlist ends.
    pub(super) fn end_packager(&mut self, now: Time, key: usize) {
        if let Some(packager) = &mut self.homes[key].hls.packager {
            packager.end(now);
            self.pass_steps(now, key);
            self.homes[key].hls.packager = None;
        }
    }

    /// Lets the packager do what is due, and tells the watching shards what it says.
    pub(super) fn pass_steps(&mut self, now: Time, key: usize) {
        let Some(packager) = &mut self.homes[key].hls.packager else {
            return;
        };
        packager.handle_timeout(now);
        while let Some(packager) = &mut self.homes[key].hls.packager
            && let Some(step) = packager.poll_step()
        {
            let home = &mut self.homes[key];
            home.hls.origin.apply(&step);
            if let Step::Update(update) = &step {
                let edge = update.playlist.edge;
                let next = edge.msn.saturating_add(u64::from(edge.parts > 0));
                home.lives.next_msn = home.lives.next_msn.max(next);
            }
            self.counts.hls_rendered +=
                u64::from(matches!(step, Step::Update(_) | Step::Multivariant(_)));
            let Home { name, hls, .. } = &self.homes[key];
            for shard in &hls.watchers {
                if *shard == self.shard {
                    let (mount, message) = (name.clone(), HlsMessage::Step(step.clone()));
                    self.local.push_back(ShardMessage::Hls { mount, message });
                } else {
                    self.outbox.push_step(*shard, name, &step, &hls.origin);
                }
            }
        }
    }

    /// The settings are others now: whether the mount is packaged.
    pub(super) fn reload_packaging(&mut self, now: Time, key: usize) {
        let home = &mut self.homes[key];
        let mode = self.config.mount(home.name.base()).hls;
        let unwanted = mode == HlsMode::OnDemand && home.hls.watchers.is_empty();
        if mode != HlsMode::Off && !unwanted {
            return self.start_packager(now, key);
        }
        let hls = std::mem::take(&mut home.hls);
        let mount = home.name.clone();
        self.rest_radio(key);
        for shard in hls.watchers {
            let refusal = HlsMessage::Answer(Err(JoinRefusal::NotFound));
            self.send_hls(shard, &mount, refusal);
        }
    }

    /// The wall clock at `time`, in milliseconds since 1970.
    fn unix_ms(&self, time: Time) -> u64 {
        self.unix_origin_ms.saturating_add(time.as_millis())
    }
}

/// The number in small letters and digits.
fn base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    while number > 0 || digits.is_empty() {
        let digit = (number % 36) as u32;
        digits.extend(char::from_digit(digit, 36));
        number /= 36;
    }
    digits.into_iter().rev().collect()
}

/// A path segment as it stands in a URI (RFC 3986 section 3.3).
fn percent_encoded(segment: &str) -> String {
    let mut out = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_and_prefixes_are_what_names_may_have() {
        assert_eq!(
            (base36(0).as_str(), base36(36 * 36 - 1).as_str()),
            ("0", "zz")
        );
        assert!(corecast_protocol::hls::is_epoch(&base36(1_763_000_000_000)));
        assert_eq!(percent_encoded("a b/ü-1.mp3"), "a%20b%2F%C3%BC-1.mp3");
    }
}
