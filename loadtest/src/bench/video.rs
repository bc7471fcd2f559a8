//! What the benchmarks of video share: options, a server with a publisher, the report.

use std::io;
use std::path::PathBuf;

use lexopt::{Arg, Parser, ValueExt};
use rustix::process::geteuid;

use super::rows::{self, Board};
use super::server::{Kind, Server, Software};
use super::{SEED, flv, h2, h3, hls, latency, tls};
use crate::clock::{SECOND_NS, now_ns, sleep_until};
use crate::http::Target;
use crate::proc::{self, Machine};
use crate::video::film::Film;
use crate::video::publisher::Publisher;

/// The mount, and the name of the stream.
const MOUNT: &str = "/live/bench";
/// Pictures per second, and from keyframe to keyframe.
const FPS: u64 = 30;
const GROUP: u64 = 60;
/// Segments stay as long as their turns last.
const LONG_WINDOW: &[&str] = &["mount_defaults.hls_window_ms=120000"];
/// Time that the source plays before anybody comes.
const LEAD_NS: u64 = 4 * SECOND_NS;

/// Which benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bench {
    /// Blocked playlists, and segments beside nginx.
    Hls,
    /// HTTP-FLV beside a bare loop.
    Flv,
    /// How old media is when it comes.
    Latency,
    /// TLS beside nginx.
    Tls,
    /// HTTP/2 beside nginx.
    Http2,
    /// HTTP/3 beside Caddy and a bare loop.
    Http3,
}

impl Bench {
    const ALL: [Bench; 6] = [
        Bench::Hls,
        Bench::Flv,
        Bench::Latency,
        Bench::Tls,
        Bench::Http2,
        Bench::Http3,
    ];

    /// The benchmark of this name.
    pub(crate) fn from_name(name: &str) -> Option<Bench> {
        Bench::ALL.into_iter().find(|bench| bench.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Bench::Hls => "hls",
            Bench::Flv => "flv",
            Bench::Latency => "latency",
            Bench::Tls => "tls",
            Bench::Http2 => "h2",
            Bench::Http3 => "h3",
        }
    }
}

/// What a benchmark is to do.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    bench: Bench,
    corecast: PathBuf,
    nginx: PathBuf,
    caddy: PathBuf,
    pub(super) rounds: usize,
    pub(super) window_ms: u64,
    /// Requests that wait for each part, and parts.
    pub(super) connections: u32,
    pub(super) parts: u32,
    /// Players at 650 kbit/s, at 4 Mbit/s, and as far as the machine goes.
    pub(super) players: u32,
    pub(super) fast: u32,
    pub(super) wide: u32,
    /// Listeners over TLS, and idle connections by HTTP/3.
    pub(super) listeners: u32,
    pub(super) idle: u32,
    /// Only corecast's peers run.
    pub(super) peers_only: bool,
    out: PathBuf,
    overrides: Vec<String>,
}

impl Settings {
    /// Reads the rest of the command line.
    pub(crate) fn parse(bench: Bench, parser: &mut Parser) -> Result<Settings, lexopt::Error> {
        let mut settings = Settings {
            bench,
            corecast: super::default_corecast(),
            nginx: PathBuf::from("/usr/sbin/nginx"),
            caddy: PathBuf::from("/usr/bin/caddy"),
            rounds: 3,
            window_ms: 10_000,
            connections: 3_000,
            parts: 200,
            players: 2_000,
            fast: 500,
            wide: 4_000,
            listeners: 9_000,
            idle: 1_000,
            peers_only: false,
            out: PathBuf::from(".x/bench"),
            overrides: Vec::new(),
        };
        while let Some(arg) = parser.next()? {
            let Arg::Long(name) = arg else {
                return Err(arg.unexpected());
            };
            let name = name.to_owned();
            if name == "peers-only" {
                settings.peers_only = true;
                continue;
            }
            let value = parser.value()?;
            match name.as_str() {
                "corecast" => settings.corecast = value.into(),
                "nginx" => settings.nginx = value.into(),
                "caddy" => settings.caddy = value.into(),
                "pairs" => settings.rounds = value.parse::<usize>()?.max(1),
                "seconds" => settings.window_ms = value.parse::<u64>()?.max(1) * 1_000,
                "connections" => settings.connections = value.parse::<u32>()?.max(1),
                "parts" => settings.parts = value.parse::<u32>()?.max(2),
                "players" => settings.players = value.parse::<u32>()?.max(1),
                "fast" => settings.fast = value.parse::<u32>()?.max(1),
                "wide" => settings.wide = value.parse()?,
                "listeners" => settings.listeners = value.parse::<u32>()?.max(1),
                "idle" => settings.idle = value.parse::<u32>()?.max(1),
                "out" => settings.out = value.into(),
                "set" => settings.overrides.push(value.string()?),
                _ => return Err(format!("no option `--{name}`").into()),
            }
        }
        Ok(settings)
    }

