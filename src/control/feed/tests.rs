//! Watchers that were away, that are slow, and that are many.

use std::pin::{Pin, pin};

use corecast_media::metadata::Metadata;
use corecast_media::name::MountName;
use futures_util::{FutureExt, StreamExt};

use super::*;

fn feed() -> Feed {
    let started = SystemTime::UNIX_EPOCH + Duration::from_micros(1_000);
    Feed::new(started, Arc::new(ControlProbe::new()))
}

fn tell(feed: &Feed, title: &str) {
    let event = Event::Metadata {
        mount: MountName::parse("/live").expect("a good name"),
        metadata: Arc::new(Metadata::from_title(title)),
    };
    feed.handle_event(&event, false, SystemTime::UNIX_EPOCH);
}

/// What is there without a wait; nothing more where the feed has ended.
fn heard<S>(mut watcher: Pin<&mut S>) -> (String, bool)
where
    S: Stream<Item = Result<Bytes, Infallible>>,
{
    let mut text = String::new();
    loop {
        match watcher.next().now_or_never() {
            None => return (text, false),
            Some(None) => return (text, true),
            Some(Some(Ok(chunk))) => text.push_str(&String::from_utf8_lossy(&chunk)),
        }
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(test);
}

fn ids(text: &str) -> Vec<u64> {
    let ids = text.lines().filter_map(|line| line.strip_prefix("id: "));
    ids.map(|id| id.parse().expect("a number")).collect()
}

#[test]
fn who_was_away_gets_what_it_missed_and_then_what_comes() {
    run(async {
        let feed = feed();
        tell(&feed, "one");
        tell(&feed, "two\r\nid: 7\n\nevent: forged");
        let mut fresh = pin!(feed.watch(None).expect("a seat"));
        assert_eq!(heard(fresh.as_mut()), ("retry: 2000\n\n".to_owned(), false));
        let mut back = pin!(feed.watch(Some(1_000)).expect("a seat"));
        tell(&feed, "three");
        let (text, ended) = heard(back.as_mut());
        assert_eq!((ids(&text), ended), (vec![1_001, 1_002], false), "{text}");
        assert!(
            !text.contains("event: lost") && text.matches("\nevent: ").count() == 2,
            "{text}"
        );
        assert_eq!(ids(&heard(fresh.as_mut()).0), [1_002]);
        feed.close();
        assert_eq!(heard(fresh), (String::new(), true));
        assert!(feed.watch(None).is_none(), "it has ended");
    });
}

#[test]
fn what_is_gone_is_said_to_be_lost() {
    run(async {
        let feed = feed();
        for event in 0..EVENTS_KEPT + 10 {
            tell(&feed, &format!("title {event}"));
        }
        let mut last_known = pin!(feed.watch(Some(1_009)).expect("a seat"));
        let (text, _) = heard(last_known.as_mut());
        assert!(!text.contains("event: lost"));
        assert_eq!(ids(&text).len(), EVENTS_KEPT);
        let mut older = pin!(feed.watch(Some(3)).expect("a seat"));
        let (text, _) = heard(older.as_mut());
        assert!(text.contains("event: lost\ndata: {}\n\nid: 1010\n"));
    });
}

#[test]
fn a_watcher_that_does_not_keep_up_is_let_go() {
    run(async {
        let feed = feed();
        let mut slow = pin!(feed.watch(None).expect("a seat"));
        assert!(!heard(slow.as_mut()).1);
        for event in 0..EVENTS_KEPT * 2 + 1 {
            tell(&feed, &format!("title {event}"));
        }
        assert_eq!(heard(slow), (String::new(), true));
        assert_eq!(feed.probe.feed_slow.total(), 1);
    });
}

#[test]
fn watchers_have_seats_and_give_them_back() {
    let feed = feed();
    let mut watchers: Vec<_> = (0..WATCHERS_MAX).map(|_| feed.watch(None)).collect();
    assert!(watchers.iter().all(Option::is_some) && feed.watch(None).is_none());
    watchers.pop();
    assert!(feed.watch(None).is_some());
}

#[test]
fn a_silent_feed_says_that_it_is_there() {
    run(async {
        let feed = Feed {
            heartbeat: Duration::from_millis(5),
            ..feed()
        };
        let mut watcher = pin!(feed.watch(None).expect("a seat"));
        assert!(!heard(watcher.as_mut()).1);
        for _ in 0..3 {
            let beat = watcher.next().await.expect("not ended");
            assert_eq!(beat, Ok(Bytes::from_static(b": here\n\n")));
        }
    });
}
