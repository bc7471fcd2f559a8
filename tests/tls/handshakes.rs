//! TLS as openssl and sslyze see it: protocols, resumption on any shard, certificates by name, and
//! certificates that change while the server runs.

mod settings;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::failures::peers;
use crate::harness::client::{library, python_with_packages};
use crate::harness::server::OTHER_NAME;
use crate::harness::{Backend, Client, IcyReader, Scratch, Server, Station, program, wait_for};

crate::clients::on_both_backends!(
    tickets_resume_on_every_shard,
    certificates_change_and_no_handshake_is_lost,
);

const LIMIT: Duration = Duration::from_secs(60);

/// What `openssl s_client` says of a connection on which it asks for nothing.
fn s_client(server: &Server, arguments: &[&str]) -> String {
    let tls = server.tls();
    let mut openssl = program("openssl");
    openssl.args([
        "s_client",
        "-connect",
        &tls.address().to_string(),
        "-CAfile",
    ]);
    openssl.arg(tls.authority.file());
    let output = Client::spawn(openssl.args(arguments)).wait(LIMIT);
    output.text() + &output.stderr
}

#[test]
fn openssl_sees_what_is_meant() {
    let server = Server::start_tls(Backend::IoUring, &[]);
    for (arguments, said) in [
        (
            &["-servername", "localhost", "-alpn", "h2,http/1.1"][..],
            "ALPN protocol: h2\n",
        ),
        (&["-alpn", "http/1.1"], "ALPN protocol: http/1.1\n"),
        (&[], "No ALPN negotiated\n"),
        (&["-servername", "localhost", "-tls1_2"], "TLSv1.2"),
        (&["-servername", "localhost", "-tls1_3"], "TLSv1.3"),
        (&["-servername", "localhost"], "Verify return code: 0 (ok)"),
        (&["-servername", "localhost"], "Secure Renegotiation IS"),
        (&["-servername", "localhost"], "Compression: NONE"),
        // A name that nobody has gets the first certificate: clients say what they think of it.
        (&["-servername", "nobody.test"], "subject=CN = localhost"),
        (&["-servername", OTHER_NAME], "subject=CN = other.test"),
        (
            &["-servername", OTHER_NAME, "-tls1_2"],
            "subject=CN = other.test",
        ),
    ] {
        let seen = s_client(&server, arguments);
        assert!(seen.contains(said), "{arguments:?}: no {said:?} in {seen}");
    }
    for old in ["-tls1", "-tls1_1"] {
        let seen = s_client(&server, &[old, "-cipher", "ALL:@SECLEVEL=0"]);
        assert!(seen.contains("Cipher is (NONE)"), "{old}: {seen}");
    }
    // A protocol that is not ours ends the handshake (RFC 7301 section 3.2).
    let seen = s_client(&server, &["-alpn", "smtp"]);
    assert!(seen.contains("no application protocol"), "{seen}");
    assert_eq!(server.get("/health").status, 200);
}

/// A request whose answer comes after a ticket.
const REQUEST: &str = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// A session of `version` with its ticket, in a file.
fn session(server: &Server, version: &str) -> PathBuf {
    let session = server.scratch().file(&format!("session{version}"));
    let ask = server.scratch().file("ask");
    std::fs::write(&ask, REQUEST).expect("a scratch folder takes files");
    let mut openssl = program("openssl");
    openssl.args(["s_client", "-servername", "localhost", version, "-ign_eof"]);
    openssl.args(["-connect", &server.tls().address().to_string()]);
    openssl.arg("-sess_out").arg(&session);
    let said = Client::spawn_from(&mut openssl, &ask).wait(LIMIT).text();
    assert!(said.contains("HTTP/1.1 200 "), "{said}");
    session
}

/// Whether the server takes the ticket of `session`.
fn resumes(server: &Server, version: &str, session: &Path) -> bool {
    let mut openssl = program("openssl");
    openssl.args(["s_client", "-servername", "localhost", version, "-connect"]);
    openssl.arg(server.tls().address().to_string());
    openssl.arg("-sess_in").arg(session);
    let said = Client::spawn(&mut openssl).wait(LIMIT).text();
    let reused = said.contains("\nReused, ");
    assert!(reused || said.contains("\nNew, "), "{version}: {said}");
    reused
}

