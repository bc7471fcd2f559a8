//! WebSocket over TLS by a client that we did not write; those over HTTP/2 and 3 are in `rules`,
//! `browsers` and `quic`.

use std::time::Duration;

use rustix::process::Signal;

use crate::harness::client::python_with_packages;
use crate::harness::{Backend, Client, Server, wait_for};
use crate::video::browsers::start_film;

crate::clients::on_both_backends!(
    flv_comes_by_websocket_over_tls,
    pings_are_answered_and_both_close,
);

/// Reads messages until there are enough bytes, then closes in order and says how that went.
const SCRIPT: &str = "import ssl, sys\nfrom websockets.sync.client import connect\n\
     url, authority = sys.argv[1:]\n\
     trust = ssl.create_default_context(cafile=authority)\n\
     with connect(url, ssl=trust, compression='deflate', max_size=None) as socket:\n\
     \x20   data = b''\n\
     \x20   while len(data) < 200000:\n\
     \x20       message = socket.recv(timeout=20)\n\
     \x20       assert isinstance(message, bytes)\n\
     \x20       data += message\n\
     \x20   assert data.startswith(b'FLV')\n\
     \x20   print(len(data) >= 200000, socket.response.headers.get('sec-websocket-extensions'))\n";

fn flv_comes_by_websocket_over_tls(backend: Backend) {
    let server = Server::start_tls(backend, &[]);
    let _source = start_film(&server);
    let tls = server.tls();
    let mut python = python_with_packages();
    let url = tls.url("/live/cam.flv").replace("https:", "wss:");
    python.args(["-c", SCRIPT, &url.replace("localhost", "127.0.0.1")]);
    python.arg(tls.authority.file());
    let said = Client::spawn(&mut python).succeed(Duration::from_secs(60));
    assert_eq!(said.text(), "True None\n", "{}", said.stderr);
}

/// Pings while whole tags come, then closes (`close`) or waits for the server to; says who closed
/// how.
const TALK: &str = "import ssl, sys\nfrom websockets.sync.client import connect\n\
     from websockets.exceptions import ConnectionClosed\n\
     url, authority, end = sys.argv[1:]\n\
     trust = ssl.create_default_context(cafile=authority) if url.startswith('wss') else None\n\
     with connect(url, ssl=trust, max_size=None, max_queue=None, ping_interval=0.3) as socket:\n\
     \x20   assert socket.recv(timeout=20).startswith(b'FLV')\n\
     \x20   def hear():\n\
     \x20       tag = socket.recv(timeout=20)\n\
     \x20       size = int.from_bytes(tag[1:4], 'big')\n\
     \x20       assert tag[0] in (8, 9, 18) and len(tag) == 11 + size + 4, tag[:20]\n\
     \x20   for length in (0, 1, 125):\n\
     \x20       pongs = [socket.ping(bytes([at]) * length or None) for at in range(8)]\n\
     \x20       while not all(pong.is_set() for pong in pongs): hear()\n\
     \x20   print('answered', flush=True)\n\
     \x20   if end == 'close': socket.close(3210, 'done')\n\
     \x20   try:\n\
     \x20       while True: hear()\n\
     \x20   except ConnectionClosed as closed:\n\
     \x20       print(closed.rcvd.code, closed.sent.code, closed.rcvd_then_sent)\n";

fn pings_are_answered_and_both_close(backend: Backend) {
    let server = Server::start_tls(backend, &["server.drain_grace_ms=5000"]);
    let _source = start_film(&server);
    let tls = server.tls();
    let plain = server.url("/live/cam.flv").replace("http:", "ws:");
    let secure = tls.url("/live/cam.flv").replace("https:", "wss:");
    let secure = secure.replace("localhost", "127.0.0.1");
    let talk = |url: &str, end: &str| {
        let mut python = python_with_packages();
        python.args(["-c", TALK, url]);
        Client::spawn(python.arg(tls.authority.file()).arg(end))
    };
    for url in [&plain, &secure] {
        let said = talk(url, "close").succeed(Duration::from_secs(60));
        assert_eq!(
            said.text(),
            "answered\n3210 3210 False\n",
            "{}",
            said.stderr
        );
    }
    let clients = [&plain, &secure].map(|url| talk(url, "wait"));
    wait_for("both listen", Duration::from_secs(30), || {
        (server.json("/api/v1/server")["listeners"] == 2).then_some(())
    });
    for client in &clients {
        wait_for("pongs come", Duration::from_secs(30), || {
            client.stdout().starts_with(b"answered").then_some(())
        });
    }
    server.signal(Signal::TERM);
    for client in clients {
        let said = client.succeed(Duration::from_secs(30));
        assert_eq!(said.text(), "answered\n1001 1001 True\n", "{}", said.stderr);
    }
}
