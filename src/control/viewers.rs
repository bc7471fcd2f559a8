//! Viewers of HLS as sessions: put together from what the shards say of them, since the requests
//! of one player come to many shards. Who has gone is told of as of any listener.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use corecast_media::name::MountName;
use corecast_media::time::Time;
use corecast_mesh::message::{AccessRecord, EndReason, Event, NewPlayer, ViewersReport};

use crate::probe::ControlProbe;

/// Who was not seen for so long has gone: players ask again within three segments, and shards tell
/// of it a few seconds later.
const GONE_AFTER: Duration = Duration::from_secs(25);

/// How often those who have gone are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// The most bytes that viewers take together, texts included; who is beyond gets no line. Enough
/// for 150,000 as they usually are.
const BYTES_MAX: usize = 64 << 20;

/// What a viewer takes beside its texts: its place in a table with room to spare.
const VIEWER_BYTES: usize = 2 * (size_of::<Player>() + size_of::<u64>());

/// The most who are told at once to have gone: the access log's lines wait for a disk, and are
/// lost where too many do.
const GONE_MAX: usize = 2_000;

/// After how long the next ones are told.
const GONE_PAUSE: Duration = Duration::from_millis(10);

/// The most of one report of whose start the feed of events is told.
const STARTS_TOLD_MAX: usize = 100;

/// The longest text of a player that is kept, in bytes.
const TEXT_BYTES_MAX: usize = 512;

/// The count. Lives on: the control plane.
#[derive(Debug)]
pub(crate) struct Viewers {
    mounts: HashMap<MountName, HashMap<u64, Player>>,
    bytes: usize,
    /// When those who have gone are looked for.
    due: Time,
    probe: Arc<ControlProbe>,
}

#[derive(Debug)]
struct Player {
    card: NewPlayer,
    last: Time,
    bytes: u64,
}

impl Viewers {
    pub(crate) fn new(probe: Arc<ControlProbe>) -> Self {
        Viewers {
            mounts: HashMap::new(),
            bytes: 0,
            due: Time::ZERO,
            probe,
        }
    }

    /// Takes what a shard says, and gives back of whose start it is the first news.
    pub(crate) fn handle_report(&mut self, report: ViewersReport) -> Vec<Event> {
        let ViewersReport {
            mount,
            new,
            missed,
            seen,
        } = report;
        self.probe.viewers_untold.add(missed);
        let mut started = Vec::new();
        let viewers = self.mounts.entry(mount.clone()).or_default();
        for card in new {
            match viewers.entry(card.player) {
                Entry::Occupied(mut known) => {
                    let known = &mut known.get_mut().card;
                    // Another shard had it first, and tells of it later.
                    if card.since < known.since {
                        self.bytes -= bytes_of(known);
                        *known = shortened(card);
                        self.bytes += bytes_of(known);
                    }
                }
                Entry::Vacant(_) if self.bytes >= BYTES_MAX => self.probe.viewers_untold.add(1),
                Entry::Vacant(free) => {
                    if started.len() < STARTS_TOLD_MAX {
                        started.push(Event::ListenerStarted {
                            mount: mount.clone(),
                            session: card.session,
                            peer: card.peer,
                            user_agent: Arc::clone(&card.user_agent),
                        });
                    }
                    let last = card.since;
                    let card = shortened(card);
                    self.bytes += bytes_of(&card);
                    free.insert(Player {
                        card,
                        last,
                        bytes: 0,
                    });
                }
            }
        }
        for sighting in seen {
            if let Some(player) = viewers.get_mut(&sighting.player) {
                player.last = player.last.max(sighting.at);
                player.bytes += sighting.bytes;
            }
        }
        if viewers.is_empty() {
            self.mounts.remove(&mount);
        }
        started
    }

    /// When [`Viewers::handle_timeout`] is due.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        (self.bytes > 0).then_some(self.due)
    }

    /// Those who have gone, so many as may be told at once.
    pub(crate) fn handle_timeout(&mut self, now: Time) -> Vec<AccessRecord> {
        if self.poll_timeout().is_none_or(|due| due > now) {
            return Vec::new();
        }
        let gone = self.take(|player| now.since(player.last) >= GONE_AFTER);
        let pause = match gone.len() < GONE_MAX {
            true => SWEEP_EVERY,
            false => GONE_PAUSE,
        };
        self.due = now + pause;
        gone
    }

    /// All of them, since nothing more is heard: some at a time, until there are none.
    pub(crate) async fn next_of_all(&mut self) -> Option<Vec<AccessRecord>> {
        let all = self.take(|_| true);
        if self.bytes > 0 {
            tokio::time::sleep(GONE_PAUSE).await;
        }
        (!all.is_empty()).then_some(all)
    }

    fn take(&mut self, is_gone: impl Fn(&Player) -> bool) -> Vec<AccessRecord> {
        let mut gone = Vec::new();
        self.mounts.retain(|mount, viewers| {
            let of_mount = viewers.extract_if(|_, player| is_gone(player));
            for (_, player) in of_mount.take(GONE_MAX - gone.len()) {
                self.bytes -= bytes_of(&player.card);
                gone.push(player.into_record(mount));
            }
            !viewers.is_empty()
        });
        gone
    }
}

