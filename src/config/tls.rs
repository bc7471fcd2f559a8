//! TLS: certificates, and what holds for all of them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::acme::names_fault;
use crate::fault::{Fault, Place};
use crate::property::{Kind, Named, Section, choice, count, section, text};
use crate::section::{Config, ListenProtocol};

/// The most certificates besides the one of `[tls]`.
const CERTIFICATES_MAX: usize = 256;

section! {
    /// TLS at the acceptors of `https` and `rtmps`, and in QUIC. The files are PEM; they are read
    /// again at SIGHUP and within seconds of their change, and a pair that does not belong together
    /// yet changes nothing. More certificates than one: `[[certificate]]`.
    pub struct Tls in "tls" {
        /// Certificate and those that it follows from; whoever asks for a name of none of the
        /// certificates gets this one. Empty for none.
        certificate_file: PathBuf = PathBuf::new(), Kind::Path, Reload;
        /// Its key; empty where that stands in the certificate's file too.
        key_file: PathBuf = PathBuf::new(), Kind::Path, Reload;
        /// OCSP response (DER) that is stapled to it; empty for none.
        ocsp_file: PathBuf = PathBuf::new(), Kind::Path, Reload;
        /// Names such as `["radio.example.org"]` that this certificate is asked for by ACME,
        /// instead of files, 100 at most: see `[acme]`. Empty for none.
        acme_names: Vec<String> = Vec::new(), Kind::Words, Reload;
        /// Whether a server without any certificate makes one for development, which signs itself
        /// and which browsers warn of: for `server.hostname` and this machine, kept in the state
        /// directory. Where ACME is to bring one it is made in any case, until that has come.
        self_signed: bool = true, Kind::Bool, Reload;
        /// The least version over TCP; QUIC has 1.3 only.
        min_version: TlsVersion = TlsVersion::Tls12, Kind::Choice(TlsVersion::WORDS), Reload;
        /// Whether a client is refused that asks for a name of none of the certificates.
        refuse_unknown_names: bool = false, Kind::Bool, Reload;
        /// Whether `http` acceptors send browsers and video players to the first `https` acceptor
        /// (308). Sources, listeners of radio, the API, `/metrics`, `/health` and `/ready` stay
        /// where they are.
        redirect_http: bool = false, Kind::Bool, Reload;
        /// For how long browsers that came by `https` shall come by nothing else
        /// (`Strict-Transport-Security`), in seconds; 0 tells them nothing.
        hsts_seconds: u32 = 0, count(0, 63_072_000), Reload;
    }
}

choice! {
    /// A version of TLS.
    pub enum TlsVersion {
        /// 1.2.
        #[default]
        Tls12 = "1.2",
        /// 1.3.
        Tls13 = "1.3",
    }
}

section! {
    /// A certificate beside that of `[tls]`, as many as wanted: which one a client gets follows
    /// from the name that it asks for. Where `[tls]` has none, the first one is for all others.
    pub struct Certificate in "certificate" {
        /// What it is called in logs, metrics and the names of overrides: letters, digits, `_` and
        /// `-`. Needed.
        name: String = String::new(), text(64), Reload;
        /// Certificate and those that it follows from. Needed where there are no `acme_names`.
        file: PathBuf = PathBuf::new(), Kind::Path, Reload;
        /// Its key; empty where that stands in the certificate's file too.
        key_file: PathBuf = PathBuf::new(), Kind::Path, Reload;
        /// OCSP response (DER) that is stapled to it; empty for none.
        ocsp_file: PathBuf = PathBuf::new(), Kind::Path, Reload;
        /// Names that it is asked for by ACME, instead of files, 100 at most: see `[acme]`.
        acme_names: Vec<String> = Vec::new(), Kind::Words, Reload;
    }
}

impl Named for Certificate {
    const KEY: &'static str = "name";
    const NEEDED: &'static [&'static str] = &["name", "file"];

    fn example() -> Self {
        Certificate {
            name: "radio".to_owned(),
            file: PathBuf::from("/etc/corecast/radio.pem"),
            ..Certificate::default()
        }
    }

    fn called(&self) -> &str {
        &self.name
    }
}

