//! Both sides of ours over a pipe, and peers that do not mean well.

use super::*;

/// What was said, in a few words.
type Told = Vec<String>;

/// A client and a server, and what lies between them.
struct Pair {
    client: ClientSession,
    server: ServerSession,
    to_server: BytesMut,
    to_client: BytesMut,
    client_told: Told,
    server_told: Told,
    /// Bytes of each read.
    step: usize,
}

impl Pair {
    fn new(purpose: Purpose, url: &str, step: usize) -> Self {
        let url = Url::parse(url).expect("the URL is good");
        Pair {
            client: ClientSession::new(purpose, &url, "pair", [2; 32]),
            server: ServerSession::new([1; 32]),
            to_server: BytesMut::new(),
            to_client: BytesMut::new(),
            client_told: Told::new(),
            server_told: Told::new(),
            step,
        }
    }

    /// Until nothing is under way any more.
    fn settle(&mut self) {
        loop {
            while let Some(bytes) = self.client.poll_transmit() {
                self.to_server.extend_from_slice(&bytes);
            }
            while let Some(bytes) = self.server.poll_transmit() {
                self.to_client.extend_from_slice(&bytes);
            }
            if self.to_server.is_empty() && self.to_client.is_empty() {
                return;
            }
            let here = self.step.min(self.to_server.len());
            let taken = self
                .server
                .handle_input(self.to_server.split_to(here).freeze());
            assert_eq!(taken, Ok(()));
            let here = self.step.min(self.to_client.len());
            let taken = self
                .client
                .handle_input(self.to_client.split_to(here).freeze());
            assert_eq!(taken, Ok(()));
            while let Some(event) = self.server.poll_event() {
                self.server_told.push(server_words(&event));
                self.answer(&event);
            }
            while let Some(event) = self.client.poll_event() {
                self.client_told.push(client_words(&event));
            }
        }
    }

    fn answer(&mut self, event: &Event) {
        match event {
            Event::Publish(wish) if wish.stream == "no" => {
                self.server.refuse_publish("NetStream.Publish.Denied", "no");
            }
            Event::Publish(_) => self.server.accept_publish(),
            Event::Play(wish) if wish.stream == "no" => {
                self.server
                    .refuse_play("NetStream.Play.StreamNotFound", "no");
            }
            Event::Play(_) => self.server.accept_play(),
            _ => {}
        }
    }
}

fn media_words(media: &Media) -> String {
    let text = String::from_utf8_lossy(&media.payload);
    let text = text.trim_matches(char::is_control);
    format!(
        "{:?} {} {}",
        media.kind,
        media.timestamp_ms,
        &text[..text.len().min(12)]
    )
}

fn server_words(event: &Event) -> String {
    match event {
        Event::Publish(wish) => format!("publish {}?{}", wish.path(), wish.query),
        Event::Play(wish) => format!("play {}?{}", wish.path(), wish.query),
        Event::Media(media) => media_words(media),
        event => format!("{event:?}"),
    }
}

fn client_words(event: &ClientEvent) -> String {
    match event {
        ClientEvent::Media(media) => media_words(media),
        ClientEvent::Ended { code, .. } => format!("ended {code}"),
        event => format!("{event:?}"),
    }
}

/// Sizes of reads that are tried.
const STEPS: [usize; 7] = [1, 2, 3, 17, 128, 1_537, 100_000];

