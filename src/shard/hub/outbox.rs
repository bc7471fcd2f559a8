//! Messages to other shards that wait for their ring.

use std::collections::VecDeque;
use std::sync::Arc;

use corecast_media::frame::MediaEvent;
use corecast_media::name::{MountName, ShardId};
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
        let message = if queue.messages.len() < WAITING_MAX {
            message
        } else {
            match without_media(message, counts) {
                Some(message) => message,
                None => return,
            }
        };
        queue.messages.push_back(message);
        self.waiting += 1;
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

/// What of `message` must not be lost.
fn without_media(message: ShardMessage, counts: &mut HubCounts) -> Option<ShardMessage> {
    match message {
        ShardMessage::Replica {
            update: ReplicaUpdate::Run(_),
            ..
        } => {
            counts.runs_dropped += 1;
            None
        }
        ShardMessage::Media {
            mount,
            session,
            mut events,
        } => {
            let before = events.len();
            let media =
                |event: &MediaEvent| matches!(event, MediaEvent::Frame(_) | MediaEvent::Unit(_));
            events.retain(|event| !media(event));
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
