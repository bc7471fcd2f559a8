//! What clients ask for, and what they are answered.

use super::*;

#[test]
fn publishers_are_served_as_the_usual_encoders_expect() {
    let mut script = Script::connected("live");
    script.call_with("releaseStream", 2.0, "x");
    script.call_with("FCPublish", 3.0, "x");
    script.call("createStream", 4.0, |writer| {
        writer.null();
    });
    let expected = [
        "_result 2",
        "onFCPublish 0 NetStream.Publish.Start",
        "_result 3",
        "_result 4 1",
    ];
    assert_eq!(script.results(), expected);
    script.call("publish", 5.0, |writer| {
        writer.null().string("x").string("live");
    });
    let Some(Event::Publish(wish)) = script.event() else {
        panic!("no wish to publish");
    };
    assert_eq!(wish.path(), "/live/x");
    assert_eq!(wish.purpose, "live");
    assert_eq!(script.results(), [""; 0]);
    script.server.accept_publish();
    assert_eq!(script.results(), ["onStatus 0 NetStream.Publish.Start"]);
    let audio = |script: &mut Script, time| script.message(MessageType::AUDIO, time, b"sound");
    assert_eq!(audio(&mut script, 40), Ok(()));
    let expected = Event::Media(Media {
        kind: MediaKind::Audio,
        timestamp_ms: 40,
        payload: Bytes::from_static(b"sound"),
    });
    assert_eq!(script.event(), Some(expected));
    script.call_with("FCUnpublish", 6.0, "x");
    script.call("deleteStream", 7.0, |writer| {
        writer.null().number(1.0);
    });
    assert_eq!(script.event(), Some(Event::Unpublish));
    let expected = [
        "onFCUnpublish 0 NetStream.Unpublish.Success",
        "_result 6",
        "onStatus 0 NetStream.Unpublish.Success",
    ];
    assert_eq!(script.results(), expected);
    // Nothing is published any more, until it is again. What was under way may be long.
    assert_eq!(audio(&mut script, 80), Ok(()));
    let late = script.message(MessageType::VIDEO, 80, &[0; 100_000]);
    assert_eq!(late, Ok(()));
    assert_eq!(script.event(), None);
    script.call_with("publish", 8.0, "y");
    assert!(matches!(script.event(), Some(Event::Publish(_))));
}

#[test]
fn players_are_served() {
    let mut script = Script::connected("live");
    script.call_with("getStreamLength", 3.0, "x");
    script.call_with("play", 4.0, "x");
    assert!(matches!(script.event(), Some(Event::Play(_))));
    assert_eq!(script.results(), ["_result 3 0"]);
    script.server.accept_play();
    let expected = [
        "onStatus 0 NetStream.Play.Reset",
        "onStatus 0 NetStream.Play.Start",
        "|RtmpSampleAccess true true",
    ];
    assert_eq!(script.results(), expected);
    script.call("pause", 5.0, |writer| {
        writer.null().boolean(true).number(0.0);
    });
    script.call("pause", 6.0, |writer| {
        writer.null().boolean(false).number(0.0);
    });
    script.call("seek", 7.0, |writer| {
        writer.null().number(1_000.0);
    });
    assert_eq!(script.event(), Some(Event::Paused(true)));
    assert_eq!(script.event(), Some(Event::Paused(false)));
    let expected = [
        "onStatus 0 NetStream.Pause.Notify",
        "onStatus 0 NetStream.Unpause.Notify",
        "onStatus 0 NetStream.Seek.Failed",
    ];
    assert_eq!(script.results(), expected);
    // A player's media is nobody's.
    assert_eq!(script.message(MessageType::VIDEO, 0, b"picture"), Ok(()));
    script.server.end(End::Unpublished);
    assert_eq!(
        script.results(),
        ["onStatus 0 NetStream.Play.UnpublishNotify"]
    );
    script.call_with("closeStream", 0.0, "");
    assert_eq!(script.event(), None);
}

