//! Relays: mounts whose stream is taken from other servers.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::check::{HLS_NAME, is_hls_path, is_reserved_path};
use crate::fault::{Fault, Place};
use crate::load::RELAY;
use crate::property::{Kind, Named, millis, section, text};

/// The most relays.
pub(crate) const RELAYS_MAX: usize = 1_000;

/// The most URLs of one relay.
pub(crate) const URLS_MAX: usize = 16;

/// The longest URL in bytes.
const URL_BYTES_MAX: usize = 2_048;

section! {
    /// A mount that is fed by another server's stream, as many as wanted.
    pub struct Relay in "relay" {
        /// The mount that it feeds; it may have a `[[mount]]` too. Needed.
        mount: String = String::new(), Kind::MountName, Reload;
        /// Where the stream is: `http://host:port/mount`. Several, with spaces between them, are
        /// tried in their order whenever the stream is lost; up to three redirects to `http://` are
        /// followed from each. Needed.
        url: String = String::new(), text(8_192), Reload;
        /// Whether it runs only while somebody listens.
        on_demand: bool = false, Kind::Bool, Reload;
        /// How long a relay on demand goes on after its last listener.
        linger as "linger_ms":
            Duration = Duration::from_secs(10), millis(0, 3_600_000), Reload;
        /// How long the first listener of a relay on demand may wait for its stream.
        wait_max as "wait_max_ms":
            Duration = Duration::from_millis(4_000), millis(0, 4_500), Reload;
        /// User that the other server asks for; empty for none. Only sent to the hosts of `url`.
        user: String = String::new(), text(128), Reload;
        /// Password of that user.
        password: String = String::new(), Kind::Secret, Reload;
        /// Whether the titles between the audio are asked for and kept.
        titles: bool = true, Kind::Bool, Reload;
        /// How long the other server may send nothing.
        silence_max as "silence_max_ms":
            Duration = Duration::from_secs(10), millis(500, 600_000), Reload;
        /// How long to wait after the first vain round through the URLs; each further one waits
        /// twice as long as the one before it, less a random part of up to a half.
        retry_min as "retry_min_ms":
            Duration = Duration::from_secs(1), millis(50, 600_000), Reload;
        /// The longest such wait.
        retry_max as "retry_max_ms":
            Duration = Duration::from_secs(60), millis(50, 3_600_000), Reload;
    }
}

impl Named for Relay {
    const KEY: &'static str = "mount";
    const NEEDED: &'static [&'static str] = &["mount", "url"];

    fn example() -> Self {
        Relay {
            mount: "/relayed".to_owned(),
            url: "http://origin.example:8000/live".to_owned(),
            ..Relay::default()
        }
    }

    fn called(&self) -> &str {
        &self.mount
    }
}

impl Relay {
    /// Where the stream is, in the order in which it is tried.
    pub fn urls(&self) -> Vec<HttpUrl> {
        let urls = self.url.split_whitespace();
        urls.filter_map(|url| HttpUrl::parse(url).ok()).collect()
    }
}

/// An `http://` URL without user, password and fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUrl {
    /// A name or an address; IPv6 without its brackets.
    pub host: String,
    /// Never 0.
    pub port: u16,
    /// Path and query, escaped, starting with `/`.
    pub target: String,
}

impl HttpUrl {
    /// Reads a URL (RFC 3986 section 3) as strictly as it will be used.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(url: &str) -> Result<Self, &'static str> {
        if url.len() > URL_BYTES_MAX {
            return Err("is longer than 2048 bytes");
        }
        let scheme = url.get(..7).filter(|s| s.eq_ignore_ascii_case("http://"));
        let rest = scheme.and_then(|_| url.get(7..));
        let rest = rest.ok_or("must start with http://")?;
        if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("has characters that a URL must escape");
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.contains('@') {
            return Err("must not hold user and password; `user` and `password` do");
        }
        let (host, port) = split_port(authority)?;
        let target = target.split('#').next().unwrap_or_default();
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(HttpUrl {
            host: host.to_owned(),
            port,
            target: format!("{slash}{target}"),
        })
    }

    /// Where a redirect from here to `location` leads.
    ///
    /// # Errors
    /// It is no `http://` URL and no absolute path.
    pub fn join(&self, location: &str) -> Result<Self, &'static str> {
        if location.starts_with('/') && !location.starts_with("//") {
            return HttpUrl::parse(&format!("http://{}{location}", self.authority()));
        }
        HttpUrl::parse(location)
    }

    /// Host and port as in a URL.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.target)
    }
}

