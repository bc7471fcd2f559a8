//! Origins that die, come back, move and say nonsense.

use std::time::Duration;

use super::harness::server::Port;
use super::harness::{Backend, IcyReader, mpeg, wait_for};
use super::origin::{Origin, STREAM};
use super::{Relaying, SOON, relay};

crate::clients::on_both_backends!(
    a_listener_outlives_its_origin,
    the_next_url_takes_over,
    redirects_are_followed_within_bounds,
    a_reload_leaves_other_relays_alone,
    a_drain_ends_relays_in_every_state,
);

/// Hears until a frame from `first` on came. Every frame must be right; what was heard stays.
fn hear_from(reader: &mut IcyReader, first: u64) {
    let heard = reader.listen_until(SOON, |reader| {
        let heard = mpeg::read(&reader.audio).expect("every frame is right");
        heard.frames.last().is_some_and(|last| *last >= first + 50)
    });
    assert!(heard, "the frames from {first} on are heard");
}

fn a_listener_outlives_its_origin(backend: Backend) {
    let port = Port::take();
    let origin = Origin::serve(port.address(), STREAM, 1_000);
    let url = format!("http://{}/live", port.address());
    let relaying = Relaying::start(backend, &relay(&url, ""));
    relaying.server.wait_live("/r");
    let mut reader = IcyReader::open(relaying.server.address(), "/r");
    assert_eq!(reader.answer.header("icy-name"), Some("Far away"));
    hear_from(&mut reader, 1_000);

    drop(origin);
    let report = relaying.wait_state("/r", "waiting");
    assert!(report["error"].is_string(), "{report}");
    std::thread::sleep(Duration::from_millis(700));
    let _origin = Origin::serve(port.address(), STREAM, 5_000);
    hear_from(&mut reader, 5_000);
    let heard = mpeg::read(&reader.audio).expect("every frame is right");
    let [(_, after)] = heard.jumps()[..] else {
        panic!("one jump, from one stream to the next: {:?}", heard.jumps());
    };
    assert_eq!(after, 5_000, "the new stream is heard from its first frame");
    assert!(relaying.wait_state("/r", "live")["error"].is_null());
}

fn the_next_url_takes_over(backend: Backend) {
    let (dead, good) = (Port::take(), Port::take());
    let _origin = Origin::serve(good.address(), STREAM, 100);
    let nonsense = Port::take();
    let _nonsense = Origin::serve(nonsense.address(), "SSH-2.0-x\r\n\r\n", 0);
    let missing = Port::take();
    let _missing = Origin::serve(missing.address(), "HTTP/1.0 404 Not Found\r\n\r\n", 0);
    let url = |port: &Port| format!("http://{}/live", port.address());
    let urls = [&dead, &nonsense, &missing, &good].map(url).join(" ");
    let relaying = Relaying::start(backend, &relay(&urls, ""));
    let mut reader = {
        relaying.server.wait_live("/r");
        IcyReader::open(relaying.server.address(), "/r")
    };
    hear_from(&mut reader, 100);
    let report = relaying.wait_state("/r", "live");
    assert_eq!(report["url"], url(&good).as_str());
    let log = relaying.server.log();
    for why in ["neither HTTP/1 nor ICY", "answered 404"] {
        assert!(log.contains(why), "{why} is logged");
    }
}

fn redirects_are_followed_within_bounds(backend: Backend) {
    let (door, house) = (Port::take(), Port::take());
    let redirect = |to: &str| format!("HTTP/1.0 302 Found\r\nLocation: {to}\r\n\r\n");
    let to_house = redirect(&format!("http://{}/in", house.address()));
    let first = Origin::serve(door.address(), &to_house, 0);
    let second = Origin::serve(house.address(), STREAM, 100);
    let url = format!("http://{}/live", door.address());
    let secret = "user = 'u'\npassword = 'between us'\ntitles = false";
    let relaying = Relaying::start(backend, &relay(&url, secret));
    relaying.server.wait_live("/r");
    let [asked, followed] = [&first, &second].map(|origin| origin.requests()[0].clone());
    assert!(asked.starts_with("GET /live HTTP/1.0\r\n"), "{asked}");
    assert!(asked.contains("Authorization: Basic"), "{asked}");
    assert!(followed.starts_with("GET /in HTTP/1.0\r\n"), "{followed}");
    assert!(!followed.contains("Authorization"), "{followed}");
    assert!(!followed.contains("Icy-MetaData"), "{followed}");
    drop((first, second));

    for (to, why) in [
        ("https://a.example/x", "must start with http://"),
        ("file:///etc/passwd", "must start with http://"),
        ("/round", "more than 3 redirects"),
    ] {
        let _door = Origin::serve(door.address(), &redirect(to), 0);
        wait_for(why, SOON, || {
            let report = relaying.relay("/r")?;
            let error = report["error"].as_str()?;
            error.contains(why).then_some(())
        });
    }
}

fn a_reload_leaves_other_relays_alone(backend: Backend) {
    let port = Port::take();
    let _origin = Origin::serve(port.address(), STREAM, 100);
    let url = format!("http://{}/live", port.address());
    let one = relay(&url, "");
    let two = one.replace("'/r'", "'/second'");
    let relaying = Relaying::start(backend, &one);
    relaying.server.wait_live("/r");
    let mut reader = IcyReader::open(relaying.server.address(), "/r");
    let since = relaying.wait_state("/r", "live")["since"].clone();

    relaying.reload(&format!("{one}{two}"));
    relaying.server.wait_live("/second");
    relaying.reload(&one);
    wait_for("the second relay is gone", SOON, || {
        relaying.relay("/second").is_none().then_some(())
    });
    hear_from(&mut reader, 100);
    let heard = mpeg::read(&reader.audio).expect("every frame is right");
    assert_eq!(heard.jumps(), []);
    assert_eq!(relaying.wait_state("/r", "live")["since"], since);
}

fn a_drain_ends_relays_in_every_state(backend: Backend) {
    let (live, dead, mute) = (Port::take(), Port::take(), Port::take());
    let _origin = Origin::serve(live.address(), STREAM, 100);
    let _mute = std::net::TcpListener::bind(mute.address()).expect("the port is ours");
    let relays = [("/r", &live), ("/dead", &dead), ("/mute", &mute)];
    let relays = relays.map(|(mount, port)| {
        let url = format!("http://{}/live", port.address());
        let slow = "retry_min_ms = 60000\nretry_max_ms = 60000\nsilence_max_ms = 60000";
        format!("[[relay]]\nmount = '{mount}'\nurl = '{url}'\n{slow}\n")
    });
    let idle = format!("{}on_demand = true\n", relays[0].replace("'/r'", "'/idle'"));
    let mut relaying = Relaying::start(backend, &format!("{}{idle}", relays.concat()));
    relaying.server.wait_live("/r");
    for (mount, state) in [
        ("/dead", "waiting"),
        ("/mute", "connecting"),
        ("/idle", "idle"),
    ] {
        relaying.wait_state(mount, state);
    }
    relaying.server.signal(rustix::process::Signal::TERM);
    let began = std::time::Instant::now();
    let status = relaying.server.wait_end();
    assert!(status.success(), "{status}");
    let took = began.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?}");
}
