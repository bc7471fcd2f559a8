//! What the data plane counts, one probe for each shard.

use corecast_mesh::message::EndReason;
use corecast_telemetry::metric::{Buckets, Counter, Family, Gauge, Histogram};
use corecast_telemetry::probe;

use crate::hub::HubCounts;
use crate::net::backend::ResolvedBackend;

/// Lateness of the canary, in microseconds.
const STALL: Buckets = Buckets::micros(&[
    500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 250_000, 1_000_000,
]);

/// Every [`EndReason`], in the order of [`reason_index`].
const REASONS: &[&str] = &[
    "peer_closed",
    "peer_reset",
    "timeout",
    "too_slow",
    "source_gone",
    "taken_over",
    "malformed",
    "killed",
    "drained",
    "time_limit",
    "internal",
];

/// What a request was for.
const REQUEST_KINDS: &[&str] = &["source", "listener", "control", "malformed", "hls"];

/// Why a connection or session was refused.
const REFUSALS: &[&str] = &[
    "connections_max",
    "unauthorized",
    "not_found",
    "no_source",
    "full",
    "in_use",
    "draining",
    "barred",
    "locked_out",
];

/// What was lost or put off because a ring was full.
const RINGS: &[&str] = &["shard", "control"];

/// Why units of a publisher were left out.
const UNITS_LEFT_OUT: &[&str] = &["unconfigured", "damaged"];

/// Engines, in the order of [`backend_index`].
const BACKENDS: &[&str] = &["io_uring", "epoll"];

/// What a request was for, as a place in its family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestKind {
    Source = 0,
    Listener = 1,
    Control = 2,
    Malformed = 3,
    Hls = 4,
}

/// Why somebody was refused, as a place in its family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    ConnectionsMax = 0,
    Unauthorized = 1,
    NotFound = 2,
    NoSource = 3,
    Full = 4,
    InUse = 5,
    Draining = 6,
    Barred = 7,
    LockedOut = 8,
}

/// Why a publisher's unit was left out, as a place in its family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeftOut {
    Unconfigured = 0,
    Damaged = 1,
}

/// Which ring was full, as a place in its family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FullRing {
    Shard = 0,
    Control = 1,
}

probe! {
    /// What a shard counts.
    pub struct ShardProbe {
        /// Connections that were accepted.
        connections_accepted: Counter = "corecast_connections_accepted_total";
        /// Accepts that failed (no file descriptor, or the peer was gone).
        accepts_failed: Counter = "corecast_accepts_failed_total";
        /// TLS handshakes over TCP that came to nothing.
        handshakes_failed: Counter = "corecast_tls_handshakes_failed_total";
        /// Connections that are open now.
        connections: Gauge = "corecast_connections";
        /// Connections and sessions that were refused, by reason.
        refused: Family<Counter> = "corecast_refused_total" by "reason" in REFUSALS;
        /// Requests, by what they were for.
        requests: Family<Counter> = "corecast_requests_total" by "kind" in REQUEST_KINDS;
        /// Bytes of media received from sources.
        source_bytes: Counter = "corecast_source_bytes_total";
        /// Units of RTMP publishers that were left out: their decoder configuration had not come,
        /// or they could not be read.
        units_left_out: Family<Counter> =
            "corecast_units_left_out_total" by "reason" in UNITS_LEFT_OUT;
        /// Bytes sent to listeners, heads and ICY blocks included.
        listener_bytes: Counter = "corecast_listener_bytes_total";
        /// Sends to listeners.
        sends: Counter = "corecast_listener_sends_total";
        /// Sends that the peer's window cut short.
        sends_short: Counter = "corecast_listener_sends_short_total";
        /// Slow listeners that skipped to the live edge.
        skips: Counter = "corecast_listener_skips_total";
        /// Runs that a congested ring kept from a shard with readers.
        runs_dropped: Counter = "corecast_runs_dropped_total";
        /// Frames that a congested ring kept from a mount's home.
        frames_dropped: Counter = "corecast_frames_dropped_total";
        /// Listeners that became steady.
        listeners_started: Counter = "corecast_listeners_started_total";
        /// Listeners of whose start the feed of events was not told: too many came at once.
        starts_untold: Counter = "corecast_listener_starts_untold_total";
        /// Listeners that are steady now.
        listeners: Gauge = "corecast_listeners";
        /// Listeners that ended, by reason.
        listeners_ended: Family<Counter> = "corecast_listeners_ended_total" by "reason" in REASONS;
        /// Sources that ended, by reason.
        sources_ended: Family<Counter> = "corecast_sources_ended_total" by "reason" in REASONS;
        /// Sources that feed a mount now.
        sources: Gauge = "corecast_sources";
        /// Playlists of HLS that packagers of this shard rendered: each once for the whole node.
        hls_rendered: Counter = "corecast_hls_rendered_total";
        /// Requests for HLS that had to wait for what they asked for.
        hls_blocked: Counter = "corecast_hls_blocked_total";
        /// Requests for HLS that wait now.
        hls_waiting: Gauge = "corecast_hls_waiting";
        /// Bytes of HLS sent, heads included.
        hls_bytes: Counter = "corecast_hls_bytes_total";
        /// Streams of other servers that began to feed a mount.
        relays_started: Counter = "corecast_relays_started_total";
        /// Messages that met a full ring; those to shards wait, events for control are dropped.
        ring_full: Family<Counter> = "corecast_ring_full_total" by "ring" in RINGS;
        /// Requests that control did not answer in time.
        control_late: Counter = "corecast_control_late_total";
        /// Connections of QUIC that are open now, handshakes among them.
        quic_connections: Gauge = "corecast_quic_connections";
        /// Packets of QUIC, those received together counted once, that came to another shard than
        /// that of their connection.
        quic_crossings: Counter = "corecast_quic_crossings_total";
        /// Clients of QUIC that were told to show that they live where they say.
        quic_retries: Counter = "corecast_quic_retries_total";
        /// Clients that were told that nobody knows their connection of QUIC any more.
        quic_resets: Counter = "corecast_quic_resets_total";
        /// Tasks that panicked; each ended one session.
        panics: Counter = "corecast_task_panics_total";
        /// How late the shard's canary timer was.
        stall: Histogram = "corecast_shard_stall_seconds", buckets STALL;
        /// Shards by the I/O engine they run on.
        backend: Family<Gauge> = "corecast_shards" by "backend" in BACKENDS;
    }
}

