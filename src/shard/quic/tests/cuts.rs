//! Clients that go in the middle of anything, and that nothing of them stays.

use super::client::Client;
use super::*;

use crate::http::cuts::{Sources, UNJUDGED, settings};

/// How a client goes.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// It gives its requests up.
    Reset,
    /// It ends the connection.
    Close,
    /// It is heard of no more.
    Vanish,
}

/// Asks for everything on one connection, hears something of each that is answered, and goes.
fn play(at: SocketAddr, targets: &[(String, bool)], cut: Cut, deaf: bool) {
    let mut client = Client::connected(at);
    client.is_deaf = deaf;
    let mut asked = Vec::new();
    for (path, answered) in targets {
        let fields = [
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", path),
            UNJUDGED,
        ];
        let id = client.request(&fields, true);
        asked.push(id);
        if *answered && !deaf {
            client.until("an answer", |client| client.streams.contains_key(&id));
        }
    }
    asked.push(client.connect_websocket("/echo"));
    let id = client.ask("POST", "/api/a", false);
    let h3 = client.h3.as_mut().expect("it is connected");
    h3.send_body(&mut client.quic, id, &[b'x'; 9_000], false)
        .expect("it is open");
    asked.push(id);
    client.turn();
    match cut {
        Cut::Reset => {
            for id in asked {
                let [read, write] = [quiche::Shutdown::Read, quiche::Shutdown::Write];
                let _ = client.quic.stream_shutdown(id, read, 0x10c);
                let _ = client.quic.stream_shutdown(id, write, 0x10c);
            }
            client.is_deaf = false;
            // The connection goes on, as if nothing had been.
            assert_eq!(client.get("/health").status(), Some("200"));
            client.quic.close(true, 0x100, b"").expect("it is open");
            client.send();
        }
        Cut::Close => {
            client.quic.close(true, 0x100, b"").expect("it is open");
            client.send();
        }
        Cut::Vanish => {}
    }
}

#[test]
fn of_clients_that_are_cut_off_nothing_stays() {
    let sockets = || udp::bind((Ipv4Addr::LOCALHOST, 0).into(), 2).expect("a port is free");
    on_sockets(settings, sockets, credentials, |node, at| {
        let sources = Sources::start(node);
        let targets = Sources::targets(node);
        for round in 0..4 {
            for cut in [Cut::Reset, Cut::Close, Cut::Vanish] {
                play(at, &targets, cut, round % 2 == 0);
            }
        }
        sources.end();
        node.end_empty();
    });
}
