//! Settings from texts, and what is said of bad ones.
#![allow(clippy::unwrap_used)]

use expect_test::{Expect, expect};

use super::{Config, ConfigError, IGNORED, Listen, Raw, SETTINGS};

fn config(text: &str) -> Result<Config, ConfigError> {
    Raw::from_toml(text).and_then(Config::try_from)
}

/// The settings in full, or what is wrong with them.
fn check(text: &str, expected: Expect) {
    let shown = match config(text) {
        Ok(config) => {
            assert_eq!(self::config(&config.to_toml()).unwrap(), config, "it reads what it prints");
            config.to_string()
        }
        Err(error) => error.problems.iter().map(|problem| format!("{problem}\n")).collect(),
    };
    expected.assert_eq(&shown);
}

#[test]
fn nothing_is_etcds_default() {
    check(
        "",
        expect![[r#"
            name = "default"
            data-dir = "default.etcd"
            listen-client-urls = ["http://localhost:2379"]
            advertise-client-urls = ["http://localhost:2379"]
            listen-metrics-urls = []
            quota-backend-bytes = 2147483648
            max-request-bytes = 1572864
            max-txn-ops = 128
            max-concurrent-streams = 32768
            max-connections = 8192
            auto-compaction-mode = "periodic"
            auto-compaction-retention = "0"
            grpc-keepalive-interval = "30s"
            grpc-keepalive-timeout = "20s"
            experimental-watch-progress-notify-interval = "10m"
        "#]],
    );
}

#[test]
fn everything_can_be_set() {
    check(
        r#"
        name = "a"
        data-dir = "/var/lib/duet/store"
        listen-client-urls = "https://10.0.0.1:2379, unix:///run/duet/store.sock"
        advertise-client-urls = ["https://store-a.example:2379"]
        listen-metrics-urls = ["http://[::1]:2381"]
        cert-file = "a.pem"
        key-file = "a.key"
        trusted-ca-file = "ca.pem"
        client-cert-auth = true
        quota-backend-bytes = -1
        max-request-bytes = 4194304
        max-txn-ops = 10240
        auto-compaction-mode = "revision"
        auto-compaction-retention = 1000
        grpc-keepalive-interval = "1h30m"
        experimental-watch-progress-notify-interval = "5s"
        snapshot-count = 10000
        initial-cluster = "a=http://localhost:2380"
        "#,
        expect![[r#"
            name = "a"
            data-dir = "/var/lib/duet/store"
            listen-client-urls = ["https://10.0.0.1:2379", "unix:///run/duet/store.sock"]
            advertise-client-urls = ["https://store-a.example:2379"]
            listen-metrics-urls = ["http://[::1]:2381"]
            cert-file = "a.pem"
            key-file = "a.key"
            trusted-ca-file = "ca.pem"
            client-cert-auth = true
            quota-backend-bytes = -1
            max-request-bytes = 4194304
            max-txn-ops = 10240
            max-concurrent-streams = 32768
            max-connections = 8192
            auto-compaction-mode = "revision"
            auto-compaction-retention = "1000"
            grpc-keepalive-interval = "90m"
            grpc-keepalive-timeout = "20s"
            experimental-watch-progress-notify-interval = "5s"
        "#]],
    );
}

#[test]
fn every_problem_is_named_at_once() {
    check(
        r#"
        name = ""
        data-dir = ""
        listen-client-urls = ["https://localhost:2379", "store.sock", "ftp://x:1", "http://node-a:2379",
            "http://1.2.3.4", "http://1.2.3.4:99999", "http://1.2.3.4:1/path", "unix://",
            "http://0.0.0.0:1", "http://0.0.0.0:1"]
        advertise-client-urls = "store a"
        key-file = "a.key"
        client-cert-auth = true
        max-request-bytes = 0
        max-txn-ops = 65537
        max-connections = 0
        auto-compaction-mode = "sometimes"
        grpc-keepalive-interval = "soon"
        grpc-keepalive-timeout = "10ms"
        experimental-watch-progress-notify-interval = "1ms"
        "#,
        expect![[r#"
            name: must have 1 to 255 printable characters
            data-dir: is empty
            listen-client-urls: `store.sock` is no URL; write http://127.0.0.1:2379
            listen-client-urls: `ftp://x:1` is neither http, https, unix nor unixs
            listen-client-urls: `http://node-a:2379` has no IP address to listen on; a name is taken only if it is localhost
            listen-client-urls: `http://1.2.3.4` has no port; write http://1.2.3.4:2379
            listen-client-urls: `http://1.2.3.4:99999` has no port between 0 and 65535
            listen-client-urls: `http://1.2.3.4:1/path` has a path; the store answers at the root only
            listen-client-urls: `unix://` names no file; write unix:///run/store.sock
            listen-client-urls: `http://0.0.0.0:1` comes twice
            advertise-client-urls: `store a` is no URL that a client could use
            client-cert-auth: needs trusted-ca-file: which authorities' clients are let in?
            cert-file: is missing; key-file is set
            max-request-bytes: 0 is not between 1 and 67108864
            max-txn-ops: 65537 is not between 1 and 65536
            max-connections: 0 is not between 1 and 1048576
            auto-compaction-mode: `sometimes` is neither `periodic` nor `revision`
            grpc-keepalive-interval: `soon` is no span of time; write 1h, 10m, 1.5s or 300ms
            grpc-keepalive-timeout: 10ms is shorter than 1s
            experimental-watch-progress-notify-interval: 1ms is shorter than 100ms
        "#]],
    );
}

#[test]
fn certificates_come_together() {
    let cases = [
        (
            "listen-client-urls = 'https://127.0.0.1:1'",
            "cert-file: is missing, and so is key-file; https://127.0.0.1:1 needs both\n",
        ),
        ("cert-file = 'a'", "key-file: is missing; cert-file is set\n"),
        ("trusted-ca-file = 'a'", "trusted-ca-file: is of no use without cert-file and key-file\n"),
        ("listen-client-urls = []", "listen-client-urls: names no URL\n"),
    ];
    for (text, expected) in cases {
        let error = config(text).unwrap_err();
        let shown: String = error.problems.iter().map(|problem| format!("{problem}\n")).collect();
        assert_eq!(shown, expected, "{text}");
    }
}

#[test]
fn retention_has_etcds_forms() {
    use crate::engine::Retention::{Forever, Revisions, Time};
    use std::time::Duration;
    let hours = |hours: u64| Some(Time(Duration::from_secs(hours * 3600)));
    let cases = [
        ("", "0", Some(Forever)),
        ("periodic", "1", hours(1)),
        ("periodic", "24h", hours(24)),
        ("periodic", "30m", Some(Time(Duration::from_secs(1800)))),
        ("periodic", "0", Some(Forever)),
        ("periodic", "10ms", None),
        ("periodic", "-1", None),
        ("periodic", "", None),
        ("revision", "5", Some(Revisions(5))),
        ("revision", "0", Some(Forever)),
        ("revision", "1h", None),
        ("revision", "-5", None),
    ];
    for (mode, kept, expected) in cases {
        let mut raw = Raw::default();
        if !mode.is_empty() {
            raw.set("auto-compaction-mode", mode).unwrap();
        }
        raw.set("auto-compaction-retention", kept).unwrap();
        let found = Config::try_from(raw).map(|config| config.auto_compaction).ok();
        assert_eq!(found, expected, "{mode} {kept}");
    }
}

#[test]
fn files_that_are_none_are_refused_with_their_place() {
    let cases = [
        ("name = ", "line 1: string values must be quoted, expected literal string"),
        ("\nnames = 'a'", "line 2: unknown field `names`"),
        ("name = 'a'\nmax-txn-ops = 'many'", "line 2: invalid type: string \"many\", expected u64"),
        ("snapshot-count = 1\nnames = 'a'", "the file: unknown field `names`"),
        (
            "listen-client-urls = 5",
            "line 1: invalid type: integer `5`, expected a list of texts, or one text with commas",
        ),
    ];
    for (text, expected) in cases {
        let error = config(text).unwrap_err();
        let shown = error.problems[0].to_string();
        assert!(shown.starts_with(expected), "{text}: {shown}");
    }
}

#[test]
fn flags_win_over_the_environment_and_it_over_the_file() {
    let variables = [
        ("ETCD_NAME", "etcd"),
        ("ETCD_DATA_DIR", "/etcd"),
        ("DUET_STORE_DATA_DIR", "/duet"),
        ("ETCD_VERSION", "3.5"),
        ("ETCD_CLIENT_CERT_AUTH", "false"),
        ("PATH", "/bin"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let environment = Raw::from_environment(variables).unwrap();
    let file = Raw::from_toml("name = 'file'\nmax-txn-ops = 7\ndata-dir = '/file'").unwrap();
    let mut flags = Raw::default();
    flags.set("name", "flag").unwrap();
    let config = Config::try_from(flags.over(environment).over(file)).unwrap();
    assert_eq!(config.name, "flag");
    assert_eq!(config.data_dir.to_str(), Some("/duet"));
    assert_eq!(config.max_txn_ops, 7);
}

#[test]
fn bad_variables_are_all_named() {
    let variables = [("ETCD_MAX_TXN_OPS", "x"), ("DUET_STORE_CLIENT_CERT_AUTH", "perhaps")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let error = Raw::from_environment(variables).unwrap_err();
    let expected = "the store's settings cannot be used: DUET_STORE_CLIENT_CERT_AUTH: `perhaps` is \
                    neither true nor false; ETCD_MAX_TXN_OPS: `x` is no number";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn every_setting_can_be_set_by_name_and_none_is_ignored_too() {
    for setting in SETTINGS {
        let mut raw = Raw::default();
        raw.set(setting.name, "1").unwrap();
        assert_ne!(raw, Raw::default(), "{}", setting.name);
        assert!(!IGNORED.contains(&setting.name), "{}", setting.name);
        assert!(!setting.help.ends_with('.'), "{}", setting.name);
    }
    assert!(Raw::default().set("snapshot-counts", "1").is_err());
    assert!(!IGNORED.contains(&"unsafe-no-fsync"), "what weakens the promise is not passed over");
}

#[test]
fn urls_read_what_they_show() {
    for url in [
        "http://127.0.0.1:0",
        "https://[::]:2379",
        "http://localhost:2379",
        "unix:///run/store.sock",
        "unixs://store.sock",
    ] {
        assert_eq!(url.parse::<Listen>().unwrap().to_string(), url);
    }
    assert_eq!("http://localhost:1/".parse::<Listen>().unwrap().to_string(), "http://localhost:1");
    for url in
        ["http://[::1:1", "http://::1:1", "http://[1.2.3.4]:1", "http://:1", "HTTP://1.2.3.4:1"]
    {
        assert!(url.parse::<Listen>().is_err(), "{url}");
    }
}

#[test]
fn where_the_other_room_is_may_stand_in_a_file() {
    let pair = "site = 's'\nroom = 'a'\nauthority = 'operator'\npeer-cert-file = 'c'\n\
                peer-key-file = 'k'\npeer-trusted-ca-file = 't'\n";
    let missing = "peer-urls: is missing; https://host:port, with commas between";
    let cases = [
        ("", Err(missing)),
        ("peer-urls = []", Err(missing)),
        ("peer-urls-file = '/run/p'", Ok(vec![])),
        ("peer-urls-file = '/run/p'\npeer-urls = ''", Ok(vec![])),
        (
            "peer-urls-file = '/run/p'\npeer-urls = 'https://[fe80::1%eth0]:2'",
            Ok(vec!["[fe80::1%eth0]:2"]),
        ),
        (
            "peer-urls-file = '/run/p'\npeer-urls = 'b:2'",
            Err("peer-urls: `b:2` does not begin with https://: the link is encrypted"),
        ),
    ];
    for (text, expected) in cases {
        let found = config(&format!("{pair}{text}"));
        let peers = found.as_ref().map(|config| config.pair.as_ref().unwrap().peers.clone());
        let peers = peers.map_err(|error| error.problems[0].to_string());
        let expected = expected.map(|peers| peers.into_iter().map(str::to_owned).collect());
        assert_eq!(peers, expected.map_err(str::to_owned), "{text}");
        if let Ok(found) = found {
            assert_eq!(config(&found.to_toml()).unwrap(), found, "it reads what it prints");
            let file = found.pair.unwrap().peers_file;
            assert_eq!(file.as_deref(), Some(std::path::Path::new("/run/p")));
        }
    }
    let alone = config("peer-urls-file = '/run/p'").unwrap_err();
    assert_eq!(alone.problems[0].setting, "room");
}
