//! WebSockets on streams (RFC 8441).

use h2::ext::Protocol;

use super::*;
use crate::testing::{client_frame as frame, patient};

/// A client of a mount whose source is silent.
async fn talk(client: &mut Client) -> (RecvStream, SendStream<Bytes>) {
    // Whether the node speaks it is known once its settings came.
    client.get("/health").await;
    let request = Request::connect("http://radio.example/echo")
        .extension(Protocol::from_static("websocket"))
        .body(());
    let opened = client.open(request.expect("a good request"), false).await;
    let (status, _, body, said) = opened.head().await;
    assert_eq!(status, 200);
    (body, said)
}

fn say(said: &mut SendStream<Bytes>, bytes: Vec<u8>) {
    said.send_data(bytes.into(), false).expect("it is open");
}

#[test]
fn pings_are_answered_and_an_end_is_said_back() {
    on_each_with(
        || patient(3_600),
        async |node| {
            let _source = publish(node, "/echo");
            let mut client = Client::connect(node).await;
            let (mut body, mut said) = talk(&mut client).await;
            for byte in frame(0x89, b"byte by byte") {
                say(&mut said, vec![byte]);
            }
            let pong = read(&mut body, 14).await;
            assert_eq!(&pong[..], b"\x8a\x0cbyte by byte");
            say(&mut said, frame(0x82, b"Hello"));
            assert_eq!(&read(&mut body, 7).await[..], b"\x82\x05Hello");
            say(&mut said, frame(0x88, &[0x03, 0xe8]));
            let rest = read(&mut body, usize::MAX).await;
            assert_eq!(rest[..], [0x88, 2, 0x03, 0xe8]);
            node.wait_until("the seat is free", |node| node.seats.listeners.taken() == 0);
        },
    );
}

#[test]
fn who_goes_is_missed_at_once() {
    on_each_with(
        || patient(3_600),
        async |node| {
            let _source = publish(node, "/echo");
            let mut client = Client::connect(node).await;
            let (cut, mut resets) = talk(&mut client).await;
            let (mut whole, mut ends) = talk(&mut client).await;
            let mut other = Client::connect(node).await;
            let _held = talk(&mut other).await;
            assert_eq!(node.seats.listeners.taken(), 3);
            resets.send_reset(Reason::CANCEL);
            drop(cut);
            // The connection moves on while the test waits.
            client.get("/health").await;
            node.wait_until("one is missed", |node| node.seats.listeners.taken() == 2);
            ends.send_data(Bytes::new(), true).expect("it is open");
            // It said nothing that has to be said back.
            assert!(read(&mut whole, usize::MAX).await.is_empty());
            node.wait_until("two are missed", |node| node.seats.listeners.taken() == 1);
            other.end.abort();
            let _ = (&mut other.end).await;
            node.wait_until("all are missed", |node| node.seats.listeners.taken() == 0);
        },
    );
}

#[test]
fn who_reads_nothing_is_heard_and_the_newest_ping_is_answered() {
    const PINGS: u32 = 20_000;
    on_each_with(
        || patient(3_600),
        async |node| {
            let _source = publish(node, "/echo");
            let mut client = Client::connect_with(node, 1_000).await;
            let (mut body, mut said) = talk(&mut client).await;
            let mut at = 0;
            while at < PINGS {
                said.reserve_capacity(10_000);
                let room = poll_fn(|cx| said.poll_capacity(cx)).await;
                let room = room.expect("it is open").expect("it is open") / 10;
                let next = PINGS.min(at + room as u32);
                let pings = (at..next).flat_map(|at| frame(0x89, &at.to_be_bytes()));
                say(&mut said, pings.collect());
                at = next;
            }
            let (mut last, mut pongs) = (None, 0);
            let mut rest = BytesMut::new();
            while last != Some(PINGS - 1) {
                rest.extend_from_slice(&read(&mut body, 6).await);
                while rest.len() >= 6 {
                    let pong = rest.split_to(6);
                    assert_eq!(pong[..2], [0x8a, 4]);
                    let at = u32::from_be_bytes(*pong.last_chunk().expect("four"));
                    assert!(last.is_none_or(|last| at > last), "{at} behind {last:?}");
                    (last, pongs) = (Some(at), pongs + 1);
                }
            }
            assert!(pongs < PINGS, "{pongs} pongs were kept somewhere");
        },
    );
}
