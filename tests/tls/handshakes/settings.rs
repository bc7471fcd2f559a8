//! What the settings of TLS do, as curl and openssl see it.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::harness::client::python_with_packages;
use crate::harness::server::{Port, Tls};
use crate::harness::{Scratch, http};

/// A Python program that prints the heads of answers by HTTP/3.
const HEADS_BY_HTTP3: &str = "import sys\nfrom curl_cffi import requests\n\
     for url in sys.argv[1:]:\n\
     \x20   answer = requests.get(url, http_version='v3only', verify=False, timeout=20)\n\
     \x20   print(answer.status_code, dict(answer.headers))\n";

/// The head of what curl gets, in lower case.
fn head(options: &[&str], url: &str) -> String {
    let mut curl = program("curl");
    curl.args(["-sSk", "--max-time", "20", "-D", "-", "-o", "/dev/null"]);
    let said = Client::spawn(curl.args(options).arg(url)).succeed(LIMIT);
    said.text().to_ascii_lowercase()
}

#[test]
fn browsers_are_sent_to_https_and_told_to_stay_and_radio_may_stay_plain() {
    const HSTS: &str = "strict-transport-security: max-age=31536000";
    let settings = ["tls.redirect_http=true", "tls.hsts_seconds=31536000"];
    let server = Server::start_tls(Backend::IoUring, &settings);
    let station = Station::play(&server, "/live");
    server.wait_live("/live");
    let secure = format!("https://{}/", server.tls().address());
    for options in [&["--http1.1"][..], &["--http2-prior-knowledge"]] {
        for path in ["/", "/watch/live?x=1"] {
            let seen = head(options, &server.url(path));
            let to = format!("location: {}{}\r\n", secure, &path[1..]);
            assert!(seen.contains(" 308") && seen.contains(&to), "{seen}");
            assert!(!seen.contains(HSTS), "{seen}");
        }
        for path in ["/health", "/ready", "/metrics", "/api/v1/mounts"] {
            let seen = head(options, &server.url(path));
            assert!(seen.contains(" 200") && !seen.contains(HSTS), "{seen}");
        }
    }
    for options in ["--http1.1", "--http2"] {
        for path in ["", "health", "nowhere"] {
            let seen = head(&[options], &format!("{secure}{path}"));
            assert!(seen.contains(HSTS), "{path}: {seen}");
        }
    }
    let mut python = python_with_packages();
    let nowhere = format!("{secure}nowhere");
    python.args(["-c", HEADS_BY_HTTP3, &secure, &nowhere]);
    let seen = Client::spawn(&mut python).succeed(LIMIT).text();
    assert_eq!(seen.matches("'max-age=31536000'").count(), 2, "{seen}");
    // Who plays and who listens in plain goes on.
    let mut reader = IcyReader::open(server.address(), "/live");
    assert!(reader.listen(Duration::from_millis(500)) && station.is_playing());
}

/// An OCSP response for the certificate of `tls`, DER, as the authority would give it.
fn ocsp_response(tls: &Tls, folder: &Scratch) -> Vec<u8> {
    let openssl = |arguments: &[&str]| {
        let mut openssl = program("openssl");
        Client::spawn(openssl.args(arguments)).succeed(LIMIT).text()
    };
    let (chain, authority) = (tls.certificate.chain.display(), tls.authority.file());
    let (chain, authority) = (chain.to_string(), authority.display().to_string());
    let serial = openssl(&["x509", "-noout", "-serial", "-in", &chain]);
    let serial = serial.trim().strip_prefix("serial=").expect("its serial");
    let path = |name: &str| folder.file(name).display().to_string();
    let (index, request, response) = (path("index"), path("request"), path("response"));
    let line = format!("V\t490101000000Z\t\t{serial}\tunknown\t/CN=localhost\n");
    std::fs::write(&index, line).expect("a scratch folder takes files");
    openssl(&[
        "ocsp", "-issuer", &authority, "-cert", &chain, "-reqout", &request,
    ]);
    let key = tls.authority.key_file().display().to_string();
    openssl(&[
        "ocsp", "-index", &index, "-CA", &authority, "-rsigner", &authority, "-rkey", &key,
        "-ndays", "7", "-reqin", &request, "-respout", &response,
    ]);
    std::fs::read(response).expect("openssl wrote it")
}

#[test]
fn an_ocsp_response_is_stapled_as_soon_as_there_is_one() {
    let folder = Scratch::new("ocsp");
    let file = folder.file("ocsp.der");
    // Before the first one has come.
    std::fs::write(&file, "").expect("a scratch folder takes files");
    let setting = format!("tls.ocsp_file={}", file.display());
    let server = Server::start_tls(Backend::IoUring, &[&setting]);
    let ask = |version| s_client(&server, &["-servername", "localhost", "-status", version]);
    for version in ["-tls1_2", "-tls1_3"] {
        let seen = ask(version);
        assert!(seen.contains("OCSP response: no response sent"), "{seen}");
    }
    let response = ocsp_response(server.tls(), &folder);
    std::fs::write(&file, response).expect("a scratch folder takes files");
    for version in ["-tls1_2", "-tls1_3"] {
        wait_for("it is stapled", LIMIT, || {
            let seen = ask(version);
            let is_good = seen.contains("Cert Status: good");
            (seen.contains("OCSP Response Status: successful") && is_good).then_some(())
        });
    }
    // What is none changes nothing.
    std::fs::write(&file, "nonsense").expect("a scratch folder takes files");
    wait_for("it is told", LIMIT, || {
        server.log().contains("holds no response").then_some(())
    });
    let seen = ask("-tls1_3");
    assert!(seen.contains("Cert Status: good"), "{seen}");
}

#[test]
fn a_server_without_a_certificate_makes_one_at_its_first_start() {
    let folder = Scratch::new("self-signed");
    let (state, https) = (folder.file("state"), Port::take());
    let start = || {
        let port = Port::take();
        let text = format!(
            "[server]\nstate_dir = '{}'\nhostname = 'radio.test'\n[shards]\ncount = 1\n\
             [[listen]]\naddress = '{}'\n[[listen]]\naddress = '{}'\nprotocol = 'https'\n",
            state.display(),
            port.address(),
            https.address()
        );
        let file = folder.file("corecast.toml");
        std::fs::write(&file, text).expect("a scratch folder takes files");
        let server = Server::launch_from(&file, port);
        server.wait_ready();
        server
    };
    let kept = state.join("self-signed.pem");
    let mut files = Vec::new();
    for _ in 0..2 {
        let mut server = start();
        files.push(std::fs::read(&kept).expect("it is kept"));
        let data = std::fs::metadata(&kept).expect("it is there");
        assert_eq!(data.permissions().mode() & 0o777, 0o600);
        for name in ["radio.test", "localhost"] {
            let mut curl = program("curl");
            curl.args(["-sS", "--max-time", "20", "--cacert"])
                .arg(&kept);
            let resolve = format!("{name}:{}:127.0.0.1", https.number());
            curl.args(["--resolve", &resolve]);
            curl.arg(format!("https://{name}:{}/health", https.number()));
            assert_eq!(Client::spawn(&mut curl).succeed(LIMIT).text(), "ok\n");
        }
        let log = server.log();
        assert!(!log.contains("PRIVATE KEY"), "{log}");
        assert!(http::try_get(server.address(), "/health").is_ok());
        server.signal(Signal::TERM);
        assert_eq!(server.wait_end().code(), Some(0));
    }
    assert_eq!(files[0], files[1], "the next start takes the same");
}
