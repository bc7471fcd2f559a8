//! Listeners from their seat to their end.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use corecast_media::name::SessionId;
use corecast_mesh::message::{EndReason, JoinRefusal};
use corecast_shard::hub::{ListenerCard, Seat};

use crate::intro;
use crate::peer::{HEAD, Peer, Temper, VirtualSocket};
use crate::world::{Ear, World};

impl World {
    pub(crate) fn seat(
        &mut self,
        index: usize,
        session: SessionId,
        answer: Result<Seat, JoinRefusal>,
    ) {
        let Some((_, wanted, kind)) = self.asked.remove(&session) else {
            return;
        };
        self.note(session.as_u64() ^ 0xabc ^ u64::from(answer.is_ok()));
        let Ok(seat) = answer else { return };
        let temper = match self.dice.below(10) {
            0 => Temper::Slow(self.dice.within(1_000, 20_000)),
            1 => Temper::Stuck(self.dice.below(100_000)),
            2 => Temper::Leaving(self.dice.below(200_000)),
            _ => Temper::Good,
        };
        let metaint = if self.dice.chance(70) {
            seat.metaint
        } else {
            0
        };
        let needs_setup = &*seat.info.content_type == "application/ogg";
        let mut peer = match wanted.output() {
            Some(output) => Peer::of_film(temper, output, Rc::clone(&self.lossy)),
            None => Peer::new(temper, metaint, needs_setup),
        };
        peer.breathe(1);
        let peer = Rc::new(RefCell::new(peer));
        let socket = VirtualSocket {
            peer: Rc::clone(&peer),
            dice: Rc::clone(&self.write_dice),
        };
        let stays = self.dice.chance(20).then(|| self.dice.within(1, 60_000));
        let card = Box::new(ListenerCard {
            peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            user_agent: "sim".into(),
            referer: "".into(),
            request: "GET / HTTP/1.0".into(),
            user: None,
            since: self.now,
            until: stays.map(|ms| self.now + Duration::from_millis(ms)),
            relays: false,
        });
        self.ears.insert(
            session,
            Ear {
                peer,
                wanted,
                kind,
                heard: 0,
                heard_at: self.now,
            },
        );
        self.report.listeners += 1;
        let head = Bytes::from_static(HEAD);
        self.nodes[index]
            .hub
            .attach(self.now, session, socket, head, metaint, card);
    }

    pub(crate) fn end_ear(&mut self, session: SessionId, reason: EndReason, bytes: u64) {
        let Some(ear) = self.ears.remove(&session) else {
            return;
        };
        let mut peer = ear.peer.borrow_mut();
        self.report.bytes += peer.got;
        self.report.units += peer.units();
        self.report.intros += u64::from(peer.heard(intro::is_intro));
        let told = matches!(
            reason,
            EndReason::SourceGone | EndReason::Drained | EndReason::Killed | EndReason::TimeLimit
        );
        if told && !peer.is_at_border() && peer.fault.is_none() {
            peer.fault = Some(format!("left inside a frame ({})", reason.name()));
        }
        if bytes != peer.got && peer.fault.is_none() {
            peer.fault = Some(format!("{bytes} bytes counted, {} got", peer.got));
        }
        let (got, fault) = (peer.got, peer.fault.clone());
        drop(peer);
        self.note(session.as_u64() ^ got);
        if fault.is_some() {
            // Kept, so that the next check finds it.
            self.ears.insert(session, ear);
        }
    }
}
