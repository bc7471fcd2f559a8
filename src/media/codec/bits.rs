//! Bits and bytes of headers, read without a way past their end.

use std::borrow::Cow;

use super::HeaderFault;

/// Reads bits, the most significant first.
#[derive(Clone, Debug)]
pub struct BitReader<'a> {
    bytes: &'a [u8],
    /// The next bit; never past the end.
    at_bit: usize,
}

impl<'a> BitReader<'a> {
    /// A reader at the first bit of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        BitReader { bytes, at_bit: 0 }
    }

    /// How many bits follow.
    pub fn bits_left(&self) -> usize {
        self.bytes.len() * 8 - self.at_bit
    }

    /// How many bits were read.
    pub fn bits_read(&self) -> usize {
        self.at_bit
    }

    /// The next bit.
    ///
    /// # Errors
    /// [`HeaderFault::Truncated`] at the end.
    pub fn flag(&mut self) -> Result<bool, HeaderFault> {
        let byte = self
            .bytes
            .get(self.at_bit / 8)
            .ok_or(HeaderFault::Truncated)?;
        let bit = byte >> (7 - self.at_bit % 8) & 1;
        self.at_bit += 1;
        Ok(bit == 1)
    }

    /// The next `count` bits as a number; `count` is at most 32.
    ///
    /// # Errors
    /// [`HeaderFault::Truncated`] where fewer are left or more are asked for.
    pub fn bits(&mut self, count: u32) -> Result<u32, HeaderFault> {
        if count > 32 || self.bits_left() < count as usize {
            return Err(HeaderFault::Truncated);
        }
        let mut value: u64 = 0;
        let mut wanted = count as usize;
        while wanted > 0 {
            let byte = self
                .bytes
                .get(self.at_bit / 8)
                .ok_or(HeaderFault::Truncated)?;
            let inside = self.at_bit % 8;
            let taken = wanted.min(8 - inside);
            let piece = (u32::from(*byte) >> (8 - inside - taken)) & ((1 << taken) - 1);
            value = value << taken | u64::from(piece);
            self.at_bit += taken;
            wanted -= taken;
        }
        // At most 32 bits were gathered.
        Ok(value as u32)
    }

    /// The next `count` bits (at most 8) as a byte.
    ///
    /// # Errors
    /// As [`BitReader::bits`].
    pub fn small(&mut self, count: u32) -> Result<u8, HeaderFault> {
        self.bits(count.min(8)).map(|value| value as u8)
    }

    /// Passes over `count` bits.
    ///
    /// # Errors
    /// [`HeaderFault::Truncated`] where fewer are left.
    pub fn skip(&mut self, count: usize) -> Result<(), HeaderFault> {
        if self.bits_left() < count {
            return Err(HeaderFault::Truncated);
        }
        self.at_bit += count;
        Ok(())
    }

    /// Passes over what is left of a byte that was begun.
    pub fn align(&mut self) {
        self.at_bit = self.at_bit.next_multiple_of(8);
    }

    /// An unsigned Exp-Golomb number, `ue(v)` of ISO/IEC 14496-10 section 9.1 and ISO/IEC 23008-2
    /// section 9.2.
    ///
    /// # Errors
    /// [`HeaderFault::Truncated`] at the end, [`HeaderFault::Invalid`] above 32 bits.
    pub fn ue(&mut self) -> Result<u32, HeaderFault> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return Err(HeaderFault::Invalid("Exp-Golomb number"));
            }
        }
        // 2^zeros - 1 + zeros bits: below 2^32 for at most 31 zeros.
        Ok((1u32 << zeros) - 1 + self.bits(zeros)?)
    }

    /// A signed Exp-Golomb number, `se(v)` of ISO/IEC 14496-10 section 9.1.1.
    ///
    /// # Errors
    /// As [`BitReader::ue`].
    pub fn se(&mut self) -> Result<i32, HeaderFault> {
        let code = i64::from(self.ue()?);
        let magnitude = (code + 1) / 2;
        let value = if code % 2 == 1 { magnitude } else { -magnitude };
        i32::try_from(value).map_err(|_| HeaderFault::Invalid("Exp-Golomb number"))
    }

    /// `uvlc()` of the AV1 specification, section 4.10.3.
    ///
    /// # Errors
    /// [`HeaderFault::Truncated`] at the end.
    pub fn uvlc(&mut self) -> Result<u32, HeaderFault> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
        }
        if zeros >= 32 {
            return Ok(u32::MAX);
        }
        Ok((1u32 << zeros) - 1 + self.bits(zeros)?)
    }
}

/// Reads whole bytes, big-endian.
#[derive(Clone, Debug)]
pub struct ByteReader<'a> {
    rest: &'a [u8],
}

impl<'a> ByteReader<'a> {
    /// A reader at the first of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        ByteReader { rest: bytes }
    }

    /// What was not read.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// [`HeaderFault::Truncated`] where fewer are left.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], HeaderFault> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(HeaderFault::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next byte.
    ///
    /// # Errors
    /// [`HeaderFault::Truncated`] at the end.
    pub fn u8(&mut self) -> Result<u8, HeaderFault> {
        let (first, rest) = self.rest.split_first().ok_or(HeaderFault::Truncated)?;
        self.rest = rest;
        Ok(*first)
    }

    /// The next two bytes.
    ///
    /// # Errors
    /// [`HeaderFault::Truncated`] where fewer are left.
    pub fn u16(&mut self) -> Result<u16, HeaderFault> {
        Ok(u16::from(self.u8()?) << 8 | u16::from(self.u8()?))
    }

    /// The next three bytes.
    ///
    /// # Errors
    /// [`HeaderFault::Truncated`] where fewer are left.
    pub fn u24(&mut self) -> Result<u32, HeaderFault> {
        Ok(u32::from(self.u8()?) << 16 | u32::from(self.u16()?))
    }

    /// The next four bytes.
    ///
    /// # Errors
    /// [`HeaderFault::Truncated`] where fewer are left.
    pub fn u32(&mut self) -> Result<u32, HeaderFault> {
        Ok(u32::from(self.u16()?) << 16 | u32::from(self.u16()?))
    }
}

