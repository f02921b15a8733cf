//! The status as a page of text for a person. Start at [`render`]. Pure.
//!
//! Only printable ASCII and Latin-1 letters come out, whatever a seed or a service says: both the
//! kernel's console font and a serial line can show them, and no escape sequence gets through.

mod words;

use agent::kubernetes;

use crate::status::{Finding, Health, Kubernetes, Severity, Status, pair};

/// What the text is made for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page {
    /// Columns.
    pub width: usize,
    /// Lines, if there is an end to them. The page stays one line below, so that a terminal does not
    /// scroll after the last newline.
    pub height: Option<usize>,
    /// Whether colours may be used (ECMA-48, SGR).
    pub colour: bool,
}

impl Page {
    /// A text console: what VGA and serial lines have in common.
    pub(crate) const CONSOLE: Page = Page { width: 80, height: Some(24), colour: true };
}

/// The last line at a console, whatever else is there.
pub(crate) const LAST_LINE: &str =
    "This screen only shows. Log in with ssh as root, with a key of the seed.";

/// Columns left free on both sides, and where the values of the facts begin.
const MARGIN: usize = 2;
const VALUE: usize = 13;

/// Lines of the network's facts on a page with an end: without and with findings to show.
const NETWORK_LINES: (usize, usize) = (4, 3);

/// Lines of what was left out of the image, on a page with an end.
const LEFT_OUT_LINES: usize = 2;

/// The page; every line ends with a newline and has at most `page.width` characters.
pub(crate) fn render(status: &Status, page: Page) -> String {
    let pen = Pen { page };
    // Findings need the room more than what is the same every day.
    let brief = page.height.is_some() && !status.findings.is_empty();
    let mut lines = pen.head(status);
    lines.extend(pen.facts(status, brief));
    if page.height.is_some() || !status.findings.is_empty() {
        lines.push(String::new());
    }
    if !status.findings.is_empty() {
        let taken = lines.len() + 3;
        let room = page.height.map_or(usize::MAX, |height| height.saturating_sub(taken + 1));
        lines.extend(pen.findings(&status.findings, room));
        lines.push(String::new());
    }
    if page.height.is_some() {
        lines.push(pen.rule());
        lines.push(pen.line(LAST_LINE));
    }
    lines.iter().fold(String::new(), |mut text, line| {
        text.push_str(line);
        text.push('\n');
        text
    })
}

/// How something is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tone {
    Strong,
    Good,
    Warning,
    Bad,
}

struct Pen {
    page: Page,
}

impl Pen {
    fn width(&self) -> usize {
        self.page.width - 2 * MARGIN
    }

    /// A line of plain text, cut at the margin.
    fn line(&self, text: &str) -> String {
        let cut: String = clean(text).chars().take(self.width()).collect();
        format!("{:MARGIN$}{cut}", "").trim_end().to_owned()
    }

    fn rule(&self) -> String {
        format!("{:MARGIN$}{}", "", "-".repeat(self.width()))
    }

    fn tone(&self, tone: Tone, text: &str) -> String {
        if !self.page.colour {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Strong => "1",
            Tone::Good => "32",
            Tone::Warning => "33",
            Tone::Bad => "1;31",
        };
        format!("\x1b[{code}m{text}\x1b[m")
    }

    /// Who this is, and the whole in one word.
    fn head(&self, status: &Status) -> Vec<String> {
        let (tone, word) = match status.health {
            Health::Starting => (Tone::Strong, "Starting"),
            Health::Good => (Tone::Good, "All is well"),
            Health::Degraded => (Tone::Warning, "Have a look"),
            Health::Bad => (Tone::Bad, "Needs help"),
        };
        let name: String =
            clean(&status.hostname).chars().take(self.width() - word.len() - 1).collect();
        let gap = self.width() - name.chars().count() - word.len();
        let who = match &status.node {
            Some(node) => words::place(node),
            None => "without a good seed".to_owned(),
        };
        vec![
            String::new(),
            format!(
                "{:MARGIN$}{}{:gap$}{}",
                "",
                self.tone(Tone::Strong, &name),
                "",
                self.tone(tone, word)
            ),
            self.line(&who),
            self.rule(),
        ]
    }

