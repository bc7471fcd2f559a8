//! Peers that ask for many things at once: what they keep from others, and what they must not
//! learn.

use super::*;

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