impl Certificate {
    /// Whether it is asked for by ACME.
    pub fn is_by_acme(&self) -> bool {
        !self.acme_names.is_empty()
    }

    /// What is wrong with its names for ACME.
    fn acme_fault(&self) -> Option<String> {
        let files = [&self.file, &self.key_file, &self.ocsp_file];
        if self.is_by_acme() && files.iter().any(|file| !file.as_os_str().is_empty()) {
            return Some("are for a certificate without files".to_owned());
        }
        names_fault(&self.acme_names)
    }
}

/// What the certificate of `[tls]` is called; no `[[certificate]]` has that name.
pub const DEFAULT_CERTIFICATE: &str = "default";

impl Config {
    /// The configured certificates, the one of `[tls]` first.
    pub fn all_certificates(&self) -> Vec<Certificate> {
        let own = Certificate {
            name: DEFAULT_CERTIFICATE.to_owned(),
            file: self.tls.certificate_file.clone(),
            key_file: self.tls.key_file.clone(),
            ocsp_file: self.tls.ocsp_file.clone(),
            acme_names: self.tls.acme_names.clone(),
        };
        let own = Some(own).filter(|own| !own.file.as_os_str().is_empty() || own.is_by_acme());
        own.into_iter()
            .chain(self.certificates.iter().cloned())
            .collect()
    }

    /// Whether any certificate is asked for by ACME.
    pub fn wants_acme(&self) -> bool {
        self.all_certificates().iter().any(Certificate::is_by_acme)
    }

    /// Whether TLS could be spoken: there is a certificate, or one may be made.
    pub fn may_speak_tls(&self) -> bool {
        self.tls.self_signed || !self.all_certificates().is_empty()
    }

    /// Whether an acceptor needs a certificate.
    pub fn needs_tls(&self) -> bool {
        self.listen.iter().any(|listen| listen.protocol.is_tls())
    }
}

impl ListenProtocol {
    /// Whether it is spoken inside TLS.
    pub const fn is_tls(self) -> bool {
        matches!(self, ListenProtocol::Https | ListenProtocol::Rtmps)
    }
}

/// The faults of the certificates, alone and together. `place` says where a setting of `[tls]` was
/// given.
pub(crate) fn check(
    config: &Config,
    certificates: &[(Certificate, Place)],
    place: impl Fn(&str) -> Place,
) -> Vec<Fault> {
    let mut faults = Vec::new();
    let alone = config.tls.certificate_file.as_os_str().is_empty();
    for (path, file) in [
        ("tls.key_file", &config.tls.key_file),
        ("tls.ocsp_file", &config.tls.ocsp_file),
    ] {
        if alone && !file.as_os_str().is_empty() {
            let message = "there is no tls.certificate_file that it belongs to";
            faults.push(place(path).fault(path, message));
        }
    }
    let own = config.all_certificates().into_iter().next();
    let own = own.filter(|own| own.name == DEFAULT_CERTIFICATE);
    if let Some(fault) = own.and_then(|own| own.acme_fault()) {
        faults.push(place("tls.acme_names").fault("tls.acme_names", fault));
    }
    let mut seen: BTreeMap<&str, &Place> = BTreeMap::new();
    for (certificate, place) in certificates {
        let mut note = |key: &str, message: String| {
            faults.push(place.fault(format!("{}.{key}", Certificate::NAME), message));
        };
        let name = certificate.name.as_str();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        if name.is_empty() {
            note("name", "is missing".to_owned());
        } else if !name.bytes().all(plain) {
            note("name", "must be letters, digits, _ and -".to_owned());
        } else if name == DEFAULT_CERTIFICATE {
            note("name", format!("{name} is the one of [tls]"));
        } else if let Some(first) = seen.get(name) {
            note("name", format!("{name} is declared already at {first}"));
        } else {
            seen.insert(name, place);
        }
        if certificate.file.as_os_str().is_empty() && !certificate.is_by_acme() {
            note("file", "is missing, and there are no acme_names".to_owned());
        }
        if let Some(fault) = certificate.acme_fault() {
            note("acme_names", fault);
        }
    }
    if let Some((_, place)) = certificates.get(CERTIFICATES_MAX) {
        let message = format!("more than {CERTIFICATES_MAX} certificates");
        faults.push(place.fault(Certificate::NAME, message));
    }
    faults
}

