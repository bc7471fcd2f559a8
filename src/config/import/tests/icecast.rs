use std::time::Duration;

use super::super::rule::{Becomes, Rule};
use super::*;
use crate::relay::Relay;
use crate::section::{ListenProtocol, Mount};

/// The settings that the Debian package brings, written anew.
const PACKAGED: &str = "\
<icecast>
  <location>Earth</location>
  <admin>icemaster@localhost</admin>
  <limits>
    <clients>100</clients>
    <sources>2</sources>
    <queue-size>524288</queue-size>
    <client-timeout>30</client-timeout>
    <header-timeout>15</header-timeout>
    <source-timeout>10</source-timeout>
    <burst-on-connect>1</burst-on-connect>
    <burst-size>65535</burst-size>
  </limits>
  <authentication>
    <source-password>hackme</source-password>
    <relay-password>hackme</relay-password>
    <admin-user>admin</admin-user>
    <admin-password>hackme</admin-password>
  </authentication>
  <hostname>localhost</hostname>
  <listen-socket><port>8000</port></listen-socket>
  <http-headers>
    <header name=\"Access-Control-Allow-Origin\" value=\"*\" />
  </http-headers>
  <fileserve>1</fileserve>
  <paths>
    <basedir>/usr/share/icecast2</basedir>
    <logdir>/var/log/icecast2</logdir>
    <webroot>/usr/share/icecast2/web</webroot>
    <adminroot>/usr/share/icecast2/admin</adminroot>
    <alias source=\"/\" destination=\"/status.xsl\"/>
  </paths>
  <logging>
    <accesslog>access.log</accesslog>
    <errorlog>error.log</errorlog>
    <loglevel>3</loglevel>
    <logsize>10000</logsize>
  </logging>
  <security><chroot>0</chroot></security>
</icecast>
";

fn imported_icecast(inside: &str) -> (Config, Imported) {
    imported("icecast.xml", &format!("<icecast>{inside}</icecast>"))
}

#[test]
fn the_packaged_settings_are_taken_over() {
    let (config, imported) = imported("icecast.xml", PACKAGED);
    assert_eq!(config.server.location, "Earth");
    assert_eq!(config.server.admin, "icemaster@localhost");
    assert_eq!(config.limits.listeners_max, 100);
    assert_eq!(config.limits.sources_max, 2);
    assert_eq!(config.limits.idle_timeout, Duration::from_secs(30));
    assert_eq!(config.limits.header_timeout, Duration::from_secs(15));
    let mount = &config.mount_defaults;
    assert_eq!(mount.source_timeout, Duration::from_secs(10));
    assert_eq!(mount.burst_bytes, 65_535);
    assert_eq!(config.listen[0].address.to_string(), "[::]:8000");
    assert_eq!(config.auth.source_password, "");
    assert_eq!(config.auth.admin_password, "");
    let log = config.log.access_path.display().to_string();
    assert_eq!(log, "/var/log/icecast2/access.log");
    assert_eq!(
        told(&imported, Outcome::Missing),
        [(7, "icecast/limits/queue-size"), (25, "icecast/fileserve"),]
    );
    assert_eq!(
        told(&imported, Outcome::LeftOut),
        [
            (15, "icecast/authentication/source-password"),
            (16, "icecast/authentication/relay-password"),
            (18, "icecast/authentication/admin-password"),
        ]
    );
    assert_eq!(told(&imported, Outcome::Unknown), []);
    assert_eq!(told(&imported, Outcome::Changed), []);
}

#[test]
fn what_has_no_equivalent_stands_at_the_end_with_its_place() {
    let (_, imported) = imported("icecast.xml", PACKAGED);
    let (_, end) = imported
        .toml
        .split_once("\n# No equivalent:\n")
        .expect("a list of what has none");
    assert!(
        end.starts_with("# - icecast.xml:7:5: icecast/limits/queue-size: a reader may"),
        "{end}"
    );
    let left_out = "\n# Left out:\n# - icecast.xml:15:5: icecast/authentication/source-password: ";
    assert!(end.contains(left_out), "{end}");
    assert!(
        end.lines()
            .all(|line| line.is_empty() || line.starts_with('#'))
    );
    let first = imported.notes[0].to_string();
    assert!(first.starts_with("icecast.xml:7:5: icecast/limits/queue-size: no equivalent: "));
}

