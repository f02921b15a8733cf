//! Whole clusters of two rooms in one process and in virtual time: real stores, the real log on disks that
//! break, the real protocol, a witness, power switches and clients. Start at [`report::run`], which runs a
//! [`plan::Plan`].
//!
//! A run follows from its plan, and a plan from its seed. No clock is read, no thread started, nothing is
//! drawn from elsewhere; a plan that fails fails each time.

pub mod history;
pub mod linear;
pub mod link;
pub mod moment;
pub mod mutant;
pub mod plan;
pub mod queue;
pub mod report;
pub mod scenario;
pub mod shrink;
pub mod sweep;
pub mod timeline;
mod world;
