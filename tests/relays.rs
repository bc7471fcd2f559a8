//! Streams that are taken from other servers: a real Icecast in both directions, and origins of our
//! own that die, come back, redirect and say nonsense.
//!
//! Reading order: [`origin`] (a server that does as it is told), [`icecast`], [`losses`],
//! [`demand`]; whole servers: [`masters`], [`liars`] (those that hang, lie and die).

mod demand;
mod icecast;
mod liars;
mod losses;
mod masters;
mod origin;

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::harness::{self, Backend, Scratch, Server, wait_for};

const SOON: Duration = Duration::from_secs(15);

/// A server with a configuration file that can change.
struct Relaying {
    server: Server,
    folder: Scratch,
}

impl Relaying {
    /// Starts with the `[[relay]]` sections `relays`.
    fn start(backend: Backend, relays: &str) -> Self {
        Relaying::start_with(backend, relays, &["mount_defaults.source_timeout_ms=5000"])
    }

    /// As [`Relaying::start`], with more settings.
    fn start_with(backend: Backend, relays: &str, more: &[&str]) -> Self {
        let folder = Scratch::new("relay");
        write(&folder, relays);
        let mut command = Command::new(env!("CARGO_BIN_EXE_corecast"));
        command
            .arg("run")
            .arg("--config")
            .arg(folder.file("c.toml"));
        let settings = [&["mount_defaults.latency=instant"], more].concat();
        let server = Server::launch_with(command, backend, &settings);
        server.wait_ready();
        Relaying { server, folder }
    }

    /// Other sections from now on.
    fn reload(&self, relays: &str) {
        write(&self.folder, relays);
        self.server.signal(rustix::process::Signal::HUP);
    }

    /// What the API says of the relay to `mount`, if there is one.
    fn relay(&self, mount: &str) -> Option<Value> {
        let answer = self.server.get_as_admin("/api/v1/relays");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let document = answer.json();
        let relays = document["relays"].as_array().expect("a list");
        relays.iter().find(|relay| relay["mount"] == mount).cloned()
    }

    /// What the API says of the master called `main`.
    fn master(&self) -> Value {
        let document = self.server.get_as_admin("/api/v1/relays").json();
        document["masters"][0].clone()
    }

    /// Waits until the relay to `mount` is in `state`.
    fn wait_state(&self, mount: &str, state: &str) -> Value {
        wait_for(&format!("{mount} is {state}"), SOON, || {
            self.relay(mount).filter(|relay| relay["state"] == state)
        })
    }
}

fn write(folder: &Scratch, relays: &str) {
    std::fs::write(folder.file("c.toml"), relays).expect("the folder takes files");
}

/// A `[[master]]` called `main` that is asked often.
fn master(address: SocketAddr, more: &str) -> String {
    format!("[[master]]\nname = 'main'\nurl = 'http://{address}'\ninterval_ms = 500\n{more}\n")
}

/// A `[[relay]]` to `/r` that tries again soon.
fn relay(urls: &str, more: &str) -> String {
    format!(
        "[[relay]]\nmount = '/r'\nurl = '{urls}'\nretry_min_ms = 100\nretry_max_ms = 400\n\
         silence_max_ms = 3000\n{more}\n"
    )
}