#[test]
fn a_mount_keeps_what_it_says() {
    let (config, imported) = imported_icecast(
        "<authentication><source-password> sp&#233;&lt;<![CDATA[&]]> </source-password>\
         <admin-user>boss</admin-user><admin-password>of-it-all</admin-password></authentication>\
         <mount type='normal'><mount-name>/live.ogg</mount-name><username>dj</username>\
         <password>4711471147</password><max-listeners>12</max-listeners>\
         <fallback-mount>/spare.ogg</fallback-mount><fallback-override>1</fallback-override>\
         <stream-name>A &amp; B</stream-name><stream-description>two\n lines</stream-description>\
         <stream-url>http://radio.example/</stream-url><genre>Jazz</genre><hidden>1</hidden>\
         <burst-size>100000</burst-size><source-timeout>2.5</source-timeout>\
         <mp3-metadata-interval>4096</mp3-metadata-interval><public>1</public>\
         <authentication type='ldap'><option name='filename' value='f'/></authentication>\
         <intro>/intro.ogg</intro></mount>\
         <mount><mount-name>/b</mount-name><intro>b.mp3</intro></mount>\
         <paths><webroot>/var/web/</webroot></paths>",
    );
    assert_eq!(config.auth.source_password, " spé<& ");
    assert_eq!(config.auth.admin_user, "boss");
    assert_eq!(config.auth.admin_password, "of-it-all");
    let expected = Mount {
        password: "4711471147".to_owned(),
        listeners_max: 12,
        fallback: "/spare.ogg".to_owned(),
        fallback_return: true,
        stream_name: "A & B".to_owned(),
        description: "two lines".to_owned(),
        url: "http://radio.example/".to_owned(),
        genre: "Jazz".to_owned(),
        hidden: true,
        burst_bytes: 100_000,
        source_timeout: Duration::from_millis(2_500),
        metaint_bytes: 4_096,
        intro: "/var/web/intro.ogg".into(),
        ..Mount::default()
    };
    assert_eq!(config.configured_mount("/live.ogg"), Some(&expected));
    let spare = config.configured_mount("/spare.ogg");
    assert_eq!(spare, Some(&Mount::default()), "{}", imported.toml);
    let missing: Vec<&str> = told(&imported, Outcome::Missing)
        .into_iter()
        .map(|(_, path)| path)
        .collect();
    let other = config.configured_mount("/b");
    assert_eq!(
        other.map(|mount| &mount.intro),
        Some(&"/var/web/b.mp3".into())
    );
    for inner in ["username", "public", "authentication"] {
        let path = format!("icecast/mount[/live.ogg]/{inner}");
        assert!(missing.contains(&path.as_str()), "{path}: {missing:?}");
    }
}

#[test]
fn relays_become_ours() {
    let (config, imported) = imported_icecast(
        "<relay><server>a.example</server><port>8010</port><mount>/b</mount>\
         <local-mount>/c</local-mount><on-demand>1</on-demand><username>u</username>\
         <password>between us</password><relay-shoutcast-metadata>0</relay-shoutcast-metadata>\
         </relay><relay><server>::1</server><mount>/d</mount></relay>\
         <relay><server>e</server><mount>/d</mount></relay>\
         <relay><server>e</server><mount>/admin/x</mount></relay>\
         <relay><server>e f</server><mount>/g</mount></relay><relay/>\
         <relay><server>h</server><mount>/h</mount><password>hackme</password>\
         <bind>127.0.0.1</bind></relay>",
    );
    let expected = [
        Relay {
            mount: "/c".to_owned(),
            url: "http://a.example:8010/b".to_owned(),
            on_demand: true,
            user: "u".to_owned(),
            password: "between us".to_owned(),
            titles: false,
            ..Relay::default()
        },
        Relay {
            mount: "/d".to_owned(),
            url: "http://[::1]:8000/d".to_owned(),
            ..Relay::default()
        },
        Relay {
            mount: "/h".to_owned(),
            url: "http://h:8000/h".to_owned(),
            ..Relay::default()
        },
    ];
    assert_eq!(config.relays, expected);
    let left_out = told(&imported, Outcome::LeftOut).len();
    assert_eq!(left_out, 5, "{}", imported.toml);
    assert_eq!(told(&imported, Outcome::Missing).len(), 1);
}

