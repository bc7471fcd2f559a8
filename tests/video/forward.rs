//! Forwards: a mount that is pushed to another server, here to a second corecast.

use std::time::Duration;

use super::{assert_of_film, packets, publish, wait_tracks};
use crate::harness::{Backend, Server, fixture, wait_for};

#[test]
fn a_mount_is_pushed_to_another_server_bit_for_bit_and_again_after_a_loss() {
    let film = fixture::film("outputs.flv", 40, &["-bf", "2", "-g", "30"]);
    let of_film = packets(&film.to_string_lossy(), &[], "null")
        .into_iter()
        .collect();
    let far = Server::start(Backend::IoUring, &[]);
    let scratch = crate::harness::Scratch::new("forward");
    let config = scratch.file("corecast.toml");
    let text = format!(
        "[[mount]]\nname = '/live/cam'\nforward = '{}'\nlisteners_max = 1\n",
        far.publish_url("/live/copy")
    );
    std::fs::write(&config, text).expect("a scratch folder takes files");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_corecast"));
    command.arg("run").arg("--config").arg(&config);
    let near = Server::launch_with(command, Backend::IoUring, &[]);
    near.wait_ready();

    let _source = publish(&near, &film, "/live/cam");
    wait_tracks(&near, "/live/cam", 2);
    let report = wait_tracks(&far, "/live/copy", 2);
    assert_eq!(report["tracks"][0]["width"], 320);
    let found = packets(&far.url("/live/copy.flv"), &["-t", "2"], "null");
    assert_of_film(&of_film, &found, [45, 60]);
    let found = packets(&near.url("/live/cam.flv"), &["-t", "1"], "null");
    assert!(!found.is_empty(), "a forward takes no listener's seat");

    // The other server throws the stream out: it comes again.
    let answer = far.get_as_admin("/admin/killsource?mount=/live/copy");
    assert_eq!(answer.status, 200, "{}", answer.text());
    wait_for("the copy is gone", Duration::from_secs(10), || {
        let state = far
            .mount("/live/copy")
            .map(|report| report["state"].clone());
        (state != Some("live".into())).then_some(())
    });
    wait_tracks(&far, "/live/copy", 2);
    assert!(
        !near.log().contains("tests-play-this"),
        "the key of a stream is in the log"
    );
}
