//! curl, over every version that it speaks: which one is chosen, and that all serve the same.

use std::time::Duration;

use crate::harness::client::python_with_packages;
use crate::harness::server::Tls;
use crate::harness::{Backend, Client, Server, Station, mpeg, program};

crate::clients::on_both_backends!(curl_speaks_every_version);

const LIMIT: Duration = Duration::from_secs(60);

/// What curl says of each transfer after its body.
const SAID: &str = "\n%{http_code} %{http_version} %{ssl_verify_result} %{num_connects}\n";

/// curl with the name and the certificate of `tls`.
fn curl(tls: &Tls, arguments: &[&str]) -> String {
    let port = tls.address().port();
    let mut curl = program("curl");
    curl.args(["-sS", "--max-time", "20", "-w", SAID, "--cacert"]);
    curl.arg(tls.authority.file());
    curl.arg("--resolve")
        .arg(format!("localhost:{port}:127.0.0.1"));
    Client::spawn(curl.args(arguments)).succeed(LIMIT).text()
}

/// The last line that curl said, and what came before it.
fn parted(said: &str) -> (&str, &str) {
    let (body, last) = said.trim_end().rsplit_once('\n').unwrap_or(("", said));
    (last.trim(), body)
}

fn curl_speaks_every_version(backend: Backend) {
    let server = Server::start_tls(backend, &[]);
    let tls = server.tls();
    let page = server.get("/").text();
    for (options, version) in [
        (&["--http2"][..], "2"),
        (&["--http1.1"], "1.1"),
        (&["--tlsv1.2", "--tls-max", "1.2"], "2"),
        (&["--tlsv1.3"], "2"),
        (&["--no-alpn"], "1.1"),
        (&["--http2-prior-knowledge"], "2"),
        (&["--compressed"], "2"),
        (
            &[
                "--ciphers",
                "ECDHE-ECDSA-AES128-GCM-SHA256",
                "--tls-max",
                "1.2",
            ],
            "2",
        ),
        (&["--curves", "P-256"], "2"),
    ] {
        let url = tls.url("/");
        let said = curl(tls, &[options, &[url.as_str()]].concat());
        let (last, body) = parted(&said);
        assert_eq!(last, format!("200 {version} 0 1"), "{options:?}");
        assert_eq!(body.trim_end(), page.trim_end(), "{options:?}");
    }
    // What is too old or too weak is no TLS of ours.
    for options in [
        &["--tlsv1.0", "--tls-max", "1.1"][..],
        &["--ciphers", "AES128-SHA", "--tls-max", "1.2"],
    ] {
        let mut curl = program("curl");
        curl.args(["-sS", "-k", "--max-time", "20"]).args(options);
        curl.arg(format!("https://{}/", tls.address()));
        let output = Client::spawn(&mut curl).wait(LIMIT);
        assert!(!output.status.success(), "{options:?}: {}", output.text());
    }
    // Plain HTTP at the door of TLS, and TLS at the door of plain HTTP.
    let plain = format!("http://{}/", tls.address());
    let mut wrong = program("curl");
    let wrong = Client::spawn(wrong.args(["-sS", "--max-time", "20", &plain]));
    let wrong = wrong.wait(LIMIT);
    assert!(!wrong.text().starts_with("ok"), "{wrong:?}");
    let secure = server.url("/").replace("http:", "https:");
    let mut wrong = program("curl");
    let wrong = Client::spawn(wrong.args(["-sS", "-k", "--max-time", "20", &secure]));
    assert!(!wrong.wait(LIMIT).status.success());
    assert_eq!(server.metric("corecast_task_panics_total", ""), 0.0);
}

