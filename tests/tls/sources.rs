//! Sources over TLS, and listeners over TLS of sources that came without: programs that people use.

use std::time::Duration;

use crate::clients::seconds_decoded;
use crate::harness::server::SOURCE_PASSWORD;
use crate::harness::{Backend, Client, Server, fixture, program};
use crate::video::{publish_to, wait_tracks};

crate::clients::on_both_backends!(encoders_play_over_tls);

const LIMIT: Duration = Duration::from_secs(60);

fn encoders_play_over_tls(backend: Backend) {
    let server = Server::start_tls(backend, &[]);
    let tls = server.tls();
    let mp3 = fixture::mp3(12);
    let (address, port) = (tls.address(), tls.address().port());
    let mut ffmpeg = program("ffmpeg");
    ffmpeg.args("-nostdin -v error -re -i".split(' ')).arg(&mp3);
    ffmpeg.args("-c copy -f mp3 -content_type audio/mpeg -tls 1".split(' '));
    ffmpeg.arg(format!(
        "icecast://source:{SOURCE_PASSWORD}@{address}/ffmpeg.mp3"
    ));
    let mut shout = program("shout");
    shout.args("--host localhost --user source --usage audio --format mp3".split(' '));
    shout.args(["--port", &port.to_string(), "--pass", SOURCE_PASSWORD]);
    shout.args(["--mount", "/shout.mp3", "--tls-mode", "rfc2818"]);
    shout.env("SSL_CERT_FILE", tls.authority.file());
    let mut curl = program("curl");
    curl.args([
        "-sS",
        "--http1.1",
        "--limit-rate",
        "20k",
        "-H",
        "Content-Type: audio/mpeg",
    ]);
    curl.arg("--cacert").arg(tls.authority.file());
    curl.args(["-u", &format!("source:{SOURCE_PASSWORD}"), "-T"])
        .arg(&mp3);
    curl.args(["--resolve", &format!("localhost:{port}:127.0.0.1")]);
    curl.arg(tls.url("/curl.mp3"));
    let sources = [
        ("/ffmpeg.mp3", Client::spawn(&mut ffmpeg)),
        ("/shout.mp3", Client::spawn_from(&mut shout, &mp3)),
        ("/curl.mp3", Client::spawn(&mut curl)),
    ];
    for (mount, _source) in &sources {
        server.wait_live(mount);
        // One hears it over TLS, by a player that does not look at certificates.
        let url = format!("https://{address}{mount}");
        let mut listener = program("ffmpeg");
        listener.args(["-nostdin", "-v", "error", "-i", &url]);
        listener.args("-t 3 -c copy -f mp3 -".split(' '));
        let heard = Client::spawn(&mut listener).succeed(LIMIT).stdout;
        let seconds = seconds_decoded(mount, &heard);
        assert!(seconds > 2.0, "{mount}: {seconds} s");
    }
}

#[test]
fn players_hear_a_plain_source_over_tls() {
    let server = Server::start_tls(Backend::IoUring, &[]);
    let _station = crate::harness::Station::play(&server, "/live");
    server.wait_live("/live");
    let url = format!("https://{}/live", server.tls().address());
    let mut mpv = program("mpv");
    mpv.args("--no-config --no-video --ao=null --length=2 --tls-verify=no".split(' '));
    let mpv = Client::spawn(mpv.arg(&url));
    let mut gst = program("gst-launch-1.0");
    gst.args("-q souphttpsrc ssl-strict=false iradio-mode=true num-buffers=20".split(' '));
    gst.arg(format!("location={url}"));
    gst.args("! icydemux ! mpegaudioparse ! fakesink".split(' '));
    let gst = Client::spawn(&mut gst);
    let said = mpv.succeed(LIMIT).text();
    assert!(said.contains("Audio --aid=1 (mp3 2ch 44100Hz)"), "{said}");
    gst.succeed(LIMIT);
}

#[test]
fn ffmpeg_publishes_and_plays_rtmp_over_tls() {
    let film = fixture::film("outputs.flv", 40, &["-bf", "2", "-g", "30"]);
    let server = Server::start_tls(Backend::IoUring, &[]);
    let url = server
        .tls()
        .rtmps_url("/live/cam")
        .replace("localhost", "127.0.0.1");
    let _source = publish_to(&format!("{url}?password={SOURCE_PASSWORD}"), &film);
    wait_tracks(&server, "/live/cam", 2);
    for input in [
        url,
        format!("https://{}/live/cam.flv", server.tls().address()),
    ] {
        let mut player = program("ffmpeg");
        player.args(["-nostdin", "-v", "error", "-i", &input, "-t", "2"]);
        player.args("-c copy -f framemd5 -".split(' '));
        let said = Client::spawn(&mut player).succeed(LIMIT).text();
        assert!(said.lines().count() > 60, "{input}: {said}");
    }
}
