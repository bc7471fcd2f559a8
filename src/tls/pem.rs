//! PEM (RFC 7468): sections in a file, and files of sections.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::{PemObject, SectionKind};

use crate::Fault;

/// The most sections of one file that are looked at.
const SECTIONS_MAX: usize = 64;

/// Characters of a line.
const LINE_CHARS: usize = 64;

/// A section: what it holds, and its bytes (DER).
pub(crate) type Section = (SectionKind, Vec<u8>);

/// All sections of a file that are of a known kind.
///
/// # Errors
/// A section is cut off or holds other characters; there are too many.
pub(crate) fn sections(pem: &[u8]) -> Result<Vec<Section>, Fault> {
    let mut found = Vec::new();
    for section in Section::pem_slice_iter(pem) {
        found.push(section.map_err(|error| Fault::new(format!("broken PEM: {error}")))?);
        if found.len() > SECTIONS_MAX {
            let message = format!("more than {SECTIONS_MAX} sections");
            return Err(Fault::new(message));
        }
    }
    Ok(found)
}

/// Whether a file holds a key that needs a password (PKCS #8, or the headers of RFC 1421).
pub(crate) fn is_encrypted(pem: &[u8]) -> bool {
    let text = String::from_utf8_lossy(pem);
    text.lines().any(|line| {
        line.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----")
            || (line.starts_with("Proc-Type:") && line.ends_with("ENCRYPTED"))
    })
}

/// Writes one section.
pub(crate) fn write(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(LINE_CHARS) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}
