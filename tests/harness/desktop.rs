//! A screen that nobody sees and a sound card that nobody hears, for programs that need them.

use std::fs;
use std::process::Command;
use std::time::Duration;

use super::{Client, Scratch, program, wait_for};

const LIMIT: Duration = Duration::from_secs(20);

/// A PulseAudio with one silent card that keeps time, and the home of those who use it.
pub(crate) struct SoundCard {
    _pulse: Client,
    // A short path: that of a Unix socket has 107 bytes at most.
    home: Scratch,
}

impl SoundCard {
    /// Starts one and waits until it takes programs.
    pub(crate) fn start() -> Self {
        let home = Scratch::open_to_all("sound");
        let socket = home.file("native");
        let mut command = program("pulseaudio");
        // Nothing of the machine's own settings.
        command.args("-n --daemonize=no --use-pid-file=no --exit-idle-time=-1".split(' '));
        command.arg("-L").arg(format!(
            "module-native-protocol-unix socket={} auth-anonymous=1",
            socket.display()
        ));
        command.args(["-L", "module-null-sink sink_name=silence"]);
        let card = SoundCard {
            _pulse: Client::spawn(at_home(&mut command, &home)),
            home,
        };
        // ALSA programs get to it by way of a plugin.
        let alsa = "pcm.!default { type pulse }\nctl.!default { type pulse }\n";
        fs::write(card.home.file(".asoundrc"), alsa).expect("a scratch folder takes files");
        wait_for("PulseAudio takes programs", LIMIT, || {
            socket.exists().then_some(())
        });
        card
    }

    /// Makes `command` use it.
    pub(crate) fn lend<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let socket = self.home.file("native");
        at_home(command, &self.home).env("PULSE_SERVER", format!("unix:{}", socket.display()))
    }
}

/// `command` with a home of its own, far from the buses and screens of who runs the tests.
fn at_home<'a>(command: &'a mut Command, home: &Scratch) -> &'a mut Command {
    command.env("HOME", home.path());
    command.env("XDG_RUNTIME_DIR", home.path());
    for name in ["DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "WAYLAND_DISPLAY"] {
        command.env_remove(name);
    }
    command
}

/// An X server without a screen.
pub(crate) struct Screen {
    _server: Client,
    display: String,
}

impl Screen {
    /// Starts one on a number that is free.
    pub(crate) fn start() -> Self {
        let mut command = program("Xvfb");
        let options = "-displayfd 1 -screen 0 800x600x16 -nolisten tcp";
        let server = Client::spawn(command.args(options.split(' ')));
        let display = wait_for("Xvfb says its number", LIMIT, || {
            let said = String::from_utf8(server.stdout()).expect("it is a number");
            said.ends_with('\n').then(|| format!(":{}", said.trim()))
        });
        Screen {
            _server: server,
            display,
        }
    }

    /// Makes `command` use it.
    pub(crate) fn lend<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("DISPLAY", &self.display)
    }
}
