//! An authority for certificates that other people wrote (Pebble), between names that lead here and
//! a go-between that is less kind than it.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::client::python;
use super::server::Port;
use super::tls::{Authority, NAMES};
use super::{Client, Scratch, program, wait_for};

/// How long a program may take to start, on a machine that compiles beside the test.
const START_LIMIT: Duration = Duration::from_secs(20);

/// Names that lead to one address, but for one of them. It answers as long as the tests run.
pub(crate) struct Names {
    address: SocketAddr,
    leads: Arc<Mutex<Leads>>,
}

#[derive(Clone, Copy)]
struct Leads {
    all: Ipv4Addr,
    one: Option<(&'static str, Ipv4Addr)>,
}

impl Names {
    /// Names that lead to 127.0.0.1.
    pub(crate) fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = socket.local_addr().expect("it is bound");
        let all = Ipv4Addr::LOCALHOST;
        let leads = Arc::new(Mutex::new(Leads { all, one: None }));
        let shared = Arc::clone(&leads);
        std::thread::spawn(move || {
            let mut question = [0; 512];
            while let Ok((n, peer)) = socket.recv_from(&mut question) {
                let leads = *shared.lock().expect("nobody panics with it");
                if let Some(answer) = answer(&question[..n], leads) {
                    let _ = socket.send_to(&answer, peer);
                }
            }
        });
        Names { address, leads }
    }

    /// Has all of them lead to `ip` from now on.
    pub(crate) fn lead_to(&self, ip: Ipv4Addr) {
        self.set(Leads { all: ip, one: None });
    }

    /// Has `name` lead to `ip`, and all others here.
    pub(crate) fn lead_astray(&self, name: &'static str, ip: Ipv4Addr) {
        let all = Ipv4Addr::LOCALHOST;
        self.set(Leads {
            all,
            one: Some((name, ip)),
        });
    }

    fn set(&self, leads: Leads) {
        *self.leads.lock().expect("nobody panics with it") = leads;
    }
}

/// The answer to a question of DNS (RFC 1035 section 4): where the name leads, if an address of
/// IPv4 is asked for, else nothing of that kind.
fn answer(message: &[u8], leads: Leads) -> Option<Vec<u8>> {
    let asked = message.get(12..)?;
    let name = asked.iter().position(|byte| *byte == 0)? + 1;
    let question = asked.get(..name + 4)?;
    let wants_v4 = question.get(name..)? == [0, 1, 0, 1];
    let mut answer = message.get(..2)?.to_vec();
    answer.extend([0x84, 0, 0, 1, 0, u8::from(wants_v4), 0, 0, 0, 0]);
    answer.extend(question);
    if wants_v4 {
        let one = leads.one.filter(|(one, _)| is_name(&asked[..name], one));
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        answer.extend(one.map_or(leads.all, |(_, ip)| ip).octets());
    }
    Some(answer)
}

/// Whether `labels`, each with its length before it, are those of `name`.
fn is_name(labels: &[u8], name: &str) -> bool {
    let label = |label: &str| [&[label.len() as u8], label.as_bytes()].concat();
    let wanted: Vec<u8> = name.split('.').flat_map(label).chain([0]).collect();
    labels.eq_ignore_ascii_case(&wanted)
}

/// What an authority is like.
pub(crate) struct Manner {
    /// Where servers answer by HTTP and by HTTPS.
    pub(crate) ports: (u16, u16),
    /// How long its certificates are good.
    pub(crate) valid_for: Duration,
    /// The account that it wants to be known to it already, with its key.
    pub(crate) bound_to: Option<(&'static str, &'static str)>,
}

/// A running Pebble. Its own certificate is signed by [`Pebble::authority`].
pub(crate) struct Pebble {
    pub(crate) authority: Authority,
    port: Port,
    management: Port,
    scratch: Scratch,
    running: Option<Client>,
}

impl Pebble {
    /// One that does not run yet.
    pub(crate) fn new() -> Self {
        Pebble {
            authority: Authority::new(),
            port: Port::take(),
            management: Port::take(),
            scratch: Scratch::new("pebble"),
            running: None,
        }
    }

