//! Video: what RTMP brings in, as every output gives it out again, with programs that we did not
//! write on both sides.

mod audience;
mod boxes;
pub(crate) mod browsers;
mod enhanced;
mod forward;
mod hls;
mod http2;
mod obs;
mod outputs;
mod player;
mod players;
pub(crate) mod rtmp;
mod transport;

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Client, Server, client, program, wait_for};

/// Publishes the film with its own pace, once.
pub(crate) fn publish(server: &Server, film: &Path, mount: &str) -> Client {
    publish_to(&server.publish_url(mount), film)
}

pub(crate) fn publish_to(url: &str, film: &Path) -> Client {
    let options = ["-nostdin", "-v", "error", "-re", "-i"];
    let output = ["-c", "copy", "-f", "flv"];
    let mut ffmpeg = program("ffmpeg");
    Client::spawn(ffmpeg.args(options).arg(film).args(output).arg(url))
}

/// Waits until the mount has `tracks` tracks; answers what the API says of it.
pub(crate) fn wait_tracks(server: &Server, mount: &str, tracks: usize) -> Value {
    let what = format!("{mount} has {tracks} tracks");
    wait_for(&what, Duration::from_secs(20), || {
        let report = server.mount(mount)?;
        let known = report["tracks"].as_array().map_or(0, Vec::len);
        (report["state"] == "live" && known == tracks).then_some(report)
    })
}

/// The payload of each packet that ffmpeg finds in `input`: kind of stream, size and MD5.
/// Parameter sets, delimiters and remarks inside the pictures are left out, since each container
/// has its own way with them.
fn packets(input: &str, options: &[&str], sound: &str) -> Vec<(String, String)> {
    let pictures = "h264_mp4toannexb,filter_units=remove_types=6-9";
    let mut args = vec!["-nostdin", "-v", "error"];
    args.extend(options);
    args.extend(["-i", input, "-map", "0:v:0", "-map", "0:a:0", "-c", "copy"]);
    args.extend(["-bsf:v", pictures, "-bsf:a", sound, "-f", "framemd5", "-"]);
    let text = client::run("ffmpeg", &args, Duration::from_secs(40)).text();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let packet = |line: &str| {
        let mut columns = line.split(',');
        let kind = match columns.next()?.trim() {
            "0" => "v",
            _ => "a",
        };
        // The hash is the sixth column; ffmpeg may add what it knows beside the packet.
        Some((kind.to_owned(), columns.nth(4)?.trim().to_owned()))
    };
    lines.filter_map(packet).collect()
}

/// Whether all of `found` are packets of the film, and how many there are of each kind.
fn assert_of_film(film: &HashSet<(String, String)>, found: &[(String, String)], least: [usize; 2]) {
    for packet in found {
        assert!(film.contains(packet), "{packet:?} is not in the film");
    }
    for (kind, least) in ["v", "a"].into_iter().zip(least) {
        let count = found.iter().filter(|(of, _)| of == kind).count();
        assert!(count >= least, "{count} packets of {kind}, not {least}");
    }
}
