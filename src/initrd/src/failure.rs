//! Why a machine cannot start, and how that is told to the person in front of it. Start at
//! [`Failure::screen`]. Prints nothing: [`crate::console`] does.

/// One reason not to go on. Every field is for a person; none is parsed.
#[derive(Debug, Default)]
pub struct Failure {
    /// What /init was about to do: `open the root file system`.
    pub wanted: String,
    /// What came in the way, with the system's own words.
    pub problem: String,
    /// What there was instead: disks, the last words of a tool.
    pub seen: Vec<String>,
    /// What a person can do about it.
    pub cure: String,
}

/// Columns of the screen; the narrowest console is VGA's with 80.
const COLUMNS: usize = 78;
/// Lines of `seen` that are shown: a screen has 25 lines, and the last words matter most.
const SEEN_LINES: usize = 9;

impl Failure {
    /// A failure with nothing seen.
    pub fn new(wanted: &str, problem: impl std::fmt::Display, cure: &str) -> Self {
        Self {
            wanted: wanted.to_owned(),
            problem: problem.to_string(),
            seen: Vec::new(),
            cure: cure.to_owned(),
        }
    }

    /// The same failure, with what was seen.
    pub fn with_seen(self, seen: Vec<String>) -> Self {
        Self { seen, ..self }
    }

    /// What the screen shows, in ASCII and lines of at most 78 columns.
    pub fn screen(&self, restart_seconds: u64) -> String {
        let mut lines =
            vec![String::new(), "  Duet cannot start this machine.".to_owned(), String::new()];
        lines.extend(paragraph("Wanted", &self.wanted));
        lines.extend(paragraph("Problem", &self.problem));
        let shown = &self.seen[self.seen.len().saturating_sub(SEEN_LINES)..];
        for (index, line) in shown.iter().enumerate() {
            lines.extend(paragraph(if index == 0 { "Seen" } else { "" }, line));
        }
        lines.push(String::new());
        lines.extend(paragraph("Cure", &self.cure));
        lines.push(String::new());
        let restart = format!(
            "The machine restarts in {restart_seconds} s. A new version that fails three times \
             gives way to the one before it."
        );
        lines.extend(paragraph("Next", &restart));
        lines.push(String::new());
        lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
    }
}

/// An error with all that caused it: `cannot read X: no such device`.
pub fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// A titled paragraph, wrapped at spaces. A word that is too long for a line is broken.
fn paragraph(title: &str, text: &str) -> Vec<String> {
    const INDENT: usize = 12;
    let width = COLUMNS - INDENT;
    let mut lines = vec![String::new()];
    let printable = |letter: char| if letter.is_ascii_graphic() { letter } else { '?' };
    for word in text.split_whitespace() {
        let mut word: String = word.chars().map(printable).collect();
        let full =
            |line: &String, word: &str| !line.is_empty() && line.len() + 1 + word.len() > width;
        if lines.last().is_none_or(|line| full(line, &word)) {
            lines.push(String::new());
        }
        while word.len() > width {
            let rest = word.split_off(width);
            lines.push(std::mem::replace(&mut word, rest));
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(&word);
        }
    }
    lines.retain(|line| !line.is_empty());
    let titles = std::iter::once(title).chain(std::iter::repeat(""));
    titles.zip(lines).map(|(title, line)| format!("  {title:<10}{line}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn the_screen_says_what_was_wanted_seen_and_what_to_do() {
        let failure = Failure::new(
            "find the root file system that the command line names, on any disk",
            "no disk has a partition with UUID 00112233-4455-6677-8899-aabbccddeeff; waited 60 s",
            "Check that the disk is connected. Write the image again with duet flash if it is.",
        )
        .with_seen(vec![
            "/dev/sda  8.0 GiB  no GPT".to_owned(),
            "/dev/sdb  1.0 GiB  data".to_owned(),
        ]);
        let screen = failure.screen(30);
        let unindented: Vec<_> =
            screen.lines().map(|line| line.strip_prefix("  ").unwrap_or(line)).collect();
        expect![[r#"

            Duet cannot start this machine.

            Wanted    find the root file system that the command line names, on any disk
            Problem   no disk has a partition with UUID
                      00112233-4455-6677-8899-aabbccddeeff; waited 60 s
            Seen      /dev/sda 8.0 GiB no GPT
                      /dev/sdb 1.0 GiB data

            Cure      Check that the disk is connected. Write the image again with duet
                      flash if it is.

            Next      The machine restarts in 30 s. A new version that fails three times
                      gives way to the one before it.
        "#]]
        .assert_eq(&unindented.join("\n"));
    }

    #[test]
    fn it_fits_the_narrowest_screen_whatever_was_seen() {
        let seen = (0..40).map(|line| format!("line {line} \x1b[31m{}", "ü".repeat(300))).collect();
        let screen = Failure::new("a", "b", &"word ".repeat(60)).with_seen(seen).screen(1);
        assert!(screen.lines().all(|line| line.len() <= 79), "{screen}");
        assert!(screen.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)));
        assert!(screen.contains("line 39") && !screen.contains("line 30 "), "{screen}");
    }
}
