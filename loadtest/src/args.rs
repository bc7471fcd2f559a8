//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt};

use crate::bare;
use crate::bench;
use crate::crowd::Plan;
use crate::hls;
use crate::http::Target;
use crate::quic;
use crate::run;
use crate::soak;
use crate::source::{self, Method};
use crate::stream::RATE_BYTES;

/// What `loadtest help` prints.
pub(crate) const HELP: &str = "\
loadtest: listeners, sources and storms for any Icecast-compatible server on this machine

loadtest run --url URL [options]      listeners on a mount; a report at the end
  --listeners N      listeners at once (100)
  --seconds S        length of the window that is counted (10)
  --warm S           time between the joins and the window (2)
  --lead S           time that the source plays before the first join (0)
  --ramp N           joins per second; 0 is all at once (0)
  --join-limit S     after this, who has no audio is unserved (30)
  --icy PERCENT      how many ask for metadata (100)
  --sample N         listeners whose every byte is compared (4)
  --slow N           listeners that read too slowly (0), compared too
  --slow-percent P   how fast those read (50)
  --dead N           listeners that never read (0)
  --churn N          leaves and joins per second (0)
  --resets N         connections per second that end in a reset (0)
  --scan-ms MS       time between two looks at a socket (100)
  --stall-ms MS      silence that counts as a stall (3000)
  --processes N      processes to spread the listeners over (as few as the open-file limit allows)
  --source USER:PASS publish the compared stream, in real time
  --method M         how the source introduces itself: SOURCE (default) or PUT
  --titles S         set a new title every S seconds
  --seed N           which stream is published and expected (1)
  --pid PID          the server's process, to measure its CPU and memory
  --report FILE      write the report as JSON
loadtest source --url URL --source USER:PASS [--method M] [--titles S] [--seed N] [--seconds S]
loadtest soak --url URL --pid PID [--connections N] [--parallel N] [--report FILE]
                     many short connections; open files and memory of the server must stay flat
loadtest hls-check URL [--seconds S] [--slack-ms MS]
                     holds a live playlist to the rules of low-latency HLS for so long (30);
                     what comes later than a rule says by up to MS (250) is forgiven
loadtest bench icy [options]          corecast beside icecast2 and a bare send() loop
  --corecast PATH    the server's release build (CORECAST_BIN, else target/release/corecast)
  --icecast PATH     icecast2 (/usr/bin/icecast2)
  --pairs N          rounds; the median counts (3)
  --seconds S        length of each window (10)
  --listeners N      listeners of the CPU rows (4000)
  --crowd N          listeners of the memory and joins rows (9000)
  --icy PERCENT      how many ask for metadata (100)
  --set KEY=VALUE    one of corecast's settings, in every trial
  --only PART        cpu, crowd or start: the rest stays unmeasured
  --out DIR          where icy.json and icy.md go (.x/bench)
loadtest bench hls|flv|latency [options]   video: blocked playlists and segments beside nginx;
                     HTTP-FLV beside a bare send() loop; how old media is when it comes
  --corecast, --pairs, --seconds, --set, --out   as above
  --nginx PATH       nginx (/usr/sbin/nginx)
  --connections N    requests that wait for each part (3000)
  --parts N          parts that are waited for (200)
  --players N        players at 650 kbit/s (2000)
  --fast N           players at 4 Mbit/s (500)
  --wide N           players at 4 Mbit/s, as far as the machine goes (4000); 0 leaves them out
loadtest bench tls|h2|h3 [options]    segments, handshakes, waiting and memory over TLS, HTTP/2
                     and HTTP/3, beside nginx, Caddy and a bare loop of QUIC
  --corecast, --pairs, --seconds, --set, --out, --nginx, --parts   as above
  --caddy PATH       Caddy (/usr/bin/caddy)
  --listeners N      listeners of ICY over TLS (9000)
  --idle N           idle connections by HTTP/3 (1000)
  --peers-only       leave corecast out: what the peers need alone

Exit code: 0 good, 1 fault, 2 bad arguments, 3 the result is short of what was asked.
";

