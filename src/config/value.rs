//! What a setting's value may be: from TOML or plain text, checked against its kind.

use std::net::SocketAddr;

use toml_edit::Item;

use crate::network::Network;
use crate::property::{Kind, PATH_BYTES_MAX, PUSHES_BYTES_MAX, SECRET_BYTES_MAX, Value};
use crate::section::SHARDS_MAX;

/// Passwords that everybody tries first, in lower case.
const WELL_KNOWN_SECRETS: &[&str] = &[
    "1234",
    "12345",
    "123456",
    "1234567",
    "12345678",
    "123456789",
    "admin",
    "changeit",
    "changeme",
    "corecast",
    "default",
    "guest",
    "hackme",
    "hackme!",
    "icecast",
    "icecast2",
    "letmein",
    "listener",
    "live",
    "pass",
    "passw0rd",
    "password",
    "password1",
    "qwerty",
    "radio",
    "relay",
    "root",
    "secret",
    "shoutcast",
    "source",
    "stream",
    "test",
    "user",
];

/// The longest mount name in bytes.
const MOUNT_NAME_BYTES_MAX: usize = 255;

/// The longest URL in bytes.
const URL_BYTES_MAX: usize = 2_048;

/// The most URLs in a list.
const URLS_MAX: usize = 16;

/// The most addresses and networks in a list.
const NETWORKS_MAX: usize = 4_096;

/// The most texts in a list.
const WORDS_MAX: usize = 256;

/// The longest text in a list in bytes.
const WORD_BYTES_MAX: usize = 256;

/// The greatest number of a CPU.
const CPU_MAX: i64 = 4_095;

/// The value of a TOML item, where a setting could have such a value at all.
pub(crate) fn from_item(item: &Item) -> Option<Value> {
    match item.as_value()? {
        toml_edit::Value::Boolean(bool) => Some(Value::Bool(*bool.value())),
        toml_edit::Value::Integer(int) => Some(Value::Int(*int.value())),
        toml_edit::Value::String(text) => Some(Value::Text(text.value().clone())),
        toml_edit::Value::Array(array) => {
            let ints: Option<Vec<i64>> = array.iter().map(toml_edit::Value::as_integer).collect();
            let text = |item: &toml_edit::Value| item.as_str().map(str::to_owned);
            let texts: Option<Vec<String>> = array.iter().map(text).collect();
            ints.map(Value::Ints).or(texts.map(Value::Texts))
        }
        _ => None,
    }
}

/// The value of a text from the environment or the command line. What does not look like the
/// kind stays a text, and [`check`] says what is wrong.
pub(crate) fn from_text(kind: Kind, text: &str) -> Value {
    let other = || Value::Text(text.to_owned());
    match kind {
        Kind::Bool => text.parse().map_or_else(|_| other(), Value::Bool),
        Kind::Int(_) => text.parse().map_or_else(|_| other(), Value::Int),
        Kind::Shards if text.contains(',') => {
            let ints: Result<Vec<i64>, _> = text
                .split(',')
                .map(|number| number.trim().parse())
                .collect();
            ints.map_or_else(|_| other(), Value::Ints)
        }
        Kind::Shards => text.parse().map_or_else(|_| other(), Value::Int),
        Kind::Urls | Kind::Networks | Kind::Words => {
            let urls = text.split(',').map(str::trim);
            Value::Texts(
                urls.filter(|url| !url.is_empty())
                    .map(str::to_owned)
                    .collect(),
            )
        }
        _ => other(),
    }
}

