//! Addresses and user agents that are not let in, by the settings.

use std::net::IpAddr;

use corecast_config::{Config, Network, fits, may_come};
use corecast_protocol::http::Request;
use corecast_protocol::text;

use super::Refused;
use crate::probe::Refusal;

/// Whether nothing at all is answered to `ip` and the agent that it sent `request` with.
pub(crate) fn bar(config: &Config, ip: IpAddr, request: &Request) -> Option<Refused> {
    let limits = &config.limits;
    let lists = (&*limits.allow_ips, &*limits.deny_ips, &*limits.deny_agents);
    bar_by(lists, ip, || agent_of(request))
}

/// The same for who comes by another protocol than HTTP, once it has said what it is; its address
/// was looked at before.
pub(crate) fn bar_agent(config: &Config, agent: &str) -> Option<Refused> {
    let lists = (&[][..], &[][..], &*config.limits.deny_agents);
    bar_by(lists, IpAddr::from([0, 0, 0, 0]), || agent.to_owned())
}

/// The same for a listener of `mount`, whatever it speaks.
pub(crate) fn bar_listener(
    config: &Config,
    mount: &str,
    ip: IpAddr,
    agent: &str,
) -> Option<Refused> {
    let mount = config.mount(mount);
    let lists = (&*mount.allow_ips, &*mount.deny_ips, &*mount.deny_agents);
    bar_by(lists, ip, || agent.to_owned())
}

/// The program that sent `request`, as it says.
pub(crate) fn agent_of(request: &Request) -> String {
    text::decode(request.headers().find("user-agent").unwrap_or_default()).into_owned()
}

fn bar_by(
    (allowed, denied, agents): (&[Network], &[Network], &[String]),
    ip: IpAddr,
    agent: impl FnOnce() -> String,
) -> Option<Refused> {
    if !may_come(allowed, denied, ip) {
        let text = "your address may not come in";
        return Some(Refused::new(403, text, Refusal::Barred));
    }
    if agents.is_empty() {
        return None;
    }
    let agent = agent().to_lowercase();
    let denied = agents
        .iter()
        .any(|pattern| fits(&pattern.to_lowercase(), &agent));
    let text = "your program may not come in";
    denied.then(|| Refused::new(403, text, Refusal::Barred))
}
