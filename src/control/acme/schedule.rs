//! When a certificate is asked for. Time and chance come in as arguments.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime};

/// How long the authority is left alone after the first failure in a row, the second, and so on;
/// after the last of them always as long.
const WAITS: [Duration; 7] = [
    Duration::from_secs(60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(15 * 60),
    Duration::from_secs(3_600),
    Duration::from_secs(3 * 3_600),
    Duration::from_secs(6 * 3_600),
    Duration::from_secs(12 * 3_600),
];

/// How long nothing is ordered after one order followed another, at the least and at the most.
const RESTS: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(24 * 3_600));

/// The longest wait that an authority may ask for.
pub(super) const ASKED_WAIT_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);

/// A number from 0 up to 1, another one each time: so that not all servers come at once.
pub(super) fn chance() -> f64 {
    RandomState::new().hash_one(0_u8) as f64 / u64::MAX as f64
}

/// When a certificate is renewed that is good `from` a time `until` another: when two thirds of
/// that are over, or up to a fiftieth of it earlier.
pub(super) fn renewal_at(from: SystemTime, until: SystemTime, chance: f64) -> SystemTime {
    let life = until.duration_since(from).unwrap_or_default();
    from + life.mul_f64(2.0 / 3.0 - chance.clamp(0.0, 1.0) / 50.0)
}

/// A moment in the window that the authority suggests (RFC 9773 section 4.2), but before the last
/// tenth of the certificate's life, which is good `from` a time `until` another.
pub(super) fn suggested_at(
    window: (SystemTime, SystemTime),
    (from, until): (SystemTime, SystemTime),
    chance: f64,
) -> SystemTime {
    let width = window.1.duration_since(window.0).unwrap_or_default();
    let life = until.duration_since(from).unwrap_or_default();
    let last = from + life.mul_f64(0.9);
    let picked = window.0.checked_add(width.mul_f64(chance.clamp(0.0, 1.0)));
    picked.map_or(last, |picked| picked.min(last))
}

/// How long to wait after a certificate that took the place of one that had come just before: a
/// tenth of its life, which is good `from` a time `until` another, but a day at most.
pub(super) fn rest_after(from: SystemTime, until: SystemTime) -> Duration {
    let life = until.duration_since(from).unwrap_or_default();
    (life / 10).clamp(RESTS.0, RESTS.1)
}

/// How long to wait after `failures` in a row, of which there is one at least: up to a fifth more
/// than the table says, and as long as the authority asked for.
pub(super) fn wait_after(failures: u32, asked: Option<Duration>, chance: f64) -> Duration {
    let last = WAITS.len().saturating_sub(1);
    let index = usize::try_from(failures.saturating_sub(1)).map_or(last, |index| index.min(last));
    let wait = WAITS.get(index).copied().unwrap_or_default();
    let wait = wait.mul_f64(1.0 + chance.clamp(0.0, 1.0) / 5.0);
    wait.max(asked.unwrap_or_default().min(ASKED_WAIT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3_600);

    #[test]
    fn two_thirds_of_a_life_are_lived() {
        let from = SystemTime::UNIX_EPOCH + DAY * 20_000;
        let until = from + DAY * 90;
        let at = |chance| {
            let at = renewal_at(from, until, chance);
            at.duration_since(from).expect("later").as_secs_f64() / DAY.as_secs_f64()
        };
        assert!((at(0.0) - 60.0).abs() < 0.01, "{}", at(0.0));
        assert!((at(1.0) - 58.2).abs() < 0.01, "{}", at(1.0));
        assert_eq!(renewal_at(until, from, 0.5), until, "no life at all");
        let short = from + Duration::from_secs(30);
        assert!(renewal_at(from, short, 0.5) < short);
        assert!(
            (0..100)
                .map(|_| chance())
                .all(|it| (0.0..=1.0).contains(&it))
        );
    }

    #[test]
    fn an_authority_that_suggests_a_time_is_followed_within_reason() {
        let from = SystemTime::UNIX_EPOCH + DAY * 20_000;
        let life = (from, from + DAY * 90);
        let day = |day: u32| from + DAY * day;
        assert_eq!(suggested_at((day(50), day(52)), life, 0.5), day(51));
        assert_eq!(suggested_at((day(85), day(88)), life, 0.5), day(81));
        assert_eq!(suggested_at((day(52), day(50)), life, 1.0), day(52));
        let never = SystemTime::UNIX_EPOCH + Duration::from_secs(i64::MAX as u64);
        assert_eq!(suggested_at((day(50), never), life, 1.0), day(81));
    }

    #[test]
    fn orders_do_not_chase_each_other() {
        let from = SystemTime::UNIX_EPOCH + DAY * 20_000;
        assert_eq!(rest_after(from, from + DAY * 90), DAY);
        assert_eq!(rest_after(from, from + DAY * 5), DAY / 2);
        assert_eq!(rest_after(from, from).as_secs(), 10);
        assert_eq!(rest_after(from + DAY, from).as_secs(), 10, "no life at all");
    }

    #[test]
    fn failures_make_waits_of_minutes_and_then_hours() {
        let seconds = |failures, asked| wait_after(failures, asked, 0.0).as_secs();
        let table: Vec<u64> = (1..=8).map(|failures| seconds(failures, None)).collect();
        assert_eq!(table, [60, 300, 900, 3_600, 10_800, 21_600, 43_200, 43_200]);
        assert_eq!(seconds(u32::MAX, None), 43_200);
        assert_eq!(wait_after(1, None, 1.0).as_secs(), 72);
        assert_eq!(seconds(1, Some(Duration::from_secs(3_000))), 3_000);
        assert_eq!(
            seconds(2, Some(Duration::from_secs(3))),
            300,
            "it may be less patient"
        );
        assert_eq!(seconds(1, Some(Duration::MAX)), ASKED_WAIT_MAX.as_secs());
    }
}
