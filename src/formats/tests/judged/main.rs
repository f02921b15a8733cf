//! What other people's programs say of what this crate writes, and how it reads what they write.
//!
//! One module per format. Start at [`judge`].

#![allow(clippy::unwrap_used)]

mod cpio;
mod deb;
mod fat;
mod gpt;
mod judge;
mod uki;
mod verity;
