//! What the guide to failures claims is shown by a test that is there.

use crate::Tree;

/// The guide whose rows name tests.
const GUIDE: &str = "docs/failures.md";

/// Where the tests of a word are.
const PLACES: [(&str, &str); 8] = [
    ("rooms", "tests/tests/rooms/"),
    ("protocol", "src/pair/tests/protocol/"),
    ("lab", "tests/tests/site.rs"),
    ("boot", "src/duetd/src/boot/"),
    ("disks", "src/duetd/src/disks/tests/"),
    ("wire", "tests/tests/wire/"),
    ("peer", "src/store/src/peer/tests/"),
    ("init", "tests/tests/init/"),
];

/// Every `` `word::test` `` of the guide is a function with `#[test]` or `#[tokio::test]` above it.
pub(crate) fn is_there(tree: &Tree) -> Vec<String> {
    let guide = tree.get(GUIDE).map_or("", String::as_str);
    let mut findings = Vec::new();
    for (number, line) in guide.lines().enumerate() {
        for named in line.split('`').skip(1).step_by(2).filter(|text| text.contains("::")) {
            let (word, test) = named.split_once("::").unwrap_or_default();
            if test == "…" {
                continue;
            }
            let place = PLACES.iter().find(|(known, _)| *known == word).map(|(_, place)| *place);
            let found = place.is_some_and(|place| {
                let mut files = tree.iter().filter(|(path, _)| path.starts_with(place));
                files.any(|(_, text)| has_test(text, test))
            });
            if !found {
                findings.push(format!("{GUIDE}:{}: there is no test {named}", number + 1));
            }
        }
    }
    findings
}

fn has_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let begins = [format!("fn {name}("), format!("async fn {name}(")];
    let at = lines.iter().position(|line| begins.iter().any(|begin| line.starts_with(begin)));
    // Between the two may be other attributes.
    at.is_some_and(|at| {
        let above = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
        above.into_iter().any(|line| *line == "#[test]" || line.starts_with("#[tokio::test"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    #[test]
    fn a_claim_without_a_test_is_found() {
        let guide = "| a | `rooms::kept` `peer::met` |\n| b | `rooms::gone` `lab::gone` `peer::left` |\n| `rooms::…` |\n";
        let test = "#[test]\n#[cfg(unix)]\nfn kept() {}\nfn gone() {}\n";
        let link = "#[tokio::test(worker_threads = 2)]\nasync fn met() {}\nasync fn left() {}\n";
        let files = [
            (GUIDE, guide),
            ("tests/tests/rooms/x.rs", test),
            ("src/store/src/peer/tests/x.rs", link),
        ];
        let tree = tree(&files);
        assert_eq!(
            is_there(&tree),
            [
                "docs/failures.md:2: there is no test rooms::gone",
                "docs/failures.md:2: there is no test lab::gone",
                "docs/failures.md:2: there is no test peer::left"
            ]
        );
    }
}
