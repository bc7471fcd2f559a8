//! NAL units of H.264 and HEVC: with lengths in front (ISO/IEC 14496-15) or between start codes
//! (ISO/IEC 14496-10 annex B, ISO/IEC 23008-2 annex B).

use bytes::{BufMut, Bytes, BytesMut};

use super::HeaderFault;

/// The most NAL units of one access unit: what is beyond is damage.
pub const NALS_MAX: usize = 4_096;

/// The most parameter sets that are taken out of one payload, and that one configuration grows to
/// by them: each is compared with all.
pub const SETS_MAX: usize = 64;

/// The bytes of a length in every payload of ours.
pub const LENGTH_BYTES: usize = 4;

/// The NAL units of a payload with lengths of [`LENGTH_BYTES`]; empty ones are left out.
pub fn units(payload: &[u8]) -> Units<'_> {
    Units::new(payload, LENGTH_BYTES)
}

/// The NAL units of one payload, each behind its length. Ends after the first fault.
#[derive(Clone, Debug)]
pub struct Units<'a> {
    rest: &'a [u8],
    length_bytes: usize,
    seen: usize,
}

impl<'a> Units<'a> {
    /// The units of `payload` with lengths of `length_bytes`, 1 to 4.
    pub fn new(payload: &'a [u8], length_bytes: usize) -> Self {
        Units {
            rest: payload,
            length_bytes: length_bytes.clamp(1, 4),
            seen: 0,
        }
    }

    fn split(&mut self) -> Result<&'a [u8], HeaderFault> {
        self.seen += 1;
        if self.seen > NALS_MAX {
            return Err(HeaderFault::Invalid("number of NAL units"));
        }
        let (length, rest) = self
            .rest
            .split_at_checked(self.length_bytes)
            .ok_or(HeaderFault::Truncated)?;
        let length = length
            .iter()
            .fold(0usize, |length, byte| length << 8 | usize::from(*byte));
        let (unit, rest) = rest
            .split_at_checked(length)
            .ok_or(HeaderFault::Truncated)?;
        self.rest = rest;
        Ok(unit)
    }
}

impl<'a> Iterator for Units<'a> {
    type Item = Result<&'a [u8], HeaderFault>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            match self.split() {
                Ok([]) => {}
                Ok(unit) => return Some(Ok(unit)),
                Err(fault) => {
                    self.rest = &[];
                    return Some(Err(fault));
                }
            }
        }
        None
    }
}

/// The NAL units between the start codes of `stream`; what stands before the first code is left
/// out, and so are empty ones, zeros at the ends of units, and what follows [`NALS_MAX`].
pub fn annex_b_units(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = match start_code(stream) {
        Some((_, behind)) => stream.get(behind..).unwrap_or_default(),
        None => &[],
    };
    let units = std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (end, behind) = start_code(rest).unwrap_or((rest.len(), rest.len()));
        let (unit, _) = rest.split_at_checked(end)?;
        rest = rest.get(behind..)?;
        let zeros = unit.iter().rev().take_while(|byte| **byte == 0).count();
        unit.get(..unit.len() - zeros)
    });
    units.filter(|unit| !unit.is_empty()).take(NALS_MAX)
}

/// Where the next `00 00 01` starts and ends.
fn start_code(bytes: &[u8]) -> Option<(usize, usize)> {
    let at = bytes.windows(3).position(|code| code == [0, 0, 1])?;
    Some((at, at + 3))
}

/// Whether `bytes` begin with a start code.
pub fn is_annex_b(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0, 0, 1]) || bytes.starts_with(&[0, 0, 0, 1])
}

/// What stands between start codes, with lengths of [`LENGTH_BYTES`] instead.
pub fn from_annex_b(stream: &[u8]) -> Bytes {
    let mut payload = BytesMut::with_capacity(stream.len() + LENGTH_BYTES);
    for unit in annex_b_units(stream) {
        put_unit(&mut payload, unit);
    }
    payload.freeze()
}

/// Appends `payload` (lengths of [`LENGTH_BYTES`]) to `out` with start codes of four bytes.
///
/// # Errors
/// Where the lengths do not fit the payload; what was appended stays.
pub fn to_annex_b(payload: &[u8], out: &mut Vec<u8>) -> Result<(), HeaderFault> {
    for unit in units(payload) {
        out.extend_from_slice(&[0, 0, 0, 1]);
        out.extend_from_slice(unit?);
    }
    Ok(())
}

