//! ACME (RFC 8555): certificates that the server gets and renews by itself.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::fault::{Fault, Place};
use crate::property::{Kind, choice, section, text};
use crate::section::{Config, ListenProtocol};

/// The directory of Let's Encrypt.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// The longest name of a host in bytes (RFC 1035 section 2.3.4).
const HOST_BYTES_MAX: usize = 253;

/// The longest label of such a name in bytes.
const LABEL_BYTES_MAX: usize = 63;

/// The most names of one certificate.
const NAMES_MAX: usize = 100;

section! {
    /// Certificates that the server gets and renews by itself, by ACME (RFC 8555): those with
    /// `acme_names`, in `[tls]` or a `[[certificate]]`. The account's key and the certificates are
    /// kept under `acme` in the state directory. Until the first one has come, clients get the
    /// certificate for development.
    pub struct Acme in "acme" {
        /// Whether you agree to the terms of the authority (those of Let's Encrypt are at
        /// letsencrypt.org/repository). Nothing is asked for without.
        agree_to_terms: bool = false, Kind::Bool, Reload;
        /// Directory of the authority, by `https`. For tries there is
        /// `https://acme-staging-v02.api.letsencrypt.org/directory`: browsers do not trust its
        /// certificates, but it bears more mistakes.
        directory_url: String = LETS_ENCRYPT.to_owned(), Kind::Link, Reload;
        /// Where the authority may reach you; empty for nowhere. Told when the account is made.
        email: String = String::new(), text(254), Reload;
        /// How the authority finds out that the names are ours: `"http-01"` asks an `http` acceptor
        /// that the world reaches at port 80, `"tls-alpn-01"` an `https` acceptor at port 443;
        /// `"any"` takes one and, where it fails, the other.
        challenge: AcmeChallenge = AcmeChallenge::Any, Kind::Choice(AcmeChallenge::WORDS), Reload;
        /// Key id of the account that you have with the authority already, where it wants one
        /// (external account binding); empty for none.
        eab_key_id: String = String::new(), text(256), Reload;
        /// The key that came with it, in base64url.
        eab_hmac_key: String = String::new(), Kind::Secret, Reload;
        /// PEM file of the roots that the authority's own certificate follows from; empty for those
        /// of the system. For an authority of your own.
        roots_file: PathBuf = PathBuf::new(), Kind::Path, Reload;
    }
}

choice! {
    /// How an authority finds out that names are ours.
    pub enum AcmeChallenge {
        /// Whichever works.
        #[default]
        Any = "any",
        /// By HTTP in plain (RFC 8555 section 8.3).
        Http01 = "http-01",
        /// By TLS (RFC 8737).
        TlsAlpn01 = "tls-alpn-01",
    }
}

/// What is wrong with the list of names of one certificate.
pub(crate) fn names_fault(names: &[String]) -> Option<String> {
    if names.len() > NAMES_MAX {
        return Some(format!("has more than {NAMES_MAX} names"));
    }
    let mut seen = BTreeSet::new();
    names.iter().find_map(|name| {
        let message = if name.starts_with("*.") {
            "no certificate for all names of a domain can be had without access to its DNS"
        } else if !seen.insert(name) {
            "stands there twice"
        } else if is_host(name) {
            return None;
        } else {
            "is no name of a host in lower case"
        };
        Some(format!("{name}: {message}"))
    })
}

/// Whether the text is the name of a host that a certificate can be for, and no address.
fn is_host(name: &str) -> bool {
    let is_label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label.bytes().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_address = name.split('.').all(|label| label.parse::<u32>().is_ok());
    name.len() <= HOST_BYTES_MAX && name.split('.').all(is_label) && !is_address
}