impl ShardProbe {
    /// Takes over what the hub counts itself.
    pub(crate) fn take_over(&self, counts: &HubCounts) {
        self.listener_bytes.store(counts.tally.bytes);
        self.sends.store(counts.tally.sends);
        self.sends_short.store(counts.tally.short_sends);
        self.skips.store(counts.tally.skips);
        self.runs_dropped.store(counts.runs_dropped);
        self.frames_dropped.store(counts.frames_dropped);
        self.hls_rendered.store(counts.hls_rendered);
        self.hls_blocked.store(counts.hls_blocked);
        self.hls_waiting.set(counts.hls_waiting as i64);
    }
}

/// The place of `reason` in its families.
pub(crate) fn reason_index(reason: EndReason) -> usize {
    match reason {
        EndReason::PeerClosed => 0,
        EndReason::PeerReset => 1,
        EndReason::Timeout => 2,
        EndReason::TooSlow => 3,
        EndReason::SourceGone => 4,
        EndReason::TakenOver => 5,
        EndReason::Malformed => 6,
        EndReason::Killed => 7,
        EndReason::Drained => 8,
        EndReason::TimeLimit => 9,
        EndReason::Internal => 10,
    }
}

/// The place of `backend` in its family.
pub(crate) fn backend_index(backend: ResolvedBackend) -> usize {
    match backend {
        ResolvedBackend::IoUring => 0,
        ResolvedBackend::Epoll => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_counts_under_its_own_name() {
        let reasons = [
            EndReason::PeerClosed,
            EndReason::PeerReset,
            EndReason::Timeout,
            EndReason::TooSlow,
            EndReason::SourceGone,
            EndReason::TakenOver,
            EndReason::Malformed,
            EndReason::Killed,
            EndReason::Drained,
            EndReason::TimeLimit,
            EndReason::Internal,
        ];
        assert_eq!(reasons.len(), REASONS.len());
        for reason in reasons {
            assert_eq!(REASONS.get(reason_index(reason)), Some(&reason.name()));
        }
        for backend in [ResolvedBackend::IoUring, ResolvedBackend::Epoll] {
            assert_eq!(BACKENDS[backend_index(backend)], backend.to_string());
        }
    }
}
