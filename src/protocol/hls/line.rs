//! Units on the line: where segments end, how the others follow the leader, and what fills time
//! without units.

use std::time::Duration;

use corecast_media::time::Time;
use corecast_media::track::AccessUnit;

use super::cutter::Cut;
use super::packager::{JUMP_NS_MAX, Packager, SKEW_NS};
use super::rendition::{Mapped, Rendition};
use super::timing::Timing;

impl Packager {
    /// Takes a unit of the running line.
    pub(super) fn run(&mut self, now: Time, unit: &AccessUnit) {
        let at = self
            .renditions
            .iter()
            .position(|rendition| rendition.track.id == unit.track);
        let Some((at, rendition)) = at.and_then(|at| Some((at, self.renditions.get_mut(at)?)))
        else {
            return;
        };
        let Some(mapped) = rendition.map(unit, self.clock.offset_ns) else {
            return;
        };
        if mapped.start_ns.abs_diff(self.clock.newest_ns) > 2 * JUMP_NS_MAX {
            return;
        }
        self.clock.heard = now;
        self.clock.newest_ns = self.clock.newest_ns.max(mapped.start_ns);
        if at == 0 {
            self.lead(mapped);
        } else {
            rendition.queue.push_back(mapped);
        }
        self.follow(false);
        self.fill_up_to(self.clock.newest_ns - SKEW_NS);
    }

    /// All that waits for the leader goes out.
    pub(super) fn drain_queues(&mut self) {
        self.follow(true);
    }

    /// Ends the open segment of all renditions at the same number and about at the same time.
    pub(super) fn finish_all(&mut self) {
        let Some(part_us) = self.timing.as_ref().map(|timing| timing.part_us) else {
            return;
        };
        let ends = self.renditions.iter().map(Rendition::end_ns).max();
        let to_ns = ends.unwrap_or(0);
        for at in 0..self.renditions.len() {
            let mut cuts = Vec::new();
            let to = self.renditions[at].ticks(to_ns);
            self.renditions[at].cutter.finish(to, &mut cuts);
            self.apply(at, cuts);
        }
        let open_msn = |one: &Rendition| one.list.open_msn;
        let last = self.renditions.iter().map(open_msn).max().unwrap_or(0);
        let end_ns = self.renditions.iter().map(Rendition::position_ns).max();
        for at in 0..self.renditions.len() {
            while self.renditions[at].list.open_msn < last {
                let rendition = &mut self.renditions[at];
                let next = rendition.list.open_msn + 1;
                let boundary = self.boundaries.iter().find(|(msn, _)| *msn == next);
                let to_ns = boundary.map_or(end_ns.unwrap_or(0), |(_, at_ns)| *at_ns);
                let least = rendition.cutter.position() + rendition.ticks_of_micros(part_us) / 2;
                let to = rendition.ticks(to_ns).max(least);
                let mut cuts = Vec::new();
                rendition.cutter.fill(to, true, &mut cuts);
                self.apply(at, cuts);
            }
        }
    }

    /// The source said nothing for too long: its open segment ends, and a segment that is a gap
    /// follows. No segment has both media and gaps: players would take none of it.
    pub(super) fn on_silence(&mut self) {
        let Some(timing) = self.timing.clone() else {
            return;
        };
        if self.clock.gap_due.is_none() {
            self.drain_queues();
            self.finish_all();
            // One thing at a time: nobody sees a rendition two segments ahead of another.
            let soon = Duration::from_micros(timing.part_us);
            self.clock.gap_due = Some(self.clock.now + soon);
            return;
        }
        let from_ns = self.renditions.iter().map(Rendition::position_ns).max();
        let from_ns = from_ns.unwrap_or(0);
        let to_ns = from_ns.saturating_add(timing.target_us as i64 * 1_000);
        for at in 0..self.renditions.len() {
            let wall_ns = self.clock.wall_ns;
            let Some(rendition) = self.renditions.get_mut(at) else {
                return;
            };
            self.retention.push(rendition.list.open_msn, from_ns, 0);
            rendition.publish_gap(rendition.position_ns(), to_ns, wall_ns);
            let end = rendition.ticks(to_ns);
            rendition.cutter.restart(end);
            rendition.segment_start = end;
            self.on_closed(at, to_ns);
        }
        let target = Duration::from_micros(timing.target_us);
        self.clock.gap_due = Some(self.clock.now + target);
    }

