//! What must hold in every run.

use std::time::Duration;

use corecast_media::name::MountName;
use corecast_mesh::message::{SeatKind, SourceState};

use crate::film::{GROUP_MAX, is_film};
use crate::world::{ANSWER_MAX, Ear, STARVED_MAX, World};

impl World {
    /// What must hold after every step.
    pub(crate) fn check(&mut self) -> Result<(), String> {
        for (session, ear) in &self.ears {
            if let Some(fault) = &ear.peer.borrow().fault {
                return Err(format!("listener {session} of {}: {fault}", ear.wanted));
            }
        }
        for (session, (since, mount, _)) in &self.asked {
            if self.now.since(*since) > ANSWER_MAX {
                return Err(format!("{session} was not answered about {mount}"));
            }
        }
        self.check_seats()?;
        self.check_players()?;
        self.check_starvation()
    }

    fn check_seats(&self) -> Result<(), String> {
        let sessions: Vec<_> = self
            .nodes
            .iter()
            .flat_map(|node| node.hub.snapshot(self.now, true).sessions)
            .collect();
        let listeners = sessions.iter().filter(|session| !session.publisher).count();
        let publishers = sessions.len() - listeners;
        // A forward is a session and has no seat of the node.
        let is_forward = |ear: &Ear| ear.kind == SeatKind::Forward;
        let forwards = sessions
            .iter()
            .filter(|session| self.ears.get(&session.session).is_some_and(is_forward));
        let listeners = listeners - forwards.count();
        let (seated, sources) = (self.seats.listeners.taken(), self.seats.sources.taken());
        let asking = self.asked.values();
        let asking = asking
            .filter(|(.., kind)| *kind == SeatKind::Listener)
            .count();
        // Who was refused on a stalled shard has not heard of it yet.
        if !(listeners..=listeners + asking).contains(&(seated as usize)) {
            return Err(format!(
                "{seated} seats for {listeners} listeners and {asking} asking"
            ));
        }
        if sources as usize != publishers {
            return Err(format!(
                "{sources} source seats for {publishers} publishers"
            ));
        }
        Ok(())
    }

    /// A good listener whose mount is live, on shards that run, gets sound.
    fn check_starvation(&mut self) -> Result<(), String> {
        let live: Vec<MountName> = self
            .nodes
            .iter()
            .flat_map(|node| node.hub.snapshot(self.now, false).mounts)
            .filter(|mount| mount.state == SourceState::Live)
            .filter(|mount| {
                mount
                    .live_since
                    .is_some_and(|since| self.now.since(since) > STARVED_MAX)
            })
            .map(|mount| mount.mount)
            .collect();
        let stalled = self.nodes.iter().any(|node| node.stalled_until > self.now);
        for (session, ear) in &mut self.ears {
            let peer = ear.peer.borrow();
            let more = peer.sound > ear.heard;
            // What is written of radio here is nothing: its frames are of no known kind.
            let feeds = is_film(&ear.wanted) == ear.wanted.output().is_some();
            let is_live = feeds && live.contains(&ear.wanted.to_base());
            if more || stalled || !is_live || !peer.is_good() || peer.closed {
                (ear.heard, ear.heard_at) = (peer.sound, self.now);
            } else if self.now.since(ear.heard_at) > starved_max(&ear.wanted) {
                return Err(format!("listener {session} of {} gets nothing", ear.wanted));
            }
        }
        Ok(())
    }

    /// What must hold when everybody is gone.
    pub(crate) fn check_empty(&mut self) -> Result<(), String> {
        self.check()?;
        for (index, node) in self.nodes.iter().enumerate() {
            let snapshot = node.hub.snapshot(self.now, true);
            if !node.hub.is_idle() {
                return Err(format!(
                    "shard {index} is not idle: {:?}",
                    snapshot.sessions
                ));
            }
            if let Some((mount, _)) = snapshot.sent.first() {
                return Err(format!(
                    "shard {index} keeps a replica or a watch of {mount}"
                ));
            }
            for mount in &snapshot.mounts {
                if mount.listeners > 0 {
                    return Err(format!("{} keeps {} seats", mount.mount, mount.listeners));
                }
                let name = mount.mount.as_str();
                let settings = self.config.configured_mount(name);
                if settings.is_none() && self.config.relay(name).is_none() {
                    return Err(format!("{} is kept though nobody uses it", mount.mount));
                }
            }
        }
        self.check_holdings()?;
        if !self.ears.is_empty() {
            return Err(format!("{} listeners were never ended", self.ears.len()));
        }
        Ok(())
    }
}

/// How long a good listener may get nothing.
fn starved_max(mount: &MountName) -> Duration {
    match is_film(mount) {
        // Who joins or skips may wait for the next keyframe.
        true => STARVED_MAX + GROUP_MAX,
        false => STARVED_MAX,
    }
}
