//! What a node does for its site beside the store: it finds the other room, shows how both are, and takes
//! its place in Kubernetes. Start at [`Settings`], which `duetd boot` writes for the service `duetd agent`;
//! [`discovery`] finds the other room, [`View`] is how the site is, [`picture`] what a person sees of it,
//! [`page`] where that is shown, [`ask`] how another machine is asked, [`kubernetes::render`] what k3s is told.
//!
//! Decides nothing about who leads: that is the store's. What is heard on the wire is a hint, never
//! believed before the certificates of the site's authority are shown.

pub mod ask;
mod certificates;
pub mod discovery;
pub mod kubernetes;
pub mod page;
pub mod picture;
mod place;
pub mod render;
mod settings;
mod url;
pub mod view;

pub use certificates::{Files, TlsError};
pub use settings::Settings;
pub use view::View;
