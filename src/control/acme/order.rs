//! One order of one certificate (RFC 8555 section 7.4), from the account to the chain.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use corecast_config::{Acme, AcmeChallenge};
use corecast_tls::Identity;
use corecast_tls::acme::{CertificateRequest, Proof};
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, CertificateIdentifier, ChallengeStatus,
    ChallengeType, Error, ExternalAccountKey, Identifier, NewAccount, NewOrder, Order as AcmeOrder,
    OrderStatus, Problem, RetryPolicy,
};

use super::client::AuthorityClient;
use super::store::{Store, read_pair};
use crate::node::{Node, Order};

/// How long an authority may take to look at our proofs, and to sign.
const POLL: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(500))
    .backoff(1.5)
    .timeout(Duration::from_secs(120));

/// How long a whole order may take.
const ORDER_MAX: Duration = Duration::from_secs(600);

/// The most letters of what an authority says that are kept.
const TEXT_CHARS_MAX: usize = 500;

/// How a name is proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// By HTTP in plain.
    Http,
    /// By TLS.
    Tls,
}

impl Way {
    const fn kind(self) -> ChallengeType {
        match self {
            Way::Http => ChallengeType::Http01,
            Way::Tls => ChallengeType::TlsAlpn01,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Way::Http => "http-01",
            Way::Tls => "tls-alpn-01",
        }
    }

    /// The way that is tried after `turns` from one to the other, where there are acceptors of
    /// `http` and of `https` or not.
    pub(super) fn choose(challenge: AcmeChallenge, acceptors: (bool, bool), turns: u32) -> Self {
        match (challenge, acceptors) {
            (AcmeChallenge::Http01, _) | (AcmeChallenge::Any, (_, false)) => Way::Http,
            (AcmeChallenge::TlsAlpn01, _) | (AcmeChallenge::Any, (false, true)) => Way::Tls,
            (AcmeChallenge::Any, _) if turns.is_multiple_of(2) => Way::Http,
            (AcmeChallenge::Any, _) => Way::Tls,
        }
    }
}

/// Why there is no certificate.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// The label in metrics.
    pub(super) result: &'static str,
    /// One line.
    pub(super) text: String,
    /// How long the authority wants to be left alone.
    pub(super) asked: Option<Duration>,
}

impl Failure {
    pub(super) fn new(result: &'static str, text: impl Into<String>) -> Self {
        let text: String = text.into();
        let is_shown = |letter: &char| !letter.is_control();
        Failure {
            result,
            text: text.chars().filter(is_shown).take(TEXT_CHARS_MAX).collect(),
            asked: None,
        }
    }

    /// Whether another way to prove the names may do better: not where the authority was not
    /// there, or wants to be left alone.
    pub(super) fn is_of_proof(&self) -> bool {
        matches!(self.result, "unproven" | "refused")
    }

    fn of(error: &Error) -> Self {
        match error {
            Error::Api(problem) => {
                let result = match kind_of(problem) {
                    "rateLimited" => "limited",
                    "unauthorized" | "connection" | "dns" | "tls" | "caa" | "incorrectResponse" => {
                        "unproven"
                    }
                    _ => "refused",
                };
                Failure::new(result, told(problem))
            }
            Error::Timeout(_) => Failure::new("failed", "the authority took too long"),
            Error::Json(_) => Failure::new("failed", "the authority's answer is not what ACME has"),
            error => Failure::new("failed", error.to_string()),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::of(&error)
    }
}

/// The type of a problem without what all have in front (RFC 8555 section 6.7).
fn kind_of(problem: &Problem) -> &str {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    kind.strip_prefix("urn:ietf:params:acme:error:")
        .unwrap_or(kind)
}

/// A problem in one line.
fn told(problem: &Problem) -> String {
    let mut text = kind_of(problem).to_owned();
    if let Some(detail) = &problem.detail {
        text = format!("{text}: {detail}");
    }
    for below in &problem.subproblems {
        text = format!("{text}; {below}");
    }
    text
}

/// What orders of one authority need.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) node: Arc<Node>,
    pub(super) store: Store,
    pub(super) settings: Acme,
}

/// What one order is for.
pub(super) struct Wanted<'a> {
    pub(super) called: &'a str,
    pub(super) names: &'a [String],
    pub(super) way: Way,
    /// The certificate that it takes the place of, where the authority shall know.
    pub(super) replaces: Option<CertificateIdentifier<'static>>,
}

