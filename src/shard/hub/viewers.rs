//! Who watches a mount as HLS by requests to this shard, and what control hears of them.
//!
//! A player is told from another by what its requests show, not by a cookie; its number is the
//! same on every shard. Control puts together what the shards say of it.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::time::Duration;

use corecast_media::name::MountName;
use corecast_media::time::Time;
use corecast_mesh::message::{NewPlayer, Sighting, ViewersReport};
use rustc_hash::FxHasher;

/// A player who asked for a playlist within this time is there.
const VIEWER_SPAN: Duration = Duration::from_secs(15);

/// The most viewers of one mount that this shard tells apart.
const VIEWERS_MAX: usize = 200_000;

/// The most of whom control is told at once that they are new; others wait for their next request.
const NEW_MAX: usize = 4_096;

/// Those who have gone are looked for no more often: a full table is long.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// How often control is told.
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// Somebody who asks for a playlist.
#[derive(Clone, Copy)]
pub struct Asker<'a> {
    /// The player's number.
    pub player: u64,
    /// Who that is, where nobody knows yet.
    pub card: &'a dyn Fn() -> NewPlayer,
}

/// The viewers of one mount.
#[derive(Debug)]
pub(super) struct Viewers {
    known: HashMap<u64, Player, BuildHasherDefault<FxHasher>>,
    new: Vec<NewPlayer>,
    /// Those who went before control was told of them.
    missed: u64,
    /// When those who had gone were forgotten last.
    swept: Time,
    reported: Time,
    has_news: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Player {
    seen: Time,
    /// Sent since control was told.
    bytes: u64,
    told: bool,
    /// Whether control knows, or is told next, who it is.
    named: bool,
}

impl Viewers {
    pub(super) fn new(now: Time) -> Self {
        Viewers {
            known: HashMap::default(),
            new: Vec::new(),
            missed: 0,
            swept: now,
            reported: now,
            has_news: false,
        }
    }

    /// Somebody asked; whether [`Viewers::poll_timeout`] is another now.
    pub(super) fn note(&mut self, now: Time, asker: &Asker<'_>) -> bool {
        if !self.known.contains_key(&asker.player) && !self.has_room(now) {
            return false;
        }
        let player = self.known.entry(asker.player).or_default();
        player.seen = now;
        player.told = false;
        if !player.named && self.new.len() < NEW_MAX {
            player.named = true;
            self.new.push((asker.card)());
        }
        !std::mem::replace(&mut self.has_news, true)
    }

    fn has_room(&mut self, now: Time) -> bool {
        if self.known.len() >= VIEWERS_MAX && now.since(self.swept) >= SWEEP_EVERY {
            self.forget(now);
        }
        self.known.len() < VIEWERS_MAX
    }

    /// A player was sent something; whether [`Viewers::poll_timeout`] is another now.
    pub(super) fn note_sent(&mut self, player: u64, bytes: u64) -> bool {
        let Some(player) = self.known.get_mut(&player) else {
            return false;
        };
        player.bytes += bytes;
        player.told = false;
        !std::mem::replace(&mut self.has_news, true)
    }

    /// When there is something to tell.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.has_news.then(|| self.reported + REPORT_EVERY)
    }

    /// What control has not heard yet, where it is time for that; those who have gone are
    /// forgotten.
    pub(super) fn handle_timeout(&mut self, now: Time, mount: &MountName) -> Option<ViewersReport> {
        let is_due = self.poll_timeout().is_some_and(|due| due <= now);
        let report = is_due.then(|| self.report(now, mount));
        self.forget(now);
        report
    }

    /// The same now, where there is anything.
    pub(super) fn flush(&mut self, now: Time, mount: &MountName) -> Option<ViewersReport> {
        self.forget(now);
        self.has_news.then(|| self.report(now, mount))
    }

    fn report(&mut self, now: Time, mount: &MountName) -> ViewersReport {
        self.reported = now;
        self.has_news = false;
        let known = self.known.iter_mut();
        // What the others took is told when they have a name.
        let untold = known.filter(|(_, player)| player.named && !player.told);
        let seen = untold.map(|(number, player)| {
            player.told = true;
            Sighting {
                player: *number,
                at: player.seen,
                bytes: std::mem::take(&mut player.bytes),
            }
        });
        ViewersReport {
            mount: mount.clone(),
            seen: seen.collect(),
            new: std::mem::take(&mut self.new),
            missed: std::mem::take(&mut self.missed),
        }
    }

