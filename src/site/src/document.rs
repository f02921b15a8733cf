//! Reads a TOML file so that every problem is found and every one has its place. Start at
//! [`Document::read`]; a [`Table`] remembers which keys it was asked for, and [`Table::finish`]
//! reports the others as unknown. So every function that reads a table asks for all of its keys first,
//! and calls `finish` on every way out.

use std::cell::RefCell;
use std::ops::{Range, RangeInclusive};
use std::path::Path;
use std::str::FromStr;

use miette::Diagnostic;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::problem::{InputErrors, Problem};

/// The largest file that is read, in bytes: a hundred times what a person writes.
const LARGEST_FILE: usize = 1 << 20;

/// The longest list, so that a slip of a generator cannot fill an error or an image.
const LONGEST_LIST: usize = 4096;

/// One file under examination.
pub(crate) struct Document<'t> {
    text: &'t str,
    problems: RefCell<Vec<Problem>>,
}

/// A value together with its place in the file.
#[derive(Debug, Clone)]
pub(crate) struct Found<T> {
    pub(crate) value: T,
    pub(crate) span: Range<usize>,
}

/// One table of the file.
pub(crate) struct Table<'d> {
    document: &'d Document<'d>,
    entries: &'d DeTable<'d>,
    /// The table's header; `None` for the file itself.
    span: Option<Range<usize>>,
    /// The table's name as in its header; empty for the file itself.
    path: String,
    asked: RefCell<Vec<&'static str>>,
    /// Keys that should be there, each with what to write.
    lacking: RefCell<Vec<(&'static str, String)>>,
}

impl Document<'_> {
    /// Reads `text` with `read`, which returns `None` only after it has reported a problem.
    pub(crate) fn read<T>(
        text: &str,
        file: &Path,
        code: &'static str,
        read: impl FnOnce(&Table<'_>) -> Option<T>,
    ) -> Result<T, InputErrors> {
        let failed = |problems| Err(InputErrors::new(file, code, problems));
        if text.len() > LARGEST_FILE {
            let message = format!("the file has {} bytes", text.len());
            let hint = format!("at most {LARGEST_FILE} bytes are read; is this the right file?");
            return failed(vec![Problem::whole(message, hint)]);
        }
        let (root, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            return failed(syntax_problems(text, &errors));
        }
        let document = Document { text, problems: RefCell::default() };
        let result = read(&Table {
            document: &document,
            entries: root.get_ref(),
            span: None,
            path: String::new(),
            asked: RefCell::default(),
            lacking: RefCell::default(),
        });
        let problems = document.problems.into_inner();
        match result {
            Some(value) if problems.is_empty() => Ok(value),
            _ if problems.is_empty() => unreachable!("a reader gave up without saying why"),
            _ => failed(problems),
        }
    }

    fn report(&self, span: Range<usize>, message: impl Into<String>, hint: impl Into<String>) {
        let problem = Problem::at(self.text, span, message.into(), hint.into());
        let leaks = self.text.contains(PRIVATE_KEY);
        self.problems.borrow_mut().push(if leaks { problem.without_snippet() } else { problem });
    }
}

/// What every armoured private key has in its first line.
pub(crate) const PRIVATE_KEY: &str = "PRIVATE KEY";

/// What is wrong with a file that is not TOML. A pasted private key is many lines that are not TOML
/// and must not be shown.
fn syntax_problems(text: &str, errors: &[toml::de::Error]) -> Vec<Problem> {
    if let Some(start) = text.find(PRIVATE_KEY) {
        let message = "a private key was pasted here".to_owned();
        let hint = "paste the line of the .pub file; and since this key was written into a file \
                    that travels, make a new pair with `ssh-keygen`";
        return vec![Problem::at(text, start..start, message, hint.to_owned()).without_snippet()];
    }
    // One slip makes a parser stumble several times on the same line: name the first.
    let mut problems: Vec<Problem> = Vec::new();
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let hint =
            "texts stand in \"quotes\", lists in [brackets], and each line has one key = value";
        let message = format!("not TOML: {}", error.message().replace('\n', ", "));
        let problem = Problem::at(text, span, message, hint.to_owned());
        if problems.iter().all(|other| other.line != problem.line) {
            problems.push(problem);
        }
    }
    problems
}