/// Checks a value's type and bounds.
///
/// # Errors
/// What is wrong with it; never the value of a secret.
pub(crate) fn check(kind: Kind, value: &Value) -> Result<(), String> {
    let good = match (kind, value) {
        (Kind::Bool, Value::Bool(_)) => true,
        (Kind::Int(bounds), Value::Int(int)) => bounds.allow(*int),
        (Kind::Text { bytes_max }, Value::Text(text)) => is_plain(text, bytes_max),
        (Kind::Path, Value::Text(text)) => is_plain(text, PATH_BYTES_MAX),
        (Kind::Url, Value::Text(url)) if url.is_empty() => true,
        (Kind::Url, Value::Text(url)) => return check_url(kind, url),
        (Kind::Urls, Value::Texts(urls)) if urls.len() <= URLS_MAX => {
            return urls.iter().try_for_each(|url| check_url(kind, url));
        }
        (Kind::Urls, Value::Ints(ints)) => ints.is_empty(),
        (Kind::Link, Value::Text(url)) => url.is_empty() || is_link(url),
        (Kind::Networks, Value::Texts(texts)) if texts.len() <= NETWORKS_MAX => {
            let bad = texts.iter().find(|text| text.parse::<Network>().is_err());
            return bad.map_or(Ok(()), |bad| {
                Err(complaint(kind, &Value::Text(bad.clone())))
            });
        }
        (Kind::Words, Value::Texts(texts)) if texts.len() <= WORDS_MAX => texts
            .iter()
            .all(|text| !text.is_empty() && is_plain(text, WORD_BYTES_MAX)),
        (Kind::Networks | Kind::Words, Value::Ints(ints)) => ints.is_empty(),
        (Kind::Choice(words), Value::Text(text)) => words.contains(&text.as_str()),
        (Kind::Address, Value::Text(text)) => text.parse::<SocketAddr>().is_ok(),
        (Kind::Shards, value) => is_shards(value),
        (Kind::MountName, Value::Text(name)) => {
            return if name.is_empty() {
                Ok(())
            } else {
                check_mount_name(name)
            };
        }
        (Kind::Secret, Value::Text(text)) => return check_secret(text),
        (Kind::Pushes, Value::Text(text)) => {
            is_plain(text, PUSHES_BYTES_MAX) && text.split_whitespace().all(is_push)
        }
        _ => false,
    };
    if good {
        Ok(())
    } else {
        Err(complaint(kind, value))
    }
}

fn complaint(kind: Kind, value: &Value) -> String {
    match kind {
        Kind::Secret | Kind::Pushes => format!("must be {}", expected(kind)),
        _ => format!("must be {}, not {}", expected(kind), shortened(value)),
    }
}

/// The same where the value is of no type that a setting has.
pub(crate) fn wrong_type(kind: Kind, type_name: &str) -> String {
    format!("must be {}, not {type_name}", expected(kind))
}

/// What a setting takes, in words.
pub(crate) fn expected(kind: Kind) -> String {
    match kind {
        Kind::Bool => "true or false".to_owned(),
        Kind::Int(bounds) => {
            let zero = if bounds.or_zero { "0 or " } else { "" };
            let unit = if bounds.unit.is_empty() { "" } else { " " };
            format!(
                "{zero}{} to {}{unit}{}",
                bounds.min, bounds.max, bounds.unit
            )
        }
        Kind::Text { bytes_max } => {
            format!("one line of at most {bytes_max} bytes")
        }
        Kind::Secret => {
            format!("one line of at most {SECRET_BYTES_MAX} bytes")
        }
        Kind::Pushes => "rtmp:// URLs with spaces between them, or empty".to_owned(),
        Kind::Path => "a path".to_owned(),
        Kind::MountName => "the name of a mount, or empty".to_owned(),
        Kind::Url => "an http:// URL, or empty".to_owned(),
        Kind::Urls => format!("a list of at most {URLS_MAX} http:// URLs"),
        Kind::Link => "an http:// or https:// URL, or empty".to_owned(),
        Kind::Networks => format!(
            "a list of at most {NETWORKS_MAX} addresses and networks, such as \"192.0.2.0/24\""
        ),
        Kind::Words => {
            format!("a list of at most {WORDS_MAX} texts of 1 to {WORD_BYTES_MAX} bytes")
        }
        Kind::Choice(words) => {
            let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
            format!("one of {}", words.join(", "))
        }
        Kind::Address => "an IP address and a port, such as \"[::]:8000\"".to_owned(),
        Kind::Shards => {
            format!("\"auto\", a count of 1 to {SHARDS_MAX}, or a list of different CPUs")
        }
    }
}

/// A value as TOML writes it.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Bool(bool) => bool.to_string(),
        Value::Int(int) => int.to_string(),
        Value::Text(text) => toml_edit::Value::from(text.as_str()).to_string(),
        Value::Ints(ints) => {
            let ints: Vec<String> = ints.iter().map(i64::to_string).collect();
            format!("[{}]", ints.join(", "))
        }
        Value::Texts(texts) => {
            let texts: toml_edit::Array = texts.iter().map(String::as_str).collect();
            texts.to_string()
        }
    }
}

