//! Which certificate a client is shown.

use boring::ssl::{SslContextBuilder, SslMethod, SslSignatureAlgorithm};
use corecast_tls::{Files, Identity, Policy, Tickets};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};

use super::*;

/// A certificate for `name`, and what it is in DER.
fn identity(name: &str, key: KeyPair) -> (Identity, Vec<u8>) {
    let named = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    let made = named.self_signed(&key).expect("all it needs");
    let (chain, key) = (made.pem(), key.serialize_pem());
    let files = Files {
        chain: chain.as_bytes(),
        key: Some(key.as_bytes()),
        ocsp: None,
    };
    let identity = Identity::read(name, files).expect("they belong together");
    (identity, made.der().to_vec())
}

/// The certificate that a client is shown which asks for `name` and checks such signatures.
fn shown(at: SocketAddr, name: Option<&str>, checks: SslSignatureAlgorithm) -> Option<Vec<u8>> {
    let mut builder = SslContextBuilder::new(SslMethod::tls()).expect("a context");
    builder
        .set_verify_algorithm_prefs(&[checks])
        .expect("a known one");
    let version = quiche::PROTOCOL_VERSION;
    let mut settings =
        quiche::Config::with_boring_ssl_ctx_builder(version, builder).expect("a good version");
    client::set_up(&mut settings);
    let mut client = Client::with_settings(at, &[7; 16], name, &mut settings);
    client.until("a handshake, or its end", |client| {
        client.h3.is_some() || client.quic.peer_error().is_some()
    });
    client.quic.peer_cert().map(<[u8]>::to_vec)
}

#[test]
fn each_name_has_its_certificate_in_a_key_that_the_client_checks() {
    let ecdsa = || KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("randomness");
    let rsa = KeyPair::generate_for(&PKCS_RSA_SHA256).expect("randomness");
    let all = [
        identity("a.test", rsa),
        identity("a.test", ecdsa()),
        identity("b.test", ecdsa()),
    ];
    let policy = Policy {
        refuse_unknown_names: true,
        ..Policy::default()
    };
    let credentials = || {
        let tickets = Tickets::new().expect("there is randomness");
        let identities = all.iter().map(|(identity, _)| identity.clone()).collect();
        Arc::new(Credentials::new(identities, policy, &tickets).expect("three"))
    };
    let bind = || udp::bind((Ipv4Addr::LOCALHOST, 0).into(), 1).expect("a port is free");
    let (by_rsa, by_ecdsa) = (
        SslSignatureAlgorithm::RSA_PSS_RSAE_SHA256,
        SslSignatureAlgorithm::ECDSA_SECP256R1_SHA256,
    );
    on_sockets(config, bind, credentials, |_, at| {
        for (name, checks, wanted) in [
            (Some("a.test"), by_rsa, Some(0)),
            (Some("a.test"), by_ecdsa, Some(1)),
            (Some("b.test"), by_ecdsa, Some(2)),
            (None, by_ecdsa, Some(1)),
            (Some("c.test"), by_ecdsa, None),
        ] {
            let wanted = wanted.map(|index: usize| all[index].1.clone());
            assert!(shown(at, name, checks) == wanted, "{name:?}");
        }
    });
}
