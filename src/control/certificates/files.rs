//! Certificates from their files; everything here may wait for a disk.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use corecast_config::{Certificate, Config, TlsVersion};
use corecast_tls::{Files, Identity, MinVersion, Policy, development};

use super::{Look, development as kept};
use crate::acme::store::Store;

/// The longest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What the settings want.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    certificates: Vec<Certificate>,
    /// The hosts of a certificate for development, where one may be made.
    hosts: Vec<String>,
    self_signed: bool,
}

impl Wanted {
    /// What `config` wants; what comes by ACME lies in `state_dir`.
    pub(super) fn new(config: &Config, state_dir: Option<&Path>) -> Self {
        let mut certificates = config.all_certificates();
        let mut hosts = development::hosts(&config.server.hostname);
        let store = state_dir.map(|at| Store::new(at, &config.acme.directory_url));
        for certificate in certificates.iter_mut().filter(|one| one.is_by_acme()) {
            if let Some(store) = &store {
                certificate.file = store.certificate_file(&certificate.name);
            }
            for name in &certificate.acme_names {
                if !hosts.contains(name) {
                    hosts.push(name.clone());
                }
            }
        }
        Wanted {
            self_signed: config.tls.self_signed || certificates.iter().any(|it| it.is_by_acme()),
            certificates,
            hosts,
        }
    }

    fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.certificates
            .iter()
            .flat_map(|one| [&one.file, &one.key_file, &one.ocsp_file])
            .filter(|path| !path.as_os_str().is_empty())
    }
}

/// What holds for all certificates.
pub(super) fn policy(config: &Config) -> Policy {
    Policy {
        min_version: match config.tls.min_version {
            TlsVersion::Tls12 => MinVersion::Tls12,
            TlsVersion::Tls13 => MinVersion::Tls13,
        },
        refuse_unknown_names: config.tls.refuse_unknown_names,
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
    /// The first is the default.
    pub(super) identities: Vec<Identity>,
    pub(super) stamps: Stamps,
    /// Why some of them are those that were in force before, one line each.
    pub(super) faults: Vec<String>,
}

/// Reads everything if it is not as it was `before`.
pub(super) fn look(
    wanted: &Wanted,
    state_dir: Option<&Path>,
    in_force: &[Identity],
    before: Option<&Stamps>,
) -> Look {
    let stamps = Stamps::of(wanted);
    let own = in_force.first().filter(|first| kept::is_own(first));
    let now = SystemTime::now();
    let good = own.is_none_or(|own| kept::is_good(own, &wanted.hosts, now));
    if before == Some(&stamps) && good {
        return Look::Same;
    }
    let read = read(wanted, state_dir, in_force);
    if Stamps::of(wanted) != stamps {
        // Somebody writes just now: the next look sees all of it.
        return Look::Same;
    }
    match read {
        Ok(found) if !found.faults.is_empty() && is_same(&found.identities, in_force) => {
            Look::Bad(stamps, found.faults)
        }
        Ok(found) => Look::Found(found),
        Err(faults) => Look::Bad(stamps, faults),
    }
}

fn is_same(some: &[Identity], others: &[Identity]) -> bool {
    let mut pairs = some.iter().zip(others);
    let is_one = |(one, other): (&Identity, &Identity)| {
        one.called == other.called && one.fingerprint == other.fingerprint && one.ocsp == other.ocsp
    };
    some.len() == others.len() && pairs.all(is_one)
}

/// What keeps the files that people named from being used.
pub(super) fn faults(wanted: &Wanted) -> Vec<String> {
    let named = wanted.certificates.iter().filter(|one| !one.is_by_acme());
    named.filter_map(|one| read_one(one).err()).collect()
}

/// Reads everything. `in_force` is what is in use: a certificate for development that could not be
/// kept goes on, and so does one whose file was lost or is broken, so that it keeps no other from
/// being renewed.
pub(super) fn read(
    wanted: &Wanted,
    state_dir: Option<&Path>,
    in_force: &[Identity],
) -> Result<Found, Vec<String>> {
    let stamps = Stamps::of(wanted);
    let (mut identities, mut faults, mut is_whole) = (Vec::new(), Vec::new(), true);
    for certificate in &wanted.certificates {
        if certificate.is_by_acme() {
            identities.extend(read_acme(certificate, in_force));
            continue;
        }
        match read_one(certificate) {
            Ok(identity) => identities.push(identity),
            Err(fault) => {
                faults.push(fault);
                let last = in_force.iter().find(|one| one.called == certificate.name);
                let Some(last) = last else {
                    is_whole = false;
                    continue;
                };
                identities.push(last.clone());
            }
        }
    }
    if !is_whole {
        return Err(faults);
    }
    if identities.is_empty() {
        if !wanted.self_signed {
            let fault = "no certificate is configured, and tls.self_signed makes none";
            return Err(vec![fault.to_owned()]);
        }
        let made = kept::take(state_dir, &wanted.hosts, in_force.first());
        identities.push(made.map_err(|fault| vec![fault])?);
    }
    Ok(Found {
        identities,
        stamps,
        faults,
    })
}

/// A certificate that came by ACME, if one has come: the one that is kept or the one in force,
/// which goes on where its file is lost or older. One whose time is not yet or no more is better
/// than none: our clock may be wrong, and so may be that of a client that takes it.
fn read_acme(certificate: &Certificate, in_force: &[Identity]) -> Option<Identity> {
    let came = certificate.file.exists().then(|| read_one(certificate));
    let kept = match came {
        Some(Ok(identity)) => Some(identity),
        Some(Err(fault)) => {
            tracing::warn!(fault, "a kept certificate cannot be used");
            None
        }
        None => None,
    };
    let last = in_force.iter().find(|one| one.called == certificate.name);
    // Of two that end at once, the one that is kept.
    let both = last.cloned().into_iter().chain(kept);
    both.max_by_key(|one| one.not_after)
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
pub(crate) fn bytes(path: &Path) -> io::Result<Vec<u8>> {
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
