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
    let now = SystemTime::now();
    let mut charge = Charge::new("it", &names(&["a.example"]), now);
    assert!(charge.due <= now && charge.id().is_none());
    charge.on_identity(identity(&charge.names, now));
    let left = charge.due.duration_since(now).expect("later");
    let days = left.as_secs() / 86_400;
    assert!((230..=245).contains(&days), "{days} days of a year");

    let mut more = Charge::new("it", &names(&["a.example", "b.example"]), now);
    more.on_identity(identity(&charge.names, now));
    assert!(more.due <= now, "one of the names is missing");
}

#[test]
fn failures_wait_and_a_nudge_comes_before_that_unless_the_authority_asked() {
    let now = SystemTime::now();
    let mut charge = Charge::new("it", &names(&["a.example"]), now);
    charge.on_failure(&failure(None), now);
    charge.on_failure(&failure(None), now);
    assert!(charge.due >= now + Duration::from_secs(300));
    charge.on_nudge(now);
    assert_eq!(charge.due, now);

    charge.on_failure(&failure(Some(9 * HOUR)), now);
    assert_eq!(charge.due, now + 9 * HOUR);
    charge.on_nudge(now + HOUR);
    assert_eq!(charge.due, now + 9 * HOUR);
    charge.on_nudge(now + 10 * HOUR);
    assert_eq!(charge.due, now + 10 * HOUR);

    charge.on_identity(identity(&charge.names, now));
    let due = charge.due;
    charge.on_nudge(now);
    assert_eq!(charge.due, due, "nothing failed");
}

#[test]
fn a_suggestion_is_followed_once() {
    let now = SystemTime::now();
    let mut charge = Charge::new("it", &names(&["a.example"]), now);
    let window = (now + HOUR, now + 2 * HOUR);
    charge.on_suggestion(window);
    assert!(charge.due <= now, "there is nothing to renew yet");
    charge.on_identity(identity(&charge.names, now));
    charge.on_suggestion(window);
    let due = charge.due;
    assert!((window.0..=window.1).contains(&due));
    for _ in 0..10 {
        charge.on_suggestion(window);
        assert_eq!(charge.due, due);
    }
    charge.on_failure(&failure(None), now);
    let due = charge.due;
    charge.on_suggestion((now, now));
    assert_eq!(charge.due, due, "a failure has its own time");
}
