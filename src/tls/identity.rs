//! A certificate with its chain and key, read and checked.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::SectionKind;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;

use crate::{Fault, pem};

/// The longest chain that is sent.
const CHAIN_MAX: usize = 16;

/// The longest OCSP response in bytes.
const OCSP_BYTES_MAX: usize = 16 * 1024;

/// The bytes of the files that make an [`Identity`].
#[derive(Clone, Copy)]
pub struct Files<'a> {
    /// PEM: the certificate and those that it follows from; may hold the key too.
    pub chain: &'a [u8],
    /// PEM: the key; none where it stands with the certificate.
    pub key: Option<&'a [u8]>,
    /// DER: an OCSP response (RFC 6960).
    pub ocsp: Option<&'a [u8]>,
}

/// A certificate with its key.
#[derive(Clone)]
pub struct Identity {
    /// What it is called in logs and metrics.
    pub called: String,
    /// The names that it is for, in lower case; `*.` at the front stands for one label.
    pub names: Vec<String>,
    /// The addresses that it is for.
    pub addresses: Vec<IpAddr>,
    /// The certificate and its chain in the order in which they are sent, PEM.
    pub chain_pem: Vec<u8>,
    /// The key, PEM. A secret.
    pub key_pem: Vec<u8>,
    /// The OCSP response that is stapled, DER.
    pub ocsp: Option<Vec<u8>>,
    /// From when on it is good.
    pub not_before: SystemTime,
    /// Until when it is good.
    pub not_after: SystemTime,
    /// SHA-256 of the certificate, as tools show it: pairs of capital hex digits and colons.
    pub fingerprint: String,
    /// What is wrong with it though it can be used, one line each.
    pub warnings: Vec<String>,
    pub(crate) certified: Arc<CertifiedKey>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("called", &self.called)
            .field("names", &self.names)
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// Reads a certificate, its chain and its key, and checks that they belong together.
    ///
    /// # Errors
    /// There is no certificate or no key, the key needs a password or belongs to another
    /// certificate, or they are of a kind that is not spoken.
    pub fn read(called: &str, files: Files<'_>) -> Result<Self, Fault> {
        let key = read_key(files.key.unwrap_or(files.chain))?;
        let read = pem::sections(files.chain)?;
        let read: Vec<Vec<u8>> = read
            .into_iter()
            .filter(|(kind, _)| *kind == SectionKind::Certificate)
            .map(|(_, der)| der)
            .collect();
        let mut parsed = Vec::with_capacity(read.len());
        for (index, der) in read.iter().enumerate() {
            parsed.push(parse(der).map_err(|error| {
                Fault::new(format!(
                    "certificate {} of the file: {error}",
                    index.saturating_add(1)
                ))
            })?);
        }
        let mut warnings = Vec::new();
        let chain = ordered(&parsed, &mut warnings)?;
        let leaf = chain.first().ok_or_else(no_certificate)?;
        let ders: Vec<&[u8]> = chain
            .iter()
            .map(|certificate| certificate.as_raw())
            .collect();
        let mut certified = certify(&ders, &key, &parsed)?;
        let ocsp = files
            .ocsp
            .map(<[u8]>::to_vec)
            .filter(|ocsp| !ocsp.is_empty());
        if let Some(ocsp) = &ocsp
            && (ocsp.len() > OCSP_BYTES_MAX || ocsp.first() != Some(&0x30))
        {
            return Err(Fault::new("the OCSP file holds no response (DER)"));
        }
        certified.ocsp.clone_from(&ocsp);
        let (names, addresses) = names(leaf);
        if names.is_empty() && addresses.is_empty() {
            warnings.push("it names no host (subjectAltName): clients will refuse it".to_owned());
        }
        let chain_pem: String = ders
            .iter()
            .map(|der| pem::write("CERTIFICATE", der))
            .collect();
        Ok(Identity {
            called: called.to_owned(),
            names,
            addresses,
            chain_pem: chain_pem.into_bytes(),
            key_pem: pem::write(key_label(&key), key.secret_der()).into_bytes(),
            ocsp,
            not_before: time(leaf.validity().not_before.timestamp()),
            not_after: time(leaf.validity().not_after.timestamp()),
            fingerprint: fingerprint(leaf.as_raw()),
            warnings,
            certified: Arc::new(certified),
        })
    }

    /// What its dates say against it at `now`, if anything.
    pub fn fault_at(&self, now: SystemTime) -> Option<&'static str> {
        if now < self.not_before {
            Some("it is not valid yet")
        } else if now >= self.not_after {
            Some("it has expired")
        } else {
            None
        }
    }

    /// How long it is still good at `now`; zero where it no longer is.
    pub fn remaining(&self, now: SystemTime) -> Duration {
        self.not_after.duration_since(now).unwrap_or_default()
    }

    /// What it is called where renewals are suggested (RFC 9773 section 4.1): the key identifier
    /// of its authority and its serial number, both as they stand in the certificate.
    pub fn renewal_id(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let leaf = self.certified.cert.first()?;
        let leaf = parse(leaf).ok()?;
        let authority = leaf.iter_extensions().find_map(|one| {
            let ParsedExtension::AuthorityKeyIdentifier(authority) = one.parsed_extension() else {
                return None;
            };
            authority.key_identifier.as_ref().map(|key| key.0.to_vec())
        });
        Some((authority?, leaf.tbs_certificate.raw_serial().to_vec()))
    }

    /// Whether it is for the host `name`.
    pub fn is_for(&self, name: &str) -> bool {
        if let Ok(ip) = name.parse::<IpAddr>() {
            return self.addresses.contains(&ip);
        }
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        self.names.iter().any(|known| fits(known, &name))
    }
}