#[test]
fn no_password_is_ever_in_a_note() {
    let (_, imported) = imported_icecast(
        "<authentication><source-password>tell-nobody\n</source-password>\
         <relay-password>tell-nobody\n</relay-password></authentication>\
         <master-server>a</master-server><master-password>tell-nobody\t</master-password>\
         <relay><password>tell-nobody</password></relay>\
         <relay><server>a</server><password>tell:\ttell-nobody</password></relay>\
         <mount><mount-name>/a</mount-name><bitrate>tell-nobody</bitrate>\
         <max-listeners>tell-nobody</max-listeners></mount>",
    );
    assert!(imported.notes.len() >= 5);
    assert!(!imported.toml.contains("tell-nobody"), "{}", imported.toml);
}

#[test]
fn a_default_mount_is_not_for_mounts_with_a_section() {
    let (config, _) = imported_icecast(
        "<mount type='default'><hidden>1</hidden><password>for-the-others</password>\
         <burst-size>70000</burst-size><fallback-mount>/b</fallback-mount></mount>\
         <mount><mount-name>/a</mount-name><genre>own</genre></mount>\
         <limits><burst-size>90000</burst-size></limits>",
    );
    let expected = Mount {
        burst_bytes: 90_000,
        genre: "own".to_owned(),
        // Nothing there, so what the default says has to be said again or does no harm.
        fallback_return: config.mount("/a").fallback_return,
        ..Mount::default()
    };
    assert_eq!(config.mount("/a"), &expected);
    let other = config.mount("/other");
    assert!(other.hidden && !other.fallback_return);
    assert_eq!(other.password, "for-the-others");
    assert_eq!(other.burst_bytes, 70_000);
    assert_eq!(other.fallback, "/b");
    assert_eq!(config.mount("/b").fallback, "");
}

#[test]
fn listeners_return_only_where_icecast_is_told_so() {
    let mount = |inside: &str| {
        let text = format!("<mount><mount-name>/a</mount-name>{inside}</mount>");
        let (config, _) = imported_icecast(&text);
        config.mount("/a").fallback_return
    };
    assert!(mount(""));
    assert!(!mount("<fallback-mount>/b</fallback-mount>"));
    for (text, returns) in [("0", false), ("1", true), ("none", false), ("all", true)] {
        let inside = format!(
            "<fallback-override>{text}</fallback-override><fallback-mount>/b</fallback-mount>"
        );
        assert_eq!(mount(&inside), returns, "{text}");
    }
}

#[test]
fn fallbacks_end_somewhere() {
    let mount = |name: &str, fallback: &str| {
        format!(
            "<mount><mount-name>{name}</mount-name><fallback-mount>{fallback}</fallback-mount>\
             </mount>"
        )
    };
    let (config, imported) = imported_icecast(
        &[
            mount("/a", "/b"),
            mount("/b", "/a"),
            mount("/self", "/self"),
            mount("/c", "a"),
            mount("/page", "/admin/x"),
        ]
        .concat(),
    );
    assert_eq!(config.mount("/a").fallback, "/b");
    assert_eq!(config.mount("/b").fallback, "");
    assert_eq!(config.mount("/self").fallback, "");
    assert_eq!(config.mount("/c").fallback, "/a");
    assert_eq!(config.mount("/page").fallback, "");
    assert_eq!(told(&imported, Outcome::LeftOut).len(), 3);
}

/// The acceptors that come of it, in short; of HTTPS only those that it names.
fn acceptors(inside: &str) -> (String, Imported) {
    let (config, imported) = imported_icecast(inside);
    let shown = config.listen.iter().filter_map(|listen| {
        let address = listen.address;
        match listen.protocol {
            ListenProtocol::Http => Some(address.to_string()),
            ListenProtocol::Shoutcast => Some(format!("{address}={}", listen.shoutcast_mount)),
            ListenProtocol::Https if address.port() != 8_443 || !inside.is_empty() => {
                Some(format!("https:{address}"))
            }
            _ => None,
        }
    });
    (shown.collect::<Vec<_>>().join(" "), imported)
}