/// What keeps certificates from being asked for, where any are wanted. `place` says where a setting
/// was given.
pub(crate) fn check(config: &Config, place: impl Fn(&str) -> Place) -> Vec<Fault> {
    let Acme {
        agree_to_terms,
        directory_url,
        email,
        challenge,
        eab_key_id,
        eab_hmac_key,
        ..
    } = &config.acme;
    let mut faults = Vec::new();
    let mut note = |path: &str, message: &str| faults.push(place(path).fault(path, message));
    if eab_key_id.is_empty() != eab_hmac_key.is_empty() {
        note("acme.eab_key_id", "and acme.eab_hmac_key need each other");
    }
    if !email.is_empty() && (!email.contains('@') || !email.bytes().all(|b| b.is_ascii_graphic())) {
        note("acme.email", "is no address of mail");
    }
    if !directory_url.starts_with("https://") {
        note("acme.directory_url", "must be an https:// URL");
    }
    if config.wants_acme() {
        if !agree_to_terms {
            let message = "must be true where there are acme_names: the authority gives no \
                           certificates to those who do not agree";
            note("acme.agree_to_terms", message);
        }
        let has = |protocol| config.listen.iter().any(|one| one.protocol == protocol);
        let needed: &[ListenProtocol] = match challenge {
            AcmeChallenge::Any => &[ListenProtocol::Http, ListenProtocol::Https],
            AcmeChallenge::Http01 => &[ListenProtocol::Http],
            AcmeChallenge::TlsAlpn01 => &[ListenProtocol::Https],
        };
        if !needed.iter().any(|protocol| has(*protocol)) {
            let words: Vec<&str> = needed.iter().map(|protocol| protocol.word()).collect();
            let message = format!("needs an acceptor of {}", words.join(" or "));
            note("acme.challenge", &message);
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{File, Sources, load};

    fn read(text: &str) -> Result<Config, Vec<String>> {
        let sources = Sources {
            file: Some(File { name: "f", text }),
            ..Sources::default()
        };
        let told = |faults: Vec<Fault>| faults.iter().map(ToString::to_string).collect();
        load(sources).map(|loaded| loaded.config).map_err(told)
    }

    #[test]
    fn names_are_asked_for_where_everything_is_said() {
        let agreed = "[acme]\nagree_to_terms = true\n";
        let config = read(&format!(
            "{agreed}[tls]\nacme_names = ['radio.example', 'xn--bcher-kva.example']\n\
             [[certificate]]\nname = 'tv'\nacme_names = ['tv.example']\n"
        ));
        let config = config.expect("good");
        assert!(config.wants_acme() && config.needs_tls());
        let all = config.all_certificates();
        let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["default", "tv"]);
        assert!(all.iter().all(|one| !one.acme_names.is_empty()));
        assert!(!Config::default().wants_acme());
        for (bad, fault) in [
            ("[tls]\nacme_names = ['a.example']\n", "agree_to_terms"),
            (
                "[acme]\nagree_to_terms = true\nchallenge = 'http-01'\n\
                 [tls]\nacme_names = ['a.example']\n\
                 [[listen]]\naddress = '[::1]:1'\nprotocol = 'https'\n",
                "needs an acceptor of http",
            ),
            ("[acme]\nemail = 'me'\n", "no address of mail"),
            ("[acme]\neab_key_id = 'me'\n", "need each other"),
            ("[acme]\ndirectory_url = 'http://a/'\n", "https://"),
            (
                "[tls]\ncertificate_file = '/a'\nacme_names = ['a.example']\n",
                "tls.acme_names",
            ),
            (
                "[[certificate]]\nname = 'c'\nfile = '/a'\nacme_names = ['a.example']\n",
                "certificate.acme_names",
            ),
            (
                "[[certificate]]\nname = 'c'\nkey_file = '/a'\nacme_names = ['a.example']\n",
                "certificate.acme_names",
            ),
        ] {
            let faults = read(bad).expect_err(bad);
            let told = faults.iter().any(|told| told.contains(fault));
            assert!(told, "{bad}: {faults:?}");
        }
    }

    #[test]
    fn what_is_no_name_of_a_host_is_told() {
        let fault = |name: &str| names_fault(&[name.to_owned()]);
        for good in ["localhost", "a.example", "1.example", "x--y.0"] {
            assert_eq!(fault(good), None);
        }
        let long = format!("{}.example", "a".repeat(64));
        for bad in [
            "",
            "a..b",
            "-a.example",
            "a-.example",
            "A.example",
            "a_b.example",
            "192.0.2.1",
            "::1",
            "a.example.",
            "*.example",
            "b\u{fc}cher.example",
            &long,
        ] {
            assert!(fault(bad).is_some(), "{bad}");
        }
        assert!(fault("*.example").expect("told").contains("DNS"));
        let twice = names_fault(&["a.example".to_owned(), "a.example".to_owned()]);
        assert!(twice.expect("told").contains("twice"));
        assert!(names_fault(&vec!["a.example".to_owned(); 101]).is_some());
    }
}
