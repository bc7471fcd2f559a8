//! Where frames and pages begin, read from files by rules of our own: nothing here is shared with
//! the code that it judges.

/// How a stream is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// MP3 frames of 128 kbit/s and 44.1 kHz.
    Mp3,
    /// ADTS frames.
    Adts,
    /// Ogg pages; a listener gets the header pages of the stream first.
    Ogg,
}

const MP3_FRAME_BYTES: usize = 417;

impl Cut {
    /// Where the frames or pages of `bytes` begin, the end of the last one included. Junk between
    /// them is a panic.
    pub(crate) fn borders(self, bytes: &[u8]) -> Vec<usize> {
        let mut at = 0;
        let mut borders = vec![0];
        while at < bytes.len() {
            at += self.len(&bytes[at..]);
            borders.push(at);
        }
        borders
    }

    fn len(self, bytes: &[u8]) -> usize {
        match self {
            Cut::Mp3 => {
                assert_eq!(bytes[..2], [0xff, 0xfb], "an MP3 frame begins");
                MP3_FRAME_BYTES + usize::from(bytes[2] >> 1 & 1)
            }
            Cut::Adts => {
                assert_eq!(bytes[0], 0xff, "an ADTS frame begins");
                let [high, mid, low] = [bytes[3], bytes[4], bytes[5]].map(usize::from);
                (high & 3) << 11 | mid << 3 | low >> 5
            }
            Cut::Ogg => {
                assert_eq!(&bytes[..4], b"OggS", "a page begins");
                let segments = usize::from(bytes[26]);
                let body = bytes[27..27 + segments].iter().map(|len| usize::from(*len));
                27 + segments + body.sum::<usize>()
            }
        }
    }

    /// Fails unless `heard` is a piece of `sent` from a border to the end, behind the header pages
    /// where there are such. Answers how many bytes the listener came late.
    pub(crate) fn assert_heard(self, sent: &[u8], heard: &[u8]) -> usize {
        let borders = self.borders(sent);
        let head = match self {
            Cut::Ogg => header_bytes(sent, &borders),
            Cut::Mp3 | Cut::Adts => 0,
        };
        let heard_head = &heard[..head.min(heard.len())];
        assert!(heard_head == &sent[..head], "the header pages came first");
        let rest = &heard[head..];
        assert!(rest.len() <= sent.len() - head, "more was heard than sent");
        let from = sent.len() - rest.len();
        if rest != &sent[from..] {
            let found = sent.windows(rest.len()).position(|piece| piece == rest);
            let end = found.map(|found| found + rest.len());
            panic!(
                "{} bytes heard of {} sent: not from {from} on (but from {found:?} to {end:?})",
                rest.len(),
                sent.len()
            );
        }
        assert!(borders.contains(&from), "{from} is a border");
        from - head
    }
}

/// The links of a chain, each a stream of its own; other streams are one link.
pub(crate) fn links(bytes: &[u8]) -> Vec<&[u8]> {
    const FIRST_PAGE: u8 = 2;
    if !bytes.starts_with(b"OggS") {
        return vec![bytes];
    }
    let borders = Cut::Ogg.borders(bytes);
    let begins = |at: &usize| bytes.get(at + 5).is_none_or(|kind| kind & FIRST_PAGE != 0);
    let starts: Vec<usize> = borders.into_iter().filter(begins).collect();
    let links = starts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
    links.collect()
}

/// Header pages are those at the start whose position is 0.
fn header_bytes(bytes: &[u8], borders: &[usize]) -> usize {
    let audio = |at: &&usize| bytes.get(**at + 6..**at + 14) != Some(&[0; 8]);
    *borders.iter().find(audio).expect("the end is no header")
}

#[test]
fn a_piece_from_a_border_is_right_and_others_are_not() {
    let sent = super::mpeg::frames(0..20);
    let borders = Cut::Mp3.borders(&sent);
    assert_eq!(borders.len(), 21);
    assert_eq!(
        Cut::Mp3.assert_heard(&sent, &sent[borders[7]..]),
        borders[7]
    );
    let panics =
        |heard: &[u8]| std::panic::catch_unwind(|| Cut::Mp3.assert_heard(&sent, heard)).is_err();
    assert!(panics(&sent[1..]));
    assert!(panics(&sent[..100]));
}