/// What is asked of this program.
#[derive(Debug)]
pub(crate) enum Command {
    /// Print the help.
    Help,
    /// Listeners on a mount.
    Run(Box<run::Settings>, Option<PathBuf>),
    /// A source alone.
    Source(source::Settings, Option<Duration>),
    /// One process of listeners, told what to do by its parent.
    Crowd,
    /// Many short connections.
    Soak(soak::Settings, Option<PathBuf>),
    /// The side-by-side benchmark.
    Bench(bench::Settings),
    /// One of the benchmarks of video.
    BenchVideo(bench::VideoSettings),
    /// The bare send loop.
    Bare(bare::Settings),
    /// The bare server of HTTP/3.
    BareQuic(quic::bare::Settings),
    /// The rules of low-latency HLS.
    HlsCheck(hls::Settings),
}

/// All options, with their defaults; each command reads those that concern it.
struct Options {
    url: Option<String>,
    plan: Plan,
    processes: u32,
    lead_s: f64,
    warm_s: f64,
    seconds: Option<f64>,
    join_limit_s: f64,
    credentials: Option<String>,
    method: Method,
    titles_s: Option<f64>,
    pid: Option<u32>,
    report: Option<PathBuf>,
    port: u16,
    send_bytes: u64,
    rate_bytes: u64,
    file: PathBuf,
    certificate: PathBuf,
    connections: u64,
    parallel: u32,
}

impl Default for Options {
    fn default() -> Self {
        let nowhere = Target {
            address: ([127, 0, 0, 1], 0).into(),
            host: String::new(),
            path: String::new(),
        };
        Options {
            url: None,
            plan: Plan::plain(&nowhere),
            processes: 0,
            lead_s: 0.0,
            warm_s: 2.0,
            seconds: None,
            join_limit_s: 30.0,
            credentials: None,
            method: Method::Source,
            titles_s: None,
            pid: None,
            report: None,
            port: 0,
            send_bytes: 16_384,
            rate_bytes: RATE_BYTES,
            file: PathBuf::new(),
            certificate: PathBuf::new(),
            connections: 200_000,
            parallel: 16,
        }
    }
}

/// Reads the command line.
pub(crate) fn parse(mut parser: Parser) -> Result<Command, lexopt::Error> {
    let command = match parser.next()? {
        None | Some(Arg::Long("help") | Arg::Short('h')) => return Ok(Command::Help),
        Some(Arg::Value(command)) => command.string()?,
        Some(other) => return Err(other.unexpected()),
    };
    if command == "bench" {
        let name = match parser.next()? {
            Some(Arg::Value(name)) => name.string()?,
            _ => String::new(),
        };
        if name == "icy" {
            return bench::Settings::parse(&mut parser).map(Command::Bench);
        }
        let bench = bench::VideoBench::from_name(&name);
        let bench = bench
            .ok_or("the benchmarks are `icy`, `hls`, `flv`, `latency`, `tls`, `h2` and `h3`")?;
        return bench::VideoSettings::parse(bench, &mut parser).map(Command::BenchVideo);
    }
    if command == "hls-check" {
        return parse_hls_check(&mut parser);
    }
    let options = Options::parse(&mut parser)?;
    match command.as_str() {
        "help" => Ok(Command::Help),
        "crowd" => Ok(Command::Crowd),
        "run" => options.into_run(),
        "source" => options.into_source(),
        "soak" => options.into_soak(),
        "bare" => Ok(Command::Bare(bare::Settings {
            port: options.port,
            listeners: options.plan.listeners,
            send_bytes: options.send_bytes.max(1),
            rate_bytes: options.rate_bytes.max(1),
            seed: options.plan.seed,
        })),
        "bare-quic" => Ok(Command::BareQuic(quic::bare::Settings {
            port: options.port,
            file: options.file,
            certificate: options.certificate,
        })),
        _ => Err(format!("no command `{command}`").into()),
    }
}

/// `hls-check URL [--seconds S] [--slack-ms MS]`.
fn parse_hls_check(parser: &mut Parser) -> Result<Command, lexopt::Error> {
    let (mut url, mut seconds, mut slack_ms) = (None, 30.0, 250);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Value(value) if url.is_none() => url = Some(value.string()?),
            Arg::Long("seconds") => seconds = parser.value()?.parse()?,
            Arg::Long("slack-ms") => slack_ms = parser.value()?.parse()?,
            other => return Err(other.unexpected()),
        }
    }
    let url = url.ok_or("the URL is missing")?;
    let target = Target::parse(&url).map_err(|error| lexopt::Error::from(error.to_string()))?;
    Ok(Command::HlsCheck(hls::Settings {
        target,
        length: duration(seconds),
        slack: Duration::from_millis(slack_ms),
    }))
}

