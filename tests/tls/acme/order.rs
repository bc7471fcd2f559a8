//! While an order runs: what is shown to authorities and to others, reloads, restarts.

use std::path::PathBuf;

use super::*;
use crate::harness::client::python_with_packages;

/// A server whose authority is about to look at its proofs, and does not yet.
struct Held {
    stage: Stage,
    between: Between,
    server: Server,
    /// The file that it waits for.
    go: PathBuf,
    url: String,
    acme: String,
}

impl Held {
    fn start(challenge: &str) -> Self {
        let mut stage = Stage::new();
        stage.start_pebble(LONG);
        let go = stage.folder.file("go");
        let between = Between::start(&stage.pebble, &["hold", &go.to_string_lossy()]);
        let url = between.url();
        let acme = format!("challenge = '{challenge}'\n");
        let server = stage.serve(Backend::IoUring, &url, &acme, "");
        let held = Held {
            stage,
            between,
            server,
            go,
            url,
            acme,
        };
        held.wait(1);
        held
    }

    /// Waits until the authority was told for the `number`th time to look at a proof.
    fn wait(&self, number: usize) {
        wait_for("the authority is told to look", LIMIT, || {
            (self.between.times("held").len() == number).then_some(())
        });
    }

    fn go(&self) {
        std::fs::write(&self.go, "").expect("a scratch folder takes files");
    }

    /// The token of the last proof by HTTP that the authority asked for.
    fn token(&self) -> String {
        let lines = self.between.lines().into_iter();
        let asked = lines.filter(|line| line["what"] == "authorization");
        let challenges = asked.flat_map(|line| line["answer"]["challenges"].as_array().cloned());
        let mut tokens = challenges.flatten().filter(|it| it["type"] == "http-01");
        let token = tokens.next_back().expect("one was asked for")["token"].clone();
        token.as_str().expect("a text").to_owned()
    }

    /// What curl gets, and the status.
    fn curl(&self, options: &[&str], url: &str) -> String {
        let mut curl = program("curl");
        curl.args([
            "-sSk",
            "--max-time",
            "20",
            "--path-as-is",
            "-w",
            " %{http_code}",
        ]);
        Client::spawn(curl.args(options).arg(url))
            .succeed(LIMIT)
            .text()
    }
}

/// A Python program that asks by HTTP/3.
const BY_HTTP3: &str = "import sys\nfrom curl_cffi import requests\n\
     answer = requests.get(sys.argv[1], http_version='v3only', verify=False, timeout=20)\n\
     print(answer.text, answer.status_code, end='')\n";

#[test]
fn a_token_is_answered_on_every_port_and_version_and_nothing_else_is() {
    let held = Held::start("http-01");
    let token = held.token();
    let path = "/.well-known/acme-challenge/";
    let plain = format!("http://127.0.0.1:{}{path}", held.stage.port);
    let secure = format!("https://127.0.0.1:{}{path}", held.stage.https.number());
    let first = held.curl(&["--http1.1"], &format!("{plain}{token}"));
    let (answer, status) = first.rsplit_once(' ').expect("a status");
    assert_eq!(status, "200");
    let thumbprint = answer
        .strip_prefix(&format!("{token}."))
        .expect("an answer");
    assert_eq!(thumbprint.len(), 43, "{answer}");
    for (options, base) in [
        (&["--http2-prior-knowledge"][..], &plain),
        (&["--http1.1"], &secure),
        (&["--http2"], &secure),
        (&["-A", "LetsEncrypt", "-H", "Host: other.test"], &plain),
    ] {
        assert_eq!(
            held.curl(options, &format!("{base}{token}")),
            first,
            "{options:?}"
        );
    }
    let mut python = python_with_packages();
    python.args(["-c", BY_HTTP3, &format!("{secure}{token}")]);
    assert_eq!(Client::spawn(&mut python).succeed(LIMIT).text(), first);

    let long = "a".repeat(4_000);
    for wrong in [
        "",
        "other",
        "..",
        "../../corecast.toml",
        "..%2f..%2fcorecast.toml",
        "%2e%2e/%2e%2e/etc/passwd",
        "/etc/passwd",
        &format!("{token}/"),
        &format!("{token}/more"),
        &format!("{token}%00"),
        &token[1..],
        &token.to_ascii_uppercase(),
        &long,
    ] {
        let seen = held.curl(&[], &format!("{plain}{wrong}"));
        let (said, status) = seen.rsplit_once(' ').expect("a status");
        assert!(["400", "404"].contains(&status), "{wrong}: {seen}");
        assert!(!said.contains(thumbprint), "{wrong}: {seen}");
    }
    let posted = held.curl(&["-d", "hello"], &format!("{plain}{token}"));
    assert!(!posted.contains(thumbprint), "{posted}");
    let log = held.server.log();
    assert!(!log.contains(thumbprint), "{log}");
}