#[test]
fn tickets_end_with_their_keys() {
    let folder = Scratch::new("clock");
    let clock = folder.file("clock");
    let set = |shift: &str| {
        // In one step: whoever looks sees one time or the other.
        let fresh = folder.file("fresh");
        std::fs::write(&fresh, shift).expect("a scratch folder takes files");
        std::fs::rename(&fresh, &clock).expect("both are in one folder");
    };
    set("+0");
    let mut command = Command::new(env!("CARGO_BIN_EXE_corecast"));
    command.env(
        "LD_PRELOAD",
        library("faketime/libfaketimeMT.so.1", "libfaketime"),
    );
    command.env("FAKETIME_TIMESTAMP_FILE", &clock);
    command.env("FAKETIME_NO_CACHE", "1");
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let server = Server::start_tls_with(command, Backend::Epoll, &[]);
    let versions = ["-tls1_2", "-tls1_3"];
    let sessions = versions.map(|version| (version, session(&server, version)));
    // Keys turn every six hours; the one from before is good as long again.
    for (shift, resumed) in [
        ("+0", true),
        ("+7h", true),
        ("+14h", false),
        ("+21h", false),
    ] {
        set(shift);
        for (version, session) in &sessions {
            assert_eq!(
                resumes(&server, version, session),
                resumed,
                "{version} at {shift}"
            );
        }
    }
    for (version, _) in &sessions {
        let fresh = session(&server, version);
        assert!(
            resumes(&server, version, &fresh),
            "{version}: a new one is good"
        );
    }
}

fn tickets_resume_on_every_shard(backend: Backend) {
    let server = Server::start_tls(backend, &[]);
    for version in ["-tls1_2", "-tls1_3"] {
        // Its ticket comes with the first answer.
        let session = session(&server, version);
        // By chance a connection comes to one shard or the other; a ticket fits both.
        for _ in 0..8 {
            assert!(resumes(&server, version, &session), "{version}");
        }
    }
}

/// Fails unless old versions have no cipher suites, and new ones good ones only.
fn assert_suites(result: &impl Fn(&str) -> Value) {
    for old in ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"] {
        let accepted = &result(&format!("{old}_cipher_suites"))["accepted_cipher_suites"];
        assert_eq!(
            accepted.as_array().map(Vec::len),
            Some(0),
            "{old}: {accepted}"
        );
    }
    for new in ["tls_1_2", "tls_1_3"] {
        let accepted = result(&format!("{new}_cipher_suites"))["accepted_cipher_suites"].clone();
        let accepted = accepted.as_array().expect("a list");
        assert!(accepted.len() >= 3, "{new}: {accepted:?}");
        for suite in accepted {
            let name = suite["cipher_suite"]["name"].as_str().unwrap_or_default();
            let is_good = name.contains("GCM") || name.contains("CHACHA20");
            assert!(is_good && !name.contains("RSA_WITH"), "{name}");
        }
    }
}

#[test]
fn sslyze_finds_nothing() {
    let server = Server::start_tls(Backend::IoUring, &[]);
    let report = server.scratch().file("sslyze.json");
    let mut sslyze = python_with_packages();
    sslyze.args([
        "-m",
        "sslyze",
        "--quiet",
        "--mozilla_config=disable",
        "--json_out",
    ]);
    sslyze.arg(&report);
    sslyze
        .args("--sslv2 --sslv3 --tlsv1 --tlsv1_1 --tlsv1_2 --tlsv1_3 --elliptic_curves".split(' '));
    sslyze.args("--heartbleed --openssl_ccs --fallback --robot --reneg --compression".split(' '));
    sslyze.args("--early_data --ems --certinfo --http_headers".split(' '));
    sslyze.arg(server.tls().address().to_string());
    Client::spawn(&mut sslyze).wait(Duration::from_secs(100));
    let report = std::fs::read_to_string(&report).expect("sslyze wrote its report");
    let report: Value = serde_json::from_str(&report).expect("it is JSON");
    let scan = &report["server_scan_results"][0];
    assert_eq!(scan["scan_status"], "COMPLETED", "{report}");
    let result = |name: &str| scan["scan_result"][name]["result"].clone();
    assert_suites(&result);
    for (name, field, good) in [
        ("heartbleed", "is_vulnerable_to_heartbleed", false),
        (
            "openssl_ccs_injection",
            "is_vulnerable_to_ccs_injection",
            false,
        ),
        ("tls_compression", "supports_compression", false),
        ("tls_fallback_scsv", "supports_fallback_scsv", true),
        (
            "session_renegotiation",
            "is_vulnerable_to_client_renegotiation_dos",
            false,
        ),
        ("tls_1_3_early_data", "supports_early_data", false),
        ("tls_extended_master_secret", "supports_ems_extension", true),
    ] {
        let found = result(name);
        // Where only new versions are spoken there is nothing to fall back from.
        let is_good = found[field] == good || (name == "tls_fallback_scsv" && found.is_null());
        assert!(is_good, "{name}: {found}");
    }
    let robot = &result("robot")["robot_result"];
    assert!(
        robot
            .as_str()
            .is_some_and(|text| text.contains("NOT_VULNERABLE")),
        "{robot}"
    );
}

/// Connections that begin a handshake and say no more.
const SILENT: usize = 200;

