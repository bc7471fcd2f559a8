//! The benchmarks. This file is `bench icy`: corecast, icecast2 and a bare `send()` loop in
//! alternating rounds, one after the other on the same processor, under the same generator.

mod beside;
mod blocked;
mod drain;
mod exchange;
mod flv;
mod h2;
mod h3;
mod handshakes;
mod hls;
mod latency;
mod listeners;
mod markdown;
mod playlist;
mod release;
mod rows;
mod score;
mod segments;
mod server;
mod table;
mod tls;
mod turns;
mod video;
mod waiters;

pub(crate) use video::{Bench as VideoBench, Settings as VideoSettings, run as run_video};

use std::io;
use std::path::PathBuf;

use lexopt::{Arg, Parser, ValueExt};
use rustix::process::geteuid;

use crate::crowd::Plan;
use crate::http::fault;
use crate::proc::{self, Machine};
use crate::report::Report;
use crate::run;
use crate::source::{self, Method};
use crate::stream::RATE_BYTES;
use score::Score;
use server::{Kind, Server, Software};

/// Joins per second of the CPU trials; Icecast cannot take them much faster.
const RAMP_PER_S: u32 = 800;
/// Time for all joins, for the slowest server.
const JOIN_S_MAX: u64 = 40;
/// Time that the source plays before the first join: a station that is on the air has its burst.
const LEAD_MS: u64 = 3_000;
/// Time between the joins and the window.
const WARM_MS: u64 = 3_000;
/// Window of the trials that measure no CPU.
const SHORT_WINDOW_MS: u64 = 3_000;
/// Bytes of Icecast's blocks.
const ICECAST_BLOCK_BYTES: u32 = 1_400;
/// Below this share of real time a server or the generator was starved: the trial is run again.
const REAL_TIME_MIN: f64 = 0.95;
/// How often a starved trial is run again.
const RETRIES: u32 = 2;
/// Starts that are timed.
const STARTS: usize = 10;
/// Open files that a server needs besides its listeners.
const SPARE_FILES: u64 = 600;
/// The seed of the stream.
const SEED: u64 = 1;

/// What the benchmark is to do.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    corecast: PathBuf,
    icecast: PathBuf,
    rounds: usize,
    window_ms: u64,
    listeners: u32,
    crowd: u32,
    icy_percent: u8,
    out: PathBuf,
    /// Overrides of corecast's settings in every trial.
    overrides: Vec<String>,
    /// The only part to measure.
    only: Option<Part>,
}

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Cpu,
    Crowd,
    Start,
}

impl Settings {
    /// Reads the rest of the command line.
    pub(crate) fn parse(parser: &mut Parser) -> Result<Settings, lexopt::Error> {
        let mut settings = Settings {
            corecast: default_corecast(),
            icecast: PathBuf::from("/usr/bin/icecast2"),
            rounds: 3,
            window_ms: 10_000,
            listeners: 4_000,
            crowd: 9_000,
            icy_percent: 100,
            out: PathBuf::from(".x/bench"),
            overrides: Vec::new(),
            only: None,
        };
        while let Some(arg) = parser.next()? {
            let Arg::Long(name) = arg else {
                return Err(arg.unexpected());
            };
            let name = name.to_owned();
            let value = parser.value()?;
            match name.as_str() {
                "corecast" => settings.corecast = value.into(),
                "icecast" => settings.icecast = value.into(),
                "pairs" => settings.rounds = value.parse::<usize>()?.max(1),
                "seconds" => settings.window_ms = value.parse::<u64>()?.max(1) * 1_000,
                "listeners" => settings.listeners = value.parse::<u32>()?.max(1),
                "crowd" => settings.crowd = value.parse::<u32>()?.max(1),
                "icy" => settings.icy_percent = value.parse()?,
                "out" => settings.out = value.into(),
                "set" => settings.overrides.push(value.string()?),
                "only" => {
                    settings.only = Some(match value.string()?.as_str() {
                        "cpu" => Part::Cpu,
                        "crowd" => Part::Crowd,
                        "start" => Part::Start,
                        other => return Err(format!("no part `{other}`").into()),
                    });
                }
                _ => return Err(format!("no option `--{name}`").into()),
            }
        }
        Ok(settings)
    }
}

/// `CORECAST_BIN`, else the program beside this one.
fn default_corecast() -> PathBuf {
    if let Some(path) = std::env::var_os("CORECAST_BIN") {
        return path.into();
    }
    let here = std::env::current_exe().unwrap_or_default();
    here.with_file_name("corecast")
}

/// What one trial is called in the report and how it is set up.
#[derive(Clone, Debug)]
struct Trial {
    name: &'static str,
    kind: Kind,
    listeners: u32,
    ramp_per_s: u32,
    window_ms: u64,
    /// Whether a starved run is worth nothing.
    measures_cpu: bool,
}

/// Runs everything and says whether the targets are met.
pub(crate) fn run(settings: &Settings) -> io::Result<bool> {
    let files = proc::raise_open_files();
    let machine = Machine::read();
    let two = machine.cores > 1;
    if two {
        proc::pin(&[1])?;
    }
    let crowd = u64::from(settings.crowd).min(files.saturating_sub(SPARE_FILES));
    let bench = Bench {
        settings,
        software: Software {
            corecast: settings.corecast.clone(),
            icecast: settings.icecast.clone(),
            nginx: PathBuf::new(),
            caddy: PathBuf::new(),
            unprivileged: geteuid().is_root(),
            cpus: machine.cores,
        },
        crowd: u32::try_from(crowd).unwrap_or(settings.crowd),
    };
    let mut score = Score::default();
    let wanted = |part| settings.only.is_none_or(|only| only == part);
    if wanted(Part::Cpu) {
        bench.measure_cpu(&mut score)?;
    }
    if wanted(Part::Crowd) {
        bench.measure_crowds(&mut score)?;
    }
    if wanted(Part::Start) {
        bench.measure_starts(&mut score)?;
    }

    let rows = score.rows();
    let last = score::last_line(&rows, &score);
    let text = markdown::block(&machine, settings, &rows, &score);
    std::fs::create_dir_all(&settings.out)?;
    std::fs::write(settings.out.join("icy.md"), &text)?;
    let all = serde_json::json!({
        "machine": machine, "rows": rows, "trials": score.trials(), "verdict": last,
    });
    crate::write_json(&settings.out.join("icy.json"), &all)?;
    println!("{text}");
    println!("{last}");
    Ok(rows.iter().all(rows::Row::is_met) && score.wrong() == 0)
}

