//! HTTP Basic credentials (RFC 7617 section 2).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::text;

/// The longest `Authorization` value that is decoded, in bytes.
pub const AUTHORIZATION_BYTES_MAX: usize = 1_024;

/// A user and a password as a peer sent them.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user; may be empty.
    pub user: String,
    /// The password; may be empty. To be compared in constant time.
    pub password: String,
}

impl Credentials {
    /// Reads the value of an `Authorization` header; `None` for other schemes and for values that
    /// are malformed or longer than [`AUTHORIZATION_BYTES_MAX`].
    pub fn from_basic(value: &[u8]) -> Option<Self> {
        if value.len() > AUTHORIZATION_BYTES_MAX {
            return None;
        }
        let (scheme, token) = value.split_at_checked(value.iter().position(|&b| b == b' ')?)?;
        if !scheme.eq_ignore_ascii_case(b"basic") {
            return None;
        }
        let decoded = STANDARD.decode(token.trim_ascii()).ok()?;
        let colon = decoded.iter().position(|&byte| byte == b':')?;
        let (user, rest) = decoded.split_at_checked(colon)?;
        let password = rest.get(1..)?;
        Some(Credentials {
            user: text::decode(user).into_owned(),
            password: text::decode(password).into_owned(),
        })
    }
}

impl fmt::Debug for Credentials {
    /// The user only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str, expected: Option<(&str, &str)>) {
        let read = Credentials::from_basic(value.as_bytes());
        let read = read
            .as_ref()
            .map(|both| (both.user.as_str(), both.password.as_str()));
        assert_eq!(read, expected, "{value}");
    }

    #[test]
    fn basic_credentials_are_read_or_refused() {
        check("Basic c291cmNlOmhhY2s=", Some(("source", "hack")));
        check("bAsIc  c291cmNlOmhhY2s= ", Some(("source", "hack")));
        // A password may hold colons; either part may be empty.
        check("Basic YTpiOmM=", Some(("a", "b:c")));
        check("Basic Og==", Some(("", "")));
        // "\xe9:\xe9" in Latin-1.
        check("Basic 6Trp", Some(("\u{e9}", "\u{e9}")));
        check("Basic c291cmNl", None);
        check("Basic c291cmNlOmhhY2s", None);
        check("Basic !", None);
        check("Basic", None);
        check("Digest c291cmNlOmhhY2s=", None);
        check(&format!("Basic {}", "YTpi".repeat(256)), None);
    }

    #[test]
    fn a_password_never_reaches_a_log() {
        let shown = format!("{:?}", Credentials::from_basic(b"Basic c291cmNlOmhhY2s="));
        assert!(
            shown.contains("source") && !shown.contains("hack"),
            "{shown}"
        );
    }
}
