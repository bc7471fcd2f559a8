//! Certificates by ACME, from an authority that other people wrote: they come by either proof, are
//! renewed under whoever is connected, and nothing that goes wrong takes away what is there.

mod faults;
mod order;

use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::acme::{Between, Manner, Names, Pebble};
use crate::harness::server::Port;
use crate::harness::{Backend, Client, Scratch, Server, Station, http, program, wait_for};

crate::clients::on_both_backends!(either_proof_brings_certificates);

/// Longer than an order takes on a machine that compiles beside the test.
const LIMIT: Duration = Duration::from_secs(60);

/// How long a certificate is good where the test does not wait for its end.
const LONG: Duration = Duration::from_secs(90 * 86_400);

const NAME: &str = "radio.test";

/// An authority, a server's ports and what it keeps from one start to the next.
struct Stage {
    names: Names,
    pebble: Pebble,
    port: u16,
    held: Option<Port>,
    https: Port,
    folder: Scratch,
}

impl Stage {
    fn new() -> Self {
        let port = Port::take();
        Stage {
            names: Names::start(),
            pebble: Pebble::new(),
            port: port.number(),
            held: Some(port),
            https: Port::take(),
            folder: Scratch::new("acme"),
        }
    }

    fn start_pebble(&mut self, valid_for: Duration) {
        let manner = Manner {
            ports: (self.port, self.https.number()),
            valid_for,
            bound_to: None,
        };
        self.pebble.start(&manner, &self.names);
    }

    /// A server that asks the authority whose directory is at `url`; `acme` and `more` are
    /// settings.
    fn serve(&mut self, backend: Backend, url: &str, acme: &str, more: &str) -> Server {
        let file = self.write(backend, url, acme, more);
        let port = self.held.take().unwrap_or_else(Port::take);
        let server = Server::launch_from(&file, port);
        wait_for("the server is ready", LIMIT, || {
            self.is_ready().then_some(())
        });
        server
    }

    /// Writes the settings, as [`Stage::serve`] has them.
    fn write(&self, backend: Backend, url: &str, acme: &str, more: &str) -> PathBuf {
        let backend = match backend {
            Backend::IoUring => "io_uring",
            Backend::Epoll => "epoll",
        };
        let text = format!(
            "[server]\nstate_dir = '{state}'\n\
             [auth]\nsource_password = 'tests-play-this'\nadmin_password = 'tests-rule-this'\n\
             [shards]\ncount = 2\npin = false\nbackend = '{backend}'\n\
             [[listen]]\naddress = '127.0.0.1:{port}'\n\
             [[listen]]\naddress = '127.0.0.1:{https}'\nprotocol = 'https'\n\
             [acme]\nagree_to_terms = true\ndirectory_url = '{url}'\nroots_file = '{roots}'\n\
             email = 'me@radio.test'\n{acme}\n\
             [tls]\nacme_names = ['{NAME}']\nredirect_http = true\n{more}\n",
            state = self.state().display(),
            port = self.port,
            https = self.https.number(),
            roots = self.pebble.authority.file().display(),
        );
        let file = self.folder.file("corecast.toml");
        std::fs::write(&file, text).expect("a scratch folder takes files");
        file
    }

    fn is_ready(&self) -> bool {
        let address = (Ipv4Addr::LOCALHOST, self.port).into();
        http::try_get(address, "/ready").is_ok_and(|answer| answer.status == 200)
    }

    fn state(&self) -> PathBuf {
        self.folder.file("state")
    }

    /// What `openssl s_client` says of the server.
    fn s_client(&self, name: &str, arguments: &[&str]) -> String {
        let mut openssl = program("openssl");
        openssl.args(["s_client", "-servername", name, "-connect"]);
        openssl.arg(format!("127.0.0.1:{}", self.https.number()));
        let output = Client::spawn(openssl.args(arguments)).wait(LIMIT);
        output.text() + &output.stderr
    }

