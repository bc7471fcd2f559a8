//! A real Icecast on a port of its own.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::Duration;

use super::server::{ADMIN_PASSWORD, Port, SOURCE_PASSWORD};
use super::{Client, Scratch, http, program, wait_for};

const LIMIT: Duration = Duration::from_secs(20);
/// User and group `nobody`: Icecast refuses to run as root.
pub(crate) const NOBODY: u32 = 65_534;

/// A real Icecast.
pub(crate) struct Icecast {
    port: Port,
    _client: Client,
    _scratch: Scratch,
}

impl Icecast {
    /// With `extra` elements in its configuration.
    pub(crate) fn start(extra: &str) -> Self {
        let scratch = Scratch::open_to_all("icecast");
        let port = Port::take();
        let file = scratch.file("icecast.xml");
        fs::write(&file, config(scratch.path(), port.number(), extra)).expect("it takes files");
        let mut command = program("icecast2");
        command.arg("-c").arg(&file);
        let owner = fs::metadata(scratch.path())
            .expect("it was just made")
            .uid();
        if owner == 0 {
            chown(scratch.path(), Some(NOBODY), Some(NOBODY)).expect("root may");
            command.uid(NOBODY).gid(NOBODY);
        }
        let client = Client::spawn(&mut command);
        // It may crash over a request that comes while it starts.
        std::thread::sleep(Duration::from_millis(500));
        wait_for("Icecast answers", LIMIT, || {
            http::try_get(port.address(), "/status-json.xsl").ok()
        });
        Icecast {
            port,
            _client: client,
            _scratch: scratch,
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address()
    }
}

fn config(folder: &Path, port: u16, extra: &str) -> String {
    let folder = folder.display();
    format!(
        "<icecast><location>Here</location><admin>nobody@localhost</admin>\
         <hostname>localhost</hostname><fileserve>0</fileserve>\
         <limits><clients>100</clients><sources>10</sources></limits>\
         <authentication><source-password>{SOURCE_PASSWORD}</source-password>\
         <relay-password>{SOURCE_PASSWORD}</relay-password><admin-user>admin</admin-user>\
         <admin-password>{ADMIN_PASSWORD}</admin-password></authentication>\
         <listen-socket><port>{port}</port><bind-address>127.0.0.1</bind-address></listen-socket>\
         <paths><basedir>{folder}</basedir><logdir>{folder}</logdir>\
         <webroot>/usr/share/icecast2/web</webroot>\
         <adminroot>/usr/share/icecast2/admin</adminroot></paths>\
         <logging><accesslog>access.log</accesslog><errorlog>error.log</errorlog></logging>\
         <security><chroot>0</chroot></security>{extra}</icecast>"
    )
}
