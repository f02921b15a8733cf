//! `duetd store status`, `hand-over`, `go-on-alone`: how the pair is, and what a person has it do. The pages
//! of the running store are asked; here they become words.

use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;

use ::store::client::{self, ClientTls};
use clap::Args;
use serde_json::Value;

use super::endpoint;
use crate::console;

/// Where the store is, and how it is told.
#[derive(Debug, Args)]
pub(crate) struct Asked {
    #[command(flatten)]
    store: endpoint::Store,

    /// Print JSON for a script
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    asked: Asked,

    /// Show what happened, too
    #[arg(long)]
    events: bool,
}

#[derive(Debug, Args)]
pub(crate) struct HandOver {
    #[command(flatten)]
    asked: Asked,
}

#[derive(Debug, Args)]
pub(crate) struct GoOnAlone {
    #[command(flatten)]
    asked: Asked,

    /// The site's name, instead of typing it when asked
    #[arg(long, value_name = "NAME")]
    site: Option<String>,

    /// Go on also where this room is known to lack acknowledged writes, which are lost then
    #[arg(long)]
    accept_loss: bool,
}

/// Why it is not done.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
enum StatusError {
    /// The store says no.
    #[error("the store refuses: {reason}")]
    #[diagnostic(code(refused::pair), help("`duetd store status` shows how the pair is"))]
    Refused { reason: String },
    /// The store says no, and knows what would change that.
    #[error("the store refuses: {reason}")]
    #[diagnostic(
        code(refused::pair),
        help(
            "if the other room's data is gone for good, say so: `duetd store go-on-alone --accept-loss`"
        )
    )]
    WouldLose { reason: String },
    /// The answer is none.
    #[error("{endpoint} answers something else than a store does")]
    #[diagnostic(code(network::store_connect), help("is this the endpoint of `duetd store`?"))]
    NoAnswer { endpoint: String },
    /// Nobody typed the name.
    #[error("the site's name was not confirmed, so nothing was done")]
    #[diagnostic(
        code(usage::confirm),
        help("type the name of the site, or give it with --site where nobody types")
    )]
    NotConfirmed,
}

impl Asked {
    fn get(&self, path: &str) -> Result<Value, miette::Report> {
        self.ask(http::Method::GET, path)
    }

    fn post(&self, path: &str) -> Result<Value, miette::Report> {
        self.ask(http::Method::POST, path)
    }

    fn ask(&self, method: http::Method, path: &str) -> Result<Value, miette::Report> {
        let tls: Option<ClientTls> = self.store.certificates.tls();
        let (status, text) = endpoint::within(async {
            Ok(client::page(&self.store.endpoint, tls.as_ref(), method, path).await?)
        })?;
        let endpoint = || self.store.endpoint.clone();
        let value: Value = serde_json::from_str(&text)
            .map_err(|_| StatusError::NoAnswer { endpoint: endpoint() })?;
        if status.is_success() {
            return Ok(value);
        }
        let reason = value["error"].as_str().unwrap_or(status.as_str()).to_owned();
        Err(match value["would_lose"].as_bool() {
            Some(true) => StatusError::WouldLose { reason },
            _ => StatusError::Refused { reason },
        }
        .into())
    }

