//! slowhttptest: hundreds of connections that take their time with heads, with bodies and with
//! reading. A probe of its own is answered all the while, and the radio goes on.

use std::time::Duration;

use super::harness::{Backend, Client, IcyReader, Server, Station, mpeg, program};

const LIMIT: Duration = Duration::from_secs(60);

/// How each attack is asked for, and what it goes to.
const ATTACKS: &[(&str, &str, &str)] = &[
    ("slow heads", "-H -i 1 -x 10", "/health"),
    ("slow bodies", "-B -i 1 -x 10 -s 8192", "/admin/metadata"),
    ("slow readers", "-X -w 8 -y 16 -n 1 -z 4 -k 3", "/watch.js"),
    ("many ranges", "-R -a 1 -b 3000", "/watch.js"),
];

#[test]
fn slow_peers_hold_up_nobody() {
    let server = Server::start(Backend::IoUring, &["limits.header_timeout_ms=2000"]);
    let station = Station::play(&server, "/live");
    server.wait_live("/live");
    let mut reader = IcyReader::open(server.address(), "/live");
    for (what, options, path) in ATTACKS {
        let mut slow = program("slowhttptest");
        slow.args(["-c", "400", "-r", "400", "-l", "4", "-p", "3", "-v", "1"]);
        slow.args(options.split(' '));
        let attack = Client::spawn(slow.args(["-u", &server.url(path)]));
        assert!(reader.listen(Duration::from_secs(4)), "{what}");
        let said = attack.succeed(LIMIT).text();
        // It says so in colours, once a second; the last word counts.
        let available = said.rsplit("service available:").next().unwrap_or_default();
        assert!(available.contains("YES"), "{what}: {said}");
        assert_eq!(server.get("/health").status, 200, "{what}");
    }
    assert!(station.is_playing());
    let heard = mpeg::read(&reader.audio).expect("every byte is right");
    assert_eq!(heard.jumps(), []);
    assert_eq!(server.metric("corecast_task_panics_total", ""), 0.0);
}