/// The benchmark at work.
struct Bench<'a> {
    settings: &'a Settings,
    software: Software,
    crowd: u32,
}

impl Bench<'_> {
    /// corecast with the overrides of the command line and one of its own.
    fn corecast(&self, shards: usize, own: Option<String>) -> Kind {
        let overrides = self.settings.overrides.iter().cloned().chain(own).collect();
        Kind::Corecast { shards, overrides }
    }

    /// The CPU rows: each round runs every server once.
    fn measure_cpu(&self, score: &mut Score) -> io::Result<()> {
        let icecast_block = format!("mount_defaults.quantum_bytes={ICECAST_BLOCK_BYTES}");
        for round in 0..self.settings.rounds {
            let trial = |name, kind| Trial {
                name,
                kind,
                listeners: self.settings.listeners,
                ramp_per_s: RAMP_PER_S,
                window_ms: self.settings.window_ms,
                measures_cpu: true,
            };
            let default = self.corecast(1, None);
            let own = self.run_trial(round, &trial(score::CORECAST, default), score)?;
            self.run_trial(round, &trial(score::ICECAST, Kind::Icecast), score)?;
            let bare = Kind::Bare {
                listeners: self.settings.listeners,
                send_bytes: (own.bytes_per_receipt as u64).max(1),
                rate_bytes: RATE_BYTES,
            };
            self.run_trial(round, &trial(score::BARE, bare), score)?;
            let small = self.corecast(1, Some(icecast_block.clone()));
            self.run_trial(round, &trial(score::CORECAST_1400, small), score)?;
            if self.software.cpus > 1 {
                let pair = self.corecast(2, None);
                self.run_trial(round, &trial(score::CORECAST_TWO, pair), score)?;
            }
        }
        Ok(())
    }

    /// The rows about many joins at once and about memory; Icecast once, to compare.
    fn measure_crowds(&self, score: &mut Score) -> io::Result<()> {
        let trial = |name, kind| Trial {
            name,
            kind,
            listeners: self.crowd,
            ramp_per_s: 0,
            window_ms: SHORT_WINDOW_MS,
            measures_cpu: false,
        };
        for round in 0..self.settings.rounds {
            let kind = self.corecast(1, None);
            self.run_trial(round, &trial(score::CORECAST_CROWD, kind), score)?;
        }
        let icecast = trial(score::ICECAST_CROWD, Kind::Icecast);
        if let Err(error) = self.run_trial(0, &icecast, score) {
            // Good to know, but no target hangs on it.
            eprintln!("{error}");
        }
        Ok(())
    }

    /// The cold start: from the call that starts the process to its first answer.
    fn measure_starts(&self, score: &mut Score) -> io::Result<()> {
        for _ in 0..STARTS {
            let server = Server::start(&self.software, &self.corecast(1, None))?;
            score.start_ms.push(server.ready_ms());
        }
        Ok(())
    }

    fn run_trial(&self, round: usize, trial: &Trial, score: &mut Score) -> io::Result<Report> {
        for attempt in 0.. {
            let report = self.attempt(trial).map_err(|error| {
                fault(format!(
                    "run {} in round {}: {error}",
                    trial.name,
                    round + 1
                ))
            })?;
            let starved = report.of_real_time < REAL_TIME_MIN && trial.measures_cpu;
            let again = starved && attempt < RETRIES;
            eprintln!(
                "round {} {:<16} {:7.3} CPU-s/GB, {:5.1} % of real time, {} unserved, {:.2} \
                 processors busy with other work{}",
                round + 1,
                trial.name,
                report.cpu_s_per_gb.unwrap_or_default(),
                report.of_real_time * 100.0,
                report.unserved,
                report.others_cpus,
                if again { ": starved, again" } else { "" }
            );
            if !again {
                score.push(trial.name, round, report.clone());
                return Ok(report);
            }
        }
        Err(fault("no attempt was made"))
    }

    fn attempt(&self, trial: &Trial) -> io::Result<Report> {
        let server = Server::start(&self.software, &trial.kind)?;
        let target = server.target().clone();
        let source = server.credentials().map(|credentials| source::Settings {
            target: target.clone(),
            credentials: credentials.to_owned(),
            method: Method::Source,
            seed: SEED,
            title_every: None,
        });
        let plan = Plan {
            seed: SEED,
            listeners: trial.listeners,
            ramp_per_s: trial.ramp_per_s,
            join_ms_max: JOIN_S_MAX * 1_000,
            icy_percent: self.settings.icy_percent,
            sample: 4.min(trial.listeners),
            ..Plan::plain(&target)
        };
        let settings = run::Settings {
            plan,
            processes: 0,
            lead_ms: LEAD_MS,
            warm_ms: WARM_MS,
            window_ms: trial.window_ms,
            source,
            server_pid: Some(server.pid()),
        };
        let outcome = run::conduct(&settings).map_err(|error| server.explain(&error))?;
        Ok(Report::new(&outcome, RATE_BYTES))
    }
}
