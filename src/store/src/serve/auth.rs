//! The Auth service, as an etcd answers whose authentication is off and has no users: there are none here.
//! Who may come in is the certificates' matter.

use bytes::Bytes;
use tonic::Status;

use super::body::Body;
use super::grpc::{decode, encode};
use super::method::Call;
use super::server::{Reply, Server};
use crate::wire::proto;

pub(super) fn unary(server: &Server, call: Call, message: Bytes) -> Reply {
    let header = Some(server.header(&server.engine.status()).into());
    let no = |text: &'static str| Err(Status::failed_precondition(text));
    let answer = match call {
        Call::AuthStatus => {
            decode::<proto::AuthStatusRequest>(message)?;
            // An etcd that never had users is at 1.
            encode(&proto::AuthStatusResponse { header, enabled: false, auth_revision: 1 })
        }
        Call::AuthDisable => encode(&proto::AuthDisableResponse { header }),
        Call::UserList => encode(&proto::AuthUserListResponse { header, users: Vec::new() }),
        Call::RoleList => encode(&proto::AuthRoleListResponse { header, roles: Vec::new() }),
        Call::AuthEnable => return no("etcdserver: root user does not exist"),
        Call::UserGet
        | Call::UserDelete
        | Call::UserChangePassword
        | Call::UserGrantRole
        | Call::UserRevokeRole => return no("etcdserver: user name not found"),
        Call::RoleGet
        | Call::RoleDelete
        | Call::RoleGrantPermission
        | Call::RoleRevokePermission => return no("etcdserver: role name not found"),
        // Users and roles cannot be made, and nobody can log in.
        _ => return no("etcdserver: authentication is not enabled"),
    };
    Ok(Body::message(answer))
}
