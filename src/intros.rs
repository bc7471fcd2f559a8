//! What new listeners hear first: files, read before a shard sees them.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use corecast_config::Config;
use corecast_media::intro::{INTRO_BYTES_MAX, Intro, Intros};
use corecast_protocol::intro::cut;

/// Reads the intros that the settings name. One that cannot be had is left out, with a warning:
/// its mounts go without.
pub(crate) fn read(config: &Config) -> Intros {
    let intros = files(config).filter_map(|file| match read_one(file) {
        Ok(intro) => {
            let (codec, lasts_ms) = (intro.codec(), intro.lasts().as_millis() as u64);
            tracing::info!(intro = %file.display(), %codec, lasts_ms, "intro read");
            Some((file.clone(), Arc::new(intro)))
        }
        Err(reason) => {
            tracing::warn!(intro = %file.display(), reason, "an intro is left out");
            None
        }
    });
    intros.collect()
}

/// What would be left out, one line each.
pub(crate) fn faults(config: &Config) -> Vec<String> {
    let faults = files(config).filter_map(|file| {
        let reason = read_one(file).err()?;
        Some(format!(
            "{}: an intro is left out: {reason}",
            file.display()
        ))
    });
    faults.collect()
}

/// Each file once.
fn files(config: &Config) -> impl Iterator<Item = &PathBuf> {
    let mounts = config.mounts.iter().map(|(_, mount)| mount);
    let named: BTreeSet<&PathBuf> = std::iter::once(&config.mount_defaults)
        .chain(mounts)
        .map(|mount| &mount.intro)
        .filter(|file| !file.as_os_str().is_empty())
        .collect();
    named.into_iter()
}

fn read_one(path: &Path) -> Result<Intro, String> {
    let told = |error: std::io::Error| error.to_string();
    // A pipe would keep us waiting for its writer.
    if !path.metadata().map_err(told)?.is_file() {
        return Err("it is no file".into());
    }
    let file = File::open(path).map_err(told)?;
    let mut bytes = Vec::new();
    let most = INTRO_BYTES_MAX as u64 + 1;
    file.take(most).read_to_end(&mut bytes).map_err(told)?;
    if bytes.len() > INTRO_BYTES_MAX {
        return Err(format!("it has more than {INTRO_BYTES_MAX} bytes"));
    }
    cut(&Bytes::from(bytes)).ok_or_else(|| "it is no MPEG audio, AAC in ADTS or Ogg".into())
}
