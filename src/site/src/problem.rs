//! What is wrong with a file that a person wrote. Start at [`InputErrors`]: all problems of one file
//! at once, each with its place, the line and the cure.

use std::fmt;
use std::ops::Range;
use std::path::Path;

/// Problems that are shown; a file with more of them is some other file, and an error should fit
/// on one screen.
const SHOWN: usize = 6;

/// The most characters of a line that are shown; keys and lists can be far longer.
const LINE_WIDTH: usize = 90;

/// Every problem of one file, in the file's order. Shown whole by its `Display`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputErrors {
    file: String,
    code: &'static str,
    problems: Vec<Problem>,
}

/// One problem, at one place of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub hint: Option<String>,
    /// The line's text and the part of it that is meant, in characters. Absent where the problem is
    /// that something is missing from the whole file, and where showing the line would leak a secret.
    snippet: Option<(String, Range<usize>)>,
}

impl InputErrors {
    pub(crate) fn new(file: &Path, code: &'static str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| (problem.line, problem.column));
        InputErrors { file: file.display().to_string(), code, problems }
    }

    /// The problems, in the order of the file; at least one.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl Problem {
    /// A problem with the bytes `span` of `text`.
    pub(crate) fn at(text: &str, span: Range<usize>, message: String, hint: String) -> Problem {
        let mut start = span.start.min(text.len());
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_text = text[line_start..].lines().next().unwrap_or_default();
        let column = text[line_start..start].chars().count();
        let mut end = span.end.clamp(start, line_start + line_text.len().max(start - line_start));
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let width = text[start..end].chars().count().max(1);
        Problem {
            line: text[..start].matches('\n').count() + 1,
            column: column + 1,
            message,
            hint: Some(hint),
            snippet: Some((line_text.to_owned(), column..column + width)),
        }
    }

    /// A problem with the file as a whole.
    pub(crate) fn whole(message: String, hint: String) -> Problem {
        Problem { line: 1, column: 1, message, hint: Some(hint), snippet: None }
    }

    /// The same problem without the file's own text.
    pub(crate) fn without_snippet(self) -> Problem {
        Problem { snippet: None, ..self }
    }
}

impl fmt::Display for InputErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.len() {
            1 => write!(f, "a problem in {}:", self.file)?,
            count => write!(f, "{count} problems in {}:", self.file)?,
        }
        for problem in self.problems.iter().take(SHOWN) {
            write!(f, "\n\n{}:{problem}", self.file)?;
        }
        match self.problems.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n\nand {more} more"),
        }
    }
}

/// `LINE:COLUMN: message`, the line with a caret, and the hint.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)?;
        if let Some((line, part)) = &self.snippet {
            let number = self.line.to_string();
            let margin = " ".repeat(number.len());
            let (line, part) = window(line, part.clone());
            write!(f, "\n  {number} | {line}")?;
            write!(f, "\n  {margin} | {}{}", " ".repeat(part.start), "^".repeat(part.len()))?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// The stretch of a line around `part` that fits the screen, with characters that a terminal would
/// obey made harmless.
fn window(line: &str, part: Range<usize>) -> (String, Range<usize>) {
    let harmless = |c: char| match c {
        '\t' => ' ',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    let all: Vec<char> = line.chars().map(harmless).collect();
    if all.len() <= LINE_WIDTH {
        return (all.into_iter().collect(), part);
    }
    // Keep the start of what is meant in sight, with a third of the screen before it.
    let from = part.start.saturating_sub(LINE_WIDTH / 3).min(all.len() - LINE_WIDTH);
    let mut shown: Vec<char> = all[from..from + LINE_WIDTH].to_vec();
    if from > 0 {
        shown[0] = '…';
    }
    if from + LINE_WIDTH < all.len() {
        shown[LINE_WIDTH - 1] = '…';
    }
    let end = (part.end - from).min(LINE_WIDTH);
    (shown.into_iter().collect(), part.start - from..end)
}

impl std::error::Error for InputErrors {}

impl miette::Diagnostic for InputErrors {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.code))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new("correct the file and run the same command again; nothing was changed"))
    }
}

/// The bytes of a file as text, or where they stop being text.
pub fn utf8<'b>(bytes: &'b [u8], file: &Path) -> Result<&'b str, InputErrors> {
    std::str::from_utf8(bytes).map_err(|error| {
        let (good, bad) = bytes.split_at(error.valid_up_to());
        let text = String::from_utf8_lossy(good);
        let message = format!("the byte 0x{:02x} is not UTF-8 text", bad[0]);
        let hint = "save the file as UTF-8".to_owned();
        let problem = Problem::at(&text, text.len()..text.len(), message, hint);
        InputErrors::new(file, "input::encoding", vec![problem])
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use expect_test::{Expect, expect};

    use super::*;

    fn check(text: &str, span: Range<usize>, expected: Expect) {
        let problem = Problem::at(text, span, "something is wrong".into(), "mend it".into());
        expected.assert_eq(&problem.to_string());
    }

    #[test]
    fn the_caret_stands_under_what_is_meant() {
        check(
            "first = 1\nsecond = 2\r\nthird = 3\n",
            10..16,
            expect![[r#"
                2:1: something is wrong
                  2 | second = 2
                    | ^^^^^^
                  hint: mend it"#]],
        );
        check(
            "t\u{fc}r\t= \"\u{1b}[31m\"\n",
            7..14,
            expect![[r#"
                1:7: something is wrong
                  1 | tür = "�[31m"
                    |       ^^^^^^^
                  hint: mend it"#]],
        );
    }

    #[test]
    fn the_end_of_the_file_and_of_a_line_can_be_meant() {
        check(
            "key = \"",
            7..7,
            expect![[r#"
                1:8: something is wrong
                  1 | key = "
                    |        ^
                  hint: mend it"#]],
        );
        check(
            "a = [\n  1,\n]\n",
            4..12,
            expect![[r#"
                1:5: something is wrong
                  1 | a = [
                    |     ^
                  hint: mend it"#]],
        );
        check(
            "",
            0..0,
            expect![[r#"
                1:1: something is wrong
                  1 | 
                    | ^
                  hint: mend it"#]],
        );
        check(
            "\u{fc}\n",
            1..900,
            expect![[r#"
                1:1: something is wrong
                  1 | ü
                    | ^
                  hint: mend it"#]],
        );
    }

    #[test]
    fn a_long_line_is_shown_around_what_is_meant() {
        let text = format!("{}bad{}", "x".repeat(300), "y".repeat(300));
        check(
            &text,
            300..303,
            expect![[r#"
                1:301: something is wrong
                  1 | …xxxxxxxxxxxxxxxxxxxxxxxxxxxxxbadyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy…
                    |                               ^^^
                  hint: mend it"#]],
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_named_with_their_place() {
        let error = utf8(b"name = \"b\xfcro\"\n", Path::new("site.toml")).unwrap_err();
        expect![[r#"
            a problem in site.toml:

            site.toml:1:10: the byte 0xfc is not UTF-8 text
              1 | name = "b
                |          ^
              hint: save the file as UTF-8"#]]
        .assert_eq(&error.to_string());
    }
}
