//! `sim SEED [STEPS]`: one seed. `sim --seeds FIRST COUNT [STEPS]`: many, on all cores.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use corecast_sim::{Report, STEPS_DEFAULT, Violation, run};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Option<Vec<u64>> = args
        .iter()
        .filter(|arg| *arg != "--seeds")
        .map(|arg| arg.parse().ok())
        .collect();
    let many = args.first().is_some_and(|arg| arg == "--seeds");
    match (many, numbers.as_deref()) {
        (false, Some([seed])) => one(*seed, STEPS_DEFAULT),
        (false, Some([seed, steps])) => one(*seed, *steps as u32),
        (true, Some([first, count])) => all(*first, *count, STEPS_DEFAULT),
        (true, Some([first, count, steps])) => all(*first, *count, *steps as u32),
        _ => {
            eprintln!("usage: sim SEED [STEPS] | sim --seeds FIRST COUNT [STEPS]");
            ExitCode::from(2)
        }
    }
}

fn one(seed: u64, steps: u32) -> ExitCode {
    match run_caught(seed, steps) {
        Ok(report) => {
            println!("seed {seed}: {report:?}");
            ExitCode::SUCCESS
        }
        Err(violation) => {
            println!("{violation}");
            ExitCode::FAILURE
        }
    }
}

/// A panic is a violation like any other.
fn run_caught(seed: u64, steps: u32) -> Result<Report, Violation> {
    std::panic::catch_unwind(|| run(seed, steps)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("?");
        Err(Violation {
            seed,
            step: 0,
            what: format!("panic: {text}"),
        })
    })
}

fn all(first: u64, count: u64, steps: u32) -> ExitCode {
    let next = AtomicU64::new(first);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let worker = || -> Vec<Violation> {
        let mut found = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count {
                return found;
            }
            found.extend(run_caught(seed, steps).err());
        }
    };
    let mut found: Vec<Violation> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        let results = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_default());
        results.flatten().collect()
    });
    found.sort_by_key(|violation| violation.seed);
    found.iter().for_each(|violation| println!("{violation}"));
    println!(
        "{} passed, {} failed",
        count - found.len() as u64,
        found.len()
    );
    if found.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
