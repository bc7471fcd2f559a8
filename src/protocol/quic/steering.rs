//! Which shard a datagram belongs to: the first byte of the destination connection id says it,
//! modulo the number of shards, whoever chose the id. So the kernel can tell it too.

/// Bytes of every connection id that we choose.
pub const ID_BYTES: usize = 16;

/// The longest connection id of version 1 (RFC 9000 section 17.2).
pub const ID_BYTES_MAX: usize = 20;

/// The most shards that one byte can tell apart.
pub const SHARDS_MAX: u16 = 256;

/// The bit of the first byte that tells a long header (RFC 8999 section 5.1).
pub const LONG_HEADER: u8 = 0x80;

/// Where the id begins in a short header (RFC 8999 section 5.2).
pub const SHORT_ID_AT: usize = 1;

/// Where the id begins in a long header, its length before it (RFC 8999 section 5.1).
pub const LONG_ID_AT: usize = 6;

/// The destination connection id of the first packet of `datagram`, as it stands before any
/// cipher; nothing where the datagram is too short for it, or the id longer than any can be.
pub fn destination(datagram: &[u8]) -> Option<&[u8]> {
    let (&first, _) = datagram.split_first()?;
    if first & LONG_HEADER == 0 {
        return datagram.get(SHORT_ID_AT..SHORT_ID_AT + ID_BYTES);
    }
    let bytes = usize::from(*datagram.get(LONG_ID_AT - 1)?);
    if bytes > ID_BYTES_MAX {
        return None;
    }
    datagram.get(LONG_ID_AT..LONG_ID_AT + bytes)
}

/// Whether the first packet of `datagram` has a long header: it is of a handshake.
pub fn is_long(datagram: &[u8]) -> bool {
    datagram
        .first()
        .is_some_and(|first| first & LONG_HEADER != 0)
}

/// The shard of the connection `id`, where there are `shards` of them.
pub fn shard_of(id: &[u8], shards: u16) -> u16 {
    let first = id.first().copied().unwrap_or_default();
    u16::from(first) % shards.clamp(1, SHARDS_MAX)
}

/// Makes random bytes the id of a connection of `shard`.
pub fn mark(id: &mut [u8; ID_BYTES], shard: u16, shards: u16) {
    let shards = shards.clamp(1, SHARDS_MAX);
    let [first, ..] = id;
    // The last round of a byte may be short of some shards: it is folded into the first ones.
    let rounds = SHARDS_MAX / shards;
    let round = (u16::from(*first) / shards) % rounds;
    let marked = round * shards + shard % shards;
    *first = u8::try_from(marked).unwrap_or_default();
}
