//! Clients that go in the middle of anything, and that nothing of them stays.

use super::*;

use h2::ext::Protocol;

use crate::http::cuts::{Sources, UNJUDGED, settings};

/// How a client goes.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// It resets its streams.
    Reset,
    /// It lets go of its streams, as of something that nobody reads any more.
    LetGo,
    /// Its connection is gone.
    Vanish,
}

/// Asks for everything on one connection, hears something of each that is answered, and goes.
async fn play(node: &Node, targets: &[(String, bool)], cut: Cut, window: u32) {
    let mut client = Client::connect_with(node, window).await;
    // Then it knows what the node speaks.
    assert_eq!(client.get("/health").await.status, 200);
    let mut talk = request("CONNECT", "/echo", &[]);
    talk.extensions_mut()
        .insert(Protocol::from_static("websocket"));
    let mut talk = client.open(talk, false).await;
    // The head of a message, and no more of it.
    let said = Bytes::from_static(&[0x81, 0xff]);
    talk.body.send_data(said, false).expect("it is open");
    let (mut opened, mut heard) = (Vec::new(), vec![talk.head().await]);
    for (path, answered) in targets {
        let asked = client.open(request("GET", path, &[UNJUDGED]), true).await;
        if *answered {
            heard.push(asked.head().await);
        } else {
            opened.push(asked);
        }
    }
    let length = [("content-length", "60000")];
    let mut posted = client.open(request("POST", "/api/a", &length), false).await;
    let body = Bytes::from(vec![b'x'; 30_000]);
    posted.body.send_data(body, false).expect("it is open");
    opened.push(posted);
    for (_, _, body, _) in heard.iter_mut().skip(1) {
        read(body, 1).await;
    }
    match cut {
        Cut::Reset => {
            for mut opened in opened {
                opened.body.send_reset(Reason::CANCEL);
            }
            for (_, _, _, mut body) in heard {
                body.send_reset(Reason::CANCEL);
            }
            // The connection goes on, as if nothing had been.
            assert_eq!(client.get("/health").await.status, 200);
        }
        Cut::LetGo => {
            drop((opened, heard));
            assert_eq!(client.get("/health").await.status, 200);
        }
        Cut::Vanish => client.end.abort(),
    }
}

#[test]
fn of_clients_that_are_cut_off_nothing_stays() {
    on_each_with(settings, async |node| {
        let sources = Sources::start(node);
        let targets = Sources::targets(node);
        for round in 0..4 {
            for cut in [Cut::Reset, Cut::LetGo, Cut::Vanish] {
                // Some are stuck, some are not.
                let window = if round % 2 == 0 { 1_000 } else { 1_000_000 };
                play(node, &targets, cut, window).await;
            }
        }
        sources.end();
        node.end_empty();
    });
}
