//! Colours, by what they mean. Off means that no escape sequence is ever written.

/// Paints words, or leaves them alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    on: bool,
}

impl Style {
    /// Paints if `on`.
    pub(crate) fn new(on: bool) -> Self {
        Style { on }
    }

    /// Whether anything is painted.
    pub(crate) fn is_on(self) -> bool {
        self.on
    }

    /// The word `error:`, and the caret under what is wrong.
    pub(crate) fn error(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// The word `warning:`.
    pub(crate) fn warning(self, text: &str) -> String {
        self.paint("1;33", text)
    }

    /// The word `hint:`.
    pub(crate) fn hint(self, text: &str) -> String {
        self.paint("1;36", text)
    }

    /// What should be seen first.
    pub(crate) fn strong(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// What need not be seen.
    pub(crate) fn faint(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// ECMA-48, section 8.3.117, "Select graphic rendition".
    fn paint(self, rendition: &str, text: &str) -> String {
        if self.on { format!("\x1b[{rendition}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn off_leaves_text_alone() {
        assert_eq!(Style::new(false).error("error:"), "error:");
        assert_eq!(Style::new(true).error("error:"), "\x1b[1;31merror:\x1b[0m");
    }
}
