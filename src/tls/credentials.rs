//! All certificates, as rustls and QUIC take them.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{NoServerSessionStorage, ProducesTickets};
use rustls::{ServerConfig, SignatureScheme};

use crate::Fault;
use crate::acme::{PROOF_PROTOCOL, Proof};
use crate::identity::Identity;
use crate::names::Names;

/// What is offered by ALPN (RFC 7301) where HTTP is spoken, the best first.
const HTTP_PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// What a client may say for its certificates' sake, and TLS 1.3 signs nothing with: PKCS #1 1.5
/// and SHA-1.
const BEFORE_TLS13: [u16; 5] = [0x0201, 0x0203, 0x0401, 0x0501, 0x0601];

/// The least version of TLS that is spoken over TCP; QUIC has 1.3 only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MinVersion {
    /// TLS 1.2 and 1.3.
    #[default]
    Tls12,
    /// TLS 1.3 alone.
    Tls13,
}

/// What holds for all certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Policy {
    /// The least version.
    pub min_version: MinVersion,
    /// Whether a client that asks for a name of none of the certificates is refused; otherwise it
    /// gets the first of them.
    pub refuse_unknown_names: bool,
}

/// What session tickets are sealed with. It outlives a reload, so that tickets do too.
#[derive(Clone)]
pub struct Tickets {
    /// One for all shards; turns its key by itself every six hours.
    ticketer: Arc<dyn ProducesTickets>,
    quic_key: [u8; 48],
    quic_secret: [u8; 32],
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets(..)")
    }
}

impl Tickets {
    /// New keys.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn new() -> Result<Self, Fault> {
        let ticketer = aws_lc_rs::Ticketer::new();
        let ticketer = ticketer.map_err(|error| Fault::new(format!("tickets: {error}")))?;
        Ok(Tickets {
            ticketer,
            quic_key: random_key()?,
            quic_secret: random_key()?,
        })
    }

    /// What the tokens of QUIC are marked with. A secret.
    pub fn quic_secret(&self) -> [u8; 32] {
        self.quic_secret
    }

    /// The same with a secret for QUIC that was kept from an earlier run.
    #[must_use]
    pub fn with_quic_secret(self, quic_secret: [u8; 32]) -> Self {
        Tickets {
            quic_secret,
            ..self
        }
    }

    /// A new key for QUIC, which holds one at a time: tickets from before then cost a whole
    /// handshake. The keys of TLS over TCP turn by themselves.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn rotate(&mut self) -> Result<(), Fault> {
        self.quic_key = random_key()?;
        Ok(())
    }
}

fn random_key<const N: usize>() -> Result<[u8; N], Fault> {
    let mut key = [0; N];
    getrandom::fill(&mut key).map_err(|error| Fault::new(format!("tickets: {error}")))?;
    Ok(key)
}

/// What shards need to speak TLS and QUIC; made whole, shared by `Arc`, replaced on a reload.
pub struct Credentials {
    /// For HTTP: offers `h2` and `http/1.1`, and the proofs that authorities ask for.
    pub http: Arc<ServerConfig>,
    /// For what has no name in ALPN: RTMP.
    pub plain: Arc<ServerConfig>,
    /// For QUIC; the first is the default.
    pub identities: Vec<Identity>,
    /// What all shards seal the tickets of QUIC with. A secret.
    pub quic_ticket_key: [u8; 48],
    /// What marks the tokens of QUIC, the same on all shards and, where it can be kept, after a
    /// restart. A secret.
    pub quic_secret: [u8; 32],
    names: Arc<Names>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("identities", &self.identities)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// Puts certificates together; the first answers where none is for the name.
    ///
    /// # Errors
    /// There is no certificate.
    pub fn new(
        identities: Vec<Identity>,
        policy: Policy,
        tickets: &Tickets,
    ) -> Result<Self, Fault> {
        Credentials::with_proofs(identities, &[], policy, tickets)
    }

    /// As [`Credentials::new`], for authorities too that ask for proofs; to them
    /// [`PROOF_PROTOCOL`] is spoken where HTTP is, as long as there are any.
    ///
    /// # Errors
    /// There is no certificate.
    pub fn with_proofs(
        identities: Vec<Identity>,
        proofs: &[Proof],
        policy: Policy,
        tickets: &Tickets,
    ) -> Result<Self, Fault> {
        if identities.is_empty() {
            return Err(Fault::new("there is no certificate"));
        }
        let names = Arc::new(Names::new(&identities, proofs, policy.refuse_unknown_names));
        let mut plain = server_config(&names, policy.min_version)?;
        plain.ticketer = Arc::clone(&tickets.ticketer);
        let mut http = plain.clone();
        http.alpn_protocols = HTTP_PROTOCOLS.map(<[u8]>::to_vec).into();
        if !proofs.is_empty() {
            http.alpn_protocols.push(PROOF_PROTOCOL.to_vec());
        }
        Ok(Credentials {
            http: Arc::new(http),
            plain: Arc::new(plain),
            identities,
            quic_ticket_key: tickets.quic_key,
            quic_secret: tickets.quic_secret,
            names,
        })
    }

    /// Which of the identities answers to `name` in QUIC, whose TLS is 1.3: the first whose key a
    /// client can check that says `schemes` (RFC 8446 section 4.2.3); else the first, and the
    /// handshake says what is missing. None where unknown names are refused.
    pub fn choose(&self, name: Option<&str>, schemes: &[u16]) -> Option<usize> {
        let schemes: Vec<SignatureScheme> = schemes
            .iter()
            .filter(|scheme| !BEFORE_TLS13.contains(scheme))
            .map(|scheme| SignatureScheme::from(*scheme))
            .collect();
        let candidates = self.names.candidates(name);
        let spoken = |index: &&usize| {
            let identity = self.identities.get(**index);
            identity.is_some_and(|one| one.certified.key.choose_scheme(&schemes).is_some())
        };
        let chosen = candidates.iter().find(spoken);
        chosen.or_else(|| candidates.first()).copied()
    }
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn server_config(names: &Arc<Names>, min_version: MinVersion) -> Result<ServerConfig, Fault> {
    let versions: &[&rustls::SupportedProtocolVersion] = match min_version {
        MinVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        MinVersion::Tls13 => &[&rustls::version::TLS13],
    };
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .map_err(|error| Fault::new(format!("TLS: {error}")))?;
    let names: Arc<Names> = Arc::clone(names);
    let mut config = config.with_no_client_auth().with_cert_resolver(names);
    // Tickets do it all; a cache would be one lock for all shards.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    Ok(config)
}
