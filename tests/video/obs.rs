//! OBS Studio, which most people publish with, on a screen that nobody sees.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::wait_tracks;
use crate::harness::desktop::Screen;
use crate::harness::server::SOURCE_PASSWORD;
use crate::harness::{Backend, Client, Scratch, Server, client, fixture, program, wait_for};

/// Starting takes it some seconds, on a machine that compiles beside the test many.
const LIMIT: Duration = Duration::from_secs(60);

/// As large as the film, so that a machine without a graphics card keeps up.
const PROFILE: &str = "[General]\nName=P\n\
    [Video]\nBaseCX=320\nBaseCY=180\nOutputCX=320\nOutputCY=180\nFPSCommon=25\n\
    [Output]\nMode=Simple\n[SimpleOutput]\nVBitrate=500\nABitrate=96\nPreset=ultrafast\n";

/// That it was started before: else it asks.
const GLOBAL: &str = "[General]\nFirstRun=true\nEnableAutoUpdates=false\n\
    [Basic]\nProfile=P\nProfileDir=P\nSceneCollection=S\nSceneCollectionFile=S\n";

/// Settings of OBS, as it writes them itself: one scene with the film, and where it goes.
fn write_settings(home: &Scratch, server: &str, key: &str, film: &Path) {
    let folder = home.file("obs-studio");
    let profile = folder.join("basic/profiles/P");
    let scenes = folder.join("basic/scenes");
    for folder in [&profile, &scenes] {
        fs::create_dir_all(folder).expect("a scratch folder takes folders");
    }
    let service = json!({
        "type": "rtmp_custom",
        "settings": { "server": server, "key": key, "use_auth": false, "bwtest": false },
    });
    let film = json!({ "local_file": film, "looping": true, "is_local_file": true });
    let item = json!({ "name": "Film", "id": 1, "visible": true });
    let scene = json!({
        "name": "S",
        "current_scene": "Scene",
        "current_program_scene": "Scene",
        "scene_order": [{ "name": "Scene" }],
        "sources": [
            {
                "id": "scene",
                "name": "Scene",
                "settings": { "items": [item], "id_counter": 1 },
            },
            { "id": "ffmpeg_source", "name": "Film", "settings": film },
        ],
    });
    for (path, text) in [
        (folder.join("global.ini"), GLOBAL.to_owned()),
        (profile.join("basic.ini"), PROFILE.to_owned()),
        (profile.join("service.json"), service.to_string()),
        (scenes.join("S.json"), scene.to_string()),
    ] {
        fs::write(path, text).expect("a scratch folder takes files");
    }
}

#[test]
fn obs_is_seen() {
    let server = Server::start(Backend::IoUring, &[]);
    let home = Scratch::open_to_all("obs");
    let film = fixture::film("outputs.flv", 14, &["-bf", "2", "-g", "30"]);
    let key = format!("obs?password={SOURCE_PASSWORD}");
    write_settings(&home, &server.rtmp_url("/live"), &key, &film);
    let screen = Screen::start();
    let mut command = program("obs");
    let options = "--multi --startstreaming --minimize-to-tray --profile P --collection S";
    command.args(options.split(' '));
    for name in ["HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"] {
        command.env(name, home.path());
    }
    for name in ["DBUS_SESSION_BUS_ADDRESS", "WAYLAND_DISPLAY"] {
        command.env_remove(name);
    }
    command.env("LIBGL_ALWAYS_SOFTWARE", "1");
    let obs = Client::spawn(screen.lend(&mut command));
    wait_for("OBS publishes", LIMIT, || server.mount("/live/obs"));
    let report = wait_tracks(&server, "/live/obs", 2);
    let tracks = report["tracks"].as_array().expect("tracks are a list");
    let of = |kind| tracks.iter().find(|track| track["kind"] == kind);
    let video = of("video").expect("it has pictures");
    let found = (&video["codec"], &video["width"], &video["height"]);
    assert_eq!(found, (&"h264".into(), &320.into(), &180.into()));
    let audio = of("audio").expect("it has sound");
    let found = (
        &audio["codec"],
        &audio["sample_rate_hz"],
        &audio["channels"],
    );
    assert_eq!(found, (&"aac".into(), &48_000.into(), &2.into()));
    // Decoded without a word.
    let url = server.rtmp_url("/live/obs");
    let args = [
        "-nostdin", "-v", "error", "-xerror", "-i", &url, "-t", "3", "-f", "null", "-",
    ];
    let player = client::run("ffmpeg", &args, LIMIT);
    assert_eq!(player.stderr, "");
    // Asked to end, it would ask back.
    drop(obs);
    wait_for("the mount knows that OBS is gone", LIMIT, || {
        let live = server
            .mount("/live/obs")
            .is_some_and(|mount| mount["state"] == "live");
        (!live).then_some(())
    });
}
