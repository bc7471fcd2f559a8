//! Relays on demand: a source that comes when it is wanted, or does not.

use std::time::Duration;

use corecast_config::Relay;
use corecast_media::name::{MountName, SessionId, ShardId};

use crate::dice::Dice;
use crate::world::{MOUNTS, World};

/// Some of the mounts are fed on demand; one of them stands nowhere else.
pub(crate) fn make_relays(dice: &mut Dice) -> Vec<Relay> {
    let fed = [MOUNTS[0], MOUNTS[2], MOUNTS[3]];
    let mut relays = Vec::new();
    for mount in fed {
        if dice.chance(25) {
            relays.push(Relay {
                mount: mount.to_owned(),
                url: "http://origin.example/".to_owned(),
                on_demand: true,
                wait_max: Duration::from_millis(*dice.pick(&[0, 600, 4_000])),
                ..Relay::default()
            });
        }
    }
    relays
}

impl World {
    /// What a relay does when `mount`, whose home is `shard`, is wanted.
    pub(crate) fn feed_wanted(&mut self, shard: ShardId, mount: MountName) {
        let fed = self.origins.iter().any(|origin| origin.mount == mount);
        if fed || self.draining || !self.dice.chance(60) {
            return;
        }
        self.sessions_made += 1;
        let session = SessionId::new(shard, self.sessions_made);
        self.start_origin_at(session, mount);
    }
}
