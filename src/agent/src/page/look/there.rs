//! How the other room is, by its own word. Start at [`run`].

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;
use site::{Label, Room};
use tokio::task::JoinSet;

use super::{Places, text_file};
use crate::ask::{AskError, Asker, Question, Target};
use crate::certificates::Files;
use crate::view::{FORMAT, LONGEST, NodeView, View};
use crate::{Settings, place};

/// How often it is asked.
const PERIOD: Duration = Duration::from_secs(2);

/// How long all addresses together may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long an address has until the next one is tried beside it (RFC 8305, section 5).
const STAGGER: Duration = Duration::from_millis(250);

/// More addresses are not tried.
const MOST: usize = 16;

/// What is known of the other room.
#[derive(Debug, Clone, Default)]
pub(super) struct There {
    /// Its control machine, as it was last seen.
    pub(super) node: Option<NodeView>,
    heard: Option<Instant>,
    /// Why it was not seen just now.
    pub(super) why: Option<String>,
}

impl There {
    /// How many seconds ago it was heard.
    pub(super) fn age(&self, now: Instant) -> Option<u64> {
        self.heard.map(|heard| now.duration_since(heard).as_secs())
    }

    /// Takes an answer, or notes that there is none: what was seen stays.
    fn take(&mut self, asked: Result<NodeView, String>, now: Instant) {
        match asked {
            Ok(node) => *self = There { node: Some(node), heard: Some(now), why: None },
            Err(why) => self.why = Some(why),
        }
    }
}

/// Asks again and again; never ends.
pub(super) async fn run(settings: &Settings, places: &Places, there: &Mutex<There>) {
    let mut good = None;
    loop {
        let asked = ask(settings, places, &mut good).await;
        if let Ok(node) = &asked {
            let heard = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            let file = json!({ "format": FORMAT, "heard": heard, "there": node });
            if let Err(error) = place::write(&places.there(), &file.to_string()) {
                tracing::debug!(%error, "what is known of the other room cannot be left");
            }
        }
        there.lock().unwrap_or_else(PoisonError::into_inner).take(asked, Instant::now());
        tokio::time::sleep(PERIOD).await;
    }
}

/// Where the other room's control machine may be: first where it answered last.
fn candidates(peers: &str, settings: &Settings, good: Option<&Target>) -> Vec<Target> {
    // What follows a # is for people (see `discovery`).
    let heard = peers.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let heard = heard.filter(|line| !line.is_empty());
    let told = settings.other_room.iter().map(String::as_str);
    let mut targets: Vec<Target> = good.cloned().into_iter().collect();
    for text in heard.chain(told) {
        // The port of such a line is the store's.
        let Ok(target) = text.parse::<Target>() else { continue };
        let target = target.at(settings.page_port);
        if !targets.contains(&target) && targets.len() < MOST {
            targets.push(target);
        }
    }
    targets
}

async fn ask(
    settings: &Settings,
    places: &Places,
    good: &mut Option<Target>,
) -> Result<NodeView, String> {
    let other = settings.room.other();
    let peers = text_file(&places.peers()).unwrap_or_default();
    let targets = candidates(&peers, settings, good.as_ref());
    if targets.is_empty() {
        return Err(format!("no address of room {other} is known yet"));
    }
    // Certificates are read anew each time, so that renewing them needs nothing.
    let files = Files {
        certificate: settings.certificate_file.clone(),
        key: settings.key_file.clone(),
        authority: settings.authority_file.clone(),
    };
    let asker = Asker::new(&files, &settings.site, &[other]).map_err(|error| error.to_string())?;
    let found = tokio::time::timeout(PATIENCE, first(&asker, targets)).await;
    let (target, body) = found.map_err(|_| "no address answers in time".to_owned())??;
    let node = judge(&body, &settings.site, other)?;
    *good = Some(target);
    Ok(node)
}

