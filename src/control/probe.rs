//! What the control plane counts.

use corecast_telemetry::metric::{Counter, Family, Gauge};
use corecast_telemetry::probe;

use crate::audience::agent::CLASSES;

/// Classes of status codes.
const STATUSES: &[&str] = &["2xx", "3xx", "4xx", "5xx"];

/// What may come of a hook's call.
const HOOK_RESULTS: &[&str] = &["allowed", "denied", "told", "late", "failed", "crowded"];

/// What may come of a directory's call.
const DIRECTORY_RESULTS: &[&str] = &["added", "touched", "removed", "refused", "late", "failed"];

/// What may come of asking a master for its list.
const LIST_RESULTS: &[&str] = &["taken", "refused", "nonsense", "late", "failed"];

/// What may come of an order of a certificate.
const ORDER_RESULTS: &[&str] = &["obtained", "unproven", "limited", "refused", "failed"];

probe! {
    /// What the control plane counts; written by its thread only.
    pub struct ControlProbe {
        /// Requests that control answered, by the class of the status.
        answered: Family<Counter> = "corecast_control_requests_total" by "status" in STATUSES;
        /// Requests that control has in work now.
        in_work: Gauge = "corecast_control_requests_in_work";
        /// Request handlers that panicked, each a fault of the server.
        panics: Counter = "corecast_control_panics_total";
        /// Times that control asked the shards for their state.
        queries: Counter = "corecast_control_queries_total";
        /// Answers of shards that did not come in time, summed over queries.
        missing: Counter = "corecast_control_answers_missing_total";
        /// Messages to shards that wait for room in a ring.
        waiting: Gauge = "corecast_control_messages_waiting";
        /// Lines given to the access log.
        access_lines: Counter = "corecast_access_log_lines_total";
        /// Lines that the access log lost because its disk was too slow.
        access_lost: Counter = "corecast_access_log_lost_total";
        /// Viewers of HLS without a line, since too many were there at once.
        viewers_untold: Counter = "corecast_viewers_untold_total";
        /// Log lines about one peer that were left out because there were too many.
        hushed: Counter = "corecast_log_lines_suppressed_total";
        /// Visits of listeners that ended, by kind of player; a player that looks at a stream and
        /// opens it again is one visit.
        visits: Family<Counter> = "corecast_listener_visits_total" by "agent" in CLASSES;
        /// Seconds that these listeners heard.
        listened: Counter = "corecast_listened_seconds_total";
        /// Events that the feed told.
        feed_events: Counter = "corecast_feed_events_total";
        /// Watchers of the feed that did not keep up and were let go.
        feed_slow: Counter = "corecast_feed_slow_total";
        /// Recordings that are being written now.
        recordings: Gauge = "corecast_recordings";
        /// Files that recordings began.
        recorded_files: Counter = "corecast_recording_files_total";
        /// Bytes of recordings that are in their files.
        recorded_bytes: Counter = "corecast_recording_bytes_total";
        /// Pieces of recordings that were lost: the disk is full, slow or refused the file.
        recording_lost: Counter = "corecast_recording_pieces_lost_total";
        /// Calls of hooks, by what came of them.
        hook_calls: Family<Counter> = "corecast_hook_calls_total" by "result" in HOOK_RESULTS;
        /// Calls of directories, by what came of them.
        directory_calls: Family<Counter> =
            "corecast_directory_calls_total" by "result" in DIRECTORY_RESULTS;
        /// Times that masters were asked for their lists, by what came of it.
        master_lists: Family<Counter> = "corecast_master_lists_total" by "result" in LIST_RESULTS;
        /// Times that certificates were read again and came into force.
        tls_reloads: Counter = "corecast_tls_reloads_total";
        /// Times that certificates could not be used and those from before stayed in force.
        tls_reloads_failed: Counter = "corecast_tls_reloads_failed_total";
        /// Seconds until the first of the certificates in force expires; 0 once one has, or where
        /// there is none.
        tls_expiry: Gauge = "corecast_tls_certificate_expiry_seconds";
        /// Orders of certificates by ACME, by what came of them.
        acme_orders: Family<Counter> =
            "corecast_acme_orders_total" by "result" in ORDER_RESULTS;
        /// Certificates whose last order by ACME brought none; what was in force still is.
        acme_failing: Gauge = "corecast_acme_certificates_failing";
        /// Seconds since the server started.
        uptime: Gauge = "corecast_uptime_seconds";
    }
}

impl ControlProbe {
    /// Counts an answer.
    pub(crate) fn count_answer(&self, status: u16) {
        self.answered
            .at(usize::from(status / 100).saturating_sub(2))
            .add(1);
    }
}