    /// Who is there, by number.
    pub(super) fn present(&self, now: Time) -> Vec<u64> {
        let fresh = self.known.iter();
        let fresh = fresh.filter(|(_, player)| now.since(player.seen) < VIEWER_SPAN);
        fresh.map(|(number, _)| *number).collect()
    }

    fn forget(&mut self, now: Time) {
        self.swept = now;
        let missed = &mut self.missed;
        self.known.retain(|_, player| {
            let stays = player.named && !player.told || now.since(player.seen) < VIEWER_SPAN;
            *missed += u64::from(!stays && !player.named);
            stays
        });
        self.has_news |= self.missed > 0;
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use corecast_media::name::SessionId;

    use super::*;

    fn card(player: u64, since: Time) -> NewPlayer {
        NewPlayer {
            player,
            session: SessionId::default(),
            peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            user_agent: "test".into(),
            referer: "".into(),
            request: "GET /m/hls/a0.m3u8 HTTP/1.1".into(),
            since,
        }
    }

    #[test]
    fn control_hears_of_each_player_once_in_a_while() {
        let mount = MountName::parse("/m").expect("a name");
        let at = Time::from_millis;
        let mut viewers = Viewers::new(at(0));
        let mut cards = 0;
        for ms in (0..4_000).step_by(100) {
            let now = at(ms);
            let made = std::cell::Cell::new(false);
            let make = || {
                made.set(true);
                card(7, now)
            };
            let asker = Asker {
                player: 7,
                card: &make,
            };
            assert_eq!(viewers.note(now, &asker), ms == 0);
            cards += u32::from(made.get());
            assert!(!viewers.note_sent(7, 100) && !viewers.note_sent(8, 100));
        }
        assert_eq!((cards, viewers.poll_timeout()), (1, Some(at(5_000))));
        assert!(viewers.handle_timeout(at(4_999), &mount).is_none());
        let report = viewers
            .handle_timeout(at(5_000), &mount)
            .expect("it is due");
        let [seen] = &report.seen[..] else {
            panic!("{report:?}")
        };
        assert_eq!((seen.player, seen.at, seen.bytes), (7, at(3_900), 4_000));
        assert_eq!((report.new.len(), report.new[0].since), (1, at(0)));
        assert_eq!(viewers.poll_timeout(), None);
        assert_eq!(viewers.present(at(18_800)), [7]);
        assert!(viewers.present(at(18_900)).is_empty());
        // What went out late is told before it is forgotten.
        assert!(viewers.note_sent(7, 1));
        let report = viewers
            .handle_timeout(at(30_000), &mount)
            .expect("it is due");
        assert_eq!((report.seen[0].bytes, report.new.len()), (1, 0));
        assert!(viewers.known.is_empty());
    }

    #[test]
    fn a_full_table_takes_nobody_until_somebody_has_gone() {
        let mut viewers = Viewers::new(Time::ZERO);
        let mount = MountName::parse("/m").expect("a name");
        let note = |viewers: &mut Viewers, player: u64, now: Time| {
            let make = || card(player, now);
            let asker = Asker {
                player,
                card: &make,
            };
            viewers.note(now, &asker);
        };
        for player in 0..=VIEWERS_MAX as u64 {
            note(&mut viewers, player, Time::ZERO);
        }
        assert_eq!(
            (viewers.known.len(), viewers.new.len()),
            (VIEWERS_MAX, NEW_MAX)
        );
        let report = viewers.flush(Time::ZERO, &mount).expect("there are some");
        assert_eq!((report.seen.len(), report.new.len()), (NEW_MAX, NEW_MAX));
        // Who had no place among the new ones has one when it asks again, and keeps its bytes.
        let late = NEW_MAX as u64;
        viewers.note_sent(late, 700);
        note(&mut viewers, late, Time::from_millis(1_000));
        let report = viewers.flush(Time::from_millis(1_000), &mount);
        let report = report.expect("there is one more");
        assert_eq!(report.new.len(), 1);
        assert_eq!((report.seen[0].player, report.seen[0].bytes), (late, 700));
        assert_eq!(report.missed, 0);
        note(&mut viewers, u64::MAX, Time::from_millis(16_000));
        assert_eq!(viewers.present(Time::from_millis(16_000)), [u64::MAX]);
        let report = viewers.flush(Time::from_millis(16_000), &mount);
        let missed = report.expect("there is one").missed;
        assert_eq!(missed, (VIEWERS_MAX - NEW_MAX - 1) as u64);
    }
}
