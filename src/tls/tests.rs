//! Certificates made here, read back, and used in whole handshakes.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, ServerConnection};

use crate::development::{self, SelfSigned};
use crate::{Credentials, Files, Identity, MinVersion, Policy, Tickets};

/// ecdsa_secp256r1_sha256 (RFC 8446 section 4.2.3).
const ECDSA_P256: u16 = 0x0403;

fn made(hosts: &[&str]) -> SelfSigned {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    development::make(&hosts, SystemTime::now()).expect("good hosts")
}

fn read(chain: &str, key: Option<&str>) -> Result<Identity, String> {
    let files = Files {
        chain: chain.as_bytes(),
        key: key.map(str::as_bytes),
        ocsp: None,
    };
    Identity::read("it", files).map_err(|fault| fault.to_string())
}

fn identity(hosts: &[&str]) -> Identity {
    let made = made(hosts);
    read(&made.certificate, Some(&made.key)).expect("a pair")
}

/// A root, a certificate between and one for a host, each signed by the one before.
struct Chain {
    root: String,
    between: String,
    leaf: String,
    key: String,
}

fn chain() -> Chain {
    let authority = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    };
    let key = || KeyPair::generate().expect("randomness");
    let root = CertifiedIssuer::self_signed(authority("root"), key()).expect("a root");
    let between = CertifiedIssuer::signed_by(authority("between"), key(), &root);
    let between = between.expect("a certificate between");
    let leaf_key = key();
    let mut leaf = CertificateParams::new(vec!["one.example".to_owned()]).expect("a name");
    leaf.distinguished_name.push(DnType::CommonName, "leaf");
    let leaf = leaf.signed_by(&leaf_key, &between).expect("a leaf");
    Chain {
        root: root.pem(),
        between: between.pem(),
        leaf: leaf.pem(),
        key: leaf_key.serialize_pem(),
    }
}

/// What a client saw of a handshake.
#[derive(Debug)]
struct Seen {
    certificate: CertificateDer<'static>,
    alpn: Option<Vec<u8>>,
    kind: HandshakeKind,
}

fn client(trusted: &[&Identity], alpn: &[&[u8]]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for identity in trusted {
        for der in CertificateDer::pem_slice_iter(&identity.chain_pem) {
            roots.add(der.expect("our own PEM")).expect("an anchor");
        }
    }
    let config = ClientConfig::builder_with_provider(crate::credentials::provider());
    let config = config.with_safe_default_protocol_versions().expect("both");
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|one| one.to_vec()).collect();
    config
}

/// A whole handshake without a socket.
fn shake(
    client: &Arc<ClientConfig>,
    server: &Arc<rustls::ServerConfig>,
    name: &str,
) -> Result<Seen, rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let mut client = ClientConnection::new(Arc::clone(client), name)?;
    let mut server = ServerConnection::new(Arc::clone(server))?;
    for _ in 0..10 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).expect("memory");
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            server.read_tls(&mut wire).expect("memory");
        }
        server.process_new_packets()?;
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).expect("memory");
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            client.read_tls(&mut wire).expect("memory");
        }
        client.process_new_packets()?;
    }
    let certificates = client.peer_certificates().expect("a server's certificate");
    Ok(Seen {
        certificate: certificates[0].clone().into_owned(),
        alpn: client.alpn_protocol().map(<[u8]>::to_vec),
        kind: client.handshake_kind().expect("done"),
    })
}

fn leaf(identity: &Identity) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(&identity.chain_pem).expect("our own PEM")
}

#[test]
fn a_certificate_for_development_is_for_this_machine_and_its_name() {
    let hosts = development::hosts("Radio.Example.");
    assert_eq!(hosts, ["radio.example", "localhost", "127.0.0.1", "::1"]);
    assert_eq!(development::hosts("localhost").len(), 3);
    let now = SystemTime::now();
    let made = development::make(&hosts, now).expect("good hosts");
    let identity = read(&format!("{}{}", made.certificate, made.key), None).expect("one file");
    assert!(hosts.iter().all(|host| identity.is_for(host)));
    assert!(identity.is_for("RADIO.example.") && !identity.is_for("other.example"));
    assert_eq!(identity.fault_at(now), None);
    let later = now + development::VALID_FOR + Duration::from_secs(1);
    assert_eq!(identity.fault_at(later), Some("it has expired"));
    assert_eq!(identity.remaining(later), Duration::ZERO);
    let before = now - Duration::from_secs(48 * 3_600);
    assert_eq!(identity.fault_at(before), Some("it is not valid yet"));
    assert_eq!(identity.fingerprint.len(), 32 * 3 - 1);
    assert!(identity.warnings.is_empty(), "{:?}", identity.warnings);
}

