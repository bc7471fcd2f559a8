//! What a mount's settings come to at its home, when it starts and at a reload.

use std::sync::Arc;

use corecast_config::{Config, Latency, Mount as MountSettings};
use corecast_media::fanout::Socket;
use corecast_media::mount::Policy;
use corecast_media::name::MountName;
use corecast_media::time::Time;
use corecast_mesh::message::SourceInfo;
use corecast_protocol::intro::fits;

use super::Hub;
use super::outputs::info_of;

/// The part of a mount's settings that its home needs. What is written from tracks follows the
/// mount that it is written from, and is never later than live.
pub(super) fn policy(config: &Config, name: &MountName) -> Policy {
    let settings = config.mount(name.base());
    let fallback = MountName::parse(&settings.fallback).ok();
    let wait_max = settings.latency.wait_max();
    Policy {
        takeover: settings.takeover || name.output().is_some(),
        source_timeout: settings.source_timeout,
        fallback: match name.output() {
            Some(output) => fallback.map(|fallback| fallback.with_output(output)),
            None => fallback,
        },
        wait_max: match name.output() {
            Some(_) => wait_max.min(Latency::Live.wait_max()),
            None => wait_max,
        },
        quantum_bytes: settings.quantum_bytes,
        burst_bytes: settings.burst_bytes,
    }
}

/// What the source said, with the mount's own settings laid over it.
pub(super) fn laid_over(info: &SourceInfo, settings: &MountSettings) -> SourceInfo {
    let prefer = |own: &str, said: &Arc<str>| {
        if own.is_empty() {
            Arc::clone(said)
        } else {
            Arc::from(own)
        }
    };
    SourceInfo {
        name: prefer(&settings.stream_name, &info.name),
        description: prefer(&settings.description, &info.description),
        genre: prefer(&settings.genre, &info.genre),
        url: prefer(&settings.url, &info.url),
        ..info.clone()
    }
}

impl<S: Socket> Hub<S> {
    /// Says where the mount's source sends something else than its intro.
    pub(super) fn check_intro(&self, key: usize) {
        let home = &self.homes[key];
        let file = &self.config.mount(home.name.as_str()).intro;
        let (mount, content_type) = (&home.name, &home.mount.info().content_type);
        if home.mount.publisher().is_some()
            && home.name.output().is_none()
            && let Some(intro) = self.intros.from_file(file)
            && !fits(content_type, intro.codec())
        {
            let (intro, codec) = (file.display(), intro.codec());
            tracing::warn!(%mount, %content_type, %intro, %codec, "the intro is left out");
        }
    }

    /// Shows the present source as the settings want it now.
    fn show_anew(&mut self, key: usize) {
        let home = &mut self.homes[key];
        if home.written.is_some() || home.mount.publisher().is_none() {
            return;
        }
        let settings = self.config.mount(home.name.as_str());
        home.mount
            .set_info(Arc::new(laid_over(&home.said, settings)));
        let info = Arc::clone(home.mount.info());
        for key in home.tracks.outputs.clone() {
            let home = &mut self.homes[key];
            if let Some(output) = home.name.output() {
                home.mount.set_info(info_of(&info, output));
            }
        }
    }

    pub(super) fn reload_homes(&mut self, now: Time) {
        let keys: Vec<usize> = self.homes.iter().map(|(key, _)| key).collect();
        for key in keys {
            // One of them may be the last that needed another.
            let Some(home) = self.homes.get_mut(key) else {
                continue;
            };
            home.mount.set_policy(policy(&self.config, &home.name));
            self.show_anew(key);
            self.check_intro(key);
            self.reload_packaging(now, key);
            self.run_home(now, key, now);
        }
    }
}
