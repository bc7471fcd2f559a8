//! Packets that belong to no connection: one begins, or its peer is told why not.

use std::rc::Rc;

use corecast_protocol::quic::steering::{self, ID_BYTES};
use corecast_protocol::quic::token::TokenKey;
use quiche::{ConnectionId, Header, RetryConnectionIds, Type};

use super::connection::Connection;
use super::endpoint::{Endpoint, random};
use crate::net::udp::{Arrival, Departure};
use crate::probe::Refusal;

/// Datagrams that begin a connection are at least this long (RFC 9000 section 14.1).
const INITIAL_BYTES_MIN: usize = 1_200;

/// Ids that a client chooses are at least this long (RFC 9000 section 7.2).
const CLIENT_ID_BYTES_MIN: usize = 8;

/// Handshakes of a shard that may be under way; from there on clients have to show by Retry that
/// they live where they say.
const HALF_OPEN_FREE: usize = if cfg!(test) { 4 } else { 256 };

/// Handshakes of a shard that may be under way at all.
const HALF_OPEN_MAX: usize = 4_096;

/// Answers that belong to no connection and wait to be sent.
const REPLIES_MAX: usize = 256;

/// Resets sent in one second: they are for clients of a node that was started anew.
const RESETS_PER_SECOND: u32 = 1_000;

/// The least bytes of a reset (RFC 9000 section 10.3).
const RESET_BYTES_MIN: usize = 21;

/// The most bytes of ours.
const RESET_BYTES_MAX: usize = 43;

impl Endpoint {
    /// Takes a packet that belongs to no connection: begins one, or says why not.
    pub(super) fn greet(&self, arrival: Arrival, packet: &mut [u8]) -> Option<Rc<Connection>> {
        if !steering::is_long(packet) {
            self.reset_unknown(arrival, packet);
            return None;
        }
        if packet.len() < INITIAL_BYTES_MIN {
            return None;
        }
        let header = Header::from_slice(packet, ID_BYTES).ok()?;
        if header.ty == Type::VersionNegotiation {
            return None;
        }
        if !quiche::version_is_supported(header.version) {
            self.negotiate(arrival, &header);
            return None;
        }
        if header.ty != Type::Initial || header.dcid.len() < CLIENT_ID_BYTES_MIN {
            return None;
        }
        let token = header.token.as_deref().unwrap_or_default();
        let (now, key) = (self.place.started.elapsed().as_secs(), &self.place.key);
        let original = key.original(now, arrival.from, &header.dcid, token);
        if original.is_none() {
            if TokenKey::is_retry_token(token) {
                return None;
            }
            if self.half_open.get() >= HALF_OPEN_FREE {
                self.retry(arrival, &header, now);
                return None;
            }
        }
        self.accept(arrival, &header, original)
    }

    fn accept(
        &self,
        arrival: Arrival,
        header: &Header<'_>,
        original: Option<&[u8]>,
    ) -> Option<Rc<Connection>> {
        if self.host.is_draining() || self.half_open.get() >= HALF_OPEN_MAX {
            return None;
        }
        let mut config = self.config.borrow_mut();
        self.host.renew(&mut config);
        let config = config.as_mut()?;
        if !self.place.seats.connections.take() {
            let refused = &self.place.probe.refused;
            refused.at(Refusal::ConnectionsMax as usize).add(1);
            return None;
        }
        let id = self.fresh_id();
        let scid = ConnectionId::from_ref(&id);
        config.set_stateless_reset_token(Some(self.reset_token(&id)));
        let (to, from) = (arrival.to, arrival.from);
        let accepted = match original.map(ConnectionId::from_ref) {
            None => quiche::accept_with_buf_factory(&scid, None, to, from, config),
            Some(original) => {
                let cids = RetryConnectionIds {
                    original_destination_cid: &original,
                    retry_source_cid: &header.dcid,
                };
                quiche::accept_with_retry(&scid, cids, to, from, config)
            }
        };
        let Ok(quic) = accepted else {
            self.place.seats.connections.give_back();
            return None;
        };
        let mut connections = self.connections.borrow_mut();
        let entry = connections.vacant_entry();
        let patience = self.host.patience();
        let agenda = Rc::clone(&self.agenda);
        let connection = Rc::new(Connection::new(entry.key(), from, patience, quic, agenda));
        self.enter(&connection, &id);
        self.enter(&connection, &header.dcid);
        self.half_open.set(self.half_open.get() + 1);
        self.place.probe.connections_accepted.add(1);
        self.place.probe.connections.add(1);
        self.place.probe.quic_connections.add(1);
        entry.insert(Rc::clone(&connection));
        Some(connection)
    }

    fn reply(&self, arrival: Arrival, packet: Vec<u8>) {
        let mut replies = self.replies.borrow_mut();
        if replies.len() < REPLIES_MAX {
            let departure = Departure {
                from: arrival.to,
                to: arrival.from,
                stride: packet.len().max(1),
            };
            replies.push_back((departure, packet));
        }
    }

    /// RFC 9000 section 6.
    fn negotiate(&self, arrival: Arrival, header: &Header<'_>) {
        let mut packet = [0; 128];
        let written = quiche::negotiate_version(&header.scid, &header.dcid, &mut packet);
        if let Some(packet) = written.ok().and_then(|n| packet.get(..n)) {
            self.reply(arrival, packet.to_vec());
        }
    }

    /// RFC 9000 section 8.1.2.
    fn retry(&self, arrival: Arrival, header: &Header<'_>, now: u64) {
        let next = self.fresh_id();
        let token = self
            .place
            .key
            .retry_token(now, arrival.from, &header.dcid, &next);
        let mut packet = [0; 256];
        let written = quiche::retry(
            &header.scid,
            &header.dcid,
            &ConnectionId::from_ref(&next),
            &token,
            header.version,
            &mut packet,
        );
        if let Some(packet) = written.ok().and_then(|n| packet.get(..n)) {
            self.place.probe.quic_retries.add(1);
            self.reply(arrival, packet.to_vec());
        }
    }

    /// Tells the peer of a connection that nobody knows any more that it is over (RFC 9000
    /// section 10.3), with fewer bytes than it sent.
    fn reset_unknown(&self, arrival: Arrival, packet: &[u8]) {
        let length = packet.len().saturating_sub(1).min(RESET_BYTES_MAX);
        let Some(id) = steering::destination(packet) else {
            return;
        };
        let second = self.place.started.elapsed().as_secs();
        let (of, sent) = self.resets.get();
        let sent = if of == second { sent } else { 0 };
        if length < RESET_BYTES_MIN || sent >= RESETS_PER_SECOND {
            return;
        }
        self.resets.set((second, sent + 1));
        let token = self.place.key.reset_token(id);
        let mut reset: Vec<u8> = [random::<16>(), random::<16>()].concat();
        reset.truncate(length - token.len());
        if let Some(first) = reset.first_mut() {
            // What looks like a short header.
            *first = (*first & 0x3f) | 0x40;
        }
        reset.extend_from_slice(&token);
        self.place.probe.quic_resets.add(1);
        self.reply(arrival, reset);
    }
}
