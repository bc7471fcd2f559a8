//! Listeners of this shard: first a seat, then a steady record.

use std::sync::Arc;

use corecast_config::Config;
use corecast_media::fanout::{Reader, ReaderEnd, Served, Socket};
use corecast_media::intro::{Intro, Intros};
use corecast_media::name::{MountName, SessionId};
use corecast_media::time::Time;
use corecast_mesh::message::{
    AccessRecord, EndReason, Event, Freed, JoinRefusal, SeatKind, SessionReport, ShardMessage,
    SourceInfo, SourceState,
};

use super::replica::{FALLBACK_HOPS_MAX, Replica};
use super::{Hub, HubEvent, ListenerCard, Seat};

impl ListenerCard {
    /// What control is told of the listener, who begins.
    fn started(&self, session: SessionId, mount: &MountName) -> Event {
        Event::ListenerStarted {
            mount: mount.to_base(),
            session,
            peer: self.peer,
            user_agent: Arc::clone(&self.user_agent),
        }
    }

    /// The access log's line of the listener, who has ended.
    pub(crate) fn into_record(
        self,
        session: SessionId,
        reason: EndReason,
        bytes: u64,
        mount: Option<MountName>,
        now: Time,
    ) -> AccessRecord {
        AccessRecord {
            session,
            peer: self.peer,
            user: self.user,
            request: self.request,
            status: 200,
            bytes,
            referer: self.referer,
            user_agent: self.user_agent,
            duration: now.since(self.since),
            reason,
            mount,
        }
    }
}

/// A steady listener: a record in an array, no task.
#[derive(Debug)]
pub(super) struct Listener<S> {
    pub(super) session: SessionId,
    pub(super) reader: Reader<S>,
    /// The replica that it reads.
    pub(super) replica: u32,
    /// The replica that it returns to when its source is back; else the same.
    returns_to: u32,
    /// When it must go, in tenths of a second; zero for never.
    until: u32,
    /// Why it ends, where it was told to leave.
    leaves: Option<EndReason>,
    /// What it is; a forward has none of the node's seats.
    kind: SeatKind,
    /// The seat that it has at its mount: where a fallback takes it, a forward has a listener's.
    seat: SeatKind,
    card: Box<ListenerCard>,
}

impl<S: Socket> Listener<S> {
    /// Where it is in its replica's window, once its intro is over.
    pub(super) fn position(&self) -> Option<u64> {
        self.reader.position()
    }
}

/// The record of a steady listener with a plain descriptor: a few cache lines, whatever the
/// mount's bit rate.
const LISTENER_BYTES_MAX: usize = 128;
const _: () = assert!(size_of::<Listener<(std::os::fd::OwnedFd, bool)>>() <= LISTENER_BYTES_MAX);

/// How long moved listeners stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stay {
    /// Until the source that they first wanted is back.
    UntilItsSourceIsBack,
    /// Those that were at their first mount stay; others still return to theirs.
    UnlessItCameFromElsewhere,
    /// All stay.
    ForGood,
}

/// A session between its wish and its record.
#[derive(Debug)]
pub(super) struct Seating {
    /// The mount that was asked last.
    mount: MountName,
    kind: SeatKind,
    /// Fallbacks tried so far.
    hops: u8,
    /// The replica of the mount that was wanted first, where the listener returns to it.
    returns_to: Option<usize>,
    /// The replica that it has a seat at, and what its response head is made of.
    seated: Option<(usize, Arc<SourceInfo>)>,
}

impl<S: Socket> Hub<S> {
    pub(super) fn ask_for_seat(&mut self, session: SessionId, mount: MountName, kind: SeatKind) {
        let refusal = if self.draining {
            Some(JoinRefusal::Draining)
        } else if kind == SeatKind::Listener && !self.seats.listeners.take() {
            Some(JoinRefusal::NodeFull)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            self.events.push_back(HubEvent::SeatAnswer {
                session,
                answer: Err(refusal),
            });
            return;
        }
        let seating = Seating {
            mount: mount.clone(),
            kind,
            hops: 0,
            returns_to: None,
            seated: None,
        };
        self.seatings.insert(session, seating);
        self.ask_home(session, mount, kind);
    }

