//! Masters: servers all of whose mounts are relayed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::check::{is_hls_path, is_reserved_path};
use crate::fault::{Fault, Place};
use crate::pattern;
use crate::property::{Kind, Named, Section, millis, section, text};
use crate::relay::{HttpUrl, Relay};
use crate::value;

/// The most masters.
pub(crate) const MASTERS_MAX: usize = 16;

/// The most mounts that are taken from the list of one master.
pub const LISTED_MAX: usize = 1_000;

/// The longest line of a list that may name a mount, in bytes.
const LINE_BYTES_MAX: usize = 1_024;

section! {
    /// A server all of whose mounts are relayed, as many as wanted: Icecast's master, where we are
    /// the slave. A mount with a `[[relay]]` or with a source of its own here is left to that, and
    /// of the places that `limits.sources_max` allows a tenth is left to other sources.
    pub struct Master in "master" {
        /// What it is called in logs, in the API and in the names of overrides: letters, digits,
        /// `_` and `-`. Needed.
        name: String = String::new(), text(64), Reload;
        /// Where it is: `http://host:port`. Needed.
        url: String = String::new(), text(2_048), Reload;
        /// User that its list and its mounts are asked for with.
        user: String = "relay".to_owned(), text(128), Reload;
        /// Password of that user: the other server's `relay_password`. With one the list is
        /// `/admin/streamlist.txt`; without one it is what `/status-json.xsl` tells everybody.
        password: String = String::new(), Kind::Secret, Reload;
        /// How often the list is fetched.
        interval as "interval_ms":
            Duration = Duration::from_secs(30), millis(500, 86_400_000), Reload;
        /// How long the other server may take to tell its list.
        timeout as "timeout_ms":
            Duration = Duration::from_secs(10), millis(100, 60_000), Reload;
        /// Mounts that are relayed: those that contain one of these texts, or match one with `*`
        /// as a whole; empty for all.
        mounts: Vec<String> = Vec::new(), Kind::Words, Reload;
        /// Mounts that are not relayed, even where `mounts` has them.
        except: Vec<String> = Vec::new(), Kind::Words, Reload;
        /// What is put before the names of its mounts here; empty for nothing.
        prefix: String = String::new(), Kind::MountName, Reload;
        /// Whether a mount is taken only while somebody listens to it here.
        on_demand: bool = false, Kind::Bool, Reload;
        /// Whether the titles between the audio are asked for and kept.
        titles: bool = true, Kind::Bool, Reload;
    }
}

impl Named for Master {
    const KEY: &'static str = "name";
    const NEEDED: &'static [&'static str] = &["name", "url"];

    fn example() -> Self {
        Master {
            name: "main".to_owned(),
            url: "http://master.example:8000".to_owned(),
            ..Master::default()
        }
    }

    fn called(&self) -> &str {
        &self.name
    }
}

/// What the list of a master comes to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listed {
    /// The relays that follow from it, in its order, each to another mount; at most
    /// [`LISTED_MAX`].
    pub relays: Vec<Relay>,
    /// Lines that name no mount that can be relayed.
    pub bad: usize,
    /// Mounts beyond [`LISTED_MAX`].
    pub left_over: usize,
}

impl Master {
    /// Where `target` is on the master; nothing where its URL is none.
    pub fn at(&self, target: &str) -> Option<String> {
        let root = HttpUrl::parse(&self.url).ok()?;
        Some(format!("http://{}{target}", root.authority()))
    }

    /// Reads a list as Icecast writes it: the name of a mount in each line. Total: any bytes are
    /// a list, if one of bad lines.
    pub fn read_list(&self, list: &[u8]) -> Listed {
        let lines = list.split(|byte| *byte == b'\n');
        let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let lines = lines.filter(|line| !line.is_empty());
        self.read_names(lines.map(|line| {
            let short = Some(line).filter(|line| line.len() <= LINE_BYTES_MAX);
            short
                .and_then(|line| std::str::from_utf8(line).ok())
                .unwrap_or_default()
        }))
    }

