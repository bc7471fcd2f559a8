//! HTTP-FLV, HTTP-TS and RTMP, packet for packet.

use std::time::Duration;

use super::{assert_of_film, packets, publish, publish_to, wait_tracks};
use crate::harness::{Backend, Server, fixture};

#[test]
fn what_rtmp_brings_in_goes_out_bit_for_bit() {
    let film = fixture::film("outputs.flv", 40, &["-bf", "2", "-g", "30"]);
    let path = film.to_string_lossy();
    let of_film = packets(&path, &[], "null").into_iter().collect();
    for backend in [Backend::IoUring, Backend::Epoll] {
        let server = Server::start(backend, &[]);
        let _source = publish(&server, &film, "/live/cam");
        let report = wait_tracks(&server, "/live/cam", 2);
        let video = &report["tracks"][0];
        assert_eq!(
            (&video["codec"], &video["width"], &video["height"]),
            (&"h264".into(), &320.into(), &180.into())
        );
        assert_eq!(video["frame_rate"], 30.0);
        assert!(
            video["rfc6381"]
                .as_str()
                .is_some_and(|codec| codec.starts_with("avc1."))
        );
        assert_eq!(report["tracks"][1]["codec"], "aac");
        let two_seconds = ["-t", "2"];
        for (url, sound) in [
            (server.url("/live/cam.flv"), "null"),
            (server.url("/live/cam.ts"), "aac_adtstoasc"),
            (server.rtmp_url("/live/cam"), "null"),
        ] {
            let found = packets(&url, &two_seconds, sound);
            assert_of_film(&of_film, &found, [45, 60]);
        }
    }
}

#[test]
fn a_mount_with_tracks_has_no_bytes_of_its_own_and_its_outputs_no_source() {
    let film = fixture::film("outputs.flv", 40, &["-bf", "2", "-g", "30"]);
    let server = Server::start(Backend::IoUring, &[]);
    let _source = publish(&server, &film, "/live/cam");
    wait_tracks(&server, "/live/cam", 2);
    let answer = server.get("/live/cam");
    assert_eq!(answer.status, 404);
    assert!(answer.text().contains(".m3u8"), "{}", answer.text());
    assert_eq!(server.get("/live/none.flv").status, 404);

    for url in [
        server.publish_url("/live/cam.flv"),
        server.rtmp_url("/live/other?password=guess"),
    ] {
        let refused = publish_to(&url, &film).wait(Duration::from_secs(20));
        assert!(!refused.status.success(), "{url}");
    }
    assert!(server.mount("/live/other").is_none());
}