/// What authorities that ask find, as long as this lives.
struct Shown<'a> {
    node: &'a Node,
    tokens: Vec<String>,
    proofs: bool,
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        let mut challenges = self.node.challenges();
        for token in &self.tokens {
            challenges.remove(token);
        }
        drop(challenges);
        if self.proofs {
            self.node.order(Order::Proofs(Vec::new()));
        }
    }
}

impl Desk {
    /// Orders a certificate and waits for it.
    ///
    /// # Errors
    /// Why there is none; nothing is shown to the authority any more.
    pub(super) async fn obtain(&self, wanted: &Wanted<'_>) -> Result<Identity, Failure> {
        // What comes must be kept: no authority is troubled for what no disk takes.
        let store = self.store.clone();
        let room = unblocked(move || store.try_room()).await?;
        room.map_err(|fault| Failure::new("failed", fault))?;
        let client = self.client().await?;
        let ordered = tokio::time::timeout(ORDER_MAX, async {
            let account = self.account(&client).await?;
            self.order(&account, wanted).await
        });
        match ordered.await {
            Ok(Ok(identity)) => Ok(identity),
            Ok(Err(failure)) => Err(Failure {
                asked: client.asked_wait(),
                ..failure
            }),
            Err(_) => Err(Failure::new("failed", "the order took too long")),
        }
    }

    /// The account that is kept, if there is one, for what needs no order.
    ///
    /// # Errors
    /// The authority does not answer, or the disk.
    pub(super) async fn account_alone(&self) -> Result<Option<Account>, Failure> {
        let store = self.store.clone();
        let kept = unblocked(move || store.account()).await?;
        let Some(kept) = kept.map_err(|fault| Failure::new("failed", fault))? else {
            return Ok(None);
        };
        let client = self.client().await?;
        let builder = Account::builder_with_http(Box::new(client));
        Ok(Some(builder.from_credentials(kept).await?))
    }

    async fn client(&self) -> Result<AuthorityClient, Failure> {
        let roots_file = self.settings.roots_file.clone();
        let client = unblocked(move || AuthorityClient::new(&roots_file)).await?;
        client.map_err(|fault| Failure::new("failed", fault))
    }

    /// The account that is kept, else a new one, which is kept first.
    async fn account(&self, client: &AuthorityClient) -> Result<Account, Failure> {
        let store = self.store.clone();
        let kept = unblocked(move || store.account()).await?;
        let builder = Account::builder_with_http(Box::new(client.clone()));
        match kept.map_err(|fault| Failure::new("failed", fault))? {
            Some(kept) => Ok(builder.from_credentials(kept).await?),
            None => {
                let (account, credentials) = self.new_account(client).await?;
                self.keep_account(credentials).await?;
                Ok(account)
            }
        }
    }

    async fn new_account(
        &self,
        client: &AuthorityClient,
    ) -> Result<(Account, AccountCredentials), Failure> {
        let Acme {
            directory_url,
            email,
            agree_to_terms,
            eab_key_id,
            eab_hmac_key,
            ..
        } = &self.settings;
        let contact = format!("mailto:{email}");
        let contact: &[&str] = if email.is_empty() { &[] } else { &[&contact] };
        let bound = match eab_key_id.is_empty() {
            true => None,
            false => {
                let key = hmac_key(eab_hmac_key)
                    .ok_or_else(|| Failure::new("failed", "acme.eab_hmac_key is no base64url"))?;
                Some(ExternalAccountKey::new(eab_key_id.clone(), &key))
            }
        };
        let account = NewAccount {
            contact,
            terms_of_service_agreed: *agree_to_terms,
            only_return_existing: false,
        };
        let builder = Account::builder_with_http(Box::new(client.clone()));
        let made = builder.create(&account, directory_url.clone(), bound.as_ref());
        let made = made.await?;
        tracing::info!(
            authority = directory_url,
            "an account for certificates was made"
        );
        Ok(made)
    }

    async fn keep_account(&self, credentials: AccountCredentials) -> Result<(), Failure> {
        let store = self.store.clone();
        let kept = unblocked(move || store.keep_account(&credentials)).await?;
        kept.map_err(|fault| Failure::new("failed", fault))
    }

