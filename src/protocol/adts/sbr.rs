//! Spectral band replication that no header speaks of (ISO/IEC 14496-3 section 1.6.5.3, "implicit
//! signalling"): it stands in the sound itself, as the last element of each raw data block.

/// Core coders of at most this rate may have a band above; none is known beyond.
pub(crate) const CORE_RATE_MAX_HZ: u32 = 24_000;

/// A stream has a band where so many of its first [`BLOCKS`] carry one: each may look so by chance
/// in about one of 16, and encoders begin with some that have none.
pub(crate) const BLOCKS_WITH_BAND: usize = 6;
pub(crate) const BLOCKS: usize = 10;

/// Table 4.85: `ID_FIL` and `ID_END`.
const ID_FIL: u32 = 6;
const ID_END: u32 = 7;

/// Table 4.121: `EXT_SBR_DATA` and `EXT_SBR_DATA_CRC`; those that only fill.
const EXT_SBR: [u32; 2] = [0b1101, 0b1110];
const EXT_FILL: [u32; 2] = [0b0000, 0b0001];

/// The longest fill element: four bits, and then eight more (table 4.11).
const FILL_BYTES_MAX: usize = 14 + 255;

/// Elements that only fill and are looked behind.
const FILLS_MAX: usize = 4;

/// Whether the raw data block `block` ends in a fill element with a replicated band. Its elements
/// cannot be counted from the front without decoding them, so the end is matched backwards: a
/// length of so many bytes must stand just so many bytes in front of the end.
pub(crate) fn is_in(block: &[u8]) -> bool {
    let Some(last) = block.last().filter(|byte| **byte != 0) else {
        return false;
    };
    // ID_END is three ones; zeros behind fill the byte only.
    let end = block.len() * 8 - last.trailing_zeros() as usize;
    let end = end.checked_sub(3);
    end.is_some_and(|end| bits(block, end, 3) == Some(ID_END) && is_before(block, end, FILLS_MAX))
}

/// Whether the element that ends at bit `end` carries a band, or one that does stands in front of
/// those that only fill.
fn is_before(block: &[u8], end: usize, fills_max: usize) -> bool {
    (0..=FILL_BYTES_MAX).any(|bytes| {
        let head_bits = if bytes < 15 { 3 + 4 } else { 3 + 4 + 8 };
        let Some(start) = end.checked_sub(head_bits + bytes * 8) else {
            return false;
        };
        let said = match bits(block, start + 3, 4) {
            Some(15) => bits(block, start + 7, 8).map(|more| 14 + more as usize),
            Some(count) => Some(count as usize),
            None => None,
        };
        if bits(block, start, 3) != Some(ID_FIL) || said != Some(bytes) {
            return false;
        }
        let kind = bits(block, start + head_bits, 4).filter(|_| bytes > 0);
        match kind {
            Some(kind) if EXT_SBR.contains(&kind) => true,
            Some(kind) if !EXT_FILL.contains(&kind) => false,
            _ => fills_max > 0 && is_before(block, start, fills_max - 1),
        }
    })
}

/// `count` bits, at most 8, from bit `at` on.
fn bits(bytes: &[u8], at: usize, count: u32) -> Option<u32> {
    let high = u32::from(*bytes.get(at / 8)?);
    let low = u32::from(bytes.get(at / 8 + 1).copied().unwrap_or(0));
    if at + count as usize > bytes.len() * 8 {
        return None;
    }
    let word = (high << 8) | low;
    Some((word >> (16 - (at % 8) as u32 - count)) & ((1 << count) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bits written as text, filled up to whole bytes.
    fn block(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
        let byte = |digits: &[u8]| {
            let place = |(at, digit): (usize, &u8)| (digit - b'0') << (7 - at);
            digits.iter().enumerate().map(place).sum()
        };
        digits.chunks(8).map(byte).collect()
    }

    #[test]
    fn a_band_is_the_last_element() {
        let short = "101 110 0010 1101 101010101010 111";
        assert!(is_in(&block(short)));
        assert!(is_in(&block(&short.replace("1101 1", "1110 1"))));
        let filling = "01".repeat(4 * 20 - 2);
        let long = format!("0 110 1111 00000110 1101 {filling} 111");
        assert!(is_in(&block(&long)));
        // Two elements that only fill: one with bytes, one without.
        let fill = format!("110 0011 0001 {} 110 0000 111", "0101".repeat(5));
        assert!(is_in(&block(&short.replace(" 111", &fill))));
        assert!(!is_in(&block(&format!("101 {fill}"))));
        for other in [
            // Another extension, a wrong length, no end, nothing.
            short.replace("1101 1", "0001 1"),
            short.replace("0010", "0011"),
            short.replace(" 111", " 011"),
            String::new(),
            "111".to_owned(),
            "00000000".to_owned(),
        ] {
            assert!(!is_in(&block(&other)), "{other}");
        }
        // Bytes behind the end are none of a block.
        let mut behind = block(short);
        behind.push(0);
        assert!(!is_in(&behind));
    }
}
