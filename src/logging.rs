//! Log lines: made on any thread, written by one of their own, so that no shard waits for a
//! terminal or a pipe.

use std::io::{self, IsTerminal};
use std::panic;
use std::thread;

use corecast_config::Log;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

/// Lines that wait for the writer; more are dropped and counted.
const LINES_WAITING_MAX: usize = 4_096;

/// The log of the process. When it is dropped, every line is written.
pub(crate) struct Logging {
    filter: reload::Handle<EnvFilter, Registry>,
    lines: ErrorCounter,
    reported: usize,
    _writer: WorkerGuard,
}

impl Logging {
    /// Starts to write lines to standard error.
    ///
    /// # Errors
    /// A log is there already.
    pub(crate) fn start(settings: &Log) -> Result<Self, String> {
        let (writer, guard) = NonBlockingBuilder::default()
            .lossy(true)
            .buffered_lines_limit(LINES_WAITING_MAX)
            .thread_name("log")
            .finish(io::stderr());
        let lines = writer.error_counter();
        let (filter, handle) = reload::Layer::new(filter(&settings.level));
        // The journal has the time of every line already.
        let journal = std::env::var_os("JOURNAL_STREAM").is_some();
        let layer = fmt::layer()
            .with_writer(writer)
            .with_ansi(io::stderr().is_terminal());
        let layer = match (settings.json, journal) {
            (true, _) => layer.json().flatten_event(true).boxed(),
            (false, true) => layer.without_time().boxed(),
            (false, false) => layer.boxed(),
        };
        let subscriber = Registry::default().with(filter).with(layer);
        tracing::subscriber::set_global_default(subscriber).map_err(|error| error.to_string())?;
        log_panics();
        Ok(Logging {
            filter: handle,
            lines,
            reported: 0,
            _writer: guard,
        })
    }

    /// Changes the least level that is written.
    pub(crate) fn set_level(&self, level: &str) {
        if let Err(error) = self.filter.reload(filter(level)) {
            tracing::warn!(%error, "change the log level");
        }
    }

    /// Says so where lines were dropped since the last call.
    pub(crate) fn report_dropped(&mut self) {
        let dropped = self.lines.dropped_lines();
        let new = dropped.saturating_sub(self.reported);
        if new > 0 {
            self.reported = dropped;
            tracing::warn!(
                lines = new,
                "log lines were dropped: the log is written too slowly"
            );
        }
    }
}

/// Our own lines from `level` on, those of libraries from `warn` on.
fn filter(level: &str) -> EnvFilter {
    let libraries = if level == "error" { "error" } else { "warn" };
    EnvFilter::new(format!("{libraries},corecast={level}"))
}

/// A panic is our bug: its line says where it is, whoever catches it.
fn log_panics() {
    panic::set_hook(Box::new(|panic| {
        let text = panic.payload_as_str().unwrap_or("no text");
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        let thread = thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        tracing::error!(%thread, %place, "panic: {text}");
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_holds_for_our_crates_and_libraries_stay_quiet() {
        let shown = |level| filter(level).to_string();
        assert!(shown("debug").contains("corecast=debug") && shown("debug").contains("warn"));
        assert!(!shown("error").contains("warn"), "{}", shown("error"));
    }
}
