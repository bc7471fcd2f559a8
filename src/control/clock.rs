//! Dates as logs, Icecast and the API write them.

use std::time::SystemTime;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// `time` in RFC 3339, in UTC, to the millisecond.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    format!("{:.3}", timestamp(time))
}

/// `time` as Icecast says when it started: `Fri, 20 Nov 2026 18:41:47 +0000`, in local time.
pub(crate) fn icecast(time: SystemTime) -> String {
    local(time).strftime("%a, %d %b %Y %H:%M:%S %z").to_string()
}

/// `time` as Icecast's `iso8601` keys: `2026-11-20T18:41:47+0000`, in local time.
pub(crate) fn icecast_iso8601(time: SystemTime) -> String {
    local(time).strftime("%Y-%m-%dT%H:%M:%S%z").to_string()
}

/// `time` as access logs have it: `20/Nov/2026:18:41:47 +0000`, in local time.
pub(crate) fn common_log(time: SystemTime) -> String {
    local(time).strftime("%d/%b/%Y:%H:%M:%S %z").to_string()
}

fn local(time: SystemTime) -> Zoned {
    timestamp(time).to_zoned(TimeZone::system())
}

/// A wall clock outside of what dates can say reads as 1970.
fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates_have_the_shape_that_parsers_expect() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_200_107_250);
        assert_eq!(rfc3339(time), "2026-11-20T18:41:47.250Z");
        // The day and hour depend on the zone of the machine, the shape does not.
        let shape = |text: String| {
            text.chars()
                .map(|c| if c.is_ascii_digit() { '9' } else { c })
                .collect::<String>()
        };
        let zoned = |text: String| shape(text).replace('-', "+");
        assert_eq!(
            shape(icecast(time))[3..],
            *", 99 Nov 9999 99:99:99 +9999".replace('-', "+")
        );
        assert_eq!(zoned(icecast_iso8601(time)), "9999+99+99T99:99:99+9999");
        assert_eq!(zoned(common_log(time)), "99/Nov/9999:99:99:99 +9999");
    }
}
