//! A source's place at its mount, whatever the source speaks and whoever fetched it.

use std::rc::Rc;
use std::time::Duration;

use corecast_media::name::{MountName, SessionId};
use corecast_mesh::message::{EndReason, PublishRefusal, SourceInfo};

use crate::driver::{PublisherTicket, Shard};
use crate::probe::reason_index;

/// How long the mount's home may take to answer.
const VERDICT_TIMEOUT: Duration = Duration::from_secs(5);

/// A place at a mount, or the wish for one. Given up when dropped.
pub(crate) struct Publication {
    shard: Rc<Shard>,
    pub(crate) session: SessionId,
    pub(crate) ticket: PublisherTicket,
    /// The hub knows the session.
    pub(crate) open: bool,
    /// The hub accepted it.
    live: bool,
    reason: EndReason,
}

impl Publication {
    fn new(shard: &Rc<Shard>, session: SessionId) -> Self {
        let ticket = shard.expect_publish(session);
        let reason = EndReason::Internal;
        Publication {
            shard: Rc::clone(shard),
            session,
            ticket,
            open: true,
            live: false,
            reason,
        }
    }

    /// Asks the mount's home for its source slot. Who `yields` lets any other source have it from
    /// then on.
    ///
    /// # Errors
    /// Why not; nothing where the home gave no answer in time.
    pub(crate) async fn ask(
        shard: &Rc<Shard>,
        session: SessionId,
        mount: &MountName,
        info: SourceInfo,
        yields: bool,
    ) -> Result<Self, Option<PublishRefusal>> {
        let mut publication = Publication::new(shard, session);
        let mount = mount.clone();
        shard.with_hub(|hub, now| {
            hub.publish(now, session, mount, info);
            if yields {
                hub.give_way(session);
            }
        });
        let verdict = monoio::time::timeout(VERDICT_TIMEOUT, &mut publication.ticket.answer).await;
        match verdict {
            Ok(Ok(Ok(()))) => Ok(publication),
            Ok(Ok(Err(refusal))) => {
                publication.open = false;
                Err(Some(refusal))
            }
            Ok(Err(_)) | Err(_) => Err(None),
        }
    }

    /// Counts the source from now on.
    pub(crate) fn start(&mut self) {
        self.live = true;
        self.shard.probe.sources.add(1);
    }

    /// Why it is given up.
    pub(crate) fn end(&mut self, reason: EndReason) {
        self.reason = reason;
    }
}

impl Drop for Publication {
    fn drop(&mut self) {
        self.shard.forget_publisher(self.session);
        if self.live {
            self.shard.probe.sources.add(-1);
            self.shard
                .probe
                .sources_ended
                .at(reason_index(self.reason))
                .add(1);
        }
        if self.open {
            self.shard
                .with_hub(|hub, now| hub.unpublish(now, self.session, self.reason));
        }
    }
}
