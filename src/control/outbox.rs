//! Messages that a full ring refused, kept in order until it has room.

use std::collections::VecDeque;

use corecast_media::name::ShardId;
use corecast_mesh::message::FromControl;
use corecast_mesh::port::ControlPort;
use corecast_mesh::topology::Topology;

/// One queue per shard. Bounded by what is put in: a request sends no more than its credits
/// allow, a shard is asked once at a time, settings are few.
#[derive(Debug)]
pub(crate) struct Outbox {
    queues: Vec<VecDeque<FromControl>>,
}

impl Outbox {
    pub(crate) fn new(topology: Topology) -> Self {
        Outbox {
            queues: topology.ids().map(|_| VecDeque::new()).collect(),
        }
    }

    /// Sends `message`, or keeps it behind those that wait already.
    pub(crate) fn send(&mut self, port: &mut ControlPort, to: ShardId, message: FromControl) {
        let Some(queue) = self.queues.get_mut(to.index()) else {
            return;
        };
        if !queue.is_empty() {
            queue.push_back(message);
        } else if let Err(message) = port.send(to, message) {
            queue.push_back(message);
        }
    }

    /// Sends what the rings with room take.
    pub(crate) fn handle_room(&mut self, port: &mut ControlPort) {
        while let Some(shard) = port.poll_room() {
            let Some(queue) = self.queues.get_mut(shard.index()) else {
                continue;
            };
            while let Some(message) = queue.pop_front() {
                if let Err(message) = port.send(shard, message) {
                    queue.push_front(message);
                    break;
                }
            }
        }
    }

    /// Messages that wait for room.
    pub(crate) fn len(&self) -> usize {
        self.queues.iter().map(VecDeque::len).sum()
    }
}
