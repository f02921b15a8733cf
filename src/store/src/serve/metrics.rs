//! The page of metrics, in Prometheus' text format and with etcd's names (etcd v3.5
//! `Documentation/metrics`), so that dashboards and alerts made for etcd work. Start at [`page`].

use std::fmt::{Display, Write};
use std::time::UNIX_EPOCH;

use tonic::Code;

use super::count::{CODES, Counters};
use super::method::{METHODS, Method};
use super::process::Process;
use super::server::Server;
use crate::engine::paired::Seat;
use crate::engine::{Histogram, Metrics, Standing, Status};
use crate::serve::ETCD_VERSION;

/// The page as it is now.
pub(super) fn page(server: &Server) -> String {
    let mut page = Page(String::with_capacity(16 << 10));
    page.engine(&server.engine.metrics(), &server.engine.status().body);
    page.server(server);
    page.pair(server);
    page.calls(&server.counters);
    page.process(&Process::read(), server);
    page.0
}

/// Metrics, written one after the other.
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a text does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, "gauge", help);
        self.line(name, "", value);
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, "counter", help);
        self.line(name, "", value);
    }

    fn histogram(&mut self, name: &str, help: &str, seconds: &Histogram) {
        self.head(name, "histogram", help);
        let mut below = 0;
        for (bound, count) in Histogram::BOUNDS.iter().zip(seconds.buckets) {
            below += count;
            self.line(&format!("{name}_bucket"), &format!("{{le=\"{bound}\"}}"), below);
        }
        self.line(&format!("{name}_bucket"), "{le=\"+Inf\"}", seconds.count);
        self.line(&format!("{name}_sum"), "", seconds.sum);
        self.line(&format!("{name}_count"), "", seconds.count);
    }

    /// What a store that is one of two has besides.
    fn pair(&mut self, server: &Server) {
        let (Some(seat), Some(link)) = (server.engine.seat(), server.link()) else { return };
        let standing = seat.standing();
        let is = |wanted| u8::from(standing == wanted);
        self.gauge("duet_pair_leads", "1 while this room leads.", is(Standing::Leads));
        self.gauge("duet_pair_follows", "1 while this room follows.", is(Standing::Follows));
        self.gauge(
            "duet_pair_epoch",
            "The number of the newest decision that this room has persisted.",
            server.engine.status().term,
        );
        self.gauge(
            "duet_pair_serves",
            "1 while this room may answer linearizable reads by itself.",
            u8::from(seat.serves()),
        );
        self.gauge(
            "duet_pair_would_survive",
            "1 if this room would go on by itself, were the other one lost now.",
            u8::from(seat.would_survive() == Some(true)),
        );
        let up = |connected: bool| u8::from(connected);
        self.head("duet_pair_link_up", "gauge", "1 while the link to the other room is there.");
        self.line("duet_pair_link_up", "{way=\"outward\"}", up(link.outward.is_some()));
        self.line("duet_pair_link_up", "{way=\"inward\"}", up(link.inward.is_some()));
        let seconds =
            |span: Option<std::time::Duration>| span.map_or(-1.0, |span| span.as_secs_f64());
        self.gauge(
            "duet_pair_link_round_trip_seconds",
            "How long the last ping over the link took; -1 for none.",
            seconds(link.round_trip),
        );
        self.gauge(
            "duet_pair_link_heard_seconds",
            "How long ago anything came from the other room; -1 for never.",
            seconds(link.heard),
        );
        let counters = &link.counters;
        self.counter(
            "duet_pair_link_frames_dropped_total",
            "Frames that were not sent.",
            counters.frames_dropped,
        );
        self.counter(
            "duet_pair_link_sent_bytes_total",
            "Bytes that were sent to the other room.",
            counters.bytes_sent,
        );
        self.counter(
            "duet_pair_link_received_bytes_total",
            "Bytes that came from the other room.",
            counters.bytes_received,
        );
    }

    fn engine(&mut self, metrics: &Metrics, status: &Status) {
        let Metrics { fsync, checkpoint, .. } = metrics;
        self.gauge(
            "etcd_server_proposals_committed_total",
            "Log entries that are durable.",
            status.index,
        );
        self.gauge(
            "etcd_server_proposals_applied_total",
            "Log entries that readers see.",
            status.index,
        );
        self.gauge(
            "etcd_server_proposals_pending",
            "Writes that wait for the disk.",
            metrics.pending,
        );
        self.counter(
            "etcd_server_proposals_failed_total",
            "Writes refused for want of room.",
            metrics.failed,
        );
        self.gauge("etcd_server_quota_backend_bytes", "The quota in bytes.", status.quota);
        self.histogram(
            "etcd_disk_wal_fsync_duration_seconds",
            "How long a group of writes took to the disk.",
            fsync,
        );
        self.histogram(
            "etcd_disk_backend_commit_duration_seconds",
            "How long a checkpoint took.",
            checkpoint,
        );
        self.counter(
            "etcd_disk_wal_write_groups_total",
            "Groups written to the log.",
            metrics.commits,
        );
        self.counter(
            "etcd_disk_wal_write_entries_total",
            "Entries written to the log.",
            metrics.entries,
        );
        self.gauge("etcd_mvcc_db_total_size_in_bytes", "Bytes on the disk.", status.db_size);
        self.gauge(
            "etcd_mvcc_db_total_size_in_use_in_bytes",
            "Bytes of keys, values and history.",
            status.db_size_in_use,
        );
        self.counter("etcd_mvcc_range_total", "Ranges answered.", metrics.ranges);
        self.counter("etcd_mvcc_put_total", "Puts done.", metrics.puts);
        self.counter("etcd_mvcc_delete_total", "Deletions done.", metrics.deletes);
        self.counter("etcd_mvcc_txn_total", "Transactions done.", metrics.txns);
        self.gauge("etcd_debugging_mvcc_keys_total", "Keys.", metrics.keys);
        self.gauge(
            "etcd_debugging_mvcc_current_revision",
            "The newest revision.",
            metrics.revision,
        );
        self.gauge(
            "etcd_debugging_mvcc_compact_revision",
            "The compaction revision.",
            metrics.compacted,
        );
        self.gauge(
            "etcd_debugging_mvcc_watch_stream_total",
            "Streams of watches.",
            metrics.streams,
        );
        self.gauge("etcd_debugging_mvcc_watcher_total", "Watches.", metrics.watchers);
        self.gauge(
            "etcd_debugging_mvcc_slow_watcher_total",
            "Watches that catch up.",
            metrics.slow_watchers,
        );
        self.counter("etcd_debugging_mvcc_events_total", "Events told to watches.", metrics.events);
        self.counter(
            "etcd_debugging_lease_granted_total",
            "Leases granted.",
            metrics.leases_granted,
        );
        self.counter(
            "etcd_debugging_lease_revoked_total",
            "Leases revoked on request.",
            metrics.leases_revoked,
        );
        self.counter(
            "etcd_debugging_lease_renewed_total",
            "Leases renewed.",
            metrics.leases_renewed,
        );
        self.counter(
            "etcd_debugging_server_lease_expired_total",
            "Leases that ran out.",
            metrics.leases_expired,
        );
    }

    fn server(&mut self, server: &Server) {
        let well = server.broken.borrow().is_none();
        let (_, member) = server.ids();
        let standing = server.engine.seat().map_or(Standing::Leads, Seat::standing);
        let (led, leads) = (standing != Standing::Apart, standing == Standing::Leads);
        self.gauge("etcd_server_has_leader", "1 if there is a leader.", u8::from(well && led));
        self.gauge("etcd_server_is_leader", "1 if this member leads.", u8::from(well && leads));
        self.counter("etcd_server_leader_changes_seen_total", "Changes of the leader.", 0);
        self.head("etcd_server_version", "gauge", "1, with the version that is served.");
        self.line("etcd_server_version", &format!("{{server_version=\"{ETCD_VERSION}\"}}"), 1);
        self.head("etcd_cluster_version", "gauge", "1, with the version of the cluster.");
        self.line("etcd_cluster_version", "{cluster_version=\"3.5\"}", 1);
        self.head("etcd_server_id", "gauge", "1, with this member's number.");
        self.line("etcd_server_id", &format!("{{server_id=\"{member:x}\"}}"), 1);
        let counters = &server.counters;
        self.counter("etcd_server_health_success", "Health checks passed.", counters.healthy.get());
        self.counter(
            "etcd_server_health_failures",
            "Health checks failed.",
            counters.unhealthy.get(),
        );
        self.counter(
            "etcd_network_client_grpc_received_bytes_total",
            "Bytes of requests.",
            counters.received_bytes.get(),
        );
        self.counter(
            "etcd_network_client_grpc_sent_bytes_total",
            "Bytes of answers.",
            counters.sent_bytes.get(),
        );
    }

    fn calls(&mut self, counters: &Counters) {
        type Get = fn(&super::count::Calls) -> u64;
        let totals: [(&str, &str, Get); 3] = [
            ("grpc_server_started_total", "Calls begun.", |calls| calls.started.get()),
            ("grpc_server_msg_received_total", "Messages received.", |calls| calls.received.get()),
            ("grpc_server_msg_sent_total", "Messages sent.", |calls| calls.sent.get()),
        ];
        for (name, help, get) in totals {
            self.head(name, "counter", help);
            for method in METHODS {
                self.line(name, &labels("", method), get(counters.of(method.call)));
            }
        }
        let name = "grpc_server_handled_total";
        self.head(name, "counter", "Calls ended, by their status.");
        for method in METHODS {
            for code in 0..CODES {
                let count = counters.of(method.call).handled[code].get();
                // Go's library shows every code of every method; most never happen.
                if count > 0 || code == 0 {
                    let code = format!("grpc_code=\"{}\",", code_name(Code::from(code as i32)));
                    self.line(name, &labels(&code, method), count);
                }
            }
        }
    }

    fn process(&mut self, process: &Process, server: &Server) {
        let started = server.started.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.counter(
            "process_cpu_seconds_total",
            "Seconds of processor time.",
            process.cpu_seconds,
        );
        self.gauge("process_resident_memory_bytes", "Memory in use.", process.resident_bytes);
        self.gauge("process_virtual_memory_bytes", "Memory mapped.", process.virtual_bytes);
        self.gauge("process_threads", "Threads.", process.threads);
        self.gauge("process_open_fds", "Open file descriptors.", process.open_fds);
        self.gauge("process_max_fds", "How many there may be.", process.max_fds);
        self.gauge("os_fd_used", "Open file descriptors.", process.open_fds);
        self.gauge("os_fd_limit", "How many there may be.", process.max_fds);
        self.gauge("process_start_time_seconds", "When serving began.", started.as_secs_f64());
    }
}

/// The labels that Go's gRPC has, and perhaps one before them.
fn labels(code: &str, method: &Method) -> String {
    let (kind, name, service) = (method.kind.label(), method.name, method.service);
    format!("{{{code}grpc_method=\"{name}\",grpc_service=\"{service}\",grpc_type=\"{kind}\"}}")
}

/// A status code as Go's gRPC names it.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}
