//! What is stapled to a certificate.

use std::sync::mpsc;

use boring::ssl::{SslContextBuilder, SslMethod};
use corecast_tls::{Files, Identity, Policy, Tickets};
use rcgen::{CertificateParams, KeyPair};

use super::*;

/// A sequence of nothing: nobody here looks into it.
const RESPONSE: &[u8] = &[0x30, 0x00];

fn identity(ocsp: Option<&[u8]>) -> Identity {
    let key = KeyPair::generate().expect("randomness");
    let named = CertificateParams::new(vec!["a.test".to_owned()]).expect("a name");
    let made = named.self_signed(&key).expect("all it needs");
    let (chain, key) = (made.pem(), key.serialize_pem());
    let files = Files {
        chain: chain.as_bytes(),
        key: Some(key.as_bytes()),
        ocsp,
    };
    Identity::read("a", files).expect("they belong together")
}

/// The OCSP response that a client gets which asks for one.
fn stapled(at: SocketAddr) -> Option<Vec<u8>> {
    let (sees, seen) = mpsc::channel();
    let mut builder = SslContextBuilder::new(SslMethod::tls()).expect("a context");
    builder.enable_ocsp_stapling();
    builder
        .set_status_callback(move |ssl| {
            // Who asked may be gone.
            let _ = sees.send(ssl.ocsp_status().map(<[u8]>::to_vec));
            Ok(true)
        })
        .expect("a callback");
    let version = quiche::PROTOCOL_VERSION;
    let mut settings =
        quiche::Config::with_boring_ssl_ctx_builder(version, builder).expect("a good version");
    client::set_up(&mut settings);
    let mut client = Client::with_settings(at, &[7; 16], Some("a.test"), &mut settings);
    client.until("a handshake", |client| client.h3.is_some());
    seen.try_recv().expect("the handshake is over")
}

#[test]
fn a_client_that_asks_for_it_gets_the_ocsp_response() {
    let bind = || udp::bind((Ipv4Addr::LOCALHOST, 0).into(), 1).expect("a port is free");
    for ocsp in [None, Some(RESPONSE)] {
        let credentials = || {
            let tickets = Tickets::new().expect("there is randomness");
            let credentials = Credentials::new(vec![identity(ocsp)], Policy::default(), &tickets);
            Arc::new(credentials.expect("one"))
        };
        on_sockets(config, bind, credentials, |_, at| {
            assert_eq!(stapled(at).as_deref(), ocsp);
        });
    }
}