    fn ask_home(&mut self, session: SessionId, mount: MountName, seat: SeatKind) {
        *self.asking.entry(mount.clone()).or_default() += 1;
        let home = self.topology.home(&mount);
        let asked = ShardMessage::Reserve {
            mount,
            session,
            seat,
        };
        self.send(home, asked);
    }

    fn give_back_node_seat(&self, kind: SeatKind) {
        if kind == SeatKind::Listener {
            self.seats.listeners.give_back();
        }
    }

    pub(super) fn handle_reserve_answer(
        &mut self,
        now: Time,
        mount: &MountName,
        session: SessionId,
        answer: Result<SeatKind, JoinRefusal>,
        fallback: Option<MountName>,
    ) {
        self.note_answered(mount);
        let replica = self.replica_of.get(mount).copied();
        match (self.seatings.get_mut(&session), answer) {
            // It gave up meanwhile.
            (None, Ok(seat)) => {
                if let Some(key) = replica {
                    self.free_seats(key, Freed::one(seat));
                }
            }
            (None, Err(_)) => {}
            (Some(seating), Ok(_)) => {
                let answer = match replica {
                    Some(key) => {
                        seating.seated = Some((key, Arc::clone(&self.replicas[key].info)));
                        self.replicas[key].held += 1;
                        Ok(self.seat(key))
                    }
                    // Cannot be: a snapshot went before the answer.
                    None => Err(JoinRefusal::NoSource),
                };
                self.events
                    .push_back(HubEvent::SeatAnswer { session, answer });
            }
            (Some(_), Err(refusal)) => {
                self.try_fallback(now, session, replica, refusal, fallback);
            }
        }
        if let Some(key) = replica {
            self.tend_replica(now, key);
        }
    }

    /// A refused listener goes on to the fallback, if there is one.
    fn try_fallback(
        &mut self,
        now: Time,
        session: SessionId,
        refused_by: Option<usize>,
        refusal: JoinRefusal,
        fallback: Option<MountName>,
    ) {
        let Some(seating) = self.seatings.get_mut(&session) else {
            return;
        };
        let next = fallback.filter(|_| seating.hops < FALLBACK_HOPS_MAX);
        let Some(next) = next else {
            self.give_up_seat(now, session);
            self.events.push_back(HubEvent::SeatAnswer {
                session,
                answer: Err(refusal),
            });
            return;
        };
        let returns = self.config.mount(seating.mount.base()).fallback_return;
        if returns
            && seating.returns_to.is_none()
            && let Some(key) = refused_by
        {
            seating.returns_to = Some(key);
            self.replicas[key].away += 1;
        }
        seating.hops += 1;
        seating.mount = next.clone();
        let kind = seating.kind;
        self.ask_home(session, next, kind);
    }

    fn seat(&self, key: usize) -> Seat {
        let replica = &self.replicas[key];
        let settings = self.config.mount(replica.name.base());
        let own_titles = replica.format.codec.is_ogg() || is_ogg_type(&replica.info);
        let metaint = if own_titles || replica.name.output().is_some() {
            0
        } else {
            settings.metaint_bytes
        };
        Seat {
            info: Arc::clone(&replica.info),
            format: replica.format,
            metaint,
        }
    }

    pub(super) fn give_up_seat(&mut self, now: Time, session: SessionId) {
        let Some(seating) = self.seatings.remove(&session) else {
            return;
        };
        self.give_back_node_seat(seating.kind);
        if let Some(key) = seating.returns_to {
            self.replicas[key].away -= 1;
            self.tend_replica(now, key);
        }
        if let Some((key, _)) = seating.seated {
            self.replicas[key].held -= 1;
            self.free_seats(key, Freed::one(seating.kind));
            self.tend_replica(now, key);
        }
    }

