use std::time::Duration;

use crate::*;

fn load_text(text: &str) -> Result<Loaded, Vec<Fault>> {
    load(Sources {
        file: Some(File {
            name: "corecast.toml",
            text,
        }),
        ..Sources::default()
    })
}

fn faults(text: &str) -> Vec<String> {
    let faults = load_text(text).expect_err("the file has faults");
    faults.iter().map(Fault::to_string).collect()
}

fn pairs(environment: &[(&str, &str)]) -> Vec<(String, String)> {
    environment
        .iter()
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect()
}

fn load_over(text: &str, environment: &[(&str, &str)], set: &[&str]) -> Result<Loaded, Vec<Fault>> {
    let environment = pairs(environment);
    let overrides: Vec<String> = set.iter().map(|set| set.to_string()).collect();
    let file = Some(File {
        name: "corecast.toml",
        text,
    });
    load(Sources {
        file,
        environment: &environment,
        overrides: &overrides,
    })
}

#[test]
fn without_sources_there_are_the_defaults() {
    let loaded = load(Sources::default()).expect("defaults are good");
    assert_eq!(loaded.config, Config::default());
    let config = loaded.config;
    assert_eq!(config.listen[0].address.to_string(), "[::]:8000");
    assert_eq!(
        (config.limits.listeners_max, config.limits.header_count_max),
        (100_000, 64)
    );
    assert_eq!(config.limits.tcp_user_timeout, Duration::from_secs(30));
    assert_eq!(config.mount_defaults.metaint_bytes, 16_000);
    assert!(config.shards.pin && config.mount_defaults.fallback_return);
}

#[test]
fn every_default_is_inside_its_own_bounds() {
    let config = Config::default();
    for table in config.tables() {
        for declaration in table.declarations() {
            let value = table.value(declaration.key).expect("a declared key");
            let checked = value::check(declaration.kind, &value);
            assert_eq!(checked, Ok(()), "{}.{}", table.name(), declaration.key);
        }
    }
}

#[test]
fn a_mount_has_the_defaults_under_its_own() {
    let config = load_text(
        r#"
        [mount_defaults]
        takeover = true
        fallback = "/silence"
        [[mount]]
        name = "/live"
        source_timeout_ms = 2500
        latency = "instant"
        [[mount]]
        name = "/alone"
        fallback = ""
        [[mount]]
        name = "/silence"
        "#,
    )
    .expect("a good file")
    .config;
    let live = config.mount("/live");
    assert!(live.takeover);
    assert_eq!(live.source_timeout, Duration::from_millis(2_500));
    assert_eq!(
        (live.latency, live.fallback.as_str()),
        (Latency::Instant, "/silence")
    );
    assert_eq!(config.mount("/alone").fallback, "");
    assert_eq!(
        config.mount("/silence").fallback,
        "",
        "the default fallback has none itself"
    );
    assert_eq!(config.mount("/dynamic"), &config.mount_defaults);
}

