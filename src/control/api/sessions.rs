//! `/api/v1/sessions`: who feeds and who listens, for the admin only.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use corecast_config::{Config, shown_ip};
use corecast_media::name::{SessionId, ShardId};
use corecast_mesh::message::SessionReport;
use serde::Serialize;

use super::{indices, json};
use crate::auth::Rights;
use crate::clock;
use crate::form::Form;
use crate::node::Node;
use crate::problem::Problem;
use crate::query::NodeSnapshot;

/// Sessions in one answer where the request does not say.
const PAGE_DEFAULT: usize = 100;

/// The most sessions in one answer.
const PAGE_MAX: usize = 1_000;

/// `GET /api/v1/sessions?mount=&role=&after=&limit=`
pub(crate) async fn list(
    State(node): State<Arc<Node>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let config = node.config();
    Rights::admin(&headers, &config)?;
    let page = Page::parse(&Form::parse(query.unwrap_or_default().as_bytes()))?;
    let snapshot = node.snapshot().await?;
    Ok(json(&list_of(&node, &config, &page, &snapshot)))
}

/// The sessions of a page.
pub(super) fn list_of<'a>(
    node: &Node,
    config: &Config,
    page: &Page,
    snapshot: &'a NodeSnapshot,
) -> List<'a> {
    let (shown, total, more) = page.choose(&snapshot.sessions);
    let sessions: Vec<Session<'_>> = shown
        .into_iter()
        .map(|report| Session {
            id: report.session.to_string(),
            role: role(report),
            mount: report.mount.as_str(),
            address: shown_ip(report.peer.ip(), config.log.redact_ip).to_string(),
            user_agent: &report.user_agent,
            since: clock::rfc3339(node.wall(report.since)),
            seconds: node.now().since(report.since).as_secs(),
            bytes: report.bytes,
            lag_ms: u64::try_from(report.lag.as_millis()).unwrap_or(u64::MAX),
        })
        .collect();
    let next = sessions
        .last()
        .map(|session| session.id.clone())
        .filter(|_| more);
    List {
        sessions,
        total,
        next,
        missing_shards: indices(&snapshot.missing),
    }
}

/// Sessions as the API shows them.
#[derive(Serialize)]
pub(super) struct List<'a> {
    sessions: Vec<Session<'a>>,
    /// Of this mount and role, on all pages.
    total: usize,
    /// What `after` must be for the next page.
    next: Option<String>,
    missing_shards: Vec<u16>,
}

#[derive(Serialize)]
struct Session<'a> {
    id: String,
    role: &'static str,
    mount: &'a str,
    address: String,
    user_agent: &'a str,
    since: String,
    seconds: u64,
    bytes: u64,
    lag_ms: u64,
}

fn role(report: &SessionReport) -> &'static str {
    if report.publisher {
        "publisher"
    } else {
        "listener"
    }
}

/// Which sessions are wanted.
#[derive(Debug)]
pub(super) struct Page {
    mount: Option<String>,
    role: Option<String>,
    after: Option<SessionId>,
    limit: usize,
}

impl Page {
    pub(super) fn parse(form: &Form) -> Result<Self, Problem> {
        let limit = match form.text("limit") {
            None => PAGE_DEFAULT,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=PAGE_MAX).contains(limit))
                .ok_or_else(|| Problem::bad_request("`limit` is a number from 1 to 1000"))?,
        };
        let after = match form.text("after") {
            None => None,
            Some(text) => Some(
                parse_id(&text).ok_or_else(|| Problem::bad_request("`after` is a session's id"))?,
            ),
        };
        let role = form.text("role").map(|text| text.into_owned());
        if role
            .as_deref()
            .is_some_and(|role| !matches!(role, "publisher" | "listener"))
        {
            return Err(Problem::bad_request("`role` is `publisher` or `listener`"));
        }
        Ok(Page {
            mount: form.text("mount").map(|text| text.into_owned()),
            role,
            after,
            limit,
        })
    }

    /// As [`Page::parse`], of the listeners of one mount.
    pub(super) fn of_listeners(form: &Form, mount: &str) -> Result<Self, Problem> {
        Ok(Page {
            mount: Some(mount.to_owned()),
            role: Some("listener".to_owned()),
            ..Page::parse(form)?
        })
    }

    /// The sessions of this page in order, how many there are on all pages, and whether more
    /// follow.
    fn choose<'a>(&self, all: &'a [SessionReport]) -> (Vec<&'a SessionReport>, usize, bool) {
        let mut chosen: Vec<&SessionReport> =
            all.iter().filter(|session| self.wants(session)).collect();
        let total = chosen.len();
        chosen.retain(|report| self.after.is_none_or(|after| report.session > after));
        chosen.sort_unstable_by_key(|report| report.session);
        let more = chosen.len() > self.limit;
        chosen.truncate(self.limit);
        (chosen, total, more)
    }

    fn wants(&self, session: &SessionReport) -> bool {
        self.mount
            .as_deref()
            .is_none_or(|mount| mount == session.mount.as_str())
            && self
                .role
                .as_deref()
                .is_none_or(|wanted| wanted == role(session))
    }
}

/// A session's id as [`SessionId`] shows it.
fn parse_id(text: &str) -> Option<SessionId> {
    let (shard, sequence) = text.split_once('-')?;
    let shard = u16::from_str_radix(shard, 16).ok()?;
    Some(SessionId::new(
        ShardId(shard),
        u64::from_str_radix(sequence, 16).ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_shown() {
        let id = SessionId::new(ShardId(300), 0xdead_beef);
        assert_eq!(parse_id(&id.to_string()), Some(id));
        for bad in ["", "-", "1", "1-", "-1", "10000-1", "1-g"] {
            assert_eq!(parse_id(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_no_page_is_refused() {
        for bad in ["limit=0", "limit=1001", "limit=x", "after=x", "role=admin"] {
            assert!(Page::parse(&Form::parse(bad.as_bytes())).is_err(), "{bad}");
        }
        let page = Page::parse(&Form::default()).expect("everything has a default");
        assert_eq!((page.limit, page.after), (PAGE_DEFAULT, None));
    }
}