    /// Fills the time of every rendition that has no units up to `horizon_ns`.
    pub(super) fn fill_up_to(&mut self, horizon_ns: i64) {
        let Some(timing) = self.timing.clone() else {
            return;
        };
        for at in 0..self.renditions.len() {
            loop {
                let limit_ns = if at == 0 {
                    horizon_ns
                } else {
                    horizon_ns.min(self.renditions[0].position_ns())
                };
                let Some(cuts) = self.filled(at, limit_ns, &timing) else {
                    break;
                };
                self.apply(at, cuts);
            }
            if at == 0 {
                self.follow(false);
            }
        }
    }

    /// One part of a gap, if there is room for it.
    fn filled(&mut self, at: usize, limit_ns: i64, timing: &Timing) -> Option<Vec<Cut>> {
        let boundary_ns = self.boundary_ns(at);
        let rendition = self.renditions.get_mut(at)?;
        if !rendition.queue.is_empty() {
            return None;
        }
        let end = rendition.cutter.end();
        let to = end + rendition.cutter.part_max();
        if rendition.nanos(to) > limit_ns {
            return None;
        }
        let mut cuts = Vec::new();
        let boundary = match (at, boundary_ns) {
            (0, _) => {
                let due = rendition.segment_start + rendition.ticks_of_micros(timing.target_us);
                (to >= due).then_some(due)
            }
            (_, Some(boundary_ns)) => {
                let boundary = rendition.ticks(boundary_ns);
                (to >= boundary).then_some(boundary)
            }
            (_, None) => None,
        };
        match boundary {
            // Every segment has a part.
            Some(boundary) => {
                let to = boundary.max(end).max(rendition.cutter.position() + 1);
                rendition.cutter.fill(to, true, &mut cuts);
            }
            None => rendition.cutter.fill(to, false, &mut cuts),
        }
        Some(cuts)
    }

    /// A unit of the first rendition.
    fn lead(&mut self, unit: Mapped) {
        let Some(timing) = self.timing.clone() else {
            return;
        };
        loop {
            let Some(leader) = self.renditions.first_mut() else {
                return;
            };
            let start = leader.timed(unit.clone()).start;
            let longest = leader.segment_start + leader.ticks_of_micros(timing.segment_max_us);
            if start <= longest {
                break;
            }
            // A hole: the segment ends within it.
            let target = leader.segment_start + leader.ticks_of_micros(timing.target_us);
            let mut cuts = Vec::new();
            let to = target.max(leader.cutter.end());
            leader.cutter.fill(to, true, &mut cuts);
            self.apply(0, cuts);
        }
        let Some(leader) = self.renditions.first_mut() else {
            return;
        };
        let timed = leader.timed(unit);
        if timed.keyframe {
            leader.on_keyframe(timed.start);
        }
        let boundary = ends_before(leader, timed.start, timed.keyframe, &timing);
        let mut cuts = Vec::new();
        leader.cutter.push(timed, boundary, &mut cuts);
        self.apply(0, cuts);
    }

    /// Units of the other renditions, as far as the first one has come.
    fn follow(&mut self, all: bool) {
        for at in 1..self.renditions.len() {
            loop {
                let lead_ns = self.renditions[0].position_ns();
                let queue = &mut self.renditions[at].queue;
                let first = queue.front();
                let ready = first.is_some_and(|unit| all || unit.start_ns <= lead_ns);
                if !ready {
                    break;
                }
                if let Some(unit) = queue.pop_front() {
                    self.place(at, unit);
                }
            }
        }
    }