#[test]
fn all_faults_come_at_once_with_their_places() {
    let text = "\
[limits]
header_bytes_max = 7
listener_max = 5
idle_timeout_ms = \"30s\"

[auth]
source_password = \"HackMe\"
admin_user = \"a:b\"

[shard]
pin = 1

[shards]
count = [0, 0]
backend = \"iouring\"
[[listen]]
address = \"localhost:8000\"
[[mount]]
name = \"live\"
fallback = \"/gone\"
[[mount]]
name = \"/a\"
fallback = \"/gone\"
burst_bytes = 0.5
";
    assert_eq!(
        faults(text),
        [
            "corecast.toml:2:20: limits.header_bytes_max: must be 1024 to 1048576 bytes, not 7",
            "corecast.toml:3:1: limits.listener_max: is no setting; did you mean \
             \"listeners_max\"?",
            "corecast.toml:4:19: limits.idle_timeout_ms: must be 100 to 3600000 ms, not \"30s\"",
            "corecast.toml:7:19: auth.source_password: is a password that everybody tries first; \
             leave it empty and one is made",
            "corecast.toml:8:14: auth.admin_user: must not contain \":\"",
            "corecast.toml:10:2: shard: is no section; did you mean \"shards\"?",
            "corecast.toml:14:9: shards.count: must be \"auto\", a count of 1 to 256, or a list of \
             different CPUs, not [0, 0]",
            "corecast.toml:15:11: shards.backend: must be one of \"auto\", \"io_uring\", \
             \"epoll\", not \"iouring\"",
            "corecast.toml:17:11: listen.address: must be an IP address and a port, such as \
             \"[::]:8000\", not \"localhost:8000\"",
            "corecast.toml:19:8: mount.name: a mount's name starts with \"/\"",
            "corecast.toml:23:12: mount./a.fallback: /gone is no configured mount",
            "corecast.toml:24:15: mount./a.burst_bytes: must be 0 or 256 to 4194304 bytes, not a \
             number with a decimal point",
        ]
    );
}

#[test]
fn a_line_that_is_no_toml_hides_no_other_fault() {
    let text = "[limits]\nlisteners_max 5\nsources_max = -1\nsources_max = 2\n[log]\njson = 3\n";
    assert_eq!(
        faults(text),
        [
            "corecast.toml:2:15: key with no value, expected `=`",
            "corecast.toml:3:15: limits.sources_max: must be 1 to 100000, not -1",
            "corecast.toml:4:1: duplicate key",
            "corecast.toml:6:8: log.json: must be true or false, not 3",
        ]
    );
    // Where the head of a section is broken, nobody knows what belongs where.
    let broken = faults("[limits\njson = 3\n");
    assert_eq!(broken, ["corecast.toml:1:8: unclosed table, expected `]`"]);
}

#[test]
fn environment_goes_over_the_file_and_flags_over_both() {
    let file = "[limits]\nlisteners_max = 1\nsources_max = 1\nheader_count_max = 9\n\
                [[listen]]\naddress = '[::]:1'\n[[mount]]\nname = '/live/a.mp3'\n";
    let environment = [
        ("CORECAST_LIMITS__SOURCES_MAX", "2"),
        ("CORECAST_LIMITS__HEADER_COUNT_MAX", "10"),
        ("CORECAST_AUTH__SOURCE_PASSWORD", "123 is good"),
        (
            "CORECAST_LISTEN__ADDRESS",
            "[::]:8001, 127.0.0.1:0,127.0.0.1:0",
        ),
        ("CORECAST_MOUNT__LIVE_A_MP3__PASSWORD", "f00"),
        ("CORECAST_MOUNT_DEFAULTS__LATENCY", "live"),
        ("CORECAST_SHARDS__COUNT", "0,2"),
        ("CORECAST_BIN", "not a setting of ours"),
        ("PATH", "/bin"),
    ];
    let set = [
        "limits.header_count_max=11",
        "mount./live/a.mp3.takeover=true",
        "log.json=true",
    ];
    let loaded = load_over(file, &environment, &set).expect("good sources");
    let config = &loaded.config;
    let limits = &config.limits;
    assert_eq!(
        (
            limits.listeners_max,
            limits.sources_max,
            limits.header_count_max
        ),
        (1, 2, 11)
    );
    assert_eq!(config.auth.source_password, "123 is good");
    assert_eq!(
        config
            .listen
            .iter()
            .map(|l| l.address.port())
            .collect::<Vec<_>>(),
        [8001, 0, 0]
    );
    assert_eq!(config.shards.count, ShardCount::Cpus(vec![0, 2]));
    let mount = config.mount("/live/a.mp3");
    assert_eq!((mount.password.as_str(), mount.takeover), ("f00", true));
    assert_eq!((mount.latency, config.log.json), (Latency::Live, true));
    let place = |path: &str| loaded.places[path].to_string();
    assert_eq!(place("limits.listeners_max"), "corecast.toml:2:17");
    assert_eq!(place("limits.sources_max"), "CORECAST_LIMITS__SOURCES_MAX");
    assert_eq!(place("limits.header_count_max"), "--set");
}