impl Options {
    fn parse(parser: &mut Parser) -> Result<Options, lexopt::Error> {
        let mut options = Options::default();
        let plan = &mut options.plan;
        while let Some(arg) = parser.next()? {
            let Arg::Long(name) = arg else {
                return Err(arg.unexpected());
            };
            let name = name.to_owned();
            let value = parser.value()?;
            match name.as_str() {
                "url" => options.url = Some(value.string()?),
                "listeners" => plan.listeners = value.parse()?,
                "seconds" => options.seconds = Some(value.parse()?),
                "lead" => options.lead_s = value.parse()?,
                "warm" => options.warm_s = value.parse()?,
                "ramp" => plan.ramp_per_s = value.parse()?,
                "join-limit" => options.join_limit_s = value.parse()?,
                "icy" => plan.icy_percent = value.parse()?,
                "sample" => plan.sample = value.parse()?,
                "slow" => plan.slow = value.parse()?,
                "slow-percent" => plan.slow_percent = value.parse()?,
                "dead" => plan.dead = value.parse()?,
                "churn" => plan.churn_per_s = value.parse()?,
                "resets" => plan.resets_per_s = value.parse()?,
                "scan-ms" => plan.scan_ms = value.parse()?,
                "stall-ms" => plan.stall_ms = value.parse()?,
                "processes" => options.processes = value.parse()?,
                "source" => options.credentials = Some(value.string()?),
                "method" => {
                    options.method = match value.string()?.as_str() {
                        "SOURCE" => Method::Source,
                        "PUT" => Method::Put,
                        other => return Err(format!("no method `{other}`").into()),
                    };
                }
                "titles" => options.titles_s = Some(value.parse()?),
                "seed" => plan.seed = value.parse()?,
                "pid" => options.pid = Some(value.parse()?),
                "report" => options.report = Some(value.into()),
                "port" => options.port = value.parse()?,
                "file" => options.file = value.into(),
                "certificate" => options.certificate = value.into(),
                "connections" => options.connections = value.parse()?,
                "parallel" => options.parallel = value.parse::<u32>()?.max(1),
                "send-bytes" => options.send_bytes = value.parse()?,
                "rate-bytes" => options.rate_bytes = value.parse()?,
                _ => return Err(format!("no option `--{name}`").into()),
            }
        }
        Ok(options)
    }

    fn target(&self) -> Result<Target, lexopt::Error> {
        let url = self.url.as_deref().ok_or("--url is missing")?;
        Target::parse(url).map_err(|error| lexopt::Error::from(error.to_string()))
    }

    fn source(&self, target: &Target) -> Option<source::Settings> {
        let credentials = self.credentials.clone()?;
        Some(source::Settings {
            target: target.clone(),
            credentials,
            method: self.method,
            seed: self.plan.seed,
            title_every: self.titles_s.map(duration),
        })
    }

    fn into_run(mut self) -> Result<Command, lexopt::Error> {
        let target = self.target()?;
        let source = self.source(&target);
        let special = [self.plan.sample, self.plan.slow, self.plan.dead];
        let special: u64 = special.into_iter().map(u64::from).sum();
        if special > u64::from(self.plan.listeners) {
            // A small run is compared as far as it goes.
            let others = self.plan.slow.saturating_add(self.plan.dead);
            self.plan.sample = self.plan.listeners.saturating_sub(others);
        }
        (self.plan.address, self.plan.host, self.plan.path) =
            (target.address, target.host, target.path);
        self.plan.join_ms_max = ms(self.join_limit_s);
        let settings = run::Settings {
            plan: self.plan,
            processes: self.processes,
            lead_ms: ms(self.lead_s),
            warm_ms: ms(self.warm_s),
            window_ms: ms(self.seconds.unwrap_or(10.0)),
            source,
            server_pid: self.pid,
        };
        Ok(Command::Run(Box::new(settings), self.report))
    }

    fn into_source(self) -> Result<Command, lexopt::Error> {
        let target = self.target()?;
        let source = self.source(&target).ok_or("--source is missing")?;
        Ok(Command::Source(source, self.seconds.map(duration)))
    }

    fn into_soak(self) -> Result<Command, lexopt::Error> {
        let settings = soak::Settings {
            target: self.target()?,
            pid: self.pid.ok_or("--pid is missing")?,
            connections: self.connections,
            parallel: self.parallel,
        };
        Ok(Command::Soak(settings, self.report))
    }
}

fn ms(seconds: f64) -> u64 {
    u64::try_from(duration(seconds).as_millis()).unwrap_or(u64::MAX)
}

fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
