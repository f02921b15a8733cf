//! Kubernetes over two rooms: its API in both, on both stores, and what a lost room does to it. Start at
//! [`act`]. It needs images with k3s; without, it is left out.
//!
//! The API servers are asked by the machines themselves, with curl and the certificate that k3s made for the
//! administrator: what people do with kubectl comes to the same.

use std::thread;
use std::time::{Duration, Instant};

use site::Room;

use super::acts::{Done, who_leads};
use super::judge::Goal;
use super::runner::{Runner, Stop};
use super::timeline::seconds;

/// Between two looks: each is a login.
const PAUSE: Duration = Duration::from_secs(2);

/// From a room in sync to an API server that is ready: under emulation, on a computer that does other things
/// too. On a quiet one with two cores it takes two minutes.
const STARTING: Duration = Duration::from_secs(1800);

/// What asks the API server of the machine that it runs on.
const CURL: &str = "cd /var/lib/rancher/k3s/server/tls 2>/dev/null && curl --silent --show-error \
                    --max-time 10 --cacert server-ca.crt --cert client-admin.crt \
                    --key client-admin.key";
const API: &str = "https://127.0.0.1:6443";
const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// Both rooms serve the API; what is written through one is there in the other; the room that leads is lost,
/// and the other one serves on; the lost one comes back and serves what was written without it.
pub(super) fn act(runner: &mut Runner<'_>) -> Done {
    runner.settle()?;
    let there = runner.carry_out(Room::A, "test -x /usr/bin/k3s && echo there || echo left out")?;
    if there.trim() != "there" {
        let why = "the images have no k3s: build them with `--component k3s=PATH`";
        return Err(Stop::LeftOut(why.to_owned()));
    }
    let lost = who_leads(runner)?;
    let survivor = lost.other();
    if !runner.authority()?.lets_go_on(survivor) {
        let why = format!("room {survivor} does not go on without a person");
        return Err(Stop::LeftOut(why));
    }
    for room in [Room::A, Room::B] {
        ready(runner, room)?;
        runner.say(format!("room {room} serves Kubernetes' API"));
    }
    runner.measure("ready_in_both_seconds", seconds(runner.since_power_on()));
    // A run before this one may have left some.
    let name = |word: &str| format!("duet-{word}-{}", std::process::id());
    let (before, without) = (name("before"), name("without"));
    write(runner, lost, &before)?;
    has(runner, survivor, &before)?;
    runner.say(format!("what is written through room {lost} is there in room {survivor}"));

    runner.until(Goal::WouldGoOn(survivor), runner.pace.decision)?;
    runner.off(lost)?;
    let begun = Instant::now();
    while let Err(Stop::Failed(why)) = write(runner, survivor, &without) {
        if begun.elapsed() > runner.pace.decision {
            return Err(format!("room {survivor} takes no writes: {why}").into());
        }
        thread::sleep(PAUSE / 10);
    }
    let took = begun.elapsed();
    runner.measure("until_a_write_seconds", seconds(took));
    runner.say(format!(
        "room {survivor} takes a write {:.1} s after that, the login included",
        took.as_secs_f64()
    ));
    has(runner, survivor, &before)?;
    runner.until(Goal::Alone(survivor), runner.pace.decision)?;

    runner.on(lost)?;
    runner.until(Goal::InSync, runner.pace.boot)?;
    let took = ready(runner, lost)?;
    runner.measure("ready_again_seconds", seconds(took));
    has(runner, lost, &without)?;
    runner.say(format!("room {lost} serves what was written without it"));
    Ok(())
}

/// Waits until a room's API server says that it is ready.
fn ready(runner: &Runner<'_>, room: Room) -> Result<Duration, Stop> {
    let begun = Instant::now();
    loop {
        let said = runner.carry_out(room, &format!("{CURL} {API}/readyz"));
        match said {
            Ok(said) if said.trim() == "ok" => return Ok(begun.elapsed()),
            _ if begun.elapsed() < STARTING => thread::sleep(PAUSE),
            said => {
                let said = match said {
                    Ok(said) => said,
                    Err(Stop::Failed(why) | Stop::LeftOut(why)) => why,
                };
                // Of its many checks, those that fail.
                let bad = said.lines().find(|line| line.starts_with("[-]"));
                let bad = bad.unwrap_or(said.trim());
                return Err(format!("Kubernetes' API in room {room} is not ready: {bad}").into());
            }
        }
    }
}

/// Writes an object, and sees that it was taken. One that is there already was taken by a try before.
fn write(runner: &Runner<'_>, room: Room, name: &str) -> Done {
    let object = format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"data":{{"by":"duet lab"}}}}"#
    );
    let said = runner.carry_out(
        room,
        &format!(
            "{CURL} --output /dev/null --write-out '%{{http_code}}' \
             --header 'content-type: application/json' --data '{object}' {API}{CONFIG_MAPS}"
        ),
    )?;
    match said.trim() {
        "201" | "409" => Ok(()),
        code => Err(format!("the API in room {room} does not take an object ({code})").into()),
    }
}

/// Sees that an object is there.
fn has(runner: &Runner<'_>, room: Room, name: &str) -> Done {
    let said = runner.carry_out(
        room,
        &format!(
            "{CURL} --output /dev/null --write-out '%{{http_code}}' {API}{CONFIG_MAPS}/{name}"
        ),
    )?;
    match said.trim() {
        "200" => Ok(()),
        code => {
            Err(format!("the API in room {room} does not have what was written ({code})").into())
        }
    }
}
