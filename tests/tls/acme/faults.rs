//! What goes wrong: at the authority, with one name of several, with the disk.

use super::*;

/// What the authority says instead of what ACME has: where, and how wrong.
const NONSENSE: [&str; 15] = [
    "dir:hang-up",
    "dir:page",
    "dir:types",
    "dir:deep",
    "dir:huge",
    "dir:cut",
    "dir:slow",
    "dir:busy",
    "account:page",
    "order:hang-up",
    "order:types",
    "order:huge",
    "authorization:page",
    "finalize:hang-up",
    "certificate:page",
];

#[test]
fn an_authority_that_says_nonsense_is_asked_again() {
    let mut stage = Stage::new();
    stage.start_pebble(LONG);
    let task = [&["wrong"][..], &NONSENSE].concat();
    let between = Between::start(&stage.pebble, &task);
    let root = stage.pebble.root();
    let server = stage.serve(Backend::IoUring, &between.url(), "", "");
    let unhappy = || {
        ["failed", "refused"]
            .iter()
            .map(|it| stage.orders(it))
            .sum::<f64>() as usize
    };
    for (number, what) in (1..).zip(NONSENSE) {
        wait_for(&format!("{what} fails an order"), LIMIT, || {
            (unhappy() == number).then_some(())
        });
        assert_eq!(stage.metric("corecast_acme_certificates_failing"), 1.0);
        assert_eq!(stage.api()["certificates"][0]["name"], "self-signed");
        server.signal(Signal::HUP);
    }
    stage.wait_certificate(NAME, &root);
    let lines = between.lines();
    let how: Vec<String> = lines
        .iter()
        .filter(|line| line["what"] == "wrong")
        .map(|line| format!("{}:{}", line["where"], line["how"]).replace('"', ""))
        .collect();
    assert_eq!(how, NONSENSE);
    assert_eq!(between.times("account").len(), 1, "one account is enough");
    let log = server.log();
    let told = log.matches("no certificate came").count();
    assert_eq!(told, NONSENSE.len(), "{log}");
    // What never ends is not read to its end.
    assert_eq!(between.times("gone").len(), 3, "{lines:?}");
}

#[test]
fn of_two_names_the_one_that_fails_is_told() {
    let mut stage = Stage::new();
    stage.start_pebble(LONG);
    stage
        .names
        .lead_astray("www.tv.test", Ipv4Addr::new(127, 0, 0, 9));
    let (url, root) = (stage.pebble.url(), stage.pebble.root());
    let server = stage.serve(Backend::IoUring, &url, "challenge = 'http-01'\n", MORE);
    stage.wait_certificate(NAME, &root);
    wait_for("the other order fails", LIMIT, || {
        (stage.orders("unproven") == 1.0).then_some(())
    });
    assert_eq!(stage.metric("corecast_acme_certificates_failing"), 1.0);
    let api = stage.api();
    assert_eq!(api["acme"][0]["error"], Value::Null, "{api}");
    let error = api["acme"][1]["error"].as_str().unwrap_or_default();
    let said = "www.tv.test was not proved by http-01";
    assert!(error.starts_with(said), "{api}");
    assert!(stage.certificate("tv.test", &root).is_none());

    stage.names.lead_to(Ipv4Addr::LOCALHOST);
    server.signal(Signal::HUP);
    for name in ["tv.test", "www.tv.test"] {
        stage.wait_certificate(name, &root);
    }
}

#[test]
fn no_order_is_made_that_the_disk_would_not_take_and_what_came_is_kept_in_the_end() {
    let mut stage = Stage::new();
    stage.start_pebble(LONG);
    let between = Between::start(&stage.pebble, &["kind"]);
    let (url, root) = (between.url(), stage.pebble.root());
    // A disk that takes nothing, for whoever asks as root too.
    std::fs::create_dir_all(stage.state()).expect("a scratch folder");
    let folder = stage.state().join("acme");
    std::fs::write(&folder, "no folder").expect("a scratch folder takes files");
    let server = stage.serve(Backend::IoUring, &url, "", "");
    wait_for("there is no room", LIMIT, || {
        (stage.orders("failed") == 1.0).then_some(())
    });
    assert_eq!(
        between.times("account").len() + between.times("order").len(),
        0
    );

    // One that takes all but the certificate.
    std::fs::remove_file(&folder).expect("it is ours");
    let authority = url.trim_start_matches("https://");
    let authority = authority.replace(':', "%3A").replace('/', "%2F");
    let taken = folder.join(authority).join("default.pem");
    std::fs::create_dir_all(taken.join("by this")).expect("a scratch folder");
    server.signal(Signal::HUP);
    wait_for("one comes and is not kept", LIMIT, || {
        let api = stage.api();
        let error = api["acme"][0]["error"].as_str()?;
        (stage.orders("obtained") == 1.0 && error.contains("default.pem")).then_some(())
    });
    wait_for("alarms can tell", LIMIT, || {
        (stage.metric("corecast_acme_certificates_failing") == 1.0).then_some(())
    });
    std::fs::remove_dir_all(&taken).expect("it is ours");
    server.signal(Signal::HUP);
    stage.wait_certificate(NAME, &root);
    wait_for("all is well", LIMIT, || {
        (stage.metric("corecast_acme_certificates_failing") == 0.0).then_some(())
    });
    assert_eq!(between.times("order").len(), 1, "{:?}", between.lines());
    assert_kept_only(&stage, &["account.json", "default.pem"]);
}