#[test]
fn faults_of_overrides_name_them() {
    let environment = [
        ("CORECAST_LIMITS__SOURCES_MAX", "many"),
        ("CORECAST_LIMITS_SOURCES_MAX", "3"),
        ("CORECAST_LIMIT__SOURCES_MAX", "3"),
        ("CORECAST_LISTEN__ADDRESS", "[::]:80,0.0.0.0:80"),
        ("CORECAST_MOUNT__NOWHERE__PASSWORD", "x"),
        ("CORECAST_AUTH__ADMIN_PASSWORD", "changeme"),
    ];
    let set = [
        "limits",
        "limits.sources=3",
        "log.level=loud",
        "mount./live.password=x",
    ];
    let faults = load_over("", &environment, &set).expect_err("they have faults");
    let faults: Vec<String> = faults.iter().map(Fault::to_string).collect();
    assert_eq!(
        faults,
        [
            "CORECAST_LIMITS__SOURCES_MAX: limits.sources_max: must be 1 to 100000, not \"many\"",
            "CORECAST_LIMITS_SOURCES_MAX: is no setting; did you mean \
             \"CORECAST_LIMITS__SOURCES_MAX\"?",
            "CORECAST_LIMIT__SOURCES_MAX: limit: is no section; did you mean \"limits\"?",
            "CORECAST_MOUNT__NOWHERE__PASSWORD: mount: there is no [[mount]] of that name",
            "CORECAST_AUTH__ADMIN_PASSWORD: auth.admin_password: is a password that everybody \
             tries first; leave it empty and one is made",
            "--set: must be section.key=value",
            "--set: limits.sources: is no setting; did you mean \"sources_max\"?",
            "--set: log.level: must be one of \"error\", \"warn\", \"info\", \"debug\", \
             \"trace\", not \"loud\"",
            "--set: mount./live.password: there is no [[mount]] of that name",
            "CORECAST_LISTEN__ADDRESS: listen.address: 0.0.0.0:80 is taken already at \
             CORECAST_LISTEN__ADDRESS",
        ]
    );
}

#[test]
fn mounts_are_checked_together() {
    let text = "\
[[mount]]
name = '/a'
fallback = '/b'
[[mount]]
name = '/b'
fallback = '/c'
[[mount]]
name = '/c'
fallback = '/b'
[[mount]]
name = '/d'
fallback = '/d'
[[mount]]
name = '/a'
[[mount]]
name = '/admin/radio'
[[mount]]
fallback = '/a'
[[listen]]
address = '127.0.0.1:8000'
[[listen]]
address = '[::ffff:127.0.0.1]:8000'
[[listen]]
port = 8000
";
    assert_eq!(
        faults(text),
        [
            "corecast.toml:6:12: mount./b.fallback: goes round: /b -> /c -> /b",
            "corecast.toml:12:12: mount./d.fallback: goes round: /d -> /d",
            "corecast.toml:14:8: mount.name: /a is declared already at corecast.toml:2:8",
            "corecast.toml:16:8: mount.name: /admin/radio is a page of the server's own",
            "corecast.toml:17:1: mount.name: is missing",
            "corecast.toml:22:11: listen.address: [::ffff:127.0.0.1]:8000 is taken already at \
             corecast.toml:20:11",
            "corecast.toml:23:1: listen.address: is missing",
            "corecast.toml:24:1: listen.port: is no setting",
        ]
    );
}