#[test]
fn half_a_handshake_ends_and_holds_up_nobody() {
    let server = Server::start_tls(Backend::IoUring, &["limits.header_timeout_ms=2000"]);
    let address = server.tls().address();
    // The head of a record with 512 bytes of a handshake, of which five come.
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03";
    let mut silent: Vec<_> = (0..SILENT)
        .map(|number| peers::say(address, &hello[..number % hello.len()]))
        .collect();
    let url = server
        .tls()
        .url("/health")
        .replace("localhost", "127.0.0.1");
    let mut curl = program("curl");
    curl.args(["-fsSk", "--max-time", "10", &url]);
    Client::spawn(&mut curl).succeed(LIMIT);
    for stream in &mut silent {
        let (_, ended) = peers::read_to_end(stream, Duration::from_secs(20));
        assert!(ended, "half a handshake is not waited for");
    }
    // What is no TLS at all is told so or simply ends.
    let mut wrong = peers::say(address, b"GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    let (said, ended) = peers::read_to_end(&mut wrong, Duration::from_secs(20));
    assert!(
        ended && !said.starts_with(b"HTTP/1.1 200"),
        "{}",
        said.escape_ascii()
    );
    assert_eq!(server.metric("corecast_task_panics_total", ""), 0.0);
}

/// How many times the certificate changes.
const CHANGES: u32 = 12;

/// A Python program that shakes hands by QUIC until a file is there, and says how often.
const BY_HTTP3: &str = "import os, sys\nfrom curl_cffi import requests\n\
     url, enough = sys.argv[1:]\nmade = 0\n\
     while not os.path.exists(enough):\n\
     \x20   answer = requests.get(url, http_version='v3only', verify=False, timeout=20)\n\
     \x20   assert answer.status_code == 200, answer.status_code\n\
     \x20   made += 1\n\
     print(made)\n";

/// Has a client shake hands by QUIC again and again until there is the file `enough`.
fn shake_by_http3(server: &Server, enough: &Path) -> Client {
    let url = format!("https://{}/health", server.tls().address());
    let mut python = python_with_packages();
    Client::spawn(python.args(["-c", BY_HTTP3, &url]).arg(enough))
}

fn certificates_change_and_no_handshake_is_lost(backend: Backend) {
    let server = Server::start_tls(backend, &[]);
    let station = Station::play(&server, "/live");
    server.wait_live("/live");
    let mut reader = IcyReader::open(server.address(), "/live");
    let address = server.tls().address();
    let (stop, made) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU32::new(0)),
    );
    let clients: Vec<_> = (0..3)
        .map(|number| {
            let (stop, made) = (Arc::clone(&stop), Arc::clone(&made));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let mut curl = program("curl");
                    curl.args(["-fsSk", "--max-time", "20", "-o", "/dev/null"]);
                    curl.arg(if number == 0 { "--http1.1" } else { "--http2" });
                    curl.arg(format!("https://{address}/health"));
                    let output = curl.stderr(Stdio::piped()).output().expect("curl starts");
                    let said = String::from_utf8_lossy(&output.stderr).into_owned();
                    assert!(output.status.success(), "{said}");
                    made.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let enough = server.scratch().file("enough");
    let by_http3 = shake_by_http3(&server, &enough);
    let mut serials = HashSet::new();
    for change in 0..CHANGES {
        let before = made.load(Ordering::Relaxed);
        let names = crate::harness::tls::NAMES;
        server.tls().authority.issue("server", &names);
        // New files are found without being told too.
        if change % 4 != 0 {
            server.signal(Signal::HUP);
        }
        wait_for("the new certificate is shown", LIMIT, || {
            let seen = s_client(&server, &["-servername", "localhost"]);
            let from = seen.find("-----BEGIN CERTIFICATE-----")?;
            let (certificate, _) = seen[from..].split_once("-----END")?;
            serials.insert(certificate.to_owned()).then_some(())
        });
        wait_for("others shook hands", LIMIT, || {
            (made.load(Ordering::Relaxed) > before + 3).then_some(())
        });
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().expect("every handshake was made");
    }
    std::fs::write(&enough, "").expect("a scratch folder takes files");
    let by_http3 = by_http3.succeed(LIMIT).text();
    let many = by_http3.trim().parse().is_ok_and(|made: u32| made > 3);
    assert!(many, "{by_http3} by HTTP/3");
    assert!(serials.len() as u32 >= CHANGES);
    assert!(reader.listen(Duration::from_millis(100)) && station.is_playing());
    // Files that are no certificates change nothing.
    std::fs::write(&server.tls().certificate.chain, "nonsense").expect("it may be written");
    server.signal(Signal::HUP);
    wait_for("the log tells", LIMIT, || {
        server.log().contains("certificate").then_some(())
    });
    let seen = s_client(&server, &["-servername", "localhost"]);
    assert!(seen.contains("Verify return code: 0 (ok)"), "{seen}");
}
