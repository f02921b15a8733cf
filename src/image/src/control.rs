//! Fields of a Debian control paragraph, as a package carries it (deb-control(5)).

/// The value of `name` in the paragraph, its continuation lines joined by newlines.
pub(crate) fn field(paragraph: &str, name: &str) -> Option<String> {
    let mut value: Option<String> = None;
    for line in paragraph.lines() {
        if line.starts_with([' ', '\t']) {
            if let Some(value) = &mut value {
                value.push('\n');
                value.push_str(line);
            }
            continue;
        }
        if value.is_some() {
            break;
        }
        let (key, rest) = line.split_once(':')?;
        if key.eq_ignore_ascii_case(name) {
            value = Some(rest.trim().to_owned());
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_has_its_continuation_lines_and_no_others() {
        let text = "Package: a\nConffiles:\n /etc/a 1\n /etc/b 2\nVersion: 1\n";
        assert_eq!(field(text, "conffiles").as_deref(), Some("\n /etc/a 1\n /etc/b 2"));
        assert_eq!(field(text, "Version").as_deref(), Some("1"));
        assert_eq!(field(text, "Depends"), None);
    }
}