    /// The same from names that were found elsewhere.
    pub fn read_names<'n>(&self, names: impl Iterator<Item = &'n str>) -> Listed {
        let mut listed = Listed::default();
        let mut seen = BTreeSet::new();
        for name in names {
            let local = format!("{}{name}", self.prefix.trim_end_matches('/'));
            // A master names its mounts and no servers: where its list leads is up to us.
            let is_mount = value::check_mount_name(name).is_ok()
                && value::check_mount_name(&local).is_ok()
                && !is_reserved_path(&local)
                && !is_hls_path(&local);
            if !is_mount {
                listed.bad += 1;
            } else if !self.wants(name) || seen.contains(&local) {
                // Nothing to do for it.
            } else if listed.relays.len() >= LISTED_MAX {
                listed.left_over += 1;
            } else if let Some(relay) = self.relay(name, &local) {
                seen.insert(local);
                listed.relays.push(relay);
            }
        }
        listed
    }

    fn wants(&self, name: &str) -> bool {
        let fits = |pattern: &String| pattern::fits(pattern, name);
        let wanted = self.mounts.is_empty() || self.mounts.iter().any(fits);
        wanted && !self.except.iter().any(fits)
    }

    fn relay(&self, name: &str, local: &str) -> Option<Relay> {
        Some(Relay {
            mount: local.to_owned(),
            url: self.at(&escaped(name))?,
            on_demand: self.on_demand,
            user: if self.password.is_empty() {
                String::new()
            } else {
                self.user.clone()
            },
            password: self.password.clone(),
            titles: self.titles,
            ..Relay::default()
        })
    }
}

/// The name of a mount as the path of a URL (RFC 3986 section 3.3).
fn escaped(name: &str) -> String {
    let mut path = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    path
}

