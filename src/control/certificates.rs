//! Certificates: read at the start, when the settings change and when their files do. What is in
//! force stays in force until something better was read whole.

mod development;
mod files;
mod secret;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use corecast_config::Config;
use corecast_tls::acme::Proof;
use corecast_tls::{Credentials, Fault, Identity, Tickets};
use tokio::sync::mpsc;

use crate::node::Order;
use crate::probe::ControlProbe;
pub(crate) use files::bytes;
use files::{Found, Stamps, Wanted};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// How often QUIC gets a new key for its tickets.
const TICKETS_EVERY: Duration = Duration::from_secs(12 * 3_600);

/// How often the log warns of a certificate that is about to expire.
const WARN_EVERY: Duration = Duration::from_secs(24 * 3_600);

/// Less than this is about to be over, and a third of the whole time where that is less.
const EXPIRES_SOON: Duration = Duration::from_secs(14 * 24 * 3_600);

/// The certificates of the node and where they come from.
#[derive(Debug)]
pub struct Certificates {
    state_dir: Option<PathBuf>,
    /// None where no acceptor needs any.
    tickets: Option<Tickets>,
    in_force: Option<Arc<Credentials>>,
    stamps: Stamps,
    /// What authorities that ask by TLS are shown.
    proofs: Vec<Proof>,
}

impl Certificates {
    /// Reads what the settings name, or makes a certificate for development where they name none
    /// and allow that. `state_dir` is where such a one is kept; without it is made anew each time.
    ///
    /// # Errors
    /// A certificate cannot be had though an acceptor needs it; one line each.
    pub fn open(config: &Config, state_dir: Option<PathBuf>) -> Result<Self, Vec<String>> {
        let mut certificates = Certificates {
            state_dir,
            tickets: None,
            in_force: None,
            stamps: Stamps::default(),
            proofs: Vec::new(),
        };
        if config.needs_tls() {
            if config.wants_acme() && certificates.state_dir.is_none() {
                let message = "server.state_dir: no directory for what comes by ACME: none of \
                               $STATE_DIRECTORY, $XDG_STATE_HOME and $HOME is set";
                return Err(vec![message.to_owned()]);
            }
            let one = |fault: Fault| vec![fault.to_string()];
            let tickets = Tickets::new().map_err(one)?;
            let secret = secret::keep(certificates.state_dir.as_deref(), tickets.quic_secret());
            certificates.tickets = Some(tickets.with_quic_secret(secret));
            let wanted = Wanted::new(config, certificates.state_dir.as_deref());
            let found = files::read(&wanted, certificates.state_dir.as_deref(), &[])?;
            certificates.stamps = found.stamps;
            let credentials = certificates.put_together(found.identities, config);
            tell(credentials.map_err(one)?.as_ref());
        }
        Ok(certificates)
    }

    /// What would keep the certificates that the settings name from being used, one line each.
    /// Makes none.
    pub fn faults(config: &Config) -> Vec<String> {
        if !config.needs_tls() {
            return Vec::new();
        }
        files::faults(&Wanted::new(config, None))
    }

    /// Where what must survive a restart is kept.
    pub(crate) fn state_dir(&self) -> Option<PathBuf> {
        self.state_dir.clone()
    }

    /// What TLS is spoken with; none where no acceptor needs it.
    pub fn credentials(&self) -> Option<Arc<Credentials>> {
        self.in_force.clone()
    }

    /// Has these in force from now on, with the proofs and tickets that there are.
    fn put_together(
        &mut self,
        identities: Vec<Identity>,
        config: &Config,
    ) -> Result<Arc<Credentials>, Fault> {
        let tickets = self.tickets.as_ref();
        let tickets = tickets.ok_or_else(|| Fault::new("no acceptor speaks TLS"))?;
        let policy = files::policy(config);
        let made = Credentials::with_proofs(identities, &self.proofs, policy, tickets)?;
        let made = Arc::new(made);
        self.in_force = Some(Arc::clone(&made));
        Ok(made)
    }
}

/// What a look at the files came to.
#[derive(Debug)]
pub(crate) enum Look {
    /// Nothing to do.
    Same,
    /// Something new that can be used.
    Found(Found),
    /// Something new that cannot, one line each.
    Bad(Stamps, Vec<String>),
}

/// Keeps the certificates in step with their files. Lives on: the control plane.
pub(crate) struct Keeper {
    certificates: Certificates,
    orders: mpsc::UnboundedSender<Order>,
    probe: Arc<ControlProbe>,
    looking: bool,
    /// A look that was asked for while another was under way.
    again: bool,
    look_at: Instant,
    tickets_at: Instant,
    warn_at: Instant,
}

impl Keeper {
    pub(crate) fn new(
        certificates: Certificates,
        orders: mpsc::UnboundedSender<Order>,
        probe: Arc<ControlProbe>,
        now: Instant,
    ) -> Self {
        Keeper {
            certificates,
            orders,
            probe,
            looking: false,
            again: false,
            look_at: now,
            tickets_at: now + TICKETS_EVERY,
            warn_at: now,
        }
    }

