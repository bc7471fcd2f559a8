//! Who may come in, against the whole program: hooks that fail in every way, guessers, lists that
//! change under load, and sources that speak old Shoutcast.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::harness::server::{Port, SOURCE_PASSWORD};
use super::harness::{
    Backend, Client, Cut, IcyReader, Scratch, Server, Station, fixture, http, program, wait_for,
};

const SOON: Duration = Duration::from_secs(10);

crate::clients::on_both_backends!(
    a_hook_that_hangs_lies_or_dies_costs_one_listener_alone,
    listeners_with_a_password_are_those_in_the_file,
    guessers_are_locked_out_and_libshout_is_not,
    lists_of_addresses_change_at_reload_and_proxies_are_believed_if_trusted,
    shout_plays_to_the_shoutcast_port,
);

/// A hook that does what the password in its request says, on a thread of its own.
fn start_hook() -> SocketAddr {
    let acceptor = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    let address = acceptor.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        let mut hanging = Vec::new();
        for stream in acceptor.incoming() {
            let mut stream = stream.expect("it accepts");
            let asked = read_request(&mut stream);
            let answer = match asked.split_once("pass=").map_or("", |(_, rest)| rest) {
                word if word.starts_with("come") => "200 OK\r\nicecast-auth-user: 1",
                word if word.starts_with("hang") => {
                    hanging.push(stream);
                    continue;
                }
                word if word.starts_with("die") => {
                    let _ = stream.shutdown(Shutdown::Both);
                    continue;
                }
                word if word.starts_with("lie") => {
                    let _ = stream.write_all(&[b'x'; 100_000]);
                    continue;
                }
                _ => "403 Forbidden\r\nicecast-auth-message: no",
            };
            let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

/// A whole request with a length.
fn read_request(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let mut piece = [0; 4_096];
    loop {
        let text = String::from_utf8_lossy(&all).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            let length = head.split_once("content-length: ").map(|(_, rest)| rest);
            let length = length.and_then(|rest| rest.lines().next()?.trim().parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return text,
            Ok(n) => all.extend_from_slice(&piece[..n]),
        }
    }
}

/// Asks for `/live` as a listener with `password`; the status and how long it took.
fn listen_as(server: &Server, password: &str) -> (u16, Duration) {
    let began = Instant::now();
    let authorization = http::basic("guest", password);
    let request = format!("GET /live HTTP/1.1\r\nHost: test\r\n{authorization}\r\n");
    let mut stream = http::connect(server.address()).expect("the server takes connections");
    stream.write_all(request.as_bytes()).expect("a head fits");
    let answer = http::read_head(&mut stream).expect("the server answers");
    (answer.status, began.elapsed())
}

fn a_hook_that_hangs_lies_or_dies_costs_one_listener_alone(backend: Backend) {
    let folder = Scratch::new("hooks");
    let file = folder.file("corecast.toml");
    let hook = start_hook();
    let text = format!(
        "[limits]\nauth_failures_max = 0\n[[mount]]\nname = \"/live\"\n\
         hook_listener_add = \"http://{hook}/auth\"\nhook_timeout_ms = 1500\n"
    );
    std::fs::write(&file, text).expect("the folder takes files");
    let mut command = Command::new(env!("CARGO_BIN_EXE_corecast"));
    command.arg("run").arg("--config").arg(&file);
    let server = Server::launch_with(command, backend, &[]);
    server.wait_ready();
    let _station = Station::play(&server, "/live");
    let _open = Station::play(&server, "/open");
    server.wait_live("/live");
    server.wait_live("/open");

    assert_eq!(listen_as(&server, "come").0, 200);
    let (status, _) = listen_as(&server, "go");
    assert_eq!(status, 401, "the hook says no");
    std::thread::scope(|scope| {
        let hanging = scope.spawn(|| listen_as(&server, "hang"));
        let began = Instant::now();
        for _ in 0..10 {
            let request = "GET /open HTTP/1.1\r\nHost: test\r\n\r\n";
            let reader = IcyReader::ask(server.address(), request).expect("the server answers");
            assert_eq!(reader.answer.status, 200);
        }
        assert_eq!(
            listen_as(&server, "come").0,
            200,
            "another listener of the same mount"
        );
        assert!(
            began.elapsed() < Duration::from_millis(1_400),
            "{:?}",
            began.elapsed()
        );
        let (status, waited) = hanging.join().expect("the answer comes");
        assert!(matches!(status, 401 | 403 | 503), "{status}");
        assert!((1_400..5_000).contains(&waited.as_millis()), "{waited:?}");
    });
    for password in ["die", "lie"] {
        let (status, waited) = listen_as(&server, password);
        assert!(matches!(status, 401 | 403 | 503), "{password}: {status}");
        assert!(waited < Duration::from_secs(5), "{password}: {waited:?}");
    }
    assert_eq!(listen_as(&server, "come").0, 200, "the server is well");
}

fn listeners_with_a_password_are_those_in_the_file(backend: Backend) {
    let folder = Scratch::new("htpasswd");
    let (file, users) = (folder.file("corecast.toml"), folder.file("users"));
    let text = format!(
        "[[mount]]\nname = \"/live\"\nlistener_htpasswd = \"{}\"\n",
        users.display()
    );
    std::fs::write(&file, text).expect("the folder takes files");
    let mut command = Command::new(env!("CARGO_BIN_EXE_corecast"));
    command.arg("run").arg("--config").arg(&file);
    let server = Server::launch_with(command, backend, &[]);
    server.wait_ready();
    let _station = Station::play(&server, "/live");
    server.wait_live("/live");
    assert_eq!(listen_as(&server, "secret").0, 503, "there is no file");
    // As Icecast writes it: a bare MD5.
    std::fs::write(&users, "guest:5ebe2294ecd0e0f08eab7690d2a6ee69\n").expect("it takes files");
    assert_eq!(listen_as(&server, "secret").0, 200);
    assert_eq!(listen_as(&server, "other").0, 401);
    let answer = server.get("/live");
    assert_eq!(answer.status, 401);
    assert!(answer.header("www-authenticate").is_some(), "{answer:?}");
}

fn guessers_are_locked_out_and_libshout_is_not(backend: Backend) {
    let server = Server::start(backend, &[]);
    let shout = |password: &str| {
        let mut command = program("shout");
        command.args(["--usage", "audio", "--format", "mp3", "--host", "127.0.0.1"]);
        command.args(["--port", &server.port().to_string(), "--mount", "/s"]);
        command.args(["--user", "source", "--pass", password]);
        Client::spawn_from(&mut command, &fixture::mp3(1)).wait(SOON * 3)
    };
    for _ in 0..7 {
        // Each one is refused once, for it comes without a password first.
        assert!(shout(SOURCE_PASSWORD).status.success());
    }
    for _ in 0..5 {
        assert!(!shout("wrong").status.success());
    }
    assert!(!shout(SOURCE_PASSWORD).status.success(), "locked out");
    assert!(server.log().contains("locked out"), "{}", server.log());
    let sources = server.metric("corecast_refused_total", "locked_out");
    assert!(sources >= 1.0, "{sources}");
    assert_eq!(
        server.get_as_admin("/api/v1/sessions").status,
        200,
        "another surface"
    );

    let guess = |password: &str| {
        let authorization = http::basic("admin", password);
        let request = format!(
            "GET /api/v1/sessions HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\
             {authorization}\r\n"
        );
        http::exchange(server.address(), request.as_bytes()).expect("the server answers")
    };
    for n in 0..5 {
        assert_eq!(guess(&format!("wrong{n}")).status, 401);
    }
    let locked = server.get_as_admin("/api/v1/sessions");
    assert_eq!(locked.status, 429, "the right one does not help any more");
    let again_s: u32 = locked
        .header("retry-after")
        .and_then(|text| text.parse().ok())
        .expect("it says when to come again");
    assert!((200..=300).contains(&again_s), "{again_s}");
    assert_eq!(
        server.get("/api/v1/mounts").status,
        200,
        "public pages are not a guess"
    );
}

fn lists_of_addresses_change_at_reload_and_proxies_are_believed_if_trusted(backend: Backend) {
    let folder = Scratch::new("lists");
    let file = folder.file("corecast.toml");
    let write = |text: &str| std::fs::write(&file, text).expect("the folder takes files");
    write("[limits]\n");
    let mut command = Command::new(env!("CARGO_BIN_EXE_corecast"));
    command.arg("run").arg("--config").arg(&file);
    let server = Server::launch_with(command, backend, &[]);
    server.wait_ready();
    let station = Station::play(&server, "/live");
    server.wait_live("/live");
    let mut steady = IcyReader::open(server.address(), "/live");
    let ask = |lines: &str| {
        let request = format!("GET /live HTTP/1.1\r\nHost: test\r\n{lines}\r\n");
        let mut stream = http::connect(server.address()).expect("the server takes connections");
        stream.write_all(request.as_bytes()).expect("a head fits");
        http::read_head(&mut stream)
            .expect("the server answers")
            .status
    };
    let denied = "X-Forwarded-For: 203.0.113.9\r\n";
    assert_eq!(ask(denied), 200, "who is no proxy is not believed");

    write(
        "[limits]\ntrusted_proxies = [\"127.0.0.0/8\"]\ndeny_ips = [\"203.0.113.0/24\"]\n\
         [mount_defaults]\ndeny_agents = [\"badplayer\"]\n",
    );
    server.signal(Signal::HUP);
    wait_for("the list holds", SOON, || {
        (ask(denied) == 403).then_some(())
    });
    assert_eq!(ask("X-Forwarded-For: 198.51.100.1\r\n"), 200);
    assert_eq!(ask("User-Agent: BadPlayer/2\r\n"), 403);
    assert_eq!(ask(""), 200, "the proxy itself");

    write("[limits]\nallow_ips = [\"nobody\"]\n");
    server.signal(Signal::HUP);
    wait_for("the fault is told", SOON, || {
        server.log().contains("allow_ips").then_some(())
    });
    assert_eq!(ask(denied), 403, "what held goes on");
    assert!(steady.listen(Duration::from_millis(300)) && station.is_playing());
}

fn shout_plays_to_the_shoutcast_port(backend: Backend) {
    let port = Port::take();
    let door = format!(
        "listen.address=127.0.0.1:{{port}},shoutcast:127.0.0.1:{}",
        port.number()
    );
    let server = Server::start(backend, &[&door, "mount_defaults.latency=live"]);
    let shout = |password: &str| {
        let mut command = program("shout");
        command.args(["--usage", "audio", "--proto", "icy", "--format", "mp3"]);
        // It connects to the next one.
        let told = (port.number() - 1).to_string();
        command.args(["--host", "127.0.0.1", "--port", &told, "--mount", "/sc"]);
        command.args([
            "--station-name",
            "Old Radio",
            "--user",
            "source",
            "--pass",
            password,
        ]);
        Client::spawn_from(&mut command, &fixture::mp3(5))
    };
    assert!(
        !shout("wrong").wait(SOON).status.success(),
        "a wrong password"
    );
    let refused = server.metric("corecast_refused_total", "unauthorized");
    assert!(refused >= 1.0, "it came by the door for Shoutcast");
    let playing = shout(SOURCE_PASSWORD);
    let mount = server.wait_live("/stream");
    assert_eq!(mount["sample_rate_hz"], 44_100, "{mount}");
    assert_eq!(mount["codec"], "mp3", "{mount}");
    let mut reader = IcyReader::open(server.address(), "/stream");
    assert_eq!(reader.answer.header("icy-name"), Some("Old Radio"));
    let file = std::fs::read(fixture::mp3(5)).expect("the fixture is there");
    let whole =
        |reader: &IcyReader| reader.audio.len() > file.len() / 3 && file.ends_with(&reader.audio);
    assert!(
        reader.listen_until(SOON, whole),
        "{} bytes",
        reader.audio.len()
    );
    Cut::Mp3.assert_heard(&file, &reader.audio);
    playing.succeed(SOON);
}
