//! Ranges of addresses as settings name them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Addresses that begin with the same bits: `192.0.2.0/24`, `2001:db8::/32`, or one alone. An IPv4
/// address inside an IPv6 one is the IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

impl Network {
    /// Whether `ip` is one of them.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.address, ip.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(ip)) => {
                let other_bits = ours.to_bits() ^ ip.to_bits();
                u64::from(other_bits) >> (32 - u32::from(self.prefix_bits.min(32))) == 0
            }
            (IpAddr::V6(ours), IpAddr::V6(ip)) => {
                let other_bits = ours.to_bits() ^ ip.to_bits();
                let free_bits = 128 - u32::from(self.prefix_bits.min(128));
                other_bits.checked_shr(free_bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// A text that names no range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotANetwork;

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NotANetwork)?;
        let address = address.to_canonical();
        let bits: u8 = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = match prefix {
            None => bits,
            // Only digits: a sign would be taken by the parser.
            Some(prefix) if prefix.bytes().all(|byte| byte.is_ascii_digit()) => {
                prefix.parse().map_err(|_| NotANetwork)?
            }
            Some(_) => return Err(NotANetwork),
        };
        if prefix_bits > bits {
            return Err(NotANetwork);
        }
        Ok(Network {
            address,
            prefix_bits,
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_bits)
    }
}

/// Whether `ip` is in one of `networks`.
pub fn contains_ip(networks: &[Network], ip: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(ip))
}

/// Whether two lists let `ip` come in: the first has it or is empty, the second has it not.
pub fn may_come(allowed: &[Network], denied: &[Network], ip: IpAddr) -> bool {
    (allowed.is_empty() || contains_ip(allowed, ip)) && !contains_ip(denied, ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_the_addresses_that_begin_as_it_does() {
        for (network, inside, outside) in [
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.7", "::ffff:192.0.2.7", "192.0.2.6"),
            ("192.0.2.77/25", "192.0.2.1", "192.0.2.128"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::1", "::1", "::2"),
            ("::/0", "2001:db8::1", "192.0.2.1"),
        ] {
            let parsed: Network = network.parse().expect(network);
            let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
            assert!(parsed.contains(ip(inside)), "{network} has {inside}");
            assert!(!parsed.contains(ip(outside)), "{network} has not {outside}");
            assert_eq!(parsed.to_string().parse(), Ok(parsed));
        }
    }

    #[test]
    fn other_texts_are_no_networks() {
        for bad in [
            "",
            "localhost",
            "192.0.2.0/33",
            "::/129",
            "192.0.2.0/",
            "1.2.3.4/+8",
            "/8",
        ] {
            assert_eq!(bad.parse::<Network>(), Err(NotANetwork), "{bad}");
        }
    }
}