    /// When [`Keeper::handle_timeout`] wants to be called; never where there is no TLS.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.certificates.in_force.is_some().then_some(self.look_at)
    }

    /// Looks at the files now and then. What comes back is new and goes to every shard.
    pub(crate) fn handle_timeout(
        &mut self,
        now: Instant,
        config: &Config,
    ) -> Option<Arc<Credentials>> {
        if self.poll_timeout().is_none_or(|due| now < due) {
            return None;
        }
        self.look_at = now + LOOK_EVERY;
        self.look(config, false);
        self.count(now);
        if now < self.tickets_at {
            return None;
        }
        self.tickets_at = now + TICKETS_EVERY;
        self.turn_tickets(config)
    }

    /// Reads everything again, whether it changed or not.
    pub(crate) fn handle_reload(&mut self, config: &Config) {
        self.look(config, true);
    }

    /// Takes over what a look found. What comes back goes to every shard.
    pub(crate) fn handle_look(&mut self, look: Look, config: &Config) -> Option<Arc<Credentials>> {
        self.looking = false;
        if std::mem::take(&mut self.again) {
            self.look(config, true);
        }
        match look {
            Look::Same => None,
            Look::Found(found) => {
                self.certificates.stamps = found.stamps;
                let is_whole = found.faults.is_empty();
                self.tell_faults(found.faults);
                let credentials = self.replace(found.identities, config)?;
                self.probe.tls_reloads.add(u64::from(is_whole));
                tell(&credentials);
                self.warn_at = Instant::now();
                self.count(self.warn_at);
                Some(credentials)
            }
            Look::Bad(stamps, faults) => {
                self.certificates.stamps = stamps;
                self.tell_faults(faults);
                None
            }
        }
    }

    fn tell_faults(&self, faults: Vec<String>) {
        if !faults.is_empty() {
            self.probe.tls_reloads_failed.add(1);
        }
        for fault in faults {
            let stays = "a certificate cannot be used: what was in force before stays";
            tracing::warn!(fault, "{stays}");
        }
    }

    /// Shows these to authorities that ask by TLS, and nothing else. What comes back goes to every
    /// shard.
    pub(crate) fn handle_proofs(
        &mut self,
        proofs: Vec<Proof>,
        config: &Config,
    ) -> Option<Arc<Credentials>> {
        self.certificates.proofs = proofs;
        let in_force = self.certificates.in_force.as_ref()?;
        let identities = in_force.identities.clone();
        self.replace(identities, config)
    }

    fn replace(&mut self, identities: Vec<Identity>, config: &Config) -> Option<Arc<Credentials>> {
        let made = self.certificates.put_together(identities, config);
        let told = |fault: &Fault| tracing::warn!(%fault, "certificates stay as they were");
        made.inspect_err(told).ok()
    }

    fn look(&mut self, config: &Config, whole: bool) {
        let Certificates {
            in_force: Some(in_force),
            stamps,
            state_dir,
            ..
        } = &self.certificates
        else {
            return;
        };
        if self.looking {
            self.again |= whole;
            return;
        }
        self.looking = true;
        let (stamps, in_force) = (stamps.clone(), Arc::clone(in_force));
        let (state_dir, orders) = (state_dir.clone(), self.orders.clone());
        let wanted = Wanted::new(config, state_dir.as_deref());
        tokio::task::spawn_blocking(move || {
            let before = (!whole).then_some(&stamps);
            let look = files::look(&wanted, state_dir.as_deref(), &in_force.identities, before);
            // A plane that has ended wants no certificates.
            let _ = orders.send(Order::Certificates(Box::new(look)));
        });
    }

    /// A new key for the tickets of QUIC, on the certificates that are in force.
    fn turn_tickets(&mut self, config: &Config) -> Option<Arc<Credentials>> {
        let identities = self.certificates.in_force.as_ref()?.identities.clone();
        if let Err(fault) = self.certificates.tickets.as_mut()?.rotate() {
            tracing::warn!(%fault, "the tickets of QUIC keep their key");
            return None;
        }
        self.replace(identities, config)
    }

    /// Counts down, and warns in time.
    fn count(&mut self, now: Instant) {
        let Some(in_force) = &self.certificates.in_force else {
            return;
        };
        let wall = SystemTime::now();
        let left = in_force.identities.iter().map(|one| one.remaining(wall));
        let left = left.min().unwrap_or_default();
        let seconds = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
        self.probe.tls_expiry.set(seconds);
        if now < self.warn_at {
            return;
        }
        self.warn_at = now + WARN_EVERY;
        for one in &in_force.identities {
            let whole = one.not_after.duration_since(one.not_before);
            let soon = EXPIRES_SOON.min(whole.unwrap_or_default() / 3);
            let (certificate, left) = (one.called.as_str(), one.remaining(wall));
            if let Some(fault) = one.fault_at(wall) {
                tracing::warn!(certificate, "a certificate is in force though {fault}");
            } else if left < soon {
                let hours = left.as_secs() / 3_600;
                tracing::warn!(certificate, hours, "a certificate is about to expire");
            }
        }
    }
}

/// Says what is in force from now on.
fn tell(credentials: &Credentials) {
    for one in &credentials.identities {
        let mut names = one.names.clone();
        names.extend(one.addresses.iter().map(ToString::to_string));
        tracing::info!(
            certificate = one.called,
            names = names.join(" "),
            until = crate::clock::rfc3339(one.not_after),
            sha256 = one.fingerprint,
            "certificate in force"
        );
        for warning in &one.warnings {
            tracing::warn!(certificate = one.called, "about the certificate: {warning}");
        }
    }
}