    async fn order(&self, account: &Account, wanted: &Wanted<'_>) -> Result<Identity, Failure> {
        let mut order = match self.new_order(account, wanted).await {
            Err(Error::Api(problem)) if kind_of(&problem) == "accountDoesNotExist" => {
                // An authority for tests forgets; the next order makes another account.
                let store = self.store.clone();
                let forgotten = unblocked(move || store.forget_account()).await?;
                let forgotten = forgotten.map_err(|error| error.to_string());
                tracing::warn!(
                    ?forgotten,
                    "the authority does not know our account any more"
                );
                return Err(Failure::of(&Error::Api(problem)));
            }
            order => order?,
        };
        if order.state().status == OrderStatus::Pending {
            let shown = self.show_proofs(&mut order, wanted.way).await?;
            let status = order.poll_ready(&POLL).await;
            drop(shown);
            if !matches!(status, Ok(OrderStatus::Ready)) {
                let why = why_invalid(&mut order, wanted.way).await;
                return Err(match (why, status) {
                    (Some(failure), _) => failure,
                    (None, Err(error)) => error.into(),
                    (None, Ok(_)) => Failure::new("refused", "the order is not valid any more"),
                });
            }
        }
        let names = wanted.names.to_vec();
        let request = CertificateRequest::new(&names)
            .map_err(|fault| Failure::new("failed", fault.to_string()))?;
        order.finalize_csr(&request.der).await?;
        let chain = order.poll_certificate(&POLL).await?;
        checked(wanted, &chain, &request.key)
    }

    async fn new_order(&self, account: &Account, wanted: &Wanted<'_>) -> Result<AcmeOrder, Error> {
        let names = wanted.names.iter().cloned();
        let identifiers: Vec<Identifier> = names.map(Identifier::Dns).collect();
        if let Some(replaces) = &wanted.replaces {
            let order = NewOrder::new(&identifiers).replaces(replaces.clone());
            match account.new_order(&order).await {
                Err(Error::Api(problem)) if kind_of(&problem) != "alreadyReplaced" => {
                    return Err(Error::Api(problem));
                }
                // It does not know what is to be replaced, or nothing of replacing at all.
                Err(error) => tracing::debug!(%error, "an order that replaces nothing"),
                order => return order,
            }
        }
        account.new_order(&NewOrder::new(&identifiers)).await
    }

    /// Shows the authority what it asks for, and tells it to look.
    async fn show_proofs(&self, order: &mut AcmeOrder, way: Way) -> Result<Shown<'_>, Failure> {
        let mut shown = Shown {
            node: &self.node,
            tokens: Vec::new(),
            proofs: false,
        };
        let mut proofs = Vec::new();
        let mut all = order.authorizations();
        while let Some(authorization) = all.next().await {
            let mut authorization = authorization?;
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            let name = authorization.identifier().to_string();
            let Some(challenge) = authorization.challenge(way.kind()) else {
                let text = format!("the authority does not take {} for {name}", way.name());
                return Err(Failure::new("refused", text));
            };
            let answer = challenge.key_authorization();
            match way {
                Way::Http => {
                    let answer = answer.as_str().to_owned();
                    let token = challenge.token.clone();
                    shown.tokens.push(token.clone());
                    self.node.challenges().insert(token, answer);
                }
                Way::Tls => {
                    let proof = Proof::new(&name, answer.digest().as_ref());
                    let fault =
                        |fault: corecast_tls::Fault| Failure::new("failed", fault.to_string());
                    proofs.push(proof.map_err(fault)?);
                }
            }
        }
        if !proofs.is_empty() {
            shown.proofs = true;
            self.node.order(Order::Proofs(proofs));
            // Shards that answer what is asked after this have the proofs already.
            if self.node.overview_of_now().await.is_err() {
                return Err(Failure::new("failed", "the server is stopping"));
            }
        }
        let mut all = order.authorizations();
        while let Some(authorization) = all.next().await {
            let mut authorization = authorization?;
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            if let Some(mut challenge) = authorization.challenge(way.kind()) {
                challenge.set_ready().await?;
            }
        }
        Ok(shown)
    }
}

/// What the authority says of the first challenge that failed.
async fn why_invalid(order: &mut AcmeOrder, way: Way) -> Option<Failure> {
    let mut all = order.authorizations();
    while let Some(authorization) = all.next().await {
        let mut authorization = authorization.ok()?;
        authorization.refresh().await.ok()?;
        let name = authorization.identifier().to_string();
        let failed = authorization.challenges.iter().find(|challenge| {
            challenge.status == ChallengeStatus::Invalid || challenge.error.is_some()
        });
        if let Some(problem) = failed.and_then(|challenge| challenge.error.as_ref()) {
            let text = format!("{name} was not proved by {}: {}", way.name(), told(problem));
            return Some(Failure::new("unproven", text));
        }
    }
    None
}

