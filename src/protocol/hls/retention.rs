//! Which segments are listed and which are kept, by time and bytes: the same for all renditions.

use std::collections::VecDeque;

use super::timing::Timing;

/// What a segment of all renditions together takes.
#[derive(Debug)]
struct Record {
    msn: u64,
    start_ns: i64,
    bytes: u64,
}

#[derive(Debug)]
pub(super) struct Retention {
    records: VecDeque<Record>,
    listed_from: u64,
}

impl Retention {
    pub(super) fn new(first_msn: u64) -> Self {
        Retention {
            records: VecDeque::new(),
            listed_from: first_msn,
        }
    }

    /// Bytes of a part that starts at `start_ns`.
    pub(super) fn push(&mut self, msn: u64, start_ns: i64, bytes: u64) {
        // Others are at most a segment or two behind the leader.
        let mut newest_first = self.records.iter_mut().rev();
        if let Some(record) = newest_first.find(|record| record.msn == msn) {
            record.bytes += bytes;
        } else if self.records.back().is_none_or(|last| last.msn < msn) {
            self.records.push_back(Record {
                msn,
                start_ns,
                bytes,
            });
        }
    }

    /// The leader's segments below `open_msn` are complete, the last ends at `end_ns`.
    pub(super) fn on_segment(
        &mut self,
        open_msn: u64,
        end_ns: i64,
        bytes_max: usize,
        timing: &Timing,
    ) {
        let window_ns = nanos(timing.window_us);
        let shortest_ns = nanos(timing.parts_until_us);
        let bytes_max = u64::try_from(bytes_max).unwrap_or(u64::MAX);
        loop {
            // Where the list would start if its first segment left.
            let next = self
                .records
                .iter()
                .find(|record| record.msn > self.listed_from && record.msn < open_msn);
            let Some(next) = next else {
                break;
            };
            let left_ns = end_ns.saturating_sub(next.start_ns);
            let over = left_ns >= window_ns || self.kept_bytes(timing) > bytes_max;
            if !over || left_ns < shortest_ns {
                break;
            }
            self.listed_from = next.msn;
        }
        let kept_ns = self.kept_since_ns(timing);
        while self
            .records
            .get(1)
            .is_some_and(|second| second.start_ns <= kept_ns && second.msn <= self.listed_from)
        {
            self.records.pop_front();
        }
    }

    /// The first listed segment.
    pub(super) fn listed_from(&self) -> u64 {
        self.listed_from
    }

    /// The first segment that can be had.
    pub(super) fn kept_from(&self) -> u64 {
        let first = self.records.front();
        first.map_or(self.listed_from, |first| first.msn)
    }

    fn kept_bytes(&self, timing: &Timing) -> u64 {
        let kept_ns = self.kept_since_ns(timing);
        let kept = self
            .records
            .iter()
            .filter(|record| record.start_ns > kept_ns);
        kept.map(|record| record.bytes).sum()
    }

    /// What left the list is kept for one more segment and three target durations: clients that
    /// have an older list may still ask for it (draft-pantos-hls-rfc8216bis section 6.2.2).
    fn kept_since_ns(&self, timing: &Timing) -> i64 {
        let first = self
            .records
            .iter()
            .find(|record| record.msn >= self.listed_from);
        let margin_ns = nanos(timing.parts_until_us + timing.segment_max_us);
        first.map_or(i64::MIN, |first| first.start_ns.saturating_sub(margin_ns))
    }
}

fn nanos(micros: u64) -> i64 {
    i64::try_from(micros.saturating_mul(1_000)).unwrap_or(i64::MAX)
}