    /// Has it run, in the manner of `manner`; it knows where `names` lead.
    pub(crate) fn start(&mut self, manner: &Manner, names: &Names) {
        let own = self.authority.issue("pebble", &NAMES);
        let (http, https) = manner.ports;
        let mut settings = json!({
            "listenAddress": self.port.address().to_string(),
            "managementListenAddress": self.management.address().to_string(),
            "certificate": own.chain,
            "privateKey": own.key,
            "httpPort": http,
            "tlsPort": https,
            "certificateValidityPeriod": manner.valid_for.as_secs(),
            "externalAccountBindingRequired": manner.bound_to.is_some(),
        });
        if let Some((id, key)) = manner.bound_to {
            settings["externalAccountMACKeys"] = json!({ id: key });
        }
        let file = self.scratch.file("pebble.json");
        std::fs::write(&file, json!({ "pebble": settings }).to_string()).expect("a folder");
        let mut pebble = program("pebble");
        pebble.arg("-config").arg(&file).arg("-strict");
        pebble.args(["-dnsserver", &names.address.to_string()]);
        // It would wait by chance, refuse by chance, and ask nothing by chance.
        pebble.env("PEBBLE_VA_NOSLEEP", "1");
        pebble.env("PEBBLE_WFE_NONCEREJECT", "0");
        pebble.env("PEBBLE_AUTHZREUSE", "0");
        self.running = Some(Client::spawn(&mut pebble));
        wait_for("Pebble answers", START_LIMIT, || self.fetch("/roots/0"));
    }

    /// Ends it.
    pub(crate) fn stop(&mut self) {
        self.running = None;
    }

    /// Where its directory is.
    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}/dir", self.port.number())
    }

    /// PEM of the root that its certificates follow from; another one after each start.
    pub(crate) fn root(&self) -> PathBuf {
        let root = self.fetch("/roots/0").expect("Pebble answers");
        let file = self.scratch.file("root.pem");
        std::fs::write(&file, root).expect("a scratch folder takes files");
        file
    }

    fn fetch(&self, path: &str) -> Option<Vec<u8>> {
        let mut curl = program("curl");
        curl.args(["-fsS", "--max-time", "10", "--cacert"]);
        curl.arg(self.authority.file());
        curl.arg(format!(
            "https://localhost:{}{path}",
            self.management.number()
        ));
        let output = Client::spawn(&mut curl).wait(START_LIMIT);
        output.status.success().then_some(output.stdout)
    }
}

/// What stands between a server and a Pebble, and writes down what passes.
pub(crate) struct Between {
    port: Port,
    running: Client,
}

impl Between {
    /// One that does `task` of `tests/tls/between.py`.
    pub(crate) fn start(pebble: &Pebble, task: &[&str]) -> Self {
        let port = Port::take();
        let own = pebble.authority.issue("between", &NAMES);
        let mut python = python("tests/tls/between.py");
        python.arg(port.number().to_string());
        python.arg(pebble.port.number().to_string());
        python.arg(&own.chain).arg(&own.key).args(task);
        let running = Client::spawn(&mut python);
        let between = Between { port, running };
        wait_for("the go-between is there", START_LIMIT, || {
            between.lines().first().cloned()
        });
        between
    }

    /// Where the directory is, as it says.
    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}/dir", self.port.number())
    }

    /// What it wrote down: `what`, `at` (seconds), and more.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let text = String::from_utf8_lossy(&self.running.stdout()).into_owned();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let lines = whole.lines().map(serde_json::from_str);
        lines.map(|line| line.expect("a document")).collect()
    }

    /// When what is called `what` passed.
    pub(crate) fn times(&self, what: &str) -> Vec<f64> {
        let lines = self.lines();
        let of_it = lines.iter().filter(|line| line["what"] == what);
        of_it.filter_map(|line| line["at"].as_f64()).collect()
    }
}