    /// What was asked for, as on the command line, for the report.
    fn shown(&self) -> String {
        let own = match self.bench {
            Bench::Hls => format!(
                " --seconds {} --connections {} --parts {}",
                self.window_ms / 1_000,
                self.connections,
                self.parts
            ),
            Bench::Flv => format!(
                " --seconds {} --players {} --fast {} --wide {}",
                self.window_ms / 1_000,
                self.players,
                self.fast,
                self.wide
            ),
            Bench::Latency => format!(" --seconds {}", self.window_ms / 1_000),
            Bench::Tls => format!(
                " --seconds {} --listeners {}",
                self.window_ms / 1_000,
                self.listeners
            ),
            Bench::Http2 => format!(
                " --seconds {} --parts {}",
                self.window_ms / 1_000,
                self.parts
            ),
            Bench::Http3 => format!(" --seconds {} --idle {}", self.window_ms / 1_000, self.idle),
        };
        let sets: String = self
            .overrides
            .iter()
            .map(|set| format!(" --set {set}"))
            .collect();
        format!("{} --pairs {}{own}{sets}", self.bench.name(), self.rounds)
    }
}

/// Runs one benchmark and says whether its targets are met.
pub(crate) fn run(settings: &Settings) -> io::Result<bool> {
    proc::raise_open_files();
    let machine = Machine::read();
    if machine.cores > 1 {
        proc::pin(&[1])?;
    }
    let stand = Stand {
        settings,
        software: Software {
            corecast: settings.corecast.clone(),
            icecast: PathBuf::new(),
            nginx: settings.nginx.clone(),
            caddy: settings.caddy.clone(),
            unprivileged: geteuid().is_root(),
            cpus: machine.cores,
        },
    };
    let (title, note, lines, measure): (_, _, _, fn(&Stand<'_>, &mut Board) -> _) =
        match settings.bench {
            Bench::Hls => ("LL-HLS and segments", hls::NOTE, hls::LINES, hls::measure),
            Bench::Flv => ("HTTP-FLV", flv::NOTE, flv::LINES, flv::measure),
            Bench::Latency => ("Latency", latency::NOTE, latency::LINES, latency::measure),
            Bench::Tls => ("TLS", tls::NOTE, tls::LINES, tls::measure),
            Bench::Http2 => ("HTTP/2", h2::NOTE, h2::LINES, h2::measure),
            Bench::Http3 => ("HTTP/3", h3::NOTE, h3::LINES, h3::measure),
        };
    let mut board = Board::new(lines);
    let (busy_ns, since_ns) = (proc::busy_ns(), now_ns());
    measure(&stand, &mut board)?;
    let busy = (proc::busy_ns() - busy_ns) as f64 / (now_ns() - since_ns) as f64;

    let name = settings.bench.name();
    let rows = board.rows();
    let last = rows::verdict(name, &rows::missed(&rows).collect::<Vec<_>>());
    let date = jiff::Zoned::now().date();
    let gib = machine.memory_bytes as f64 / f64::from(1_u32 << 30);
    let text = format!(
        "### {title}, {date}\n\n{}, {} processors, {gib:.0} GiB, Linux {}. `./x bench {}`: {note} \
         Server on processor 0, generator and source on processor 1; {busy:.2} processors were \
         busy on average with everything that ran.\n\n{}",
        machine.cpu,
        machine.cores,
        machine.kernel,
        settings.shown(),
        rows::markdown(&rows),
    );
    std::fs::create_dir_all(&settings.out)?;
    std::fs::write(settings.out.join(format!("{name}.md")), &text)?;
    let all = serde_json::json!({ "machine": machine, "rows": rows, "verdict": last });
    crate::write_json(&settings.out.join(format!("{name}.json")), &all)?;
    println!("{text}");
    println!("{last}");
    Ok(rows.iter().all(rows::Row::is_met))
}

/// Where trials are made.
pub(super) struct Stand<'a> {
    pub(super) settings: &'a Settings,
    software: Software,
}

impl Stand<'_> {
    /// Starts a server of this kind.
    pub(super) fn server(&self, kind: &Kind) -> io::Result<Server> {
        Server::start(&self.software, kind)
    }

    /// Starts corecast with a port for HTTPS and HTTP/3, without a publisher.
    pub(super) fn secure_server(&self) -> io::Result<Server> {
        let overrides = self.settings.overrides.clone();
        self.server(&Kind::Video {
            overrides,
            secure: true,
        })
    }

    /// Starts corecast and a publisher of `bits` per second, and lets it play for a while.
    pub(super) fn stage(
        &self,
        bits: u64,
        has_sound: bool,
        own_settings: &[&str],
    ) -> io::Result<Stage> {
        self.stage_of(bits, has_sound, own_settings, false)
    }

    /// The same with a port for HTTPS and HTTP/3.
    pub(super) fn secure_stage(&self, bits: u64, has_sound: bool) -> io::Result<Stage> {
        self.stage_of(bits, has_sound, LONG_WINDOW, true)
    }

    fn stage_of(
        &self,
        bits: u64,
        has_sound: bool,
        own_settings: &[&str],
        secure: bool,
    ) -> io::Result<Stage> {
        let own = own_settings.iter().map(|&setting| setting.to_owned());
        let overrides = own.chain(self.settings.overrides.iter().cloned()).collect();
        let server = self.server(&Kind::Video { overrides, secure })?;
        let film = Film::new(SEED, bits, FPS, GROUP, has_sound);
        let (address, url) = server.rtmp(MOUNT)?;
        let publisher = Publisher::start(address, &url, film);
        let publisher = publisher.map_err(|error| server.explain(&error))?;
        sleep_until(now_ns() + LEAD_NS);
        Ok(Stage {
            publisher,
            film,
            server,
        })
    }
}

