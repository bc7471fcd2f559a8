//! Listeners of a mount whose source is gone and that has no fallback: they wait for it, and go
//! when they have heard all of it.

use std::io::Read;
use std::time::{Duration, Instant};

use super::harness::{Backend, IcyReader, Server, Station, mpeg, wait_for};
use super::peers;

const LIMIT: Duration = Duration::from_secs(30);

const TIMEOUT: Duration = Duration::from_millis(1_500);

crate::clients::on_both_backends!(listeners_of_the_last_source_wait_and_hear_its_last_frame);

fn listeners_of_the_last_source_wait_and_hear_its_last_frame(backend: Backend) {
    let timeout = format!("mount_defaults.source_timeout_ms={}", TIMEOUT.as_millis());
    let settings = [
        timeout.as_str(),
        "mount_defaults.latency=live",
        "mount_defaults.slow_reader_budget_ms=60000",
    ];
    let server = Server::start(backend, &settings);
    // Much in a short time, so that it does not all fit into the slow one's socket.
    let station = Station::play_at(&server, "/live", 0, 40.0);
    server.wait_live("/live");
    let mut good = IcyReader::open(server.address(), "/live");
    let mut slow = peers::narrow(
        server.address(),
        b"GET /live HTTP/1.1\r\nHost: test\r\n\r\n",
    );
    wait_for("they have begun", LIMIT, || {
        (server.mount("/live")?["listeners"] == 2).then_some(())
    });
    let joined = station.next_frame();
    let played = good.listen_until(LIMIT, |_| station.next_frame() > joined + 5_000);
    assert!(played);
    drop(station);
    wait_for("the source is waited for", LIMIT, || {
        (server.mount("/live")?["state"] == "waiting").then_some(())
    });
    let waiting = Instant::now();
    wait_for("the good one is ended", LIMIT, || {
        (!good.listen(Duration::from_millis(50))).then_some(())
    });
    // It was lost a little earlier than we saw it.
    assert!(waiting.elapsed() > TIMEOUT / 2, "{:?}", waiting.elapsed());
    let heard = mpeg::read(&good.audio).expect("frames and titles are exact");
    assert_eq!((heard.tail, heard.jumps()), (0, vec![]));

    let mut bytes = Vec::new();
    slow.read_to_end(&mut bytes).expect("it ends in good order");
    let at = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let audio = &bytes[at.expect("a whole head came") + 4..];
    let late = mpeg::read(audio).expect("frames are exact");
    assert_eq!((late.tail, late.jumps()), (0, vec![]));
    assert_eq!(
        late.frames.last(),
        heard.frames.last(),
        "it hears the end too"
    );
    let ended = server.metric("corecast_listeners_ended_total", "source_gone");
    assert_eq!(ended, 2.0);
    let behind = server.metric("corecast_listener_skips_total", "");
    assert_eq!(behind, 0.0);
}
