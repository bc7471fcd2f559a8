//! A source's place at its mount, whatever the source speaks.

use std::rc::Rc;
use std::time::Duration;

use corecast_media::name::{MountName, SessionId};
use corecast_mesh::message::{EndReason, PublishRefusal, SourceInfo};

use crate::admission::Refused;
use crate::driver::{PublisherTicket, Shard};
use crate::probe::{Refusal, reason_index};

/// How long the mount's home may take to answer.
const VERDICT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long after a first refusal a mount in use is asked once more: longer than the pace of
/// reads, by which the end of a connection is seen.
const SECOND_TRY: Duration = Duration::from_millis(300);

/// The mount's home gave no verdict.
const LATE: Refused = Refused::busy("the server is busy", Refusal::Full);

fn refused(refusal: PublishRefusal) -> Refused {
    match refusal {
        PublishRefusal::InUse => Refused::new(409, "Mountpoint in use", Refusal::InUse),
        PublishRefusal::SourcesMax => Refused::busy("too many sources connected", Refusal::Full),
        PublishRefusal::Draining => Refused::busy("the server is shutting down", Refusal::Draining),
    }
}

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

    /// Asks the mount's home for its source slot; where it is in use, once more a little later.
    pub(crate) async fn ask(
        shard: &Rc<Shard>,
        session: SessionId,
        mount: &MountName,
        info: SourceInfo,
    ) -> Result<Self, Refused> {
        let asked = Publication::ask_once(shard, session, mount, info.clone()).await;
        if !matches!(&asked, Err(refused) if matches!(refused.counted, Refusal::InUse)) {
            return asked;
        }
        // An encoder that reconnects at once may be ahead of our look at its old connection.
        monoio::time::sleep(SECOND_TRY).await;
        Publication::ask_once(shard, session, mount, info).await
    }

    async fn ask_once(
        shard: &Rc<Shard>,
        session: SessionId,
        mount: &MountName,
        info: SourceInfo,
    ) -> Result<Self, Refused> {
        let mut publication = Publication::new(shard, session);
        let mount = mount.clone();
        shard.with_hub(|hub, now| hub.publish(now, session, mount, info));
        let verdict = monoio::time::timeout(VERDICT_TIMEOUT, &mut publication.ticket.answer).await;
        match verdict {
            Ok(Ok(Ok(()))) => Ok(publication),
            Ok(Ok(Err(refusal))) => {
                publication.open = false;
                Err(refused(refusal))
            }
            Ok(Err(_)) | Err(_) => Err(LATE),
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