    /// The certificate that is shown for `name`, where it follows from the root in `root`.
    fn certificate(&self, name: &str, root: &Path) -> Option<String> {
        let root = root.to_string_lossy();
        let seen = self.s_client(name, &["-CAfile", &root, "-verify_hostname", name]);
        let from = seen.find("-----BEGIN CERTIFICATE-----")?;
        let (certificate, _) = seen[from..].split_once("-----END")?;
        let good = seen.contains("Verify return code: 0 (ok)");
        good.then(|| certificate.to_owned())
    }

    fn wait_certificate(&self, name: &str, root: &Path) -> String {
        wait_for(&format!("{name} has its certificate"), LIMIT, || {
            self.certificate(name, root)
        })
    }

    /// Files that were kept of the authorities, by their names.
    fn kept(&self) -> Vec<PathBuf> {
        let folders = std::fs::read_dir(self.state().join("acme"));
        let folders = folders.into_iter().flatten().flatten();
        let files = folders.flat_map(|folder| std::fs::read_dir(folder.path()));
        let mut files: Vec<PathBuf> = files.flatten().flatten().map(|it| it.path()).collect();
        files.sort();
        files
    }

    /// A number on the metrics page.
    fn metric(&self, sample: &str) -> f64 {
        let address = (Ipv4Addr::LOCALHOST, self.port).into();
        let page = http::try_get(address, "/metrics").expect("the server answers");
        let text = page.text();
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        let value = value.unwrap_or_else(|| panic!("no {sample} in {text}"));
        value.parse().expect("a number")
    }

    fn orders(&self, result: &str) -> f64 {
        self.metric(&format!(
            "corecast_acme_orders_total{{result=\"{result}\"}}"
        ))
    }

    /// What `/api/v1/certificates` says.
    fn api(&self) -> Value {
        let authorization = http::basic("admin", "tests-rule-this");
        let request = format!(
            "GET /api/v1/certificates HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\
             {authorization}\r\n"
        );
        let address = (Ipv4Addr::LOCALHOST, self.port).into();
        let answer = http::exchange(address, request.as_bytes()).expect("the server answers");
        answer.json()
    }
}

/// Ends a server, so that another one takes its place.
fn end(mut server: Server) -> String {
    server.signal(Signal::TERM);
    assert_eq!(server.wait_end().code(), Some(0));
    server.log()
}

/// Settings of a second certificate. Whoever else may not come in, the authority may.
const MORE: &str = "[limits]\ndeny_agents = ['LetsEncrypt']\n\
                    [[certificate]]\nname = 'tv'\nacme_names = ['tv.test', 'www.tv.test']\n";

/// Fails unless the server says how things are with two certificates that have come.
fn assert_told(stage: &Stage) {
    assert_eq!(stage.orders("obtained"), 2.0);
    assert_eq!(stage.metric("corecast_acme_certificates_failing"), 0.0);
    let left = stage.metric("corecast_tls_certificate_expiry_seconds");
    assert!(left > 89.0 * 86_400.0, "{left}");
    let api = stage.api();
    let names = |list: &Value| -> Vec<String> {
        let list = list.as_array().expect("a list").iter();
        list.filter_map(|one| Some(one["name"].as_str()?.to_owned()))
            .collect()
    };
    assert_eq!(names(&api["certificates"]), ["default", "tv"], "{api}");
    assert_eq!(names(&api["acme"]), ["default", "tv"], "{api}");
    assert_eq!(api["acme"][0]["error"], Value::Null, "{api}");
}

/// Fails unless both certificates are kept, for the server only.
fn assert_kept(stage: &Stage) {
    assert_kept_only(stage, &["account.json", "default.pem", "tv.pem"]);
}

/// Fails unless these files are kept, for the server only.
fn assert_kept_only(stage: &Stage, names: &[&str]) {
    let files = stage.kept();
    let called: Vec<_> = files.iter().filter_map(|file| file.file_name()).collect();
    assert_eq!(called, names);
    for file in &files {
        let data = std::fs::metadata(file).expect("it is there");
        let mode = data.permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.display());
    }
}

