//! Clients that come from somewhere else while they are answered.

use std::time::Duration;

use super::life::{BIG_BYTES, assert_big};
use super::*;

/// Asks for a big body and calls `act` each time another sixth of it came.
fn in_the_middle(client: &mut Client, act: impl Fn(&mut Client, usize)) -> client::Got {
    let id = client.ask("GET", "/api/big", true);
    for part in 1..=5 {
        let enough = part * BIG_BYTES / 6;
        client.until("some of the body", |client| {
            let got = client.streams.get(&id);
            got.is_some_and(|got| got.body.len() >= enough)
        });
        act(client, part);
    }
    client.outcome(id)
}

#[test]
fn a_client_may_come_from_another_port_while_it_is_answered() {
    on_each(2, |node, at| {
        let mut client = Client::connected(at);
        assert_big(&in_the_middle(&mut client, |client, _| client.rebind()));
        assert_eq!(counted(node, |probe| probe.quic_resets.total()), 0);
    });
}

#[test]
fn a_client_may_come_from_another_host_while_it_is_answered() {
    on_each(2, |node, at| {
        let mut client = Client::connected(at);
        // There and back again.
        let hosts = [2, 3, 2, 4, 3];
        let act = |client: &mut Client, part| client.move_to(hosts[part - 1]);
        assert_big(&in_the_middle(&mut client, act));
        assert_eq!(counted(node, |probe| probe.quic_resets.total()), 0);
    });
}

#[test]
fn a_host_that_proves_nothing_gets_three_times_what_it_sent() {
    on_each(1, |_, at| {
        let mut client = Client::connected(at);
        let id = client.ask("GET", "/api/big", true);
        client.until("some of the body", |client| {
            client.streams.contains_key(&id)
        });
        client.bytes.0 = 0;
        client.move_to(2);
        client.send();
        client.assert_amplification(client.bytes.0);
    });
}

#[test]
fn what_asks_a_client_for_a_proof_may_be_lost() {
    on_each(1, |_, at| {
        for lost in [1, 2, 4] {
            let mut client = Client::connected(at);
            let act = |client: &mut Client, part| {
                if part == 3 {
                    client.move_to(2);
                    client.loses_next = lost;
                }
            };
            assert_big(&in_the_middle(&mut client, act));
        }
    });
}

#[test]
fn packets_may_be_lost_while_a_client_moves() {
    // Each time that all of a few packets are lost it waits longer.
    let patient = || {
        let mut config = config();
        config.limits.idle_timeout = Duration::from_secs(30);
        config
    };
    let bind = || udp::bind((Ipv4Addr::LOCALHOST, 0).into(), 1).expect("a port is free");
    on_sockets(patient, bind, credentials, |_, at| {
        let mut client = Client::connected(at);
        client.loses = 7;
        let act = |client: &mut Client, part| match part {
            2 | 4 => client.move_to(2 + part as u8),
            _ => client.rebind(),
        };
        assert_big(&in_the_middle(&mut client, act));
    });
}
