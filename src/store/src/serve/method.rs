//! The methods of the services, by their paths. Start at [`find`].

/// How many messages go which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Unary,
    ServerStream,
    BidiStream,
}

impl Kind {
    /// As the metrics of Go's gRPC name it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Kind::Unary => "unary",
            Kind::ServerStream => "server_stream",
            Kind::BidiStream => "bidi_stream",
        }
    }
}

/// One method.
#[derive(Debug)]
pub(crate) struct Method {
    pub(crate) call: Call,
    pub(crate) service: &'static str,
    pub(crate) name: &'static str,
    pub(crate) path: &'static str,
    pub(crate) kind: Kind,
}

macro_rules! methods {
    ($($service:literal { $($call:ident $name:literal $kind:ident,)* })*) => {
        /// What is called.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Call {
            $($($call,)*)*
        }

        /// Every method, in the order of [`Call`]; those that are called most come first.
        pub(crate) const METHODS: &[Method] = &[
            $($(Method {
                call: Call::$call,
                service: $service,
                name: $name,
                path: concat!("/", $service, "/", $name),
                kind: Kind::$kind,
            },)*)*
        ];
    };
}

methods! {
    "etcdserverpb.KV" {
        Txn "Txn" Unary,
        Range "Range" Unary,
        Put "Put" Unary,
        DeleteRange "DeleteRange" Unary,
        Compact "Compact" Unary,
    }
    "etcdserverpb.Watch" {
        Watch "Watch" BidiStream,
    }
    "etcdserverpb.Lease" {
        LeaseKeepAlive "LeaseKeepAlive" BidiStream,
        LeaseGrant "LeaseGrant" Unary,
        LeaseRevoke "LeaseRevoke" Unary,
        LeaseTimeToLive "LeaseTimeToLive" Unary,
        LeaseLeases "LeaseLeases" Unary,
    }
    "etcdserverpb.Maintenance" {
        Status "Status" Unary,
        Alarm "Alarm" Unary,
        Defragment "Defragment" Unary,
        Hash "Hash" Unary,
        HashKv "HashKV" Unary,
        Snapshot "Snapshot" ServerStream,
        MoveLeader "MoveLeader" Unary,
        Downgrade "Downgrade" Unary,
    }
    "etcdserverpb.Cluster" {
        MemberList "MemberList" Unary,
        MemberAdd "MemberAdd" Unary,
        MemberRemove "MemberRemove" Unary,
        MemberUpdate "MemberUpdate" Unary,
        MemberPromote "MemberPromote" Unary,
    }
    "etcdserverpb.Auth" {
        AuthEnable "AuthEnable" Unary,
        AuthDisable "AuthDisable" Unary,
        AuthStatus "AuthStatus" Unary,
        Authenticate "Authenticate" Unary,
        UserAdd "UserAdd" Unary,
        UserGet "UserGet" Unary,
        UserList "UserList" Unary,
        UserDelete "UserDelete" Unary,
        UserChangePassword "UserChangePassword" Unary,
        UserGrantRole "UserGrantRole" Unary,
        UserRevokeRole "UserRevokeRole" Unary,
        RoleAdd "RoleAdd" Unary,
        RoleGet "RoleGet" Unary,
        RoleList "RoleList" Unary,
        RoleDelete "RoleDelete" Unary,
        RoleGrantPermission "RoleGrantPermission" Unary,
        RoleRevokePermission "RoleRevokePermission" Unary,
    }
    "grpc.health.v1.Health" {
        HealthCheck "Check" Unary,
        HealthWatch "Watch" ServerStream,
    }
}

/// The method of a path.
pub(crate) fn find(path: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.path == path)
}

/// What Go's gRPC says of a path that is no method.
pub(crate) fn unknown(path: &str) -> String {
    let (service, name) = path.trim_start_matches('/').rsplit_once('/').unwrap_or((path, ""));
    if METHODS.iter().any(|method| method.service == service) {
        format!("unknown method {name} for service {service}")
    } else {
        format!("unknown service {service}")
    }
}
