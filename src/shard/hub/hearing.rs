//! Listeners that may talk.

use corecast_media::fanout::{Heard, Socket};
use corecast_media::name::SessionId;
use corecast_media::time::Time;
use corecast_mesh::message::EndReason;

use super::Hub;
use super::listener::Listener;

impl<S: Socket> Hub<S> {
    /// Something came from the peer of the steady listener `session`: takes some of it, and sends
    /// what is to be said to that. True where there may be more.
    pub fn hear(&mut self, now: Time, session: SessionId) -> bool {
        let Some(&key) = self.talkers.get(&session) else {
            return false;
        };
        let key = key as usize;
        let heard = self.listeners[key].reader.socket.hear();
        match heard {
            Heard::Nothing => return false,
            Heard::Something => {}
            Heard::End => self.dismiss_listener(now, key, EndReason::PeerClosed),
            Heard::Fault => self.dismiss_listener(now, key, EndReason::Malformed),
            Heard::Lost => self.lose_listener(now, key),
        }
        if heard != Heard::Lost {
            self.serve_apart(now, key);
        }
        self.settle(now);
        heard == Heard::Something
    }

    /// A listener is there that may talk, or one that may not.
    pub(super) fn note_talker(&mut self, session: SessionId, key: usize) {
        if self.listeners[key].reader.socket.talks() {
            self.talkers.insert(session, key as u32);
        }
    }

    /// A listener is gone.
    pub(super) fn forget_talker(&mut self, listener: &Listener<S>) {
        if listener.reader.socket.talks() {
            self.talkers.remove(&listener.session);
        }
    }

    /// Serves a listener out of its turn.
    fn serve_apart(&mut self, now: Time, key: usize) {
        let at = self.listeners[key].replica as usize;
        if !self.serve_listener(now, key) {
            self.replicas[at].wheel.remove(key as u32);
            self.tend_replica(now, at);
        }
    }

    /// A listener's peer is gone.
    fn lose_listener(&mut self, now: Time, key: usize) {
        let at = self.listeners[key].replica as usize;
        self.replicas[at].wheel.remove(key as u32);
        self.forget_listener(now, key, EndReason::PeerClosed);
        self.tend_replica(now, at);
    }
}
