//! Patterns of names and of user agents.

/// Whether `text` contains `pattern`, or matches it as a whole where it has a `*`.
pub fn fits(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return text.contains(pattern);
    };
    let Some(mut text) = text.strip_prefix(head) else {
        return false;
    };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let tail = pieces.pop().unwrap_or_default();
    // The first place is the best one for each piece: it leaves most to those behind it.
    for piece in pieces {
        match text.split_once(piece) {
            Some((_, behind)) => text = behind,
            None => return false,
        }
    }
    text.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_part_or_a_glob() {
        for (pattern, text, expected) in [
            ("wget", "gnu wget/1.2", true),
            ("wget", "curl/8", false),
            ("wget*", "wget/1.2", true),
            ("wget*", "gnu wget/1.2", false),
            ("*bot*", "the bot 9", true),
            ("*bot", "the bot 9", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*a", "a", false),
            ("*", "", true),
            ("**", "x", true),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }
}
