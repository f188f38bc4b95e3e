//! What a browser asks for, read from its first line: the method and a path that cannot leave the folder.

use std::path::PathBuf;

/// A request that can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Whether the body is wanted, or only the head.
    pub body: bool,
    /// The path, decoded, without the part after the question mark; it ends in a slash where the browser's does.
    pub path: String,
}

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is no request of HTTP, or its path is no text.
    Malformed,
    /// It wants something other than to read.
    Method,
    /// Its path leads out of the folder, or to a hidden file.
    Forbidden,
}

impl Request {
    /// Reads the first line, such as `GET /page.css?v=1 HTTP/1.1`.
    ///
    /// # Errors
    /// When it is malformed, or wants something other than to read.
    pub fn from_line(line: &str) -> Result<Self, Refusal> {
        let mut words = line.trim_end_matches(['\r', '\n']).split(' ');
        let (Some(method), Some(target), Some(protocol), None) = (words.next(), words.next(), words.next(), words.next()) else {
            return Err(Refusal::Malformed);
        };
        if !protocol.starts_with("HTTP/1.") || !target.starts_with('/') {
            return Err(Refusal::Malformed);
        }
        let body = match method {
            "GET" => true,
            "HEAD" => false,
            _ => return Err(Refusal::Method),
        };
        let path = target.split(['?', '#']).next().unwrap_or_default();
        Ok(Self {
            body,
            path: decode(path).ok_or(Refusal::Malformed)?,
        })
    }

    /// The file below the folder that is meant; a path that ends in a slash means the `index.html` in it.
    ///
    /// # Errors
    /// When the path leads out of the folder or to a hidden file.
    pub fn file(&self) -> Result<PathBuf, Refusal> {
        let mut file = PathBuf::new();
        for part in self.path.split('/').filter(|part| !part.is_empty()) {
            // Parts that start with a dot would climb, or are hidden; the others mean something to Windows.
            if part.starts_with('.') || part.contains(['\\', ':', '\0']) {
                return Err(Refusal::Forbidden);
            }
            file.push(part);
        }
        if self.path.ends_with('/') {
            file.push("index.html");
        }
        Ok(file)
    }
}

/// Whether the host that a browser names is this machine, whatever the port.
pub fn is_local_host(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((name, port)) if is_port(port) => name,
            _ => return false,
        },
        None => match host.split_once(':') {
            Some((name, port)) if is_port(&format!(":{port}")) => name,
            Some(_) => return false,
            None => host,
        },
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || name == "127.0.0.1" || name == "::1"
}

/// Nothing, or a colon and a number.
fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|number| number.parse::<u16>().is_ok())
}

/// Decodes `%20` and the like; `None` where that gives no text.
fn decode(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        if *first != b'%' {
            bytes.push(*first);
            rest = tail;
            continue;
        }
        let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(target: &str) -> Result<PathBuf, Refusal> {
        Request::from_line(&format!("GET {target} HTTP/1.1\r\n"))?.file()
    }

    #[test]
    fn plain_paths_lead_to_files() {
        assert_eq!(file("/"), Ok("index.html".into()));
        assert_eq!(file("/studies/a%20b/study.json?x=/../y#z"), Ok("studies/a b/study.json".into()));
        assert_eq!(file("//studies//"), Ok("studies/index.html".into()));
    }

    #[test]
    fn no_path_leads_out_of_the_folder() {
        for target in [
            "/../secret",
            "/a/../../secret",
            "/%2e%2e/secret",
            "/..%2fsecret",
            "/a/%2E%2E/%2e%2e/x",
            "/.git/config",
            "/a%5c..%5cb",
            "/c:/x",
            "/%00",
        ] {
            assert_eq!(file(target), Err(Refusal::Forbidden), "{target}");
        }
    }

    #[test]
    fn malformed_requests_are_told_apart_from_unwanted_ones() {
        for line in [
            "",
            "GET",
            "GET /",
            "GET / HTTP/1.1 x",
            "GET http://elsewhere/ HTTP/1.1",
            "GET /%zz HTTP/1.1",
            "GET /%+f HTTP/1.1",
            "GET /%ff HTTP/1.1",
            "GET / HTTP/2",
        ] {
            assert_eq!(Request::from_line(line), Err(Refusal::Malformed), "{line}");
        }
        assert_eq!(Request::from_line("POST / HTTP/1.1"), Err(Refusal::Method));
        assert!(!Request::from_line("HEAD / HTTP/1.0").unwrap().body);
    }
}
