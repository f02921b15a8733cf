//! The JSON that `duetd status --json` prints.

use super::*;

#[test]
fn the_json_has_its_documented_form() {
    let seen = Seen {
        tries: Some(Tries { left: 2, done: 1 }),
        storage: Storage {
            path: "/var".into(),
            used_bytes: 200_000_000_000,
            free_bytes: 29_000_000_000,
        },
        ..healthy()
    };
    let json = serde_json::to_string_pretty(&Status::of(&seen)).unwrap();
    expect![[r#"
        {
          "format": 1,
          "health": "degraded",
          "findings": [
            {
              "severity": "warning",
              "code": "storage.nearly-full",
              "what": "/var is 88 % full.",
              "cure": "`du -xh /var | sort -h | tail` shows what fills it."
            }
          ],
          "node": {
            "site": "my-campus",
            "room": "a",
            "room_title": "Maschinenhalle Süd",
            "role": "control",
            "name": "duet-a1",
            "addresses": [],
            "ssh_keys": 2,
            "seed_issued": "2026-11-23T08:00:00Z",
            "seed_expires": null
          },
          "hostname": "duet-a1",
          "release": {
            "version": "0.1.0",
            "image": "duet-control"
          },
          "boot": {
            "state": "trial",
            "tries_left": 2,
            "slot": "a",
            "root_hash": "3f9a1c20b7e4d5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e",
            "verified": true,
            "netboot": false
          },
          "uptime_s": 259200,
          "network": [
            {
              "name": "enp1s0",
              "mac": "52:54:00:12:34:56",
              "carrier": true,
              "speed_mbit": 1000,
              "addresses": [
                {
                  "address": "192.0.2.10",
                  "prefix": 24
                },
                {
                  "address": "2001:db8::10",
                  "prefix": 64
                },
                {
                  "address": "fe80::1",
                  "prefix": 64
                }
              ]
            },
            {
              "name": "enp2s0",
              "mac": "52:54:00:12:34:56",
              "carrier": null,
              "speed_mbit": 1000,
              "addresses": []
            }
          ],
          "clock": {
            "synchronised": true,
            "source": "ntp1.example.org",
            "ahead_s": 0.000012
          },
          "storage": {
            "path": "/var",
            "used_bytes": 200000000000,
            "free_bytes": 29000000000
          },
          "watchdog": {
            "device": "iTCO_wdt",
            "armed": true,
            "timeout_s": 30
          },
          "pair": {
            "site": "my-campus",
            "room": "a",
            "role": "leads",
            "epoch": 7,
            "leader": "a",
            "in_sync": [
              "a",
              "b"
            ],
            "behind": 0,
            "follower": {
              "behind": 0
            },
            "authority": {
              "kind": "witness",
              "trouble": null
            },
            "link": {
              "outward": "192.0.2.20:2380",
              "inward": "192.0.2.20:5",
              "round_trip_ms": 0.3
            },
            "survival": {
              "goes_on": true,
              "because": "it would go on by the witness",
              "redundant": true
            }
          },
          "disks": null,
          "ssh_host_key": "SHA256:HjqhhQ7O3Ppg6ucQ+aCZOJPVz37DZuRUTicbMyZwRaM",
          "secrets": "sealed",
          "components": [
            {
              "name": "k3s",
              "version": "v1.35.6+k3s1",
              "present": true,
              "source": "https://example.org/k3s",
              "why": null
            }
          ],
          "kubernetes": null
        }"#]]
    .assert_eq(&json);
}