/// The first answer, of addresses that are tried one beside the other.
async fn first(asker: &Asker, targets: Vec<Target>) -> Result<(Target, bytes::Bytes), String> {
    let mut waiting = targets.into_iter();
    let mut trials = JoinSet::new();
    let mut why: Option<AskError> = None;
    loop {
        if let Some(target) = waiting.next() {
            let asker = asker.clone();
            trials.spawn(async move {
                let question =
                    Question { path: "/status.json", longest: LONGEST, patience: PATIENCE };
                let said = asker.get(&target, question).await;
                (target, said)
            });
        }
        let ended = match waiting.len() {
            0 => trials.join_next().await,
            _ => match tokio::time::timeout(STAGGER, trials.join_next()).await {
                Ok(ended) => ended,
                Err(_) => continue,
            },
        };
        match ended {
            Some(Ok((target, Ok(said)))) => return Ok((target, said.body)),
            Some(Ok((_, Err(error)))) => why = why.or(Some(error)),
            Some(Err(_)) => {}
            None if waiting.len() == 0 => break,
            None => {}
        }
    }
    Err(why.map_or_else(|| "nobody answers".to_owned(), |error| error.to_string()))
}

/// Takes what that node says of itself, and nothing of what it says of this one.
fn judge(body: &[u8], site: &Label, room: Room) -> Result<NodeView, String> {
    let view = View::read(body).map_err(|error| error.to_string())?;
    let node = view.here;
    let seed = &node.status["node"];
    if seed.is_object() {
        let fits = seed["site"].as_str() == Some(site.as_str())
            && seed["room"].as_str() == Some(&room.to_string());
        if !fits {
            return Err("what answers there has another site's or room's seed".to_owned());
        }
        if seed["role"].as_str() == Some("worker") {
            return Err("what answers there is a worker".to_owned());
        }
    }
    let pair_events = NodeView::newest(node.pair_events);
    Ok(NodeView { pair_events, ..node })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn settings() -> Settings {
        Settings {
            site: "demo".parse().unwrap(),
            room: Room::A,
            role: site::Role::Control,
            name: "demo-a1".parse().unwrap(),
            store_port: 2380,
            page_port: 8443,
            discovery: true,
            other_room: vec!["b1.example.org".to_owned()],
            certificate_file: "/x".into(),
            key_file: "/x".into(),
            authority_file: "/x".into(),
        }
    }

    #[test]
    fn where_it_answered_last_is_asked_first() {
        let peers = "# heard\nhttps://[fe80::1%enp0s16]:2380 # heard of demo-b1\n\nhttps://10.0.0.2:2380\nnonsense here\n";
        let good: Target = "10.0.0.2:8443".parse().unwrap();
        let shown = |good: Option<&Target>| -> Vec<String> {
            candidates(peers, &settings(), good).iter().map(Target::to_string).collect()
        };
        let all = ["[fe80::1%enp0s16]:8443", "10.0.0.2:8443", "b1.example.org:8443"];
        assert_eq!(shown(None), all);
        assert_eq!(shown(Some(&good)), [all[1], all[0], all[2]]);
        let many: String = (0..99).map(|n| format!("https://10.0.0.{n}:2380\n")).collect();
        assert_eq!(candidates(&many, &settings(), None).len(), MOST);
    }

    #[test]
    fn only_the_other_rooms_control_machine_is_taken() {
        let view = |site: &str, room: &str, role: &str| {
            let node = json!({ "site": site, "room": room, "role": role });
            json!({ "format": 1, "site": site, "here": { "status": { "node": node } } }).to_string()
        };
        let site = "demo".parse().unwrap();
        let judge = |text: String| judge(text.as_bytes(), &site, Room::B);
        assert!(judge(view("demo", "b", "control")).is_ok());
        assert!(judge(view("demo", "a", "control")).unwrap_err().contains("another site's"));
        assert!(judge(view("other", "b", "control")).unwrap_err().contains("another site's"));
        assert!(judge(view("demo", "b", "worker")).unwrap_err().contains("worker"));
        assert!(judge("{}".to_owned()).is_err());
    }

    #[test]
    fn what_was_seen_stays_with_its_age() {
        let mut there = There::default();
        let now = Instant::now();
        there.take(Ok(NodeView::default()), now);
        there.take(Err("gone".to_owned()), now + Duration::from_secs(2));
        assert_eq!(there.age(now + Duration::from_secs(12)), Some(12));
        assert!(there.node.is_some());
        assert_eq!(there.why.as_deref(), Some("gone"));
    }
}
