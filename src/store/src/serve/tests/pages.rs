//! Pages of HTTP, on the client's port and on the metrics' own.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{get, put, start};

/// The status and the text that HTTP/1 gives.
async fn fetch(url: &str, method: &str, path: &str) -> (u16, String) {
    let mut socket = TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), text.to_owned())
}

#[tokio::test]
async fn health_and_version_are_etcds() {
    let server = start(&[("listen-metrics-urls", "http://127.0.0.1:0")]).await;
    let client = server.urls[0].clone();
    let metrics = server.metrics[0].clone();
    let well = "{\"health\":\"true\",\"reason\":\"\"}";
    let cases = [
        (&client, "GET", "/health", 200, well),
        (&client, "GET", "/health?serializable=true", 200, well),
        (&metrics, "GET", "/health", 200, well),
        (&client, "POST", "/health", 405, "Method Not Allowed\n"),
        (&client, "GET", "/livez", 200, "ok\n"),
        (&client, "GET", "/livez/serializable_read", 200, "ok\n"),
        (&metrics, "GET", "/readyz", 200, "ok\n"),
        (
            &client,
            "GET",
            "/readyz?verbose",
            200,
            "[+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read ok\n\
             readyz check passed\n",
        ),
        (&client, "GET", "/readyz/nothing", 404, "404 page not found\n"),
        (&client, "GET", "/version", 200, "{\"etcdserver\":\"3.5.16\",\"etcdcluster\":\"3.5.0\"}"),
        (&metrics, "GET", "/version", 404, "404 page not found\n"),
        (&client, "GET", "/", 404, "404 page not found\n"),
    ];
    for (url, method, path, status, text) in cases {
        assert_eq!(fetch(url, method, path).await, (status, text.to_owned()), "{method} {path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_store_without_room_is_not_healthy_but_alive() {
    let server = start(&[("quota-backend-bytes", "10")]).await;
    // It fits by its own size; what is kept of it does not.
    server.client().await.kv.put(put("a", "1")).await.unwrap();
    assert_eq!(server.engine.alarms().body, [crate::engine::Alarm::NoSpace]);
    let url = server.urls[0].clone();
    let ill = "{\"health\":\"false\",\"reason\":\"ALARM NOSPACE\"}\n";
    assert_eq!(fetch(&url, "GET", "/health").await, (503, ill.to_owned()));
    assert_eq!(fetch(&url, "GET", "/health?exclude=NOSPACE").await.0, 200);
    assert_eq!(fetch(&url, "GET", "/livez").await, (200, "ok\n".to_owned()));
    let mut maintenance = server.client().await.maintenance;
    let status = maintenance.status(crate::wire::proto::StatusRequest {}).await.unwrap();
    assert_eq!(status.into_inner().errors, ["memberID:9 alarm:NOSPACE "]);
    server.stop().await;
}

#[tokio::test]
async fn a_metrics_url_tells_of_the_pair_and_changes_nothing() {
    let server = start(&[("listen-metrics-urls", "http://127.0.0.1:0")]).await;
    for path in ["/duet/pair", "/duet/pair/events"] {
        let (status, text) = fetch(&server.metrics[0], "GET", path).await;
        assert!(status == 404 && text.contains("a single store"), "{status} {text}");
    }
    server.stop().await;
}

#[tokio::test]
async fn metrics_have_etcds_names_and_count() {
    let server = start(&[("listen-metrics-urls", "http://127.0.0.1:0")]).await;
    let mut kv = server.client().await.kv;
    for _ in 0..3 {
        kv.put(put("a", "1")).await.unwrap();
    }
    kv.range(get("a")).await.unwrap();
    kv.range(get("")).await.unwrap_err();
    let (status, text) = fetch(&server.metrics[0], "GET", "/metrics").await;
    assert_eq!(status, 200);
    let put = "grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"";
    let range = put.replace("Put", "Range");
    let expected = [
        "etcd_server_has_leader 1".to_owned(),
        "etcd_server_is_leader 1".to_owned(),
        "etcd_server_version{server_version=\"3.5.16\"} 1".to_owned(),
        "etcd_mvcc_put_total 3".to_owned(),
        "etcd_debugging_mvcc_keys_total 1".to_owned(),
        "etcd_debugging_mvcc_current_revision 4".to_owned(),
        format!("grpc_server_handled_total{{grpc_code=\"OK\",{put}}} 3"),
        format!("grpc_server_handled_total{{grpc_code=\"OK\",{range}}} 1"),
        format!("grpc_server_handled_total{{grpc_code=\"InvalidArgument\",{range}}} 1"),
        format!("grpc_server_started_total{{{range}}} 2"),
    ];
    for line in expected {
        assert!(text.lines().any(|found| found == line), "{line} is not in:\n{text}");
    }
    let value = |name: &str| -> f64 {
        let line = text.lines().find(|line| line.split(' ').next() == Some(name));
        line.unwrap_or_else(|| panic!("no {name}")).rsplit(' ').next().unwrap().parse().unwrap()
    };
    for name in [
        "etcd_server_proposals_committed_total",
        "etcd_disk_wal_fsync_duration_seconds_count",
        "etcd_disk_wal_fsync_duration_seconds_bucket{le=\"+Inf\"}",
        "etcd_mvcc_db_total_size_in_bytes",
        "etcd_mvcc_db_total_size_in_use_in_bytes",
        "etcd_server_quota_backend_bytes",
        "etcd_network_client_grpc_received_bytes_total",
        "etcd_network_client_grpc_sent_bytes_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_start_time_seconds",
    ] {
        assert!(value(name) > 0.0, "{name}");
    }
    // Every name is described once, and every line is a name and a number.
    let mut described: Vec<_> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let count = described.len();
    described.sort_unstable();
    described.dedup();
    assert_eq!(described.len(), count);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        assert!(line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
    }
    server.stop().await;
}