impl Player {
    fn into_record(self, mount: &MountName) -> AccessRecord {
        let Player { card, last, bytes } = self;
        AccessRecord {
            session: card.session,
            peer: card.peer,
            user: None,
            request: card.request,
            status: 200,
            bytes,
            referer: card.referer,
            user_agent: card.user_agent,
            duration: last.since(card.since),
            reason: EndReason::PeerClosed,
            mount: Some(mount.clone()),
        }
    }
}

/// What a viewer counts in [`BYTES_MAX`].
fn bytes_of(card: &NewPlayer) -> usize {
    VIEWER_BYTES + card.user_agent.len() + card.referer.len() + card.request.len()
}

fn shortened(card: NewPlayer) -> NewPlayer {
    let short = |text: Box<str>| match text.len() > TEXT_BYTES_MAX {
        true => text[..text.floor_char_boundary(TEXT_BYTES_MAX)].into(),
        false => text,
    };
    let user_agent = match card.user_agent.len() > TEXT_BYTES_MAX {
        true => Arc::from(short(Box::from(&*card.user_agent))),
        false => card.user_agent,
    };
    NewPlayer {
        referer: short(card.referer),
        request: short(card.request),
        user_agent,
        ..card
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use corecast_media::name::SessionId;
    use corecast_mesh::message::Sighting;

    use super::*;

    fn mount() -> MountName {
        MountName::parse("/cam").expect("a name")
    }

    fn card(player: u64, since: u64) -> NewPlayer {
        NewPlayer {
            player,
            session: SessionId::of_player(player),
            peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            user_agent: "test".into(),
            referer: "x".repeat(2_000).into(),
            request: "GET /cam/hls/v0.m3u8 HTTP/1.1".into(),
            since: Time::from_millis(since),
        }
    }

    fn report(new: Vec<NewPlayer>, seen: &[(u64, u64, u64)]) -> ViewersReport {
        let sighting = |&(player, at, bytes): &(u64, u64, u64)| Sighting {
            player,
            at: Time::from_millis(at),
            bytes,
        };
        ViewersReport {
            mount: mount(),
            new,
            missed: 0,
            seen: seen.iter().map(sighting).collect(),
        }
    }

    #[test]
    fn what_shards_say_of_a_player_is_one_session() {
        let mut viewers = Viewers::new(Arc::new(ControlProbe::new()));
        let first = viewers.handle_report(report(vec![card(7, 1_500)], &[(7, 4_000, 300)]));
        assert_eq!(first.len(), 1);
        let mut earlier = card(7, 1_000);
        earlier.request = "GET /cam/hls/a0.m3u8 HTTP/2".into();
        let more = report(vec![earlier], &[(7, 61_000, 700), (8, 61_000, 1)]);
        assert!(viewers.handle_report(more).is_empty(), "it is the same one");
        let at = Time::from_millis;
        assert!(viewers.handle_timeout(at(85_999)).is_empty());
        let gone = viewers.handle_timeout(at(91_000));
        let [line] = &gone[..] else {
            panic!("{gone:?}")
        };
        assert_eq!(
            (line.duration, line.bytes),
            (Duration::from_secs(60), 1_000)
        );
        assert_eq!((line.mount.as_ref(), line.status), (Some(&mount()), 200));
        assert_eq!(line.referer.len(), TEXT_BYTES_MAX);
        // Of its first request, whichever shard told of it first.
        assert_eq!(&*line.request, "GET /cam/hls/a0.m3u8 HTTP/2");
        assert_eq!(line.session, SessionId::of_player(7));
        assert_eq!(viewers.bytes, 0);
        assert_eq!((viewers.poll_timeout(), viewers.mounts.len()), (None, 0));
    }

    #[test]
    fn there_is_an_end_to_how_many_are_kept() {
        let probe = Arc::new(ControlProbe::new());
        let mut viewers = Viewers::new(Arc::clone(&probe));
        let mut kept = 0;
        // A million made up ones, with the longest texts that there may be.
        for some in 0..200 {
            let crowd = (0..5_000).map(|n| card(some * 5_000 + n, 0)).collect();
            let mut crowd = report(crowd, &[]);
            crowd.missed = 1;
            let started = viewers.handle_report(crowd);
            assert!(started.len() <= STARTS_TOLD_MAX);
            let known = viewers.mounts.values().map(HashMap::len).sum::<usize>();
            kept = known.max(kept);
        }
        assert!((30_000..200_000).contains(&kept), "{kept}");
        assert!(viewers.bytes < BYTES_MAX + 4_096);
        let untold = 1_000_000 - kept as u64 + 200;
        assert_eq!(probe.viewers_untold.total(), untold);
        // They go a few at a time, each once.
        let mut now = Time::from_millis(60_000);
        let mut gone = 0;
        while let Some(due) = viewers.poll_timeout() {
            now = now.max(due);
            let some = viewers.handle_timeout(now).len();
            assert!(some <= GONE_MAX && (some == GONE_MAX || viewers.bytes == 0));
            gone += some;
        }
        assert_eq!((gone, viewers.bytes, viewers.mounts.len()), (kept, 0, 0));
        assert!(now.since(Time::from_millis(60_000)) < Duration::from_secs(10));
    }
}