/// RFC 3986 section 3.2: a host, in brackets where it is an IPv6 address, and a port.
fn split_port(authority: &str) -> Result<(&str, u16), &'static str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or("has no ] behind its host")?;
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return Err("has no IPv6 address in its brackets");
            }
            (host, after)
        }
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte);
    if host.is_empty() || !host.bytes().all(is_host) {
        return Err("has no host");
    }
    let port = match port.strip_prefix(':') {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok(),
        None if port.is_empty() => Some(80),
        _ => None,
    };
    match port {
        Some(port @ 1..) => Ok((host, port)),
        _ => Err("has a bad port"),
    }
}

/// The faults of the relays, alone and together.
pub(crate) fn check(relays: &[(Relay, Place)]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut seen: BTreeMap<&str, &Place> = BTreeMap::new();
    for (relay, place) in relays {
        let mount = relay.mount.as_str();
        let mut note = |key: &str, message: String| {
            faults.push(place.fault(format!("{RELAY}.{key}"), message));
        };
        if mount.is_empty() {
            note("mount", "is missing".to_owned());
        } else if is_reserved_path(mount) {
            note("mount", format!("{mount} is a page of the server's own"));
        } else if is_hls_path(mount) {
            note("mount", format!("{mount} {HLS_NAME}"));
        } else if let Some(first) = seen.get(mount) {
            note("mount", format!("{mount} is relayed already at {first}"));
        } else {
            seen.insert(mount, place);
        }
        let urls: Vec<&str> = relay.url.split_whitespace().collect();
        if urls.is_empty() {
            note("url", "is missing".to_owned());
        }
        if urls.len() > URLS_MAX {
            note("url", format!("has more than {URLS_MAX} URLs"));
        }
        for url in urls {
            if let Err(message) = HttpUrl::parse(url) {
                note("url", format!("{url:?} {message}"));
            }
        }
        if relay.user.contains(':') {
            note("user", "must not contain \":\"".to_owned());
        }
        if relay.retry_min > relay.retry_max {
            note("retry_min_ms", "is more than retry_max_ms".to_owned());
        }
    }
    if let Some((_, place)) = relays.get(RELAYS_MAX) {
        faults.push(place.fault(RELAY, format!("more than {RELAYS_MAX} relays")));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_strictly() {
        let good = |url: &str, expected: &str| {
            let parsed = HttpUrl::parse(url).map(|url| url.to_string());
            assert_eq!(parsed.as_deref(), Ok(expected));
        };
        good("http://a.example/live", "http://a.example:80/live");
        good("HTTP://a:8000", "http://a:8000/");
        good("http://a:8000/x?y=z#part", "http://a:8000/x?y=z");
        good("http://[::1]:8000/x", "http://[::1]:8000/x");
        good("http://a?b", "http://a:80/?b");
        let bad = |url: &str, why: &str| assert_eq!(HttpUrl::parse(url), Err(why), "{url}");
        bad("https://a/", "must start with http://");
        bad("file:///etc/passwd", "must start with http://");
        bad("http:///x", "has no host");
        bad("http://a:0/", "has a bad port");
        bad("http://a:+1/", "has a bad port");
        bad("http://a:70000/", "has a bad port");
        bad("http://[::1/", "has no ] behind its host");
        bad("http://[a]/", "has no IPv6 address in its brackets");
        bad("http://a b/", "has characters that a URL must escape");
        bad("http://a/\r\nX: y", "has characters that a URL must escape");
        let user = "must not hold user and password; `user` and `password` do";
        bad("http://u:p@a/", user);
    }

    #[test]
    fn redirects_stay_with_http() {
        let from = HttpUrl::parse("http://a:8000/x").expect("a URL");
        let joined = |location: &str| from.join(location).map(|url| url.to_string());
        assert_eq!(joined("/y?z"), Ok("http://a:8000/y?z".to_owned()));
        assert_eq!(joined("http://b/y"), Ok("http://b:80/y".to_owned()));
        for location in ["https://a/", "//b/y", "y", "file:///x", "gopher://a"] {
            assert!(joined(location).is_err(), "{location}");
        }
    }

    /// Loads `text` as a file with `overrides` and `environment`.
    fn loaded(
        text: &str,
        overrides: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Vec<Relay>, Vec<String>> {
        let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
        let environment: Vec<(String, String)> = environment
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect();
        let loaded = crate::load(crate::Sources {
            file: Some(crate::File { name: "f", text }),
            environment: &environment,
            overrides: &overrides,
        });
        loaded
            .map(|loaded| loaded.config.relays)
            .map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    const ONE: &str = "[[relay]]\nmount = '/r'\nurl = 'http://a/b  http://c:1/d'\n";

    #[test]
    fn relays_come_from_the_file_and_their_settings_from_everywhere() {
        let plain = loaded(ONE, &[], &[]).expect("no faults");
        let [relay] = plain.as_slice() else {
            panic!("one relay");
        };
        let urls: Vec<String> = relay.urls().iter().map(HttpUrl::to_string).collect();
        assert_eq!(urls, ["http://a:80/b", "http://c:1/d"]);
        let set = ["relay./r.on_demand=true"];
        let environment = [("CORECAST_RELAY__R__PASSWORD", "between us")];
        let changed = loaded(ONE, &set, &environment).expect("no faults");
        let expected = Relay {
            on_demand: true,
            password: "between us".to_owned(),
            ..relay.clone()
        };
        assert_eq!(changed, [expected]);
    }

    #[test]
    fn every_fault_of_a_relay_is_told() {
        let bad = "[[relay]]\nurl = 'https://a/'\n[[relay]]\nmount = '/admin/x'\n\
                   [[relay]]\nmount = '/r'\nurl = 'http://a/'\nretry_min_ms = 5000\n\
                   retry_max_ms = 500\nuser = 'a:b'\n\
                   [[relay]]\nmount = '/r'\nurl = 'http://a/'\nspeed = 1\n\
                   [[relay]]\nmount = '/r.m3u8'\nurl = 'http://a/'\n";
        let faults = loaded(bad, &["relay./x.titles=true"], &[]).expect_err("faults");
        assert_eq!(
            faults,
            [
                "f:1:1: relay.mount: is missing",
                "f:1:1: relay.url: \"https://a/\" must start with http://",
                "f:4:9: relay.mount: /admin/x is a page of the server's own",
                "f:4:9: relay.url: is missing",
                "f:6:9: relay.user: must not contain \":\"",
                "f:6:9: relay.retry_min_ms: is more than retry_max_ms",
                "f:12:9: relay.mount: /r is relayed already at f:6:9",
                "f:14:1: relay./r.speed: is no setting",
                "f:16:9: relay.mount: /r.m3u8 is an address of another mount's HLS: no source \
                 could feed it",
                "--set: relay./x.titles: there is no [[relay]] of that mount",
            ]
        );
    }

    #[test]
    fn a_reload_tells_what_changed_without_the_secret() {
        let with = |text: &str| crate::Config {
            relays: loaded(text, &[], &[]).expect("no faults"),
            ..crate::Config::default()
        };
        let (none, one) = (crate::Config::default(), with(ONE));
        let other = with(&format!("{ONE}password = 'between us'\ntitles = false\n"));
        let told = |old: &crate::Config, new: &crate::Config| {
            let changes = crate::diff(old, new);
            changes.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(told(&none, &one), ["relay./r: none -> configured"]);
        assert_eq!(told(&one, &none), ["relay./r: configured -> none"]);
        assert_eq!(
            told(&one, &other),
            [
                "relay./r.password: \"\" -> \"********\"",
                "relay./r.titles: true -> false"
            ]
        );
        assert_eq!(crate::apply_reloadable(&none, &other), other);
    }
}
