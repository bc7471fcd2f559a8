//! What is inside the files of HLS, as a reader that we did not write sees it and as ours does:
//! which boxes, in which order, and clocks that go on without a hole.

use std::fs;
use std::time::Duration;

use corecast_protocol::cmaf::reader;
use serde_json::Value;

use super::{publish, wait_tracks};
use crate::harness::client::script_of_npm;
use crate::harness::server::SOURCE_PASSWORD;
use crate::harness::{Backend, Client, Server, fixture, program, wait_for};

/// Longer than anything here may take.
const LIMIT: Duration = Duration::from_secs(60);

const SHORT: [&str; 2] = [
    "mount_defaults.hls=always",
    "mount_defaults.hls_segment_ms=1000",
];

/// One line of JSON for each box on top, with what matters of fragments.
const LIST: &str = "
const [parser, path] = process.argv.slice(1);
const bytes = require('fs').readFileSync(path);
const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
buffer.fileStart = 0;
const file = require(parser).createFile();
file.onError = (fault) => { throw new Error(fault); };
file.appendBuffer(buffer);
file.flush();
for (const box of file.boxes) {
    const row = { type: box.type, size: box.size };
    if (box.type === 'moof') {
        const { tfhd, tfdt, truns } = box.trafs[0];
        const run = truns[0];
        const lengths = run.sample_duration.length > 0
            ? run.sample_duration : run.sample_size.map(() => tfhd.default_sample_duration);
        Object.assign(row, {
            trafs: box.trafs.length, runs: truns.length, tfhd: tfhd.flags,
            tfdt: tfdt.version, time: tfdt.baseMediaDecodeTime, trun: run.version,
            offset: run.data_offset, sizes: run.sample_size,
            duration: lengths.reduce((sum, length) => sum + length, 0),
        });
    }
    console.log(JSON.stringify(row));
}
const [track] = file.getInfo().tracks;
console.log(JSON.stringify({ codec: track.codec, timescale: track.timescale }));
";

/// ISO/IEC 14496-12 section 8.8.7.1.
const DEFAULT_BASE_IS_MOOF: u64 = 0x02_0000;

/// A media playlist once it lists so many whole segments.
fn wait_list(server: &Server, path: &str, segments: usize) -> String {
    wait_for(&format!("{path} has {segments} segments"), LIMIT, || {
        let answer = server.get(path);
        let text = answer.text();
        (text.matches("#EXTINF:").count() >= segments).then_some(text)
    })
}

/// The header and the whole segments of the list at `path`.
fn fetch(server: &Server, path: &str) -> Vec<Vec<u8>> {
    let list = wait_list(server, path, 4);
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let map = list.split("#EXT-X-MAP:URI=\"").nth(1);
    let map = map
        .and_then(|rest| rest.split('"').next())
        .expect("there is a header");
    let segments = list
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    let names = std::iter::once(map).chain(segments);
    let files = names.map(|name| {
        let answer = server.get(&format!("{folder}/{name}"));
        assert_eq!(answer.status, 200, "{name}");
        answer.body
    });
    files.collect()
}

/// What the other reader says of `bytes`, box for box; the last row is of the track.
fn rows(server: &Server, bytes: &[u8]) -> Vec<Value> {
    let path = server.scratch().file("boxes.mp4");
    fs::write(&path, bytes).expect("the scratch folder takes files");
    let mut node = program("node");
    node.args(["-e", LIST])
        .arg(script_of_npm("mp4box.all.cjs"))
        .arg(path);
    let list = Client::spawn(&mut node).succeed(LIMIT).text();
    let rows = list.lines().map(serde_json::from_str);
    rows.collect::<Result<_, _>>()
        .expect("the script writes JSON")
}

fn number(row: &Value, name: &str) -> u64 {
    row[name]
        .as_u64()
        .unwrap_or_else(|| panic!("no {name} in {row}"))
}

/// Holds a header with its segments to the form of CMAF (ISO/IEC 23000-19 section 7.3).
fn check(server: &Server, files: &[Vec<u8>], codec: &str) {
    let bytes = files.concat();
    let mut rows = rows(server, &bytes);
    let track = rows.pop().expect("the track comes last");
    assert!(
        track["codec"]
            .as_str()
            .is_some_and(|found| found.starts_with(codec)),
        "{track}"
    );
    let init = reader::read_init(&files[0]).expect("our header");
    assert_eq!(track["timescale"], init.timescale);

    let types: Vec<&str> = rows.iter().filter_map(|row| row["type"].as_str()).collect();
    assert_eq!(types[..2], ["ftyp", "moov"]);
    let media: Vec<&str> = types[2..].to_vec();
    let sizes: u64 = rows.iter().map(|row| number(row, "size")).sum();
    assert_eq!(sizes, bytes.len() as u64, "{types:?}");
    for (at, kind) in media.iter().enumerate() {
        let next = media.get(at + 1).copied();
        let allowed: &[&str] = match *kind {
            "prft" => &["emsg", "moof"],
            "emsg" => &["emsg", "moof"],
            "moof" => &["mdat"],
            "mdat" => &["prft", "emsg", "moof"],
            other => panic!("{other} in {types:?}"),
        };
        let is_good = next.map_or(*kind == "mdat", |next| allowed.contains(&next));
        assert!(is_good, "{next:?} behind {kind} in {types:?}");
    }
    check_fragments(&bytes, &rows);
    for segment in &files[1..] {
        let fragments = reader::read_fragments(segment).expect("our segment");
        assert!(
            fragments[0].starts_with_keyframe(),
            "a segment begins without a keyframe"
        );
    }
}

