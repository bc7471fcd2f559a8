//! Peers that ask for many things at once: what they keep from others, and what they must not
//! learn.

use std::pin::Pin;
use std::task::Poll;

use super::*;

#[test]
fn who_takes_no_answers_keeps_none_of_controls_places() {
    on_each(async |node| {
        let mut stuck = Vec::new();
        for _ in 0..3 {
            // Not a byte of a body may be sent to it.
            let mut client = Client::connect_with(node, 0).await;
            for _ in 0..100 {
                let opened = client.open(get("/health"), true).await;
                let (status, _, body, handle) = opened.head().await;
                assert_eq!(status, 200);
                stuck.push((body, handle));
            }
            assert_eq!(Client::connect(node).await.get("/health").await.status, 200);
        }
    });
}

#[test]
fn bodies_that_never_end_leave_room_for_others() {
    on_each(async |node| {
        let mut client = Client::connect(node).await;
        let mut opened = Vec::new();
        for _ in 0..24 {
            let post = client.open(request("POST", "/api/a", &[]), false).await;
            opened.push(post);
        }
        // A mebibyte is there for all of them.
        let piece = Bytes::from(vec![b'x'; 15_000]);
        for _ in 0..4 {
            for post in &mut opened {
                let _ = post.body.send_data(piece.clone(), false);
            }
        }
        let first = poll_fn(|cx| {
            let answers = opened.iter_mut().map(|post| Pin::new(&mut post.answer));
            let mut ready = answers.map(|answer| answer.poll(cx));
            ready.find(Poll::is_ready).unwrap_or(Poll::Pending)
        });
        assert_eq!(first.await.expect("an answer").status(), 503);
        // Their streams are reset, and what they held is there again.
        drop(opened);
        loop {
            let mut post = client.open(request("POST", "/api/a", &[]), false).await;
            post.body
                .send_data(piece.clone(), true)
                .expect("it is open");
            if post.whole().await.status == 200 {
                break;
            }
        }
    });
}

#[test]
fn leave_to_send_a_body_is_given() {
    on_each(async |node| {
        let mut client = Client::connect(node).await;
        let lines = [("expect", "100-continue"), ("content-length", "4")];
        let post = client.open(request("POST", "/api/a", &lines), false).await;
        let Opened {
            mut answer,
            mut body,
        } = post;
        let leave = poll_fn(|cx| match answer.poll_informational(cx) {
            Poll::Ready(Some(leave)) => Poll::Ready(leave.expect("the stream is open")),
            Poll::Ready(None) => panic!("an answer without a body"),
            Poll::Pending => Poll::Pending,
        });
        assert_eq!(leave.await.status(), 100);
        body.send_data("body".into(), true).expect("it is open");
        let answer = Opened { answer, body }.whole().await;
        assert_eq!((answer.status, text(&answer)), (200, "POST /api/a body"));
    });
}

#[test]
fn many_guesses_at_once_are_no_more_than_one_after_another() {
    on_each(async |node| {
        let mut client = Client::connect(node).await;
        let login = [("authorization", "Basic YTpi")];
        let mut guesses = Vec::new();
        for _ in 0..20 {
            let guess = request("GET", "/api/denied", &login);
            guesses.push(client.open(guess, true).await);
        }
        let mut told = Vec::new();
        for guess in guesses {
            told.push(guess.head().await.0);
        }
        let wrong = told.iter().filter(|status| **status == 401).count();
        let late = told.iter().filter(|status| **status == 429).count();
        let failures_max = usize::from(config().limits.auth_failures_max);
        assert_eq!((wrong, late), (failures_max, 20 - failures_max), "{told:?}");
    });
}
