use std::time::Duration;

use super::icecast::check_rules;
use super::*;
use crate::section::{Listen, ListenProtocol, Mount};

/// All of GoCast's own settings with its own defaults.
const WHOLE: &str = "\
server {
  hostname localhost
  listen 0.0.0.0
  port 8000
  ssl_port 8443
  location \"Earth\"
  server_id GoCast
  admin_root /admin
  ssl { enabled false cert /c.crt key /c.key }
}
auth { source_password hackme relay_password \"\" admin_user admin admin_password hackme }
limits {
  max_clients 100 max_sources 10 max_listeners_per_mount 50
  queue_size 524288
  burst_size 65535
  client_timeout 30 header_timeout 15 source_timeout 7
}
logging { access_log /var/log/gocast/access.log error_log /e.log level warning log_size 10000 }
admin { enabled true user admin password hackme }
directory { enabled false yp_urls [ http://dir.example/yp-cgi ] interval 600 }
mounts {
  live {
    password 12345678
    max_listeners 100
    fallback backup
    stream_name \"Live \\u2665\"
    genre Various description \"d\" url http://radio.example/?a=b
    bitrate 128 type audio/mpeg public true hidden true
    burst_size 70000
    max_listener_duration 3600
    allowed_ips [192.168.1.* 10.0.0.*]
    denied_ips [192.168.1.100]
    dump_file /var/100%.mp3
  }
  \"/other/one\" {}
}
";

#[test]
fn a_whole_file_is_taken_over() {
    let (config, imported) = imported("gocast.vibe", WHOLE);
    assert_eq!(config.server.location, "Earth");
    assert_eq!(config.listen[0].address.to_string(), "0.0.0.0:8000");
    assert_eq!(config.limits.listeners_max, 100);
    assert_eq!(config.limits.sources_max, 10);
    assert_eq!(config.limits.idle_timeout, Duration::from_secs(30));
    assert_eq!(config.limits.header_timeout, Duration::from_secs(15));
    assert_eq!(config.mount_defaults.listeners_max, 50);
    assert_eq!(config.mount_defaults.source_timeout, Duration::from_secs(7));
    assert_eq!(config.mount_defaults.burst_bytes, 65_535);
    assert_eq!(config.log.level, "warn");
    let log = config.log.access_path.display().to_string();
    assert_eq!(log, "/var/log/gocast/access.log");
    let live = Mount {
        password: String::new(),
        listeners_max: 100,
        fallback: "/backup".to_owned(),
        stream_name: "Live ♥".to_owned(),
        genre: "Various".to_owned(),
        description: "d".to_owned(),
        url: "http://radio.example/?a=b".to_owned(),
        hidden: true,
        burst_bytes: 70_000,
        listener_duration_max: Duration::from_secs(3_600),
        dump_file: "/var/100%%.mp3".to_owned(),
        allow_ips: networks(&["192.168.1.0/24", "10.0.0.0/24"]),
        deny_ips: networks(&["192.168.1.100"]),
        ..config.mount_defaults.clone()
    };
    assert_eq!(config.configured_mount("/live"), Some(&live));
    for name in ["/other/one", "/backup"] {
        let mount = config.configured_mount(name);
        assert_eq!(mount, Some(&config.mount_defaults), "{name}");
    }
    assert_eq!(
        told(&imported, Outcome::Missing),
        [(14, "limits.queue_size"), (28, "mounts.live.public"),]
    );
    assert_eq!(told(&imported, Outcome::Unknown), []);
}

#[test]
fn a_password_of_digits_is_a_password() {
    let (config, _) = imported(
        "gocast.vibe",
        "auth { source_password 0047110815 admin_password 1234.50 }\n\
         mounts { a { password true } }",
    );
    assert_eq!(config.auth.source_password, "0047110815");
    assert_eq!(config.auth.admin_password, "1234.50");
    assert_eq!(config.mount("/a").password, "true");
}

#[test]
fn passwords_that_everybody_tries_are_left_out() {
    let (config, imported) = imported(
        "gocast.vibe",
        "auth { source_password hackme admin_password Admin }\nadmin { password hackme }",
    );
    assert_eq!(config.auth, Config::default().auth);
    assert_eq!(told(&imported, Outcome::LeftOut).len(), 3);
    let reason = &note(&imported, "auth.source_password").reason;
    assert!(reason.contains("everybody tries first"), "{reason}");
}

#[test]
fn the_admin_block_counts_where_auth_says_nothing_to_use() {
    let (config, imported) = imported(
        "gocast.vibe",
        "admin { user boss password the-second }\nauth { admin_password the-first }",
    );
    assert_eq!(config.auth.admin_user, "boss");
    assert_eq!(config.auth.admin_password, "the-first");
    assert_eq!(note(&imported, "admin.password").outcome, Outcome::LeftOut);
    let (config, _) = imported_admin("auth { admin_password hackme }\nadmin { password real-one }");
    assert_eq!(config.auth.admin_password, "real-one");
    let (config, imported) = imported_admin("auth { admin_user x }\nadmin { user x }");
    assert_eq!(config.auth.admin_user, "x");
    assert_eq!(imported.notes, []);
}

fn imported_admin(text: &str) -> (Config, Imported) {
    imported("gocast.vibe", text)
}

#[test]
fn numbers_are_taken_however_they_are_written() {
    let (config, _) = imported(
        "gocast.vibe",
        "limits { max_clients 250.9 max_sources \"12\" client_timeout 0.5 header_timeout 0 }",
    );
    assert_eq!(config.limits.listeners_max, 250);
    assert_eq!(config.limits.sources_max, 12);
    assert_eq!(config.limits.idle_timeout, Duration::from_millis(500));
    assert_eq!(
        config.limits.header_timeout,
        Config::default().limits.header_timeout
    );
}

#[test]
fn values_of_another_shape_are_said() {
    let (config, imported) = imported(
        "gocast.vibe",
        "server 5\nlimits { max_clients [1 2] max_sources { a 1 } }\nlogging [a]\n\
         mounts { live 7 \"//\" {} }\nwishes { hls true }\nhls { enabled true }",
    );
    assert_eq!(config.limits, Config::default().limits);
    assert_eq!(config.mounts.len(), 1);
    let outcomes = [
        ("server", Outcome::LeftOut),
        ("limits.max_clients", Outcome::LeftOut),
        ("limits.max_sources", Outcome::LeftOut),
        ("logging.", Outcome::Unknown),
        ("mounts.//", Outcome::LeftOut),
        ("wishes", Outcome::Unknown),
        ("hls", Outcome::Missing),
    ];
    for (path, outcome) in outcomes {
        assert_eq!(note(&imported, path).outcome, outcome, "{path}");
    }
}

#[test]
fn an_address_that_is_none_never_becomes_all_of_them() {
    for (text, expected) in [
        ("server { port 9000 }", "0.0.0.0:9000"),
        ("server { listen ::1 }", "[::1]:8000"),
        ("server { listen eth0 port 9000 }", "127.0.0.1:9000"),
        ("server { listen 192.0.2.1 port 9000 }", "192.0.2.1:9000"),
        ("server { hostname x }", "[::]:8000"),
    ] {
        let (config, _) = imported("gocast.vibe", text);
        let http = |listen: &&Listen| listen.protocol == ListenProtocol::Http;
        let doors: Vec<_> = config.listen.iter().filter(http).collect();
        assert_eq!(doors.len(), 1);
        assert_eq!(doors[0].address.to_string(), expected, "{text}");
    }
}

#[test]
fn a_fault_has_its_code_line_and_column() {
    let fault = import(Format::GoCast, "g.vibe", b"server {\n  port [8000 [1]]\n}")
        .expect_err("a list in a list");
    let shown = fault.to_string();
    assert!(
        shown.starts_with("g.vibe:2:14: nested-container: "),
        "{shown}"
    );
}

#[test]
fn every_row_leads_somewhere() {
    for rules in super::super::gocast::tables() {
        check_rules(rules);
    }
}

#[test]
fn directories_are_taken_over_where_they_are_enabled() {
    let directory = |enabled: &str| {
        let text = format!(
            "directory {{ enabled {enabled} yp_urls [ http://a.example/yp http://b.example/ ] \
             interval 900 }}\n"
        );
        imported("gocast.vibe", &text).0.directory
    };
    let taken = directory("true");
    assert_eq!(taken.urls, ["http://a.example/yp", "http://b.example/"]);
    assert_eq!(taken.interval.as_secs(), 900);
    assert_eq!(directory("false"), crate::Config::default().directory);
}