#[cfg(test)]
mod tests {
    use crate::{Config, File, Listen, ListenProtocol, Sources, load};

    fn read(text: &str, overrides: &[&str]) -> Result<Config, Vec<String>> {
        let overrides: Vec<String> = overrides.iter().map(|one| (*one).to_owned()).collect();
        let sources = Sources {
            file: Some(File { name: "f", text }),
            overrides: &overrides,
            ..Sources::default()
        };
        let told = |faults: Vec<crate::Fault>| faults.iter().map(ToString::to_string).collect();
        load(sources).map(|loaded| loaded.config).map_err(told)
    }

    #[test]
    fn an_acceptor_of_tls_needs_a_certificate() {
        let fresh = read("", &[]).expect("good");
        assert_eq!(
            fresh.listen,
            [Listen::default(), Listen::https(), Listen::rtmp()]
        );
        assert!(fresh.needs_tls() && fresh.all_certificates().is_empty());
        let without = read("[tls]\nself_signed = false\n", &[]).expect("good");
        assert_eq!(without.listen, [Listen::default(), Listen::rtmp()]);
        assert!(!without.needs_tls());
        for given in ["https:[::]:8443", "[::]:8000,rtmps:[::]:1936"] {
            let given = format!("listen.address={given}");
            let config = read("", &[&given]).expect("one is made");
            assert!(config.needs_tls());
            let faults = read("[tls]\nself_signed = false\n", &[&given]).expect_err("none");
            assert!(
                faults[0].contains("needs a certificate"),
                "{given}: {faults:?}"
            );
            let named = "tls.certificate_file=/c.pem";
            let config = read("[tls]\nself_signed = false\n", &[&given, named]).expect("good");
            assert_eq!(config.all_certificates().len(), 1);
        }
    }

    #[test]
    fn acceptors_say_what_is_spoken_there() {
        let given = "listen.address=https:[::1]:1,rtmps:[::1]:2,[::1]:3";
        let config = read("", &[given]).expect("good");
        let spoken: Vec<_> = config.listen.iter().map(|one| one.protocol).collect();
        assert_eq!(
            spoken,
            [
                ListenProtocol::Https,
                ListenProtocol::Rtmps,
                ListenProtocol::Http
            ]
        );
        let quic: Vec<_> = config.listen.iter().map(Listen::speaks_http3).collect();
        assert_eq!(quic, [true, false, false]);
        assert_eq!(config.site(), ("http", 3));
        let text = "[[listen]]\naddress = '[::1]:1'\nprotocol = 'https'\nhttp3 = false\n";
        let config = read(text, &[]).expect("good");
        assert!(!config.listen[0].speaks_http3());
        assert_eq!(config.site(), ("https", 1));
    }

    #[test]
    fn certificates_are_told_apart_by_their_names() {
        let text = "[tls]\ncertificate_file = '/a'\nkey_file = '/b'\n\
                    [[certificate]]\nname = 'c'\nfile = '/c'\n";
        let config = read(text, &["certificate.c.key_file=/d"]).expect("good");
        let all = config.all_certificates();
        let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["default", "c"]);
        assert_eq!(all[1].key_file.as_os_str(), "/d");
        for (bad, fault) in [
            ("[tls]\nkey_file = '/k'\n", "no tls.certificate_file"),
            ("[tls]\nocsp_file = '/k'\n", "no tls.certificate_file"),
            (
                "[[certificate]]\nname = 'c'\n",
                "certificate.file: is missing",
            ),
            (
                "[[certificate]]\nfile = 'c'\n",
                "certificate.name: is missing",
            ),
            (
                "[[certificate]]\nname = 'default'\nfile = 'c'\n",
                "the one of [tls]",
            ),
            (
                "[[certificate]]\nname = 'a b'\nfile = 'c'\n",
                "letters, digits",
            ),
            (
                "[[certificate]]\nname = 'c'\nfile = 'c'\n\
                 [[certificate]]\nname = 'c'\nfile = 'c'\n",
                "declared already at f:2:8",
            ),
        ] {
            let faults = read(bad, &[]).expect_err(bad);
            assert!(faults[0].contains(fault), "{bad}: {faults:?}");
        }
    }
}
