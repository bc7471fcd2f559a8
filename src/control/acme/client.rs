//! Requests to an authority: HTTPS with bounds on everything, since it may hang and say nonsense.

use std::error::Error as StdError;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use corecast_tls::acme::Roots;
use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};

use super::schedule::ASKED_WAIT_MAX;
use crate::certificates::bytes;
use crate::client::{AGENT, reason};

/// How long one request may take.
const REQUEST_MAX: Duration = Duration::from_secs(30);

/// The most bytes of an answer.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// The most bytes in the head of an answer.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// What a problem of an authority comes as (RFC 9457).
const PROBLEM: &str = "application/problem+json";

/// Asks one authority. Cheap to clone. Lives on: the control plane.
#[derive(Clone)]
pub(super) struct AuthorityClient {
    client: legacy::Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>,
    /// How long it wants to be left alone, as the last of its answers that was an error says.
    asked: Arc<Mutex<Option<Duration>>>,
}

impl AuthorityClient {
    /// A client that trusts the roots in `roots_file`, or those of the system where that is empty.
    /// May wait for a disk.
    ///
    /// # Errors
    /// There are no roots.
    pub(super) fn new(roots_file: &Path) -> Result<Self, String> {
        let roots = match roots_file.as_os_str().is_empty() {
            true => system_roots(),
            false => bytes(roots_file)
                .map_err(|error| error.to_string())
                .and_then(|pem| Roots::from_pem(&pem).map_err(|fault| fault.to_string()))
                .map_err(|fault| format!("{}: {fault}", roots_file.display())),
        };
        let config = roots?.client_config().map_err(|fault| fault.to_string())?;
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_only()
            .enable_http1()
            .build();
        let client = legacy::Client::builder(TokioExecutor::new())
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .build(connector);
        Ok(AuthorityClient {
            client,
            asked: Arc::default(),
        })
    }

    /// How long the authority wants to be left alone, if it said so with its last error.
    pub(super) fn asked_wait(&self) -> Option<Duration> {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(
        self,
        mut request: Request<BodyWrapper<Bytes>>,
    ) -> Result<BytesResponse, Error> {
        request
            .headers_mut()
            .insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let whole = async {
            let answer = self.client.request(request).await;
            let (mut head, body) = answer.map_err(|error| other(reason(&error)))?.into_parts();
            let asked = bound_wait(&mut head.headers, SystemTime::now());
            let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
            let body = body.map_err(|error| other(error.to_string()))?.to_bytes();
            Ok::<_, Error>((head, asked, body))
        };
        let answered = tokio::time::timeout(REQUEST_MAX, whole).await;
        let (head, asked, body) = answered.map_err(|_| other("no answer in time"))??;
        if is_error(head.status) {
            *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = asked;
            let kind = head.headers.get(CONTENT_TYPE);
            if !kind.is_some_and(|kind| kind.as_bytes().starts_with(PROBLEM.as_bytes())) {
                return Err(other(format!("the authority says {}", head.status)));
            }
        }
        Ok(BytesResponse {
            parts: head,
            body: Box::new(body),
        })
    }
}

impl HttpClient for AuthorityClient {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        Box::pin(self.clone().answer(request))
    }
}

fn is_error(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

fn other(why: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
    Error::Other(why.into())
}

fn system_roots() -> Result<Roots, String> {
    let found = rustls_native_certs::load_native_certs();
    Roots::from_der(found.certs).map_err(|fault| {
        let why: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        format!(
            "roots of the system (ca-certificates): {fault} {}",
            why.join(", ")
        )
    })
}

/// How long an answer asks to wait (RFC 9110 section 10.2.3). It says so in seconds afterwards, and
/// never more than we bear: sums of what is left cannot overflow.
fn bound_wait(headers: &mut HeaderMap, now: SystemTime) -> Option<Duration> {
    let said = headers.remove(RETRY_AFTER)?;
    let said = said.to_str().ok()?.trim();
    let wait = match said.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) if !said.is_empty() && said.bytes().all(|byte| byte.is_ascii_digit()) => {
            Duration::MAX
        }
        Err(_) => {
            let until = httpdate::parse_http_date(said).ok()?;
            until.duration_since(now).unwrap_or_default()
        }
    };
    let wait = wait.min(ASKED_WAIT_MAX);
    headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs()));
    Some(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_an_authority_asks_for_is_bounded() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_200_107);
        let day = httpdate::fmt_http_date(now + Duration::from_secs(86_400));
        let past = httpdate::fmt_http_date(now - Duration::from_secs(86_400));
        for (said, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("18446744073709551615", Some(604_800)),
            ("99999999999999999999999", Some(604_800)),
            (day.as_str(), Some(86_400)),
            (&past, Some(0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(604_800)),
            ("soon", None),
            ("", None),
            ("-1", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_str(said).expect("good text"));
            let wait = bound_wait(&mut headers, now);
            assert_eq!(wait.map(|wait| wait.as_secs()), seconds, "{said}");
            let kept = headers
                .get(RETRY_AFTER)
                .map(|kept| kept.as_bytes().to_vec());
            assert_eq!(
                kept,
                seconds.map(|it| it.to_string().into_bytes()),
                "{said}"
            );
        }
        assert_eq!(bound_wait(&mut HeaderMap::new(), now), None);
    }

    #[test]
    fn a_client_without_roots_is_none() {
        let fault = AuthorityClient::new(Path::new("/nowhere/roots.pem")).err();
        let fault = fault.expect("there is no such file");
        assert!(fault.contains("/nowhere/roots.pem"), "{fault}");
    }
}
