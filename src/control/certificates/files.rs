//! Certificates from their files; everything here may wait for a disk.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use corecast_config::{Certificate, Config, TlsVersion};
use corecast_tls::{Credentials, Files, Identity, MinVersion, Policy, Tickets, development};

use super::{Look, development as kept};

/// The longest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What the settings want.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    certificates: Vec<Certificate>,
    /// The hosts of a certificate for development, where one may be made.
    hosts: Vec<String>,
    self_signed: bool,
    pub(super) policy: Policy,
}

impl Wanted {
    pub(super) fn new(config: &Config) -> Self {
        let min_version = match config.tls.min_version {
            TlsVersion::Tls12 => MinVersion::Tls12,
            TlsVersion::Tls13 => MinVersion::Tls13,
        };
        Wanted {
            certificates: config.all_certificates(),
            hosts: development::hosts(&config.server.hostname),
            self_signed: config.tls.self_signed,
            policy: Policy {
                min_version,
                refuse_unknown_names: config.tls.refuse_unknown_names,
            },
        }
    }

    fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.certificates
            .iter()
            .flat_map(|one| [&one.file, &one.key_file, &one.ocsp_file])
            .filter(|path| !path.as_os_str().is_empty())
    }
}

/// What a file looks like from outside: when it was written, how long it is and which one it is.
type Stamp = Option<(i64, i64, u64, u64)>;

/// The files that were read, as they were then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamps(Vec<(PathBuf, Stamp)>);

impl Stamps {
    fn of(wanted: &Wanted) -> Self {
        let stamp = |path: &PathBuf| {
            let data = fs::metadata(path).ok()?;
            Some((data.mtime(), data.mtime_nsec(), data.len(), data.ino()))
        };
        let stamps = wanted.paths().map(|path| (path.clone(), stamp(path)));
        Stamps(stamps.collect())
    }
}

/// Certificates that can be used.
#[derive(Debug)]
pub(crate) struct Found {
    pub(super) credentials: Arc<Credentials>,
    pub(super) stamps: Stamps,
}

/// Reads everything if it is not as it was `before`.
pub(super) fn look(
    wanted: &Wanted,
    state_dir: Option<&Path>,
    tickets: &Tickets,
    in_force: &Credentials,
    before: Option<&Stamps>,
) -> Look {
    let stamps = Stamps::of(wanted);
    let own = wanted.certificates.is_empty();
    let good = !own
        || kept::is_good(
            in_force.identities.first(),
            &wanted.hosts,
            SystemTime::now(),
        );
    if before == Some(&stamps) && good {
        return Look::Same;
    }
    let read = read(wanted, state_dir, tickets, in_force.identities.first());
    if Stamps::of(wanted) != stamps {
        // Somebody writes just now: the next look sees all of it.
        return Look::Same;
    }
    match read {
        Ok(found) => Look::Found(found),
        Err(faults) => Look::Bad(stamps, faults),
    }
}

/// Reads everything. `last` is the first certificate in force: one for development that could not
/// be kept goes on.
pub(super) fn read(
    wanted: &Wanted,
    state_dir: Option<&Path>,
    tickets: &Tickets,
    last: Option<&Identity>,
) -> Result<Found, Vec<String>> {
    let stamps = Stamps::of(wanted);
    let (mut identities, mut faults) = (Vec::new(), Vec::new());
    for certificate in &wanted.certificates {
        match read_one(certificate) {
            Ok(identity) => identities.push(identity),
            Err(fault) => faults.push(fault),
        }
    }
    if wanted.certificates.is_empty() {
        if wanted.self_signed {
            match kept::take(state_dir, &wanted.hosts, last) {
                Ok(identity) => identities.push(identity),
                Err(fault) => faults.push(fault),
            }
        } else {
            faults.push("no certificate is configured, and tls.self_signed makes none".to_owned());
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let credentials = Credentials::new(identities, wanted.policy, tickets);
    let credentials = credentials.map_err(|fault| vec![fault.to_string()])?;
    Ok(Found {
        credentials: Arc::new(credentials),
        stamps,
    })
}

fn read_one(certificate: &Certificate) -> Result<Identity, String> {
    let file = |path: &Path| bytes(path).map_err(|error| format!("{}: {error}", path.display()));
    let other = |path: &Path| match path.as_os_str().is_empty() {
        true => Ok(None),
        false => file(path).map(Some),
    };
    let chain = file(&certificate.file)?;
    let key = other(&certificate.key_file)?;
    let ocsp = other(&certificate.ocsp_file)?;
    let files = Files {
        chain: &chain,
        key: key.as_deref(),
        ocsp: ocsp.as_deref(),
    };
    Identity::read(&certificate.name, files)
        .map_err(|fault| format!("{}: {fault}", certificate.file.display()))
}

/// A whole file of bounded length.
pub(super) fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    // A pipe would keep us waiting for its writer.
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)?;
    match bytes.len() as u64 > FILE_BYTES_MAX {
        true => Err(io::Error::other("it is too long for a certificate")),
        false => Ok(bytes),
    }
}
