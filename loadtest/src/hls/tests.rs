//! The rules can fail: each of them holds for a good station, and is broken by a change of what was
//! seen that breaks it.

mod mutations;
mod packager;
mod show;
mod station;

use std::collections::HashMap;

use super::findings::{Check, Verdict, judge, report};
use super::history::Digest;
use super::playlist::{Edge, Playlist, date_us};
use super::rules::RULES;

#[test]
fn a_good_station_breaks_no_rule() {
    let verdicts = judge(RULES, &station::draft().history(&mut HashMap::new()));
    let text = report(&verdicts);
    assert!(
        verdicts.iter().all(|verdict| !verdict.is_broken()),
        "{text}"
    );
    let unseen =
        |verdict: &&Verdict| !verdict.is_checked() && matches!(verdict.rule.check, Check::By(..));
    let unseen: Vec<&str> = verdicts
        .iter()
        .filter(unseen)
        .map(|v| v.rule.name)
        .collect();
    assert!(unseen.is_empty(), "{unseen:?}\n{text}");
    assert!(text.ends_with("hls-check: 0 failures of 56 rules (2 not seen or not checked)\n"));
}

#[test]
fn the_rules_are_all_there_in_order() {
    assert_eq!(RULES.len(), 58);
    for (at, rule) in RULES.iter().enumerate() {
        assert!(
            rule.name.starts_with(&format!("rule_{:02}_", at + 1)),
            "{}",
            rule.name
        );
    }
}

#[test]
fn every_rule_is_broken_by_its_mutations() {
    let good = station::draft();
    let mut lists = HashMap::new();
    let (mut caught, mut missed) = (Vec::new(), Vec::new());
    for (number, what, change) in mutations::MUTATIONS {
        let mut draft = good.clone();
        change(&mut draft);
        let rule = usize::from(*number) - 1;
        let verdicts = judge(&RULES[rule..=rule], &draft.history(&mut lists));
        if !verdicts[0].is_broken() {
            missed.push(format!("rule {number} does not see: {what}"));
        }
        caught.push(*number);
    }
    assert_eq!(missed, Vec::<String>::new());
    for (at, rule) in RULES.iter().enumerate() {
        let checked = matches!(rule.check, Check::By(..));
        assert_eq!(caught.contains(&(at as u8 + 1)), checked, "{}", rule.name);
    }
}

#[test]
fn edges_skips_and_parts_are_counted() {
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:7\n\
        #EXT-X-SKIP:SKIPPED-SEGMENTS=3\n#EXT-X-PART:DURATION=1,URI=\"a\"\n#EXTINF:1,\nb\n\
        #EXT-X-PART:DURATION=1,URI=\"c\"\n#EXT-X-PART:DURATION=0.5,URI=\"d\"\n";
    let list = Playlist::parse(text);
    assert_eq!(list.faults, Vec::<String>::new());
    assert_eq!(list.edge(), Edge { msn: 11, parts: 2 });
    let parts: Vec<(u64, u64, &str)> = list
        .all_parts()
        .map(|(at, part)| (at.msn, at.parts, part.uri.as_str()))
        .collect();
    assert_eq!(parts, [(10, 0, "a"), (11, 0, "c"), (11, 1, "d")]);
    assert_eq!(
        (list.behind_us(0), list.duration_us()),
        (1_500_000, 2_500_000)
    );
}

#[test]
fn dates_have_a_zone_and_milliseconds() {
    for (text, expected) in [
        ("1970-01-01T00:00:01.500Z", Some(1_500_000)),
        ("1970-01-01T01:00:01.500+01:00", Some(1_500_000)),
        ("1970-01-01T00:00:01.500", None),
        ("1970-01-01T00:00:01Z", None),
        ("1970-01-01 00:00:01.500Z", None),
        ("yesterday", None),
    ] {
        assert_eq!(date_us(text), expected, "{text}");
    }
}

#[test]
fn digests_of_pieces_make_that_of_the_whole() {
    let whole = Digest::of(b"one and two");
    for at in 0..=11 {
        let (a, b) = b"one and two".split_at(at);
        assert_eq!(Digest::of(a).then(Digest::of(b)), whole);
    }
    assert_ne!(Digest::of(b"two and one"), whole);
    assert_ne!(Digest::of(b"\0"), Digest::of(b""));
}
