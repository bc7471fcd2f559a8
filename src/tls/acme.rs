//! What TLS does for ACME: requests for certificates, the certificates that prove to an authority
//! that a name is ours, and whom we trust when we ask.

use std::fmt;
use std::sync::Arc;

use rcgen::PKCS_ECDSA_P256_SHA256;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::SectionKind;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore};

use crate::{Fault, pem};

/// What an authority names by ALPN when it asks for a proof (RFC 8737 section 6.2). The connection
/// is for nothing else.
pub const PROOF_PROTOCOL: &[u8] = b"acme-tls/1";

/// A certificate that proves to an authority that a name is ours (RFC 8737 section 3).
#[derive(Clone)]
pub struct Proof {
    pub(crate) name: String,
    pub(crate) certified: Arc<CertifiedKey>,
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Proof").field(&self.name).finish()
    }
}

impl Proof {
    /// The proof for `name`, where `digest` is the SHA-256 of the challenge's key authorization.
    ///
    /// # Errors
    /// `name` is none of DNS, or `digest` is of another length.
    pub fn new(name: &str, digest: &[u8]) -> Result<Self, Fault> {
        let fault = |why: &dyn fmt::Display| Fault::new(format!("prove {name}: {why}"));
        if digest.len() != 32 {
            return Err(fault(&"the digest has no 32 bytes"));
        }
        let (mut params, key) = params(&[name.to_owned()]).map_err(|error| fault(&error))?;
        let extension = CustomExtension::new_acme_identifier(digest);
        params.custom_extensions.push(extension);
        let certificate = params.self_signed(&key).map_err(|error| fault(&error))?;
        let der = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let signing = any_supported_type(&der).map_err(|error| fault(&error))?;
        let chain = vec![certificate.der().clone()];
        Ok(Proof {
            name: name.to_ascii_lowercase(),
            certified: Arc::new(CertifiedKey::new(chain, signing)),
        })
    }

    /// The name that it is for, in lower case.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A request for a certificate (RFC 2986), with its new key.
#[derive(Clone)]
pub struct CertificateRequest {
    /// The request, DER.
    pub der: Vec<u8>,
    /// The key, PEM. A secret.
    pub key: String,
}

impl CertificateRequest {
    /// Asks for a certificate for `names` with a new P-256 key.
    ///
    /// # Errors
    /// One of the names is none of DNS.
    pub fn new(names: &[String]) -> Result<Self, Fault> {
        let fault = |error: rcgen::Error| Fault::new(format!("ask for a certificate: {error}"));
        let (params, key) = params(names).map_err(fault)?;
        let request = params.serialize_request(&key).map_err(fault)?;
        Ok(CertificateRequest {
            der: request.der().to_vec(),
            key: key.serialize_pem(),
        })
    }
}

fn params(names: &[String]) -> Result<(CertificateParams, KeyPair), rcgen::Error> {
    let mut params = CertificateParams::new(names.to_vec())?;
    // Authorities take names from subjectAltName, and some refuse any other subject.
    params.distinguished_name = DistinguishedName::new();
    Ok((params, KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?))
}

/// Certificates of roots that a client of ours trusts.
#[derive(Clone, Debug)]
pub struct Roots(RootCertStore);

impl Roots {
    /// Those of a PEM file.
    ///
    /// # Errors
    /// There is none in it that can be trusted.
    pub fn from_pem(pem: &[u8]) -> Result<Self, Fault> {
        let sections = pem::sections(pem)?.into_iter();
        let certificates = sections.filter(|(kind, _)| *kind == SectionKind::Certificate);
        Roots::from_der(certificates.map(|(_, der)| CertificateDer::from(der)))
    }

    /// Those of a system, where some may be of a kind that is not spoken here.
    ///
    /// # Errors
    /// None of them can be trusted.
    pub fn from_der(
        certificates: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Self, Fault> {
        let mut store = RootCertStore::empty();
        match store.add_parsable_certificates(certificates) {
            (0, _) => Err(Fault::new("there is no certificate of a root")),
            _ => Ok(Roots(store)),
        }
    }

    /// How TLS is spoken with servers that these roots vouch for.
    ///
    /// # Errors
    /// TLS cannot be spoken at all.
    pub fn client_config(self) -> Result<ClientConfig, Fault> {
        let config = ClientConfig::builder_with_provider(crate::credentials::provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| Fault::new(format!("TLS: {error}")))?;
        Ok(config.with_root_certificates(self.0).with_no_client_auth())
    }
}
