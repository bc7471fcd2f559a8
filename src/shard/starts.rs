//! Of how many listeners that start control hears.

use std::cell::Cell;

use corecast_media::time::Time;
use corecast_mesh::message::Event;

/// The span in which starts are counted together, in milliseconds.
const SPAN_MS: u64 = 64;

/// Listeners of whose start control hears in one span.
const STARTS_TOLD_MAX: u32 = 64;

/// The span in which the last listeners started, and how many. Lives on: its shard.
#[derive(Debug, Default)]
pub(crate) struct Starts(Cell<(u64, u32)>);

impl Starts {
    /// Whether control hears of `event`, at `now`. A crowd that starts at once must not fill the
    /// ring, through which requests go too; every other event is told.
    pub(crate) fn allow(&self, event: &Event, now: Time) -> bool {
        if !matches!(event, Event::ListenerStarted { .. }) {
            return true;
        }
        let present = now.as_millis() / SPAN_MS;
        let (span, told) = self.0.get();
        let told = if span == present { told } else { 0 };
        self.0.set((present, told.saturating_add(1)));
        told < STARTS_TOLD_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use corecast_media::name::{MountName, SessionId, ShardId};
    use corecast_mesh::message::EndReason;

    #[test]
    fn a_crowd_is_told_in_part_and_everything_else_in_full() {
        let mount = MountName::parse("/live").expect("a good name");
        let session = SessionId::new(ShardId(0), 1);
        let started = Event::ListenerStarted {
            mount: mount.clone(),
            session,
            peer: ([192, 0, 2, 1], 5_000).into(),
            user_agent: Arc::from(""),
        };
        let ended = Event::SourceEnded {
            mount,
            session,
            reason: EndReason::PeerClosed,
        };
        let starts = Starts::default();
        let told = |at_ms: u64| {
            let now = Time::from_micros(at_ms * 1_000);
            (0..200).filter(|_| starts.allow(&started, now)).count()
        };
        assert_eq!([told(7), told(8), told(64), told(1_000)], [64, 0, 64, 64]);
        assert!(starts.allow(&ended, Time::from_micros(1_000_000)));
    }
}
