//! Any bytes are a master's list: bounded, to no server but the master, and to no page of ours.
#![no_main]

use std::collections::BTreeSet;

use corecast_config::{HttpUrl, LISTED_MAX, Master, is_reserved_path};
use corecast_media::name::MountName;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (first, list) = data.split_first().unwrap_or((&0, &[]));
    let words = |on: u8, word: &str| (first & on != 0).then(|| word.to_owned());
    let master = Master {
        name: "main".to_owned(),
        url: "http://master.example:8000".to_owned(),
        password: words(1, "between us").unwrap_or_default(),
        prefix: words(2, "/far").unwrap_or_default(),
        mounts: words(4, "*a*").into_iter().collect(),
        except: words(8, "b").into_iter().collect(),
        ..Master::default()
    };
    let listed = master.read_list(list);
    let lines = list.split(|byte| *byte == b'\n').count();
    assert!(listed.relays.len() + listed.bad + listed.left_over <= lines);
    assert!(listed.relays.len() <= LISTED_MAX);
    let mut seen = BTreeSet::new();
    for relay in &listed.relays {
        let mount = relay.mount.as_str();
        assert!(MountName::parse(mount).is_ok() && !is_reserved_path(mount));
        assert!(
            mount.starts_with(&master.prefix) && seen.insert(mount),
            "{mount}"
        );
        let urls = relay.urls();
        let [url] = urls.as_slice() else {
            panic!("one URL: {}", relay.url);
        };
        assert_eq!((&*url.host, url.port), ("master.example", 8_000));
        assert_eq!(HttpUrl::parse(&relay.url).as_ref(), Ok(url));
        assert!(relay.password.is_empty() == relay.user.is_empty());
    }
    assert_eq!(master.read_list(list), listed);
});