/// A value as TOML writes it, or what stands for a secret.
pub(crate) fn masked(kind: Kind, value: &Value) -> String {
    match (kind, value) {
        (Kind::Secret | Kind::Pushes, Value::Text(text)) if text.is_empty() => "\"\"".to_owned(),
        (Kind::Secret | Kind::Pushes, _) => "\"********\"".to_owned(),
        _ => shown(value),
    }
}

fn shortened(value: &Value) -> String {
    const CHARS_MAX: usize = 60;
    let shown = shown(value)
        .escape_debug()
        .to_string()
        .replace("\\\"", "\"");
    match shown.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}...", &shown[..end]),
        None => shown,
    }
}

fn is_plain(text: &str, bytes_max: usize) -> bool {
    text.len() <= bytes_max && !text.chars().any(char::is_control)
}

/// Checks a URL that requests are sent to: a scheme that is spoken here, a host, plain ASCII.
fn check_url(kind: Kind, url: &str) -> Result<(), String> {
    if url.starts_with("https://") {
        return Err("must be http://, since there is no TLS to other servers yet".to_owned());
    }
    let rest = url.strip_prefix("http://").unwrap_or_default();
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    let plain = url.bytes().all(|byte| byte.is_ascii_graphic()) && !url.contains(['#', '"', '<']);
    if url.len() <= URL_BYTES_MAX && plain && !host.is_empty() && !host.ends_with('@') {
        Ok(())
    } else {
        Err(complaint(kind, &Value::Text(url.to_owned())))
    }
}

/// Whether a text is a URL that can stand in a header line.
fn is_link(url: &str) -> bool {
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    let plain = url.bytes().all(|byte| byte.is_ascii_graphic());
    url.len() <= URL_BYTES_MAX
        && plain
        && rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', '?', '#']))
}

fn is_shards(value: &Value) -> bool {
    match value {
        Value::Text(word) => word == "auto",
        Value::Int(count) => (1..=i64::from(SHARDS_MAX)).contains(count),
        Value::Ints(cpus) => {
            let mut different = cpus.clone();
            different.sort_unstable();
            different.dedup();
            (1..=usize::from(SHARDS_MAX)).contains(&cpus.len())
                && different.len() == cpus.len()
                && cpus.iter().all(|cpu| (0..=CPU_MAX).contains(cpu))
        }
        Value::Bool(_) | Value::Texts(_) => false,
    }
}

fn check_secret(secret: &str) -> Result<(), String> {
    if WELL_KNOWN_SECRETS.contains(&secret.to_lowercase().as_str()) {
        return Err(
            "is a password that everybody tries first; leave it empty and one is made".to_owned(),
        );
    }
    if is_plain(secret, SECRET_BYTES_MAX) {
        Ok(())
    } else {
        Err(format!("must be {}", expected(Kind::Secret)))
    }
}

/// Whether the text is the URL of a stream to be pushed: `rtmp://host/app/stream`.
fn is_push(url: &str) -> bool {
    let path = url
        .strip_prefix("rtmp://")
        .and_then(|rest| rest.split_once('/'));
    path.is_some_and(|(host, path)| {
        let names = path.split('/').filter(|name| !name.is_empty());
        !host.is_empty() && !host.contains('@') && names.count() >= 2
    })
}

/// Checks the name of a mount: an absolute path without empty, `.` or `..` segments.
///
/// # Errors
/// The rule that it breaks.
pub(crate) fn check_mount_name(name: &str) -> Result<(), String> {
    let Some(rest) = name.strip_prefix('/') else {
        return Err("a mount's name starts with \"/\"".to_owned());
    };
    if name.len() > MOUNT_NAME_BYTES_MAX {
        return Err(format!(
            "a mount's name has at most {MOUNT_NAME_BYTES_MAX} bytes"
        ));
    }
    if rest
        .split('/')
        .any(|segment| matches!(segment, "" | "." | ".."))
    {
        return Err("a mount's name has no empty, \".\" or \"..\" segment".to_owned());
    }
    let banned =
        |c: char| c.is_control() || matches!(c, '?' | '#' | '"' | '<' | '>' | '\\' | '\u{fffd}');
    if name.contains(banned) {
        return Err("a mount's name has no control characters and none of ?#\"<>\\".to_owned());
    }
    Ok(())
}
