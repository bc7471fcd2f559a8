//! How many shards there are, and which one is a mount's home.

use corecast_media::name::{MountName, ShardId};

/// The shards of one node. Every plane has the same copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topology {
    shards: u16,
}

/// The most shards of one node.
pub const SHARDS_MAX: u16 = 256;

impl Topology {
    /// A node of `shards` shards; 1 to [`SHARDS_MAX`].
    pub const fn new(shards: u16) -> Self {
        assert!(
            shards >= 1 && shards <= SHARDS_MAX,
            "a node has 1 to 256 shards"
        );
        Topology { shards }
    }

    /// How many shards there are.
    pub const fn shards(self) -> u16 {
        self.shards
    }

    /// Every shard, in order.
    pub fn ids(self) -> impl Iterator<Item = ShardId> {
        (0..self.shards).map(ShardId)
    }

    /// The home of `mount`: the shard with the highest hash of (shard, name), so that a change
    /// of the number of shards moves as few mounts as can be (rendezvous hashing). What is
    /// written from a mount's tracks is at home where the mount is.
    pub fn home(self, mount: &MountName) -> ShardId {
        let name = fnv1a(mount.base().as_bytes());
        let weight = |shard: &ShardId| mix(name ^ mix(u64::from(shard.0) + 1));
        self.ids().max_by_key(weight).unwrap_or_default()
    }
}

/// FNV-1a, 64 bits: the same on every node and in every version.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// The finisher of SplitMix64: every bit of the input moves every bit of the output.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<MountName> {
        (0..1_000)
            .map(|i| MountName::parse(&format!("/m{i}")).expect("a good name"))
            .collect()
    }

    #[test]
    fn homes_are_spread_and_few_move_when_a_shard_is_added() {
        let (four, five) = (Topology::new(4), Topology::new(5));
        let mut per_shard = [0u32; 4];
        let mut moved = 0;
        for name in names() {
            per_shard[four.home(&name).index()] += 1;
            moved += u32::from(four.home(&name) != five.home(&name));
        }
        assert!(
            per_shard.iter().all(|n| (200..300).contains(n)),
            "{per_shard:?}"
        );
        assert!(
            (150..250).contains(&moved),
            "about a fifth of 1,000 moves, not {moved}"
        );
    }
}