#[test]
fn sockets_become_acceptors() {
    let socket = |inside: &str| format!("<listen-socket>{inside}</listen-socket>");
    let four = "<port>8001</port><bind-address>192.0.2.1</bind-address>";
    let six = "<port>8002</port><bind-address>2001:db8::1</bind-address>";
    let tls = "<port>8443</port><ssl>1</ssl>";
    let old_shoutcast = "<port>8004</port><shoutcast-compat>1</shoutcast-compat>";
    let shoutcast = "<port>8005</port><shoutcast-mount>dj</shoutcast-mount>";
    let last = "<port>65535</port><shoutcast-mount>/dj</shoutcast-mount>";
    let bad = "<port>8007</port><shoutcast-mount>/admin/x</shoutcast-mount>";
    let usual = "<shoutcast-mount>/usual</shoutcast-mount>";
    for (inside, expected, missing) in [
        (String::new(), "[::]:8000", 0),
        ("<port>8010</port>".to_owned(), "[::]:8010", 0),
        (socket(""), "[::]:8000", 0),
        (socket("<port>8000</port><tls>auto</tls>"), "[::]:8000", 0),
        (
            [socket(four), socket(six), socket(four)].concat(),
            "192.0.2.1:8001 [2001:db8::1]:8002",
            0,
        ),
        ([socket(four), socket(tls)].concat(), "192.0.2.1:8001", 1),
        (socket(tls), "127.0.0.1:8000", 1),
        (
            format!(
                "{}{}",
                socket(tls),
                "<paths><ssl-certificate>/c.pem</ssl-certificate></paths>"
            ),
            "https:[::]:8443",
            0,
        ),
        (
            [socket(shoutcast), socket(old_shoutcast)].concat(),
            "[::]:8005 [::]:8006=/dj [::]:8004=/stream",
            0,
        ),
        (
            [&socket(four), &socket(old_shoutcast), usual].concat(),
            "192.0.2.1:8001 [::]:8004=/usual",
            0,
        ),
        (
            [socket(last), socket(bad)].concat(),
            "[::]:65535 [::]:8007",
            0,
        ),
        (
            socket("<port>8006</port><bind-address>eth0.example</bind-address>"),
            "127.0.0.1:8006",
            0,
        ),
        (socket("<port>none</port>"), "127.0.0.1:8000", 0),
        (socket("<port>0</port>"), "127.0.0.1:8000", 0),
        (socket("<port>65536</port>"), "127.0.0.1:8000", 0),
    ] {
        let (found, imported) = acceptors(&inside);
        assert_eq!(found, expected, "{inside}");
        assert_eq!(told(&imported, Outcome::Missing).len(), missing, "{inside}");
    }
}

#[test]
fn directories_are_taken_over() {
    let (config, imported) = imported_icecast(
        "<directory><yp-url-timeout>15</yp-url-timeout>\
         <yp-url>http://dir.example/cgi-bin/yp-cgi</yp-url></directory>\
         <directory><yp-url>https://me:tell-nobody@dir.example/</yp-url></directory>\
         <yp-directory url='http://other.example/yp'>\
         <option name='touch-interval' value='300'/><option name='new' value='1'/>\
         </yp-directory>\
         <mount><mount-name>/a</mount-name><public>1</public><no-yp>0</no-yp></mount>",
    );
    let directory = &config.directory;
    let urls = [
        "http://dir.example/cgi-bin/yp-cgi",
        "http://other.example/yp",
    ];
    assert_eq!(directory.urls, urls, "{}", imported.toml);
    assert_eq!(directory.timeout, Duration::from_secs(15));
    assert_eq!(directory.interval, Duration::from_secs(300));
    let missing = [
        "icecast/directory/yp-url",
        "icecast/yp-directory/option",
        "icecast/mount[/a]/public",
    ];
    let told = told(&imported, Outcome::Missing);
    let told: Vec<&str> = told.into_iter().map(|(_, path)| path).collect();
    assert_eq!(told, missing);
    assert!(!imported.toml.contains("tell-nobody"));
}

