//! What we read of QUIC ourselves: ids, tokens and priorities. What is written can be read, what
//! was bent cannot, and nothing else happens.
#![no_main]

use std::net::SocketAddr;

use corecast_protocol::quic::priority::{Priority, URGENCY_MAX};
use corecast_protocol::quic::steering::{self, ID_BYTES, ID_BYTES_MAX};
use corecast_protocol::quic::token::{RETRY_SECONDS_MAX, TOKEN_BYTES_MAX, TokenKey};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some(said) = Priority::parse(data) {
        assert!(said.urgency <= URGENCY_MAX);
    }
    let Some((&shards, datagram)) = data.split_first() else {
        return;
    };
    let shards = u16::from(shards).max(1);
    if let Some(id) = steering::destination(datagram) {
        assert!(id.len() <= ID_BYTES_MAX && steering::shard_of(id, shards) < shards);
        check_token(id, datagram);
    }
    if let Some(mut id) = datagram.first_chunk::<ID_BYTES>().copied() {
        let shard = u16::from(id[ID_BYTES - 1]) % shards;
        steering::mark(&mut id, shard, shards);
        assert_eq!(steering::shard_of(&id, shards), shard);
    }
});

fn check_token(id: &[u8], datagram: &[u8]) {
    let (key, peer) = (TokenKey::derived(b"fuzz"), SocketAddr::from(([192, 0, 2, 1], 1)));
    // Nobody makes a token without the key.
    assert_eq!(key.original(7, peer, id, datagram), None);
    let mut token = key.retry_token(7, peer, id, datagram);
    assert!(token.len() <= TOKEN_BYTES_MAX && TokenKey::is_retry_token(&token));
    let last = 7 + RETRY_SECONDS_MAX;
    assert_eq!(key.original(last, peer, datagram, &token), Some(id));
    let at = datagram.len() % token.len();
    token[at] ^= 1;
    assert_eq!(key.original(last, peer, datagram, &token), None);
}
