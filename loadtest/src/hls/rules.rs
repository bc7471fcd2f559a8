//! The rules of low-latency HLS (draft-pantos-hls-rfc8216bis and Apple's profile of it), each as
//! one function over what was seen.

mod parts;
mod reload;
mod renditions;
mod shape;
mod transport;
mod window;

use super::findings::Check::{By, Nobody};
use super::findings::Level::{Must, Project, Should};
use super::findings::Rule;

/// One row of the table.
macro_rules! rule {
    ($level:ident, $module:ident :: $name:ident, $wanted:literal) => {
        Rule {
            name: stringify!($name),
            level: $level,
            check: By($module::$name, $wanted),
        }
    };
}

/// All rules in the order of their numbers.
pub(crate) const RULES: &[Rule] = &[
    rule!(Must, shape::rule_01_text, "a playlist"),
    rule!(Should, shape::rule_02_version, "a playlist"),
    rule!(Must, shape::rule_03_target_duration, "a playlist"),
    rule!(Must, window::rule_04_media_sequence, "two states of a list"),
    rule!(Must, window::rule_05_unchanged, "a segment"),
    rule!(Must, window::rule_06_removal, "two states of a list"),
    rule!(Must, window::rule_07_removed_segments, "a removed segment"),
    rule!(
        Must,
        window::rule_08_discontinuity_sequence,
        "two states of a list"
    ),
    rule!(Must, renditions::rule_09_discontinuities, "two segments"),
    rule!(Should, renditions::rule_10_gaps, "an outage of the source"),
    rule!(Must, window::rule_11_segments_in_time, "three new segments"),
    rule!(Must, window::rule_12_parts_in_time, "two new parts"),
    rule!(Must, parts::rule_13_fetchable, "a fetched segment"),
    rule!(Must, reload::rule_14_versions, "a playlist"),
    rule!(Must, shape::rule_15_type_and_end, "a playlist"),
    rule!(Must, shape::rule_16_part_target, "a part"),
    rule!(Must, shape::rule_17_short_parts, "two parts of a segment"),
    rule!(
        Must,
        parts::rule_18_parts_make_segments,
        "a segment with parts"
    ),
    rule!(Must, parts::rule_19_independent, "a fetched part"),
    rule!(Should, window::rule_20_old_parts, "a removed part"),
    rule!(Project, parts::rule_21_content_length, "a fetched part"),
    rule!(Must, shape::rule_22_server_control, "a playlist"),
    rule!(Must, shape::rule_23_hold_back, "HOLD-BACK"),
    rule!(Must, shape::rule_24_part_hold_back, "PART-INF"),
    rule!(Must, shape::rule_25_skip_until, "CAN-SKIP-UNTIL"),
    rule!(Must, reload::rule_26_deltas, "a delta"),
    rule!(
        Must,
        reload::rule_27_delta_tags,
        "a delta and its whole list"
    ),
    rule!(
        Must,
        reload::rule_28_no_skip,
        "a list that cannot be skipped, or has ended"
    ),
    rule!(
        Project,
        reload::rule_29_unknown_skip,
        "a request for an unknown skip"
    ),
    rule!(
        Must,
        reload::rule_30_whole_segment,
        "a blocked request for a segment"
    ),
    rule!(Must, reload::rule_31_part, "a blocked request for a part"),
    rule!(
        Must,
        reload::rule_32_past_the_last_part,
        "a request past the last part"
    ),
    rule!(
        Must,
        reload::rule_33_slid_out,
        "a request for a removed segment"
    ),
    rule!(Must, reload::rule_34_part_without_msn, "such a request"),
    rule!(Should, reload::rule_35_too_far, "such a request"),
    rule!(Project, reload::rule_36_bad_directives, "such a request"),
    rule!(Should, reload::rule_37_stall, "a stalled source"),
    rule!(Must, reload::rule_38_end, "the end of the stream"),
    rule!(
        Project,
        reload::rule_39_release,
        "a hinted part and a blocked request for it"
    ),
    Rule {
        name: "rule_40_abort",
        level: Project,
        check: Nobody("open files of the server's process: ./x load soak, and the simulation"),
    },
    rule!(Should, parts::rule_41_preload_hint, "a playlist"),
    rule!(Must, parts::rule_42_hinted_parts, "a hinted part"),
    rule!(
        Should,
        parts::rule_43_dropped_hints,
        "a request for no part"
    ),
    rule!(
        Must,
        renditions::rule_44_rendition_reports,
        "two renditions"
    ),
    rule!(Must, renditions::rule_45_dates, "a segment"),
    rule!(Must, renditions::rule_46_alignment, "two renditions"),
    rule!(
        Must,
        renditions::rule_47_multivariant,
        "the multivariant playlist"
    ),
    rule!(
        Must,
        renditions::rule_48_maps_and_times,
        "a fetched segment"
    ),
    rule!(Should, transport::rule_49_gzip, "a playlist"),
    rule!(Should, transport::rule_50_cache, "an answer"),
    rule!(Project, transport::rule_51_etag, "a playlist with an ETag"),
    rule!(Project, transport::rule_52_cross_origin, "an answer"),
    rule!(Project, transport::rule_53_ranges, "a request for a range"),
    rule!(Project, transport::rule_54_head, "a HEAD request"),
    rule!(Project, transport::rule_55_date, "an answer"),
    Rule {
        name: "rule_56_http2",
        level: Should,
        check: Nobody("HTTP/2 on one connection; this speaks HTTP/1.1"),
    },
    rule!(Must, window::rule_57_dateranges, "a date range"),
    rule!(Project, transport::rule_58_token, "a playlist with a token"),
];
