//! A serial log as the screen that it draws. Start at [`last`].

use std::num::NonZero;

/// A serial console has no size. This is larger than whatever is drawn on it, so that no line is
/// broken; a log that is longer scrolls.
const ROWS: NonZero<u16> = size(60);
const COLUMNS: NonZero<u16> = size(200);
/// How much of the end of a log is looked at: a screen with colours is a few KiB.
const LONGEST: usize = 128 << 10;
/// "Erase in display, all" (ECMA-48, section 8.3.39): whoever draws a screen begins with it.
const ERASE: &[u8] = b"\x1b[2J";
/// "Cursor position" without parameters (ECMA-48, section 8.3.21): to the upper left corner.
const HOME: &[u8] = b"\x1b[H";

/// The last full screen that was drawn, as lines of text without colours.
///
/// A screen that was erased and not drawn upon yet does not count: whoever looks in that moment
/// sees the one before.
pub fn last(serial: &[u8]) -> String {
    let serial = &serial[serial.len().saturating_sub(LONGEST)..];
    let mut end = serial.len();
    while let Some(start) = frame_start(&serial[..end]) {
        let screen = render(&serial[start..end]);
        if !screen.is_empty() {
            return screen;
        }
        end = start;
    }
    render(serial)
}

/// Where the last screen begins to be drawn.
fn frame_start(serial: &[u8]) -> Option<usize> {
    let erase = serial.windows(ERASE.len()).rposition(|window| window == ERASE)?;
    Some(if serial[..erase].ends_with(HOME) { erase - HOME.len() } else { erase })
}

fn render(bytes: &[u8]) -> String {
    let mut terminal = vt100::Parser::new(ROWS, COLUMNS, 0);
    terminal.process(bytes);
    let contents = terminal.screen().contents();
    let lines: Vec<_> = contents.lines().map(str::trim_end).collect();
    let empty = |line: &&str| line.is_empty();
    let first = lines.iter().take_while(|line| empty(line)).count();
    let after = lines.iter().rev().take_while(|line| empty(line)).count();
    lines.get(first..lines.len() - after).unwrap_or_default().join("\n")
}

const fn size(size: u16) -> NonZero<u16> {
    match NonZero::new(size) {
        Some(size) => size,
        None => panic!("a screen has a size"),
    }
}

/// The last lines of a screen, for an error message.
pub(crate) fn tail(screen: &str, lines: usize) -> String {
    let all: Vec<_> = screen.lines().collect();
    let indented = all[all.len().saturating_sub(lines)..].iter().map(|line| format!("  {line}"));
    let tail = indented.collect::<Vec<_>>().join("\n");
    if tail.is_empty() { "  (nothing)".into() } else { tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_screen_wins_and_has_no_colours() {
        let log = b"[    0.0] boot\r\n\x1b[H\x1b[2Jfirst\r\n\x1b[H\x1b[2J\x1b[1;32mnode a1\x1b[0m\r\n\r\n  healthy  \r\n";
        assert_eq!(last(log), "node a1\n\n  healthy");
    }

    #[test]
    fn a_screen_that_is_only_erased_does_not_count_yet() {
        assert_eq!(last(b"\x1b[H\x1b[2Jone\r\n\x1b[H\x1b[2J"), "one");
        assert_eq!(last(b"\x1b[2J\x1b[Hone\r\n\x1b[2J\x1b[H\x1b[0m"), "one");
    }

    #[test]
    fn cursor_moves_and_carriage_returns_are_followed() {
        assert_eq!(
            last(b"\x1b[2J\x1b[3;5Hthere\x1b[1;1Hhere\r\n50 %\r60 %"),
            "here\n60 %\n    there"
        );
        assert_eq!(last(b"\x1b[2J\x1b[01;01Hpress\x1b[01;01HPRESS"), "PRESS");
        assert_eq!(last(b"\x1b[H\x1b[2Ja\x1b[Kb\x1b]0;title\x07c"), "abc");
    }

    #[test]
    fn a_log_without_screens_is_its_own_end() {
        let log: String = (0..100).map(|line| format!("line {line}\r\n")).collect();
        let screen = last(log.as_bytes());
        assert!(screen.ends_with("line 98\nline 99"), "{screen}");
        assert!(!screen.contains("line 3\n"));
        assert_eq!(last(b""), "");
        assert_eq!(last(b"\x1b[H\x1b[2J"), "");
    }

    #[test]
    fn damaged_and_huge_logs_are_read() {
        let mut log = vec![0xff; 1 << 20];
        log.extend_from_slice("\x1b[H\x1b[2Jraüm \u{2713}\r\n".as_bytes());
        assert_eq!(last(&log), "raüm ✓");
        log.extend_from_slice(b"\x1b[99999999999999;1Hx\x1b[");
        assert!(last(&log).starts_with("raüm"));
    }

    #[test]
    fn a_tail_is_indented() {
        assert_eq!(tail("a\nb\nc", 2), "  b\n  c");
        assert_eq!(tail("", 2), "  (nothing)");
    }
}
