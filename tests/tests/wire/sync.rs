//! From two blank folders and no address to a pair in sync: what was found is dialed, and certificates decide.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Instant;

use tests::certificates::Authority;
use tests::programs::say;
use tests::server::duetd;
use tests::two_rooms::{Grants, LONG, SITE, Side, Site, alone, wait};

use super::lan::ip;
use super::machine::{Machine, Who, within};

/// Both rooms, that know of each other only what a file says, on a cable with no address but those that cards
/// give themselves.
fn unknown_to_each_other() -> Site {
    let mut site = Site::plan(Grants::PreferA);
    for side in Side::BOTH {
        let room = side.letter();
        ip(&format!("-n {room} -4 addr flush dev cable"));
        let plan = &mut site.room_mut(side).plan;
        plan.peer.clear();
        plan.listen = "[::]".to_owned();
        let file = peers(site.folder(), side);
        site.room_mut(side).plan.words.push(format!("--peer-urls-file={}", file.display()));
    }
    site
}

fn who(side: Side) -> Who {
    Who::control(SITE, side.letter())
}

/// Where the machine of [`who`] writes.
fn peers(folder: &Path, side: Side) -> PathBuf {
    let room = side.letter();
    folder.join(format!("{room}-{room}-node-{room}")).join("peers")
}

fn why_not(site: &Site, side: Side) -> String {
    let status = site.status(side).unwrap_or_default();
    status["link"]["why_not"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn two_blank_rooms_find_each_other_and_are_in_sync() {
    alone(|| {
        let mut site = unknown_to_each_other();
        site.room_mut(Side::A).start();
        let file = peers(site.folder(), Side::A);
        let expected = format!("no address of the other room is known yet ({})", file.display());
        site.until("the store says what it lacks", || why_not(&site, Side::A) == expected);

        let began = Instant::now();
        site.room_mut(Side::B).start();
        let machines = Side::BOTH.map(|side| Machine::start(site.folder(), &who(side)));
        for (machine, side) in machines.iter().zip(Side::BOTH) {
            assert_eq!(machine.peers_file(), peers(site.folder(), side));
        }
        site.in_sync();
        say(&format!("rooms: in sync after {:.1} s\n", began.elapsed().as_secs_f64()));
        let status = site.status(Side::A).unwrap();
        let met = status["link"]["outward"].as_str().unwrap_or_default().to_owned();
        assert!(met.starts_with("[fe80::"), "over the addresses that were found: {status:#}");
    });
}

/// A store that is somebody else's, and says to be this site's room b.
struct Impostor(Child);

impl Impostor {
    fn start(folder: &Path) -> Impostor {
        let folder = folder.join("impostor");
        let authority = Authority::new(&folder, "site");
        let (cert, key) = authority.sign("b", &format!("room-b.{SITE}.duet.internal"));
        let mut command = within(None);
        command.arg(duetd()).arg("store").args([
            format!("--data-dir={}", folder.join("data").display()),
            "--listen-client-urls=unix:///run/impostor.sock".to_owned(),
            "--listen-peer-urls=https://0.0.0.0:2380".to_owned(),
            "--peer-urls=https://10.78.1.2:2380".to_owned(),
            "--authority=preferred:b".to_owned(),
            format!("--site={SITE}"),
            "--room=b".to_owned(),
            format!("--peer-cert-file={}", cert.display()),
            format!("--peer-key-file={}", key.display()),
            format!("--peer-trusted-ca-file={}", authority.file.display()),
        ]);
        let log = File::create(folder.join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Impostor(command.spawn().unwrap())
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_forged_announcement_leads_to_dials_that_fail_and_to_nothing_else() {
    alone(|| {
        let mut site = unknown_to_each_other();
        // The forger is outside, on the other card of room a.
        let forger = Who { network: None, name: "forger", ..Who::control(SITE, "b") };
        let _impostor = Impostor::start(site.folder());
        let _forger = Machine::start(site.folder(), &forger);
        site.room_mut(Side::A).start();
        let a = Machine::start(site.folder(), &who(Side::A));
        a.until("it is believed enough to be dialed", |a| {
            a.peers().contains(&"https://10.78.1.1:2380".to_owned())
        });
        let refused = wait(LONG, || {
            let why = why_not(&site, Side::A);
            why.contains("10.78.1.1:2380") && why.contains("certificate")
        });
        assert!(refused, "{}", why_not(&site, Side::A));
        let status = site.status(Side::A).unwrap();
        assert!(status["link"]["outward"].is_null(), "{status:#}");
        assert!(status["role"] != "leads", "{status:#}");

        site.room_mut(Side::B).start();
        let _b = Machine::start(site.folder(), &who(Side::B));
        site.in_sync();
        let status = site.status(Side::A).unwrap();
        let met = status["link"]["outward"].to_string();
        assert!(met.contains("fe80::") && !met.contains("10.78.1.1"), "{status:#}");
    });
}