/// Fails unless both readers find the same fragments in `bytes`, one behind the other in time.
fn check_fragments(bytes: &[u8], rows: &[Value]) {
    let ours = reader::read_fragments(bytes).expect("our segments");
    let theirs: Vec<&Value> = rows.iter().filter(|row| row["type"] == "moof").collect();
    assert_eq!(ours.len(), theirs.len());
    let mut next = None;
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert_eq!(
            (&theirs["trafs"], &theirs["runs"]),
            (&1.into(), &1.into()),
            "{theirs}"
        );
        assert_ne!(number(theirs, "tfhd") & DEFAULT_BASE_IS_MOOF, 0, "{theirs}");
        // 64 bits for the time, and offsets with a sign.
        assert_eq!(
            (&theirs["tfdt"], &theirs["trun"]),
            (&1.into(), &1.into()),
            "{theirs}"
        );
        assert_eq!(
            number(theirs, "offset"),
            number(theirs, "size") + 8,
            "{theirs}"
        );
        assert_eq!(number(theirs, "time"), ours.decode_time_ticks);
        assert_eq!(number(theirs, "duration"), ours.duration_ticks());
        let lengths = ours.samples.iter().map(|sample| sample.payload.len());
        assert_eq!(theirs["sizes"], Value::from(lengths.collect::<Vec<_>>()));
        let time = ours.decode_time_ticks;
        assert_eq!(
            next.replace(time + ours.duration_ticks()).unwrap_or(time),
            time,
            "a hole"
        );
    }
}

#[test]
fn another_reader_finds_the_same_in_every_box() {
    let server = Server::start(Backend::IoUring, &SHORT);
    let film = fixture::film("outputs.flv", 40, &["-bf", "2", "-g", "30"]);
    let _source = publish(&server, &film, "/live/cam");
    wait_tracks(&server, "/live/cam", 2);
    for (rendition, codec) in [("v0", "avc1."), ("a0", "mp4a.40.2")] {
        let files = fetch(&server, &format!("/live/cam/hls/{rendition}.m3u8"));
        check(&server, &files, codec);
    }
}

#[test]
fn titles_are_dates_in_the_list_and_tags_in_the_media() {
    let server = Server::start(Backend::Epoll, &SHORT);
    let mut ffmpeg = program("ffmpeg");
    ffmpeg
        .args(["-nostdin", "-v", "error", "-re", "-i"])
        .arg(fixture::adts(60));
    ffmpeg.args("-c copy -content_type audio/aac -f adts".split(' '));
    let address = server.address();
    ffmpeg.arg(format!(
        "icecast://source:{SOURCE_PASSWORD}@{address}/live.aac"
    ));
    let _source = Client::spawn(&mut ffmpeg);
    server.wait_live("/live.aac");
    let path = "/live.aac/hls/a0.m3u8";
    wait_list(&server, path, 1);
    let title = "Ada – Première";
    server.set_title("/live.aac", title.as_bytes());
    let list = wait_for("the title is in the list", LIMIT, || {
        let list = server.get(path).text();
        list.contains("#EXT-X-DATERANGE:").then_some(list)
    });
    let range = list
        .lines()
        .find(|line| line.starts_with("#EXT-X-DATERANGE:"));
    let range = range.expect("it was just there");
    for attribute in ["ID=\"", "START-DATE=\"20", &format!("X-TITLE=\"{title}\"")] {
        assert!(range.contains(attribute), "no {attribute} in {range}");
    }

    wait_list(&server, path, list.matches("#EXTINF:").count() + 3);
    let files = fetch(&server, path);
    check(&server, &files, "mp4a.40.2");
    let bytes = files.concat();
    let events: Vec<_> = reader::atoms(&bytes)
        .filter_map(|atom| atom.ok().filter(|atom| atom.kind == *b"emsg"))
        .collect();
    let [event] = events[..] else {
        panic!("{} events of one title", events.len());
    };
    let has = |part: &[u8]| event.body.windows(part.len()).any(|found| found == part);
    assert!(has(b"https://aomedia.org/emsg/ID3\0"), "the scheme");
    assert!(has(b"ID3\x04") && has(b"TIT2"), "a tag");
    assert!(has("Première".as_bytes()), "the title");
}