/// The certificate, where it is what was wanted.
fn checked(wanted: &Wanted<'_>, chain: &str, key: &str) -> Result<Identity, Failure> {
    let read = read_pair(wanted.called, chain.as_bytes(), Some(key.as_bytes()));
    let fault = |why: &str| Failure::new("refused", format!("the certificate that came: {why}"));
    let identity = read.map_err(|why| fault(&why))?;
    if let Some(name) = wanted.names.iter().find(|name| !identity.is_for(name)) {
        return Err(fault(&format!("is not for {name}")));
    }
    match identity.fault_at(SystemTime::now()) {
        // A clock that is a little behind is no reason to ask again.
        Some(why) if identity.remaining(SystemTime::now()).is_zero() => Err(fault(why)),
        _ => Ok(identity),
    }
}

/// A key of base64url, with padding or without.
fn hmac_key(text: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    let text = text.trim_end_matches('=');
    base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(text).ok()
}

/// Does what may wait for a disk.
pub(super) async fn unblocked<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::new("failed", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(kind: &str, detail: &str) -> Error {
        let text = format!(r#"{{"type":"urn:ietf:params:acme:error:{kind}","detail":"{detail}"}}"#);
        Error::Api(serde_json::from_str(&text).expect("a problem"))
    }

    #[test]
    fn what_an_authority_says_is_told_in_one_line() {
        for (kind, result) in [
            ("rateLimited", "limited"),
            ("unauthorized", "unproven"),
            ("connection", "unproven"),
            ("malformed", "refused"),
        ] {
            let failure = Failure::of(&problem(kind, "so it is"));
            assert_eq!(
                (failure.result, failure.text),
                (result, format!("{kind}: so it is"))
            );
        }
        let long = Failure::of(&problem(
            "malformed",
            &format!("a\\u001b[31m\\n{}", "b".repeat(999)),
        ));
        assert!(
            long.text.starts_with("malformed: a[31mbbb"),
            "{}",
            long.text
        );
        assert_eq!(long.text.chars().count(), TEXT_CHARS_MAX);
        let late = Failure::of(&Error::Timeout(None));
        assert_eq!(late.result, "failed");
    }

    #[test]
    fn a_way_that_fails_gives_way_to_the_other() {
        let way = |challenge, acceptors, turns| Way::choose(challenge, acceptors, turns);
        let any = |acceptors, turns| way(AcmeChallenge::Any, acceptors, turns);
        assert_eq!(any((true, true), 0), Way::Http);
        assert_eq!(any((true, true), 1), Way::Tls);
        assert_eq!(any((true, true), 2), Way::Http);
        assert_eq!(any((false, true), 0), Way::Tls);
        assert_eq!(any((true, false), 1), Way::Http);
        assert_eq!(way(AcmeChallenge::TlsAlpn01, (true, true), 0), Way::Tls);
        assert_eq!(way(AcmeChallenge::Http01, (true, true), 1), Way::Http);
    }

    #[test]
    fn a_certificate_for_others_is_not_taken() {
        let now = SystemTime::now();
        let made =
            |name: &str| corecast_tls::development::make(&[name.to_owned()], now).expect("a name");
        let (ours, other) = (made("a.example"), made("b.example"));
        let names = ["a.example".to_owned()];
        let wanted = Wanted {
            called: "default",
            names: &names,
            way: Way::Http,
            replaces: None,
        };
        assert!(checked(&wanted, &ours.certificate, &ours.key).is_ok());
        for (chain, key, why) in [
            (&other.certificate, &other.key, "not for a.example"),
            (&ours.certificate, &other.key, "does not belong"),
            (&String::new(), &ours.key, "no certificate"),
        ] {
            let failure = checked(&wanted, chain, key).expect_err(why);
            assert!(failure.text.contains(why), "{}", failure.text);
        }
    }

    #[test]
    fn keys_for_binding_come_in_base64url() {
        assert_eq!(hmac_key("-_8"), Some(vec![0xfb, 0xff]));
        assert_eq!(hmac_key("-_8="), Some(vec![0xfb, 0xff]));
        assert_eq!(hmac_key("no key!"), None);
    }
}
