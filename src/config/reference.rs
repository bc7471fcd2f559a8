//! The reference page, the sample file and the effective configuration, from the declarations.

use crate::load::{Loaded, MOUNT, MOUNT_NAME, mount_path};
use crate::master::Master;
use crate::overrides::environment_name;
use crate::property::{Declaration, Kind, Named, Section, Table, TakesEffect, Value, one_line};
use crate::relay::Relay;
use crate::section::{Config, Listen};
use crate::tls::Certificate;
use crate::value;

const MOUNT_DOC: &str = "A configured mount, as many as wanted. It has the keys of \
    `[mount_defaults]` too; what it does not give, it takes from there.";

const MOUNT_NAME_DOC: &str = "Its name, the path of its URL: starts with `/`, no empty, `.` or \
    `..` segments, none of `?#\"<>\\`. Needed.";

/// The environment variable of the mount `/live`'s password.
const MOUNT_VARIABLE: &str = "CORECAST_MOUNT__LIVE__PASSWORD";

/// A section as the page and the sample show it.
struct Chapter {
    /// `[limits]`, `[[listen]]`.
    head: String,
    doc: String,
    rows: Vec<Row>,
    /// Keys without a default; none where the section may be left out and be the default.
    needed: &'static [&'static str],
}

struct Row {
    declaration: &'static Declaration,
    default: Value,
}

fn chapters() -> Vec<Chapter> {
    let config = Config::default();
    let mut chapters: Vec<Chapter> = config.tables().into_iter().map(chapter).collect();
    let listen = Chapter {
        head: format!("[[{}]]", Listen::NAME),
        ..chapter(&Listen::default())
    };
    let mount = Chapter {
        head: format!("[[{MOUNT}]]"),
        doc: MOUNT_DOC.to_owned(),
        rows: Vec::new(),
        needed: &[],
    };
    let after = |chapters: &[Chapter], head: &str| {
        chapters
            .iter()
            .position(|chapter| chapter.head == head)
            .map_or(0, |index| index + 1)
    };
    chapters.insert(after(&chapters, "[server]"), listen);
    let at = after(&chapters, "[tls]");
    chapters.insert(at, named_chapter::<Certificate>());
    chapters.insert(after(&chapters, "[mount_defaults]"), mount);
    let at = after(&chapters, &format!("[[{MOUNT}]]"));
    chapters.insert(at, named_chapter::<Relay>());
    chapters.insert(at + 1, named_chapter::<Master>());
    chapters
}

fn chapter(table: &dyn Table) -> Chapter {
    let row = |declaration: &'static Declaration| {
        table.value(declaration.key).map(|default| Row {
            declaration,
            default,
        })
    };
    Chapter {
        head: format!("[{}]", table.name()),
        doc: table.doc(),
        rows: table.declarations().into_iter().filter_map(row).collect(),
        needed: &[],
    }
}

fn named_chapter<N: Named>() -> Chapter {
    Chapter {
        head: format!("[[{}]]", N::NAME),
        needed: N::NEEDED,
        ..chapter(&N::example())
    }
}

/// Renders `docs/config.md`.
pub fn page() -> String {
    let example = environment_name("limits", "listeners_max");
    let mut page = format!(
        "# Configuration\n\n\
         One TOML file. Every setting may also come from the environment (`{example}=5000`; two \
         underscores after the section) or from the command line \
         (`--set limits.listeners_max=5000`). The command line goes over the environment, the \
         environment over the file.\n\n\
         - Of a mount `/live` the names are `{MOUNT_VARIABLE}` (its name in capitals, every \
         other character an underscore) and `--set mount./live.password=...`; the mount must \
         stand in the file.\n\
         - `corecast check` tells all faults at once, each with file, line and column. \
         `corecast config` prints what is in effect and where it comes from.\n\
         - *reload*: works after SIGHUP, which drops nobody. *restart*: works after the next \
         start; SIGHUP says that it waits.\n\n\
         This page and `docs/corecast.sample.toml` are rendered from the declarations in \
         `src/config/section.rs`.\n"
    );
    for chapter in chapters() {
        page.push_str(&format!("\n## `{}`\n\n{}\n\n", chapter.head, chapter.doc));
        page.push_str("| key | default | takes | effect | meaning |\n|---|---|---|---|---|\n");
        if chapter.rows.is_empty() {
            let doc = cell(MOUNT_NAME_DOC);
            page.push_str(&format!("| `{MOUNT_NAME}` | | a text | reload | {doc} |\n"));
        }
        for Row {
            declaration,
            default,
        } in chapter.rows
        {
            let shown = match chapter.needed.contains(&declaration.key) {
                true => String::new(),
                false => format!("`{}`", cell(&value::shown(&default))),
            };
            page.push_str(&format!(
                "| `{}` | {} | {} | {} | {} |\n",
                declaration.key,
                shown,
                cell(&value::expected(declaration.kind)),
                effect(declaration.takes_effect),
                cell(&one_line(declaration.doc)),
            ));
        }
    }
    page
}

