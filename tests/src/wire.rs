//! etcd's messages and the generated clients, as the store compiles them from its own .proto files.
//!
//! They carry every field, and are compared as they came: nothing between the socket and a test
//! decides what a field means. [`MAX_MESSAGE`] is above what any server here sends.

pub use store::wire::proto::{etcdserverpb, mvccpb};

/// The largest message that a test's client takes: tonic's own 4 MiB are less than a page of 10,000
/// objects.
pub const MAX_MESSAGE: usize = 256 << 20;