/// Whether a name of a certificate stands for `name` (RFC 9525 section 6.3); both in lower case.
pub(crate) fn fits(known: &str, name: &str) -> bool {
    match known.strip_prefix("*.") {
        Some(parent) => name
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest == parent),
        None => known == name,
    }
}

fn no_certificate() -> Fault {
    Fault::new("there is no certificate (-----BEGIN CERTIFICATE-----)")
}

fn read_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, Fault> {
    if pem::is_encrypted(pem) {
        let message = "the key needs a password: take it off (openssl pkey -in KEY -out NEW)";
        return Err(Fault::new(message));
    }
    let key = pem::sections(pem)?
        .into_iter()
        .find_map(|(kind, der)| match kind {
            SectionKind::PrivateKey => Some(PrivateKeyDer::Pkcs8(der.into())),
            SectionKind::RsaPrivateKey => Some(PrivateKeyDer::Pkcs1(der.into())),
            SectionKind::EcPrivateKey => Some(PrivateKeyDer::Sec1(der.into())),
            _ => None,
        });
    key.ok_or_else(|| Fault::new("there is no key (-----BEGIN PRIVATE KEY-----)"))
}

fn key_label(key: &PrivateKeyDer<'_>) -> &'static str {
    match key {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    }
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, String> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err("there is something after its end".to_owned()),
        Err(error) => Err(format!("it is none: {error}")),
    }
}

/// The first certificate and those that it follows from, each after the one that it signed.
fn ordered<'p, 'd>(
    all: &'p [X509Certificate<'d>],
    warnings: &mut Vec<String>,
) -> Result<Vec<&'p X509Certificate<'d>>, Fault> {
    let first = all.first().ok_or_else(no_certificate)?;
    let mut chain = vec![first];
    let mut last = first;
    while last.issuer().as_raw() != last.subject().as_raw() && chain.len() < CHAIN_MAX {
        let issued_last = |one: &&X509Certificate<'_>| {
            one.subject().as_raw() == last.issuer().as_raw()
                && chain.iter().all(|known| known.as_raw() != one.as_raw())
        };
        let Some(issuer) = all.iter().find(issued_last) else {
            break;
        };
        chain.push(issuer);
        last = issuer;
    }
    let sent = chain.len();
    let in_order = chain.iter().zip(all).all(|(a, b)| a.as_raw() == b.as_raw());
    if sent < all.len() {
        let left = all.len().saturating_sub(sent);
        warnings.push(format!(
            "{left} of the certificates in the file do not lead on from the first and are not sent"
        ));
    } else if !in_order {
        warnings.push("the chain is in the wrong order in the file: sent in the right one".into());
    }
    Ok(chain)
}

fn certify(
    chain: &[&[u8]],
    key: &PrivateKeyDer<'static>,
    all: &[X509Certificate<'_>],
) -> Result<CertifiedKey, Fault> {
    let provider = crate::credentials::provider();
    let signing = provider.key_provider.load_private_key(key.clone_key());
    let signing =
        signing.map_err(|error| Fault::new(format!("the key cannot be used: {error}")))?;
    if let Some(ours) = signing.public_key() {
        let fits = |one: &X509Certificate<'_>| one.public_key().raw == ours.as_ref();
        match all.iter().position(fits) {
            Some(0) => {}
            Some(index) => {
                let message = format!(
                    "the key belongs to certificate {} of the file: that must be the first, \
                     those that it follows from come after it",
                    index.saturating_add(1)
                );
                return Err(Fault::new(message));
            }
            None => return Err(Fault::new("the key does not belong to the certificate")),
        }
    }
    let chain = chain
        .iter()
        .map(|der| CertificateDer::from(der.to_vec()))
        .collect();
    Ok(CertifiedKey::new(chain, signing))
}

fn names(leaf: &X509Certificate<'_>) -> (Vec<String>, Vec<IpAddr>) {
    let (mut names, mut addresses) = (Vec::new(), Vec::new());
    let alternatives = leaf.subject_alternative_name().ok().flatten();
    for name in alternatives
        .iter()
        .flat_map(|found| &found.value.general_names)
    {
        match name {
            GeneralName::DNSName(name) => {
                names.push(name.trim_end_matches('.').to_ascii_lowercase());
            }
            GeneralName::IPAddress(bytes) => {
                let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
                let v6 = <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
                addresses.extend(v4.or(v6));
            }
            _ => {}
        }
    }
    (names, addresses)
}

fn time(unix_seconds: i64) -> SystemTime {
    let seconds = u64::try_from(unix_seconds).unwrap_or(0);
    SystemTime::UNIX_EPOCH
        .checked_add(Duration::from_secs(seconds))
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

fn fingerprint(der: &[u8]) -> String {
    let pairs: Vec<String> = Sha256::digest(der)
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    pairs.join(":")
}
