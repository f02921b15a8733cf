//! An error as one screen of text: what failed, why, where in the text, and the cure.
//!
//! Start at [`render`]. Pure: takes a diagnostic, gives text. What a damaged file or a foreign
//! program said may be part of a message, so control characters never reach the terminal.

use std::error::Error;
use std::fmt::Write as _;

use miette::{Diagnostic, LabeledSpan, SourceCode};

use crate::console::Style;

/// Most errors that are told together: with more, the first ones caused the rest or a person will
/// not read them at once anyway.
const MOST_RELATED: usize = 8;
/// Most places that are shown for one error.
const MOST_LABELS: usize = 4;
/// Most causes that are told.
const MOST_CAUSES: usize = 8;
/// Most lines of one message: a file with several problems fills a screen, a failed tool may say more.
const MOST_LINES: usize = 48;
/// Most characters of a source line: the rest does not help and would wrap.
const WIDEST: usize = 96;

/// The error with its causes, excerpts and hints, and those that came with it.
pub(crate) fn render(failure: &dyn Diagnostic, style: &Style) -> String {
    let mut text = String::new();
    one(&mut text, failure, None, style);
    let related: Vec<_> = failure.related().into_iter().flatten().collect();
    for other in related.iter().take(MOST_RELATED) {
        one(&mut text, *other, failure.source_code(), style);
    }
    if related.len() > MOST_RELATED {
        let _ = writeln!(text, "… and {} more like these", related.len() - MOST_RELATED);
    }
    text
}

/// One error; `source` is the text that it is about if it does not carry its own.
fn one(text: &mut String, it: &dyn Diagnostic, source: Option<&dyn SourceCode>, style: &Style) {
    let message = it.to_string();
    let shown = plain(&message);
    let (first, rest) = shown.split_at(shown.find('\n').unwrap_or(shown.len()));
    let _ = writeln!(text, "{} {}{rest}", style.error("error:"), style.strong(first));
    causes(text, it, &message, style);
    if let Some(source) = it.source_code().or(source) {
        for label in it.labels().into_iter().flatten().take(MOST_LABELS) {
            excerpt(text, source, &label, style);
        }
    }
    if let Some(hint) = hint(it) {
        if shown.contains('\n') {
            text.push('\n'); // after several paragraphs the cure of the whole stands apart
        }
        let _ = writeln!(text, "{} {}", style.hint("hint:"), plain(&hint));
    }
}

/// What caused it, unless the message says so already.
fn causes(text: &mut String, it: &dyn Diagnostic, message: &str, style: &Style) {
    let mut said = message.to_owned();
    let mut next: Option<&dyn Error> = it.source();
    for _ in 0..MOST_CAUSES {
        let Some(cause) = next else { return };
        let message = cause.to_string();
        if !said.contains(message.trim_end()) {
            let _ = writeln!(text, "{} {}", style.strong("cause:"), plain(&message));
            said = message;
        }
        next = cause.source();
    }
}

/// The outermost cure on the way to the cause.
fn hint(it: &dyn Diagnostic) -> Option<String> {
    let own = it.help().map(|help| help.to_string());
    own.or_else(|| it.diagnostic_source().and_then(hint))
}

/// The line that a label points at, with its place before and a caret below.
fn excerpt(text: &mut String, source: &dyn SourceCode, label: &LabeledSpan, style: &Style) {
    // With a line of context the contents start where a line starts, so columns can be counted.
    let Ok(contents) = source.read_span(label.inner(), 1, 0) else { return };
    let data = String::from_utf8_lossy(contents.data());
    let start = label.offset().saturating_sub(contents.span().offset()).min(data.len());
    let before = &data[..(0..=start).rev().find(|at| data.is_char_boundary(*at)).unwrap_or(0)];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = data[line_start..].lines().next().unwrap_or_default();
    let row = contents.line() + before.matches('\n').count() + 1;
    let column = before[line_start..].chars().count();
    let width =
        data[before.len()..].char_indices().take_while(|(at, c)| *at < label.len() && *c != '\n');
    let width = width.count().max(1);

    let place =
        contents.name().map_or_else(|| "line ".to_owned(), |name| format!("{}:", plain(name)));
    let margin = " ".repeat(row.to_string().len());
    let bar = style.faint("|");
    let _ = writeln!(text, "{margin}{} {place}{row}:{}", style.faint("-->"), column + 1);
    // A caret far to the right takes its surroundings along.
    let cut = column.saturating_sub(WIDEST / 2).min(column) * usize::from(column + width > WIDEST);
    let shown: String = line.chars().skip(cut).take(WIDEST).map(visible).collect();
    let _ =
        writeln!(text, "{} {bar}{}", style.faint(&row.to_string()), format!(" {shown}").trim_end());
    let carets = "^".repeat(width.min(WIDEST.saturating_sub(column - cut)).max(1));
    let said = label.label().map(|label| format!(" {}", plain(label))).unwrap_or_default();
    let _ = writeln!(
        text,
        "{margin} {bar} {}{}",
        " ".repeat(column - cut),
        style.error(&format!("{carets}{said}"))
    );
}