/// The faults of the masters, alone and together.
pub(crate) fn check(masters: &[(Master, Place)]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut seen: BTreeMap<&str, &Place> = BTreeMap::new();
    for (master, place) in masters {
        let mut note = |key: &str, message: String| {
            faults.push(place.fault(format!("{}.{key}", Master::NAME), message));
        };
        let name = master.name.as_str();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        if name.is_empty() {
            note("name", "is missing".to_owned());
        } else if !name.bytes().all(plain) {
            note("name", "must be letters, digits, _ and -".to_owned());
        } else if let Some(first) = seen.get(name) {
            note("name", format!("{name} is declared already at {first}"));
        } else {
            seen.insert(name, place);
        }
        match HttpUrl::parse(&master.url) {
            Ok(url) if url.target == "/" => {}
            Ok(_) => note("url", "must not have a path".to_owned()),
            Err(_) if master.url.is_empty() => note("url", "is missing".to_owned()),
            Err(fault) => note("url", format!("{:?} {fault}", master.url)),
        }
        if master.user.contains(':') {
            note("user", "must not contain \":\"".to_owned());
        }
        if master.user.is_empty() && !master.password.is_empty() {
            note("user", "is missing: there is a password".to_owned());
        }
    }
    if let Some((_, place)) = masters.get(MASTERS_MAX) {
        let message = format!("more than {MASTERS_MAX} masters");
        faults.push(place.fault(Master::NAME, message));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn master() -> Master {
        Master {
            name: "main".to_owned(),
            url: "http://a:8000".to_owned(),
            ..Master::default()
        }
    }

    fn mounts(listed: &Listed) -> Vec<&str> {
        let relays = listed.relays.iter();
        relays.map(|relay| relay.mount.as_str()).collect()
    }

    #[test]
    fn a_list_becomes_relays() {
        let list = b"/live\r\n/b c.ogg\n\n/live\n/\xc3\xa9\r\n/d%41";
        let listed = Master {
            password: "between us".to_owned(),
            prefix: "/west".to_owned(),
            on_demand: true,
            ..master()
        }
        .read_list(list);
        assert_eq!(
            mounts(&listed),
            ["/west/live", "/west/b c.ogg", "/west/\u{e9}", "/west/d%41"]
        );
        let urls: Vec<&str> = listed.relays.iter().map(|relay| &*relay.url).collect();
        let paths = ["/live", "/b%20c.ogg", "/%C3%A9", "/d%2541"];
        assert_eq!(urls, paths.map(|path| format!("http://a:8000{path}")));
        for relay in &listed.relays {
            assert!(relay.on_demand && relay.user == "relay" && relay.password == "between us");
            assert_eq!(relay.urls().len(), 1);
        }
        assert_eq!((listed.bad, listed.left_over), (0, 0));
        let nobody = master().read_list(list);
        assert_eq!(nobody.relays[0].user, "", "no password, no login");
    }

    #[test]
    fn hostile_names_are_counted_and_left_out() {
        let long = format!("/{}", "x".repeat(LINE_BYTES_MAX));
        for bad in [
            "live",
            "http://elsewhere.example/live",
            "//elsewhere.example/live",
            "/../etc/passwd",
            "/admin/stats",
            "/status-json.xsl",
            "/a.m3u8",
            "/",
            "/a?b",
            "/a#b",
            "/<html>",
            "/a\tb",
            "/a\rb",
            "/a\0b",
            "/\u{7f}",
            " /a",
            &long,
        ] {
            let listed = master().read_list(format!("/good\n{bad}\n").as_bytes());
            assert_eq!((mounts(&listed), listed.bad), (vec!["/good"], 1), "{bad:?}");
        }
        let binary = master().read_list(b"/a\xff\xfe\n\x00\x01\x02");
        assert_eq!((mounts(&binary), binary.bad), (vec![], 2));
        let prefixed = Master {
            prefix: "/admin".to_owned(),
            ..master()
        };
        assert_eq!(prefixed.read_list(b"/x").bad, 1, "our own pages stay ours");
    }

    #[test]
    fn a_list_has_a_bound() {
        let list: String = (0..LISTED_MAX + 7).map(|at| format!("/{at}\n")).collect();
        let listed = master().read_list(list.as_bytes());
        assert_eq!((listed.relays.len(), listed.left_over), (LISTED_MAX, 7));
    }

    #[test]
    fn patterns_choose_mounts() {
        let chosen = |mounts_: &[&str], except: &[&str]| {
            let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
            let master = Master {
                mounts: own(mounts_),
                except: own(except),
                ..master()
            };
            let listed = master.read_list(b"/live.mp3\n/live.ogg\n/test.mp3\n");
            mounts(&listed).join(" ")
        };
        assert_eq!(chosen(&[], &[]), "/live.mp3 /live.ogg /test.mp3");
        assert_eq!(chosen(&["*.mp3"], &[]), "/live.mp3 /test.mp3");
        assert_eq!(chosen(&["*.mp3"], &["test"]), "/live.mp3");
        assert_eq!(chosen(&["/live.*"], &["*.ogg"]), "/live.mp3");
        assert_eq!(chosen(&["/none"], &[]), "");
    }

    fn loaded(text: &str, overrides: &[&str]) -> Result<Vec<Master>, Vec<String>> {
        let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
        let name = "CORECAST_MASTER__MAIN__PASSWORD".to_owned();
        let environment = [(name, "between us".to_owned())];
        let loaded = crate::load(crate::Sources {
            file: Some(crate::File { name: "f", text }),
            environment: if overrides.is_empty() {
                &[]
            } else {
                &environment
            },
            overrides: &overrides,
        });
        loaded
            .map(|loaded| loaded.config.masters)
            .map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    const ONE: &str = "[[master]]\nname = 'main'\nurl = 'http://a:8000'\n";

    #[test]
    fn masters_come_from_the_file_and_their_settings_from_everywhere() {
        assert_eq!(loaded(ONE, &[]), Ok(vec![master()]));
        let expected = Master {
            password: "between us".to_owned(),
            except: vec!["a".to_owned(), "b".to_owned()],
            ..master()
        };
        assert_eq!(loaded(ONE, &["master.main.except=a,b"]), Ok(vec![expected]));
    }

    #[test]
    fn every_fault_of_a_master_is_told() {
        let bad = "[[master]]\nurl = 'https://a/'\n[[master]]\nname = 'a b'\n\
                   url = 'http://a/list'\nuser = 'a:b'\n[[master]]\nname = 'x'\n\
                   [[master]]\nname = 'x'\nurl = 'http://a'\nuser = ''\npassword = 'between us'\n";
        assert_eq!(
            loaded(bad, &[]),
            Err([
                "f:1:1: master.name: is missing",
                "f:1:1: master.url: \"https://a/\" must start with http://",
                "f:4:8: master.name: must be letters, digits, _ and -",
                "f:4:8: master.url: must not have a path",
                "f:4:8: master.user: must not contain \":\"",
                "f:8:8: master.url: is missing",
                "f:10:8: master.name: x is declared already at f:8:8",
                "f:10:8: master.user: is missing: there is a password",
            ]
            .map(str::to_owned)
            .to_vec())
        );
    }

    #[test]
    fn a_reload_tells_what_changed_without_the_secret() {
        let with = |text: &str| crate::Config {
            masters: loaded(text, &[]).expect("no faults"),
            ..crate::Config::default()
        };
        let (none, one) = (crate::Config::default(), with(ONE));
        let other = with(&format!("{ONE}password = 'between us'\n"));
        let told = |old: &crate::Config, new: &crate::Config| {
            let changes = crate::diff(old, new);
            changes.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(told(&none, &one), ["master.main: none -> configured"]);
        assert_eq!(
            told(&one, &other),
            ["master.main.password: \"\" -> \"********\""]
        );
    }
}
