//! WebSocket over TLS by a client that we did not write; those over HTTP/2 and 3 are in `rules`,
//! `browsers` and `quic`.

use std::time::Duration;

use crate::harness::client::python_with_packages;
use crate::harness::{Backend, Client, Server};
use crate::video::browsers::start_film;

crate::clients::on_both_backends!(flv_comes_by_websocket_over_tls);

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
