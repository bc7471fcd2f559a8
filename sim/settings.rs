//! Settings as an operator might have them.

use std::time::Duration;

use corecast_config::{Config, HlsMode, Latency, Mount, SlowReader};

use crate::dice::Dice;
use crate::film::FILMS;
use crate::world::MOUNTS;
use crate::{intro, relay};

/// A chain of fallbacks, a dynamic mount, and relays.
pub(crate) fn make_config(dice: &mut Dice, hls_segment: Duration) -> Config {
    let mut config = Config::default();
    let mut mount = |fallback: &str| Mount {
        takeover: dice.chance(30),
        source_timeout: Duration::from_millis(*dice.pick(&[0, 500, 4_000])),
        fallback: if dice.chance(70) {
            fallback.to_owned()
        } else {
            String::new()
        },
        fallback_return: dice.chance(60),
        listeners_max: *dice.pick(&[0, 0, 5, 30]) as u32,
        latency: *dice.pick(&[
            Latency::Radio,
            Latency::Radio,
            Latency::Live,
            Latency::Instant,
        ]),
        quantum_bytes: *dice.pick(&[0, 0, 1_400]),
        burst_bytes: *dice.pick(&[0, 0, 64_000]),
        slow_reader_budget: Duration::from_millis(*dice.pick(&[3_000, 15_000])),
        slow_reader: *dice.pick(&[SlowReader::Skip, SlowReader::Drop]),
        metaint_bytes: *dice.pick(&[16_000, 1_000]),
        intro: intro::some_file(dice),
        hls: match dice.below(40) {
            0 => HlsMode::Off,
            1..=8 => HlsMode::Always,
            _ => HlsMode::OnDemand,
        },
        hls_segment,
        hls_part: Duration::from_millis(*dice.pick(&[100, 200, 500])),
        hls_window: Duration::from_millis(*dice.pick(&[10_000, 30_000])),
        ..Mount::default()
    };
    config.mounts = vec![
        (MOUNTS[0].to_owned(), mount(MOUNTS[1])),
        (MOUNTS[1].to_owned(), mount(MOUNTS[2])),
        (MOUNTS[2].to_owned(), mount("")),
        (FILMS[0].to_owned(), mount(FILMS[1])),
        (FILMS[1].to_owned(), mount("")),
    ]
    .into();
    config.mount_defaults = mount("");
    config.relays = relay::make_relays(dice);
    config
}