#[test]
fn what_does_not_belong_together_is_told() {
    let (one, two) = (made(&["a.example"]), made(&["b.example"]));
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGb\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let legacy = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIGb\n\
                  -----END RSA PRIVATE KEY-----\n";
    let cut = &one.certificate[..one.certificate.len() / 2];
    let nonsense = "-----BEGIN CERTIFICATE-----\nMIGb\n-----END CERTIFICATE-----\n";
    let bad_key = "-----BEGIN PRIVATE KEY-----\nMIGb\n-----END PRIVATE KEY-----\n";
    for (chain, key, fault) in [
        (
            one.certificate.as_str(),
            two.key.as_str(),
            "does not belong",
        ),
        ("", &one.key, "no certificate"),
        (&one.key, &one.key, "no certificate"),
        (&one.certificate, &one.certificate, "no key"),
        (&one.certificate, "", "no key"),
        (&one.certificate, encrypted, "needs a password"),
        (&one.certificate, legacy, "needs a password"),
        (&one.certificate, bad_key, "cannot be used"),
        (cut, &one.key, "broken PEM"),
        (nonsense, &one.key, "certificate 1 of the file"),
    ] {
        let told = read(chain, Some(key)).expect_err(fault);
        assert!(told.contains(fault), "{fault}: {told}");
        assert!(!told.contains("MIGb"));
    }
    let many = one.certificate.repeat(100);
    let told = read(&many, Some(&one.key)).expect_err("too many");
    assert!(told.contains("more than"), "{told}");
    let files = Files {
        chain: one.certificate.as_bytes(),
        key: Some(one.key.as_bytes()),
        ocsp: Some(b"-----BEGIN"),
    };
    let told = Identity::read("it", files).expect_err("no DER").to_string();
    assert!(told.contains("OCSP"), "{told}");
}

#[test]
fn a_chain_is_sent_in_its_order() {
    let Chain {
        root,
        between,
        leaf,
        key,
    } = chain();
    let good = read(&format!("{leaf}{between}{root}"), Some(&key)).expect("a chain");
    assert!(good.warnings.is_empty(), "{:?}", good.warnings);
    assert_eq!(good.names, ["one.example"]);
    assert_eq!(good.certified.cert.len(), 3);

    let mixed = read(&format!("{leaf}{root}{between}"), Some(&key)).expect("a chain");
    assert!(mixed.warnings[0].contains("wrong order"), "{mixed:?}");
    assert_eq!(mixed.chain_pem, good.chain_pem);

    let stranger = made(&["x.example"]).certificate;
    let more = read(&format!("{leaf}{between}{stranger}"), Some(&key)).expect("a chain");
    assert!(more.warnings[0].starts_with("1 of the"), "{more:?}");
    assert_eq!(more.certified.cert.len(), 2);

    let told = read(&format!("{between}{leaf}"), Some(&key)).expect_err("the wrong one first");
    assert!(told.contains("belongs to certificate 2"), "{told}");
}

#[test]
fn a_name_gets_its_own_certificate() {
    let first = identity(&["first.example"]);
    let wild = identity(&["*.wild.example"]);
    let exact = identity(&["exact.wild.example", "other.example"]);
    let all = vec![first.clone(), wild.clone(), exact.clone()];
    let tickets = Tickets::new().expect("randomness");
    let open = Credentials::new(all.clone(), Policy::default(), &tickets).expect("three");
    let strict = Policy {
        refuse_unknown_names: true,
        ..Policy::default()
    };
    let strict = Credentials::new(all, strict, &tickets).expect("three");
    let trusting = Arc::new(client(&[&first, &wild, &exact], &[]));
    for (name, wanted) in [
        ("first.example", &first),
        ("a.wild.example", &wild),
        ("exact.wild.example", &exact),
        ("OTHER.example", &exact),
    ] {
        for credentials in [&open, &strict] {
            let seen = shake(&trusting, &credentials.http, name).expect(name);
            assert_eq!(seen.certificate, leaf(wanted), "{name}");
            let quic = credentials.choose(Some(name), &[ECDSA_P256]).expect(name);
            let quic = &credentials.identities[quic];
            assert_eq!(leaf(quic), leaf(wanted), "{name}");
        }
    }
    for unknown in ["a.b.wild.example", "wild.example", "nobody.example"] {
        let fault = shake(&trusting, &open.http, unknown).expect_err("the first one");
        assert!(
            matches!(fault, rustls::Error::InvalidCertificate(_)),
            "{fault}"
        );
        let fault = shake(&trusting, &strict.http, unknown).expect_err("none");
        assert!(
            !matches!(fault, rustls::Error::InvalidCertificate(_)),
            "{fault}"
        );
        assert_eq!(open.choose(Some(unknown), &[ECDSA_P256]), Some(0));
        assert_eq!(strict.choose(Some(unknown), &[ECDSA_P256]), None);
    }
    let nameless = strict.choose(None, &[ECDSA_P256]);
    assert_eq!(nameless, Some(0), "no name, no fault");
    assert!(Credentials::new(Vec::new(), Policy::default(), &tickets).is_err());
}

