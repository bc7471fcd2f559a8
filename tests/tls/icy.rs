//! The radio over HTTP/2: every byte and every title, as over HTTP/1.

use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use corecast_protocol::icy::deinterleave::{Deinterleaver, Piece};

use crate::harness::{Backend, Client, Server, Station, icy, mpeg, program};

crate::clients::on_both_backends!(the_radio_is_heard_over_http2);

/// Fails unless `file` is the radio of the tests with metadata after each `metaint` bytes, of which
/// the first says `title`.
pub(super) fn assert_heard(file: &Path, metaint: u32, title: &str) {
    let heard = std::fs::read(file).expect("a client wrote what it heard");
    let metaint = NonZeroU32::new(metaint).expect("not 0");
    let mut deinterleaver = Deinterleaver::new(metaint);
    let (mut audio, mut titles) = (Vec::new(), Vec::new());
    let mut bytes = Bytes::from(heard);
    while let Some(piece) = deinterleaver.decode(&mut bytes) {
        match piece {
            Piece::Audio(sound) => audio.extend_from_slice(&sound),
            Piece::Block(fields) if fields.is_empty() => {}
            Piece::Block(fields) => titles.push(icy::title(&fields)),
        }
    }
    assert_eq!(titles.first().map(String::as_str), Some(title));
    let heard = mpeg::read(&audio).expect("every byte is right");
    assert!(heard.frames.len() > 50, "{} frames", heard.frames.len());
    assert_eq!(heard.jumps(), []);
}

fn the_radio_is_heard_over_http2(backend: Backend) {
    let server = Server::start_tls(backend, &["mount_defaults.metaint_bytes=4000"]);
    let station = Station::play(&server, "/live");
    server.wait_live("/live");
    server.set_title("/live", "Ada – Première".as_bytes());
    let tls = server.tls();
    let at = format!("localhost:{}:127.0.0.1", tls.address().port());
    for (version, status) in [("--http2", "HTTP/2 200"), ("--http1.1", "HTTP/1.1 200")] {
        let (file, head) = (
            server.scratch().file("heard"),
            server.scratch().file("head"),
        );
        let mut curl = program("curl");
        curl.args([
            "-sS",
            version,
            "--max-time",
            "4",
            "-H",
            "Icy-MetaData: 1",
            "--resolve",
            &at,
        ]);
        curl.arg("--cacert").arg(tls.authority.file());
        curl.arg("-o").arg(&file).arg("-D").arg(&head);
        // It ends by its own limit.
        Client::spawn(curl.arg(tls.url("/live"))).wait(Duration::from_secs(60));
        let head = std::fs::read_to_string(&head).expect("curl wrote the head");
        assert!(head.starts_with(status), "{head}");
        let head = head.to_lowercase();
        assert!(head.contains("icy-metaint: 4000"), "{head}");
        if version == "--http2" {
            // Neither is a field of HTTP/2.
            assert!(!head.contains("\nconnection:") && !head.contains("transfer-encoding"));
        }
        assert_heard(&file, 4_000, "Ada – Première");
    }
    assert!(station.is_playing());
}
