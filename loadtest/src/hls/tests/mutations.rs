//! What breaks each rule. Longer than 600 lines because it is one table.

use super::station::{Draft, set};
use crate::hls::history::{Ask, Content, Digest, MS, PackedContent, Purpose, SkipAsk};

/// The rule, what is wrong, and how a good history becomes wrong.
type Mutation = (u8, &'static str, fn(&mut Draft));

fn is_list(purpose: &Purpose) -> bool {
    matches!(purpose, Purpose::Playlist(_))
}

fn is_media(purpose: &Purpose) -> bool {
    matches!(purpose, Purpose::Listed)
}

/// Moves every list from an edge on by so much.
fn delay(draft: &mut Draft, msn: u64, parts: u64, by_ns: u64) {
    let from_ns = (msn * 4 + parts) * 500 * MS;
    for seen in &mut draft.lists {
        if seen.done_ns >= from_ns {
            seen.done_ns += by_ns;
        }
    }
}

pub(super) const MUTATIONS: &[Mutation] = &[
    (1, "no #EXTM3U", |d| d.replace(&[0], "#EXTM3U\n", "")),
    (1, "a byte order mark", |d| {
        d.replace(&[0], "#EXTM3U", "\u{feff}#EXTM3U")
    }),
    (1, "a control character", |d| {
        d.replace(&[0], "#EXTINF:2.00000,", "#EXTINF:2.00000,\x07")
    }),
    (1, "an attribute without a closing quote", |d| {
        d.replace(&[0], ".m3u8\",", ".m3u8,")
    }),
    (1, "another content type", |d| {
        set(d.of(is_list)[0], "content-type", "text/plain");
    }),
    (2, "a version below the map's", |d| {
        d.replace(&[1], "VERSION:9", "VERSION:5")
    }),
    (2, "a version below the skip's", |d| {
        d.replace(&[1], "VERSION:9", "VERSION:8")
    }),
    (2, "a version above need", |d| {
        d.replace(&[1], "VERSION:9", "VERSION:12")
    }),
    (3, "no target duration", |d| {
        d.replace(&[0], "#EXT-X-TARGETDURATION:2\n", "")
    }),
    (3, "a segment above it", |d| {
        d.replace(&[0], "#EXTINF:2.00000", "#EXTINF:2.50000")
    }),
    (3, "another one later", |d| {
        let seen = &mut d.at(25, 1, false)[0];
        seen.text = seen.text.replace("TARGETDURATION:2", "TARGETDURATION:3");
    }),
    (4, "it falls", |d| {
        for seen in d.at(25, 0, false) {
            seen.text = seen.text.replace("MEDIA-SEQUENCE:15", "MEDIA-SEQUENCE:5");
        }
    }),
    (4, "two for one removed segment", |d| {
        d.replace(&[0], "MEDIA-SEQUENCE:16", "MEDIA-SEQUENCE:17");
    }),
    (5, "another duration", |d| {
        let seen = &mut d.at(25, 1, false)[0];
        seen.text = seen.text.replacen("#EXTINF:2.00000", "#EXTINF:1.99000", 1);
    }),
    (5, "another address", |d| {
        for seen in d.at(25, 1, false) {
            seen.text = seen.text.replace("v0-20.m4s", "v0-20b.m4s");
        }
    }),
    (5, "another part", |d| {
        for seen in d.at(25, 1, false) {
            seen.text = seen.text.replace("v0-25.0.m4s", "v0-25.0b.m4s");
        }
        d.at(25, 1, false)[1].text = d.at(25, 2, false)[0].text.clone();
    }),
    (6, "a short list", |d| {
        let seen = &mut d.at(26, 1, false);
        for seen in seen.iter_mut() {
            let from = seen.text.find("#EXT-X-MAP").expect("a map");
            let to = seen.text.find("v0-24.m4s").or(seen.text.find("a0-24.m4s"));
            seen.text
                .replace_range(from..to.expect("a segment") + 10, "");
            seen.text = seen.text.replace("SEQUENCE:16", "SEQUENCE:25");
        }
    }),
    (6, "a hole between parts", |d| {
        for seen in d.at(25, 2, false) {
            let text = seen.text.lines().filter(|line| !line.contains("-24.2.m4s"));
            seen.text = text.map(|line| format!("{line}\n")).collect();
        }
    }),
    (7, "a removed segment is gone", |d| {
        d.of(|p| *p == Purpose::Removed { part: false })[0].status = 404;
    }),
    (8, "no sequence", |d| {
        d.replace(&[0], "#EXT-X-DISCONTINUITY-SEQUENCE:0\n", "")
    }),
    (8, "it does not count", |d| {
        d.replace(&[0], "DISCONTINUITY-SEQUENCE:1", "DISCONTINUITY-SEQUENCE:0")
    }),
    (8, "it counts too much", |d| {
        d.replace(&[0], "DISCONTINUITY-SEQUENCE:1", "DISCONTINUITY-SEQUENCE:2")
    }),
    (9, "another size without a word", |d| {
        if let Content::Init(init) = &mut d.media("v0-init1.mp4").content {
            init.width = 320;
        }
        d.replace(&[0], "#EXT-X-DISCONTINUITY\n", "");
    }),
    (9, "another clock without a word", |d| {
        d.fragments("v0-22.m4s").start_ticks += 90_000
    }),
    (10, "a gap whose parts are none", |d| {
        d.replace(
            &[0],
            "#EXTINF:2.00000,\nv0-22.m4s",
            "#EXT-X-GAP\n#EXTINF:2.00000,\nv0-22.m4s",
        );
    }),
    (11, "a late segment", |d| delay(d, 23, 1, 1_500 * MS)),
    (12, "a late part", |d| delay(d, 23, 2, 200 * MS)),
    (13, "a listed segment is missing", |d| {
        d.of(is_media)[1].status = 404
    }),
    (13, "a listed part is slow", |d| {
        d.of(is_media)[2].done_ns += 2_000 * MS
    }),
    (14, "an older list later", |d| {
        let text = d.at(23, 1, false)[0].text.clone();
        d.at(25, 1, false)[1].text = text;
    }),
    (14, "two lists of one state", |d| {
        let seen = &mut d.at(25, 1, false)[1];
        seen.text = seen
            .text
            .replace("#EXT-X-VERSION:9", "#EXT-X-VERSION:9\n#EXT-X-OTHER");
    }),
    (15, "a type", |d| {
        d.replace(&[0], "VERSION:9", "VERSION:9\n#EXT-X-PLAYLIST-TYPE:VOD")
    }),
    (15, "a hint after the end", |d| {
        d.replace(
            &[0],
            "#EXT-X-ENDLIST",
            "#EXT-X-ENDLIST\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"x\"",
        );
    }),
    (15, "a change after the end", |d| {
        let seen = d.lists.last_mut().expect("a list");
        seen.ask.skip = None;
        seen.text = seen.text.replace("-26.m4s", "-26b.m4s");
    }),
    (16, "no part target", |d| {
        d.replace(&[0], "#EXT-X-PART-INF:PART-TARGET=0.50000\n", "")
    }),
    (16, "a long part", |d| {
        d.replace(&[0], "PART:DURATION=0.50000", "PART:DURATION=0.50100")
    }),
    (17, "a short part", |d| {
        d.replace(
            &[0],
            "DURATION=0.50000,URI=\"v0-22.1.m4s\"",
            "DURATION=0.42000,URI=\"v0-22.1.m4s\"",
        );
    }),
    (18, "parts last less", |d| {
        d.replace(&[0], "#EXTINF:2.00000,\nv0-22", "#EXTINF:2.00200,\nv0-22")
    }),
    (18, "other bytes", |d| {
        d.media("v0-22.2.m4s").body = Digest::of(b"other")
    }),
    (18, "parts in another order", |d| {
        let body = d.media("v0-22.2.m4s").body;
        let other = std::mem::replace(&mut d.media("v0-22.1.m4s").body, body);
        d.media("v0-22.2.m4s").body = other;
    }),
    (18, "a sample less", |d| {
        d.fragments("v0-22.2.m4s").samples -= 1
    }),
    (19, "a lie", |d| {
        d.replace(
            &[0],
            "URI=\"v0-22.1.m4s\"",
            "URI=\"v0-22.1.m4s\",INDEPENDENT=YES",
        )
    }),
    (19, "a keyframe that is not told", |d| {
        d.fragments("v0-22.1.m4s").has_keyframe = true
    }),
    (19, "a segment without keyframe", |d| {
        d.fragments("v0-22.0.m4s").starts_with_keyframe = false
    }),
    (20, "old parts are listed", |d| {
        let part = "#EXT-X-PART:DURATION=0.5,URI=\"x\"\n#EXTINF:2.00000,\nv0-18.m4s";
        d.replace(&[0], "#EXTINF:2.00000,\nv0-18.m4s", part);
    }),
    (20, "a removed part is gone", |d| {
        d.of(|p| *p == Purpose::Removed { part: true })[0].status = 404;
    }),
    (21, "no length", |d| {
        d.of(is_media)[2]
            .headers
            .retain(|(name, _)| name != "content-length")
    }),
    (21, "a drip", |d| {
        set(d.of(is_media)[2], "transfer-encoding", "chunked")
    }),
    (22, "none", |d| {
        let seen = &mut d.at(24, 1, false)[0];
        let text = seen
            .text
            .lines()
            .filter(|line| !line.contains("SERVER-CONTROL"));
        seen.text = text.map(|line| format!("{line}\n")).collect();
    }),
    (22, "another beside it", |d| {
        d.replace(&[1], "HOLD-BACK=6.0", "HOLD-BACK=6.5")
    }),
    (23, "a short one", |d| {
        d.replace(&[0, 1], ",HOLD-BACK=6.0", ",HOLD-BACK=5.0")
    }),
    (24, "a short one", |d| {
        d.replace(&[0, 1], "PART-HOLD-BACK=1.5", "PART-HOLD-BACK=1.4")
    }),
    (24, "none", |d| {
        d.replace(&[0, 1], ",PART-HOLD-BACK=1.5", "")
    }),
    (25, "a short one", |d| {
        d.replace(&[0, 1], "CAN-SKIP-UNTIL=12.0", "CAN-SKIP-UNTIL=11.9")
    }),
    (26, "too many are skipped", |d| {
        d.replace(&[0], "SKIPPED-SEGMENTS=4", "SKIPPED-SEGMENTS=5")
    }),
    (26, "a boundary that is nearer than the skip", |d| {
        d.replace(&[0, 1], "CAN-SKIP-UNTIL=12.0", "CAN-SKIP-UNTIL=14.0");
    }),
    (26, "a skipped tag", |d| {
        for seen in d.at(25, 2, true) {
            seen.text = seen.text.replacen("#EXT-X-PART:", "#EXT-X-OTHER:", 1);
        }
    }),
    (26, "two skips", |d| {
        d.replace(
            &[0],
            "#EXT-X-SKIP:SKIPPED-SEGMENTS=4",
            "#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n#EXT-X-SKIP:SKIPPED-SEGMENTS=1",
        );
    }),
    (26, "a delta that nobody asked for", |d| {
        d.at(25, 2, true)[0].ask.skip = None
    }),
    (26, "no delta", |d| {
        let text = d.at(25, 2, false)[0].text.clone();
        d.at(25, 2, true)[0].text = text;
    }),
    (27, "another media sequence", |d| {
        for seen in d.at(25, 2, true) {
            seen.text = seen
                .text
                .replace("MEDIA-SEQUENCE:15", "MEDIA-SEQUENCE:19")
                .replace("SKIPPED-SEGMENTS=4", "SKIPPED-SEGMENTS=0");
        }
    }),
    (27, "a missing tag", |d| {
        d.at(25, 2, true)[0].text = d.at(25, 2, true)[0]
            .text
            .replace("#EXT-X-PART-INF:PART-TARGET=0.50000\n", "");
    }),
    (27, "a missing date range", |d| {
        let seen = &mut d.at(25, 2, true)[0];
        let text = seen.text.lines().filter(|line| !line.contains("DATERANGE"));
        seen.text = text.map(|line| format!("{line}\n")).collect();
    }),
    (28, "a delta without the boundary", |d| {
        d.replace(&[0], "CAN-SKIP-UNTIL=12.0,", "")
    }),
    (28, "a delta after the end", |d| {
        let last = d.lists.last_mut().expect("a list");
        let at = last.text.find("#EXTINF").expect("a segment");
        last.text.insert_str(at, "#EXT-X-SKIP:SKIPPED-SEGMENTS=1\n");
    }),
    (29, "an error", |d| {
        let odd =
            |p: &Purpose| matches!(p, Purpose::Playlist(ask) if ask.skip == Some(SkipAsk::Unknown));
        d.of(odd)[0].status = 400;
    }),
    (29, "a delta", |d| {
        let text = d.at(24, 2, true)[0].text.clone();
        let mut odd = d.lists.iter_mut();
        let odd = odd.find(|seen| seen.ask.skip == Some(SkipAsk::Unknown));
        odd.expect("such a list").text = text;
    }),
    (30, "an early answer", |d| {
        let text = d.at(24, 3, false)[0].text.clone();
        let whole = |seen: &&mut super::station::Seen| {
            seen.ask
                == Ask {
                    msn: Some(24),
                    part: None,
                    skip: None,
                }
        };
        d.lists.iter_mut().find(whole).expect("such a list").text = text;
    }),
    (30, "a late answer to what is there", |d| {
        let whole = |seen: &&mut super::station::Seen| {
            seen.ask
                == Ask {
                    msn: Some(22),
                    part: None,
                    skip: None,
                }
        };
        let mut lists = d.lists.iter_mut().filter(whole);
        lists.next_back().expect("such a list").done_ns += 500 * MS;
    }),
    (31, "an early answer", |d| {
        let text = d.at(24, 2, false)[0].text.clone();
        d.at(24, 3, false)[0].text = text;
    }),
    (31, "an error", |d| {
        let part = |p: &Purpose| matches!(p, Purpose::Playlist(ask) if ask.part == Some(1));
        d.of(part)[0].status = 500;
    }),
    (32, "an error past the last part", |d| {
        let part = |p: &Purpose| matches!(p, Purpose::Playlist(ask) if ask.part == Some(7));
        d.of(part)[0].status = 400;
    }),
    (32, "an answer without the next part", |d| {
        let text = d.at(24, 0, false)[0].text.clone();
        let odd = |seen: &&mut super::station::Seen| seen.ask.part == Some(7);
        d.lists.iter_mut().find(odd).expect("such a list").text = text;
    }),
    (33, "an error", |d| {
        let gone = |p: &Purpose| matches!(p, Purpose::Playlist(ask) if ask.msn == Some(0));
        d.of(gone)[0].status = 400;
    }),
    (34, "an answer", |d| {
        d.of(|p| *p == Purpose::Bad { rule: 34 })[0].status = 200
    }),
    (35, "a long wait", |d| {
        d.of(|p| *p == Purpose::Bad { rule: 35 })[0].done_ns += 3_000 * MS;
    }),
    (36, "an error of the server", |d| {
        d.of(|p| *p == Purpose::Bad { rule: 36 })[0].status = 500;
    }),
    (37, "an early 503", |d| {
        for exchange in d.of(is_list) {
            if exchange.status == 503 {
                exchange.done_ns -= 2_000 * MS;
            }
        }
    }),
    (37, "an endless wait", |d| {
        d.of(is_list)[0].done_ns += 9_000 * MS
    }),
    (38, "a wait that does not end", |d| {
        d.lists.last_mut().expect("a list").done_ns += 800 * MS;
    }),
    (38, "a list without the end", |d| {
        let text = d.at(26, 3, false)[0].text.clone();
        d.lists.last_mut().expect("a list").text = text;
    }),
    (39, "late lists", |d| {
        let late = d.lists.iter_mut().filter(|seen| seen.ask.part.is_some());
        late.for_each(|seen| seen.done_ns += 60 * MS);
    }),
    (41, "another part than the hinted one", |d| {
        d.replace(&[0], "PART,URI=\"v0-24.2.m4s\"", "PART,URI=\"v0-24.3.m4s\"");
    }),
    (41, "two hints", |d| {
        d.replace(
            &[0],
            "#EXT-X-PRELOAD-HINT",
            "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"x\"\n#EXT-X-PRELOAD-HINT",
        );
    }),
    (41, "no hint", |d| {
        d.replace(
            &[0],
            "#EXT-X-PRELOAD-HINT:TYPE=PART",
            "#EXT-X-PRELOAD-HINT:TYPE=MAP",
        );
    }),
    (42, "an error", |d| {
        d.of(|p| *p == Purpose::Hint)[3].status = 404
    }),
    (42, "a drip", |d| {
        d.of(|p| *p == Purpose::Hint)[3].first_ns -= 400 * MS
    }),
    (42, "other bytes", |d| {
        d.of(|p| *p == Purpose::Hint)[3].body = Digest::of(b"x")
    }),
    (43, "an answer", |d| {
        d.of(|p| *p == Purpose::Missing)[0].status = 200
    }),
    (43, "a hang", |d| {
        d.of(|p| *p == Purpose::Missing)[0].done_ns += 5_000 * MS
    }),
    (44, "no report", |d| {
        d.replace(&[0], "#EXT-X-RENDITION-REPORT", "#EXT-X-OTHER")
    }),
    (44, "an old report", |d| {
        d.replace(&[0], "LAST-MSN=24,LAST-PART=2", "LAST-MSN=23,LAST-PART=2")
    }),
    (44, "a report of the future", |d| {
        d.replace(&[0], "LAST-MSN=24,LAST-PART=2", "LAST-MSN=25,LAST-PART=2");
    }),
    (45, "no dates in one rendition", |d| {
        d.replace(&[1], "#EXT-X-PROGRAM-DATE-TIME", "#EXT-X-OTHER");
    }),
    (45, "a date without zone", |d| {
        d.replace(&[0], "T00:00:44.000Z", "T00:00:44.000")
    }),
    (45, "a date that drifts", |d| {
        d.replace(&[0, 1], "T00:00:44.000Z", "T00:00:44.002Z")
    }),
    (45, "another clock", |d| {
        d.replace(&[1], "T00:00:", "T00:01:")
    }),
    (46, "another target duration", |d| {
        d.replace(&[1], "TARGETDURATION:2", "TARGETDURATION:3")
    }),
    (46, "another border", |d| {
        d.fragments("v0-22.m4s").shown_ticks += 5_000;
    }),
    (46, "other numbers", |d| {
        let later = d.lists.iter_mut().filter(|seen| seen.rendition == 1);
        for seen in later {
            for number in (11..=17).rev() {
                let (from, to) = (format!("MEDIA-SEQUENCE:{number}"), number + 5);
                if seen.text.contains(&from) {
                    seen.text = seen.text.replace(&from, &format!("MEDIA-SEQUENCE:{to}"));
                    break;
                }
            }
        }
    }),
    (46, "another discontinuity", |d| {
        d.replace(&[1], "#EXT-X-DISCONTINUITY\n", "")
    }),
    (47, "a low bandwidth", |d| {
        d.multivariant = d.multivariant.replace("BANDWIDTH=1000", "BANDWIDTH=90");
    }),
    (47, "a wrong mean", |d| {
        d.multivariant = d
            .multivariant
            .replace("AVERAGE-BANDWIDTH=224", "AVERAGE-BANDWIDTH=500");
    }),
    (47, "another codec", |d| {
        d.multivariant = d.multivariant.replace("avc1.64001f", "avc1.42001e");
    }),
    (47, "a missing codec", |d| {
        d.multivariant = d.multivariant.replace(",mp4a.40.2", "")
    }),
    (47, "another size", |d| {
        d.multivariant = d.multivariant.replace("640x360", "640x480")
    }),
    (47, "another frame rate", |d| {
        d.multivariant = d.multivariant.replace("25.000", "30.000")
    }),
    (47, "no such group", |d| {
        d.multivariant = d
            .multivariant
            .replace("GROUP-ID=\"audio\"", "GROUP-ID=\"other\"");
    }),
    (47, "segments that are not independent", |d| {
        d.fragments("v0-22.m4s").starts_with_keyframe = false;
    }),
    (47, "an error", |d| {
        d.of(|p| *p == Purpose::Multivariant)[0].status = 500
    }),
    (48, "times that do not add up", |d| {
        d.fragments("v0-22.m4s").duration_ticks -= 1
    }),
    (48, "another track", |d| d.fragments("v0-22.m4s").track = 2),
    (48, "a hole between fragments", |d| {
        d.fragments("v0-22.m4s").is_gapless = false
    }),
    (48, "no map", |d| {
        d.replace(&[0], "#EXT-X-MAP", "#EXT-X-OTHER")
    }),
    (48, "a map that is none", |d| {
        d.media("v0-init1.mp4").content = Content::Unreadable("cut".to_owned());
    }),
    (48, "packed sound behind a map", |d| {
        d.media("v0-22.m4s").content = Content::Packed(PackedContent::default());
    }),
    (49, "not gzipped", |d| {
        let gzip = |p: &Purpose| matches!(p, Purpose::Gzip { .. });
        d.of(gzip)[0]
            .headers
            .retain(|(name, _)| name != "content-encoding");
    }),
    (49, "other text inside", |d| {
        d.of(|p| matches!(p, Purpose::Gzip { .. }))[0].body = Digest::of(b"x");
    }),
    (49, "no Vary", |d| {
        d.of(is_list)[0].headers.retain(|(name, _)| name != "vary")
    }),
    (49, "gzipped media", |d| {
        set(
            d.of(|p| *p == Purpose::GzipMedia)[0],
            "content-encoding",
            "gzip",
        );
    }),
    (50, "a blocked list that is not kept", |d| {
        set(d.of(is_list)[0], "cache-control", "no-cache");
    }),
    (50, "a plain list that is kept", |d| {
        let plain = |p: &Purpose| matches!(p, Purpose::Playlist(ask) if ask.msn.is_none());
        set(d.of(plain)[0], "cache-control", "max-age=2");
    }),
    (50, "media that is not kept", |d| {
        set(d.of(is_media)[0], "cache-control", "max-age=60")
    }),
    (50, "a 404 that is kept", |d| {
        set(
            d.of(|p| *p == Purpose::Missing)[0],
            "cache-control",
            "max-age=60",
        );
    }),
    (50, "a 400 that is kept", |d| {
        set(
            d.of(|p| *p == Purpose::Bad { rule: 36 })[0],
            "cache-control",
            "max-age=60",
        );
    }),
    (50, "a token's list for everybody", |d| {
        set(
            d.of(|p| *p == Purpose::Token)[0],
            "cache-control",
            "max-age=1",
        );
    }),
    (51, "304 for a changed list", |d| {
        d.of(|p| *p == Purpose::Conditional { changed: true })[0].status = 304;
    }),
    (51, "one tag for two lists", |d| {
        for exchange in d.of(is_list) {
            exchange.target = "/live/hls/v0.m3u8".to_owned();
            set(exchange, "etag", "\"1\"");
        }
    }),
    (52, "no origin on an error", |d| {
        let bad = |p: &Purpose| *p == Purpose::Bad { rule: 34 };
        d.of(bad)[0]
            .headers
            .retain(|(name, _)| name != "access-control-allow-origin");
    }),
    (52, "hidden headers", |d| {
        set(
            d.of(is_media)[0],
            "access-control-expose-headers",
            "Content-Length",
        );
    }),
    (52, "a preflight without Range", |d| {
        set(
            d.of(|p| *p == Purpose::Preflight)[0],
            "access-control-allow-headers",
            "X-Other",
        );
    }),
    (53, "a whole answer to a range", |d| {
        d.of(|p| matches!(p, Purpose::Range { .. }))[0].status = 200;
    }),
    (53, "other bytes", |d| {
        d.of(|p| matches!(p, Purpose::Range { .. }))[0].body = Digest::of(b"x");
    }),
    (53, "an answer behind the end", |d| {
        d.of(|p| *p == Purpose::Range { expected: None })[0].status = 200;
    }),
    (53, "an error for two ranges", |d| {
        d.of(|p| *p == Purpose::Ranges)[0].status = 500
    }),
    (54, "a body", |d| {
        d.of(|p| matches!(p, Purpose::Head { .. }))[0].body = Digest::of(b"x");
    }),
    (54, "another length", |d| {
        set(
            d.of(|p| matches!(p, Purpose::Head { .. }))[0],
            "content-length",
            "8",
        );
    }),
    (54, "a hang", |d| {
        d.of(|p| matches!(p, Purpose::Head { .. }))[0].done_ns += 9_000 * MS
    }),
    (55, "another time", |d| d.exchanges[0].wall_s += 5),
    (55, "no date", |d| {
        d.exchanges[0].headers.retain(|(name, _)| name != "date")
    }),
    (57, "an id is used again", |d| {
        for seen in d.at(26, 2, false) {
            seen.text = seen
                .text
                .replace("T00:00:42.000Z\"\n", "T00:00:50.000Z\"\n");
        }
    }),
    (57, "a range leaves too early", |d| {
        for seen in d.at(25, 2, false) {
            seen.text = seen.text.replace("#EXT-X-DATERANGE", "#EXT-X-OTHER");
        }
    }),
    (58, "an address without token", |d| {
        let token = d.of(|p| *p == Purpose::Token);
        for exchange in token {
            exchange.text = exchange
                .text
                .take()
                .map(|text| text.replace("v0-20.m4s?token=abc", "v0-20.m4s"));
        }
    }),
];
