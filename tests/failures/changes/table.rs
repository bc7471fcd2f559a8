//! Every setting with two good values: as it is at the start, and as it is after the reload.

/// What tells one of several sections of a kind from the others. With another name it is another
/// section.
pub(super) const NAMES: &[(&str, &str, &str)] = &[
    ("[[certificate]]", "name", "other"),
    ("[[mount]]", "name", "/own"),
    ("[[relay]]", "mount", "/relayed"),
    ("[[master]]", "name", "far"),
];

/// The settings as TOML writes them, section by section. Those of a mount have values for
/// `[mount_defaults]` and, behind the bar, for the mount `/own`. `{folder}`, `{script}`, `{port}`,
/// `{other}` (another port), `{engine}`, `{other_engine}` and `{own_max}` differ between runs.
pub(super) const SETTINGS: &str = r#"
[server]
hostname = "one.example" -> "two.example"
location = "here" -> "there"
admin = "a@one.example" -> "b@two.example"
state_dir = "{folder}/state" -> "{folder}/other"
drain_grace_ms = 5000 -> 4000
[[listen]]
address = "127.0.0.1:{port}" -> "127.0.0.1:{other}"
protocol = "http" -> "shoutcast"
http3 = true -> false
shoutcast_mount = "/one" -> "/two"
[tls]
certificate_file = "" -> "{folder}/certificate.pem"
key_file = "" -> "{folder}/key.pem"
ocsp_file = "" -> "{folder}/ocsp.der"
acme_names = ["one.example"] -> []
self_signed = true -> false
min_version = "1.2" -> "1.3"
refuse_unknown_names = false -> true
redirect_http = false -> true
hsts_seconds = 0 -> 3600
[[certificate]]
file = "" -> "{folder}/newer.pem"
key_file = "" -> "{folder}/newer-key.pem"
ocsp_file = "" -> "{folder}/newer-ocsp.der"
acme_names = ["other.example"] -> []
[acme]
agree_to_terms = true -> false
directory_url = "https://one.example/directory" -> "https://two.example/directory"
email = "a@one.example" -> "b@two.example"
challenge = "any" -> "http-01"
eab_key_id = "" -> "key"
eab_hmac_key = "" -> "c2VjcmV0IGtleQ"
roots_file = "" -> "{folder}/roots.pem"
[shards]
count = 2 -> 1
backend = "{engine}" -> "{other_engine}"
pin = false -> true
[limits]
listeners_max = 100 -> 60
sources_max = 10 -> 8
connections_max = 400 -> 500
header_timeout_ms = 600000 -> 3000
header_bytes_max = 16384 -> 2048
header_count_max = 64 -> 32
body_bytes_max = 1048576 -> 2048
idle_timeout_ms = 3600000 -> 3000
tcp_user_timeout_ms = 30000 -> 20000
trusted_proxies = [] -> ["127.0.0.1"]
allow_ips = [] -> ["127.0.0.0/8", "198.51.100.0/24"]
deny_ips = [] -> ["192.0.2.0/24"]
deny_agents = [] -> ["bad-bot"]
auth_failures_max = 5 -> 2
auth_window_ms = 300000 -> 200000
auth_lockout_ms = 3600000 -> 1000
[auth]
source_password = "tests-play-this" -> "tests-play-that"
admin_user = "admin" -> "boss"
admin_password = "tests-rule-this" -> "tests-rule-that"
relay_user = "relay" -> "mirror"
relay_password = "" -> "tests-relay-that"
[mount_defaults] | [[mount]]
password = "" -> "default-word" | "" -> "the-own-word"
takeover = false -> true | true -> false
source_timeout_ms = 3600000 -> 5000 | 3000000 -> 4000
fallback = "" -> "/spare" | "/spare" -> ""
fallback_return = true -> false | false -> true
listeners_max = 0 -> 40 | 30 -> {own_max}
latency = "radio" -> "live" | "live" -> "instant"
quantum_bytes = 0 -> 4096 | 0 -> 8192
burst_bytes = 0 -> 200000 | 0 -> 30000
slow_reader_budget_ms = 15000 -> 20000 | 16000 -> 25000
slow_reader = "skip" -> "drop" | "drop" -> "skip"
metaint_bytes = 16000 -> 4096 | 8000 -> 2000
stream_name = "" -> "Default name" | "One" -> "Two"
description = "" -> "Default text" | "Text one" -> "Text two"
genre = "" -> "Default" | "Jazz" -> "Rock"
url = "" -> "http://d.example" | "http://a.example" -> "http://b.example"
listener_duration_max_ms = 0 -> 3600000 | 0 -> 7200000
dump_file = "" -> "{folder}/rec-{mount}" | "" -> "{folder}/own-{mount}"
dump_rotate_ms = 0 -> 3600000 | 0 -> 7200000
intro = "" -> "{folder}/intro.mp3" | "" -> "{folder}/own.mp3"
allow_ips = [] -> ["127.0.0.0/16"] | ["127.0.0.0/8"] -> []
deny_ips = [] -> ["198.51.100.0/24"] | [] -> ["203.0.113.0/24"]
deny_agents = [] -> ["worse-bot"] | [] -> ["other-bot"]
redirect_full = "" -> "http://d.example" | "" -> "http://full.example"
listener_htpasswd = "" -> "{folder}/users" | "" -> "{folder}/guests"
hook_listener_add = "" -> "{script}/come" | "" -> "{script}/own-come"
hook_listener_remove = "" -> "{script}/go" | "" -> "{script}/own-go"
hook_mount_add = "" -> "{script}/on" | "" -> "{script}/own-on"
hook_mount_remove = "" -> "{script}/off" | "" -> "{script}/own-off"
hook_stream_auth = "" -> "{script}/feed" | "" -> "{script}/own-feed"
hook_user = "" -> "caller" | "" -> "own-caller"
hook_password = "" -> "calls-with-this" | "" -> "calls-with-that"
hook_timeout_ms = 5000 -> 15000 | 6000 -> 16000
hook_failure_allows = false -> true | true -> false
hidden = false -> true | true -> false
hls = "on_demand" -> "off" | "off" -> "on_demand"
hls_segment_ms = 2000 -> 3000 | 2000 -> 4000
hls_part_ms = 200 -> 300 | 200 -> 400
hls_window_ms = 60000 -> 50000 | 60000 -> 40000
forward = "" -> "rtmp://127.0.0.1:1/a/b" | "" -> "rtmp://127.0.0.1:1/c/d"
[[relay]]
url = "http://127.0.0.1:{port}/live" -> "http://127.0.0.1:{port}/own"
on_demand = false -> true
linger_ms = 10000 -> 20000
wait_max_ms = 4000 -> 3000
user = "" -> "guest"
password = "" -> "listen-to-this"
titles = true -> false
silence_max_ms = 10000 -> 20000
retry_min_ms = 200 -> 100
retry_max_ms = 60000 -> 1000
[[master]]
url = "http://127.0.0.1:1" -> "http://127.0.0.1:2"
user = "relay" -> "mirror"
password = "" -> "tests-list-that"
interval_ms = 30000 -> 40000
timeout_ms = 10000 -> 9000
mounts = [] -> ["nothing"]
except = [] -> ["everything"]
prefix = "" -> "/far"
on_demand = false -> true
titles = true -> false
[directory]
urls = [] -> ["{script}/yp"]
interval_ms = 600000 -> 500000
timeout_ms = 10000 -> 9000
[log]
level = "info" -> "debug"
json = false -> true
access_path = "" -> "{folder}/access"
access_hls = "viewers" -> "requests"
redact_ip = false -> true
"#;