fn effect(takes_effect: TakesEffect) -> &'static str {
    match takes_effect {
        TakesEffect::Reload => "reload",
        TakesEffect::Restart => "restart",
    }
}

/// A text that stays inside its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Renders `docs/corecast.sample.toml`. Lines that start with `#` and no space are settings with
/// their defaults; everything else behind a `#` is prose.
pub fn sample() -> String {
    let mut text = String::from(
        "# corecast's settings, all of them, with their defaults. Take the # off a line to change\n\
         # it. `corecast check` tells what is wrong. In brackets: whether SIGHUP (reload) or the\n\
         # next start (restart) makes a change work.\n",
    );
    for chapter in chapters() {
        text.push('\n');
        push_prose(&mut text, &chapter.doc);
        if chapter.rows.is_empty() {
            text.push_str(&format!("#{}\n", chapter.head));
            push_prose(&mut text, MOUNT_NAME_DOC);
            text.push_str(&format!("#{MOUNT_NAME} = \"/live\"\n"));
            continue;
        }
        let optional = !chapter.needed.is_empty();
        let head_mark = if optional { "#" } else { "" };
        text.push_str(&format!("{head_mark}{}\n", chapter.head));
        // An acceptor without its address is none.
        let mark = if chapter.head.starts_with("[[") && !optional {
            ""
        } else {
            "#"
        };
        for Row {
            declaration,
            default,
        } in chapter.rows
        {
            let Declaration {
                key,
                kind,
                takes_effect,
                ..
            } = *declaration;
            let doc = one_line(declaration.doc);
            let (takes, effect) = (value::expected(kind), effect(takes_effect));
            push_prose(&mut text, &format!("{doc} Takes {takes} ({effect})."));
            text.push_str(&format!("{mark}{key} = {}\n", value::shown(&default)));
        }
        if chapter.head == format!("[[{}]]", Listen::NAME) {
            // Those that are there without any, beyond the first.
            for listen in Config::default().listen.iter().skip(1) {
                text.push_str(&format!("\n{}\n", chapter.head));
                push_settings(&mut text, listen, |_| true, |_| String::new());
            }
        }
    }
    text
}

