//! Watches: who wants to know what, and how each is told everything once, in order. Start at
//! [`stream::WatchControl`], what a client's stream holds; [`hub`] feeds the streams that keep up.
//! No watch ever makes a write wait.

pub(crate) mod hub;
mod index;
pub(crate) mod queue;
pub(crate) mod stream;
#[cfg(test)]
mod tests;
