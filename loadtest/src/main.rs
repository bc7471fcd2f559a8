//! Load for Icecast-compatible servers: many cheap listeners, a source whose every byte can be
//! checked, and benchmarks that run servers side by side.

mod args;
mod bare;
mod bench;
mod clock;
mod crowd;
mod hls;
mod http;
mod icy;
mod proc;
mod quic;
mod report;
mod run;
mod secure;
mod soak;
mod source;
mod stream;
mod verify;
mod video;

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use args::Command;
use clock::{now_ns, sleep_until};
use report::Report;
use source::Source;

/// The result is short of what was asked.
const SHORT: u8 = 3;

fn main() -> ExitCode {
    let command = match args::parse(lexopt::Parser::from_env()) {
        Ok(command) => command,
        Err(error) => {
            eprintln!("loadtest: {error}; see `loadtest help`");
            return ExitCode::from(2);
        }
    };
    match execute(command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(SHORT),
        Err(error) => {
            eprintln!("loadtest: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Does what is asked; false if it went well but is short of what was asked.
fn execute(command: Command) -> io::Result<bool> {
    match command {
        Command::Help => {
            print!("{}", args::HELP);
            Ok(true)
        }
        Command::Run(settings, file) => {
            let report = Report::new(&run::conduct(&settings)?, stream::RATE_BYTES);
            print!("{}", report.text());
            if let Some(file) = file {
                write_json(&file, &report)?;
            }
            Ok(report.good)
        }
        Command::Source(settings, length) => publish(&settings, length),
        Command::Soak(settings, file) => {
            let report = soak::run(&settings)?;
            print!("{}", report.text());
            if let Some(file) = file {
                write_json(&file, &report)?;
            }
            Ok(report.good)
        }
        Command::Crowd => crowd::run().map(|()| true),
        Command::Bench(settings) => bench::run(&settings),
        Command::BenchVideo(settings) => bench::run_video(&settings),
        Command::Bare(settings) => bare::run(settings).map(|()| true),
        Command::BareQuic(settings) => quic::bare::run(&settings).map(|()| true),
        Command::HlsCheck(settings) => hls::run(&settings),
    }
}

/// Publishes for `length`, or until the server ends it.
fn publish(settings: &source::Settings, length: Option<Duration>) -> io::Result<bool> {
    let source = Source::start(settings)?;
    let end_ns = length.map(|length| now_ns() + u64::try_from(length.as_nanos()).unwrap_or(0));
    while source.is_sending() && end_ns.is_none_or(|end_ns| now_ns() < end_ns) {
        sleep_until(now_ns() + 20 * clock::MS_NS);
    }
    let sent = source.stop()?;
    println!(
        "{} bytes, {} titles, {}",
        sent.bytes,
        sent.titles,
        sent.lost.as_deref().unwrap_or("stopped")
    );
    Ok(sent.lost.is_none())
}

/// Writes a value as indented JSON.
pub(crate) fn write_json(path: &Path, value: &impl serde::Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(File::create(path)?, value).map_err(io::Error::from)
}
