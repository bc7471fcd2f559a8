//! Messages to other shards that wait for their ring.

use std::collections::VecDeque;
use std::sync::Arc;

use corecast_media::frame::MediaEvent;
use corecast_media::name::{MountName, SessionId, ShardId};
use corecast_media::track::TrackId;
use corecast_mesh::message::{HlsMessage, ReplicaUpdate, ShardMessage};
use corecast_protocol::hls::{Origin, Step};

use super::HubCounts;

/// Past this many waiting messages a shard gets no media: what it must not miss (states, seats,
/// titles) still waits for it, and is bounded by the number of sessions and mounts.
const WAITING_MAX: usize = 1_024;

/// One queue for each other shard.
#[derive(Debug)]
pub(super) struct Outbox {
    queues: Vec<Queue>,
    waiting: usize,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<ShardMessage>,
    blocked: bool,
    /// Tracks that lost a unit: nothing of them goes on before the next one that a decoder may
    /// start with.
    torn: Vec<(SessionId, TrackId)>,
}

impl Outbox {
    pub(super) fn new(shards: u16) -> Self {
        Outbox {
            queues: (0..shards).map(|_| Queue::default()).collect(),
            waiting: 0,
        }
    }

    /// Queues a message; media for a congested shard is dropped and counted.
    pub(super) fn push(&mut self, to: ShardId, message: ShardMessage, counts: &mut HubCounts) {
        let Some(queue) = self.queues.get_mut(to.index()) else {
            return;
        };
        let Some(message) = queue.admit(message, counts) else {
            return;
        };
        queue.messages.push_back(message);
        self.waiting += 1;
    }

    /// The source sends nothing more.
    pub(super) fn forget(&mut self, session: SessionId) {
        for queue in &mut self.queues {
            queue.torn.retain(|(of, _)| *of != session);
        }
    }

    /// Queues a step of a mount's HLS. None may be left out, so a congested shard gets all that
    /// there is instead: `origin` as it is after the step, once for each mount.
    pub(super) fn push_step(
        &mut self,
        to: ShardId,
        mount: &MountName,
        step: &Step,
        origin: &Origin,
    ) {
        let Some(queue) = self.queues.get_mut(to.index()) else {
            return;
        };
        let mount = mount.clone();
        if queue.messages.len() < WAITING_MAX {
            let message = HlsMessage::Step(step.clone());
            queue
                .messages
                .push_back(ShardMessage::Hls { mount, message });
            self.waiting += 1;
            return;
        }
        let snapshot = Step::Snapshot(Arc::new(origin.clone()));
        let newest = queue
            .messages
            .iter_mut()
            .rev()
            .find_map(|message| match message {
                ShardMessage::Hls {
                    mount: of,
                    message: HlsMessage::Step(step),
                } if *of == mount => Some(step),
                _ => None,
            });
        match newest {
            Some(newest @ Step::Snapshot(_)) => *newest = snapshot,
            _ => {
                let message = HlsMessage::Step(snapshot);
                queue
                    .messages
                    .push_back(ShardMessage::Hls { mount, message });
                self.waiting += 1;
            }
        }
    }

    /// The next message to a shard whose ring has room.
    pub(super) fn pop(&mut self) -> Option<(ShardId, ShardMessage)> {
        if self.waiting == 0 {
            return None;
        }
        let (index, queue) = self
            .queues
            .iter_mut()
            .enumerate()
            .find(|(_, queue)| !queue.blocked && !queue.messages.is_empty())?;
        let message = queue.messages.pop_front()?;
        self.waiting -= 1;
        Some((ShardId(index as u16), message))
    }

    /// Puts a message back that the ring refused.
    pub(super) fn return_front(&mut self, to: ShardId, message: ShardMessage) {
        if let Some(queue) = self.queues.get_mut(to.index()) {
            queue.messages.push_front(message);
            queue.blocked = true;
            self.waiting += 1;
        }
    }