    pub(super) fn seat_listener(
        &mut self,
        now: Time,
        session: SessionId,
        socket: S,
        head: &[u8],
        metaint: u32,
        card: Box<ListenerCard>,
    ) {
        let seating = self.seatings.remove(&session);
        let (key, promised, returns_to, kind) = match seating {
            Some(Seating {
                seated: Some((key, promised)),
                returns_to,
                kind,
                ..
            }) => (key, promised, returns_to, kind),
            unseated => {
                self.seatings
                    .extend(unseated.map(|seating| (session, seating)));
                self.give_up_seat(now, session);
                self.report_unseated(session, socket, card);
                return;
            }
        };
        let replica = &mut self.replicas[key];
        replica.held -= 1;
        let position = replica.join_position();
        self.events
            .push_back(HubEvent::Event(card.started(session, &replica.name)));
        let mut reader = Reader::new(now, socket, head, metaint, &replica.window, position);
        let intro = fit_intro(&self.config, &self.intros, replica);
        if let Some(intro) = intro.filter(|_| !card.relays) {
            reader.play(now, Arc::clone(intro), &replica.window);
        }
        let listener = self.listeners.insert(Listener {
            session,
            reader,
            replica: key as u32,
            returns_to: returns_to.unwrap_or(key) as u32,
            until: card
                .until
                .map_or(0, |until| (until.as_millis() / 100) as u32),
            leaves: None,
            kind,
            seat: kind,
            card,
        });
        self.note_talker(session, listener);
        if self.draining {
            self.dismiss_listener(now, listener, EndReason::Drained);
        } else if !promised.continues_as(&self.replicas[key].info) {
            // Another kind of source came between its head and its first byte.
            self.dismiss_listener(now, listener, EndReason::SourceGone);
        }
        if self.serve_listener(now, listener) {
            self.replicas[key].wheel.insert(now, listener as u32);
        }
        self.leave_gone_source(now, key);
        if let Some(home) = returns_to
            && self.replicas[home].state == SourceState::Live
        {
            self.call_back(home);
        }
        self.tend_replica(now, key);
    }

    /// A socket came for a session that has no seat (any more).
    fn report_unseated(&mut self, session: SessionId, socket: S, card: Box<ListenerCard>) {
        self.events.push_back(HubEvent::ListenerEnded {
            session,
            socket,
            mount: None,
            reason: EndReason::Internal,
            bytes: 0,
            card,
        });
    }

    /// Sends a listener what it lacks; false where it ended and is gone from the array. The
    /// caller takes it off the wheel.
    pub(super) fn serve_listener(&mut self, now: Time, key: usize) -> bool {
        let listener = &mut self.listeners[key];
        if listener.until > 0 && now.as_millis() / 100 >= u64::from(listener.until) {
            let at = listener.replica as usize;
            listener.leaves.get_or_insert(EndReason::TimeLimit);
            listener.reader.leave(&self.replicas[at].window);
        }
        let replica = &mut self.replicas[listener.replica as usize];
        let sent = listener.reader.sent();
        let tally = &mut self.counts.tally;
        let served =
            listener
                .reader
                .serve(now, &replica.window, &self.stretch, replica.policy, tally);
        replica.sent += listener.reader.sent() - sent;
        let Served::Ended(end) = served else {
            return true;
        };
        let reason = match end {
            ReaderEnd::Closed => EndReason::PeerClosed,
            ReaderEnd::TooSlow => EndReason::TooSlow,
            ReaderEnd::Left => listener.leaves.unwrap_or(EndReason::SourceGone),
        };
        self.forget_listener(now, key, reason);
        false
    }

