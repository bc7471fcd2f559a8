//! The one integration binary: everything that needs the whole program or the whole tree.
//!
//! Reading order: [`tidy`] (the tree keeps its own rules).

mod tidy;