#[test]
fn values_out_of_bounds_are_said() {
    let (config, imported) = imported_icecast(
        "<limits><clients>99999999999</clients><sources>-3</sources>\
         <header-timeout>0</header-timeout><client-timeout>1e999</client-timeout>\
         <source-timeout>soon</source-timeout><burst-on-connect>0</burst-on-connect></limits>\
         <hostname>\u{e9}\u{e9}</hostname><loglevel>3</loglevel>\
         <logging><loglevel>9</loglevel></logging>",
    );
    assert_eq!(config.limits.listeners_max, 10_000_000);
    assert_eq!(
        config.limits.sources_max,
        Config::default().limits.sources_max
    );
    assert_eq!(config.mount_defaults.burst_bytes, 256);
    assert_eq!(config.server.hostname, "éé");
    let outcome = |path: &str| note(&imported, path).outcome;
    assert_eq!(outcome("icecast/limits/clients"), Outcome::Changed);
    assert_eq!(outcome("icecast/limits/sources"), Outcome::LeftOut);
    assert_eq!(outcome("icecast/limits/header-timeout"), Outcome::LeftOut);
    assert_eq!(outcome("icecast/limits/client-timeout"), Outcome::LeftOut);
    assert_eq!(outcome("icecast/limits/source-timeout"), Outcome::LeftOut);
    assert_eq!(outcome("icecast/limits/burst-on-connect"), Outcome::Changed);
    assert_eq!(outcome("icecast/logging/loglevel"), Outcome::LeftOut);
    assert_eq!(outcome("icecast/loglevel"), Outcome::Unknown);
}

#[test]
fn names_that_no_mount_can_have_are_said() {
    let long = "x".repeat(300);
    for (name, outcome) in [
        ("/status.xsl", Outcome::LeftOut),
        ("/admin/live", Outcome::LeftOut),
        ("/a//b", Outcome::LeftOut),
        ("/..", Outcome::LeftOut),
        ("", Outcome::LeftOut),
        (long.as_str(), Outcome::LeftOut),
        ("/live*", Outcome::Missing),
    ] {
        let text = format!("<mount><mount-name>{name}</mount-name><genre>x</genre></mount>");
        let (config, imported) = imported_icecast(&text);
        assert!(config.mounts.is_empty(), "{name}");
        assert_eq!(told(&imported, outcome).len(), 1, "{name}");
    }
    let (config, imported) = imported_icecast(
        "<mount><mount-name>live</mount-name></mount>\
         <mount><mount-name>/live</mount-name><genre>x</genre></mount>",
    );
    assert_eq!(config.mounts.len(), 1);
    assert_eq!(config.mount("/live").genre, "");
    assert_eq!(told(&imported, Outcome::LeftOut).len(), 1);
}

#[test]
fn hooks_are_called_as_before() {
    let option = |name: &str, value: &str| format!("<option name='{name}' value='{value}'/>");
    let options = [
        option("mount_add", "http://hooks.example/on"),
        option("mount_remove", "http://hooks.example/off"),
        option("listener_add", "http://hooks.example/in?a=1&amp;b=2"),
        option("listener_remove", "http://hooks.example/out"),
        option("stream_auth", "http://hooks.example/who"),
        option("username", "us"),
        option("password", "p &lt; w"),
        option("auth_header", "Icecast-Auth-User: 1"),
        option("headers", "x-token"),
    ]
    .concat();
    for authentication in [
        format!("<authentication type='url'>{options}</authentication>"),
        format!("<authentication><role type='url'>{options}</role></authentication>"),
    ] {
        let mount = format!("<mount><mount-name>/a</mount-name>{authentication}</mount>");
        let (config, imported) = imported_icecast(&mount);
        let expected = Mount {
            hook_mount_add: "http://hooks.example/on".to_owned(),
            hook_mount_remove: "http://hooks.example/off".to_owned(),
            hook_listener_add: "http://hooks.example/in?a=1&b=2".to_owned(),
            hook_listener_remove: "http://hooks.example/out".to_owned(),
            hook_stream_auth: "http://hooks.example/who".to_owned(),
            hook_user: "us".to_owned(),
            hook_password: "p < w".to_owned(),
            ..Mount::default()
        };
        assert_eq!(config.configured_mount("/a"), Some(&expected));
        let missing = told(&imported, Outcome::Missing);
        assert_eq!(missing.len(), 1, "{missing:?}");
        assert!(missing[0].1.ends_with("/option[headers]"), "{missing:?}");
    }
}

