//! Shell patterns as modules.alias uses them (fnmatch(3) without flags). Start at [`matches()`].
//!
//! Holds no state and never allocates. Takes time in the product of both lengths at worst: a star
//! is retried from its last place only, never recursively.

/// True if the whole of `text` matches `pattern`: `*` any run, `?` any one byte, `[a-f0]` one of a
/// set, `[!x]` none of it, `\` takes the next byte as it is. An unclosed `[` is a plain byte.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut seen) = (0, 0);
    // Where to go on when the last star must take one byte more: (after the star, text taken).
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if at < pattern.len() && pattern[at] == b'*' {
            at += 1;
            retry = Some((at, seen));
            continue;
        }
        if seen == text.len() {
            return at == pattern.len();
        }
        match one(&pattern[at..], text[seen]) {
            Some(width) => {
                at += width;
                seen += 1;
            }
            None => {
                let Some((after, taken)) = retry else { return false };
                retry = Some((after, taken + 1));
                (at, seen) = (after, taken + 1);
            }
        }
    }
}

/// How many bytes of the pattern match this one byte; `None` if they do not.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'\\', next, ..] => (*next == byte).then_some(2),
        [b'[', rest @ ..] => match set(rest, byte) {
            Some((width, inside)) => inside.then_some(1 + width),
            None => (byte == b'[').then_some(1),
        },
        [plain, ..] => (*plain == byte).then_some(1),
    }
}

/// Reads a set after its `[`: its width with the `]`, and whether `byte` is meant by it.
fn set(pattern: &[u8], byte: u8) -> Option<(usize, bool)> {
    let negated = matches!(pattern.first(), Some(b'!' | b'^'));
    let first = usize::from(negated);
    let mut at = first;
    let mut inside = false;
    loop {
        match &pattern[at..] {
            [] => return None,
            [b']', ..] if at > first => return Some((at + 1, inside != negated)),
            [low, b'-', high, ..] if *high != b']' => {
                inside |= (*low..=*high).contains(&byte);
                at += 3;
            }
            [plain, ..] => {
                inside |= *plain == byte;
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_aliases_find_real_devices() {
        let nvme = "pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02";
        assert!(matches("pci:v*d*sv*sd*bc01sc08i02*", nvme));
        assert!(!matches("pci:v*d*sv*sd*bc01sc06i01*", nvme));
        assert!(matches("virtio:d00000002v*", "virtio:d00000002v00001AF4"));
        assert!(!matches("virtio:d00000002v*", "virtio:d00000001v00001AF4"));
        let stick = "usb:v0781p5581d0100dc00dsc00dp00ic08isc06ip50in00";
        assert!(matches("usb:v*p*d*dc*dsc*dp*ic08isc06ip50in*", stick));
        assert!(matches("usb:v0781p5581d01[0-4]*dc*dsc*dp*ic*isc*ip*in*", stick));
        assert!(!matches("usb:v0781p5581d0[2-9]*dc*dsc*dp*ic*isc*ip*in*", stick));
    }

    #[test]
    fn each_sign_means_what_fnmatch_says() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("?", "", false),
            ("a?c", "abc", true),
            ("[!a]", "b", true),
            ("[!a]", "a", false),
            ("[]x]", "]", true),
            ("[a-]", "-", true),
            ("[ab", "[ab", true),
            ("[ab", "a", false),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("*abc", "ababc", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern:?} on {text:?}");
        }
    }

    #[test]
    fn many_stars_do_not_explode() {
        let pattern = "*a".repeat(60);
        assert!(!matches(&pattern, &format!("{}b", "a".repeat(4000))));
    }
}
