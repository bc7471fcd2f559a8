//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::prelude::*;

/// What `corecast help` prints.
pub(crate) const HELP: &str = "\
corecast: a live-media edge server

Usage: corecast [COMMAND] [OPTIONS]

Commands:
  run      start the server (what happens without a command)
  check    read and check all settings, report every fault, start nothing
  config   print the settings as they are, secrets hidden
  import FILE
           print the settings of another server (icecast.xml, gocast.vibe) as ours, and what has
           no equivalent; FILE may be - for standard input
  version  print the version
  help     print this text

Options:
  -c, --config FILE     read settings from FILE (TOML)
  -s, --set KEY=VALUE   set one setting, e.g. --set limits.listeners_max=5000
      --sample          config: print a commented file of all defaults
      --reference       config: print the reference of all settings (Markdown)
  -h, --help            print this text
  -V, --version         print the version

A flag goes before the environment (CORECAST_SECTION__KEY), that before the file.

Signals: SIGTERM and SIGINT drain and end, a second one ends at once. SIGHUP reads the settings
again. Exit status: 0 ended as told, 1 faults in the settings or at start, 2 faults on the command
line, 3 a part of the server failed.
";

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Start the server.
    Run(Sources),
    /// Check the settings.
    Check(Sources),
    /// Print the settings.
    Config(Sources, Rendering),
    /// Print another server's settings as ours; `-` is standard input.
    Import(PathBuf),
    /// Print the version.
    Version,
    /// Print the help.
    Help,
}

/// Where settings come from, besides the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sources {
    /// The file.
    pub file: Option<PathBuf>,
    /// Each `section.key=value` of `--set`, in the order of the command line.
    pub overrides: Vec<String>,
}

/// What `corecast config` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rendering {
    /// The settings as they are.
    Effective,
    /// A commented file of all defaults.
    Sample,
    /// The reference page.
    Reference,
}

/// Reads the arguments after the program's name.
///
/// # Errors
/// What is wrong with the command line, in one line.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut parser = lexopt::Parser::from_args(args);
    let mut word: Option<String> = None;
    let mut sources = Sources::default();
    let mut rendering = None;
    let mut foreign = None;
    while let Some(arg) = parser.next().map_err(|error| error.to_string())? {
        match arg {
            Short('h') | Long("help") => return Ok(Command::Help),
            Short('V') | Long("version") => return Ok(Command::Version),
            Short('c') | Long("config") => {
                let file = parser.value().map_err(|error| error.to_string())?;
                if sources.file.replace(PathBuf::from(file)).is_some() {
                    return Err("--config is given twice".into());
                }
            }
            Short('s') | Long("set") => {
                let pair = parser.value().and_then(ValueExt::string);
                sources
                    .overrides
                    .push(pair.map_err(|error| error.to_string())?);
            }
            Long("sample") => rendering = Some(Rendering::Sample),
            Long("reference") => rendering = Some(Rendering::Reference),
            Value(value) if word.is_none() => {
                word = Some(value.string().map_err(|error| error.to_string())?);
            }
            Value(value) if word.as_deref() == Some("import") && foreign.is_none() => {
                foreign = Some(PathBuf::from(value));
            }
            arg => return Err(arg.unexpected().to_string()),
        }
    }
    let command = word.as_deref().unwrap_or("run");
    if rendering.is_some() && command != "config" {
        return Err(format!(
            "--sample and --reference belong to `config`, not to `{command}`"
        ));
    }
    if command == "import" && sources != Sources::default() {
        return Err("--config and --set do not belong to `import`".into());
    }
    Ok(match command {
        "run" => Command::Run(sources),
        "check" => Command::Check(sources),
        "config" => Command::Config(sources, rendering.unwrap_or(Rendering::Effective)),
        "import" => match foreign {
            Some(file) => Command::Import(file),
            None => return Err("`import` needs a FILE, or - for standard input".into()),
        },
        "version" => Command::Version,
        "help" => Command::Help,
        unknown => return Err(format!("there is no command `{unknown}`")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    fn sources(file: Option<&str>, overrides: &[&str]) -> Sources {
        let overrides = overrides.iter().map(|pair| (*pair).to_owned()).collect();
        Sources {
            file: file.map(PathBuf::from),
            overrides,
        }
    }

    #[test]
    fn a_command_line_says_what_to_do_and_where_settings_come_from() {
        let none = sources(None, &[]);
        let both = sources(Some("a.toml"), &["log.json=true", "auth.x=a=b"]);
        for (line, expected) in [
            ("", Command::Run(none.clone())),
            ("run", Command::Run(none.clone())),
            (
                "--config a.toml --set log.json=true -s auth.x=a=b",
                Command::Run(both.clone()),
            ),
            (
                "check -c a.toml --set=log.json=true --set auth.x=a=b",
                Command::Check(both),
            ),
            (
                "config",
                Command::Config(none.clone(), Rendering::Effective),
            ),
            (
                "config --sample",
                Command::Config(none.clone(), Rendering::Sample),
            ),
            (
                "config --reference",
                Command::Config(none, Rendering::Reference),
            ),
            (
                "import icecast.xml",
                Command::Import(PathBuf::from("icecast.xml")),
            ),
            ("import -", Command::Import(PathBuf::from("-"))),
            ("version", Command::Version),
            ("run --version", Command::Version),
            ("help", Command::Help),
            ("run -h", Command::Help),
        ] {
            assert_eq!(parsed(line), Ok(expected), "{line:?}");
        }
    }

    #[test]
    fn a_wrong_command_line_is_refused_with_the_word_that_is_wrong() {
        for (line, word) in [
            ("start", "start"),
            ("run now", "now"),
            ("--verbose", "verbose"),
            ("--set", "--set"),
            ("-c a -c b", "twice"),
            ("run --sample", "config"),
            ("import", "FILE"),
            ("import a.xml b.xml", "b.xml"),
            ("import a.xml -s log.json=true", "--set"),
            ("import a.xml --sample", "config"),
        ] {
            let fault = parsed(line).expect_err("a fault");
            assert!(fault.contains(word), "{line:?}: {fault}");
        }
    }
}