#[test]
fn listeners_may_stay_as_long_as_before() {
    for (text, millis) in [("3600", 3_600_000), ("0", 0), ("-1", 0), ("", 0)] {
        let (config, imported) = imported_icecast(&format!(
            "<mount type='default'><max-listener-duration>{text}</max-listener-duration>\
             <dump-file>/tmp/%F.mp3</dump-file></mount>"
        ));
        let max = config.mount_defaults.listener_duration_max;
        assert_eq!(max, Duration::from_millis(millis), "{text}");
        assert_eq!(config.mount_defaults.dump_file, "/tmp/%F.mp3");
        assert_eq!(imported.notes, []);
    }
}

#[test]
fn a_default_fallback_makes_no_loop() {
    let (config, _) = imported_icecast(
        "<mount type='default'><fallback-mount>/a</fallback-mount></mount>\
         <mount><mount-name>/a</mount-name><fallback-mount>/b</fallback-mount></mount>\
         <mount><mount-name>/b</mount-name><fallback-mount>/a</fallback-mount></mount>",
    );
    assert_eq!(config.mount("/a").fallback, "/b");
    assert_eq!(config.mount("/b").fallback, "");
    assert_eq!(config.mount("/c").fallback, "/a");
}

#[test]
fn users_that_would_mix_up_roles_are_left_out() {
    for (user, password) in [
        ("source", "x-y-z"),
        ("a:b", "x-y-z"),
        ("boss", "boss"),
        ("", "x"),
    ] {
        let text = format!(
            "<authentication><admin-user>{user}</admin-user>\
             <admin-password>{password}</admin-password></authentication>"
        );
        let (config, _) = imported_icecast(&text);
        assert!(config.auth.admin_user == "admin" || config.auth.admin_password.is_empty());
    }
}

#[test]
fn more_mounts_than_there_can_be_are_cut_off() {
    let mounts: String = (0..10_010)
        .map(|at| format!("<mount><mount-name>/{at}</mount-name></mount>"))
        .collect();
    let (config, imported) = imported_icecast(&mounts);
    assert_eq!(config.mounts.len(), 10_000);
    assert_eq!(told(&imported, Outcome::LeftOut).len(), 10);
}

/// Every row of a table leads to a setting that there is, and no path stands there twice.
pub(super) fn check_rules(rules: &[Rule]) {
    for (at, rule) in rules.iter().enumerate() {
        if let Becomes::Setting(section, key, _) = rule.becomes {
            let found = super::super::plan::declaration(section, key);
            assert!(found.is_some(), "{}: no {section}.{key}", rule.path);
        }
        let before = &rules[..at];
        assert!(
            before.iter().all(|other| other.path != rule.path),
            "{} twice",
            rule.path
        );
        if let Some((parent, _)) = rule.path.rsplit_once('/') {
            let group = rules.iter().find(|other| other.path == parent);
            let group = group.map(|group| matches!(group.becomes, Becomes::Group));
            assert_eq!(group, Some(true), "{} is out of reach", rule.path);
        }
    }
}

#[test]
fn every_row_leads_somewhere() {
    for rules in super::super::icecast::tables() {
        check_rules(rules);
    }
}

#[test]
fn a_certificate_for_all_sockets_becomes_ours() {
    let one = "<paths><ssl-certificate>/both.pem</ssl-certificate></paths>";
    let (config, _) = imported_icecast(one);
    assert_eq!(config.tls.certificate_file.as_os_str(), "/both.pem");
    assert_eq!(config.tls.key_file.as_os_str(), "");
    let newer = "<security><tls-context><tls-certificate>c.pem</tls-certificate>\
                 <tls-key>/k.pem</tls-key></tls-context></security>";
    let socket = "<listen-socket><port>8443</port><tls>rfc2818</tls></listen-socket>";
    let (config, imported) = imported_icecast(&format!("{newer}{socket}"));
    assert_eq!(config.tls.certificate_file.as_os_str(), "c.pem");
    assert_eq!(config.tls.key_file.as_os_str(), "/k.pem");
    assert_eq!(config.listen[0].protocol, ListenProtocol::Https);
    let path = "icecast/security/tls-context/tls-certificate";
    assert_eq!(note(&imported, path).outcome, Outcome::Changed);
    let alone = "<paths><ssl-private-key>/k.pem</ssl-private-key></paths>";
    let (config, imported) = imported_icecast(alone);
    assert_eq!(config.tls.key_file.as_os_str(), "");
    assert_eq!(note(&imported, "tls.key_file").outcome, Outcome::LeftOut);
}
