//! [`table`]: a picture in lines of text, for a terminal.

use site::Room;

use super::{Answer, Picture, Presence, RoomPicture, Tone};

/// Moments that are shown.
const MOMENTS: usize = 6;

/// Columns of a label, and of what is said of a room.
const LABEL: usize = 12;
const COLUMN: usize = 36;

/// The picture for a terminal: both rooms side by side, in some 80 columns. `paint` colours a text.
#[must_use]
pub fn table(picture: &Picture, paint: &dyn Fn(Tone, &str) -> String) -> String {
    let mut lines = vec![
        format!("site {}, as {} knows it", picture.site, picture.machine),
        format!(
            "{} {}",
            paint(picture.headline.tone, &picture.headline.text),
            picture.headline.more
        ),
        String::new(),
    ];
    lines.extend(side_by_side(picture));
    lines.push(String::new());
    let link = picture.link.more.as_ref().map_or(String::new(), |more| format!(", {more}"));
    let link = format!("{}{link}", picture.link.word);
    lines.push(format!("{:<LABEL$}{}", "link", paint(picture.link.tone, &link)));
    lines.push(format!("{:<LABEL$}{}: {}", "third", picture.third.name, picture.third.words));
    for (room, reach) in Room::ALL.into_iter().zip(&picture.third.reach) {
        let Some(reach) = reach else { continue };
        let words = format!("room {} {}", letter(room), reach.words);
        lines.push(format!("{:<LABEL$}{}", "", paint(reach.tone, &words)));
    }
    for verdict in &picture.verdicts {
        let label = format!("without {}", letter(verdict.lost));
        let goes_on = match verdict.answer {
            Answer::Yes => "goes on.",
            Answer::No => "stands still.",
            Answer::NotKnown => "not known.",
        };
        let goes_on = paint(verdict.answer.tone(), goes_on);
        lines.push(format!("{label:<LABEL$}{goes_on} {}", verdict.because));
    }
    if !picture.findings.is_empty() {
        lines.push(String::new());
    }
    for found in &picture.findings {
        let mark = if found.tone == Tone::Bad { "!" } else { "-" };
        lines.push(format!("{} {}: {}", paint(found.tone, mark), found.place, found.what));
        lines.extend(found.cure.iter().map(|cure| format!("  Cure: {cure}")));
    }
    if !picture.moments.is_empty() {
        lines.push(String::new());
    }
    lines.extend(picture.moments.iter().take(MOMENTS).map(|moment| {
        let time = site::Timestamp::from_unix(moment.time as u64);
        format!("{}  {}", time.map(|time| time.to_string()).unwrap_or_default(), moment.text)
    }));
    lines.extend(picture.left_out.iter().map(|what| format!("Not shown: {what}")));
    lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn letter(room: Room) -> String {
    room.to_string().to_uppercase()
}

/// The two rooms' columns. No colours in here, since they would be counted as characters.
fn side_by_side(picture: &Picture) -> Vec<String> {
    let columns = picture.rooms.each_ref().map(column);
    let rows = columns[0].iter().zip(&columns[1]);
    rows.map(|((label, one), (_, other))| {
        let other: String = other.chars().take(COLUMN).collect();
        let one: String = one.chars().take(COLUMN - 2).collect();
        format!("{label:<LABEL$}{one:<COLUMN$}{other}")
    })
    .collect()
}

fn column(room: &RoomPicture) -> Vec<(&'static str, String)> {
    let title = room.title.as_ref().map_or(String::new(), |title| format!(" ({title})"));
    let seen = match &room.presence {
        Presence::Here => "answers, and shows this".to_owned(),
        Presence::Answers => "answers".to_owned(),
        Presence::Silent(since) => format!("silent for {since}"),
        Presence::Unheard => "not heard yet".to_owned(),
    };
    let machine = room.control.as_ref();
    let fact = |wanted: &str| {
        let facts = machine.into_iter().flat_map(|machine| &machine.facts);
        facts.into_iter().find(|(label, _)| *label == wanted).map(|(_, value)| value.clone())
    };
    let or_none = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    vec![
        ("", format!("room {}{title}", letter(room.room))),
        ("page", seen),
        ("store", format!("{}, {}", room.role.words(), room.sharing.words)),
        ("data", or_none(fact("Data"))),
        ("machine", or_none(machine.map(|machine| machine.name.clone()))),
        ("health", or_none(machine.map(|machine| machine.health.clone()))),
        ("system", or_none(fact("System"))),
        ("address", or_none(machine.and_then(|machine| machine.addresses.first().cloned()))),
        ("also there", or_none(others(room))),
    ]
}

fn others(room: &RoomPicture) -> Option<String> {
    let names: Vec<&str> = room.others.iter().map(|other| other.name.as_str()).collect();
    (!names.is_empty()).then(|| names.join(", "))
}
