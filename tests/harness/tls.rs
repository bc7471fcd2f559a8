//! Certificates: an authority that nobody knows but the tests, and what it signs.

use std::fs;
use std::path::PathBuf;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    PublicKeyData,
};
use sha2::{Digest, Sha256};

use super::Scratch;

/// What servers of the tests are called; each name is 127.0.0.1.
pub(crate) const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "cc.test"];

/// Signs certificates. Its files live as long as it does.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    scratch: Scratch,
}

/// A certificate with its key.
pub(crate) struct Certificate {
    /// PEM: the certificate, then the authority's.
    pub(crate) chain: PathBuf,
    /// PEM: the private key.
    pub(crate) key: PathBuf,
    /// SHA-256 of the public key in base64, by which Chromium may be told to trust it.
    pub(crate) fingerprint: String,
}

impl Authority {
    /// A new one.
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are good names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let name = "Authority of the tests";
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key can be made");
        let scratch = Scratch::new("authority");
        let text = key.serialize_pem();
        fs::write(scratch.file("ca.key"), text).expect("a scratch folder takes files");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("it signs itself");
        fs::write(scratch.file("ca.pem"), issuer.pem()).expect("a scratch folder takes files");
        Authority { issuer, scratch }
    }

    /// PEM: who trusts it trusts all that it signs.
    pub(crate) fn file(&self) -> PathBuf {
        self.scratch.file("ca.pem")
    }

    /// PEM: its key, for programs that sign in its name.
    pub(crate) fn key_file(&self) -> PathBuf {
        self.scratch.file("ca.key")
    }

    /// A certificate for `names`, in files that begin with `file`; what was there goes.
    pub(crate) fn issue(&self, file: &str, names: &[&str]) -> Certificate {
        let subjects: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(subjects).expect("names of tests are names");
        let first = names.first().copied().unwrap_or_default();
        params.distinguished_name.push(DnType::CommonName, first);
        let key = KeyPair::generate().expect("a key can be made");
        let leaf = params.signed_by(&key, &self.issuer);
        let leaf = leaf.expect("the authority signs");
        let hash = Sha256::digest(key.subject_public_key_info());
        let certificate = Certificate {
            chain: self.scratch.file(&format!("{file}.pem")),
            key: self.scratch.file(&format!("{file}.key")),
            fingerprint: BASE64_STANDARD.encode(hash),
        };
        // As tools that renew do it: each file is whole at any time.
        let chain = format!("{}{}", leaf.pem(), self.issuer.pem());
        for (path, text) in [
            (&certificate.chain, chain),
            (&certificate.key, key.serialize_pem()),
        ] {
            let fresh = path.with_extension("new");
            fs::write(&fresh, text).expect("a scratch folder takes files");
            fs::rename(&fresh, path).expect("both are in one folder");
        }
        certificate
    }
}
