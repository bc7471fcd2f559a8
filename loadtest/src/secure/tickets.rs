//! Tickets that servers give out, for handshakes that resume.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

/// Tickets that are kept; a server gives one or two with each handshake.
const KEPT_MAX: usize = 16;

/// Counts tickets, and hands them out again if handshakes shall resume.
#[derive(Debug)]
pub(crate) struct Tickets {
    resumes: bool,
    received: AtomicU64,
    kept: Mutex<Vec<Tls13ClientSessionValue>>,
}

impl Tickets {
    /// No tickets yet. Without `resumes` every handshake is a full one.
    pub(crate) const fn new(resumes: bool) -> Tickets {
        Tickets {
            resumes,
            received: AtomicU64::new(0),
            kept: Mutex::new(Vec::new()),
        }
    }

    /// Tickets that came so far.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Tls13ClientSessionValue>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _server_name: ServerName<'static>, _group: NamedGroup) {}

    fn kx_hint(&self, _server_name: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(
        &self,
        _server_name: ServerName<'static>,
        _value: Tls12ClientSessionValue,
    ) {
    }

    fn tls12_session(&self, _server_name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _server_name: &ServerName<'static>) {}

    fn insert_tls13_ticket(
        &self,
        _server_name: ServerName<'static>,
        value: Tls13ClientSessionValue,
    ) {
        self.received.fetch_add(1, Ordering::Relaxed);
        let mut kept = self.kept();
        if self.resumes && kept.len() < KEPT_MAX {
            kept.push(value);
        }
    }

    fn take_tls13_ticket(
        &self,
        _server_name: &ServerName<'static>,
    ) -> Option<Tls13ClientSessionValue> {
        self.kept().pop()
    }
}