#[test]
fn sections_of_the_wrong_shape_are_told() {
    let text = "\
limits = 5
mount = '/live'
listen = [{ address = '127.0.0.1:1' }, 3]
listeners_max = 7
log.json = []
shards.count = ['a']
server.admin.name = 'x'
";
    assert_eq!(
        faults(text),
        [
            "corecast.toml:1:1: limits: must be a table: [limits]",
            "corecast.toml:2:1: mount: must be a list of tables: [[mount]]",
            "corecast.toml:3:40: listen: must be a list of tables: [[listen]]",
            "corecast.toml:4:1: listeners_max: is no section; it is a setting of [limits]",
            "corecast.toml:5:12: log.json: must be true or false, not []",
            "corecast.toml:6:16: shards.count: must be \"auto\", a count of 1 to 256, or a list of \
             different CPUs, not [\"a\"]",
            "corecast.toml:7:8: server.admin: must be one line of at most 256 bytes, not a table",
        ]
    );
}

#[test]
fn no_fault_tells_a_secret() {
    let secret = "s3cr3t\u{1}";
    let text = format!("[auth]\nadmin_password = {secret:?}\nsource_password = 7001\n");
    let set = [
        format!("auth.admin_password {secret}"),
        format!("auth.password={secret}"),
    ];
    let set: Vec<&str> = set.iter().map(String::as_str).collect();
    let variable = [("CORECAST_AUTH__SOURCE_PASSWORD", secret)];
    let faults = load_over(&text, &variable, &set).expect_err("they have faults");
    assert_eq!(faults.len(), 5);
    for fault in faults {
        let fault = fault.to_string();
        assert!(
            !fault.contains("s3cr3t") && !fault.contains("7001"),
            "{fault}"
        );
    }
}

