//! `/status-json.xsl` beside a real Icecast 2.4 that has the same sources.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::harness::server::SOURCE_PASSWORD;
use super::harness::{Backend, Client, Icecast, Server, fixture, http, program, wait_for};

const LIMIT: Duration = Duration::from_secs(20);

/// ffmpeg plays `file` to both; it says everything that a source may say.
pub(super) fn play(
    server: &Server,
    icecast: &Icecast,
    file: &Path,
    mount: &str,
    format: &str,
) -> [Client; 2] {
    [server.port(), icecast.address().port()].map(|port| {
        let mut command = program("ffmpeg");
        command.args("-nostdin -v error -re -stream_loop 50 -i".split(' '));
        command
            .arg(file)
            .args(["-c", "copy"])
            .args(format.split(' '));
        command.args(["-ice_name", "Radio Ada", "-ice_genre", "News"]);
        command.args([
            "-ice_description",
            "All of it",
            "-ice_url",
            "http://radio.example/",
        ]);
        command.arg(format!(
            "icecast://source:{SOURCE_PASSWORD}@127.0.0.1:{port}{mount}"
        ));
        Client::spawn(&mut command)
    })
}

/// `/status-json.xsl` of both, ours first, once both have `count` sources with a title each:
/// Icecast takes a moment for titles and for what it reads from a stream.
fn statuses(server: &Server, icecast: &Icecast, count: usize) -> [Value; 2] {
    [server.address(), icecast.address()].map(|address| {
        let mut last = Value::Null;
        let found = || {
            last = http::try_get(address, "/status-json.xsl").ok()?.json();
            let sources = match &last["icestats"]["source"] {
                Value::Array(sources) => sources.as_slice(),
                Value::Null => &[],
                source => std::slice::from_ref(source),
            };
            let titled = sources.iter().filter(|source| source["title"].is_string());
            (sources.len() == count && titled.count() == count).then(|| last.clone())
        };
        wait_for("both have the sources and their titles", LIMIT, found)
    })
}

/// The keys of an object and the types of their values.
fn shape(object: &Value) -> BTreeMap<String, &'static str> {
    let pairs = object.as_object().expect("an object").iter();
    let pairs = pairs.map(|(key, value)| (key.clone(), type_of(value)));
    pairs.collect()
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// What both say of one source: the same keys with the same types, and the same words.
fn assert_same_source(ours: &Value, theirs: &Value) {
    let mut keys = shape(ours);
    // Icecast only repeats the rate that a source tells; ours is read from the stream.
    if theirs["bitrate"].is_null() && keys.remove("bitrate").is_some() {
        assert_eq!(ours["bitrate"], 128);
    }
    assert_eq!(keys, shape(theirs), "{ours} {theirs}");
    for key in [
        "server_name",
        "server_description",
        "server_type",
        "server_url",
        "genre",
        "title",
        "artist",
        "listeners",
        "audio_channels",
        "audio_samplerate",
        "subtype",
    ] {
        assert_eq!(ours[key], theirs[key], "{key}: {ours} {theirs}");
    }
}

#[test]
fn the_status_has_the_keys_and_types_of_icecast() {
    let settings = ["server.location=Here", "server.admin=nobody@localhost"];
    let server = Server::start(Backend::IoUring, &settings);
    let icecast = Icecast::start("");

    let [ours, theirs] = statuses(&server, &icecast, 0);
    let (none, their_none) = (&ours["icestats"], &theirs["icestats"]);
    assert_eq!(shape(none), shape(their_none), "{ours} {theirs}");
    for key in ["admin", "host", "location"] {
        assert_eq!(none[key], their_none[key]);
    }

    let mp3 = fixture::mp3(5);
    let _mp3 = play(
        &server,
        &icecast,
        &mp3,
        "/a.mp3",
        "-content_type audio/mpeg -f mp3",
    );
    server.wait_live("/a.mp3");
    wait_for("Icecast has the source", LIMIT, || {
        let status = http::try_get(icecast.address(), "/status-json.xsl").ok()?;
        status.text().contains("/a.mp3").then_some(())
    });
    for address in [server.address(), icecast.address()] {
        let authorization = http::basic("source", SOURCE_PASSWORD);
        let request = format!(
            "GET /admin/metadata?mount=/a.mp3&mode=updinfo&song=Ada+-+Steps HTTP/1.0\r\n\
             {authorization}\r\n"
        );
        let answer = http::exchange(address, request.as_bytes()).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(
            answer.text().contains("<return>1</return>"),
            "{}",
            answer.text()
        );
    }
    let [ours, theirs] = statuses(&server, &icecast, 1);
    assert_eq!(shape(&ours["icestats"]), shape(&theirs["icestats"]));
    let [one, their_one] = [&ours, &theirs].map(|status| &status["icestats"]["source"]);
    assert_same_source(one, their_one);
    assert_eq!(one["title"], "Ada - Steps");

    let vorbis = fixture::vorbis(5, "Bea", "Three");
    let _ogg = play(
        &server,
        &icecast,
        &vorbis,
        "/b.ogg",
        "-content_type application/ogg -f ogg",
    );
    server.wait_live("/b.ogg");
    let [ours, theirs] = statuses(&server, &icecast, 2);
    let [two, their_two] = [&ours, &theirs].map(|status| &status["icestats"]["source"]);
    for (one, their_one) in [(&two[0], &their_two[0]), (&two[1], &their_two[1])] {
        assert_same_source(one, their_one);
    }
    let status = server.json("/status-json.xsl?mount=/b.ogg");
    assert_eq!(
        status["icestats"]["source"]["server_type"],
        "application/ogg"
    );
}
