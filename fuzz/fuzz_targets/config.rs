//! Any text is a configuration or a list of faults; a configuration prints as itself.
#![no_main]

use corecast_config::{Config, File, Sources, diff, load, reference};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let file = Some(File {
        name: "fuzz.toml",
        text,
    });
    match load(Sources {
        file,
        ..Sources::default()
    }) {
        Ok(loaded) => {
            let printed = reference::effective(&loaded);
            let file = Some(File {
                name: "printed.toml",
                text: &printed,
            });
            let again = load(Sources {
                file,
                ..Sources::default()
            });
            let again = again.expect("what is in effect has no faults").config;
            assert_eq!(
                diff(&without_secrets(loaded.config), &without_secrets(again)),
                []
            );
        }
        Err(faults) => {
            assert!(!faults.is_empty());
            let lines = text.split('\n').count();
            assert!(
                faults
                    .iter()
                    .all(|fault| fault.line <= lines && !fault.message.is_empty())
            );
        }
    }
});

/// Secrets are not printed.
fn without_secrets(mut config: Config) -> Config {
    config.auth.source_password.clear();
    config.auth.admin_password.clear();
    config.auth.relay_password.clear();
    let mut mounts: Vec<_> = config.mounts.iter().cloned().collect();
    let each = mounts.iter_mut().map(|(_, mount)| mount);
    for mount in each.chain([&mut config.mount_defaults]) {
        mount.password.clear();
        mount.hook_password.clear();
    }
    config.mounts = mounts.into();
    for relay in &mut config.relays {
        relay.password.clear();
    }
    for master in &mut config.masters {
        master.password.clear();
    }
    config
}
