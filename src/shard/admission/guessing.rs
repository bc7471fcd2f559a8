//! Guessers of passwords: counted for the whole node, and locked out for a while.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use corecast_config::Config;
use corecast_mesh::lockout::{Lockout, LockoutLimits, Lockouts};

use super::Refused;
use crate::driver::Shard;
use crate::probe::Refusal;

/// What a password opens; each is counted alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Surface {
    /// Feeding a mount.
    Sources,
    /// Listening to one.
    Listeners,
    /// What control answers.
    Control,
}

impl Surface {
    fn of(self, lockouts: &Lockouts) -> &Lockout {
        match self {
            Surface::Sources => &lockouts.sources,
            Surface::Listeners => &lockouts.listeners,
            Surface::Control => &lockouts.control,
        }
    }
}

/// The refusal of an address that has failed too often.
pub(crate) fn locked_out(shard: &Shard, surface: Surface, ip: IpAddr) -> Option<Refused> {
    let limits = limits(&shard.config());
    let table = surface.of(&shard.seats.lockouts);
    let left_s = table.locked_s(ip, now_s(shard), limits)?;
    Some(Refused {
        extra: Some(("Retry-After", Cow::Owned(left_s.to_string()))),
        ..too_many()
    })
}

fn too_many() -> Refused {
    let text = "too many wrong passwords from your address";
    Refused::new(429, text, Refusal::LockedOut)
}

/// Counts a wrong password.
pub(crate) fn note_failure(shard: &Shard, surface: Surface, ip: IpAddr) {
    let config = shard.config();
    let locked = surface
        .of(&shard.seats.lockouts)
        .fail(ip, now_s(shard), limits(&config));
    if locked {
        let ip = corecast_config::shown_ip(ip, config.log.redact_ip);
        tracing::warn!(%ip, ?surface, "locked out after too many wrong passwords");
    }
}

/// Counts a password that was looked at, which may have `failed`. Where others of the address have
/// locked it out meanwhile, the peer is not told whether it did: who asks for many things at once
/// would else guess as often as it likes.
pub(crate) fn judge(shard: &Shard, surface: Surface, ip: IpAddr, failed: bool) -> Option<Refused> {
    let refused = locked_out(shard, surface, ip);
    if refused.is_none() && failed {
        note_failure(shard, surface, ip);
    }
    refused
}

fn limits(config: &Config) -> LockoutLimits {
    let seconds = |span: Duration| u32::try_from(span.as_secs()).unwrap_or(u32::MAX);
    LockoutLimits {
        failures_max: u8::try_from(config.limits.auth_failures_max).unwrap_or(u8::MAX),
        window_s: seconds(config.limits.auth_window),
        lockout_s: seconds(config.limits.auth_lockout),
    }
}

fn now_s(shard: &Shard) -> u32 {
    u32::try_from(shard.now().as_millis() / 1_000).unwrap_or(u32::MAX)
}
