//! `duet status`

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::Duration;

use agent::View;
use agent::ask::Question;
use agent::picture::{Picture, Tone, table};
use agent::view::LONGEST;
use site::Room;

use super::Ended;
use super::nodes::{Answers, Asking, Nodes, PATIENCE};
use crate::console::Console;
use crate::exit;

/// Say how both rooms of a running site are, and whether it would survive the loss of either
///
/// Asks the nodes over TLS with the operator's certificate, and believes only machines of this site. What
/// a room says of itself counts more than what the other one says of it.
///
/// Ends with 0 if both rooms are in sync, each would go on without the other one, and nothing needs a
/// person; with 1 if somebody should look; with 4 or 5 if no node gives an answer that can be believed.
#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    #[command(flatten)]
    nodes: Nodes,

    /// Print the view as one JSON document
    #[arg(long, conflicts_with = "watch")]
    json: bool,

    /// Ask and draw again every two seconds, until Ctrl-C
    #[arg(long)]
    watch: bool,
}

const PERIOD: Duration = Duration::from_secs(2);

const QUESTION: Question<'_> =
    Question { path: "/status.json", longest: LONGEST, patience: PATIENCE };

impl Status {
    pub(crate) fn run(&self, console: &Console) -> Ended {
        let asking = self.nodes.ready()?;
        if self.watch {
            return watch(&asking, console);
        }
        let view = combine(asking.ask(QUESTION)?)?;
        let picture = Picture::of(&view);
        if self.json {
            console.json(&view)?;
        } else {
            console.bytes(table(&picture, &paint()).as_bytes())?;
        }
        Ok(ExitCode::from(if picture.is_well() { 0 } else { exit::OTHER }))
    }
}

/// Draws again and again; Ctrl-C ends the program.
fn watch(asking: &Asking, console: &Console) -> Ended {
    let clear = if io::stdout().is_terminal() { "\x1b[H\x1b[2J" } else { "" };
    loop {
        let text = match combine(asking.ask(QUESTION)?) {
            Ok(view) => table(&Picture::of(&view), &paint()),
            // A node that restarts is no reason to look away.
            Err(error) => format!("{error}\n"),
        };
        console.bytes(format!("{clear}{text}").as_bytes())?;
        std::thread::sleep(PERIOD);
    }
}

/// One view of what the nodes said: each room by its own word, if it gave one.
fn combine(answers: Answers) -> miette::Result<View> {
    let mut views: Vec<(Room, View)> = Vec::new();
    let mut failed = Vec::new();
    for answer in answers {
        match answer {
            Ok((_, said)) => views.push((said.room, View::read(&said.body)?)),
            Err(error) => failed.push(error),
        }
    }
    // A control machine knows more than a worker.
    views.sort_by_key(|(_, view)| view.here.pair.is_null());
    let mut views = views.into_iter();
    let Some((room, mut view)) = views.next() else {
        let first = failed.into_iter().next();
        return Err(first.map_or_else(|| miette::miette!("no node was asked"), Into::into));
    };
    if let Some((_, other)) = views.find(|(other, _)| *other == room.other()) {
        view.there = Some(other.here);
        view.there_heard_s = Some(0);
    }
    view.left_out.extend(failed.iter().map(ToString::to_string));
    Ok(view)
}

/// Colours on a terminal, unless nobody wants them (no-color.org).
fn paint() -> impl Fn(Tone, &str) -> String {
    let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    move |tone, text| {
        let code = match tone {
            Tone::Quiet => return text.to_owned(),
            Tone::Good => "32",
            Tone::Warning => "33",
            Tone::Bad => "1;31",
        };
        if colour { format!("\x1b[{code}m{text}\x1b[m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use agent::ask::{AskError, Said, Target};

    use super::*;

    fn said(room: Room, pair: &str) -> Result<(Target, Said), AskError> {
        let view = format!(
            "{{\"format\":1,\"site\":\"demo\",\"here\":{{\"pair\":{pair}}},\"there\":{{\"pair\":{{\"old\":1}}}},\
             \"there_heard_s\":9}}"
        );
        Ok(("a1".parse().unwrap(), Said { room, body: view.into() }))
    }

    fn gone() -> Result<(Target, Said), AskError> {
        Err(AskError::Unreached { target: "b1:8443".into(), reason: "no route to host".into() })
    }

    #[test]
    fn a_room_is_known_by_its_own_word() {
        let view =
            combine(vec![said(Room::A, "{\"room\":\"a\"}"), said(Room::B, "{\"room\":\"b\"}")])
                .unwrap();
        let there = view.there.unwrap();
        assert_eq!((there.pair["room"].as_str(), view.there_heard_s), (Some("b"), Some(0)));
        assert!(view.left_out.is_empty());
    }

    #[test]
    fn a_room_that_does_not_answer_is_known_by_the_other_ones() {
        let view = combine(vec![said(Room::A, "{}"), gone()]).unwrap();
        assert_eq!(
            (view.there.unwrap().pair["old"].as_u64(), view.there_heard_s),
            (Some(1), Some(9))
        );
        assert_eq!(view.left_out, ["b1:8443 does not answer: no route to host"]);
    }

    #[test]
    fn nobody_at_all_is_an_error_of_the_network() {
        let error = combine(vec![gone(), gone()]).unwrap_err();
        assert_eq!(exit::code(error.as_ref()), 4);
        let worker_first =
            combine(vec![said(Room::B, "null"), said(Room::A, "{\"x\":1}")]).unwrap();
        assert_eq!(worker_first.here.pair["x"], 1, "a control machine knows more");
    }
}