#[test]
fn odd_calls_are_answered_or_passed_over() {
    let mut script = Script::connected("live");
    for (name, number, expected) in [
        ("_checkbw", 2.0, &["_result 2"][..]),
        (
            "FCSubscribe",
            3.0,
            &["onFCSubscribe 0 NetStream.Play.Start", "_result 3"],
        ),
        ("noSuchThing", 4.0, &["_error 4 NetConnection.Call.Failed"]),
        ("noSuchThing", 0.0, &[]),
        ("releaseStream", 0.0, &[]),
        ("receiveAudio", 5.0, &[]),
        ("onStatus", 6.0, &[]),
        ("pause", 7.0, &[]),
        ("deleteStream", 8.0, &[]),
        ("publish", 9.0, &[]),
    ] {
        script.call_with(name, number, "x");
        if name == "publish" {
            script
                .server
                .refuse_publish("NetStream.Publish.Denied", "no");
            assert_eq!(script.results(), ["onStatus 0 NetStream.Publish.Denied"]);
            continue;
        }
        assert_eq!(script.results(), expected, "{name}");
    }
    while script.event().is_some() {}
    // Without what belongs to them.
    for name in [
        "publish",
        "play",
        "createStream",
        "pause",
        "FCPublish",
        "seek",
    ] {
        script.call(name, 9.0, |_| ());
        assert_eq!(script.event(), None, "{name}");
    }
    // A flag where a name should be: the end of a stream that is none.
    script.call("play", 9.0, |writer| {
        writer.null().boolean(false);
    });
    // Shared objects, and a type that nobody knows.
    for kind in [16, 19, 7, 99] {
        assert_eq!(script.message(MessageType(kind), 0, b"xyz"), Ok(()));
    }
}

#[test]
fn amf3_clients_are_understood() {
    let mut script = Script::new();
    let mut body = BytesMut::from(&b"\0"[..]);
    let mut writer = Writer(&mut body);
    writer.string("connect").number(1.0).object();
    writer
        .key("app")
        .string("live")
        .key("objectEncoding")
        .number(3.0)
        .end();
    assert_eq!(script.message(MessageType::COMMAND_AMF3, 0, &body), Ok(()));
    let answer = script.heard.last().expect("an answer");
    let mut decoder = Decoder::new(&answer.payload, COMMAND_VALUES_MAX);
    let values: Vec<_> = std::iter::from_fn(|| decoder.decode().expect("good")).collect();
    assert_eq!(values[3].field("objectEncoding"), Some(&Value::Number(3.0)));
    assert_eq!(values[2].field("capsEx"), None);
    // The name in AMF3.
    let mut body = BytesMut::from(&b"\0"[..]);
    Writer(&mut body).string("publish").number(2.0).null();
    body.extend_from_slice(b"\x11\x06\x03x");
    assert_eq!(script.message(MessageType::COMMAND_AMF3, 0, &body), Ok(()));
    let Some(Event::Publish(wish)) = script.event() else {
        panic!("no wish to publish");
    };
    assert_eq!(wish.stream, "x");
    script.server.accept_publish();
    let data = b"\0\x02\x00\x0d@setDataFrame\x02\x00\x0aonMetaData\x05";
    assert_eq!(script.message(MessageType::DATA_AMF3, 0, data), Ok(()));
    let Some(Event::Media(media)) = script.event() else {
        panic!("no metadata");
    };
    assert_eq!(media.payload, &b"\x02\x00\x0aonMetaData\x05"[..]);
}