    /// The ring to `to` may have room again.
    pub(super) fn unblock(&mut self, to: ShardId) {
        if let Some(queue) = self.queues.get_mut(to.index()) {
            queue.blocked = false;
        }
    }
}

impl Queue {
    /// What of `message` is sent.
    fn admit(&mut self, message: ShardMessage, counts: &mut HubCounts) -> Option<ShardMessage> {
        let congested = self.messages.len() >= WAITING_MAX;
        match message {
            ShardMessage::Replica {
                update: ReplicaUpdate::Run(_),
                ..
            } if congested => {
                counts.runs_dropped += 1;
                None
            }
            ShardMessage::Media {
                mount,
                session,
                mut events,
            } if congested || !self.torn.is_empty() => {
                let before = events.len();
                events.retain(|event| self.admits(session, event, congested));
                counts.frames_dropped += (before - events.len()) as u64;
                (!events.is_empty()).then_some(ShardMessage::Media {
                    mount,
                    session,
                    events,
                })
            }
            other => Some(other),
        }
    }

    fn admits(&mut self, session: SessionId, event: &MediaEvent, congested: bool) -> bool {
        match event {
            MediaEvent::Frame(_) => !congested,
            MediaEvent::Unit(unit) => {
                let place = (session, unit.track);
                let known = self.torn.iter().position(|torn| *torn == place);
                match known {
                    Some(at) if !congested && unit.keyframe => {
                        self.torn.swap_remove(at);
                        true
                    }
                    Some(_) => false,
                    None if congested => {
                        self.torn.push(place);
                        false
                    }
                    None => true,
                }
            }
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use corecast_media::track::{AccessUnit, MediaTime};

    use super::*;

    /// What gets through of a source with a keyframe in every ten pictures and sound beside them,
    /// to a shard that takes nothing from picture 15 to 32: pictures, and sounds.
    fn through(session: SessionId) -> [Vec<i64>; 2] {
        let mount = MountName::parse("/live/cam").expect("a name");
        let (mut outbox, mut counts) = (Outbox::new(2), HubCounts::default());
        let to = ShardId(1);
        let filler = || ShardMessage::Hls {
            mount: mount.clone(),
            message: HlsMessage::Answer(Ok(())),
        };
        let (mut through, mut sent) = ([Vec::new(), Vec::new()], 0);
        for at in 0..60 {
            let units = [0, 1].map(|track| {
                MediaEvent::Unit(AccessUnit {
                    track: TrackId(track),
                    dts: MediaTime::from_millis(at),
                    pts: MediaTime::from_millis(at),
                    keyframe: track == 1 || at % 10 == 0,
                    payload: Bytes::new(),
                })
            });
            if at == 15 {
                for _ in 0..WAITING_MAX {
                    outbox.push(to, filler(), &mut counts);
                }
            }
            sent += units.len();
            let message = ShardMessage::Media {
                mount: mount.clone(),
                session,
                events: units.to_vec(),
            };
            outbox.push(to, message, &mut counts);
            if (15..32).contains(&at) {
                continue;
            }
            while let Some((_, message)) = outbox.pop() {
                let ShardMessage::Media { events, .. } = message else {
                    continue;
                };
                for event in events {
                    if let MediaEvent::Unit(unit) = event {
                        through[usize::from(unit.track.0)].push(unit.dts.as_millis());
                    }
                }
            }
        }
        let arrived = through[0].len() + through[1].len();
        assert_eq!(counts.frames_dropped as usize, sent - arrived);
        through
    }

    #[test]
    fn a_track_that_lost_a_picture_goes_on_with_a_keyframe() {
        let [pictures, sounds] = through(SessionId::new(ShardId(0), 7));
        let expected: Vec<i64> = (0..15).chain(40..60).collect();
        assert_eq!(pictures, expected);
        let expected: Vec<i64> = (0..15).chain(33..60).collect();
        assert_eq!(sounds, expected);
    }
}
