//! Passwords that nobody chose: made at the first start, shown once, kept in the state directory.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use corecast_config::{Config, SECRETS_FILE, Secret, Secrets, missing_secrets};
use corecast_control::write_private;

/// A password made now.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) struct Made {
    /// The user that it belongs to.
    pub user: String,
    /// The password.
    pub password: String,
}

/// Fills in the passwords that the settings leave empty: those kept in the state directory, else
/// new ones, which are kept there first.
///
/// # Errors
/// The state directory or its file cannot be read or written, one line each.
pub(crate) fn complete(
    config: &mut Config,
    state_dir: Option<&Path>,
) -> Result<Vec<Made>, Vec<String>> {
    if missing_secrets(config).is_empty() {
        return Ok(Vec::new());
    }
    let Some(state_dir) = state_dir else {
        return Err(vec![
            "server.state_dir: no directory for the passwords to be made: none of \
             $STATE_DIRECTORY, $XDG_STATE_HOME and $HOME is set"
                .into(),
        ]);
    };
    let path = state_dir.join(SECRETS_FILE);
    let one = |error: io::Error| vec![format!("{}: {error}", path.display())];
    let mut secrets = read(&path)
        .map_err(one)?
        .map_or(Ok(Secrets::default()), |text| {
            let file = corecast_config::File {
                name: &path.to_string_lossy(),
                text: &text,
            };
            let lines = |faults: Vec<_>| faults.iter().map(ToString::to_string).collect::<Vec<_>>();
            Secrets::parse(file).map_err(lines)
        })?;
    let mut random = Ok(());
    let made = secrets.complete(config, |bytes| {
        if let Err(error) = getrandom::fill(bytes) {
            random = Err(io::Error::other(error.to_string()));
        }
    });
    random.map_err(one)?;
    if !made.is_empty() {
        write_private(&path, secrets.render().as_bytes()).map_err(one)?;
    }
    secrets.apply(config);
    let user = |secret| match secret {
        Secret::Source => "source".to_owned(),
        Secret::Admin => config.auth.admin_user.clone(),
    };
    let made = made.into_iter();
    Ok(made
        .map(|(secret, password)| Made {
            user: user(secret),
            password,
        })
        .collect())
}

/// What people see once.
pub(crate) fn announcement(made: &[Made], state_dir: &Path) -> String {
    let mut text = format!(
        "\nPasswords were made for this server. They are shown once and kept in\n{}\n\n",
        state_dir.join(SECRETS_FILE).display()
    );
    for Made { user, password } in made {
        text += &format!("  user {user:<8} password {password}\n");
    }
    text.push('\n');
    text
}

fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::env;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    /// A directory that is gone after the test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let id = std::process::id();
            let path = env::temp_dir().join(format!("corecast-secrets-{name}-{id}"));
            let _ = fs::remove_dir_all(&path);
            Scratch(path)
        }

        fn mode(&self, file: &str) -> u32 {
            let path = self.0.join(file);
            fs::metadata(path).expect("it exists").permissions().mode() & 0o777
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn passwords_are_made_once_and_read_afterwards() {
        let scratch = Scratch::new("once");
        let state = scratch.0.join("state");
        let mut first = Config::default();
        let made = complete(&mut first, Some(&state)).expect("a directory that can be made");
        let users: Vec<&str> = made.iter().map(|made| made.user.as_str()).collect();
        assert_eq!(users, ["source", first.auth.admin_user.as_str()]);
        assert_eq!(made[0].password, first.auth.source_password);
        assert_eq!(made[1].password, first.auth.admin_password);
        assert!(made[0].password != made[1].password && made[0].password.len() >= 20);
        assert_eq!(
            (scratch.mode("state"), scratch.mode("state/secrets.toml")),
            (0o700, 0o600)
        );

        let mut second = Config::default();
        assert_eq!(complete(&mut second, Some(&state)), Ok(Vec::new()));
        assert_eq!(second.auth, first.auth);
        let shown = announcement(&made, &state);
        assert!(
            made.iter().all(|made| shown.contains(&made.password)),
            "{shown}"
        );
    }

    #[test]
    fn only_what_the_settings_leave_empty_is_made() {
        let scratch = Scratch::new("partly");
        let mut config = Config::default();
        config.auth.source_password = "chosen".into();
        let made = complete(&mut config, Some(&scratch.0)).expect("a writable directory");
        assert_eq!(made.len(), 1);
        assert_eq!(config.auth.source_password, "chosen");
        let file = fs::read_to_string(scratch.0.join(SECRETS_FILE)).expect("written");
        assert!(
            !file.contains("chosen") && !file.contains("source_password"),
            "{file}"
        );

        config.auth.admin_password = "chosen too".into();
        assert_eq!(
            complete(&mut config, None),
            Ok(Vec::new()),
            "needs no directory at all"
        );
    }

    #[test]
    fn a_file_that_cannot_be_used_is_a_fault_and_is_left_alone() {
        let scratch = Scratch::new("broken");
        fs::create_dir_all(&scratch.0).expect("a scratch directory");
        fs::write(scratch.0.join(SECRETS_FILE), "source_password = ").expect("written");
        let faults = complete(&mut Config::default(), Some(&scratch.0)).expect_err("no TOML");
        assert!(
            faults.iter().all(|fault| fault.contains(SECRETS_FILE)),
            "{faults:?}"
        );
        let left = fs::read_to_string(scratch.0.join(SECRETS_FILE)).expect("still there");
        assert_eq!(left, "source_password = ");
        assert!(
            complete(&mut Config::default(), None).is_err(),
            "no directory"
        );
    }
}