fn either_proof_brings_certificates(backend: Backend) {
    const BOUND_TO: (&str, &str) = (
        "kid-1",
        "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W",
    );
    for (challenge, bound_to) in [("http-01", None), ("tls-alpn-01", Some(BOUND_TO))] {
        let mut stage = Stage::new();
        let manner = Manner {
            ports: (stage.port, stage.https.number()),
            valid_for: LONG,
            bound_to,
        };
        stage.pebble.start(&manner, &stage.names);
        let (url, root) = (stage.pebble.url(), stage.pebble.root());
        let mut acme = format!("challenge = '{challenge}'\n");
        if let Some((id, key)) = bound_to {
            acme += &format!("eab_key_id = '{id}'\neab_hmac_key = '{key}'\n");
        }
        let server = stage.serve(backend, &url, &acme, MORE);
        let first = stage.wait_certificate(NAME, &root);
        for name in ["tv.test", "www.tv.test"] {
            assert_ne!(stage.wait_certificate(name, &root), first);
        }
        assert_told(&stage);
        assert_kept(&stage);
        // Proofs are shown as long as an order runs, and no longer.
        let seen = stage.s_client(NAME, &["-alpn", "acme-tls/1"]);
        assert!(seen.contains("no application protocol"), "{seen}");
        let token = server.get("/.well-known/acme-challenge/token");
        assert_eq!(token.status, 404);
        let log = end(server);
        let secret = bound_to.map_or("PRIVATE KEY", |(_, key)| key);
        let is_told = log.contains("PRIVATE KEY") || log.contains(secret);
        assert!(!is_told, "{log}");

        // What was kept is enough: nobody is there to be asked.
        stage.pebble.stop();
        let server = stage.serve(backend, &url, &acme, MORE);
        assert_eq!(stage.certificate(NAME, &root).as_ref(), Some(&first));
        assert!(stage.certificate("tv.test", &root).is_some());
        let log = end(server);
        let asked = log.contains("asking for one") || log.contains("no certificate came");
        assert!(!asked, "{log}");
    }
}

#[test]
fn a_proof_that_fails_is_told_and_takes_nothing_away() {
    let mut stage = Stage::new();
    stage.start_pebble(LONG);
    // Nobody is there.
    stage.names.lead_to(Ipv4Addr::new(127, 0, 0, 9));
    let (url, root) = (stage.pebble.url(), stage.pebble.root());
    let server = stage.serve(Backend::IoUring, &url, "", "");
    wait_for("the first order fails", LIMIT, || {
        (stage.orders("unproven") == 1.0).then_some(())
    });
    assert_eq!(stage.metric("corecast_acme_certificates_failing"), 1.0);
    let api = stage.api();
    let error = api["acme"][0]["error"].as_str().expect("why it failed");
    assert!(
        error.contains("radio.test was not proved by http-01: connection"),
        "{api}"
    );
    assert_eq!(api["certificates"][0]["name"], "self-signed", "{api}");
    let log = server.log();
    assert!(
        log.contains("no certificate came") && log.contains("http-01"),
        "{log}"
    );
    let seen = stage.s_client(NAME, &[]);
    assert!(seen.contains("CN = \"corecast, self-signed\""), "{seen}");

    stage.names.lead_to(Ipv4Addr::LOCALHOST);
    server.signal(Signal::HUP);
    // By the other proof, this time.
    stage.wait_certificate(NAME, &root);
    assert_eq!(
        (stage.orders("unproven"), stage.orders("obtained")),
        (1.0, 1.0)
    );
    wait_for("it says so", LIMIT, || {
        (stage.metric("corecast_acme_certificates_failing") == 0.0).then_some(())
    });
}

