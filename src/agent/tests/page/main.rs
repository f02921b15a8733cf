//! The page as its readers have it: over real TLS, and in a real browser.
//!
//! `DUET_SCREENSHOTS=FOLDER cargo test -p agent --test page browser` leaves pictures of each state.
#![allow(clippy::unwrap_used)]

mod browser;
mod bundle;
mod chromium;
mod rig;
mod served;