    fn show(&self, status: &Value) -> Result<ExitCode, miette::Report> {
        if self.json {
            console::json(status)?;
        } else {
            console::answer(&describe(status))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Status {
    pub(crate) fn run(self) -> Result<ExitCode, miette::Report> {
        let mut status = self.asked.get("/duet/pair")?;
        if !self.events {
            return self.asked.show(&status);
        }
        let events = self.asked.get("/duet/pair/events")?;
        if self.asked.json {
            status["events"] = events;
            return self.asked.show(&status);
        }
        let mut text = describe(&status) + "\n";
        for event in events.as_array().into_iter().flatten() {
            text.push_str(&line(event));
        }
        console::answer(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl HandOver {
    pub(crate) fn run(self) -> Result<ExitCode, miette::Report> {
        let status = self.asked.post("/duet/pair/hand-over")?;
        self.asked.show(&status)
    }
}

impl GoOnAlone {
    pub(crate) fn run(self) -> Result<ExitCode, miette::Report> {
        let status = self.asked.get("/duet/pair")?;
        let site = status["site"].as_str().unwrap_or_default().to_owned();
        let confirmed = match &self.site {
            Some(given) => *given == site,
            None => confirm(&status, &site),
        };
        if !confirmed {
            return Err(StatusError::NotConfirmed.into());
        }
        let loss = self.accept_loss;
        let status = self.asked.post(&format!("/duet/pair/go-on-alone?site={site}&loss={loss}"))?;
        self.asked.show(&status)
    }
}

/// Says what it means, and has the site's name typed.
fn confirm(status: &Value, site: &str) -> bool {
    let (room, other) = if status["room"] == "a" { ("a", "b") } else { ("b", "a") };
    console::note(&format!(
        "Room {room} of site {site} is to go on without room {other}.\n\
         You vouch that room {other} is switched off, and stays off until it can hear this room again.\n\
         Lost is whatever room {other} acknowledged and this room does not have: this room has {}, \
         and knew {} to be in sync at decision {}.\n\
         Clients' revisions jump ahead; whoever watches reads anew.",
        status["last"],
        list(&status["in_sync"]),
        status["epoch"],
    ));
    let mut input = std::io::stdin().lock();
    if !std::io::stdin().is_terminal() {
        return false;
    }
    console::note("Type the name of the site to go on:");
    let _ = std::io::stderr().flush();
    let mut typed = String::new();
    input.read_line(&mut typed).is_ok() && typed.trim() == site
}

fn list(rooms: &Value) -> String {
    let rooms: Vec<&str> =
        rooms.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if rooms.is_empty() { "nobody".to_owned() } else { rooms.join(" and ") }
}

/// The page as a person reads it.
fn describe(status: &Value) -> String {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        value => value.to_string(),
    };
    let mut lines = vec![
        ("site", format!("{}, room {}", text(&status["site"]), text(&status["room"]))),
        ("role", text(&status["role"])),
        (
            "decision",
            format!(
                "{}: room {} leads, in sync {}, by {}",
                text(&status["epoch"]),
                text(&status["leader"]),
                list(&status["in_sync"]),
                text(&status["granted_by"])
            ),
        ),
        (
            "data",
            format!(
                "revision {}, entry {}, {} behind",
                text(&status["revision"]),
                text(&status["index"]),
                text(&status["behind"])
            ),
        ),
    ];
    if let Some(follower) = status["follower"].as_object() {
        let behind = format!("{} entries behind", text(&follower["behind"]));
        lines.push(("follower", behind));
    }
    let authority = &status["authority"];
    let witnessed = match authority["witnessed"].as_bool() {
        Some(true) => ", knows this decision",
        Some(false) => ", does not know this decision yet",
        None => "",
    };
    let silent = if authority["trouble"].is_null() { "" } else { ", does not answer" };
    lines.push(("authority", format!("{}{witnessed}{silent}", text(&authority["kind"]))));
    let link = &status["link"];
    let up = !link["outward"].is_null() && !link["inward"].is_null();
    lines.push((
        "link",
        match (up, link["why_not"].as_str()) {
            (true, _) => format!("up, {} ms there and back", text(&link["round_trip_ms"])),
            (false, Some(why)) => format!("down: {why}"),
            (false, None) => "down".to_owned(),
        },
    ));
    if let Some(refusal) = status["refusal"].as_str() {
        lines.push(("no", refusal.to_owned()));
    }
    let survival = &status["survival"];
    let goes_on = if survival["goes_on"] == true { "yes" } else { "no" };
    lines.push(("if alone", format!("{goes_on}: {}", text(&survival["because"]))));
    lines.iter().map(|(name, value)| format!("{name:<10} {value}\n")).collect()
}

fn line(event: &Value) -> String {
    let seconds = event["time"].as_f64().unwrap_or_default();
    let time = site::Timestamp::from_unix(seconds as u64).map(|time| time.to_string());
    let (room, epoch) = (event["room"].as_str().unwrap_or("?"), event["epoch"].to_string());
    let message = event["message"].as_str().unwrap_or_default();
    format!("{}  room {room}  {epoch:>6}  {message}\n", time.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pair_is_described_in_a_few_lines() {
        let status = json!({
            "site": "demo", "room": "a", "role": "leads", "epoch": 7, "leader": "a",
            "in_sync": ["a", "b"], "granted_by": "consent of both rooms", "revision": 12,
            "index": 40, "behind": 0, "follower": { "behind": 2 },
            "authority": { "kind": "witness", "witnessed": true, "trouble": null },
            "link": { "outward": "10.0.0.2:2380", "inward": "10.0.0.2:5", "round_trip_ms": 0.3 },
            "survival": { "goes_on": true, "because": "it would go on by the witness" },
        });
        expect![[r#"
            site       demo, room a
            role       leads
            decision   7: room a leads, in sync a and b, by consent of both rooms
            data       revision 12, entry 40, 0 behind
            follower   2 entries behind
            authority  witness, knows this decision
            link       up, 0.3 ms there and back
            if alone   yes: it would go on by the witness
        "#]]
        .assert_eq(&describe(&status));
    }

    #[test]
    fn an_event_is_a_line() {
        let event =
            json!({ "time": 1_800_000_000.5, "room": "b", "epoch": 9, "message": "follows" });
        expect![[r#"
            2027-01-15T08:00:00Z  room b       9  follows
        "#]]
        .assert_eq(&line(&event));
    }
}
