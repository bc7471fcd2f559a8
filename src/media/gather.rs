//! Frames into runs: the one copy that a byte makes on the node.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::frame::{Frame, FrameKind};
use crate::run::{Border, RUN_BYTES_MAX, Run};
use crate::time::Time;

/// Gathers whole frames until there are enough bytes or the oldest has waited long enough.
#[derive(Debug, Default)]
pub struct Gatherer {
    payload: BytesMut,
    borders: Vec<Border>,
    oldest: Option<Time>,
    newest: Time,
}

impl Gatherer {
    /// Appends a frame. The caller cuts first where [`Gatherer::fits`] says no.
    pub fn push(&mut self, now: Time, frame: &Frame) {
        let entry = frame.kind == FrameKind::Entry;
        self.borders
            .push(Border::new(self.payload.len() as u32, entry));
        self.payload.extend_from_slice(&frame.payload);
        self.oldest.get_or_insert(now);
        self.newest = now;
    }

    /// Whether `frame` may join the run that is gathered.
    pub fn fits(&self, frame: &Frame) -> bool {
        self.payload.len() + frame.payload.len() <= RUN_BYTES_MAX
    }

    /// Bytes gathered.
    pub fn len(&self) -> usize {
        self.payload.len()
    }

    /// Whether nothing is gathered.
    pub fn is_empty(&self) -> bool {
        self.payload.is_empty()
    }

    /// When the run is due if its oldest frame may wait for `wait`.
    pub fn due(&self, wait: Duration) -> Option<Time> {
        self.oldest.map(|oldest| oldest + wait)
    }

    /// The run so far, if there is one.
    pub fn cut(&mut self) -> Option<Run> {
        self.oldest = None;
        if self.payload.is_empty() {
            return None;
        }
        let payload: Bytes = self.payload.split().freeze();
        let borders = self.borders.as_slice().into();
        self.borders.clear();
        Some(Run {
            payload,
            borders,
            arrived: self.newest,
        })
    }
}

/// Bits per second over the last seconds.
#[derive(Debug, Default)]
pub struct Meter {
    since: Option<Time>,
    bytes: u64,
    rate_bps: u64,
}

/// How long the meter counts before it says a rate.
const METER_SPAN: Duration = Duration::from_secs(2);

impl Meter {
    /// Counts `bytes`; true where the rate was renewed.
    pub fn count(&mut self, now: Time, bytes: u64) -> bool {
        let since = *self.since.get_or_insert(now);
        let span = now.since(since);
        if span < METER_SPAN {
            self.bytes += bytes;
            return false;
        }
        let rate = (self.bytes * 8).saturating_mul(1_000_000) / span.as_micros().max(1) as u64;
        // Half new, half old: one late read does not look like another bit rate.
        self.rate_bps = if self.rate_bps == 0 {
            rate
        } else {
            (self.rate_bps + rate) / 2
        };
        self.since = Some(now);
        self.bytes = bytes;
        true
    }

    /// The rate, zero while unknown.
    pub fn rate_bps(&self) -> u64 {
        self.rate_bps
    }

    /// Starts anew.
    pub fn reset(&mut self) {
        *self = Meter::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(bytes: &'static [u8], kind: FrameKind) -> Frame {
        Frame {
            payload: Bytes::from_static(bytes),
            duration_us: 0,
            kind,
        }
    }

    #[test]
    fn a_run_is_whole_frames_with_their_borders() {
        let mut gatherer = Gatherer::default();
        assert!(gatherer.cut().is_none());
        gatherer.push(Time::from_millis(5), &frame(b"head", FrameKind::Header));
        gatherer.push(Time::from_millis(7), &frame(b"data", FrameKind::Entry));
        assert_eq!(
            gatherer.due(Duration::from_millis(10)),
            Some(Time::from_millis(15))
        );
        let run = gatherer.cut().expect("two frames");
        assert_eq!(run.payload, "headdata");
        assert_eq!(*run.borders, [Border::new(0, false), Border::new(4, true)]);
        assert_eq!(run.arrived, Time::from_millis(7));
        assert!(gatherer.is_empty() && gatherer.due(Duration::ZERO).is_none());
    }

    #[test]
    fn the_meter_says_the_rate_of_a_steady_source() {
        let mut meter = Meter::default();
        for ms in (0..10_000).step_by(20) {
            meter.count(Time::from_millis(ms), 320);
        }
        assert!(
            (127_000..129_500).contains(&meter.rate_bps()),
            "{}",
            meter.rate_bps()
        );
    }
}
