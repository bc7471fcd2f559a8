//! Legacy Shoutcast sources: a line with the password, `OK2`, header lines, then the stream
//! (SHOUTcast 1 as its encoders speak it; they connect to the port after the one that they are
//! told).

use bytes::{Bytes, BytesMut};
use corecast_media::name::MountName;
use corecast_mesh::message::{AccessRecord, EndReason};
use corecast_protocol::http::{Credentials, Limits, Request};
use corecast_protocol::http1::{Parse, parse_request};
use corecast_protocol::icy::SourceRequest;
use monoio::time::Instant;

use super::source::{Admitted, publish};
use super::{auth, tell_malformed};
use crate::admission::guessing::{self, Surface};
use crate::http::connection::{Connection, request_limits};
use crate::probe::Refusal;

/// The longest line with a password, its end included.
const PASSWORD_LINE_BYTES_MAX: usize = 512;

/// What a right password is answered with.
const WELCOME: &[u8] = b"OK2\r\nicy-caps:11\r\n\r\n";

/// What a wrong one is answered with.
const INVALID: &[u8] = b"invalid password\r\n";

/// Serves a connection to a Shoutcast port until it ends.
pub(crate) async fn serve(mut connection: Connection, mount: MountName) {
    let shard = std::rc::Rc::clone(&connection.shard);
    let since = shard.now();
    let config = shard.config();
    let deadline = Instant::now() + config.limits.header_timeout;
    let line = connection.receive_line(PASSWORD_LINE_BYTES_MAX, deadline);
    let Some(password) = line.await else {
        return tell_malformed(&shard, connection.peer, 400, "no password line");
    };
    if let Some(refusal) = refuse(&connection, &mount, &password) {
        shard.probe.refused.at(refusal as usize).add(1);
        tell_refused(&connection, &mount);
        if connection.send(&[INVALID]).await.is_ok() {
            connection.close_in_order().await;
        }
        return;
    }
    if connection.send(&[WELCOME]).await.is_err() {
        return;
    }
    let limits = request_limits(&config);
    let mut lines = Vec::new();
    let mut bytes_left = limits.head_bytes_max;
    loop {
        match connection.receive_line(bytes_left, deadline).await {
            None => return tell_malformed(&shard, connection.peer, 400, "no whole head"),
            Some(line) if line.is_empty() => break,
            Some(line) => {
                bytes_left = bytes_left.saturating_sub(line.len() + 1);
                lines.push(line);
            }
        }
    }
    let request = as_request(&mount, &lines, &limits);
    let wish = request
        .as_ref()
        .and_then(|request| SourceRequest::from_request(request).ok());
    let (Some(request), Some(wish)) = (request, wish) else {
        return tell_malformed(&shard, connection.peer, 400, "bad header lines");
    };
    let admitted = Admitted {
        session: shard.next_session(),
        since,
        wish,
        stay_max: None,
        hears_http: false,
    };
    Box::pin(publish(connection, request, admitted)).await;
}

/// Why the peer may not feed `mount` with `password`, if so.
fn refuse(connection: &Connection, mount: &MountName, password: &[u8]) -> Option<Refusal> {
    let (shard, ip) = (&connection.shard, connection.peer.ip());
    let config = shard.config();
    if !corecast_config::may_come(&config.limits.allow_ips, &config.limits.deny_ips, ip) {
        return Some(Refusal::Barred);
    }
    if let Some(refused) = guessing::locked_out(shard, Surface::Sources, ip) {
        return Some(refused.counted);
    }
    let given = Credentials {
        user: "source".to_owned(),
        password: String::from_utf8_lossy(password).into_owned(),
    };
    if auth::may_publish(&config, mount.as_str(), &given) {
        return None;
    }
    guessing::note_failure(shard, Surface::Sources, ip);
    Some(Refusal::Unauthorized)
}

/// What the source said as the request of a newer one. Lines that say nothing about a stream are
/// left out.
fn as_request(mount: &MountName, lines: &[Bytes], limits: &Limits) -> Option<Request> {
    let mut head = BytesMut::from("SOURCE ");
    for byte in mount.as_str().bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            head.extend_from_slice(&[byte]);
        } else {
            head.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    head.extend_from_slice(b" ICE/1.0\r\n");
    for line in lines.iter().filter(|line| is_about_a_stream(line)) {
        head.extend_from_slice(line);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    match parse_request(&head.freeze(), limits) {
        Ok(Parse::Done { request, .. }) => Some(*request),
        Ok(Parse::Incomplete) | Err(_) => None,
    }
}

fn is_about_a_stream(line: &[u8]) -> bool {
    let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
    let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
    let icy = name
        .get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"icy-"));
    line.len() > name.len() && (icy || is(b"content-type") || is(b"user-agent"))
}

/// The access log's line for who had no right password.
fn tell_refused(connection: &Connection, mount: &MountName) {
    let shard = &connection.shard;
    shard.tell_access(AccessRecord {
        session: shard.next_session(),
        peer: connection.peer,
        user: None,
        request: format!("SOURCE {mount} Shoutcast").into(),
        status: 401,
        bytes: connection.sent_bytes(),
        referer: "".into(),
        user_agent: "".into(),
        duration: std::time::Duration::ZERO,
        reason: EndReason::PeerClosed,
        mount: None,
    });
}
