//! `/api/v1/certificates`: what TLS is spoken with, and what ACME does, for the admin only.

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use corecast_tls::Identity;
use serde::Serialize;

use super::json;
use crate::acme::AcmeState;
use crate::auth::Rights;
use crate::clock;
use crate::node::Node;
use crate::problem::Problem;

/// `GET /api/v1/certificates`
pub(crate) async fn list(
    State(node): State<Arc<Node>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Rights::admin(&headers, &node.config())?;
    let credentials = node.credentials();
    let identities = credentials.as_deref().map(|it| it.identities.as_slice());
    let now = SystemTime::now();
    let certificates = identities.unwrap_or_default().iter();
    let states = node.acme().clone();
    Ok(json(&List {
        certificates: certificates.map(|one| Certificate::of(one, now)).collect(),
        acme: states
            .iter()
            .map(|(name, state)| Acme::of(name, state))
            .collect(),
    }))
}

#[derive(Serialize)]
struct List<'a> {
    /// Those in force, the default first.
    certificates: Vec<Certificate<'a>>,
    /// Those that are asked for by ACME, in force or not.
    acme: Vec<Acme<'a>>,
}

#[derive(Serialize)]
struct Certificate<'a> {
    name: &'a str,
    hosts: Vec<String>,
    not_before: String,
    not_after: String,
    /// 0 once it has expired.
    expires_in_seconds: u64,
    sha256: &'a str,
}

impl<'a> Certificate<'a> {
    fn of(identity: &'a Identity, now: SystemTime) -> Self {
        let addresses = identity.addresses.iter().map(ToString::to_string);
        Certificate {
            name: &identity.called,
            hosts: identity.names.iter().cloned().chain(addresses).collect(),
            not_before: clock::rfc3339(identity.not_before),
            not_after: clock::rfc3339(identity.not_after),
            expires_in_seconds: identity.remaining(now).as_secs(),
            sha256: &identity.fingerprint,
        }
    }
}

#[derive(Serialize)]
struct Acme<'a> {
    name: &'a str,
    directory_url: &'a str,
    /// When the last order ended.
    asked_at: Option<String>,
    /// Why it brought no certificate.
    error: Option<&'a str>,
    /// When the next order is due.
    next_at: String,
}

impl<'a> Acme<'a> {
    fn of(name: &'a str, state: &'a AcmeState) -> Self {
        Acme {
            name,
            directory_url: &state.directory_url,
            asked_at: state.asked_at.map(clock::rfc3339),
            error: (!state.error.is_empty()).then_some(&state.error),
            next_at: clock::rfc3339(state.next_at),
        }
    }
}