impl<'d> Table<'d> {
    /// Whether the table has this key, with whatever value.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// How many entries a list has, good and bad ones.
    pub(crate) fn length(&self, key: &str) -> usize {
        self.entries
            .get(key)
            .and_then(|value| value.get_ref().as_array())
            .map_or(0, |list| list.len())
    }

    /// Reports a problem at a place of the file.
    pub(crate) fn report(
        &self,
        span: Range<usize>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.document.report(span, message, hint);
    }

    /// Reports a key that should not be there beside the others.
    pub(crate) fn forbid(&self, key: &str, message: &str, hint: &str) {
        if let Some((name, _)) = self.entries.get_key_value(key) {
            self.report(name.span(), message, hint);
        }
    }

    /// Reports a problem of a table below this one; of the whole file where it has no such table.
    pub(crate) fn report_below(&self, key: &str, message: String, hint: String) {
        match self.entries.get_key_value(key) {
            Some((name, _)) => self.report(name.span(), message, hint),
            None => {
                let problem = Problem::whole(message, hint);
                self.document.problems.borrow_mut().push(problem);
            }
        }
    }

    /// Notes that the table lacks `key`, unless it is there and wrong, which was reported already.
    /// [`finish`](Table::finish) reports it.
    pub(crate) fn require<T>(&self, key: &'static str, found: Option<T>, hint: &str) -> Option<T> {
        if found.is_none() && !self.has(key) {
            self.lacking.borrow_mut().push((key, hint.to_owned()));
        }
        found
    }

    fn missing(&self, key: &str, hint: String) {
        match &self.span {
            Some(span) => {
                self.report(span.clone(), format!("[{}] lacks `{key}`", self.path), hint);
            }
            None => {
                let problem = Problem::whole(format!("`{key}` is missing"), hint);
                self.document.problems.borrow_mut().push(problem);
            }
        }
    }

    fn value(&self, key: &'static str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.asked.borrow_mut().push(key);
        self.entries.get(key)
    }

    /// A text.
    pub(crate) fn text(&self, key: &'static str) -> Option<Found<&'d str>> {
        self.as_text(key, self.value(key)?)
    }

    fn as_text(&self, key: &str, value: &'d Spanned<DeValue<'d>>) -> Option<Found<&'d str>> {
        match value.get_ref() {
            DeValue::String(text) => Some(Found { value: text.as_ref(), span: value.span() }),
            other => self.wrong_kind(key, value, other, "a text", "write it in \"quotes\""),
        }
    }

    fn wrong_kind<T>(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        found: &DeValue<'_>,
        wanted: &str,
        hint: &str,
    ) -> Option<T> {
        let message = format!("`{key}` is {}, not {wanted}", kind(found));
        self.report(value.span(), message, hint);
        None
    }

