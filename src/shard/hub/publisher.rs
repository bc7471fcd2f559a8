//! Sources whose connection this shard owns; the mount itself may live elsewhere.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use corecast_media::fanout::Socket;
use corecast_media::frame::MediaEvent;
use corecast_media::name::{MountName, SessionId};
use corecast_media::time::Time;
use corecast_mesh::message::{EndReason, PublishRefusal, SessionReport, ShardMessage, SourceInfo};

use super::{Hub, HubEvent};

/// One source of this shard.
#[derive(Debug)]
pub(super) struct Publisher {
    mount: MountName,
    info: Arc<SourceInfo>,
    since: Time,
    bytes: u64,
    /// It lets any other source have its mount.
    yields: bool,
}

impl Publisher {
    pub(super) fn report(&self, session: SessionId) -> SessionReport {
        let unknown = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        SessionReport {
            session,
            publisher: true,
            mount: self.mount.clone(),
            peer: self.info.address.unwrap_or(unknown),
            user_agent: Arc::clone(&self.info.user_agent),
            since: self.since,
            bytes: self.bytes,
            lag: Duration::ZERO,
        }
    }
}

impl<S: Socket> Hub<S> {
    pub(super) fn start_publisher(
        &mut self,
        now: Time,
        session: SessionId,
        mount: MountName,
        info: SourceInfo,
    ) {
        let refusal = if self.draining {
            Some(PublishRefusal::Draining)
        } else if !self.seats.sources.take() {
            Some(PublishRefusal::SourcesMax)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            self.events.push_back(HubEvent::PublishAnswer {
                session,
                answer: Err(refusal),
            });
            return;
        }
        let info = Arc::new(info);
        let publisher = Publisher {
            mount: mount.clone(),
            info: Arc::clone(&info),
            since: now,
            bytes: 0,
            yields: false,
        };
        self.publishers.insert(session, publisher);
        let home = self.topology.home(&mount);
        self.send(
            home,
            ShardMessage::Publish {
                mount,
                session,
                info,
            },
        );
    }

    pub(super) fn set_yields(&mut self, session: SessionId) {
        if let Some(publisher) = self.publishers.get_mut(&session) {
            publisher.yields = true;
        }
    }

    /// Whether this is a source of this shard that lets any other one have its mount.
    pub(super) fn yields(&self, session: SessionId) -> bool {
        let publisher = self.publishers.get(&session);
        publisher.is_some_and(|publisher| publisher.yields)
    }

    pub(super) fn handle_publish_answer(
        &mut self,
        session: SessionId,
        answer: Result<(), PublishRefusal>,
    ) {
        if !self.publishers.contains_key(&session) {
            // Gone before its answer came; the home was told by `Unpublish`.
            return;
        }
        if answer.is_err() {
            self.forget_publisher(session);
        }
        self.events
            .push_back(HubEvent::PublishAnswer { session, answer });
    }

    pub(super) fn forward_media(&mut self, session: SessionId, events: Vec<MediaEvent>) {
        let Some(publisher) = self.publishers.get_mut(&session) else {
            return;
        };
        let bytes = events.iter().map(|event| match event {
            MediaEvent::Frame(frame) => frame.payload.len() as u64,
            MediaEvent::Unit(unit) => unit.payload.len() as u64,
            _ => 0,
        });
        let bytes: u64 = bytes.sum();
        publisher.bytes += bytes;
        self.counts.bytes_read += bytes;
        let mount = publisher.mount.clone();
        let home = self.topology.home(&mount);
        self.send(
            home,
            ShardMessage::Media {
                mount,
                session,
                events,
            },
        );
    }

    pub(super) fn end_publisher(&mut self, session: SessionId, reason: EndReason) {
        if let Some(publisher) = self.forget_publisher(session) {
            let home = self.topology.home(&publisher.mount);
            let mount = publisher.mount;
            self.send(
                home,
                ShardMessage::Unpublish {
                    mount,
                    session,
                    reason,
                },
            );
        }
    }

    pub(super) fn handle_end_publisher(&mut self, session: SessionId, reason: EndReason) {
        if self.forget_publisher(session).is_some() {
            self.events
                .push_back(HubEvent::PublisherEnded { session, reason });
        }
    }

    pub(super) fn drain_publishers(&mut self) {
        let sessions: Vec<SessionId> = self.publishers.keys().copied().collect();
        for session in sessions {
            self.end_publisher(session, EndReason::Drained);
            let reason = EndReason::Drained;
            self.events
                .push_back(HubEvent::PublisherEnded { session, reason });
        }
    }

    fn forget_publisher(&mut self, session: SessionId) -> Option<Publisher> {
        let publisher = self.publishers.remove(&session)?;
        self.outbox.forget(session);
        self.seats.sources.give_back();
        Some(publisher)
    }
}