#[test]
fn enhanced_clients_are_told_what_we_can() {
    let mut script = Script::new();
    script.call("connect", 1.0, |writer| {
        writer
            .object()
            .key("app")
            .string("live")
            .key("capsEx")
            .number(1.0);
        writer.key("fourCcList").strict_array(1).string("*").end();
    });
    let answer = script.heard.last().expect("an answer");
    let mut decoder = Decoder::new(&answer.payload, COMMAND_VALUES_MAX);
    let values: Vec<_> = std::iter::from_fn(|| decoder.decode().expect("good")).collect();
    let Some(Value::StrictArray(codes)) = values[2].field("fourCcList") else {
        panic!("no codings");
    };
    assert!(codes.contains(&Value::String("hvc1".into())));
    let video = values[2].field("videoFourCcInfoMap").expect("pictures");
    assert_eq!(video.field("av01"), Some(&Value::Number(4.0)));
    assert_eq!(values[2].field("capsEx"), Some(&Value::Number(15.0)));
    script.call_with("publish", 5.0, "x");
    let Some(Event::Publish(wish)) = script.event() else {
        panic!("no wish to publish");
    };
    assert!(wish.reconnects);
    script.server.accept_publish();
    script.results();
    script
        .server
        .end(End::Reconnect(Some("rtmp://b.example/live")));
    let expected = ["onStatus 0 NetConnection.Connect.ReconnectRequest"];
    assert_eq!(script.results(), expected);
    script.server.end(End::Rejected("taken over"));
    assert_eq!(script.results(), ["onStatus 0 NetStream.Publish.Rejected"]);
    // Who does not know of it is not asked.
    let mut script = Script::connected("live");
    script.server.end(End::Reconnect(None));
    assert_eq!(script.results(), [""; 0]);
}

#[test]
fn names_hosts_and_queries_are_found_wherever_clients_put_them() {
    for (app, name, path, query, vhost) in [
        ("live", "x", "/live/x", "", "a.example"),
        ("live", "x?token=1", "/live/x", "token=1", "a.example"),
        ("live?token=1", "x", "/live/x", "token=1", "a.example"),
        (
            "live?b=2",
            "x?a=1&vhost=v",
            "/live/x",
            "a=1&vhost=v&b=2",
            "v",
        ),
        ("/live/", "/x/", "/live/x", "", "a.example"),
        ("live/a", "b", "/live/a/b", "", "a.example"),
        ("live", "a/b", "/live/a/b", "", "a.example"),
        ("live", "mp4:a/b.mp4", "/live/a/b.mp4", "", "a.example"),
        ("live", "flv:x?t=1", "/live/x", "t=1", "a.example"),
        ("live", "", "/live", "", "a.example"),
        ("", "x", "/x", "", "a.example"),
        ("", "", "", "", "a.example"),
        ("live", "x?vhost=a%20b", "/live/x", "vhost=a%20b", "a b"),
    ] {
        let mut script = Script::connected(app);
        script.call_with("play", 5.0, name);
        let Some(Event::Play(wish)) = script.event() else {
            panic!("no wish to play");
        };
        let found = (wish.path(), &*wish.query, &*wish.vhost);
        assert_eq!(found, (path.to_owned(), query, vhost), "{app} {name}");
    }
    let long = "x".repeat(2_000);
    for name in ["a\nb", "a\0", "a?b=\r", &long] {
        let mut script = Script::connected("live");
        script.call_with("publish", 5.0, name);
        assert_eq!(script.event(), None);
        assert_eq!(script.results(), ["onStatus 0 NetStream.Publish.BadName"]);
        let mut script = Script::new();
        let connected = script.try_call("connect", 1.0, |writer| {
            writer.object().key("app").string(name).end();
        });
        assert_eq!(connected, Err(BadPeer("bad application")));
        assert_eq!(
            script.results(),
            ["_error 1 NetConnection.Connect.InvalidApp"]
        );
    }
}

#[test]
fn one_connection_has_one_stream_at_a_time() {
    let mut script = Script::connected("live");
    script.call_with("publish", 5.0, "x");
    script.server.accept_publish();
    script.results();
    script.call_with("publish", 6.0, "y");
    assert_eq!(script.results(), ["onStatus 0 NetStream.Publish.BadName"]);
    script.call_with("play", 7.0, "y");
    assert_eq!(script.results(), ["onStatus 0 NetStream.Play.Failed"]);
    assert!(matches!(script.event(), Some(Event::Publish(_))));
    assert_eq!(script.event(), None);
}

#[test]
fn answers_that_nobody_waits_for_do_nothing() {
    let mut script = Script::connected("live");
    script.server.accept_publish();
    script.server.accept_play();
    script.server.refuse_publish("a", "b");
    script.server.refuse_play("a", "b");
    script.server.end(End::Unpublished);
    script.server.end(End::Rejected("no"));
    assert_eq!(script.results(), [""; 0]);
}
