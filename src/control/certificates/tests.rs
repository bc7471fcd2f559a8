//! Files that change under a running server.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use corecast_config::{Certificate, Config, DEFAULT_CERTIFICATE};
use corecast_tls::development::{self, SelfSigned};
use corecast_tls::{Credentials, Identity};
use tokio::sync::mpsc;

use super::{Certificates, Keeper, LOOK_EVERY, Look, TICKETS_EVERY};
use crate::acme::store::Store;
use crate::node::Order;
use crate::probe::ControlProbe;

/// A folder that is gone after the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("corecast-certificates-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a scratch folder");
        Scratch(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, text: &str) {
        // Another file each time, as whoever renews a certificate replaces it.
        let new = self.file("new");
        fs::write(&new, text).expect("the folder takes files");
        fs::rename(new, self.file(name)).expect("the folder takes files");
    }

    fn write_pair(&self, made: &SelfSigned) {
        self.write("certificate.pem", &made.certificate);
        self.write("key.pem", &made.key);
    }

    fn config(&self) -> Config {
        let mut config = Config::default();
        config.tls.certificate_file = self.file("certificate.pem");
        config.tls.key_file = self.file("key.pem");
        config
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn made(host: &str) -> SelfSigned {
    development::make(&[host.to_owned()], SystemTime::now()).expect("a good host")
}

fn names(credentials: Option<&Arc<Credentials>>) -> Vec<String> {
    credentials.expect("there are some").identities[0]
        .names
        .clone()
}

/// A keeper and what its looks say.
struct Stage {
    keeper: Keeper,
    orders: mpsc::UnboundedReceiver<Order>,
    probe: Arc<ControlProbe>,
    now: Instant,
}

impl Stage {
    fn new(certificates: Certificates) -> Self {
        let (sender, orders) = mpsc::unbounded_channel();
        let probe = Arc::new(ControlProbe::new());
        let now = Instant::now();
        Stage {
            keeper: Keeper::new(certificates, sender, Arc::clone(&probe), now),
            orders,
            probe,
            now,
        }
    }

    async fn handle_order(&mut self, config: &Config) -> Option<Arc<Credentials>> {
        match self.orders.recv().await {
            Some(Order::Certificates(look)) => self.keeper.handle_look(*look, config),
            order => panic!("{order:?}"),
        }
    }

    /// The next look that is due, and what comes of it.
    async fn look(&mut self, config: &Config) -> Option<Arc<Credentials>> {
        self.now += LOOK_EVERY;
        assert!(self.keeper.poll_timeout() <= Some(self.now));
        let turned = self.keeper.handle_timeout(self.now, config);
        assert!(turned.is_none());
        self.handle_order(config).await
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(future)
}

#[test]
fn changed_files_come_into_force_and_half_a_pair_does_not() {
    let scratch = Scratch::new();
    let config = scratch.config();
    scratch.write_pair(&made("one.example"));
    let certificates = Certificates::open(&config, None).expect("a pair");
    assert_eq!(names(certificates.credentials().as_ref()), ["one.example"]);
    let mut stage = Stage::new(certificates);
    block_on(async {
        assert!(stage.look(&config).await.is_none(), "nothing changed");

        let two = made("two.example");
        scratch.write("certificate.pem", &two.certificate);
        assert!(stage.look(&config).await.is_none(), "half a pair");
        assert_eq!(stage.probe.tls_reloads_failed.total(), 1);
        assert!(stage.look(&config).await.is_none(), "still half of it");
        assert_eq!(stage.probe.tls_reloads_failed.total(), 1, "told once");
        scratch.write("key.pem", &two.key);
        let fresh = stage.look(&config).await;
        assert_eq!(names(fresh.as_ref()), ["two.example"]);
        assert_eq!(stage.probe.tls_reloads.total(), 1);
        assert!(stage.probe.tls_expiry.level() > 364 * 24 * 3_600);

        fs::remove_file(scratch.file("key.pem")).expect("it was there");
        assert!(stage.look(&config).await.is_none(), "a file is gone");
        assert_eq!(stage.probe.tls_reloads_failed.total(), 2);
        scratch.write("key.pem", &two.key);
        assert!(stage.look(&config).await.is_some(), "it is back");
    });
}

#[test]
fn a_reload_reads_what_the_new_settings_name() {
    let scratch = Scratch::new();
    let config = scratch.config();
    scratch.write_pair(&made("one.example"));
    let certificates = Certificates::open(&config, None).expect("a pair");
    let mut stage = Stage::new(certificates);
    let other = made("other.example");
    scratch.write("other.pem", &format!("{}{}", other.key, other.certificate));
    let mut changed = config.clone();
    changed.tls.certificate_file = scratch.file("other.pem");
    changed.tls.key_file = PathBuf::new();
    block_on(async {
        stage.keeper.handle_reload(&config);
        // Asked for again while the first look is under way: it is made after it.
        stage.keeper.handle_reload(&changed);
        let first = stage.handle_order(&changed).await;
        assert_eq!(names(first.as_ref()), ["one.example"]);
        let second = stage.handle_order(&changed).await;
        assert_eq!(names(second.as_ref()), ["other.example"]);

        changed.tls.certificate_file = scratch.file("nowhere.pem");
        stage.keeper.handle_reload(&changed);
        assert!(stage.handle_order(&changed).await.is_none());
        assert_eq!(stage.probe.tls_reloads_failed.total(), 1);
        let in_force = stage.keeper.certificates.credentials();
        assert_eq!(names(in_force.as_ref()), ["other.example"]);
    });
}

#[test]
fn one_that_is_broken_keeps_no_other_from_being_renewed() {
    let scratch = Scratch::new();
    let mut config = scratch.config();
    scratch.write_pair(&made("one.example"));
    let tv = made("tv.example");
    scratch.write("tv.pem", &format!("{}{}", tv.certificate, tv.key));
    config.certificates = vec![Certificate {
        name: "tv".to_owned(),
        file: scratch.file("tv.pem"),
        ..Certificate::default()
    }];
    let certificates = Certificates::open(&config, None).expect("good ones");
    let first = certificates.credentials().expect("some");
    let mut stage = Stage::new(certificates);
    block_on(async {
        fs::remove_file(scratch.file("key.pem")).expect("it was there");
        let newer = made("tv.example");
        scratch.write("tv.pem", &format!("{}{}", newer.certificate, newer.key));
        let fresh = stage.look(&config).await.expect("one of them is new");
        let seen = |credentials: &Credentials, at: usize| {
            let one: &Identity = &credentials.identities[at];
            one.fingerprint.clone()
        };
        assert_eq!(seen(&fresh, 0), seen(&first, 0), "it stays");
        assert_ne!(seen(&fresh, 1), seen(&first, 1), "it is taken");
        assert_eq!(stage.probe.tls_reloads_failed.total(), 1, "and told");
        assert!(stage.look(&config).await.is_none(), "once");
        assert_eq!(stage.probe.tls_reloads_failed.total(), 1);

        // One that is not in force yet and cannot be read changes nothing at all.
        scratch.write_pair(&made("one.example"));
        config.certificates[0].name = "radio".to_owned();
        config.certificates[0].file = scratch.file("nowhere.pem");
        stage.keeper.handle_reload(&config);
        assert!(stage.handle_order(&config).await.is_none());
    });
}

#[test]
fn what_came_by_acme_stays_whatever_the_clock_says() {
    let scratch = Scratch::new();
    let mut config = Config::default();
    config.tls.acme_names = vec!["radio.example".to_owned()];
    let state = scratch.file("state");
    let kept = Store::new(&state, &config.acme.directory_url);
    let kept = kept.certificate_file(DEFAULT_CERTIFICATE);
    fs::create_dir_all(kept.parent().expect("a folder")).expect("a scratch folder");
    let day = Duration::from_secs(24 * 3_600);
    let now = SystemTime::now();
    let keep = |from: SystemTime| {
        let made = development::make(&config.tls.acme_names, from).expect("a good host");
        fs::write(&kept, format!("{}{}", made.certificate, made.key)).expect("a folder");
    };
    let open = || Certificates::open(&config, Some(state.clone())).expect("one");
    let seen = |credentials: Option<Arc<Credentials>>| {
        let one = &credentials.expect("one").identities[0];
        (one.called.clone(), one.fingerprint.clone())
    };
    assert_eq!(seen(open().credentials()).0, "self-signed", "none has come");
    for from in [now + 2 * day, now, now - 400 * day] {
        keep(from);
        assert_eq!(seen(open().credentials()).0, DEFAULT_CERTIFICATE);
    }
    let mut stage = Stage::new(open());
    block_on(async {
        keep(now);
        let newer = seen(stage.look(&config).await);
        for lost in [true, false] {
            match lost {
                true => fs::remove_file(&kept).expect("it was there"),
                false => keep(now - 30 * day),
            }
            assert_eq!(seen(stage.look(&config).await), newer);
        }
    });
}

#[test]
fn quic_gets_a_new_key_for_its_tickets_now_and_then() {
    let scratch = Scratch::new();
    let config = scratch.config();
    scratch.write_pair(&made("one.example"));
    let certificates = Certificates::open(&config, None).expect("a pair");
    let first = certificates.credentials().expect("some");
    let mut stage = Stage::new(certificates);
    block_on(async {
        let later = stage.now + TICKETS_EVERY;
        let turned = stage.keeper.handle_timeout(later, &config);
        let turned = turned.expect("new ones");
        assert_ne!(turned.quic_ticket_key, first.quic_ticket_key);
        assert_eq!(turned.identities[0].names, ["one.example"]);
        assert!(stage.handle_order(&config).await.is_none(), "same files");
    });
}

#[test]
fn a_server_without_a_certificate_makes_one_and_keeps_it() {
    let scratch = Scratch::new();
    let state = scratch.file("state");
    let mut config = Config::default();
    config.server.hostname = "radio.example".to_owned();
    let open = |config: &Config| {
        let certificates = Certificates::open(config, Some(state.clone())).expect("one is made");
        certificates.credentials().expect("some").identities[0].clone()
    };
    let first = open(&config);
    for host in ["radio.example", "localhost", "127.0.0.1", "::1"] {
        assert!(first.is_for(host), "{host}");
    }
    let mode = |path: &PathBuf| {
        let data = fs::metadata(path).expect("it exists");
        data.permissions().mode() & 0o777
    };
    let file = state.join("self-signed.pem");
    assert_eq!((mode(&state), mode(&file)), (0o700, 0o600));
    assert_eq!(open(&config).fingerprint, first.fingerprint);

    fs::write(&file, "no PEM").expect("writable");
    let second = open(&config);
    assert_ne!(second.fingerprint, first.fingerprint);
    config.server.hostname = "tv.example".to_owned();
    let renamed = open(&config);
    assert!(renamed.is_for("tv.example"));
    assert_eq!(open(&config).fingerprint, renamed.fingerprint);

    let homeless = Certificates::open(&config, None).expect("in memory");
    let mut stage = Stage::new(homeless);
    block_on(async {
        assert!(stage.look(&config).await.is_none(), "it goes on");
        config.server.hostname = "fm.example".to_owned();
        let fresh = stage.look(&config).await.expect("another name");
        assert!(fresh.identities[0].is_for("fm.example"));
    });
}

#[test]
fn what_cannot_be_had_is_told_before_the_start() {
    let scratch = Scratch::new();
    let mut config = scratch.config();
    let told = Certificates::open(&config, None).expect_err("no file");
    assert!(told[0].contains("certificate.pem"), "{told:?}");
    assert_eq!(Certificates::faults(&config), told);
    scratch.write("certificate.pem", &made("a.example").certificate);
    scratch.write("key.pem", &made("b.example").key);
    let told = Certificates::faults(&config);
    assert!(told[0].contains("does not belong"), "{told:?}");
    config.listen.retain(|listen| !listen.protocol.is_tls());
    assert_eq!(Certificates::faults(&config), [""; 0]);
    let none = Certificates::open(&config, None).expect("none is needed");
    assert!(none.credentials().is_none());
    let mut stage = Stage::new(none);
    assert_eq!(stage.keeper.poll_timeout(), None);
    let later = stage.now + Duration::from_secs(86_400);
    assert!(stage.keeper.handle_timeout(later, &config).is_none());
    let look = Look::Same;
    assert!(stage.keeper.handle_look(look, &config).is_none());
}
