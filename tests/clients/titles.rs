//! Titles as an ICY reader sees them, byte by byte.

use std::time::Duration;

use super::harness::{Backend, IcyReader, Server, Station, mpeg};

super::on_both_backends!(a_listener_hears_every_frame);

fn a_listener_hears_every_frame(backend: Backend) {
    let server = Server::start(backend, &["mount_defaults.latency=live"]);
    let station = Station::play(&server, "/live");
    let report = server.wait_live("/live");
    assert_eq!(report["codec"], "mp3");
    assert_eq!(report["sample_rate_hz"], 44_100);
    assert_eq!(report["channels"], 2);
    let mut reader = IcyReader::open(server.address(), "/live");
    assert!(reader.listen(Duration::from_secs(3)));
    let heard = mpeg::read(&reader.audio).expect("every byte is right");
    assert_eq!(heard.jumps(), []);
    assert!(heard.frames.len() > 90, "{heard:?}");
    assert!(station.is_playing());
}