#[test]
fn a_proof_by_tls_is_for_those_who_ask_for_it() {
    let held = Held::start("tls-alpn-01");
    let text = |name: &str, alpn: &[&str]| {
        let seen = held.stage.s_client(name, &[alpn, &["-showcerts"]].concat());
        let is_proof = seen.contains("ALPN protocol: acme-tls/1");
        let subject = seen.contains("subject=CN = \"corecast, self-signed\"");
        (is_proof, subject, seen)
    };
    let proof = ["-alpn", "acme-tls/1"];
    for version in ["-tls1_2", "-tls1_3"] {
        let (is_proof, subject, seen) = text(NAME, &[&proof[..], &[version]].concat());
        assert!(is_proof && !subject, "{seen}");
    }
    for alpn in [&["-alpn", "acme-tls/1,h2"][..], &["-alpn", "h2"], &[]] {
        let (is_proof, subject, seen) = text(NAME, alpn);
        assert!(!is_proof && subject, "{alpn:?}: {seen}");
    }
    // Nobody proves a name that is not asked about.
    let (is_proof, _, seen) = text("other.test", &proof);
    assert!(!is_proof && seen.contains("Cipher is (NONE)"), "{seen}");
    // Nothing is answered behind a proof.
    let ask = held.stage.folder.file("ask");
    let request = "GET /health HTTP/1.1\r\nHost: test\r\n\r\n";
    std::fs::write(&ask, request).expect("a scratch folder takes files");
    let mut openssl = program("openssl");
    openssl.args(["s_client", "-quiet", "-ign_eof", "-servername", NAME]);
    openssl.args(proof).arg("-connect");
    openssl.arg(format!("127.0.0.1:{}", held.stage.https.number()));
    let said = Client::spawn_from(&mut openssl, &ask).wait(LIMIT);
    assert!(!said.text().contains("HTTP/"), "{said:?}");
    held.go();
    let root = held.stage.pebble.root();
    held.stage.wait_certificate(NAME, &root);
    wait_for("proofs are not offered any more", LIMIT, || {
        let (is_proof, _, seen) = text(NAME, &proof);
        (!is_proof && seen.contains("no application protocol")).then_some(())
    });
}

#[test]
fn an_order_bears_reloads_and_restarts() {
    let held = Held::start("http-01");
    let first = held.token();
    let path = "/.well-known/acme-challenge/";
    let shown = |held: &Held, token: &str| {
        let address = (Ipv4Addr::LOCALHOST, held.stage.port).into();
        let answer = http::try_get(address, &format!("{path}{token}"));
        answer.expect("the server answers").status
    };
    assert_eq!(shown(&held, &first), 200);
    // The same settings: it goes on.
    held.server.signal(Signal::HUP);
    let told = || held.server.log().matches("reloaded").count();
    wait_for("the settings are read again", LIMIT, || {
        (told() > 0).then_some(())
    });
    assert_eq!(shown(&held, &first), 200);

    // Others: it begins anew, and what was shown is taken back.
    held.stage
        .write(Backend::IoUring, &held.url, &held.acme, MORE);
    held.server.signal(Signal::HUP);
    held.wait(2);
    let second = held.token();
    assert_ne!(first, second);
    assert_eq!((shown(&held, &first), shown(&held, &second)), (404, 200));

    // A new start has the account still, and orders again.
    let Held {
        mut stage,
        between,
        server,
        go,
        url,
        acme,
    } = held;
    end(server);
    let server = stage.serve(Backend::IoUring, &url, &acme, MORE);
    let held = Held {
        stage,
        between,
        server,
        go,
        url,
        acme,
    };
    held.wait(3);
    assert_eq!(shown(&held, &second), 404);
    held.go();
    let root = held.stage.pebble.root();
    for name in [NAME, "tv.test", "www.tv.test"] {
        held.stage.wait_certificate(name, &root);
    }
    assert_eq!(held.between.times("account").len(), 1);
    assert_kept(&held.stage);
    assert_eq!(shown(&held, &held.token()), 404);
}