/// Prose as comment lines.
fn push_prose(text: &mut String, prose: &str) {
    const LINE_CHARS_MAX: usize = 96;
    let mut line = String::from("#");
    for word in prose.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > LINE_CHARS_MAX {
            text.push_str(&line);
            text.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}

/// The configuration in effect as TOML: every setting, with the place of each that is not a
/// default. Of a mount only what differs from `[mount_defaults]`. Secrets are masked, and such
/// lines are comments, so that nobody takes the mask for the secret.
pub fn effective(loaded: &Loaded) -> String {
    let config = &loaded.config;
    let mut text = String::new();
    let place = |path: &str| {
        loaded
            .places
            .get(path)
            .map_or(String::new(), |place| format!(" # {place}"))
    };
    for listen in &config.listen {
        let origin = place(Listen::NAME);
        text.push_str(&format!("[[{}]]{origin}\n", Listen::NAME));
        push_settings(&mut text, listen, |_| true, |_| String::new());
        text.push('\n');
    }
    for table in config.tables() {
        text.push_str(&format!("[{}]\n", table.name()));
        push_settings(
            &mut text,
            table,
            |_| true,
            |key| place(&format!("{}.{key}", table.name())),
        );
        text.push('\n');
    }
    for (name, mount) in &config.mounts {
        let shown_name = value::shown(&Value::Text(name.clone()));
        text.push_str(&format!("[[{MOUNT}]]\n{MOUNT_NAME} = {shown_name}\n"));
        let differs = |key: &str| mount.value(key) != config.mount_defaults.value(key);
        push_settings(&mut text, mount, differs, |key| {
            place(&mount_path(name, key))
        });
        text.push('\n');
    }
    push_named(&mut text, &config.certificates, place);
    push_named(&mut text, &config.relays, place);
    push_named(&mut text, &config.masters, place);
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn push_named<N: Named>(text: &mut String, all: &[N], place: impl Fn(&str) -> String) {
    for named in all {
        text.push_str(&format!("[[{}]]\n", N::NAME));
        let place = |key: &str| place(&N::path_of(named.called(), key));
        push_settings(text, named, |_| true, place);
        text.push('\n');
    }
}

fn push_settings(
    text: &mut String,
    table: &dyn Table,
    wanted: impl Fn(&str) -> bool,
    place: impl Fn(&str) -> String,
) {
    for Declaration { key, kind, .. } in table.declarations() {
        if let Some(value) = table.value(key).filter(|_| wanted(key)) {
            let empty = value == Value::Text(String::new());
            let mark = if matches!(kind, Kind::Secret | Kind::Pushes) && !empty {
                "#"
            } else {
                ""
            };
            let shown = value::masked(*kind, &value);
            text.push_str(&format!("{mark}{key} = {shown}{}\n", place(key)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{File, Mount, Sources, load};

    /// Compares a rendered file with the one that is kept, or writes it if asked to.
    fn check(name: &str, rendered: &str) {
        let path = format!("{}/../../docs/{name}", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("CORECAST_RENDER").is_some() {
            std::fs::write(&path, rendered).expect("docs/ can be written");
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == rendered,
            "docs/{name} is stale; run: CORECAST_RENDER=1 cargo test -p corecast-config"
        );
    }

    fn load_text(text: &str) -> Loaded {
        let file = Some(File {
            name: "sample",
            text,
        });
        load(Sources {
            file,
            ..Sources::default()
        })
        .expect("no faults")
    }

    #[test]
    fn the_reference_page_is_current() {
        check("config.md", &page());
    }

    #[test]
    fn the_sample_file_is_current() {
        check("corecast.sample.toml", &sample());
    }

    #[test]
    fn the_sample_is_the_defaults_with_and_without_its_comment_marks() {
        assert_eq!(load_text(&sample()).config, Config::default());
        let bare: Vec<String> = sample()
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(setting) if !setting.starts_with(' ') => setting.to_owned(),
                _ => line.to_owned(),
            })
            .collect();
        let config = load_text(&bare.join("\n")).config;
        let mounts = vec![("/live".to_owned(), Mount::default())];
        assert_eq!(
            config,
            Config {
                mounts: mounts.into(),
                certificates: vec![Certificate::example()],
                relays: vec![Relay::example()],
                masters: vec![Master::example()],
                ..Config::default()
            }
        );
    }

    #[test]
    fn the_effective_configuration_loads_as_itself() {
        let text = "[limits]\nsources_max = 7\n[shards]\ncount = [1, 3]\n[[listen]]\n\
                    address = '[::1]:1'\n[[listen]]\naddress = '127.0.0.1:2'\n\
                    [server]\nlocation = 'a \"b\" \\c'\n\
                    [[mount]]\nname = '/a'\nlatency = 'live'\n[[mount]]\nname = '/b'\n\
                    [[relay]]\nmount = '/r'\nurl = 'http://a/b http://c/d'\n\
                    [[master]]\nname = 'm'\nurl = 'http://a'\nexcept = ['x', 'y']\n\
                    [tls]\nmin_version = '1.3'\n[[certificate]]\nname = 'c'\nfile = '/c.pem'\n";
        let loaded = load_text(text);
        let effective = effective(&loaded);
        assert_eq!(load_text(&effective).config, loaded.config);
        assert!(
            effective.contains("\nsources_max = 7 # sample:2:15\n"),
            "{effective}"
        );
    }

    #[test]
    fn the_effective_configuration_shows_no_secret() {
        let loaded = load_text("[auth]\nsource_password = 'tell nobody'\n");
        let effective = effective(&loaded);
        assert!(!effective.contains("tell nobody"));
        assert!(effective.contains("\n#source_password = \"********\" # sample:2:19\n"));
        assert!(
            effective.contains("\nadmin_password = \"\"\n"),
            "{effective}"
        );
    }
}