/// A server with a publisher.
pub(super) struct Stage {
    publisher: Publisher,
    pub(super) film: Film,
    pub(super) server: Server,
}

impl Stage {
    /// One of the mount's outputs, by its ending.
    pub(super) fn target(&self, ending: &str) -> Target {
        Target {
            path: format!("{MOUNT}{ending}"),
            ..self.server.target().clone()
        }
    }

    /// Ends the publisher; how late its latest unit was, in milliseconds.
    pub(super) fn end(self) -> io::Result<f64> {
        let sent = self.publisher.stop();
        let sent = sent.map_err(|error| self.server.explain(&error))?;
        Ok(sent.late_max_us as f64 / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(arguments: &[&str]) -> Result<Settings, lexopt::Error> {
        Settings::parse(Bench::Flv, &mut Parser::from_args(arguments))
    }

    #[test]
    fn every_benchmark_has_its_name() {
        for bench in Bench::ALL {
            assert_eq!(Bench::from_name(bench.name()), Some(bench));
        }
        assert_eq!(Bench::from_name("icy"), None);
    }

    #[test]
    fn what_was_asked_for_is_shown() {
        let asked = ["--pairs", "2", "--wide=0", "--set", "a.b=c"];
        let settings = settings(&asked).expect("good arguments");
        assert_eq!(
            settings.shown(),
            "flv --pairs 2 --seconds 10 --players 2000 --fast 500 --wide 0 --set a.b=c"
        );
    }

    #[test]
    fn what_is_no_option_is_refused() {
        for wrong in [&["--sources", "5"][..], &["--pairs", "x"], &["more"]] {
            assert!(settings(wrong).is_err(), "{wrong:?}");
        }
    }
}