/// At most [`MOST_LINES`] lines without control characters; the last ones, which tell the most.
fn plain(message: &str) -> String {
    let lines: Vec<String> =
        message.trim_end().lines().map(|line| line.chars().map(visible).collect()).collect();
    match lines.len().checked_sub(MOST_LINES) {
        None | Some(0) => lines.join("\n"),
        Some(_) => {
            let left_out = lines.len() - (MOST_LINES - 1);
            let last = lines[left_out + 1..].join("\n");
            format!("{}\n… {left_out} lines left out …\n{last}", lines[0])
        }
    }
}

/// Control characters could repaint the terminal; tabs would put carets in the wrong place.
fn visible(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use miette::{NamedSource, SourceSpan};

    use super::*;

    /// An error with every part that one can have.
    #[derive(Debug, Default, thiserror::Error, miette::Diagnostic)]
    #[error("{message}")]
    struct Failure {
        message: String,
        #[source]
        cause: Option<Box<Failure>>,
        #[source_code]
        text: Option<NamedSource<String>>,
        #[label("no such key")]
        at: Option<SourceSpan>,
        #[help]
        cure: Option<String>,
        #[related]
        others: Vec<Failure>,
    }

    fn failure(message: &str) -> Failure {
        Failure { message: message.into(), ..Failure::default() }
    }

    fn check(failure: &Failure, expected: Expect) {
        expected.assert_eq(&render(failure, &Style::new(false)));
    }

    #[test]
    fn causes_are_told_once_and_hints_last() {
        let deep = failure("connection reset");
        let cause = Failure { cause: Some(Box::new(deep)), ..failure("cannot fetch x.deb") };
        let outer = Failure {
            cause: Some(Box::new(cause)),
            cure: Some("see whether the network is up".into()),
            ..failure("cannot build: cannot fetch x.deb")
        };
        check(
            &outer,
            expect![[r#"
                error: cannot build: cannot fetch x.deb
                cause: connection reset
                hint: see whether the network is up
            "#]],
        );
    }

    #[test]
    fn a_label_is_shown_in_its_line() {
        let text = "a = 1\n# zwölf\n\tö = \"x\", adress = 2\nb = 3\n";
        let at = text.find("adress").map(|at| (at, 6).into());
        let source = NamedSource::new("x.lock", text.to_owned());
        let pointed = Failure { text: Some(source), at, ..failure("cannot read x.lock") };
        check(
            &pointed,
            expect![[r#"
                error: cannot read x.lock
                 --> x.lock:3:11
                3 |  ö = "x", adress
                  |           ^^^^^^ no such key
            "#]],
        );
    }

    #[test]
    fn a_label_far_to_the_right_or_at_the_end_is_in_sight() {
        let text = format!("{}bad{}", "x".repeat(300), "y".repeat(300));
        let source = |text: &str| Some(NamedSource::new("long", text.to_owned()));
        let far = Failure { text: source(&text), at: Some((300, 3).into()), ..failure("far") };
        check(
            &far,
            expect![[r#"
                error: far
                 --> long:1:301
                1 | xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxbad
                  |                                                 ^^^ no such key
            "#]],
        );
        let end = Failure { text: source("a =\n"), at: Some((4, 0).into()), ..failure("end") };
        check(
            &end,
            expect![[r#"
                error: end
                 --> long:2:1
                2 |
                  | ^ no such key
            "#]],
        );
    }

    #[test]
    fn what_others_said_cannot_paint_the_screen() {
        let long: String = (1..=100).map(|n| format!("line {n}\n")).collect();
        let text = render(&failure(&format!("\x1b[2J{long}")), &Style::new(false));
        assert!(!text.contains('\x1b'), "{text}");
        assert_eq!(text.lines().count(), MOST_LINES);
        assert!(text.contains("… 53 lines left out …") && text.ends_with("line 100\n"), "{text}");
    }

    #[test]
    fn many_errors_are_told_up_to_a_bound() {
        let others = (0..20).map(|n| failure(&format!("number {n}"))).collect();
        let text = render(&Failure { others, ..failure("twenty things") }, &Style::new(false));
        assert_eq!(text.lines().filter(|line| line.starts_with("error: number")).count(), 8);
        assert!(text.ends_with("… and 12 more like these\n"), "{text}");
    }

    #[test]
    fn colours_are_for_the_words_that_matter() {
        let text = render(&failure("first\nsecond"), &Style::new(true));
        assert_eq!(text, "\x1b[1;31merror:\x1b[0m \x1b[1mfirst\x1b[0m\nsecond\n");
    }
}
