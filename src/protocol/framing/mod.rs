//! What the framers share: [`input`] (pushed bytes as one sequence), [`clock`] (samples to
//! microseconds without drift), [`tag`] (ID3 and its kin), [`sync`] (streams of frames that each
//! start with a header, such as MPEG audio and ADTS).

pub(crate) mod clock;
pub(crate) mod input;
pub(crate) mod sync;
pub(crate) mod tag;

#[cfg(test)]
pub(crate) mod testing;
