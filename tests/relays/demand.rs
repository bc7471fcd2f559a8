//! Relays on demand run while somebody listens.

use std::time::Duration;

use super::harness::server::Port;
use super::harness::{Backend, IcyReader, http, mpeg, wait_for};
use super::origin::{Origin, STREAM};
use super::{Relaying, SOON, relay};

crate::clients::on_both_backends!(
    a_relay_on_demand_starts_and_stops_with_its_listeners,
    nobody_waits_long_for_a_dead_origin,
);

const ON_DEMAND: &str = "on_demand = true\nlinger_ms = 300";

fn a_relay_on_demand_starts_and_stops_with_its_listeners(backend: Backend) {
    let port = Port::take();
    let origin = Origin::serve(port.address(), STREAM, 100);
    let url = format!("http://{}/live", port.address());
    let relaying = Relaying::start(backend, &relay(&url, ON_DEMAND));
    relaying.wait_state("/r", "idle");
    std::thread::sleep(Duration::from_millis(500));
    assert!(origin.requests().is_empty(), "nobody listens");

    for round in 1..=2 {
        // All of them wait for the one stream.
        let joins = (0..10).map(|_| {
            let address = relaying.server.address();
            std::thread::spawn(move || IcyReader::open(address, "/r"))
        });
        let joins: Vec<_> = joins.collect();
        let readers = joins.into_iter().map(|join| join.join().expect("a join"));
        let mut readers: Vec<IcyReader> = readers.collect();
        assert_eq!(origin.requests().len(), round);
        for reader in &mut readers {
            let heard = reader.listen_until(SOON, |reader| reader.audio.len() > 30_000);
            assert!(heard, "the stream is heard");
            let heard = mpeg::read(&reader.audio).expect("every frame is right");
            assert_eq!(heard.jumps(), []);
        }
        relaying.wait_state("/r", "live");
        drop(readers);
        relaying.wait_state("/r", "idle");
        if round == 1 {
            wait_for("the source is gone", SOON, || {
                let mount = relaying.server.mount("/r")?;
                (mount["state"] == "gone").then_some(())
            });
        }
    }
    // While the mount still waits for its lost source, too, a listener calls the relay.
    let mut reader = IcyReader::open(relaying.server.address(), "/r");
    assert!(reader.listen_until(SOON, |reader| reader.audio.len() > 30_000));
    wait_for("the origin is asked again", SOON, || {
        (origin.requests().len() == 3).then_some(())
    });
}

fn nobody_waits_long_for_a_dead_origin(backend: Backend) {
    let port = Port::take();
    let url = format!("http://{}/live", port.address());
    let settings = format!("{ON_DEMAND}\nwait_max_ms = 600");
    let relaying = Relaying::start(backend, &relay(&url, &settings));
    let began = std::time::Instant::now();
    let answer = http::try_get(relaying.server.address(), "/r").expect("an answer");
    assert_eq!(answer.status, 503, "{}", answer.text());
    let waited = began.elapsed();
    assert!(waited >= Duration::from_millis(500), "{waited:?}");
    assert!(waited < Duration::from_secs(4), "{waited:?}");
    relaying.wait_state("/r", "idle");
}