/// The number in LEB128 at the start of `bytes` (AV1 specification section 4.10.5: at most 8 bytes
/// and 32 bits) and how many bytes it takes.
///
/// # Errors
/// [`HeaderFault::Truncated`] where it does not end, [`HeaderFault::Invalid`] where it is too
/// large.
pub fn leb128(bytes: &[u8]) -> Result<(u32, usize), HeaderFault> {
    let mut value: u64 = 0;
    for at in 0..8 {
        let byte = *bytes.get(at).ok_or(HeaderFault::Truncated)?;
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let value = u32::try_from(value).map_err(|_| HeaderFault::Invalid("LEB128"))?;
            return Ok((value, at + 1));
        }
    }
    Err(HeaderFault::Invalid("LEB128"))
}

/// The payload of a NAL unit without its emulation prevention bytes (ISO/IEC 14496-10 section
/// 7.4.1.1): a 3 behind two zeros goes.
pub fn without_emulation(nal: &[u8]) -> Cow<'_, [u8]> {
    if !nal.windows(3).any(|bytes| bytes == [0, 0, 3]) {
        return Cow::Borrowed(nal);
    }
    let mut kept = Vec::with_capacity(nal.len());
    let mut zeros = 0;
    for &byte in nal {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        kept.push(byte);
    }
    Cow::Owned(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_in_order_and_never_past_the_end() {
        let mut bits = BitReader::new(&[0b1010_0101, 0xff, 0, 0, 0x80]);
        assert_eq!(bits.flag(), Ok(true));
        assert_eq!(bits.bits(3), Ok(0b010));
        assert_eq!(bits.bits(0), Ok(0));
        assert_eq!(bits.bits(32), Ok(0b0101_1111_1111_0000_0000_0000_0000_1000));
        assert_eq!(bits.bits_left(), 4);
        assert_eq!(bits.bits(5), Err(HeaderFault::Truncated));
        assert_eq!(bits.skip(4), Ok(()));
        assert_eq!(bits.flag(), Err(HeaderFault::Truncated));
        assert_eq!(
            BitReader::new(&[0; 8]).bits(33),
            Err(HeaderFault::Truncated)
        );
    }

    #[test]
    fn exp_golomb_numbers_are_those_of_the_table() {
        // 1, 010, 011, 00100, 00101: 0 1 2 3 4, and as signed 0 1 -1 2 -2.
        let coded = [0b1010_0110, 0b0100_0010, 0b1000_0000];
        let mut bits = BitReader::new(&coded);
        for expected in 0..5 {
            assert_eq!(bits.ue(), Ok(expected));
        }
        let mut bits = BitReader::new(&coded);
        for expected in [0, 1, -1, 2, -2] {
            assert_eq!(bits.se(), Ok(expected));
        }
        let mut largest = BitReader::new(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(largest.ue(), Ok(u32::MAX - 1));
        assert!(BitReader::new(&[0; 9]).ue().is_err());
        assert_eq!(BitReader::new(&[0, 0]).ue(), Err(HeaderFault::Truncated));
        assert_eq!(BitReader::new(&[0, 0, 0, 0, 0x80]).uvlc(), Ok(u32::MAX));
    }

    #[test]
    fn leb128_is_bounded() {
        assert_eq!(leb128(&[0x7f]), Ok((127, 1)));
        assert_eq!(leb128(&[0xe5, 0x8e, 0x26, 9]), Ok((624_485, 3)));
        assert_eq!(leb128(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Ok((u32::MAX, 5)));
        assert!(leb128(&[0xff, 0xff, 0xff, 0xff, 0x1f]).is_err());
        assert_eq!(leb128(&[0x80; 4]), Err(HeaderFault::Truncated));
        assert!(leb128(&[0x80; 9]).is_err());
    }

    #[test]
    fn emulation_prevention_goes_and_nothing_else() {
        assert_eq!(*without_emulation(&[0, 0, 3, 1]), [0, 0, 1]);
        assert_eq!(*without_emulation(&[0, 0, 3, 0, 0, 3]), [0, 0, 0, 0]);
        assert_eq!(*without_emulation(&[0, 3, 0, 1, 3]), [0, 3, 0, 1, 3]);
    }

    #[test]
    fn bytes_are_big_endian() {
        let mut bytes = ByteReader::new(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
        assert_eq!(bytes.u8(), Ok(1));
        assert_eq!(bytes.u16(), Ok(0x0203));
        assert_eq!(bytes.u24(), Ok(0x04_0506));
        assert_eq!(bytes.u32(), Ok(0x0708_090a));
        assert_eq!(bytes.take(2), Err(HeaderFault::Truncated));
        assert_eq!((bytes.take(1), bytes.rest()), (Ok(&[11][..]), &[][..]));
    }
}
