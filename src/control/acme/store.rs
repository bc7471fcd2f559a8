//! What ACME keeps in the state directory: an account for each authority, and the certificates
//! that came from it. Everything here may wait for a disk.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use corecast_tls::{Files, Identity};
use instant_acme::AccountCredentials;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::certificates::bytes;
use crate::private::write_private;

/// The folder in the state directory.
const FOLDER: &str = "acme";

/// The file of an account's key and address.
const ACCOUNT_FILE: &str = "account.json";

/// A file that is there for a moment only, to see whether the disk takes one.
const ROOM_FILE: &str = "room";

/// The bytes of that: more than a certificate with its chain and key has.
const ROOM_BYTES: usize = 64 * 1024;

/// What is escaped in the name of an authority's folder.
const ESCAPED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// The files of one authority.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    folder: PathBuf,
}

impl Store {
    /// Those of the authority whose directory is at `directory_url`.
    pub(crate) fn new(state_dir: &Path, directory_url: &str) -> Self {
        let authority = directory_url.strip_prefix("https://");
        let authority = utf8_percent_encode(authority.unwrap_or(directory_url), &ESCAPED);
        Store {
            folder: state_dir.join(FOLDER).join(authority.to_string()),
        }
    }

    /// Where the certificate called `name` is: the chain, then its key.
    pub(crate) fn certificate_file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.pem"))
    }

    /// The certificate called `name`; none where it never came.
    ///
    /// # Errors
    /// It cannot be read or used.
    pub(crate) fn certificate(&self, name: &str) -> Result<Option<Identity>, String> {
        let path = self.certificate_file(name);
        let pem = match bytes(&path) {
            Ok(pem) => pem,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("{}: {error}", path.display())),
        };
        let read = read_pair(name, &pem, None);
        read.map(Some)
            .map_err(|fault| format!("{}: {fault}", path.display()))
    }

    /// Keeps a certificate.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(crate) fn keep_certificate(&self, identity: &Identity) -> Result<(), String> {
        let path = self.certificate_file(&identity.called);
        let pem = [&identity.chain_pem[..], &identity.key_pem].concat();
        write_private(&path, &pem).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Sees whether the disk would take a certificate.
    ///
    /// # Errors
    /// It would not.
    pub(crate) fn try_room(&self) -> Result<(), String> {
        let path = self.folder.join(ROOM_FILE);
        write_private(&path, &[0; ROOM_BYTES])
            .and_then(|()| fs::remove_file(&path))
            .map_err(|error| format!("{}: {error}", path.display()))
    }

    /// The account; none where there is none yet.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn account(&self) -> Result<Option<AccountCredentials>, String> {
        let path = self.folder.join(ACCOUNT_FILE);
        let fault = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        match fs::read(&path) {
            Ok(text) => match serde_json::from_slice(&text) {
                Ok(account) => Ok(Some(account)),
                // What is wrong there may say what stands there.
                Err(_) => Err(fault(&"it holds no account")),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(fault(&error)),
        }
    }

    /// Keeps an account.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(crate) fn keep_account(&self, account: &AccountCredentials) -> Result<(), String> {
        let path = self.folder.join(ACCOUNT_FILE);
        let text = serde_json::to_vec(account).map_err(|error| error.to_string())?;
        write_private(&path, &text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Puts an account aside that the authority does not know any more.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(crate) fn forget_account(&self) -> io::Result<()> {
        let path = self.folder.join(ACCOUNT_FILE);
        fs::rename(&path, path.with_extension("json.unknown"))
    }
}

/// A certificate with its chain, and its key where that stands elsewhere.
pub(super) fn read_pair(name: &str, chain: &[u8], key: Option<&[u8]>) -> Result<Identity, String> {
    let files = Files {
        chain,
        key,
        ocsp: None,
    };
    Identity::read(name, files).map_err(|fault| fault.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::time::SystemTime;

    #[test]
    fn a_certificate_comes_back_as_it_was_kept() {
        let scratch = std::env::temp_dir().join(format!("corecast-acme-{}", std::process::id()));
        let _ = fs::remove_dir_all(&scratch);
        let store = Store::new(&scratch, "https://a.example:14000/dir?x=1");
        let file = store.certificate_file("radio");
        assert!(file.ends_with("acme/a.example%3A14000%2Fdir%3Fx%3D1/radio.pem"));
        assert!(store.certificate("radio").expect("no fault").is_none());
        assert!(store.account().expect("no fault").is_none());

        let names = ["radio.example".to_owned()];
        let made = corecast_tls::development::make(&names, SystemTime::now()).expect("a name");
        let one = read_pair(
            "radio",
            made.certificate.as_bytes(),
            Some(made.key.as_bytes()),
        );
        let one = one.expect("a pair");
        store.keep_certificate(&one).expect("a folder");
        let kept = store.certificate("radio").expect("it can be read");
        assert_eq!(kept.expect("it is there").fingerprint, one.fingerprint);
        let data = fs::metadata(&file).expect("it is there");
        assert_eq!(data.permissions().mode() & 0o777, 0o600);

        store.try_room().expect("there is room");
        let folder = file.parent().expect("it is in one");
        let files = fs::read_dir(folder).expect("a folder").count();
        assert_eq!(files, 1, "nothing is left of the try");
        let full = Store::new(&file, "https://a.example/");
        let fault = full.try_room().expect_err("a file is no folder");
        assert!(fault.contains("room"), "{fault}");

        fs::write(&file, "nonsense").expect("it is ours");
        let fault = store.certificate("radio").expect_err("no certificate");
        assert!(fault.contains("radio.pem"), "{fault}");
        let account = file.with_file_name("account.json");
        fs::write(&account, "{\"key_pkcs8\": \"secret\"}").expect("it is ours");
        let fault = store.account().err().expect("no account");
        assert!(
            fault.contains("account.json") && !fault.contains("secret"),
            "{fault}"
        );
        store.forget_account().expect("it is there");
        assert!(store.account().expect("no fault").is_none());
        fs::remove_dir_all(&scratch).expect("it is ours");
    }
}
