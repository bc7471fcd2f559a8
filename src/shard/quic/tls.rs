//! What quiche is set up with: certificates by name, tickets, and the bounds of a connection.

use std::sync::Arc;
use std::time::Duration;

use boring::error::ErrorStack;
use boring::pkey::{PKey, Private};
use boring::ssl::{
    ExtensionType, NameType, SelectCertError, SniError, SslAlert, SslContextBuilder, SslMethod,
    SslRef,
};
use boring::x509::X509;

use super::STREAMS_MAX;

/// What a connection may send before we take it: all streams together.
const WINDOW_BYTES: u64 = 256 * 1024;

/// The same for one request's body.
const STREAM_WINDOW_BYTES: u64 = 64 * 1024;

/// The most that these windows grow to where a body comes fast.
const WINDOW_BYTES_MAX: u64 = 1024 * 1024;

/// Streams of the peer beside requests: its control stream, two of QPACK, and what it makes up to
/// see whether we bear it (RFC 9114 section 6.2.3).
const UNI_STREAMS_MAX: u64 = 8;

/// What such a stream may bring before we take it: settings and instructions.
const UNI_WINDOW_BYTES: u64 = 16 * 1024;

/// Ids that a connection may have at once in each direction, and addresses at which a client may be
/// in the life of one; quiche forgets none of them.
const IDS_MAX: u64 = 8;

/// Bytes of a packet before the way is known to take more: what every way takes (RFC 9000
/// section 14), with some room for tunnels.
const PACKET_BYTES: usize = 1_350;

/// The most bytes of a packet that we receive.
const PACKET_BYTES_MAX: usize = 1_500;

/// A certificate with its key.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    /// PEM: the certificate, then its chain.
    pub(crate) chain_pem: Vec<u8>,
    /// PEM.
    pub(crate) key_pem: Vec<u8>,
    /// DER.
    pub(crate) ocsp: Option<Vec<u8>>,
}

/// Which certificate answers to a name, for a client that checks such signatures (RFC 8446 section
/// 4.2.3); none where the name is refused.
pub(crate) type Choice = Box<dyn Fn(Option<&str>, &[u16]) -> Option<usize> + Send + Sync>;

/// All certificates, and which of them answers.
pub(crate) struct Certificates {
    pub(crate) list: Vec<Certificate>,
    pub(crate) choose: Choice,
    /// What tickets are sealed with, the same on all shards.
    pub(crate) ticket_key: [u8; 48],
}

/// The settings of all connections that begin from now on.
///
/// # Errors
/// A certificate or key that BoringSSL does not take.
pub(crate) fn config(
    certificates: Certificates,
    idle_timeout: Duration,
) -> Result<quiche::Config, String> {
    let builder = context(certificates.list, certificates.choose)
        .map_err(|error| format!("certificates for QUIC: {error}"))?;
    let said = |error: quiche::Error| format!("QUIC: {error}");
    let mut config = quiche::Config::with_boring_ssl_ctx_builder(quiche::PROTOCOL_VERSION, builder)
        .map_err(said)?;
    config
        .set_application_protos(quiche::h3::APPLICATION_PROTOCOL)
        .map_err(said)?;
    config
        .set_ticket_key(&certificates.ticket_key)
        .map_err(said)?;
    config.enable_early_data();
    let idle_ms = u64::try_from(idle_timeout.as_millis()).unwrap_or(u64::MAX);
    config.set_max_idle_timeout(idle_ms);
    config.set_max_recv_udp_payload_size(PACKET_BYTES_MAX);
    config.set_max_send_udp_payload_size(PACKET_BYTES);
    config.set_initial_max_data(WINDOW_BYTES);
    config.set_initial_max_stream_data_bidi_remote(STREAM_WINDOW_BYTES);
    config.set_initial_max_stream_data_uni(UNI_WINDOW_BYTES);
    config.set_max_connection_window(WINDOW_BYTES_MAX);
    config.set_max_stream_window(WINDOW_BYTES_MAX);
    config.set_initial_max_streams_bidi(STREAMS_MAX);
    config.set_initial_max_streams_uni(UNI_STREAMS_MAX);
    config.set_active_connection_id_limit(IDS_MAX);
    config.set_cc_algorithm(quiche::CongestionControlAlgorithm::Bbr2Gcongestion);
    config.enable_pacing(true);
    Ok(config)
}

/// A certificate as BoringSSL takes it.
struct Shown {
    leaf: X509,
    issuers: Vec<X509>,
    key: PKey<Private>,
    ocsp: Option<Vec<u8>>,
}

impl Shown {
    fn new(certificate: &Certificate) -> Result<Self, ErrorStack> {
        let mut chain = X509::stack_from_pem(&certificate.chain_pem)?.into_iter();
        let shown = Shown {
            leaf: chain.next().ok_or_else(ErrorStack::get)?,
            issuers: chain.collect(),
            key: PKey::private_key_from_pem(&certificate.key_pem)?,
            ocsp: certificate.ocsp.clone(),
        };
        // Only a context checks that they belong together.
        let mut context = SslContextBuilder::new(SslMethod::tls())?;
        context.set_certificate(&shown.leaf)?;
        context.set_private_key(&shown.key)?;
        context.check_private_key()?;
        Ok(shown)
    }

    fn show(&self, ssl: &mut SslRef) -> Result<(), ErrorStack> {
        ssl.set_certificate(&self.leaf)?;
        for issuer in &self.issuers {
            ssl.add_chain_cert(issuer)?;
        }
        ssl.set_private_key(&self.key)?;
        self.ocsp
            .as_ref()
            .map_or(Ok(()), |ocsp| ssl.set_ocsp_status(ocsp))
    }
}

/// Each connection is given its certificate by itself: with a context of its own it would lose
/// what quiche sets in the one that it knows, 0-RTT among it.
fn context(list: Vec<Certificate>, choose: Choice) -> Result<SslContextBuilder, ErrorStack> {
    let mut builder = SslContextBuilder::new(SslMethod::tls())?;
    let all: Result<Vec<Shown>, ErrorStack> = list.iter().map(Shown::new).collect();
    let all = all?;
    let choose = Arc::new(choose);
    let refuses = Arc::clone(&choose);
    builder.set_select_certificate_callback(move |mut hello| {
        let name = hello.servername(NameType::HOST_NAME).map(str::to_owned);
        let schemes = hello.get_extension(ExtensionType::SIGNATURE_ALGORITHMS);
        let schemes = schemes.map(schemes_of).unwrap_or_default();
        let chosen = choose(name.as_deref(), &schemes).and_then(|index| all.get(index));
        // With none it ends below, where the client can be told why.
        chosen.map_or(Ok(()), |shown| {
            let shown = shown.show(hello.ssl_mut());
            shown.map_err(|_| SelectCertError::ERROR)
        })
    });
    builder.set_servername_callback(move |ssl, alert| {
        if refuses(ssl.servername(NameType::HOST_NAME), &[]).is_none() {
            *alert = SslAlert::UNRECOGNIZED_NAME;
            return Err(SniError::ALERT_FATAL);
        }
        Ok(())
    });
    Ok(builder)
}

/// The list of an extension (RFC 8446 section 4.2.3): its length, then two bytes for each.
fn schemes_of(extension: &[u8]) -> Vec<u16> {
    let (_, list) = extension.split_at_checked(2).unwrap_or_default();
    let (pairs, _) = list.as_chunks();
    pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect()
}