#[test]
fn http2_is_spoken_without_tls_by_who_knows() {
    let server = Server::start(Backend::IoUring, &[]);
    let mut curl = program("curl");
    curl.args([
        "-sS",
        "--max-time",
        "20",
        "-w",
        SAID,
        "--http2-prior-knowledge",
    ]);
    let said = Client::spawn(curl.arg(server.url("/health"))).succeed(LIMIT);
    assert_eq!(said.text(), "ok\n\n200 2 0 1\n");
    // An upgrade within HTTP/1 is passed over (RFC 9113 took it away).
    let mut curl = program("curl");
    curl.args(["-sS", "--max-time", "20", "-w", SAID, "--http2"]);
    let said = Client::spawn(curl.arg(server.url("/health"))).succeed(LIMIT);
    assert_eq!(said.text(), "ok\n\n200 1.1 0 1\n");
}

#[test]
fn a_hundred_requests_share_a_connection() {
    let server = Server::start_tls(Backend::IoUring, &[]);
    let _station = Station::play(&server, "/live");
    server.wait_live("/live");
    let tls = server.tls();
    let many = tls.url("/api/v1/mounts?[1-300]");
    let options = ["--http2", "--parallel", "--parallel-max", "100", &many];
    let said = curl(tls, &options);
    let good = said
        .lines()
        .filter(|line| line.starts_with("200 2 0 "))
        .count();
    assert_eq!(good, 300, "{said}");
    let connections: u32 = said
        .lines()
        .filter_map(|line| line.strip_prefix("200 2 0 ")?.parse::<u32>().ok())
        .sum();
    // curl may open a second one before the first has said that it is HTTP/2.
    assert!(connections <= 10, "{connections} connections");
    // Ten listeners on one connection, each with every byte.
    let live = tls.url("/live?[1-10]");
    let folder = server.scratch().path().join("heard-#1");
    let mut curl = program("curl");
    curl.args([
        "-sS",
        "--http2",
        "--parallel",
        "--max-time",
        "5",
        "--cacert",
    ]);
    curl.arg(tls.authority.file());
    curl.arg("--resolve");
    curl.arg(format!("localhost:{}:127.0.0.1", tls.address().port()));
    Client::spawn(curl.arg("-o").arg(folder).arg(&live)).wait(LIMIT);
    for number in 1..=10 {
        let heard = std::fs::read(server.scratch().file(&format!("heard-{number}")));
        let heard = heard.expect("curl wrote what it heard");
        let heard = mpeg::read(&heard).expect("every byte is right");
        assert!(heard.frames.len() > 50, "{number}: {}", heard.frames.len());
        assert_eq!(heard.jumps(), []);
    }
}

/// A Python program of a few lines around curl-impersonate, which has ngtcp2 in it.
const BY_HTTP3: &str = "import sys\nfrom curl_cffi import CurlOpt, requests\n\
     url, authority, port = sys.argv[1:]\n\
     where = {CurlOpt.RESOLVE: [f'localhost:{port}:127.0.0.1']}\n\
     with requests.Session(curl_options=where, verify=authority) as session:\n\
     \x20   for _ in range(5):\n\
     \x20       answer = session.get(url, http_version='v3only', timeout=20)\n\
     \x20       print(answer.status_code, answer.http_version, len(answer.content))\n";

#[test]
fn curl_with_ngtcp2_speaks_http3() {
    let server = Server::start_tls(Backend::IoUring, &[]);
    let tls = server.tls();
    let mut python = python_with_packages();
    python.args(["-c", BY_HTTP3, &tls.url("/")]);
    python.arg(tls.authority.file());
    python.arg(tls.address().port().to_string());
    let said = Client::spawn(&mut python).succeed(LIMIT).text();
    let bytes = server.get("/").body.len();
    assert_eq!(said, format!("200 30 {bytes}\n").repeat(5));
    // It was told of it before.
    let offered = format!("alt-svc: h3=\":{}\"", tls.address().port());
    for version in ["--http1.1", "--http2"] {
        let said = curl(tls, &["-I", version, &tls.url("/health")]);
        assert!(said.to_lowercase().contains(&offered), "{said}");
    }
}
