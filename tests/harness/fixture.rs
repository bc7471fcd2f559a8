//! Sounds and films that ffmpeg makes once; kept under `target/` for the next run.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::client::run;

/// A tone that never repeats with a little noise, in both channels differently.
const SOUND: &str = "aevalsrc='0.3*sin(2*PI*(300+40*t)*t)+0.02*random(0)|\
     0.3*sin(2*PI*(500+30*t)*t)+0.02*random(1)':s=44100";

/// Moving pictures with a counter in them.
const PICTURES: &str = "testsrc2=s=320x180:r=30";

/// A file of `seconds` of sound, made by ffmpeg with `options`; `name` ends in what it is.
pub(crate) fn sound(name: &str, seconds: u32, options: &[&str]) -> PathBuf {
    made(name, &[SOUND], seconds, options)
}

/// A film of `seconds`: H.264 of 320x180 at 30 Hz by `options`, and AAC.
pub(crate) fn film(name: &str, seconds: u32, options: &[&str]) -> PathBuf {
    let mut all = vec![
        "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-b:v", "400k",
    ];
    all.extend(["-c:a", "aac", "-b:a", "96k"]);
    all.extend(options);
    made(name, &[PICTURES, SOUND], seconds, &all)
}

fn made(name: &str, inputs: &[&str], seconds: u32, options: &[&str]) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    (inputs, seconds, options).hash(&mut hasher);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fixtures");
    std::fs::create_dir_all(&folder).expect("a folder under target/ can be made");
    let path = folder.join(format!("{:016x}-{name}", hasher.finish()));
    if path.exists() {
        return path;
    }
    // Several tests may make it at once: each makes its own, the last one stays.
    let thread = std::thread::current().id();
    let made = folder.join(format!("{}-{thread:?}-{name}", std::process::id()));
    let seconds = seconds.to_string();
    let mut args = vec!["-nostdin", "-v", "error", "-y"];
    for input in inputs {
        args.extend(["-f", "lavfi", "-t", &seconds, "-i", input]);
    }
    args.extend(options);
    let place = made.to_string_lossy();
    args.push(&place);
    run("ffmpeg", &args, Duration::from_secs(60));
    std::fs::rename(&made, &path).expect("both are in one folder");
    path
}

/// MP3, 128 kbit/s, 44.1 kHz, stereo; no frame needs the one before it.
pub(crate) fn mp3(seconds: u32) -> PathBuf {
    let options = [
        "-c:a",
        "libmp3lame",
        "-b:a",
        "128k",
        "-reservoir",
        "0",
        "-write_xing",
        "0",
        "-id3v2_version",
        "0",
    ];
    sound("sound.mp3", seconds, &options)
}

/// AAC in ADTS, 96 kbit/s, 44.1 kHz, stereo.
pub(crate) fn adts(seconds: u32) -> PathBuf {
    sound(
        "sound.aac",
        seconds,
        &["-c:a", "aac", "-b:a", "96k", "-f", "adts"],
    )
}

/// Microseconds of sound in a page of Ogg.
const PAGE_US: &str = "200000";

/// Ogg Vorbis, 44.1 kHz, stereo, with a title and an artist.
pub(crate) fn vorbis(seconds: u32, artist: &str, title: &str) -> PathBuf {
    let tags = [format!("artist={artist}"), format!("title={title}")];
    let mut options = vec!["-c:a", "libvorbis", "-q:a", "3", "-page_duration", PAGE_US];
    options.extend(tags.iter().flat_map(|tag| ["-metadata", tag]));
    sound("vorbis.ogg", seconds, &options)
}

/// Ogg Opus, 48 kHz, stereo.
pub(crate) fn opus(seconds: u32) -> PathBuf {
    let codec = ["-ar", "48000", "-c:a", "libopus", "-b:a", "96k"];
    let options = [&codec[..], &["-page_duration", PAGE_US]].concat();
    sound("opus.opus", seconds, &options)
}

/// FLAC in Ogg, 44.1 kHz, stereo.
pub(crate) fn flac(seconds: u32) -> PathBuf {
    let codec = ["-c:a", "flac", "-sample_fmt", "s16"];
    let options = [&codec[..], &["-page_duration", PAGE_US]].concat();
    sound("flac.oga", seconds, &options)
}
