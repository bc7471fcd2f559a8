//! What shards report, written down: log lines, and the access log.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use corecast_config::{Config, shown_ip};
use corecast_media::name::SessionId;
use corecast_mesh::message::{AccessRecord, Event};
use corecast_telemetry::log::{Limiter, Limits, Verdict};
use tracing::{Level, debug, enabled, info};

use crate::access_log::AccessLog;
use crate::probe::ControlProbe;

/// The writer of what shards report. Lives on: the control plane.
pub(crate) struct Scribe {
    access: AccessLog,
    limiter: Limiter,
    redact: bool,
    /// Where sources that are on air come from: for the line at their end.
    sources: HashMap<SessionId, SocketAddr>,
    probe: Arc<ControlProbe>,
}

impl Scribe {
    pub(crate) fn new(access: AccessLog, config: &Config, probe: Arc<ControlProbe>) -> Self {
        Scribe {
            access,
            limiter: Limiter::new(Limits::default()),
            redact: config.log.redact_ip,
            sources: HashMap::new(),
            probe,
        }
    }

    /// Writes an event down; `now_ms` is the node's clock.
    pub(crate) fn handle_event(&mut self, now_ms: u64, event: Event) {
        match event {
            Event::SourceStarted {
                mount,
                session,
                info: source,
            } => {
                let peer = source.address;
                if let Some(peer) = peer {
                    self.sources.insert(session, peer);
                }
                let Some(suppressed) = self.allow(now_ms, peer) else {
                    return;
                };
                let (peer, content_type) = (self.shown(peer), &*source.content_type);
                info!(%session, %mount, peer, content_type, suppressed, "source started");
            }
            Event::SourceEnded {
                mount,
                session,
                reason,
            } => {
                let peer = self.sources.remove(&session);
                let Some(suppressed) = self.allow(now_ms, peer) else {
                    return;
                };
                let (peer, reason) = (self.shown(peer), reason.name());
                info!(%session, %mount, peer, reason, suppressed, "source ended");
            }
            Event::ListenerStarted { mount, session, .. } => {
                debug!(%session, %mount, "listener started");
            }
            Event::Metadata { mount, metadata } => {
                debug!(%mount, title = &*metadata.title, "title changed");
            }
            Event::Access(record) => self.handle_access(now_ms, record),
        }
    }

    fn handle_access(&mut self, now_ms: u64, record: AccessRecord) {
        if enabled!(Level::DEBUG)
            && let Some(suppressed) = self.allow(now_ms, Some(record.peer))
        {
            let (peer, reason) = (self.shown(Some(record.peer)), record.reason.name());
            let (session, status, bytes) = (record.session, record.status, record.bytes);
            let mount = record.mount.as_ref().map(|mount| mount.as_str());
            debug!(%session, mount, peer, status, bytes, reason, suppressed, "session ended");
        }
        self.probe.access_lines.add(1);
        if !self.access.write(Box::new(record), SystemTime::now()) {
            self.probe.access_lost.add(1);
        }
    }

    /// Takes new settings over; the access log's file is opened anew.
    pub(crate) fn handle_reload(&mut self, config: &Config) {
        self.redact = config.log.redact_ip;
        self.access.reopen(&config.log);
    }

    /// Waits, within bounds, until everything is written.
    pub(crate) fn close(self) {
        self.access.close();
    }

    /// How many lines about the peer were left out before this one, or nothing where this one is
    /// left out too.
    fn allow(&mut self, now_ms: u64, peer: Option<SocketAddr>) -> Option<Option<u64>> {
        let peer = peer.map_or(IpAddr::from([0; 4]), |peer| peer.ip());
        match self.limiter.allow(now_ms, peer) {
            Verdict::Say => Some(None),
            Verdict::SayWithSuppressed(lines) => Some(Some(lines)),
            Verdict::Hush => {
                self.probe.hushed.add(1);
                None
            }
        }
    }

    fn shown(&self, peer: Option<SocketAddr>) -> Option<String> {
        let peer = peer?;
        let ip = shown_ip(peer.ip(), self.redact);
        Some(if self.redact {
            ip.to_string()
        } else {
            SocketAddr::new(ip, peer.port()).to_string()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use corecast_media::name::{MountName, ShardId};
    use corecast_mesh::message::{EndReason, SourceInfo};

    fn started(sequence: u64, last: u8) -> Event {
        Event::SourceStarted {
            mount: MountName::parse("/live").expect("a good name"),
            session: SessionId::new(ShardId(0), sequence),
            info: Arc::new(SourceInfo {
                address: Some(SocketAddr::from(([192, 0, 2, last], 5_000))),
                ..SourceInfo::default()
            }),
        }
    }

    #[test]
    fn a_peer_that_comes_and_goes_fills_no_log() {
        let probe = Arc::new(ControlProbe::new());
        let config = Config::default();
        let access = AccessLog::start(&config.log).expect("a thread");
        let mut scribe = Scribe::new(access, &config, Arc::clone(&probe));
        let lines_max = u64::from(Limits::default().lines_max);
        for sequence in 0..lines_max {
            scribe.handle_event(0, started(sequence, 1));
        }
        assert_eq!(probe.hushed.total(), 0);
        let ended = Event::SourceEnded {
            mount: MountName::parse("/live").expect("a good name"),
            session: SessionId::new(ShardId(0), 0),
            reason: EndReason::PeerClosed,
        };
        scribe.handle_event(0, ended);
        assert_eq!(probe.hushed.total(), 1, "the end is about the same peer");
        assert_eq!(scribe.sources.len() as u64, lines_max - 1);
        scribe.handle_event(0, started(100, 2));
        assert_eq!(probe.hushed.total(), 1, "another peer is heard");
    }
}
