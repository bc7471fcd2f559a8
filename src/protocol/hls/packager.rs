//! From access units to steps: what a mount's home runs while somebody watches by HLS.

use std::collections::VecDeque;

use corecast_media::frame::MediaEvent;
use corecast_media::time::Time;

use super::settings::PackagerSettings;
use super::step::Step;

/// One mount's packager.
#[derive(Debug)]
pub struct Packager {
    settings: PackagerSettings,
    steps: VecDeque<Step>,
}

impl Packager {
    /// Knows no tracks yet.
    pub fn new(settings: PackagerSettings) -> Self {
        Packager {
            settings,
            steps: VecDeque::new(),
        }
    }

    /// Takes [`MediaEvent::Tracks`], [`MediaEvent::Unit`] or [`MediaEvent::Metadata`]; others say
    /// nothing to it. Units of a track come in the order of decoding, with repaired times.
    ///
    /// `unix_ms` is the wall clock's time (milliseconds since 1970, UTC) at which the event came
    /// to the node: now, or earlier for what was kept in a GOP cache. `discontinuity` says that
    /// the unit's times do not continue those before it.
    pub fn push(&mut self, now: Time, unix_ms: u64, event: &MediaEvent, discontinuity: bool) {
        let _ = (now, unix_ms, event, discontinuity, &self.settings);
    }

    /// Does what is due, such as filling the time of a silent source with gaps.
    pub fn handle_timeout(&mut self, now: Time) {
        let _ = now;
    }

    /// When [`Self::handle_timeout`] is due; none for never.
    pub fn poll_timeout(&self) -> Option<Time> {
        None
    }

    /// The source is gone for good: what is left is given out and every playlist ends.
    pub fn end(&mut self, now: Time) {
        let _ = now;
    }

    /// The next step, in order.
    pub fn poll_step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }
}