#[test]
fn an_authority_that_is_down_holds_up_nobody_and_renewals_are_not_felt() {
    let mut stage = Stage::new();
    let url = stage.pebble.url();
    let server = stage.serve(Backend::IoUring, &url, "", "");
    wait_for("the first order fails", LIMIT, || {
        (stage.orders("failed") == 1.0).then_some(())
    });
    let station = Station::play(&server, "/live");
    server.wait_live("/live");
    let file = stage.folder.file("heard");
    let mut curl = program("curl");
    curl.args(["-sSk", "--http1.1", "-o"]).arg(&file);
    curl.arg(format!("https://127.0.0.1:{}/live", stage.https.number()));
    let listener = Client::spawn(&mut curl);
    let heard = || std::fs::metadata(&file).map_or(0, |data| data.len());
    wait_for("somebody listens over TLS", LIMIT, || {
        (heard() > 0).then_some(())
    });

    // Renewed after less than twenty seconds.
    stage.start_pebble(Duration::from_secs(30));
    let root = stage.pebble.root();
    server.signal(Signal::HUP);
    let first = stage.wait_certificate(NAME, &root);
    wait_for("it is renewed", 2 * LIMIT, || {
        let now = stage.certificate(NAME, &root)?;
        (now != first).then_some(())
    });
    assert!(stage.orders("obtained") >= 2.0);
    let before = heard();
    wait_for("who listened hears on", LIMIT, || {
        (heard() > before + 100_000).then_some(())
    });
    assert_eq!(listener.stderr(), "");
    assert!(station.is_playing());

    // One that cannot be renewed stays.
    stage.pebble.stop();
    wait_for("a renewal fails", 2 * LIMIT, || {
        (stage.orders("failed") > 1.0).then_some(())
    });
    let api = stage.api();
    assert_eq!(api["certificates"][0]["name"], "default", "{api}");
    drop(listener);
}

#[test]
fn nonces_that_are_refused_are_replaced() {
    let mut stage = Stage::new();
    stage.start_pebble(LONG);
    let between = Between::start(&stage.pebble, &["nonces"]);
    let root = stage.pebble.root();
    let _server = stage.serve(Backend::IoUring, &between.url(), "", "");
    stage.wait_certificate(NAME, &root);
    assert!(between.times("refused").len() >= 5, "{:?}", between.lines());
    assert_eq!(stage.orders("failed") + stage.orders("refused"), 0.0);
}

#[test]
fn an_authority_that_wants_to_be_left_alone_is() {
    const SECONDS: f64 = 8.0;
    let mut stage = Stage::new();
    stage.start_pebble(LONG);
    let between = Between::start(&stage.pebble, &["limits", &SECONDS.to_string()]);
    let root = stage.pebble.root();
    let server = stage.serve(Backend::IoUring, &between.url(), "", "");
    wait_for("the order is one too many", LIMIT, || {
        (stage.orders("limited") == 1.0).then_some(())
    });
    let log = server.log();
    assert!(log.contains("rateLimited: too many, come later"), "{log}");
    // Not even whoever is impatient makes it ask before.
    server.signal(Signal::HUP);
    stage.wait_certificate(NAME, &root);
    let orders = between.times("order");
    assert_eq!(orders.len(), 2, "{orders:?}");
    assert!(orders[1] - orders[0] >= SECONDS - 0.1, "{orders:?}");
    let lines = between.lines();
    let order = lines
        .iter()
        .find(|line| line["what"] == "order")
        .expect("one");
    let agent = order["agent"].as_str().unwrap_or_default();
    assert!(agent.starts_with("corecast/"), "{order}");
}

#[test]
fn an_authority_that_suggests_a_renewal_is_followed() {
    let mut stage = Stage::new();
    stage.start_pebble(LONG);
    let between = Between::start(&stage.pebble, &["suggests"]);
    let root = stage.pebble.root();
    let _server = stage.serve(Backend::IoUring, &between.url(), "", "");
    let first = stage.wait_certificate(NAME, &root);
    wait_for("it is renewed at once", LIMIT, || {
        let now = stage.certificate(NAME, &root)?;
        (now != first || stage.orders("obtained") == 2.0).then_some(())
    });
    wait_for("the next one is asked about too", LIMIT, || {
        (between.times("suggestion").len() == 2).then_some(())
    });
    let lines = between.lines();
    let asked = lines
        .iter()
        .find(|line| line["what"] == "suggestion")
        .expect("one");
    let id = asked["path"]
        .as_str()
        .and_then(|path| path.rsplit('/').next());
    let replaces = lines
        .iter()
        .filter_map(|line| line["payload"]["replaces"].as_str());
    let replaces: Vec<&str> = replaces.collect();
    assert_eq!(replaces, [id.expect("an id")], "{lines:?}");
    assert_eq!(stage.orders("obtained"), 2.0);
}
