//! What must be shown and stored nowhere: the key, and what an address carries before its `@`.
//!
//! A server may send either back, in an error or in a text. Whatever comes from a server passes through [`Secrets`] before
//! anything else is done with it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::EndpointSettings;

/// What stands where a secret stood.
const HIDDEN: &str = "[redacted]";
/// Bytes that a secret must have to be looked for in a message.
const SHORTEST: usize = 3;
/// Bytes that it must have to be looked for in a model's text: "EMPTY" and the like are words, and keys are longer.
const SHORTEST_IN_TEXT: usize = 8;

/// The secrets of an endpoint, in every form in which they may come back, the longest first.
#[derive(Clone, Default)]
pub(super) struct Secrets(Vec<String>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(…)")
    }
}

impl Secrets {
    /// Those of some settings, and of the proxy on the way to the server.
    pub(super) fn of(settings: &EndpointSettings, proxy: Option<&ureq::Proxy>) -> Self {
        let mut found: Vec<String> = settings.key.iter().map(|key| key.0.clone()).collect();
        if let Some(credentials) = credentials(&settings.address) {
            add_credentials(&mut found, credentials);
        }
        if let Some(proxy) = proxy {
            let (user, password) = (proxy.username().unwrap_or_default(), proxy.password().unwrap_or_default());
            found.extend([password.to_owned(), format!("{user}:{password}")]);
        }
        // A text may hold the JSON form of a key with quotes or backslashes in it.
        let escaped: Vec<String> = found
            .iter()
            .map(|secret| serde_json::Value::from(secret.as_str()).to_string().trim_matches('"').to_owned())
            .collect();
        found.extend(escaped);
        found.retain(|secret| secret.len() >= SHORTEST && secret != ":");
        found.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        found.dedup();
        Self(found)
    }

    /// A message without secrets.
    pub(super) fn hide(&self, text: &str) -> String {
        self.without(text, SHORTEST)
    }

    /// A model's text without secrets; short keys are words there and stay.
    pub(super) fn hide_in_text(&self, text: &str) -> String {
        self.without(text, SHORTEST_IN_TEXT)
    }

    fn without(&self, text: &str, shortest: usize) -> String {
        let secrets = self.0.iter().filter(|secret| secret.len() >= shortest);
        secrets.fold(text.to_owned(), |text, secret| {
            if text.contains(secret.as_str()) {
                text.replace(secret.as_str(), HIDDEN)
            } else {
                text
            }
        })
    }
}

/// An address as it may be printed: without what stands before its `@`.
pub(super) fn shown(address: &str) -> String {
    match credentials(address) {
        Some(credentials) => address.replacen(&format!("{credentials}@"), &format!("{HIDDEN}@"), 1),
        None => address.to_owned(),
    }
}

/// What stands before the `@` of an address's host.
fn credentials(address: &str) -> Option<&str> {
    let (_, rest) = address.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    authority.rsplit_once('@').map(|(credentials, _)| credentials)
}

fn add_credentials(found: &mut Vec<String>, credentials: &str) {
    let decoded = decoded(credentials);
    for form in [credentials, decoded.as_str()] {
        found.push(form.to_owned());
        match form.split_once(':') {
            Some((_, password)) => {
                found.push(password.to_owned());
                found.push(STANDARD.encode(form));
            }
            None => found.push(STANDARD.encode(format!("{form}:"))),
        }
    }
}

/// `%41` and the like read; what is none stays.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = text.get(at + 1..at + 3).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if bytes[at] == b'%' => {
                plain.push(byte);
                at += 3;
            }
            _ => {
                plain.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::{Interface, Secret};
    use super::*;

    fn secrets(address: &str, key: Option<&str>) -> Secrets {
        let mut settings = EndpointSettings::new(address, Interface::Completions, "m");
        settings.key = key.map(Secret::new);
        Secrets::of(&settings, None)
    }

    #[test]
    fn keys_and_credentials_are_hidden_in_every_form() {
        let secrets = secrets("https://ann:p%40ss%2Fword@host:8000/v1", Some("sk-0123\"456"));
        for echoed in [
            "bad key sk-0123\"456 given",
            r#"{"error": "bad key sk-0123\"456"}"#,
            "https://ann:p%40ss%2Fword@host:8000/v1",
            "user ann, password p@ss/word",
            "Basic YW5uOnBAc3Mvd29yZA==",
        ] {
            let hidden = secrets.hide(echoed);
            for secret in ["sk-0123", "p%40ss", "p@ss", "YW5uOn"] {
                assert!(!hidden.contains(secret), "{hidden}");
            }
            assert!(hidden.contains(HIDDEN), "{hidden}");
        }
        assert_eq!(shown("https://ann:p%40ss@host/v1"), "https://[redacted]@host/v1");
        assert_eq!(shown("http://host/v1/a@b"), "http://host/v1/a@b");
    }

    #[test]
    fn a_token_without_a_password_is_one_too_and_short_keys_stay_in_texts() {
        assert_eq!(secrets("https://tok-123456@host/v1", None).hide("tok-123456?"), "[redacted]?");
        let dummy = secrets("http://host/v1", Some("EMPTY"));
        assert_eq!(dummy.hide_in_text("the set is EMPTY"), "the set is EMPTY");
        assert_eq!(dummy.hide("key EMPTY"), "key [redacted]");
        assert_eq!(secrets("http://host/v1", None).hide("x"), "x");
    }
}