#[test]
fn of_two_keys_for_a_name_quic_takes_the_one_that_is_spoken() {
    let key = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("randomness");
    let named = CertificateParams::new(vec!["a.example".to_owned()]).expect("a name");
    let rsa = named.self_signed(&key).expect("a certificate").pem();
    let rsa = read(&rsa, Some(&key.serialize_pem())).expect("a pair");
    let tickets = Tickets::new().expect("randomness");
    let both = vec![rsa, identity(&["a.example"])];
    let both = Credentials::new(both, Policy::default(), &tickets).expect("two");
    for (schemes, wanted) in [
        (&[0x0804, ECDSA_P256][..], 0),
        (&[0x0806], 0),
        (&[ECDSA_P256], 1),
        // PKCS #1 1.5 is for certificates only in TLS 1.3.
        (&[0x0401, ECDSA_P256], 1),
        (&[0x0401], 0),
        (&[], 0),
    ] {
        assert_eq!(
            both.choose(Some("a.example"), schemes),
            Some(wanted),
            "{schemes:x?}"
        );
    }
}

#[test]
fn http_has_its_names_and_rtmp_has_none() {
    let one = identity(&["a.example"]);
    let tickets = Tickets::new().expect("randomness");
    let credentials = Credentials::new(vec![one.clone()], Policy::default(), &tickets);
    let credentials = credentials.expect("one");
    for (offered, chosen) in [
        (&[b"h2".as_slice(), b"http/1.1"][..], Some(b"h2".to_vec())),
        (&[b"http/1.1"], Some(b"http/1.1".to_vec())),
        (&[], None),
    ] {
        let client = Arc::new(client(&[&one], offered));
        let seen = shake(&client, &credentials.http, "a.example").expect("shaken");
        assert_eq!(seen.alpn, chosen);
        let seen = shake(&client, &credentials.plain, "a.example").expect("shaken");
        assert_eq!(seen.alpn, None);
    }
    let foreign = Arc::new(client(&[&one], &[b"smtp"]));
    assert!(shake(&foreign, &credentials.http, "a.example").is_err());
    assert_eq!(credentials.http.max_early_data_size, 0);
}

#[test]
fn tickets_outlive_new_credentials_and_versions_are_bounded() {
    let one = identity(&["a.example"]);
    let mut tickets = Tickets::new().expect("randomness");
    let client = Arc::new(client(&[&one], &[b"h2"]));
    let make = |tickets: &Tickets, min_version| {
        let policy = Policy {
            min_version,
            ..Policy::default()
        };
        Credentials::new(vec![one.clone()], policy, tickets).expect("one")
    };
    let old = make(&tickets, MinVersion::Tls12);
    let seen = shake(&client, &old.http, "a.example").expect("shaken");
    assert_eq!(seen.kind, HandshakeKind::Full);
    tickets.rotate().expect("randomness");
    let new = make(&tickets, MinVersion::Tls13);
    assert_ne!(old.quic_ticket_key, new.quic_ticket_key);
    let seen = shake(&client, &new.http, "a.example").expect("shaken");
    assert_eq!(seen.kind, HandshakeKind::Resumed);

    let old_only = ClientConfig::builder_with_provider(crate::credentials::provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .expect("1.2");
    let mut roots = RootCertStore::empty();
    roots.add(leaf(&one)).expect("an anchor");
    let old_only = old_only.with_root_certificates(roots).with_no_client_auth();
    let old_only = Arc::new(old_only);
    assert!(shake(&old_only, &old.plain, "a.example").is_ok());
    assert!(shake(&old_only, &new.plain, "a.example").is_err());
}

#[test]
fn nothing_tells_a_key() {
    let made = made(&["a.example"]);
    let one = read(&made.certificate, Some(&made.key)).expect("a pair");
    let tickets = Tickets::new().expect("randomness");
    let shown = format!("{one:?} {tickets:?}");
    let credentials = Credentials::new(vec![one], Policy::default(), &tickets).expect("one");
    let shown = format!("{shown} {credentials:?}");
    assert!(!shown.contains("PRIVATE") && !shown.contains("quic_"));
}
