//! Placeholder head, replaced by the first code.
