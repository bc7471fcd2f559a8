//! Which part of the hub a message is for.

use corecast_media::fanout::Socket;
use corecast_media::name::{MountName, ShardId};
use corecast_media::time::Time;
use corecast_mesh::message::{HlsMessage, ShardMessage};

use super::Hub;

impl<S: Socket> Hub<S> {
    pub(super) fn dispatch(&mut self, now: Time, from: ShardId, message: ShardMessage) {
        match message {
            ShardMessage::Publish {
                mount,
                session,
                info,
            } => {
                self.handle_publish(now, mount, session, info);
            }
            ShardMessage::PublishAnswer { session, answer } => {
                self.handle_publish_answer(session, answer);
            }
            ShardMessage::Media {
                mount,
                session,
                events,
            } => {
                self.handle_media(now, &mount, session, events);
            }
            ShardMessage::Unpublish {
                mount,
                session,
                reason,
            } => {
                self.handle_unpublish(now, &mount, session, reason);
            }
            ShardMessage::EndPublisher { session, reason } => {
                self.handle_end_publisher(session, reason);
            }
            ShardMessage::Reserve {
                mount,
                session,
                seat,
            } => {
                self.handle_reserve(now, from, mount, session, seat);
            }
            ShardMessage::ReserveAnswer {
                mount,
                session,
                answer,
                fallback,
            } => {
                self.handle_reserve_answer(now, &mount, session, answer, fallback);
            }
            ShardMessage::Move(asked) => self.handle_move(now, from, asked),
            ShardMessage::MoveAnswer { asked, answer } => {
                self.handle_move_answer(now, &asked, answer);
            }
            ShardMessage::Release { mount, freed } => self.handle_release(now, &mount, freed),
            ShardMessage::Unsubscribe { mount, bytes_sent } => {
                self.handle_unsubscribe(from, &mount, bytes_sent);
            }
            ShardMessage::Replica { mount, update } => {
                self.handle_replica_update(now, &mount, update);
            }
            ShardMessage::SetMetadata { mount, metadata } => {
                self.handle_set_metadata(now, &mount, metadata);
            }
            ShardMessage::Hls { mount, message } => self.dispatch_hls(now, from, mount, message),
        }
    }

    fn dispatch_hls(&mut self, now: Time, from: ShardId, mount: MountName, message: HlsMessage) {
        match message {
            HlsMessage::Watch => self.handle_watch(now, from, mount),
            HlsMessage::Answer(answer) => self.handle_watch_answer(now, &mount, answer),
            HlsMessage::Unwatch { bytes_sent } => {
                self.handle_unwatch(now, from, &mount, bytes_sent);
            }
            HlsMessage::Step(step) => self.handle_step(now, &mount, &step),
        }
    }

    /// Says something of a mount's HLS to another shard, or to this one.
    pub(super) fn send_hls(&mut self, to: ShardId, mount: &MountName, message: HlsMessage) {
        let mount = mount.clone();
        self.send(to, ShardMessage::Hls { mount, message });
    }
}
