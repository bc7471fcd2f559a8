//! How each server is started, and its configuration.

use std::fs;
use std::io;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::super::SEED;
use super::{FILE, NOBODY, PASSWORD, Software, Wire};
use crate::proc;
use crate::secure::Certificate;

pub(super) fn corecast(
    software: &Software,
    folder: &Path,
    port: u16,
    shards: usize,
    overrides: &[String],
) -> Command {
    let mut command = Command::new(&software.corecast);
    command.arg("run");
    let own = [
        format!("listen.address=127.0.0.1:{port}"),
        format!("auth.source_password={PASSWORD}"),
        format!("auth.admin_password={PASSWORD}-admin"),
        format!("server.state_dir={}", folder.display()),
        format!("shards.count={shards}"),
        // Everybody has left when it is told to end.
        "server.drain_grace_ms=0".to_owned(),
    ];
    for setting in own.iter().chain(overrides) {
        command.arg("--set").arg(setting);
    }
    command
}

pub(super) fn icecast(software: &Software, folder: &Path, port: u16) -> io::Result<Command> {
    let path = folder.join("icecast.xml");
    fs::write(&path, icecast_config(folder, port))?;
    let mut command = Command::new(&software.icecast);
    command.arg("-c").arg(&path);
    if software.unprivileged {
        chown(folder, Some(NOBODY), Some(NOBODY))?;
        command.uid(NOBODY).gid(NOBODY);
    }
    Ok(command)
}

/// Icecast's defaults, except: no burst (the CPU windows should hold nothing but the steady
/// stream), limits out of the way, logs in `folder`.
fn icecast_config(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    format!(
        "<icecast><location>bench</location><admin>nobody@localhost</admin>\
         <hostname>localhost</hostname><fileserve>0</fileserve>\
         <limits><clients>100000</clients><sources>10</sources>\
         <burst-on-connect>0</burst-on-connect><burst-size>0</burst-size></limits>\
         <authentication><source-password>{PASSWORD}</source-password>\
         <relay-password>{PASSWORD}</relay-password><admin-user>admin</admin-user>\
         <admin-password>{PASSWORD}</admin-password></authentication>\
         <listen-socket><port>{port}</port><bind-address>127.0.0.1</bind-address></listen-socket>\
         <paths><basedir>{folder}</basedir><logdir>{folder}</logdir>\
         <webroot>/usr/share/icecast2/web</webroot>\
         <adminroot>/usr/share/icecast2/admin</adminroot></paths>\
         <logging><accesslog>access.log</accesslog><errorlog>error.log</errorlog>\
         <loglevel>2</loglevel></logging><security><chroot>0</chroot></security></icecast>"
    )
}

/// nginx as one process that serves what is in `root`.
pub(super) fn nginx(
    software: &Software,
    folder: &Path,
    port: u16,
    root: &Path,
    wire: Wire,
) -> io::Result<Command> {
    let path = folder.join("nginx.conf");
    let (listen, secure) = match wire {
        Wire::Plain => ("", String::new()),
        Wire::Tls => (" ssl", nginx_tls(&Certificate::issue(folder)?)),
        Wire::Http2 => (" ssl http2", nginx_tls(&Certificate::issue(folder)?)),
    };
    let listen = format!("listen 127.0.0.1:{port}{listen} backlog=4096; {secure}");
    fs::write(&path, nginx_config(folder, &listen, root))?;
    let mut command = Command::new(&software.nginx);
    command
        .arg("-p")
        .arg(folder)
        .arg("-c")
        .arg(&path)
        .args(["-e", "stderr"]);
    Ok(command)
}

/// What people set for speed: `sendfile` with full packets, an open-file cache, no access log.
fn nginx_config(folder: &Path, listen: &str, root: &Path) -> String {
    let (folder, root) = (folder.display(), root.display());
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("{name}_temp_path {folder}/{name};"))
        .collect();
    format!(
        "daemon off; master_process off; worker_processes 1; pid {folder}/pid;\
         error_log stderr error; events {{ use epoll; worker_connections 4096; }}\
         http {{ {temporary} access_log off; sendfile on; sendfile_max_chunk 0; tcp_nopush on;\
         tcp_nodelay on; keepalive_timeout 600s; keepalive_requests 1000000000;\
         open_file_cache max=100 inactive=600s; open_file_cache_valid 600s;\
         types {{ video/iso.segment m4s; }}\
         server {{ {listen} root {root}; }} }}"
    )
}

/// TLS as our clients speak it, with nginx's default size of records.
fn nginx_tls(certificate: &Certificate) -> String {
    let (chain, key) = (certificate.chain.display(), certificate.key.display());
    format!(
        "ssl_certificate {chain}; ssl_certificate_key {key}; ssl_protocols TLSv1.3;\
         ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256; ssl_ecdh_curve X25519;"
    )
}

/// Caddy, which serves what is in `root` by HTTP/3 too.
pub(super) fn caddy(
    software: &Software,
    folder: &Path,
    port: u16,
    root: &Path,
) -> io::Result<Command> {
    let path = folder.join("Caddyfile");
    fs::write(
        &path,
        caddy_config(folder, port, root, &Certificate::issue(folder)?),
    )?;
    let mut command = Command::new(&software.caddy);
    command.arg("run").arg("--config").arg(&path);
    command.args(["--adapter", "caddyfile"]);
    for name in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
        command.env(name, folder);
    }
    Ok(command)
}

fn caddy_config(folder: &Path, port: u16, root: &Path, certificate: &Certificate) -> String {
    let (chain, key) = (certificate.chain.display(), certificate.key.display());
    format!(
        "{{\n admin off\n auto_https off\n storage file_system {folder}\n}}\n\
         https://127.0.0.1:{port} {{\n bind 127.0.0.1\n tls {chain} {key}\n root * {root}\n \
         file_server\n}}\n",
        folder = folder.display(),
        root = root.display(),
    )
}

/// Our own bare server of HTTP/3.
pub(super) fn bare_quic(folder: &Path, port: u16, root: &Path) -> io::Result<Command> {
    Certificate::issue(folder)?;
    let mut command = Command::new(proc::THIS_PROGRAM);
    command.args(["bare-quic", "--port", &port.to_string()]);
    command.arg("--file").arg(root.join(FILE));
    command.arg("--certificate").arg(folder);
    Ok(command)
}

pub(super) fn bare(port: u16, listeners: u32, send_bytes: u64, rate_bytes: u64) -> Command {
    let mut command = Command::new(proc::THIS_PROGRAM);
    command.arg("bare").args(["--port", &port.to_string()]);
    command.args(["--listeners", &listeners.to_string()]);
    command.args([
        "--send-bytes",
        &send_bytes.to_string(),
        "--rate-bytes",
        &rate_bytes.to_string(),
        "--seed",
        &SEED.to_string(),
    ]);
    command
}
