//! What a node does for its site beside the store: it finds the other room, shows how both are, and takes
//! its place in Kubernetes. Start at [`Settings`], which `duetd boot` writes for the service `duetd agent`,
//! and at [`discovery`], which finds the other room.
//!
//! Decides nothing about who leads: that is the store's. What is heard on the wire is a hint, never
//! believed before the certificates of the site's authority are shown.

pub mod discovery;
pub mod render;
mod settings;

pub use settings::Settings;