    pub(super) fn forget_listener(&mut self, now: Time, key: usize, reason: EndReason) {
        let listener = self.listeners.remove(key);
        self.forget_talker(&listener);
        self.give_back_node_seat(listener.kind);
        let at = listener.replica as usize;
        let mut freed = Freed::one(listener.seat);
        freed.slow = u32::from(reason == EndReason::TooSlow);
        self.free_seats(at, freed);
        let mount = self.replicas[at].name.to_base();
        if listener.returns_to != listener.replica {
            let home = listener.returns_to as usize;
            self.replicas[home].away -= 1;
            self.tend_replica(now, home);
        }
        self.events.push_back(HubEvent::ListenerEnded {
            session: listener.session,
            bytes: listener.reader.sent(),
            socket: listener.reader.socket,
            mount: Some(mount),
            reason,
            card: listener.card,
        });
    }

    /// The readers at a replica that were not told to leave.
    pub(super) fn staying_at(&self, key: usize) -> impl Iterator<Item = u32> {
        let wheel = &self.replicas[key].wheel;
        wheel
            .keys()
            .filter(|key| self.listeners[*key as usize].leaves.is_none())
    }

    /// Up to `seats` listeners at `from` go on at `to`. Returns how many.
    pub(super) fn move_listeners(
        &mut self,
        now: Time,
        from: usize,
        to: usize,
        seats: u32,
        stay: Stay,
    ) -> u32 {
        let keys: Vec<u32> = self.staying_at(from).take(seats as usize).collect();
        for key in &keys {
            let home = self.listeners[*key as usize].returns_to as usize;
            // Who came from elsewhere returns to where it came from, not to a stop on the way.
            let at_home = home == from;
            self.replicas[from].away += u32::from(at_home && stay == Stay::UntilItsSourceIsBack);
            self.carry_over(now, *key, from, to);
            let forgets = stay == Stay::ForGood && home != to;
            if forgets || (at_home && stay == Stay::UnlessItCameFromElsewhere) {
                self.replicas[home].away -= u32::from(!at_home);
                self.listeners[*key as usize].returns_to = to as u32;
                self.tend_replica(now, home);
            }
        }
        keys.len() as u32
    }

    /// Up to `seats` listeners that are away from `home` return to it. Returns how many.
    pub(super) fn return_listeners(&mut self, now: Time, home: usize, seats: u32) -> u32 {
        if self.replicas[home].state != SourceState::Live {
            return 0;
        }
        let away = self.listeners.iter().filter(|(_, listener)| {
            let away = listener.returns_to as usize == home && listener.replica as usize != home;
            away && listener.leaves.is_none()
        });
        let keys: Vec<u32> = away
            .map(|(key, _)| key as u32)
            .take(seats as usize)
            .collect();
        let mut returned = 0;
        for key in keys {
            let from = self.listeners[key as usize].replica as usize;
            if self.replicas[from]
                .info
                .continues_as(&self.replicas[home].info)
            {
                self.carry_over(now, key, from, home);
                self.tend_replica(now, from);
                returned += 1;
            }
        }
        returned
    }

    /// One listener goes on at another mount, after the frame that it is in.
    fn carry_over(&mut self, now: Time, key: u32, from: usize, to: usize) {
        self.replicas[from].wheel.remove(key);
        let seat = &mut self.listeners[key as usize].seat;
        let left = Freed::one(std::mem::take(seat));
        self.free_seats(from, left);
        let (old, new) = (&self.replicas[from].window, &self.replicas[to].window);
        let listener = &mut self.listeners[key as usize];
        listener.reader.go_to(now, old, new);
        let was_away = listener.returns_to != listener.replica;
        listener.replica = to as u32;
        let is_home = listener.returns_to == listener.replica;
        let arrived = &mut self.replicas[to];
        arrived.away -= u32::from(was_away && is_home);
        arrived.wheel.insert(now, key);
    }

    /// The steady listener of `session`.
    pub(super) fn listener_of(&self, session: SessionId) -> Option<usize> {
        let mut all = self.listeners.iter();
        let found = all.find(|(_, listener)| listener.session == session);
        found.map(|(key, _)| key)
    }

