//! What the server tells about its listeners while they listen.

use std::time::Duration;

use super::harness::{Backend, IcyReader, Server, Station, wait_for};

const SOON: Duration = Duration::from_secs(20);

crate::clients::on_both_backends!(a_player_that_looks_first_is_one_visit);

fn listen(server: &Server, user_agent: &str) -> IcyReader {
    let request = format!("GET /live HTTP/1.1\r\nHost: test\r\nUser-Agent: {user_agent}\r\n\r\n");
    let reader = IcyReader::ask(server.address(), &request).expect("the server answers");
    assert_eq!(reader.answer.status, 200);
    reader
}

fn a_player_that_looks_first_is_one_visit(backend: Backend) {
    let server = Server::start(backend, &["mount_defaults.latency=live"]);
    let _station = Station::play(&server, "/live");
    server.wait_live("/live");
    let path = "/api/v1/mounts/live/listeners";
    let look = listen(&server, "VLC/3.0.20 LibVLC/3.0.20");
    drop(look);
    wait_for("the look is over", SOON, || {
        (server.json(path)["visits"] == 1 && server.json(path)["listeners"] == 0).then_some(())
    });
    let _vlc = listen(&server, "VLC/3.0.20 LibVLC/3.0.20");
    let _mpv = [listen(&server, "mpv 0.37.0"), listen(&server, "mpv 0.37.0")];
    let numbers = wait_for("three listen", SOON, || {
        let answer = server.get_as_admin(path).json();
        (answer["sessions"].as_array().map(Vec::len) == Some(3)).then_some(answer)
    });
    assert_eq!(numbers["listeners"], 3);
    assert_eq!(numbers["listeners_unique"], 2);
    assert_eq!(numbers["visits"], 3, "{numbers}");
    assert_eq!(numbers["by_agent"]["vlc"]["visits"], 1);
    assert_eq!(numbers["by_agent"]["mpv_ffmpeg"]["listeners"], 2);
    let listed = wait_for("the list is as young", SOON, || {
        server
            .mount("/live")
            .filter(|mount| mount["listeners_unique"] == 2)
    });
    assert_eq!(listed["listeners"], 3);
}
