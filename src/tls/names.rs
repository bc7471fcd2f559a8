//! Which certificate answers to a name (SNI).

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::acme::{PROOF_PROTOCOL, Proof};
use crate::identity::Identity;

/// Certificates by the names that they are for.
pub(crate) struct Names {
    certified: Vec<Arc<CertifiedKey>>,
    exact: HashMap<String, Vec<usize>>,
    /// By what stands after `*.`.
    wild: HashMap<String, Vec<usize>>,
    refuse_unknown: bool,
    /// What authorities that ask for a proof get, by its name.
    proofs: HashMap<String, Arc<CertifiedKey>>,
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names")
            .field("exact", &self.exact)
            .field("wild", &self.wild)
            .finish_non_exhaustive()
    }
}

impl Names {
    pub(crate) fn new(identities: &[Identity], proofs: &[Proof], refuse_unknown: bool) -> Self {
        let proof = |one: &Proof| (one.name.clone(), Arc::clone(&one.certified));
        let mut names = Names {
            certified: Vec::with_capacity(identities.len()),
            exact: HashMap::new(),
            wild: HashMap::new(),
            refuse_unknown,
            proofs: proofs.iter().map(proof).collect(),
        };
        for (index, identity) in identities.iter().enumerate() {
            names.certified.push(Arc::clone(&identity.certified));
            for name in &identity.names {
                let (map, key) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut names.wild, parent),
                    None => (&mut names.exact, name.as_str()),
                };
                map.entry(key.to_owned()).or_default().push(index);
            }
        }
        names
    }

    /// The identities that may answer to `name`, the best first; all of them, the default first,
    /// where there is no name or none is for it.
    pub(crate) fn candidates(&self, name: Option<&str>) -> Vec<usize> {
        let Some(name) = name else {
            return (0..self.certified.len()).collect();
        };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let parent = name.split_once('.').map(|(_, parent)| parent);
        let found = self
            .exact
            .get(&name)
            .or_else(|| parent.and_then(|parent| self.wild.get(parent)));
        match found {
            Some(found) => found.clone(),
            None if self.refuse_unknown => Vec::new(),
            None => (0..self.certified.len()).collect(),
        }
    }

    /// The first candidate whose key the client can check; else the first, and the handshake says
    /// what is missing.
    fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let candidates = self.candidates(name);
        let all = || {
            candidates
                .iter()
                .filter_map(|index| self.certified.get(*index))
        };
        let spoken =
            |certified: &&Arc<CertifiedKey>| certified.key.choose_scheme(schemes).is_some();
        all().find(spoken).or_else(|| all().next()).cloned()
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if !self.proofs.is_empty() && hello.alpn().is_some_and(|mut all| asks_for_proof(&mut all)) {
            let name = hello.server_name()?.to_ascii_lowercase();
            return self.proofs.get(&name).cloned();
        }
        self.choose(hello.server_name(), hello.signature_schemes())
    }
}

/// Whether a client offers what authorities offer, and nothing else.
fn asks_for_proof(offered: &mut dyn Iterator<Item = &[u8]>) -> bool {
    offered.next() == Some(PROOF_PROTOCOL) && offered.next().is_none()
}