/// `payload` with lengths of `length_bytes` as one with lengths of [`LENGTH_BYTES`]; the same
/// bytes where they have it already.
///
/// # Errors
/// Where the lengths do not fit the payload.
pub fn widen(payload: &Bytes, length_bytes: usize) -> Result<Bytes, HeaderFault> {
    if length_bytes == LENGTH_BYTES {
        return Ok(payload.clone());
    }
    let mut wide = BytesMut::with_capacity(payload.len() + 64);
    for unit in Units::new(payload, length_bytes) {
        put_unit(&mut wide, unit?);
    }
    Ok(wide.freeze())
}

/// The parameter sets among the units of a payload: the first [`SETS_MAX`].
///
/// # Errors
/// Where the lengths do not fit the payload.
pub(super) fn sets(payload: &[u8], is_set: fn(&[u8]) -> bool) -> Result<Vec<&[u8]>, HeaderFault> {
    let units = units(payload).filter(|unit| unit.as_ref().map_or(true, |unit| is_set(unit)));
    units.take(SETS_MAX).collect()
}

/// Puts a parameter set in the place of the one with its number, or behind all others. One without
/// a number, or beyond [`SETS_MAX`], is left out.
pub(super) fn put_set(sets: &mut Vec<Bytes>, unit: &[u8], id: fn(&[u8]) -> Option<u32>) {
    let Some(number) = id(unit) else {
        return;
    };
    let known = sets.iter_mut().find(|set| id(set) == Some(number));
    if let Some(known) = known {
        if known != unit {
            *known = Bytes::copy_from_slice(unit);
        }
    } else if sets.len() < SETS_MAX {
        sets.push(Bytes::copy_from_slice(unit));
    }
}

/// Appends `unit` behind its length.
fn put_unit(out: &mut BytesMut, unit: &[u8]) {
    // A unit is a slice of a payload, which is far below 4 GiB.
    out.put_u32(unit.len() as u32);
    out.extend_from_slice(unit);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_start_codes_go_there_and_back() {
        let stream = [0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x68, 2, 0, 0, 0, 1, 0x65, 3];
        let payload = from_annex_b(&stream);
        assert_eq!(
            *payload,
            [
                0, 0, 0, 2, 0x67, 1, 0, 0, 0, 2, 0x68, 2, 0, 0, 0, 2, 0x65, 3
            ]
        );
        let mut back = Vec::new();
        to_annex_b(&payload, &mut back).expect("whole");
        assert_eq!(from_annex_b(&back), payload);
        assert_eq!(annex_b_units(&back).count(), 3);
    }

    #[test]
    fn lengths_past_the_end_are_a_fault() {
        for (payload, expected) in [
            (&[0, 0, 0, 2, 9][..], vec![Err(HeaderFault::Truncated)]),
            (&[0, 0, 0][..], vec![Err(HeaderFault::Truncated)]),
            (&[0xff; 5][..], vec![Err(HeaderFault::Truncated)]),
            (&[0, 0, 0, 0, 0, 0, 0, 1, 9][..], vec![Ok(&[9][..])]),
            (&[][..], vec![]),
        ] {
            assert_eq!(units(payload).collect::<Vec<_>>(), expected);
        }
        let many = [0, 0, 0, 1, 9].repeat(NALS_MAX + 1);
        assert_eq!(units(&many).filter(Result::is_err).count(), 1);
    }

    #[test]
    fn short_lengths_are_widened() {
        let payload = Bytes::from_static(&[0, 2, 0x65, 1, 0, 1, 0x41]);
        let wide = widen(&payload, 2).expect("whole");
        assert_eq!(*wide, [0, 0, 0, 2, 0x65, 1, 0, 0, 0, 1, 0x41]);
        assert!(widen(&payload, 3).is_err());
        let same = widen(&wide, 4).expect("whole");
        assert_eq!(same.as_ptr(), wide.as_ptr());
    }

    #[test]
    fn annex_b_without_a_start_code_has_no_units() {
        assert_eq!(annex_b_units(&[1, 2, 3]).count(), 0);
        assert_eq!(annex_b_units(&[0, 0, 1]).count(), 0);
        assert_eq!(annex_b_units(&[0, 0, 1, 0, 0, 0, 1]).count(), 0);
        assert_eq!(
            annex_b_units(&[9, 0, 0, 1, 5, 0]).collect::<Vec<_>>(),
            [[5]]
        );
    }
}