#[test]
fn media_goes_from_client_to_server() {
    for step in STEPS {
        let mut pair = Pair::new(Purpose::Publish, "rtmp://h/live/x?token=a", step);
        pair.client.send_media(MediaKind::Audio, 0, &[b"too early"]);
        pair.settle();
        assert_eq!(pair.client_told, ["Ready"]);
        assert_eq!(pair.client.stream_id(), Some(STREAM_ID));
        let metadata = b"\x02\x00\x0aonMetaData\x05";
        pair.client.send_media(MediaKind::Script, 0, &[metadata]);
        let long = "picture".repeat(20_000);
        let (head, tail) = long.as_bytes().split_at(5);
        pair.client
            .send_media(MediaKind::Video, u32::MAX - 19, &[head, tail]);
        pair.client
            .send_media(MediaKind::Audio, u32::MAX, &[b"sound"]);
        pair.client.send_media(MediaKind::Audio, 20, &[b"sound"]);
        pair.server.ping(77);
        pair.client.ping(88);
        pair.settle();
        pair.client.finish();
        pair.client.send_media(MediaKind::Audio, 40, &[b"too late"]);
        pair.settle();
        let expected = [
            "publish /live/x?token=a",
            "Script 0 onMetaData",
            "Video -20 picturepictu",
            "Audio -1 sound",
            "Audio 20 sound",
            "Pong(77)",
            "Unpublish",
        ];
        assert_eq!(pair.server_told, expected, "by {step}");
        assert_eq!(pair.client_told[..2], ["Ready", "Pong(88)"], "by {step}");
        assert_eq!(pair.server.held_bytes(), 0);
    }
}

#[test]
fn media_goes_from_server_to_client() {
    for step in STEPS {
        let mut pair = Pair::new(Purpose::Play, "rtmp://h/live/x?token=a", step);
        pair.settle();
        assert_eq!(pair.client_told[0], "Ready");
        for (kind, time, body) in [
            (
                MessageType::VIDEO,
                0x0123_4567,
                &"picture".repeat(20_000)[..],
            ),
            (MessageType::AUDIO, 0x0123_4570, "sound"),
        ] {
            let out = &mut pair.to_client;
            let parts = [body.as_bytes()];
            write_message(out, 6, kind, time, STREAM_ID, &parts, CHUNK_BYTES);
        }
        pair.settle();
        pair.server.end(End::Unpublished);
        pair.settle();
        let expected = [
            "Ready",
            "Script 0 |RtmpSampleA",
            "Video 19088743 picturepictu",
            "Audio 19088752 sound",
            "ended NetStream.Play.UnpublishNotify",
        ];
        let told: Vec<String> = pair.client_told.clone();
        let told: Vec<String> = told.iter().map(|told| told.replace('\u{11}', "")).collect();
        assert_eq!(told, expected, "by {step}");
        assert_eq!(pair.server_told, ["play /live/x?token=a"]);
    }
}

#[test]
fn clients_learn_why_they_are_refused() {
    for (purpose, code) in [
        (Purpose::Publish, "ended NetStream.Publish.Denied"),
        (Purpose::Play, "ended NetStream.Play.StreamNotFound"),
    ] {
        let mut pair = Pair::new(purpose, "rtmp://h/live/no", 1_000);
        pair.settle();
        assert_eq!(pair.client_told, [code]);
        assert_eq!(pair.client.stream_id(), None);
    }
    let mut pair = Pair::new(Purpose::Publish, "rtmp://h/live/x", 1_000);
    pair.settle();
    pair.server.end(End::Reconnect(Some("rtmp://b/live")));
    pair.server.end(End::Rejected("taken over"));
    pair.settle();
    let expected = [
        "Ready",
        "Reconnect(Some(\"rtmp://b/live\"))",
        "ended NetStream.Publish.Rejected",
    ];
    assert_eq!(pair.client_told, expected);
}

#[test]
fn what_comes_before_the_answer_waits_for_it() {
    let mut script = Script::connected("live");
    script.call_with("publish", 5.0, "x");
    // Longer than what strangers may send.
    let mut out = BytesMut::new();
    let picture = vec![1; 200_000];
    write_message(&mut out, 6, MessageType::VIDEO, 0, 1, &[&picture], 128);
    for piece in out.chunks(50_000) {
        assert_eq!(script.bytes(piece), Ok(()));
    }
    assert!(matches!(script.event(), Some(Event::Publish(_))));
    assert_eq!(script.event(), None);
    script.server.accept_publish();
    let Some(Event::Media(media)) = script.event() else {
        panic!("no media");
    };
    assert_eq!(media.payload, picture);
    // A refused one's media is not even read.
    let mut script = Script::connected("live");
    script.call_with("publish", 5.0, "x");
    assert_eq!(script.bytes(&out), Ok(()));
    script
        .server
        .refuse_publish("NetStream.Publish.Denied", "no");
    assert_eq!(script.bytes(b"x"), Err(BadPeer("message is too long")));
    // Nobody may send for ever.
    let mut script = Script::connected("live");
    script.call_with("publish", 5.0, "x");
    assert_eq!(script.bytes(&vec![0; WAITING_BYTES_MAX]), Ok(()));
    assert_eq!(
        script.bytes(b"x"),
        Err(BadPeer("too much before it was let in"))
    );
}

