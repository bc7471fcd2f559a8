//! corecast: a live-media edge server. Arguments, settings, then the server until it ends.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use args::{Command, Rendering};
use corecast_config::reference;

mod args;
mod import;
mod intros;
mod logging;
mod machine;
mod planes;
mod progress;
mod secrets;
mod server;
mod settings;
mod systemd;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Faults in the settings, or the server could not start.
const EXIT_SETTINGS: u8 = 1;

/// Faults on the command line.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let started = Instant::now();
    let command = match args::parse(std::env::args_os().skip(1)) {
        Ok(command) => command,
        Err(fault) => {
            complain(&format!("corecast: {fault}\nTry `corecast help`.\n"));
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let done = match command {
        Command::Run(sources) => server::run(sources, started),
        Command::Check(sources) => server::check(&sources).map(|text| say(&text)),
        Command::Config(sources, Rendering::Effective) => {
            settings::read(&sources).map(|loaded| say(&reference::effective(&loaded)))
        }
        Command::Config(_, Rendering::Sample) => Ok(say(&reference::sample())),
        Command::Config(_, Rendering::Reference) => Ok(say(&reference::page())),
        Command::Import(file) => import::run(&file).map(|text| say(&text)),
        Command::Version => Ok(say(&format!("corecast {}\n", env!("CORECAST_VERSION")))),
        Command::Help => Ok(say(args::HELP)),
    };
    match done {
        Ok(status) => ExitCode::from(status),
        Err(faults) => {
            for fault in &faults {
                complain(&format!("{fault}\n"));
            }
            let count = faults.len();
            let noun = if count == 1 { "fault" } else { "faults" };
            complain(&format!("corecast: {count} {noun}\n"));
            ExitCode::from(EXIT_SETTINGS)
        }
    }
}

/// Writes to standard output; the exit status says whether it was taken.
fn say(text: &str) -> u8 {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    u8::from(written.is_err())
}

/// Writes to standard error, where somebody reads it.
fn complain(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