    fn place(&mut self, at: usize, unit: Mapped) {
        loop {
            let boundary_ns = self.boundary_ns(at);
            let Some(rendition) = self.renditions.get_mut(at) else {
                return;
            };
            let timed = rendition.timed(unit.clone());
            let half = rendition.cutter.usual() / 2;
            let boundary = boundary_ns.map(|boundary_ns| rendition.ticks(boundary_ns));
            let passed = boundary.filter(|boundary| timed.start + half >= *boundary);
            let mut cuts = Vec::new();
            // A hole over the boundary is cut exactly there.
            if let Some(boundary) = passed
                && rendition.cutter.end() + rendition.cutter.part_max() < timed.start
            {
                let to = boundary.max(rendition.cutter.end());
                let to = to.max(rendition.cutter.position() + 1);
                rendition.cutter.fill(to, true, &mut cuts);
                self.apply(at, cuts);
                continue;
            }
            rendition.cutter.push(timed, passed.is_some(), &mut cuts);
            self.apply(at, cuts);
            return;
        }
    }

    /// Where the open segment of a rendition that follows ends, if the leader knows.
    fn boundary_ns(&self, at: usize) -> Option<i64> {
        let next = self.renditions.get(at)?.list.open_msn + 1;
        let (_, at_ns) = self.boundaries.iter().find(|(msn, _)| *msn == next)?;
        Some(*at_ns)
    }

    /// Lists what was cut.
    pub(super) fn apply(&mut self, at: usize, cuts: Vec<Cut>) {
        for cut in cuts {
            let Some(rendition) = self.renditions.get_mut(at) else {
                return;
            };
            let Cut::SegmentEnd { at: end } = cut else {
                let msn = rendition.list.open_msn;
                let start_ns = rendition.nanos(rendition.segment_start);
                let bytes = rendition.publish(&cut, self.clock.wall_ns);
                self.retention.push(msn, start_ns, bytes);
                // Players put a second packed part at the place of the first.
                if let Cut::Part {
                    start, duration, ..
                } = cut
                    && rendition.packed
                {
                    self.close(at, start + duration);
                }
                continue;
            };
            self.close(at, end);
        }
    }

    /// Ends the open segment of a rendition at tick `end`, if it has parts.
    fn close(&mut self, at: usize, end: u64) {
        let (Some(timing), Some(rendition)) = (&self.timing, self.renditions.get_mut(at)) else {
            return;
        };
        if !rendition.close(end, timing.target_duration_s) {
            return;
        }
        let closed = rendition.list.segments.back();
        self.independent &= closed.is_none_or(|closed| closed.independent || closed.gap);
        let end_ns = rendition.nanos(end);
        self.on_closed(at, end_ns);
    }

    /// A segment of a rendition is complete.
    fn on_closed(&mut self, at: usize, end_ns: i64) {
        let (Some(timing), Some(rendition)) = (&self.timing, self.renditions.get_mut(at)) else {
            return;
        };
        if at == 0 {
            let open_msn = rendition.list.open_msn;
            self.boundaries.push_back((open_msn, end_ns));
            self.retention
                .on_segment(open_msn, end_ns, self.settings.bytes_max, timing);
        }
        rendition.list.drop_below(self.retention.listed_from());
        self.multivariant_due = true;
        // All have passed these.
        let slowest = self.renditions.iter().map(|one| one.list.open_msn).min();
        while let (Some(&(msn, _)), Some(slowest)) = (self.boundaries.front(), slowest) {
            if msn > slowest {
                break;
            }
            self.boundaries.pop_front();
        }
    }
}

/// Whether a segment ends before a unit of the leader: at the first keyframe from the target on,
/// earlier if the next keyframe will come too late, and without one if there is none in time.
fn ends_before(leader: &Rendition, start: u64, keyframe: bool, timing: &Timing) -> bool {
    let length = start.saturating_sub(leader.segment_start);
    let target = leader.ticks_of_micros(timing.target_us);
    let half = leader.cutter.usual() / 2;
    if length >= leader.ticks_of_micros(timing.segment_cut_us) {
        return true;
    }
    let next = length + leader.keyframe_gap;
    let too_late = next > leader.ticks_of_micros(timing.segment_max_us);
    keyframe && (length + half >= target || (length + half >= target / 2 && too_late))
}