#[test]
fn mount_names_follow_the_rules_of_media() {
    let long = format!("/{}", "x".repeat(255));
    for good in ["/a", "/live/radio.mp3", "/\u{fc}n\u{ef}", "/a b"] {
        assert_eq!(value::check_mount_name(good), Ok(()), "{good:?}");
    }
    for bad in [
        "", "/", "a", "//a", "/a/", "/../a", "/a/./b", "/a\n", "/a?b", "/a\\b", &long,
    ] {
        assert!(value::check_mount_name(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn urls_are_those_that_we_can_call() {
    let text = "[directory]\nurls = [\"http://dir.example/cgi-bin/yp-cgi\", \"http://[::1]:8/\"]\n\
                [[mount]]\nname = \"/live\"\n\
                hook_listener_add = \"http://me:pw@127.0.0.1:8080/auth?a=b\"\n";
    let config = load_text(text).expect("good settings").config;
    assert_eq!(config.directory.urls.len(), 2);
    let empty = load_over(text, &[], &["directory.urls="]).expect("good settings");
    assert_eq!(empty.config.directory.urls, Vec::<String>::new());
    let set = load_over(
        "[directory]\nurls = []\n",
        &[],
        &["directory.urls=http://a, http://b/c"],
    );
    let set = set.expect("good settings").config.directory.urls;
    assert_eq!(set, ["http://a", "http://b/c"]);
    for (bad, why) in [
        ("https://dir.example/", "no TLS to other servers yet"),
        ("ftp://dir.example/", "must be"),
        ("http://", "must be"),
        ("http:///path", "must be"),
        ("http://user@/path", "must be"),
        ("http://a b/", "must be"),
    ] {
        let hook = faults(&format!("[mount_defaults]\nhook_stream_auth = \"{bad}\"\n"));
        assert!(hook.len() == 1 && hook[0].contains(why), "{bad}: {hook:?}");
        let urls = faults(&format!("[directory]\nurls = [\"http://a\", \"{bad}\"]\n"));
        assert!(urls.len() == 1 && urls[0].contains(why), "{bad}: {urls:?}");
    }
    assert_eq!(faults("[directory]\nurls = [1]\n").len(), 1);
    assert_eq!(faults("[directory]\nurls = \"http://a\"\n").len(), 1);
}

#[test]
fn a_reload_names_what_changed_and_what_waits() {
    let old = load_text("[[mount]]\nname = '/a'\n[[mount]]\nname = '/b'\n")
        .expect("good")
        .config;
    let text = "\
[limits]
sources_max = 200
connections_max = 9
[auth]
source_password = 'not for logs'
[[listen]]
address = '127.0.0.1:1'
[mount_defaults]
latency = 'live'
[[mount]]
name = '/a'
takeover = true
[[mount]]
name = '/c'
";
    let new = load_text(text).expect("good").config;
    let changes: Vec<String> = diff(&old, &new).iter().map(Change::to_string).collect();
    assert_eq!(
        changes,
        [
            "listen: [\"[::]:8000\", \"https:[::]:8443\", \"rtmp:[::]:1935\"] -> \
             [\"127.0.0.1:1\"] (after a restart)",
            "limits.sources_max: 100 -> 200",
            "limits.connections_max: 0 -> 9 (after a restart)",
            "auth.source_password: \"\" -> \"********\"",
            "mount_defaults.latency: \"radio\" -> \"live\"",
            "mount./a.takeover: false -> true",
            "mount./b: configured -> none",
            "mount./c: none -> configured",
        ]
    );
    let applied = apply_reloadable(&old, &new);
    let waiting: Vec<String> = diff(&applied, &new)
        .into_iter()
        .map(|change| change.key)
        .collect();
    assert_eq!(waiting, ["listen", "limits.connections_max"]);
    assert_eq!((applied.limits.sources_max, applied.mounts.len()), (200, 2));
    assert_eq!(diff(&new, &new), []);
}

#[test]
fn missing_passwords_are_made_once_and_kept() {
    let mut config = Config::default();
    config.auth.admin_password = "own".to_owned();
    assert_eq!(missing_secrets(&config), [Secret::Source]);

    let mut secrets = Secrets::default();
    let made = secrets.complete(&config, |bytes| bytes.fill(0xff));
    assert_eq!(made, [(Secret::Source, "z".repeat(24))]);
    assert_eq!(
        secrets.complete(&config, |_| unreachable!("nothing is missing")),
        []
    );

    let text = secrets.render();
    let kept = Secrets::parse(File {
        name: "secrets.toml",
        text: &text,
    })
    .expect("our own file");
    assert_eq!(kept, secrets);
    kept.apply(&mut config);
    assert_eq!(config.auth.source_password, "z".repeat(24));
    assert_eq!(config.auth.admin_password, "own");

    let text = "[auth]\nsource_password = 'hackme'\nadmin_user = 'x'\n";
    let faults = Secrets::parse(File {
        name: "secrets.toml",
        text,
    })
    .expect_err("not a good one");
    assert_eq!(faults.len(), 2);
}

#[test]
fn the_state_directory_comes_from_the_nearest_source() {
    let mut config = Config::default();
    let mut environment = pairs(&[
        ("HOME", "/home/a"),
        ("XDG_STATE_HOME", "/xdg"),
        ("STATE_DIRECTORY", "/var/lib/corecast:/other"),
    ]);
    let mut found = || {
        let found = state_dir(&config, &environment);
        environment.pop();
        found.map(|path| path.to_string_lossy().into_owned())
    };
    assert_eq!(found().as_deref(), Some("/var/lib/corecast"));
    assert_eq!(found().as_deref(), Some("/xdg/corecast"));
    assert_eq!(found().as_deref(), Some("/home/a/.local/state/corecast"));
    assert_eq!(found(), None);
    config.server.state_dir = "/own".into();
    assert_eq!(
        state_dir(&config, &[]).as_deref(),
        Some(std::path::Path::new("/own"))
    );
}

#[test]
fn no_broken_file_breaks_the_loader() {
    let text = "# \u{fc}\n[limits]\nlisteners_max = 5\n[auth]\nsource_password = 'a\u{fc}b'\n\
                [[listen]]\naddress = \"[::]:8000\"\n[shards]\ncount = [0, 1]\n[server]\n\
                location = \"\"\"x\ny\"\"\"\r\n[[mount]]\nname = '/a'\nfallback = '/b'\n\
                [[mount]]\nname = '/b'\nquantum_bytes = 0x400\n";
    let mut broken = Vec::new();
    for (at, c) in text.char_indices() {
        let (head, tail) = text.split_at(at);
        let rest = &tail[c.len_utf8()..];
        broken.push(head.to_owned());
        broken.extend(
            ["", "[", "'", "\"", "=", "\n", "\u{0}", "\u{1f4fb}"]
                .map(|other| format!("{head}{other}{rest}")),
        );
    }
    let mut bad = 0;
    for text in &broken {
        let lines = text.split('\n').count();
        for fault in load_text(text).err().into_iter().flatten() {
            bad += 1;
            assert!(
                (1..=lines).contains(&fault.line) && fault.column > 0,
                "{fault} in {text:?}"
            );
        }
    }
    assert!(bad > broken.len() / 2, "most of them have faults");
}

#[test]
fn a_door_for_shoutcast_sources_is_an_acceptor_with_a_mount() {
    let text = "[[listen]]\naddress = '[::]:8000'\n[[listen]]\naddress = '[::]:8001'\n\
                protocol = 'shoutcast'\nshoutcast_mount = '/old'\n";
    let config = load_text(text).expect("good").config;
    let doors: Vec<_> = config.listen.iter().map(|door| door.protocol).collect();
    assert_eq!(doors, [ListenProtocol::Http, ListenProtocol::Shoutcast]);
    assert_eq!(config.listen[1].shoutcast_mount, "/old");
    assert_eq!(config.site(), ("http", 8_000));

    let given = [
        "listen.address=shoutcast:127.0.0.1:9001, 127.0.0.1:9000,rtmp:127.0.0.1:9002".to_owned(),
    ];
    let overridden = load(Sources {
        overrides: &given,
        ..Sources::default()
    });
    let config = overridden.expect("good").config;
    assert_eq!(config.listen[0].protocol, ListenProtocol::Shoutcast);
    assert_eq!(config.listen[2].protocol, ListenProtocol::Rtmp);
    assert_eq!(config.site(), ("http", 9_000));

    for bad in ["''", "'/admin/x'", "'no-slash'"] {
        let text = format!(
            "[[listen]]\naddress = '[::]:1'\nprotocol = 'shoutcast'\nshoutcast_mount = {bad}\n"
        );
        let faults = load_text(&text).expect_err(bad);
        assert!(
            faults[0].to_string().contains("shoutcast_mount"),
            "{faults:?}"
        );
    }
}

#[test]
fn lists_of_networks_and_agents_are_checked() {
    let text = "[limits]\ndeny_ips = ['192.0.2.0/24', '::1']\nallow_ips = []\n\
                deny_agents = ['bot*']\n[mount_defaults]\nredirect_full = 'https://a.example'\n";
    let config = load_text(text).expect("good").config;
    assert_eq!(config.limits.deny_ips.len(), 2);
    assert_eq!(config.limits.deny_agents, ["bot*"]);
    for (bad, key) in [
        ("deny_ips = ['192.0.2.0/33']", "limits.deny_ips"),
        ("trusted_proxies = ['nginx']", "limits.trusted_proxies"),
        ("allow_ips = '10.0.0.0/8'", "limits.allow_ips"),
        ("deny_agents = ['']", "limits.deny_agents"),
        ("auth_failures_max = 256", "limits.auth_failures_max"),
    ] {
        let faults = load_text(&format!("[limits]\n{bad}\n")).expect_err(bad);
        assert!(faults[0].to_string().contains(key), "{bad}: {faults:?}");
    }
}