#[test]
fn what_is_received_is_acknowledged() {
    let mut script = Script::connected("live");
    script.call_with("publish", 5.0, "x");
    script.server.accept_publish();
    script.heard.clear();
    let acknowledged = |script: &mut Script| {
        let heard = script.heard.drain(..);
        let wanted = heard.filter(|message| message.kind == MessageType::ACKNOWLEDGEMENT);
        wanted.count()
    };
    for _ in 0..3_000 {
        assert_eq!(script.message(MessageType::VIDEO, 0, &[0; 1_000]), Ok(()));
    }
    assert_eq!(acknowledged(&mut script), 2);
    let window = 10_000_u32.to_be_bytes();
    assert_eq!(script.message(MessageType::WINDOW_SIZE, 0, &window), Ok(()));
    for _ in 0..100 {
        assert_eq!(script.message(MessageType::VIDEO, 0, &[0; 1_000]), Ok(()));
    }
    assert!((15..=25).contains(&acknowledged(&mut script)));
    // No window at all is one acknowledgement for each read, and no more.
    assert_eq!(script.message(MessageType::WINDOW_SIZE, 0, &[0; 4]), Ok(()));
    for _ in 0..10 {
        assert_eq!(script.message(MessageType::VIDEO, 0, &[0; 1_000]), Ok(()));
    }
    assert!((10..=11).contains(&acknowledged(&mut script)));
    // A ping is answered with what it brought.
    assert_eq!(
        script.message(MessageType::USER_CONTROL, 0, b"\0\x06\0\0\0\x07"),
        Ok(())
    );
    let pong = script.heard.last().expect("an answer");
    assert_eq!(pong.payload, &b"\0\x07\0\0\0\x07"[..]);
}

#[test]
fn peers_that_break_the_protocol_are_refused() {
    let bad = |kind: u8, body: &[u8], expected: &'static str| {
        let mut script = Script::connected("live");
        script.call_with("publish", 5.0, "x");
        script.server.accept_publish();
        let taken = script.message(MessageType(kind), 0, body);
        assert_eq!(taken, Err(BadPeer(expected)), "{kind}");
    };
    bad(1, &[0; 4], "impossible chunk size");
    bad(5, b"abc", "no window size");
    bad(4, b"a", "user control without an event");
    bad(20, b"", "command without a name");
    bad(20, b"\x05", "command without a name");
    bad(20, b"\x02\x00\x05ab", "bad command");
    bad(
        20,
        &[&b"\x02\x00\x01a"[..], &[5; 2_000]].concat(),
        "bad command",
    );
    bad(
        20,
        &[&b"\x02\x00\x01a"[..], &b"\x03\0\0".repeat(2_000)].concat(),
        "bad command",
    );
    bad(17, b"\0\x02\x00\x01a\x11\x0d", "bad command");
    bad(18, b"\x02\xff\xffab", "bad data message");
    bad(
        22,
        b"\x08\x00\x00\x05\0\0\0\0\0\0\0",
        "aggregate is cut short",
    );
    let mut script = Script::new();
    let early = script.try_call("publish", 1.0, |writer| {
        writer.null().string("x");
    });
    assert_eq!(early, Err(BadPeer("command before connect")));
    let mut script = Script::connected("live");
    let again = script.try_call("connect", 1.0, |writer| {
        writer.object().key("app").string("live").end();
    });
    assert_eq!(again, Err(BadPeer("connect twice")));
    let mut server = ServerSession::new([0; 32]);
    let taken = server.handle_input(Bytes::from_static(b"GET / HTTP/1.1\r\n\r\n"));
    assert_eq!(taken, Err(BadPeer("not RTMP")));
    assert_eq!(server.poll_transmit(), None);
}
