//! Who may feed a mount, decided on the shard from the settings.

use corecast_config::Config;
use corecast_protocol::http::Credentials;
use subtle::ConstantTimeEq;

/// Whether a source with `credentials` may feed `mount`: with the mount's own password if it has
/// one, else with the global one; with the admin's in any case.
pub(crate) fn may_publish(config: &Config, mount: &str, credentials: &Credentials) -> bool {
    let own = &config.mount(mount).password;
    let source_password = if own.is_empty() {
        &config.auth.source_password
    } else {
        own
    };
    let source_user = matches!(credentials.user.as_str(), "" | "source");
    let as_source = same(&credentials.password, source_password) & source_user;
    let as_admin = same(&credentials.password, &config.auth.admin_password)
        & same(&credentials.user, &config.auth.admin_user);
    as_source | as_admin
}

/// Whether `credentials` are those of servers that relay all our mounts.
pub(crate) fn are_relay(config: &Config, credentials: &Credentials) -> bool {
    let auth = &config.auth;
    same(&credentials.password, &auth.relay_password) & same(&credentials.user, &auth.relay_user)
}

/// Compares in a time that depends on the lengths only. An empty secret fits nothing.
fn same(given: &str, secret: &str) -> bool {
    !secret.is_empty() & bool::from(given.as_bytes().ct_eq(secret.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use corecast_config::{Auth, Mount};

    fn given(user: &str, password: &str) -> Credentials {
        Credentials {
            user: user.into(),
            password: password.into(),
        }
    }

    #[test]
    fn a_mounts_own_password_replaces_the_global_one() {
        let auth = Auth {
            source_password: "global".into(),
            admin_user: "admin".into(),
            admin_password: "root".into(),
            ..Auth::default()
        };
        let own = Mount {
            password: "own".into(),
            ..Mount::default()
        };
        let mounts = vec![("/own".to_owned(), own)];
        let config = Config {
            auth,
            mounts: mounts.into(),
            ..Config::default()
        };
        for (mount, user, password, allowed) in [
            ("/any", "source", "global", true),
            ("/any", "", "global", true),
            ("/any", "dj", "global", false),
            ("/any", "source", "globa", false),
            ("/any", "source", "", false),
            ("/own", "source", "own", true),
            ("/own", "source", "global", false),
            ("/own", "admin", "root", true),
            ("/any", "admin", "root", true),
            ("/any", "admin", "global", false),
        ] {
            let allowed_now = may_publish(&config, mount, &given(user, password));
            assert_eq!(allowed_now, allowed, "{mount} {user} {password}");
        }
        let nothing_set = Config::default();
        assert!(!are_relay(&nothing_set, &given("relay", "")));
        let mut relayed = Config::default();
        relayed.auth.relay_password = "between us".into();
        assert!(are_relay(&relayed, &given("relay", "between us")));
        assert!(!are_relay(&relayed, &given("", "between us")));
        assert!(!may_publish(&nothing_set, "/any", &given("", "")));
    }
}