    /// What is known, each with its label.
    fn facts(&self, status: &Status, brief: bool) -> Vec<String> {
        let mut lines = Vec::new();
        lines.extend(self.fact("System", &[words::system(status)]));
        if !brief {
            lines.extend(self.fact("Root", &[words::root(&status.boot)]));
        }
        if let Some(page) = &status.pair {
            lines.extend(self.fact("Rooms", &[pair::rooms(page)]));
            lines.extend(self.fact("Link", &[pair::link(page)]));
            lines.extend(self.fact("If alone", &[pair::survival(page)]));
        }
        let most = match self.page.height {
            None => usize::MAX,
            Some(_) if brief => NETWORK_LINES.1,
            Some(_) => NETWORK_LINES.0,
        };
        lines.extend(self.fact("Network", &words::network(&status.network, most)));
        lines.extend(self.fact("Clock", &[words::clock(&status.clock)]));
        lines.extend(self.fact("Storage", &[words::storage(&status.storage)]));
        if !brief {
            let disks = status.disks.as_deref().and_then(words::disks);
            lines.extend(disks.map_or_else(Vec::new, |words| self.fact("Disks", &[words])));
            lines.extend(self.fact("Watchdog", &[words::watchdog(status.watchdog.as_ref())]));
            if let Some(key) = &status.ssh_host_key {
                lines.extend(self.fact("Host key", std::slice::from_ref(key)));
            }
        }
        if let Some(Kubernetes { state, .. }) = &status.kubernetes {
            let told = kubernetes::words(state.as_ref(), status.uptime_s);
            lines.extend(self.fact("Kubernetes", &[told]));
        }
        lines.extend(self.fact("Up", &[words::uptime(status.uptime_s)]));
        if let Some(left_out) = words::left_out(&status.components) {
            // What it is comes first; why can be read elsewhere.
            let what = left_out.find(". ").filter(|_| brief).map_or(left_out.len(), |end| end + 1);
            let left_out = &left_out[..what];
            let most = if self.page.height.is_some() { LEFT_OUT_LINES } else { usize::MAX };
            let told = wrap(&clean(left_out), self.width());
            lines.extend(told.into_iter().take(most).map(|text| self.line(&text)));
        }
        lines
    }

    fn fact(&self, label: &str, values: &[String]) -> Vec<String> {
        let labels = std::iter::once(label).chain(std::iter::repeat(""));
        let rest = VALUE - MARGIN;
        labels
            .zip(values)
            .map(|(label, value)| self.line(&format!("{label:<rest$}{value}")))
            .collect()
    }

    /// As many findings as there is room for.
    fn findings(&self, findings: &[Finding], room: usize) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for (index, finding) in findings.iter().enumerate() {
            let next = self.finding(finding, room);
            let follow = findings.len() - index - 1;
            let left = room.saturating_sub(lines.len() + usize::from(follow > 0));
            if next.len() > left && index > 0 {
                let more = findings.len() - index;
                lines.push(self.line(&format!("  and {more} more: `duetd status` tells all")));
                break;
            }
            lines.extend(next.into_iter().take(left));
        }
        lines
    }

    /// What is found, and its cure; in so many lines, what to do needs its place more than the rest.
    fn finding(&self, finding: &Finding, room: usize) -> Vec<String> {
        const CURE: &str = "Cure: ";
        let (tone, mark) = match finding.severity {
            Severity::Bad => (Tone::Bad, "!"),
            Severity::Warning => (Tone::Warning, "-"),
        };
        let (marked, cured) = (MARGIN + 2, MARGIN + 2 + CURE.len());
        let end = MARGIN + self.width();
        let mut what = wrap(&clean(&finding.problem.what), end - marked);
        let cure = wrap(&clean(&finding.problem.cure), end - cured);
        if what.len() + cure.len() > room {
            what.truncate(room.saturating_sub(cure.len()).max(room.div_ceil(2)));
        }
        let mut lines = Vec::with_capacity(what.len() + cure.len());
        for (index, text) in what.iter().enumerate() {
            let mark = if index == 0 { self.tone(tone, mark) } else { " ".to_owned() };
            lines.push(format!("{:MARGIN$}{mark} {text}", ""));
        }
        for (index, text) in cure.iter().enumerate() {
            let label = if index == 0 { CURE } else { "" };
            lines.push(format!("{:marked$}{label:<1$}{text}", "", CURE.len()));
        }
        lines
    }
}

/// Printable ASCII and Latin-1 letters as they are, spaces for other white space, and `?` for
/// everything else.
fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            ' '..='~' => c,
            '\u{a1}'..='\u{ff}' if c.is_alphabetic() => c,
            _ if c.is_whitespace() => ' ',
            _ => '?',
        })
        .collect()
}

/// Breaks a text between words into lines of at most `width` characters; a longer word is broken
/// too.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_whitespace() {
        let mut letters: Vec<char> = word.chars().collect();
        let gap = usize::from(used > 0);
        if used > 0 && used + gap + letters.len() > width {
            lines.push(String::new());
            used = 0;
        }
        while letters.len() > width {
            let rest = letters.split_off(width);
            lines.push(std::mem::replace(&mut letters, rest).into_iter().collect());
        }
        let line = lines.last_mut().expect("there is always a line");
        if used > 0 {
            line.push(' ');
            used += 1;
        }
        used += letters.len();
        line.extend(letters);
    }
    lines.retain(|line| !line.is_empty());
    lines
}

#[cfg(test)]
pub(crate) mod tests;
