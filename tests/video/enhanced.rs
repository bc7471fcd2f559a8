//! Enhanced RTMP: codings that the old one has no number for, and several tracks of a kind.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use super::wait_tracks;
use crate::harness::client::newer_ffmpeg;
use crate::harness::{Backend, Client, Server, fixture};

/// Longer than any of them may take.
const LIMIT: Duration = Duration::from_secs(60);

/// A film that the old RTMP cannot carry.
struct Coding {
    name: &'static str,
    /// How ffmpeg makes it.
    options: &'static str,
    /// What the server must say of its tracks.
    tracks: &'static [&'static str],
    /// What is left out of its pictures, since each container has its own way with them.
    filter: &'static str,
}

const CODINGS: &[Coding] = &[
    Coding {
        name: "hevc.mp4",
        options: "-c:v libx265 -preset ultrafast -tag:v hvc1 \
            -x265-params log-level=none:keyint=30 -c:a libopus -ar 48000",
        tracks: &["h265", "opus"],
        filter: "hevc_mp4toannexb,filter_units=remove_types=32-40",
    },
    Coding {
        name: "av1.mp4",
        options: "-c:v libsvtav1 -preset 12 -g 30 -c:a flac -strict -2",
        tracks: &["av1", "flac"],
        filter: "filter_units=remove_types=1-2",
    },
    Coding {
        name: "vp9.mp4",
        options: "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 30 -c:a ac3 -ar 48000",
        tracks: &["vp9", "ac3"],
        filter: "null",
    },
    Coding {
        name: "languages.mp4",
        options: "-map 0:v -map 1:a -map 1:a -g 30 -b:a:1 48k",
        tracks: &["h264", "aac", "aac"],
        filter: "h264_mp4toannexb,filter_units=remove_types=6-9",
    },
];

/// The MD5 of each packet of one track that ffmpeg finds in `input`.
fn packets(input: &str, options: &[&str], track: usize, filter: &str) -> Vec<String> {
    let map = format!("0:{track}");
    let mut ffmpeg = newer_ffmpeg();
    ffmpeg.args(["-nostdin", "-v", "error"]).args(options);
    ffmpeg.args(["-i", input, "-map", &map, "-c", "copy"]);
    ffmpeg.args(["-bsf", filter, "-f", "framemd5", "-"]);
    let list = Client::spawn(&mut ffmpeg).succeed(LIMIT).text();
    let lines = list.lines().filter(|line| !line.starts_with('#'));
    let md5 = lines.filter_map(|line| Some(line.rsplit(',').next()?.trim().to_owned()));
    md5.collect()
}

fn publish(server: &Server, film: &Path, mount: &str) -> Client {
    let mut ffmpeg = newer_ffmpeg();
    ffmpeg
        .args(["-nostdin", "-v", "error", "-re", "-stream_loop", "3", "-i"])
        .arg(film);
    ffmpeg.args(["-map", "0", "-c", "copy", "-f", "flv"]);
    // It says what it can, and reads what the server can.
    ffmpeg.args(["-rtmp_enhanced_codecs", "hvc1,av01,vp09,Opus,fLaC,ac-3"]);
    Client::spawn(ffmpeg.arg(server.publish_url(mount)))
}

#[test]
fn a_newer_ffmpeg_publishes_and_plays_every_coding() {
    let server = Server::start(Backend::IoUring, &[]);
    for coding in CODINGS {
        let options: Vec<&str> = coding.options.split_whitespace().collect();
        let film = fixture::film(coding.name, 12, &options);
        let mount = format!("/live/{}", coding.name.trim_end_matches(".mp4"));
        let _source = publish(&server, &film, &mount);
        let report = wait_tracks(&server, &mount, coding.tracks.len());
        let tracks = report["tracks"].as_array().expect("tracks are a list");
        let mut codecs: Vec<_> = tracks
            .iter()
            .filter_map(|track| track["codec"].as_str())
            .collect();
        codecs.sort_unstable_by_key(|codec| coding.tracks.iter().position(|known| known == codec));
        assert_eq!(codecs, coding.tracks);
        for track in 0..coding.tracks.len() {
            let filter = if track == 0 { coding.filter } else { "null" };
            let of_film = packets(&film.to_string_lossy(), &[], track, filter);
            let of_film: HashSet<String> = of_film.into_iter().collect();
            let url = server.rtmp_url(&mount);
            let played = packets(&url, &["-t", "2"], track, filter);
            // Of FLAC a frame is a tenth of a second.
            let least = if track == 0 { 45 } else { 15 };
            let count = played.len();
            assert!(count >= least, "{}: {count} of {track}", coding.name);
            let strange = played.iter().filter(|md5| !of_film.contains(*md5)).count();
            assert_eq!(
                strange, 0,
                "{}: {strange} strange packets of {track}",
                coding.name
            );
        }
    }
}