    /// A text that means something; its type knows whether it does.
    pub(crate) fn parsed<T>(&self, key: &'static str) -> Option<Found<T>>
    where
        T: FromStr<Err: Diagnostic>,
    {
        let found = self.text(key)?;
        self.parse(found)
    }

    fn parse<T>(&self, found: Found<&str>) -> Option<Found<T>>
    where
        T: FromStr<Err: Diagnostic>,
    {
        match found.value.parse() {
            Ok(value) => Some(Found { value, span: found.span }),
            Err(error) => {
                let hint = error.help().map(|help| help.to_string()).unwrap_or_default();
                self.report(found.span, error.to_string(), hint);
                None
            }
        }
    }

    /// A list of texts that mean something. What is wrong is reported and left out.
    pub(crate) fn parsed_list<T>(&self, key: &'static str) -> Option<Vec<Found<T>>>
    where
        T: FromStr<Err: Diagnostic>,
    {
        let value = self.value(key)?;
        let DeValue::Array(items) = value.get_ref() else {
            let hint = "write it in brackets: [\"one\", \"two\"]";
            return self.wrong_kind(key, value, value.get_ref(), "a list", hint);
        };
        if items.len() > LONGEST_LIST {
            let message = format!("`{key}` has {} entries", items.len());
            self.report(value.span(), message, format!("a list has at most {LONGEST_LIST}"));
            return None;
        }
        let texts = items.iter().filter_map(|item| self.as_text(key, item));
        Some(texts.filter_map(|text| self.parse(text)).collect())
    }

    /// Like [`parsed_list`](Table::parsed_list), but a single text stands for a list of one.
    pub(crate) fn one_or_more<T>(&self, key: &'static str) -> Option<Vec<Found<T>>>
    where
        T: FromStr<Err: Diagnostic>,
    {
        if matches!(self.entries.get(key).map(Spanned::get_ref), Some(DeValue::String(_))) {
            return self.parsed(key).map(|found| vec![found]);
        }
        self.parsed_list(key)
    }

    /// A whole number within a range.
    pub(crate) fn number(
        &self,
        key: &'static str,
        range: RangeInclusive<u32>,
    ) -> Option<Found<u32>> {
        let value = self.value(key)?;
        let hint = format!("write a whole number from {} to {}", range.start(), range.end());
        let DeValue::Integer(digits) = value.get_ref() else {
            return self.wrong_kind(key, value, value.get_ref(), "a whole number", &hint);
        };
        match u32::from_str_radix(digits.as_str(), digits.radix()) {
            Ok(number) if range.contains(&number) => {
                Some(Found { value: number, span: value.span() })
            }
            _ => {
                let message = format!("`{key} = {digits}` is impossible");
                self.report(value.span(), message, hint);
                None
            }
        }
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(
        &self,
        key: &'static str,
        words: &[(&str, T)],
    ) -> Option<Found<T>> {
        let found = self.text(key)?;
        let matching = words.iter().find(|(word, _)| *word == found.value);
        if let Some((_, value)) = matching {
            return Some(Found { value: *value, span: found.span });
        }
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let message = format!("`{key}` cannot be {:?}", found.value);
        self.report(found.span, message, suggest(found.value, &names, "one of"));
        None
    }

    /// A list of words, of which there are a few; each at most once.
    pub(crate) fn choices<T: Copy + PartialEq>(
        &self,
        key: &'static str,
        words: &[(&str, T)],
    ) -> Vec<T> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            let hint = "write it in brackets: [\"one\", \"two\"]";
            let _: Option<()> = self.wrong_kind(key, value, value.get_ref(), "a list", hint);
            return Vec::new();
        };
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let mut chosen = Vec::new();
        for found in items.iter().filter_map(|item| self.as_text(key, item)) {
            match words.iter().find(|(word, _)| *word == found.value) {
                None => {
                    let message = format!("`{key}` cannot have {:?}", found.value);
                    self.report(found.span, message, suggest(found.value, &names, "one of"));
                }
                Some((word, meant)) if chosen.contains(meant) => {
                    let message = format!("`{word}` is in the list twice");
                    self.report(found.span, message, "remove one of them");
                }
                Some((_, meant)) => chosen.push(*meant),
            }
        }
        chosen
    }

    /// Yes or no.
    pub(crate) fn flag(&self, key: &'static str) -> Option<Found<bool>> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Boolean(yes) => Some(Found { value: *yes, span: value.span() }),
            other => self.wrong_kind(key, value, other, "true or false", "write it without quotes"),
        }
    }

    /// A table below this one.
    pub(crate) fn table(&self, key: &'static str) -> Option<Table<'d>> {
        self.as_table(key, self.value(key)?)
    }

    fn as_table(&self, key: &str, value: &'d Spanned<DeValue<'d>>) -> Option<Table<'d>> {
        let path =
            if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        match value.get_ref() {
            DeValue::Table(entries) => Some(Table {
                document: self.document,
                entries,
                span: Some(value.span()),
                path,
                asked: RefCell::default(),
                lacking: RefCell::default(),
            }),
            other => {
                let hint = format!("write [{path}] on a line of its own and its keys below");
                self.wrong_kind(key, value, other, "a table", &hint)
            }
        }
    }

    /// Every table below this one, whose names the writer of the file chooses.
    pub(crate) fn named_tables(&self) -> Vec<(Found<&'d str>, Table<'d>)> {
        let mut tables: Vec<_> = self
            .entries
            .iter()
            .filter_map(|(name, value)| {
                let found = Found { value: name.get_ref().as_ref(), span: name.span() };
                Some((found, self.as_table(name.get_ref(), value)?))
            })
            .collect();
        tables.sort_by_key(|(name, _)| name.span.start);
        tables
    }

    /// Every entry of a table whose keys the writer of the file chooses and whose values are one of a few
    /// words. `name` reads a key, or reports why it cannot.
    pub(crate) fn words<N, T: Copy>(
        &self,
        words: &[(&str, T)],
        name: impl Fn(&str, Range<usize>) -> Option<N>,
    ) -> Vec<(N, T)> {
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let read = |(key, value): (&'d Spanned<_>, &'d Spanned<DeValue<'d>>)| {
            let written: &std::borrow::Cow<'_, str> = key.get_ref();
            let found = self.as_text(written, value)?;
            let word = words.iter().find(|(word, _)| *word == found.value).map(|(_, meant)| *meant);
            if word.is_none() {
                let message = format!("`{written}` cannot be {:?}", found.value);
                self.report(found.span, message, suggest(found.value, &names, "one of"));
            }
            Some((name(written, key.span())?, word?))
        };
        entries.into_iter().filter_map(read).collect()
    }

    /// Every table of the list `[[key]]`, in order.
    pub(crate) fn tables(&self, key: &'static str) -> Vec<Table<'d>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let hint =
            format!("write [[{key}]] on a line of its own and its keys below, once for each");
        match value.get_ref() {
            DeValue::Array(items) if items.len() <= LONGEST_LIST => {
                items.iter().filter_map(|item| self.as_table(key, item)).collect()
            }
            other => {
                let _: Option<()> =
                    self.wrong_kind(key, value, other, "a list of tables of sane length", &hint);
                Vec::new()
            }
        }
    }

    /// The line, counted from 1, on which a place of the file lies.
    pub(crate) fn line(&self, span: &Range<usize>) -> usize {
        self.document.text[..span.start].matches('\n').count() + 1
    }

    /// Where the table begins.
    pub(crate) fn span(&self) -> Range<usize> {
        self.span.clone().unwrap_or(0..0)
    }

    /// Reports every key that nobody asked for, and every one that is missing and not just misspelt.
    pub(crate) fn finish(&self) {
        let asked = self.asked.borrow();
        let mut lacking = self.lacking.take();
        for name in self.entries.keys() {
            let key: &str = name.get_ref();
            if asked.contains(&key) {
                continue;
            }
            let place = match self.path.as_str() {
                "" => String::new(),
                path => format!(" in [{path}]"),
            };
            let message = format!("unknown key `{}`{place}", key.escape_debug());
            self.report(name.span(), message, suggest(key, &asked, "the keys here are"));
            lacking.retain(|(missing, _)| nearest(key, &asked) != Some(missing));
        }
        for (key, hint) in lacking {
            self.missing(key, hint);
        }
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// The word that was probably meant: one that the other begins with, or a slip or two away.
fn nearest<'w>(written: &str, words: &[&'w str]) -> Option<&'w str> {
    const STEM: usize = 3; // Shorter beginnings are the same by chance.
    let begins = |word: &&&str| {
        let (short, long) =
            if word.len() < written.len() { (**word, written) } else { (written, **word) };
        short.len() >= STEM && long.starts_with(short)
    };
    let slips = |word: &&&str| strsim::damerau_levenshtein(written, word);
    let allowed = if written.len() < STEM { 0 } else { (written.len() / 3).max(1) };
    let close = words.iter().filter(|word| slips(word) <= allowed).min_by_key(slips);
    close.or_else(|| words.iter().find(begins)).copied()
}

/// The word that was probably meant, or else all of them.
fn suggest(written: &str, words: &[&str], all: &str) -> String {
    match nearest(written, words) {
        Some(word) => format!("did you mean `{word}`?"),
        None => {
            let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
            format!("{all} {}", words.join(", "))
        }
    }
}
