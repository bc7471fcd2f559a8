//! The certificate for development: made once, kept in the state directory, made again before it
//! expires or when the server is called something else.

use std::path::Path;
use std::time::{Duration, SystemTime};

use corecast_tls::{Files, Identity, development};

use super::files;
use crate::private::write_private;

/// What it is called in logs.
const NAME: &str = "self-signed";

/// Its file in the state directory, the certificate first, then the key: written as one, so that
/// they always belong together.
const FILE: &str = "self-signed.pem";

/// A new one is made when less than this is left.
const RENEW_BEFORE: Duration = Duration::from_secs(30 * 24 * 3_600);

/// Whether `identity` was made here.
pub(super) fn is_own(identity: &Identity) -> bool {
    identity.called == NAME
}

/// Whether `identity` was made here and can go on.
pub(super) fn is_good(identity: &Identity, hosts: &[String], now: SystemTime) -> bool {
    is_own(identity)
        && identity.fault_at(now).is_none()
        && identity.remaining(now) > RENEW_BEFORE
        && hosts.iter().all(|host| identity.is_for(host))
}

/// The one that is kept, else `last` where that can go on, else a new one.
pub(super) fn take(
    state_dir: Option<&Path>,
    hosts: &[String],
    last: Option<&Identity>,
) -> Result<Identity, String> {
    let now = SystemTime::now();
    let path = state_dir.map(|state_dir| state_dir.join(FILE));
    let kept = path.as_deref().and_then(|path| read(path).ok());
    if let Some(kept) = kept.filter(|kept| is_good(kept, hosts, now)) {
        return Ok(kept);
    }
    if let Some(last) = last.filter(|last| is_good(last, hosts, now)) {
        return Ok(last.clone());
    }
    let made = development::make(hosts, now).map_err(|fault| fault.to_string())?;
    let pem = format!("{}{}", made.certificate, made.key);
    let identity = parse(pem.as_bytes())?;
    let nowhere = "nowhere: the next start makes another";
    let file = match &path {
        Some(path) => match write_private(path, pem.as_bytes()) {
            Ok(()) => path.display().to_string(),
            Err(error) => format!("{nowhere} ({}: {error})", path.display()),
        },
        None => nowhere.to_owned(),
    };
    tracing::info!(
        sha256 = identity.fingerprint,
        file,
        "no certificate is configured: one that signs itself was made, which browsers warn of"
    );
    Ok(identity)
}

fn read(path: &Path) -> Result<Identity, String> {
    parse(&files::bytes(path).map_err(|error| error.to_string())?)
}

fn parse(pem: &[u8]) -> Result<Identity, String> {
    let files = Files {
        chain: pem,
        key: None,
        ocsp: None,
    };
    Identity::read(NAME, files).map_err(|fault| fault.to_string())
}
