//! A certificate that signs itself, for a server that has no other yet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rcgen::{KeyUsagePurpose, PKCS_ECDSA_P256_SHA256};
use time::OffsetDateTime;

use crate::Fault;

/// How long such a certificate is good: browsers take none that is good for longer than 398 days.
pub const VALID_FOR: Duration = Duration::from_secs(365 * 24 * 3_600);

/// How much before `now` it begins, for clients whose clock is behind.
const EARLIER: Duration = Duration::from_secs(24 * 3_600);

/// A certificate and its key, PEM.
#[derive(Clone)]
pub struct SelfSigned {
    /// The certificate.
    pub certificate: String,
    /// The key. A secret.
    pub key: String,
}

/// The hosts that a development certificate is for: `hostname` and this machine.
pub fn hosts(hostname: &str) -> Vec<String> {
    let loopback = [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    ];
    let mut hosts = vec!["localhost".to_owned()];
    hosts.extend(loopback.map(|ip| ip.to_string()));
    let hostname = hostname.trim_end_matches('.').to_ascii_lowercase();
    if !hostname.is_empty() && !hosts.contains(&hostname) {
        hosts.insert(0, hostname);
    }
    hosts
}

/// Makes a certificate for `hosts` (names and addresses) with a new P-256 key.
///
/// # Errors
/// One of the hosts is neither a name nor an address.
pub fn make(hosts: &[String], now: SystemTime) -> Result<SelfSigned, Fault> {
    let fault = |error: rcgen::Error| Fault::new(format!("make a certificate: {error}"));
    let mut params = CertificateParams::new(hosts.to_vec()).map_err(fault)?;
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "corecast, self-signed");
    params.distinguished_name = name;
    params.not_before = OffsetDateTime::from(now - EARLIER);
    params.not_after = OffsetDateTime::from(now + VALID_FOR);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(fault)?;
    let certificate = params.self_signed(&key).map_err(fault)?;
    Ok(SelfSigned {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}
