//! When certificates are asked for, without anybody who gives any.

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn identity(names: &[String], from: SystemTime) -> Identity {
    let made = corecast_tls::development::make(names, from).expect("good names");
    let (chain, key) = (made.certificate.as_bytes(), made.key.as_bytes());
    store::read_pair("it", chain, Some(key)).expect("a pair")
}

fn failure(asked: Option<Duration>) -> Failure {
    Failure {
        asked,
        ..Failure::new("refused", "no")
    }
}

#[test]
fn nothing_is_wanted_without_names_agreement_and_an_acceptor() {
    let mut config = Config::default();
    assert_eq!(Plan::of(&config), None);
    config.tls.acme_names = names(&["a.example"]);
    assert_eq!(Plan::of(&config), None, "nobody agreed");
    config.acme.agree_to_terms = true;
    let plan = Plan::of(&config).expect("wanted");
    assert_eq!(plan.acceptors, (true, true));
    assert_eq!(
        plan.certificates,
        [("default".to_owned(), names(&["a.example"]))]
    );
    config.listen.retain(|one| !one.protocol.is_tls());
    assert_eq!(Plan::of(&config), None, "nobody speaks TLS");
}

#[test]
fn a_certificate_that_is_kept_is_renewed_in_time() {
    let now = Moment::now();
    let mut charge = Charge::new("it", &names(&["a.example"]), now.steady);
    assert!(charge.wait(now).is_zero() && charge.id().is_none());
    charge.on_identity(identity(&charge.names, now.wall), now.steady);
    let days = charge.wait(now).as_secs() / 86_400;
    assert!((230..=245).contains(&days), "{days} days of a year");

    let mut more = Charge::new("it", &names(&["a.example", "b.example"]), now.steady);
    more.on_identity(identity(&charge.names, now.wall), now.steady);
    assert!(more.wait(now).is_zero(), "one of the names is missing");
}

#[test]
fn failures_wait_and_a_nudge_comes_before_that_unless_the_authority_asked() {
    let now = Moment::now();
    let later = |hours| Moment {
        wall: now.wall,
        steady: now.steady + hours * HOUR,
    };
    let mut charge = Charge::new("it", &names(&["a.example"]), now.steady);
    charge.on_failure(&failure(None), now.steady);
    charge.on_failure(&failure(None), now.steady);
    assert!(charge.wait(now) >= Duration::from_secs(300));
    charge.on_nudge(now.steady);
    assert!(charge.wait(now).is_zero());

    charge.on_failure(&failure(Some(9 * HOUR)), now.steady);
    assert_eq!(charge.wait(now), 9 * HOUR);
    charge.on_nudge(later(1).steady);
    assert_eq!(charge.wait(now), 9 * HOUR);
    charge.on_nudge(later(10).steady);
    assert!(charge.wait(later(10)).is_zero());

    charge.on_order(identity(&charge.names, now.wall), now.steady);
    let wait = charge.wait(now);
    charge.on_nudge(now.steady);
    assert_eq!(charge.wait(now), wait, "nothing failed");
}

#[test]
fn a_clock_that_jumps_holds_no_order_back_and_brings_no_flood() {
    let now = Moment::now();
    let ages = |years: u32| years * 8_766 * HOUR;
    let mut charge = Charge::new("it", &names(&["a.example"]), now.steady);
    // Ten years ahead while it fails, and back again.
    charge.on_failure(&failure(None), now.steady);
    assert!(charge.wait(now) <= Duration::from_secs(72));

    // Far ahead while certificates come: each of them is old at once.
    let ahead = Moment {
        wall: now.wall + ages(1) - 24 * HOUR,
        steady: now.steady,
    };
    charge.on_nudge(now.steady);
    charge.on_order(identity(&charge.names, now.wall), now.steady);
    assert!(charge.wait(ahead).is_zero(), "the first may be renewed");
    charge.on_order(identity(&charge.names, now.wall), now.steady);
    assert_eq!(charge.wait(ahead), 24 * HOUR);
    charge.on_suggestion((now.wall - HOUR, now.wall));
    assert_eq!(charge.wait(now), 24 * HOUR, "whatever the authority says");
}

#[test]
fn the_way_that_did_stays_and_an_authority_that_is_away_turns_none() {
    let now = Moment::now();
    let mut charge = Charge::new("it", &names(&["a.example"]), now.steady);
    for (result, turns) in [
        ("failed", 0),
        ("limited", 0),
        ("unproven", 1),
        ("refused", 2),
    ] {
        charge.on_failure(&Failure::new(result, "no"), now.steady);
        assert_eq!(charge.turns, turns, "{result}");
    }
    charge.on_failure(&Failure::new("unproven", "no"), now.steady);
    charge.on_order(identity(&charge.names, now.wall), now.steady);
    assert_eq!((charge.turns, charge.failures), (3, 0));
}

#[test]
fn a_suggestion_is_followed_once() {
    let now = Moment::now();
    let mut charge = Charge::new("it", &names(&["a.example"]), now.steady);
    let window = (now.wall + HOUR, now.wall + 2 * HOUR);
    charge.on_suggestion(window);
    assert!(charge.wait(now).is_zero(), "there is nothing to renew yet");
    charge.on_identity(identity(&charge.names, now.wall), now.steady);
    charge.on_suggestion(window);
    let wait = charge.wait(now);
    assert!((HOUR..=2 * HOUR).contains(&wait));
    for _ in 0..10 {
        charge.on_suggestion(window);
        assert_eq!(charge.wait(now), wait);
    }
    charge.on_failure(&failure(None), now.steady);
    let wait = charge.wait(now);
    charge.on_suggestion((now.wall, now.wall));
    assert_eq!(charge.wait(now), wait, "a failure has its own time");
}
