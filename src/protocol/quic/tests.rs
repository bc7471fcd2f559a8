use std::net::SocketAddr;

use super::priority::Priority;
use super::steering::{ID_BYTES, destination, is_long, mark, shard_of};
use super::token::{RETRY_SECONDS_MAX, TokenKey};

fn peer(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 7], port))
}

#[test]
fn an_id_names_its_shard_whatever_is_random_in_it() {
    for shards in [1, 2, 3, 7, 16, 100, 255, 256] {
        for shard in [0, 1, shards / 2, shards - 1] {
            let shard = shard.min(shards - 1);
            for random in 0..=255 {
                let mut id = [random; ID_BYTES];
                mark(&mut id, shard, shards);
                assert_eq!(shard_of(&id, shards), shard, "{random} of {shards}");
            }
        }
    }
}

#[test]
fn marked_ids_keep_what_is_random_as_far_as_it_goes() {
    let firsts: std::collections::BTreeSet<u8> = (0..=255)
        .map(|random| {
            let mut id = [random; ID_BYTES];
            mark(&mut id, 1, 4);
            id[0]
        })
        .collect();
    assert_eq!(firsts.len(), 64);
}

#[test]
fn both_headers_say_the_destination() {
    let mut short = vec![0x40];
    short.extend(1..=40);
    assert_eq!(destination(&short), Some(&short[1..17]));
    assert!(!is_long(&short));
    // RFC 9001 appendix A.2.
    let initial = [
        0xc0, 0, 0, 0, 1, 8, 0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08, 0, 0,
    ];
    assert_eq!(destination(&initial), Some(&initial[6..14]));
    assert!(is_long(&initial));
    let mut too_long = [0; 64];
    too_long[0] = 0xc0;
    too_long[5] = 21;
    assert_eq!(destination(&too_long), None);
    assert_eq!(destination(&initial[..10]), None);
    assert_eq!(destination(&short[..16]), None);
    assert_eq!(destination(&[]), None);
}

#[test]
fn a_retry_token_is_good_for_its_client_and_its_time_only() {
    let key = TokenKey::new([7; 32]);
    let token = key.retry_token(1_000, peer(5_000), b"original", b"next");
    let open = |now, peer, next: &[u8]| key.original(now, peer, next, &token);
    assert_eq!(open(1_000, peer(5_000), b"next"), Some(&b"original"[..]));
    let last = 1_000 + RETRY_SECONDS_MAX;
    assert_eq!(open(last, peer(5_000), b"next"), Some(&b"original"[..]));
    assert_eq!(open(last + 1, peer(5_000), b"next"), None);
    assert_eq!(open(999, peer(5_000), b"next"), None);
    assert_eq!(open(1_000, peer(5_001), b"next"), None);
    assert_eq!(open(1_000, peer(5_000), b"text"), None);
    let other = TokenKey::new([8; 32]);
    assert_eq!(other.original(1_000, peer(5_000), b"next", &token), None);
    let mapped: SocketAddr = "[::ffff:192.0.2.7]:5000".parse().expect("an address");
    assert_eq!(open(1_000, mapped, b"next"), Some(&b"original"[..]));
}

#[test]
fn a_bent_token_is_no_token() {
    let key = TokenKey::new([7; 32]);
    let token = key.retry_token(1_000, peer(5_000), b"original", b"next");
    for at in 0..token.len() {
        let mut bent = token.clone();
        bent[at] ^= 1;
        assert_eq!(key.original(1_000, peer(5_000), b"next", &bent), None);
        assert_eq!(
            key.original(1_000, peer(5_000), b"next", &token[..at]),
            None
        );
    }
}

#[test]
fn a_reset_token_belongs_to_one_id_and_one_key() {
    let key = TokenKey::new([7; 32]);
    assert_eq!(key.reset_token(b"one"), key.reset_token(b"one"));
    assert_ne!(key.reset_token(b"one"), key.reset_token(b"two"));
    assert_ne!(
        key.reset_token(b"one"),
        TokenKey::new([8; 32]).reset_token(b"one")
    );
}

#[test]
fn a_priority_is_read_as_far_as_it_is_one() {
    let read = |text: &str| {
        let said = Priority::parse(text.as_bytes());
        said.map(|said| (said.urgency, said.incremental))
    };
    assert_eq!(read("u=1"), Some((1, false)));
    assert_eq!(read("u=5, i"), Some((5, true)));
    assert_eq!(read("i=?1;x=2,u=0"), Some((0, true)));
    assert_eq!(read("i=?0"), Some((3, false)));
    assert_eq!(read("u=8, foo=1, i"), Some((3, true)));
    assert_eq!(read("u=1, u=2"), Some((2, false)));
    for nothing in ["", "u", "u=", "u=10", "u=-1", "I", "i=1", ",,,"] {
        assert_eq!(read(nothing), None, "{nothing}");
    }
    assert_eq!(read(&"i,".repeat(200)), None);
}
