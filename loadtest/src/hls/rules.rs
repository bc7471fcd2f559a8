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
    ($number:literal, $level:ident, $module:ident :: $name:ident, $wanted:literal) => {
        Rule {
            number: $number,
            name: stringify!($name),
            level: $level,
            check: By($module::$name, $wanted),
        }
    };
}

/// All rules in the order of their numbers.
pub(crate) const RULES: &[Rule] = &[
    rule!(1, Must, shape::rule_01_text, "a playlist"),
    rule!(2, Should, shape::rule_02_version, "a playlist"),
    rule!(3, Must, shape::rule_03_target_duration, "a playlist"),
    rule!(
        4,
        Must,
        window::rule_04_media_sequence,
        "two states of a list"
    ),
    rule!(5, Must, window::rule_05_unchanged, "a segment"),
    rule!(6, Must, window::rule_06_removal, "two states of a list"),
    rule!(
        7,
        Must,
        window::rule_07_removed_segments,
        "a removed segment"
    ),
    rule!(
        8,
        Must,
        window::rule_08_discontinuity_sequence,
        "two states of a list"
    ),
    rule!(9, Must, renditions::rule_09_discontinuities, "two segments"),
    rule!(
        10,
        Should,
        renditions::rule_10_gaps,
        "an outage of the source"
    ),
    rule!(
        11,
        Must,
        window::rule_11_segments_in_time,
        "three new segments"
    ),
    rule!(12, Must, window::rule_12_parts_in_time, "two new parts"),
    rule!(13, Must, parts::rule_13_fetchable, "a fetched segment"),
    rule!(14, Must, reload::rule_14_versions, "a playlist"),
    rule!(15, Must, shape::rule_15_type_and_end, "a playlist"),
    rule!(16, Must, shape::rule_16_part_target, "a part"),
    rule!(
        17,
        Must,
        shape::rule_17_short_parts,
        "two parts of a segment"
    ),
    rule!(
        18,
        Must,
        parts::rule_18_parts_make_segments,
        "a segment with parts"
    ),
    rule!(19, Must, parts::rule_19_independent, "a fetched part"),
    rule!(20, Should, window::rule_20_old_parts, "a removed part"),
    rule!(21, Project, parts::rule_21_content_length, "a fetched part"),
    rule!(22, Must, shape::rule_22_server_control, "a playlist"),
    rule!(23, Must, shape::rule_23_hold_back, "HOLD-BACK"),
    rule!(24, Must, shape::rule_24_part_hold_back, "PART-INF"),
    rule!(25, Must, shape::rule_25_skip_until, "CAN-SKIP-UNTIL"),
    rule!(26, Must, reload::rule_26_deltas, "a delta"),
    rule!(
        27,
        Must,
        reload::rule_27_delta_tags,
        "a delta and its whole list"
    ),
    rule!(
        28,
        Must,
        reload::rule_28_no_skip,
        "a list that cannot be skipped, or has ended"
    ),
    rule!(
        29,
        Project,
        reload::rule_29_unknown_skip,
        "a request for an unknown skip"
    ),
    rule!(
        30,
        Must,
        reload::rule_30_whole_segment,
        "a blocked request for a segment"
    ),
    rule!(
        31,
        Must,
        reload::rule_31_part,
        "a blocked request for a part"
    ),
    rule!(
        32,
        Must,
        reload::rule_32_past_the_last_part,
        "a request past the last part"
    ),
    rule!(
        33,
        Must,
        reload::rule_33_slid_out,
        "a request for a removed segment"
    ),
    rule!(34, Must, reload::rule_34_part_without_msn, "such a request"),
    rule!(35, Should, reload::rule_35_too_far, "such a request"),
    rule!(
        36,
        Project,
        reload::rule_36_bad_directives,
        "such a request"
    ),
    rule!(37, Should, reload::rule_37_stall, "a stalled source"),
    rule!(38, Must, reload::rule_38_end, "the end of the stream"),
    rule!(
        39,
        Project,
        reload::rule_39_release,
        "a hinted part and a blocked request for it"
    ),
    Rule {
        number: 40,
        name: "rule_40_abort",
        level: Project,
        check: Nobody("open files of the server's process: ./x load soak, and the simulation"),
    },
    rule!(41, Should, parts::rule_41_preload_hint, "a playlist"),
    rule!(42, Must, parts::rule_42_hinted_parts, "a hinted part"),
    rule!(
        43,
        Should,
        parts::rule_43_dropped_hints,
        "a request for no part"
    ),
    rule!(
        44,
        Must,
        renditions::rule_44_rendition_reports,
        "two renditions"
    ),
    rule!(45, Must, renditions::rule_45_dates, "a segment"),
    rule!(46, Must, renditions::rule_46_alignment, "two renditions"),
    rule!(
        47,
        Must,
        renditions::rule_47_multivariant,
        "the multivariant playlist"
    ),
    rule!(
        48,
        Must,
        renditions::rule_48_maps_and_times,
        "a fetched segment"
    ),
    rule!(49, Should, transport::rule_49_gzip, "a playlist"),
    rule!(50, Should, transport::rule_50_cache, "an answer"),
    rule!(
        51,
        Project,
        transport::rule_51_etag,
        "a playlist with an ETag"
    ),
    rule!(52, Project, transport::rule_52_cross_origin, "an answer"),
    rule!(
        53,
        Project,
        transport::rule_53_ranges,
        "a request for a range"
    ),
    rule!(54, Project, transport::rule_54_head, "a HEAD request"),
    rule!(55, Project, transport::rule_55_date, "an answer"),
    Rule {
        number: 56,
        name: "rule_56_http2",
        level: Should,
        check: Nobody("HTTP/2 on one connection; this speaks HTTP/1.1"),
    },
    rule!(57, Must, window::rule_57_dateranges, "a date range"),
    rule!(
        58,
        Project,
        transport::rule_58_token,
        "a playlist with a token"
    ),
];
