//! Recordings, bit for bit, and what a disk that is full costs: nothing but the recording.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::clients::seconds_decoded;
use super::harness::{
    Backend, Cut, IcyReader, Scratch, Server, Station, fixture, mpeg, station, wait_for,
};

const SOON: Duration = Duration::from_secs(20);

crate::clients::on_both_backends!(
    a_recording_is_the_source_bit_for_bit_in_whole_frames,
    each_file_of_an_ogg_recording_plays_alone,
    a_source_that_takes_over_has_its_own_file,
    a_full_disk_costs_neither_source_nor_listener
);

/// The files of `folder`, the oldest first: their names begin with the time.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files
}

fn recorded(server: &Server) -> f64 {
    server.metric("corecast_recording_files_total", "")
}

fn a_recording_is_the_source_bit_for_bit_in_whole_frames(backend: Backend) {
    let folder = Scratch::new("recording");
    let pattern = format!(
        "mount_defaults.dump_file={}/{{mount}}/%H%M%S%3f.mp3",
        folder.path().display()
    );
    let settings = [
        pattern.as_str(),
        "mount_defaults.dump_rotate_ms=500",
        "mount_defaults.latency=live",
    ];
    let server = Server::start(backend, &settings);
    let station = Station::play_at(&server, "/show", 0, 4.0);
    wait_for("three files", SOON, || {
        (recorded(&server) >= 3.0).then_some(())
    });
    let sent = station.next_frame();
    drop(station);
    wait_for("the end of the recording", SOON, || {
        (server.metric("corecast_recordings", "") == 0.0).then_some(())
    });
    let show = folder.path().join("show");
    let files = files(&show);
    assert!(files.len() >= 3, "{files:?}");
    let all = mpeg::frames(0..sent + 1_000);
    let mut heard = Vec::new();
    for file in &files {
        let bytes = std::fs::read(file).expect("a file of ours");
        let expected = &all[heard.len()..][..bytes.len()];
        assert!(bytes == expected, "{file:?} is not what the source sent");
        assert!(bytes.starts_with(&[0xff]), "{file:?} begins with a frame");
        heard.extend(bytes);
        let whole = (0..sent + 1_000).any(|n| mpeg::frame_start(n) == heard.len() as u64);
        assert!(whole, "{file:?} ends with a frame");
    }
    assert!(
        heard.len() as u64 >= mpeg::frame_start(sent),
        "the last frame is there"
    );
    assert_eq!(
        server.metric("corecast_recording_pieces_lost_total", ""),
        0.0
    );
    assert_eq!(
        server.metric("corecast_recording_bytes_total", ""),
        heard.len() as f64
    );

    // The next source has files of its own.
    let before = recorded(&server);
    let station = Station::play(&server, "/show");
    wait_for("one more file", SOON, || {
        (recorded(&server) > before).then_some(())
    });
    drop(station);
}

fn each_file_of_an_ogg_recording_plays_alone(backend: Backend) {
    let folder = Scratch::new("recording");
    // No escape: every file but the first gets a number.
    let pattern = format!(
        "mount_defaults.dump_file={}/show.ogg",
        folder.path().display()
    );
    let settings = [
        pattern.as_str(),
        "mount_defaults.dump_rotate_ms=500",
        "mount_defaults.latency=live",
    ];
    let server = Server::start(backend, &settings);
    let sent = std::fs::read(fixture::vorbis(4, "Ada", "One")).expect("it stays");
    let headers = "Content-Type: application/ogg\r\n";
    let (mut source, answer) = station::open(server.address(), "/show.ogg", headers);
    assert_eq!(answer.status, 200);
    for part in sent.chunks(sent.len() / 8 + 1) {
        source.write_all(part).expect("the server takes pages");
        std::thread::sleep(Duration::from_millis(300));
    }
    drop(source);
    wait_for("the end of the recording", SOON, || {
        (server.metric("corecast_recordings", "") == 0.0).then_some(())
    });
    let count = files(folder.path()).len();
    assert!(count >= 3, "{count} files");
    let mut whole: Vec<u8> = Vec::new();
    for number in 1..=count {
        let name = match number {
            1 => "show.ogg".to_owned(),
            number => format!("show-{number}.ogg"),
        };
        let file = std::fs::read(folder.file(&name)).expect("they are numbered in order");
        let played = seconds_decoded(&name, &file);
        assert!(played > 0.2, "{name}: {played} s");
        // All but the first repeat the headers of the stream.
        let repeated = if whole.is_empty() {
            0
        } else {
            same_pages(&sent, &file)
        };
        assert!(whole.is_empty() || repeated > 0, "{name} has no headers");
        whole.extend(&file[repeated..]);
    }
    assert!(whole == sent, "{} bytes of {}", whole.len(), sent.len());
}

/// Bytes of the pages that both begin with.
fn same_pages(sent: &[u8], file: &[u8]) -> usize {
    let borders = Cut::Ogg.borders(sent).into_iter();
    let same = borders.filter(|border| file.starts_with(&sent[..*border]));
    same.max().unwrap_or(0)
}

fn a_source_that_takes_over_has_its_own_file(backend: Backend) {
    let folder = Scratch::new("recording");
    let pattern = format!("mount_defaults.dump_file={}/a.mp3", folder.path().display());
    // Runs of a second: the first source has one that waits when the second comes.
    let settings = [pattern.as_str(), "mount_defaults.takeover=true"];
    let server = Server::start(backend, &settings);
    let first = Station::play(&server, "/show");
    wait_for("a file", SOON, || (recorded(&server) >= 1.0).then_some(()));
    let second = Station::play_at(&server, "/show", 100_000, 1.0);
    wait_for("another", SOON, || (recorded(&server) >= 2.0).then_some(()));
    drop((first, second));
    wait_for("the end of the recording", SOON, || {
        (server.metric("corecast_recordings", "") == 0.0).then_some(())
    });
    for (name, from) in [("a.mp3", 0), ("a-2.mp3", 100_000)] {
        let file = std::fs::read(folder.file(name)).expect("it was made");
        let played = mpeg::frames(from..from + 1_000);
        assert!(!file.is_empty() && played.starts_with(&file), "{name}");
    }
}

fn a_full_disk_costs_neither_source_nor_listener(backend: Backend) {
    let settings = [
        "mount_defaults.dump_file=/dev/full",
        "mount_defaults.latency=live",
    ];
    let server = Server::start(backend, &settings);
    let station = Station::play_at(&server, "/live", 0, 2.0);
    server.wait_live("/live");
    let mut reader = IcyReader::open(server.address(), "/live");
    let lost = || server.metric("corecast_recording_pieces_lost_total", "");
    let enough = reader.listen_until(SOON, |reader| reader.audio.len() > 60_000);
    assert!(enough, "the listener hears on: {}", reader.audio.len());
    wait_for("several pieces are lost", SOON, || {
        (lost() >= 4.0).then_some(())
    });
    assert!(station.is_playing());
    assert_eq!(server.metric("corecast_recording_bytes_total", ""), 0.0);
    let log = server.log();
    let told: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("are lost"))
        .collect();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(
        told[0].contains("/live") && told[0].contains("WARN"),
        "{told:?}"
    );
}
