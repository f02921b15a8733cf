//! [`redact`]: takes secrets out of a text that other programs wrote. Pure.

/// What is put in the place of a secret.
const GONE: &str = "[taken out]";

/// The text without what has the form of a secret of a site: join tokens, tokens of Kubernetes and k3s,
/// private keys in PEM, and passwords in addresses. A net below a net: nothing is supposed to be caught.
#[must_use]
pub fn redact(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut in_key = false;
    for line in text.split_inclusive('\n') {
        if in_key {
            in_key = !line.contains("-----END ");
            continue;
        }
        if let Some(start) = private_key(line) {
            safe.push_str(&words(&line[..start]));
            safe.push_str(GONE);
            safe.push('\n');
            in_key = !line[start..].contains("-----END ");
            continue;
        }
        safe.push_str(&words(line));
    }
    safe
}

/// Where a private key begins, if one does.
fn private_key(line: &str) -> Option<usize> {
    let start = line.find("-----BEGIN ")?;
    line[start..].contains("PRIVATE KEY").then_some(start)
}

/// A line whose words are no secrets.
fn words(line: &str) -> String {
    let ends = |c: char| c.is_whitespace() || "\"'`,;()<>[]{}=".contains(c);
    let mut safe = String::with_capacity(line.len());
    for part in line.split_inclusive(ends) {
        let word = part.trim_end_matches(ends);
        safe.push_str(if is_secret(word) { GONE } else { word });
        safe.push_str(&part[word.len()..]);
    }
    safe
}

fn is_secret(word: &str) -> bool {
    let long = |rest: &str| rest.len() >= 16;
    // A token of k3s is K10, a hash, `::`, and the secret; a password in a URL stands before an @.
    let k3s = word.starts_with("K10") && word.contains("::");
    let in_url = word.split_once("://").is_some_and(|(_, rest)| {
        let host = rest.split('/').next().unwrap_or_default();
        host.split_once('@').is_some_and(|(user, _)| user.contains(':'))
    });
    let jwt = word.starts_with("eyJ") && word.matches('.').count() == 2 && long(word);
    word.contains("duetjoin1_") || k3s || in_url || jwt || is_key_line(word)
}

/// A line of a PEM block by itself, as in a log that writes one line at a time: base64 of 64 letters and no
/// more, or the beginning of a PKCS#8 key.
fn is_key_line(word: &str) -> bool {
    let base64 = |c: u8| c.is_ascii_alphanumeric() || b"+/=".contains(&c);
    // A hash has the same length, and only digits and small letters.
    let mixed = word.bytes().any(|c| c.is_ascii_uppercase());
    let begins = ["MC4CAQAwBQYDK2Vw", "MIGHAgEAMBMGByqGSM49", "b3BlbnNzaC1rZXktdjE"];
    let whole = word.len() == 64 && mixed && word.bytes().all(base64);
    whole || begins.iter().any(|begin| word.starts_with(begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_taken_out_and_nothing_else() {
        for (text, safe) in [
            ("token duetjoin1_00ff, wrong\n", "token [taken out], wrong\n"),
            ("K3S_TOKEN=K10abc::server:12ab now", "K3S_TOKEN=[taken out] now"),
            ("at https://me:word@host/x failed", "at [taken out] failed"),
            ("at https://host:80/x failed", "at https://host:80/x failed"),
            (
                "a -----BEGIN PRIVATE KEY-----\nMC4x\n-----END PRIVATE KEY-----\nb\n",
                "a [taken out]\nb\n",
            ),
            ("-----BEGIN CERTIFICATE-----\nabc\n", "-----BEGIN CERTIFICATE-----\nabc\n"),
            (
                "hash 3f9a1c203f9a1c203f9a1c203f9a1c203f9a1c203f9a1c203f9a1c203f9a1c20",
                "hash 3f9a1c203f9a1c203f9a1c203f9a1c203f9a1c203f9a1c203f9a1c203f9a1c20",
            ),
        ] {
            assert_eq!(redact(text), safe);
        }
    }
}
