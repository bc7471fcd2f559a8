//! A real Icecast as origin, and as the one that relays from us; and one of us from another.

use std::io::Write;
use std::net::SocketAddr;

use super::harness::server::SOURCE_PASSWORD;
use super::harness::station::{NAME, Station};
use super::harness::{Backend, Cut, Icecast, IcyReader, Server, fixture, http, mpeg, station};
use super::{Relaying, SOON, relay};

crate::clients::on_both_backends!(
    icecast_is_relayed_with_its_titles,
    icecast_relays_from_us,
    ogg_keeps_every_page_from_node_to_node,
);

fn set_title(address: SocketAddr, mount: &str, title: &str) {
    let authorization = http::basic("source", SOURCE_PASSWORD);
    let request = format!(
        "GET /admin/metadata?mount={mount}&mode=updinfo&song={title} HTTP/1.0\r\n\
         {authorization}\r\n"
    );
    let answer = http::exchange(address, request.as_bytes()).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Hears `mount` until both titles came, the second after the first; every frame must be right and
/// follow on the one before it.
pub(super) fn hear_both_titles(
    from: SocketAddr,
    mount: &str,
    origin: SocketAddr,
    origin_mount: &str,
) {
    set_title(origin, origin_mount, "Ada+-+One");
    let mut reader = IcyReader::open(from, mount);
    assert_eq!(reader.answer.header("icy-name"), Some(NAME));
    assert_eq!(reader.answer.header("content-type"), Some("audio/mpeg"));
    let has = |reader: &IcyReader, title: &str| reader.titles().iter().any(|one| one == title);
    assert!(reader.listen_until(SOON, |reader| has(reader, "Ada - One")));
    set_title(origin, origin_mount, "Bea+-+Two");
    assert!(reader.listen_until(SOON, |reader| has(reader, "Bea - Two")));
    let titles = reader.titles();
    assert_eq!(titles.last().map(String::as_str), Some("Bea - Two"));
    let heard = mpeg::read(&reader.audio).expect("every frame is right");
    assert!(heard.frames.len() > 50, "{} frames", heard.frames.len());
    assert_eq!(heard.jumps(), [], "nothing is lost on the way");
}

fn icecast_is_relayed_with_its_titles(backend: Backend) {
    let icecast = Icecast::start("");
    let _station = Station::play_to(icecast.address(), "/live", 0, 1.0);
    // By name, so that control resolves it.
    let url = format!("http://localhost:{}/live", icecast.address().port());
    let relaying = Relaying::start(backend, &relay(&url, ""));
    let server = &relaying.server;
    server.wait_live("/r");
    assert_eq!(relaying.wait_state("/r", "live")["url"], url.as_str());
    hear_both_titles(server.address(), "/r", icecast.address(), "/live");
}

fn icecast_relays_from_us(backend: Backend) {
    let server = Server::start(backend, &["mount_defaults.latency=instant"]);
    let _station = Station::play(&server, "/live");
    server.wait_live("/live");
    let port = server.port();
    let icecast = Icecast::start(&format!(
        "<relay><server>127.0.0.1</server><port>{port}</port><mount>/live</mount>\
         <local-mount>/r</local-mount><on-demand>0</on-demand>\
         <relay-shoutcast-metadata>1</relay-shoutcast-metadata></relay>"
    ));
    super::wait_for("Icecast relays it", SOON, || {
        let status = http::try_get(icecast.address(), "/status-json.xsl").ok()?;
        status.text().contains("/r\"").then_some(())
    });
    hear_both_titles(icecast.address(), "/r", server.address(), "/live");
}

fn ogg_keeps_every_page_from_node_to_node(backend: Backend) {
    let file = std::fs::read(fixture::vorbis(6, "Ada", "One")).expect("it stays");
    let pages = Cut::Ogg.borders(&file);
    let half = pages[pages.len() / 2];
    let origin = Server::start(backend, &["mount_defaults.latency=instant"]);
    let headers = "Content-Type: application/ogg\r\n";
    let (mut source, answer) = station::open(origin.address(), "/live.ogg", headers);
    assert_eq!(answer.status, 200);
    source.write_all(&file[..half]).expect("pages are taken");
    origin.wait_live("/live.ogg");

    let relaying = Relaying::start(backend, &relay(&origin.url("/live.ogg"), ""));
    let server = &relaying.server;
    let anyone = server.get("/api/v1/relays").status;
    assert_eq!(anyone, 401, "the admin alone sees relays");
    assert_eq!(server.wait_live("/r")["title"], "Ada - One");
    let mut reader = IcyReader::open(server.address(), "/r");
    let type_ = reader.answer.header("content-type");
    assert_eq!(type_, Some("application/ogg"));
    source.write_all(&file[half..]).expect("pages are taken");
    drop(source);
    let last_page = &file[pages[pages.len() - 2]..];
    let ended = reader.listen_until(SOON, |reader| reader.audio.ends_with(last_page));
    assert!(ended, "the last page came");
    Cut::Ogg.assert_heard(&file, &reader.audio);
}
