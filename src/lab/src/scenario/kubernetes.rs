//! Kubernetes over two rooms: its API in both, on both stores, and what a lost room does to it. Start at
//! [`act`]. It needs images with k3s; without, it is left out.
//!
//! The API servers are asked by the machines themselves, with curl and the certificate that k3s made for the
//! administrator: what people do with kubectl comes to the same.

use std::time::Duration;

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
    let took = runner.wait(runner.pace.decision, PAUSE / 10, |runner, begun| {
        Ok(match write(runner, survivor, &without) {
            Ok(()) => Ok(begun.elapsed()),
            Err(Stop::Failed(why) | Stop::LeftOut(why)) => Err(why),
        })
    })?;
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

/// Waits until a room's API server says that it is ready, and returns how long that took.
fn ready(runner: &mut Runner<'_>, room: Room) -> Result<Duration, Stop> {
    runner.wait(STARTING, PAUSE, |runner, begun| {
        Ok(match runner.carry_out(room, &format!("{CURL} {API}/readyz")) {
            Ok(said) if said.trim() == "ok" => Ok(begun.elapsed()),
            // Of its many checks, those that fail.
            Ok(said) => {
                let bad = said.lines().find(|line| line.starts_with("[-]"));
                let bad = bad.unwrap_or(said.trim());
                Err(format!("Kubernetes' API in room {room} is not ready: {bad}"))
            }
            Err(Stop::Failed(why) | Stop::LeftOut(why)) => Err(why),
        })
    })
}

/// Writes an object, and sees that it was taken. One that is there already was taken by a try before.
fn write(runner: &Runner<'_>, room: Room, name: &str) -> Done {
    let object = format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"data":{{"by":"duet lab"}}}}"#
    );
    let json = "content-type: application/json";
    let request = format!("--header '{json}' --data '{object}' {API}{CONFIG_MAPS}");
    match status(runner, room, &request)?.as_str() {
        "201" | "409" => Ok(()),
        code => Err(format!("the API in room {room} does not take an object ({code})").into()),
    }
}

/// Sees that an object is there.
fn has(runner: &Runner<'_>, room: Room, name: &str) -> Done {
    match status(runner, room, &format!("{API}{CONFIG_MAPS}/{name}"))?.as_str() {
        "200" => Ok(()),
        code => {
            Err(format!("the API in room {room} does not have what was written ({code})").into())
        }
    }
}

/// The status with which a room's API server answers, as HTTP has it.
fn status(runner: &Runner<'_>, room: Room, request: &str) -> Result<String, Stop> {
    let words = format!("{CURL} --output /dev/null --write-out '%{{http_code}}' {request}");
    Ok(runner.carry_out(room, &words)?.trim().to_owned())
}