    /// Puts `bytes` into a listener's stream, after the frame that it is in; they go out at its
    /// next turn.
    pub(super) fn interject_listener(&mut self, session: SessionId, bytes: &[u8]) {
        if let Some(key) = self.listener_of(session) {
            let listener = &mut self.listeners[key];
            let window = &self.replicas[listener.replica as usize].window;
            listener.reader.interject(window, bytes);
        }
    }

    pub(super) fn end_listener(&mut self, now: Time, session: SessionId, reason: EndReason) {
        if let Some(key) = self.listener_of(session) {
            self.dismiss_listener(now, key, reason);
        }
    }

    /// A listener ends after the frame that it is in.
    pub(super) fn dismiss_listener(&mut self, now: Time, key: usize, reason: EndReason) {
        let listener = &mut self.listeners[key];
        let replica = listener.replica as usize;
        // Whoever only heard its source to the end is told to go for another reason now.
        if listener.leaves.is_none() || listener.reader.stay() {
            listener.leaves = Some(reason);
        }
        listener.reader.leave(&self.replicas[replica].window);
        // It goes at its next turn; that is soon.
        self.tend_replica(now, replica);
    }

    /// A listener ends once it has heard its source to the end.
    pub(super) fn finish_listener(&mut self, key: usize) {
        let listener = &mut self.listeners[key];
        listener.leaves.get_or_insert(EndReason::SourceGone);
        let at = listener.replica as usize;
        listener.reader.finish(&self.replicas[at].window);
    }

    /// A listener that only lacked the end of its source stays: there is another one.
    pub(super) fn keep_listener(&mut self, key: usize) {
        let listener = &mut self.listeners[key];
        if listener.leaves == Some(EndReason::SourceGone) && listener.reader.stay() {
            listener.leaves = None;
        }
    }

    pub(super) fn drain_listeners(&mut self, now: Time) {
        let waiting: Vec<SessionId> = self.seatings.keys().copied().collect();
        for session in waiting {
            if self
                .seatings
                .get(&session)
                .is_some_and(|seating| seating.seated.is_none())
            {
                self.give_up_seat(now, session);
                let answer = Err(JoinRefusal::Draining);
                self.events
                    .push_back(HubEvent::SeatAnswer { session, answer });
            }
        }
        let keys: Vec<usize> = self.listeners.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.dismiss_listener(now, key, EndReason::Drained);
        }
    }

    /// Every listener ends where it is.
    pub(super) fn cut_listeners(&mut self, now: Time) {
        let wheels = self.replicas.iter();
        let on_wheels: Vec<(usize, u32)> = wheels
            .flat_map(|(replica, at)| at.wheel.keys().map(move |key| (replica, key)))
            .collect();
        for (replica, key) in on_wheels {
            self.replicas[replica].wheel.remove(key);
            self.forget_listener(now, key as usize, EndReason::Drained);
        }
    }

    pub(super) fn report(&self, now: Time, listener: &Listener<S>) -> SessionReport {
        let replica = &self.replicas[listener.replica as usize];
        SessionReport {
            session: listener.session,
            publisher: false,
            mount: replica.name.to_base(),
            peer: listener.card.peer,
            user_agent: Arc::clone(&listener.card.user_agent),
            since: listener.card.since,
            bytes: listener.reader.sent(),
            lag: listener.reader.lag(now, &replica.window),
        }
    }
}

/// What a new listener of the mount hears first.
fn fit_intro<'a>(config: &Config, intros: &'a Intros, at: &Replica) -> Option<&'a Arc<Intro>> {
    let file = &config.mount(at.name.base()).intro;
    let intro = intros.from_file(file);
    intro.filter(|intro| corecast_protocol::intro::fits(&at.info.content_type, intro.codec()))
}

/// Whether the source says that it sends Ogg; its titles are in the stream, before they are
/// measured too.
fn is_ogg_type(info: &SourceInfo) -> bool {
    let essence = info
        .content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    ["application/ogg", "audio/ogg", "video/ogg"]
        .iter()
        .any(|t| essence.eq_ignore_ascii_case(t))
}
