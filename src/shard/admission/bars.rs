//! Addresses and user agents that are not let in, by the settings.

use std::net::IpAddr;

use corecast_config::{Config, Network, may_come};
use corecast_protocol::http1::Request;
use corecast_protocol::text;

use super::Refused;
use crate::probe::Refusal;

/// Whether nothing at all is answered to `ip` and the agent that it sent `request` with.
pub(crate) fn bar(config: &Config, ip: IpAddr, request: &Request) -> Option<Refused> {
    let limits = &config.limits;
    let lists = (&*limits.allow_ips, &*limits.deny_ips, &*limits.deny_agents);
    bar_by(lists, ip, request)
}

/// The same for a listener of one mount.
pub(crate) fn bar_listener(config: &Config, ip: IpAddr, request: &Request) -> Option<Refused> {
    let mount = config.mount(request.path());
    let lists = (&*mount.allow_ips, &*mount.deny_ips, &*mount.deny_agents);
    bar_by(lists, ip, request)
}

fn bar_by(
    (allowed, denied, agents): (&[Network], &[Network], &[String]),
    ip: IpAddr,
    request: &Request,
) -> Option<Refused> {
    if !may_come(allowed, denied, ip) {
        let text = "your address may not come in";
        return Some(Refused::new(403, text, Refusal::Barred));
    }
    if agents.is_empty() {
        return None;
    }
    let agent = request.headers().find("user-agent").unwrap_or_default();
    let agent = text::decode(agent).to_lowercase();
    let denied = agents
        .iter()
        .any(|pattern| fits(&pattern.to_lowercase(), &agent));
    let text = "your program may not come in";
    denied.then(|| Refused::new(403, text, Refusal::Barred))
}

/// Whether `text` contains `pattern`, or matches it as a whole where it has a `*`.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return text.contains(pattern);
    };
    let Some(mut text) = text.strip_prefix(head) else {
        return false;
    };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let tail = pieces.pop().unwrap_or_default();
    // The first place is the best one for each piece: it leaves most to those behind it.
    for piece in pieces {
        match text.split_once(piece) {
            Some((_, behind)) => text = behind,
            None => return false,
        }
    }
    text.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_part_or_a_glob() {
        for (pattern, text, expected) in [
            ("wget", "gnu wget/1.2", true),
            ("wget", "curl/8", false),
            ("wget*", "wget/1.2", true),
            ("wget*", "gnu wget/1.2", false),
            ("*bot*", "the bot 9", true),
            ("*bot", "the bot 9", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*a", "a", false),
            ("*", "", true),
            ("**", "x", true),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }
}
