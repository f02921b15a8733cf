//! etcd's messages on the wire. [`proto`] is what the compiler makes of the .proto files: the messages, a
//! client for each service, and their description. The messages of the KV and Watch services are, on the
//! server's side, read and written by hand straight from and to mvcc's types: nothing is copied twice, and
//! what goes into the store does not hold on to the connection's buffers.
//!
//! Start at `request` for reading, at `response` for writing. Nothing here decides or waits; that both
//! ways give the same bytes is a test.

mod convert;
mod field;
pub(crate) mod request;
pub(crate) mod response;
#[cfg(test)]
mod tests;

pub(crate) use convert::watch_create;
pub(crate) use field::Malformed;

/// What the compiler makes of the .proto files.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    reason = "generated; the .proto files hold the comments"
)]
pub mod proto {
    /// Keys and events (etcd's package).
    pub mod mvccpb {
        tonic::include_proto!("mvccpb");
    }
    /// Users' rights (etcd's package).
    pub mod authpb {
        tonic::include_proto!("authpb");
    }
    /// The services and their messages (etcd's package).
    pub mod etcdserverpb {
        tonic::include_proto!("etcdserverpb");
    }

    pub use etcdserverpb::*;
    pub use mvccpb::{Event, KeyValue, event};

    /// The description of all of them (a protobuf `FileDescriptorSet`), for reflection.
    pub const DESCRIPTION: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/etcd.bin"));
}
