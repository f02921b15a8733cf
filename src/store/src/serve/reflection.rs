//! Reflection: the services describe themselves to tools such as grpcurl, in both versions of the protocol
//! that are in use.

use std::convert::Infallible;

use http::{Request, Response};
use hyper::body::Incoming;
use tower::util::BoxCloneSyncService;

use crate::wire::proto;

type Service = BoxCloneSyncService<Request<Incoming>, Response<tonic::body::Body>, Infallible>;

/// Both versions.
pub(crate) struct Both {
    v1: Service,
    v1alpha: Service,
}

impl Both {
    pub(crate) fn new() -> Both {
        let builder = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(proto::DESCRIPTION)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let sound = "the description was made by the compiler";
        Both {
            v1: Service::new(builder().build_v1().expect(sound)),
            v1alpha: Service::new(builder().build_v1alpha().expect(sound)),
        }
    }

    /// The one that the path asks for.
    pub(crate) fn find(&self, path: &str) -> Option<Service> {
        match path {
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo" => Some(self.v1.clone()),
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo" => {
                Some(self.v1alpha.clone())
            }
            _ => None,
        }
    }
}
