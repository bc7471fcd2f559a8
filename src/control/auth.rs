//! Basic credentials, checked in a time that does not tell how nearly right they are.

use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use corecast_config::{Auth, Config};
use http::header::AUTHORIZATION;
use subtle::{Choice, ConstantTimeEq};

use crate::problem::Problem;

/// The longest user name or password that is looked at, in bytes.
const CREDENTIAL_BYTES_MAX: usize = 1_024;

/// Base64 with or without its padding: encoders send both.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a client says that it is.
pub(crate) struct Credentials {
    user: Vec<u8>,
    password: Vec<u8>,
}

impl Credentials {
    /// The Basic credentials of a request, where it has good ones.
    pub(crate) fn parse(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(AUTHORIZATION)?.as_bytes();
        let (scheme, rest) = value.split_at_checked(6)?;
        if !scheme.eq_ignore_ascii_case(b"basic ") {
            return None;
        }
        let mut user = BASE64.decode(rest.trim_ascii()).ok()?;
        let colon = user.iter().position(|byte| *byte == b':')?;
        let password = user.split_off(colon).split_off(1);
        Some(Credentials { user, password })
    }

    /// A source that says only a password.
    pub(crate) fn of_source(password: &[u8]) -> Self {
        Credentials {
            user: Vec::new(),
            password: password.to_vec(),
        }
    }

    /// Whether these are the admin's.
    pub(crate) fn are_admin(&self, auth: &Auth) -> bool {
        let user = same(&self.user, auth.admin_user.as_bytes());
        bool::from(user & same(&self.password, auth.admin_password.as_bytes()))
    }

    /// Whether these are of a server that relays all our mounts.
    pub(crate) fn are_relay(&self, auth: &Auth) -> bool {
        let user = same(&self.user, auth.relay_user.as_bytes());
        bool::from(user & same(&self.password, auth.relay_password.as_bytes()))
    }

    /// Whether these may feed `mount`: the mount's own password, or the global one where it has
    /// none, by the user `source` or a nameless one; or the admin's.
    pub(crate) fn are_source(&self, config: &Config, mount: &str) -> bool {
        let own = config.mount(mount).password.as_bytes();
        let password = if own.is_empty() {
            config.auth.source_password.as_bytes()
        } else {
            own
        };
        let user = same(&self.user, b"source") | Choice::from(u8::from(self.user.is_empty()));
        let source = user & same(&self.password, password);
        bool::from(source) | self.are_admin(&config.auth)
    }
}

/// Whether a secret was said. One that is empty or too long is never right; the time depends on
/// no secret.
fn same(said: &[u8], secret: &[u8]) -> Choice {
    if said.len() > CREDENTIAL_BYTES_MAX || secret.len() > CREDENTIAL_BYTES_MAX {
        return Choice::from(0);
    }
    let padded = |bytes: &[u8]| {
        let mut all = [0; CREDENTIAL_BYTES_MAX];
        for (to, from) in all.iter_mut().zip(bytes) {
            *to = *from;
        }
        all
    };
    let length = said.len().ct_eq(&secret.len()) & !secret.len().ct_eq(&0);
    length & padded(said).ct_eq(&padded(secret))
}

/// How much a request may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rights {
    /// What everybody may.
    Public,
    /// Addresses and hidden mounts too.
    Admin,
}

impl Rights {
    /// Who asks. Credentials that are there must be right.
    pub(crate) fn of(headers: &HeaderMap, config: &Config) -> Result<Self, Problem> {
        if !headers.contains_key(AUTHORIZATION) {
            return Ok(Rights::Public);
        }
        match Credentials::parse(headers) {
            Some(credentials) if credentials.are_admin(&config.auth) => Ok(Rights::Admin),
            _ => Err(Problem::unauthorized()),
        }
    }

    /// Lets only the admin on.
    pub(crate) fn admin(headers: &HeaderMap, config: &Config) -> Result<(), Problem> {
        match Rights::of(headers, config)? {
            Rights::Admin => Ok(()),
            Rights::Public => Err(Problem::unauthorized()),
        }
    }

    /// Whether it may see the mount of this name.
    pub(crate) fn sees(self, config: &Config, mount: &str) -> bool {
        self == Rights::Admin || !config.mount(mount).hidden
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use corecast_config::Mount;
    use http::HeaderValue;

    fn config() -> Config {
        Config {
            auth: Auth {
                source_password: "s3cret".into(),
                admin_user: "admin".into(),
                admin_password: "pässword:with:colons".into(),
                ..Auth::default()
            },
            mounts: vec![(
                "/own".into(),
                Mount {
                    password: "own".into(),
                    ..Mount::default()
                },
            )]
            .into(),
            ..Config::default()
        }
    }

    fn said(text: &str) -> Option<Credentials> {
        let mut headers = HeaderMap::new();
        let value = format!("bASIC {}", BASE64.encode(text));
        headers.insert(AUTHORIZATION, HeaderValue::from_str(&value).expect("ASCII"));
        Credentials::parse(&headers)
    }

    #[test]
    fn sources_have_their_mounts_password_or_the_global_one() {
        let right = |text: &str, mount: &str| {
            said(text).is_some_and(|credentials| credentials.are_source(&config(), mount))
        };
        assert!(right("source:s3cret", "/live"));
        assert!(right(":s3cret", "/live"));
        assert!(right("source:own", "/own"));
        assert!(right("admin:pässword:with:colons", "/own"));
        for wrong in [
            "source:s3cret ",
            "source:s3cre",
            "source:",
            ":",
            "x:s3cret",
            "admin:s3cret",
        ] {
            assert!(!right(wrong, "/live"), "{wrong}");
        }
        assert!(
            !right("source:s3cret", "/own"),
            "the global password opens no mount of its own"
        );
    }

    #[test]
    fn an_empty_password_opens_nothing() {
        let mut config = Config::default();
        config.auth.source_password.clear();
        config.auth.admin_password.clear();
        let empty = |text| said(text).expect("good credentials");
        assert!(!empty("source:").are_source(&config, "/live"));
        assert!(!empty("admin:").are_admin(&config.auth));
        assert!(!empty("relay:").are_relay(&config.auth));
    }

    #[test]
    fn what_is_no_basic_header_is_no_credential() {
        for bad in ["", "Basic", "Basic !", "Basic YQ==", "Bearer YTpi", "Basïc"] {
            let mut headers = HeaderMap::new();
            headers.insert(
                AUTHORIZATION,
                HeaderValue::from_bytes(bad.as_bytes()).expect("bytes"),
            );
            assert!(Credentials::parse(&headers).is_none(), "{bad}");
        }
        let long = format!("source:{}", "x".repeat(CREDENTIAL_BYTES_MAX + 1));
        assert!(!said(&long).expect("parsed").are_source(&config(), "/live"));
    }
}
