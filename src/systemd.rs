//! What the service manager is told; nothing at all where none listens.

use std::time::Duration;

use sd_notify::NotifyState;

/// The server takes connections.
pub(crate) fn ready(status: &str) {
    notify(&[
        NotifyState::Ready,
        NotifyState::MainPid(std::process::id()),
        NotifyState::Status(status),
    ]);
}

/// New settings are being read; [`ready`] ends it.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "read the monotonic clock for the service manager"),
    }
}

/// The server ends. The manager waits `grace` for it.
pub(crate) fn stopping(grace: Duration) {
    let grace_us = u32::try_from(grace.as_micros()).unwrap_or(u32::MAX);
    notify(&[
        NotifyState::Stopping,
        NotifyState::ExtendTimeoutUsec(grace_us),
    ]);
}

/// One line for `systemctl status`.
pub(crate) fn status(line: &str) {
    notify(&[NotifyState::Status(line)]);
}

/// The server makes progress.
pub(crate) fn watchdog() {
    notify(&[NotifyState::Watchdog]);
}

/// How long the manager waits for [`watchdog`], if it does.
pub(crate) fn watchdog_wait() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|wait| !wait.is_zero())
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "tell the service manager");
    }
}
