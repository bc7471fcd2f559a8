//! What a peer must not do, and what it gets for it.

use super::*;

#[test]
fn a_request_that_breaks_the_rules_is_reset() {
    on_each(1, |_, at| {
        let mut client = Client::connected(at);
        let good = [(":method", "GET"), (":scheme", "https"), (":path", "/")];
        let host = (":authority", "localhost");
        let broken: [&[(&str, &str)]; 5] = [
            &[good[0], good[1], host],
            &[good[0], good[1], good[2], host, ("connection", "close")],
            &[good[0], good[1], good[2], host, (":late", "1")],
            &[good[0], good[0], good[1], good[2], host],
            &[good[0], good[1], host, ("a", "b"), good[2]],
        ];
        for fields in broken {
            let id = client.request(fields, true);
            let got = client.outcome(id);
            assert_eq!(got.reset, Some(0x10e), "{fields:?}: {got:?}");
        }
        assert_eq!(client.get("/api/one").status(), Some("200"));
    });
}

#[test]
fn a_body_of_another_length_than_said_is_an_error() {
    on_each(1, |_, at| {
        let mut client = Client::connected(at);
        let fields = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", "/api/echo"),
            ("content-length", "5"),
        ];
        for body in [&b"four"[..], b"longer"] {
            let id = client.request(&fields, false);
            let h3 = client.h3.as_mut().expect("it is there");
            h3.send_body(&mut client.quic, id, body, true)
                .expect("there is room");
            assert_eq!(client.outcome(id).reset, Some(0x10e));
        }
    });
}

#[test]
fn frames_in_the_wrong_place_end_the_connection() {
    // RFC 9114 sections 7.2.1, 7.2.4 and 6.2.1: bytes of a stream, and the code for them.
    let wrongs: [(u64, &[u8], u64); 4] = [
        // DATA before HEADERS.
        (0, &[0x00, 0x01, 0x61], 0x105),
        // SETTINGS on a request.
        (0, &[0x04, 0x00], 0x105),
        // A field section that is no QPACK: an entry of a dynamic table that is not there.
        (0, &[0x01, 0x03, 0x00, 0x00, 0x80], 0x200),
        // A second control stream.
        (18, &[0x00, 0x04, 0x00], 0x103),
    ];
    for (stream, bytes, code) in wrongs {
        on_each(1, |_, at| {
            let mut client = Client::connected(at);
            client
                .quic
                .stream_send(stream, bytes, true)
                .expect("there is room");
            client.until("the end", |client| client.quic.peer_error().is_some());
            let error = client.quic.peer_error().expect("it is there");
            assert_eq!((error.is_app, error.error_code), (true, code), "{bytes:?}");
        });
    }
}

#[test]
fn an_unknown_version_is_told_ours() {
    on_each(1, |_, at| {
        let socket = socket();
        let patience = Some(std::time::Duration::from_secs(10));
        socket.set_read_timeout(patience).expect("a good time");
        let mut packet = vec![0; 1_200];
        packet[..6].copy_from_slice(&[0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8]);
        packet[14] = 4;
        socket.send_to(&packet, at).expect("it goes out");
        let mut answer = [0; 200];
        let n = socket.recv(&mut answer).expect("an answer");
        // RFC 9000 section 17.2.1: version 0, ids turned around, then what we speak.
        assert_eq!(answer[1..5], [0; 4]);
        assert!(answer[..n].ends_with(&[0, 0, 0, 1]));
        // One that is too short to begin a connection gets nothing; the next one does.
        socket.send_to(&packet[..600], at).expect("it goes out");
        packet[6] = 9;
        socket.send_to(&packet, at).expect("it goes out");
        let n = socket.recv(&mut answer).expect("an answer");
        assert!(answer[..n].windows(8).any(|id| id[0] == 9));
    });
}

#[test]
fn an_unknown_connection_is_reset_once_and_with_fewer_bytes() {
    on_each(1, |node, at| {
        let socket = socket();
        let patience = Some(std::time::Duration::from_secs(10));
        socket.set_read_timeout(patience).expect("a good time");
        let packet = [0x41; 60];
        socket.send_to(&packet, at).expect("it goes out");
        let mut reset = [0; 200];
        let n = socket.recv(&mut reset).expect("a reset");
        assert!((21..60).contains(&n));
        assert_eq!(reset[0] & 0xc0, 0x40);
        // What we sent is too short to be answered with less.
        socket.send_to(&packet[..21], at).expect("it goes out");
        socket.send_to(&packet, at).expect("it goes out");
        let again = socket.recv(&mut reset).expect("a reset");
        assert_eq!(
            (again, counted(node, |probe| probe.quic_resets.total())),
            (n, 2)
        );
    });
}

#[test]
fn before_an_address_is_shown_to_be_true_it_gets_three_times_what_it_sent() {
    on_each(1, |_, at| {
        let mut client = Client::new(at, &[7; 16]);
        client.send();
        client.assert_amplification(client.bytes.0);
    });
}

#[test]
fn under_load_a_client_shows_first_that_it_is_where_it_says() {
    on_each(1, |node, at| {
        let mut silent: Vec<Client> = (0..4).map(|n| Client::new(at, &[n; 16])).collect();
        silent.iter_mut().for_each(Client::send);
        node.wait_until("half open ones", |node| {
            node.probes[0].quic_connections.level() == 4
        });
        let mut client = Client::connected(at);
        assert_eq!(client.get("/api/one").status(), Some("200"));
        // A hello of two packets is told twice.
        assert!((1..=2).contains(&counted(node, |probe| probe.quic_retries.total())));
        // Half-open ones go by themselves.
        node.wait_until("they are gone", |node| {
            node.probes[0].quic_connections.level() <= 1
        });
    });
}
