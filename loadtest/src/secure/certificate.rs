//! The certificate of servers that make none by themselves.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};

use crate::http::fault;

/// The files of a certificate and its key, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// The certificate.
    pub(crate) chain: PathBuf,
    /// Its key.
    pub(crate) key: PathBuf,
}

impl Certificate {
    /// Makes one in `folder` that signs itself, with a key on P-256 as most of the web has.
    pub(crate) fn issue(folder: &Path) -> io::Result<Certificate> {
        let broken = |error: rcgen::Error| fault(format!("make a certificate: {error}"));
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let params = CertificateParams::new(names).map_err(broken)?;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(broken)?;
        let certificate = params.self_signed(&key).map_err(broken)?;
        let files = Certificate::in_folder(folder);
        fs::write(&files.chain, certificate.pem())?;
        fs::write(&files.key, key.serialize_pem())?;
        Ok(files)
    }

    /// The one that was made in `folder`.
    pub(crate) fn in_folder(folder: &Path) -> Certificate {
        Certificate {
            chain: folder.join("certificate.pem"),
            key: folder.join("key.pem"),
        }
    }
}
