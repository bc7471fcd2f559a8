//! What must survive a restart: where it is kept, and the passwords that the first start makes.

use std::path::PathBuf;

use crate::document;
use crate::fault::Fault;
use crate::load::{Draft, File};
use crate::property::{Section, Value};
use crate::section::{Auth, Config};
use crate::value;

/// The directory of what must survive a restart: `server.state_dir`, else `$STATE_DIRECTORY`
/// (systemd's; its first entry), else `$XDG_STATE_HOME/corecast`, else
/// `$HOME/.local/state/corecast`. Nothing where none of them is set.
pub fn state_dir(config: &Config, environment: &[(String, String)]) -> Option<PathBuf> {
    let variable = |name: &str| {
        let found = environment.iter().find(|(known, _)| known == name);
        found
            .map(|(_, text)| text.as_str())
            .filter(|text| !text.is_empty())
    };
    if !config.server.state_dir.as_os_str().is_empty() {
        return Some(config.server.state_dir.clone());
    }
    let given = variable("STATE_DIRECTORY").and_then(|list| list.split(':').next());
    given
        .map(PathBuf::from)
        .or_else(|| variable("XDG_STATE_HOME").map(|home| PathBuf::from(home).join("corecast")))
        .or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".local/state/corecast")))
}

/// The name of the file in the state directory that keeps the passwords that were made.
pub const SECRETS_FILE: &str = "secrets.toml";

/// Characters of a password that was made: 5 random bits each.
const SECRET_CHARS: usize = 24;

/// Lower case and digits, without those that look alike.
const SECRET_ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A password that is made where the configuration has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secret {
    /// `auth.source_password`
    Source,
    /// `auth.admin_password`
    Admin,
}

impl Secret {
    /// Every one of them.
    pub const ALL: [Secret; 2] = [Secret::Source, Secret::Admin];

    /// Its key in `[auth]`, in the configuration and in the file of secrets.
    pub const fn key(self) -> &'static str {
        match self {
            Secret::Source => "source_password",
            Secret::Admin => "admin_password",
        }
    }

    fn of(self, auth: &Auth) -> &str {
        match self {
            Secret::Source => &auth.source_password,
            Secret::Admin => &auth.admin_password,
        }
    }

    fn of_mut(self, auth: &mut Auth) -> &mut String {
        match self {
            Secret::Source => &mut auth.source_password,
            Secret::Admin => &mut auth.admin_password,
        }
    }
}

/// The passwords that the configuration does not give.
pub fn missing_secrets(config: &Config) -> Vec<Secret> {
    Secret::ALL
        .into_iter()
        .filter(|secret| secret.of(&config.auth).is_empty())
        .collect()
}

/// The passwords that were made, as the file of secrets keeps them.
#[derive(Clone, Default, PartialEq)]
pub struct Secrets {
    /// Of which only the passwords are used.
    auth: Auth,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(..)")
    }
}

impl Secrets {
    /// Reads a file of secrets: `[auth]` with the two passwords or one of them.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(file: File<'_>) -> Result<Self, Vec<Fault>> {
        let mut draft = Draft::default();
        document::read(file, &mut draft);
        let known = Secret::ALL.map(|secret| format!("{}.{}", Auth::NAME, secret.key()));
        for (path, place) in draft
            .places
            .iter()
            .filter(|(path, _)| !known.contains(path))
        {
            draft.faults.push(place.fault(path, "does not belong here"));
        }
        if draft.faults.is_empty() {
            Ok(Secrets {
                auth: draft.config.auth,
            })
        } else {
            Err(draft.faults)
        }
    }

    /// The file of secrets; it must be readable for its owner only.
    pub fn render(&self) -> String {
        let mut text = format!(
            "# Passwords that corecast made because its configuration gives none.\n[{}]\n",
            Auth::NAME
        );
        for secret in Secret::ALL
            .into_iter()
            .filter(|secret| !secret.of(&self.auth).is_empty())
        {
            let password = value::shown(&Value::Text(secret.of(&self.auth).to_owned()));
            text.push_str(&format!("{} = {password}\n", secret.key()));
        }
        text
    }

    /// Makes the passwords that neither the configuration nor this gives. `random` fills a slice
    /// with random bytes. What comes back is new: to be kept, and shown once.
    pub fn complete(
        &mut self,
        config: &Config,
        mut random: impl FnMut(&mut [u8]),
    ) -> Vec<(Secret, String)> {
        let mut made = Vec::new();
        for secret in missing_secrets(config) {
            let password = secret.of_mut(&mut self.auth);
            if password.is_empty() {
                let mut bytes = [0; SECRET_CHARS];
                random(&mut bytes);
                let letter = |byte: u8| char::from(SECRET_ALPHABET[usize::from(byte % 32)]);
                *password = bytes.into_iter().map(letter).collect();
                made.push((secret, password.clone()));
            }
        }
        made
    }

    /// Gives the configuration the passwords that it lacks.
    pub fn apply(&self, config: &mut Config) {
        for secret in missing_secrets(config) {
            *secret.of_mut(&mut config.auth) = secret.of(&self.auth).to_owned();
        }
    }
}
