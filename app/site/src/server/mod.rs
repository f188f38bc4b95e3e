//! A server for looking at the page on this machine: files of one folder, to this machine only.
//!
//! It is no server for publishing: it sends the packed copies that a page holds, but packs nothing, caches nothing and knows no encryption.

use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

mod places;
mod request;

use self::places::{Place, Places};
use self::request::{Refusal, Request, is_local_host};
use crate::SiteError;

/// Longest head of a request; browsers send a few hundred bytes.
const LONGEST_HEAD: usize = 16 * 1024;
/// Connections answered at the same time.
const MOST_CONNECTIONS: usize = 128;
/// How long a request may take to come.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a browser may take nothing of an answer.
const STALLED: Duration = Duration::from_secs(10);
/// Bytes a second that a browser must take of an answer, over all of it.
const SLOWEST: u64 = 64 * 1024;
/// Pause after a connection could not be taken: the system has no handles left, and has none a moment later.
const BREATH: Duration = Duration::from_millis(50);

/// A server that is bound to its port.
pub struct Server {
    listener: TcpListener,
    folder: PathBuf,
    address: SocketAddr,
}

impl Server {
    /// Takes a port of this machine for a folder; port 0 takes any that is free.
    ///
    /// # Errors
    /// When the folder holds no page, or the port is taken.
    pub fn bind(folder: &Path, port: u16) -> Result<Self, SiteError> {
        let refuse = |why: String| SiteError::Serve { why };
        if !folder.join("index.html").is_file() {
            return Err(refuse(format!(
                "{} holds no page; `cruxscope publish` or `cruxscope-web build` makes one",
                folder.display()
            )));
        }
        let folder = fs::canonicalize(folder).map_err(SiteError::io("find", folder))?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|error| {
            refuse(format!(
                "port {port} cannot be used ({error}); choose another with --port, or let --port 0 take a free one"
            ))
        })?;
        let address = listener.local_addr().map_err(|error| refuse(format!("the port has no address: {error}")))?;
        Ok(Self { listener, folder, address })
    }

    /// Where the page is.
    pub fn address(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Answers until the program is ended. A connection that fails is left to its browser, which asks again.
    pub fn run(self) {
        let folder = Arc::new(self.folder);
        let places = Places::new(MOST_CONNECTIONS);
        for (number, stream) in (0..).zip(self.listener.incoming()) {
            let mut stream = match stream {
                Ok(stream) => stream,
                Err(_) => {
                    thread::sleep(BREATH);
                    continue;
                }
            };
            let Some(place) = places.take(number, &stream) else {
                stream.set_write_timeout(Some(BREATH)).ok();
                refuse(&mut stream, "503 Service Unavailable", "Too many connections at once", true).ok();
                continue;
            };
            let folder = Arc::clone(&folder);
            // A browser that goes away in the middle is nothing to report; the place goes with whatever ends the thread.
            let answered = thread::Builder::new().spawn(move || answer(&mut stream, &folder, &place).ok());
            if answered.is_err() {
                thread::sleep(BREATH);
            }
        }
    }
}

/// Asks the system to open an address in the browser; whether it could.
pub fn open_in_browser(address: &str) -> bool {
    open::that_detached(address).is_ok()
}

fn answer(stream: &mut TcpStream, folder: &Path, place: &Place) -> io::Result<()> {
    let asked = read_head(stream)?;
    place.asked();
    stream.set_write_timeout(Some(STALLED))?;
    let asked = String::from_utf8_lossy(&asked);
    let accepted = accepted(&asked);
    let mut lines = asked.lines();
    let request = match Request::from_line(lines.next().unwrap_or_default()) {
        Ok(request) => request,
        Err(refusal) => return refuse_for(stream, refusal, true),
    };
    // Another site's page can be made to reach this machine under that site's name; what it reads then is what this server serves.
    let hosts: Vec<&str> = lines
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.eq_ignore_ascii_case("host"))
        .map(|(_, host)| host.trim())
        .collect();
    if !matches!(hosts.as_slice(), [host] if is_local_host(host)) {
        return refuse(stream, "421 Misdirected Request", "This server answers to localhost only", request.body);
    }
    let path = match request.file() {
        Ok(path) => folder.join(path),
        Err(refusal) => return refuse_for(stream, refusal, request.body),
    };
    // A link inside the folder may point out of it.
    let inside = fs::canonicalize(&path).is_ok_and(|real| real.starts_with(folder));
    if inside && path.is_dir() {
        // Relative addresses in a page need the slash.
        let location = format!("{}/", encode(&request.path));
        return head(
            stream,
            "301 Moved Permanently",
            "text/plain; charset=utf-8",
            0,
            &format!("Location: {location}\r\n"),
        );
    }
    // A packed copy goes in its file's place where the browser takes it, unless the file was changed since it was packed.
    let changed = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let since = changed(&path);
    let copy = accepted.iter().find_map(|(ending, encoding)| {
        let mut name = path.clone().into_os_string();
        name.push(format!(".{ending}"));
        let copy = PathBuf::from(name);
        let here = inside && fs::canonicalize(&copy).is_ok_and(|real| real.starts_with(folder) && real.is_file());
        let here = here && changed(&copy) >= since;
        here.then_some((copy, *encoding))
    });
    let file = match &copy {
        Some((copy, _)) => File::open(copy).ok(),
        None if inside => File::open(&path).ok(),
        None => None,
    };
    let Some((mut file, length)) = file.and_then(|file| file.metadata().map(|metadata| (file, metadata.len())).ok()) else {
        return refuse(stream, "404 Not Found", "There is no such file in this page", request.body);
    };
    let encoded = copy.map_or_else(String::new, |(_, encoding)| {
        format!("Content-Encoding: {encoding}\r\nVary: Accept-Encoding\r\n")
    });
    head(stream, "200 OK", content_type(&path), length, &encoded)?;
    if request.body {
        let most = STALLED + Duration::from_secs(length / SLOWEST);
        copy_within(&mut file, stream, Instant::now() + most)?;
    }
    stream.flush()
}

/// Packed copies that a browser takes, the smallest first: their endings and what HTTP calls them.
fn accepted(head: &str) -> Vec<(&'static str, &'static str)> {
    let named = head.lines().filter_map(|line| line.split_once(':'));
    let values = named
        .filter(|(name, _)| name.eq_ignore_ascii_case("accept-encoding"))
        .flat_map(|(_, value)| value.split(','));
    // One that is refused has no quality.
    let taken: Vec<&str> = values
        .filter_map(|value| {
            let mut parts = value.split(';').map(str::trim);
            let name = parts.next()?;
            let refused = parts.any(|part| matches!(part.replace(' ', "").as_str(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
            (!refused).then_some(name)
        })
        .collect();
    let known = [("br", "br"), ("gz", "gzip")];
    known
        .into_iter()
        .filter(|(_, encoding)| taken.iter().any(|name| name.eq_ignore_ascii_case(encoding)))
        .collect()
}

/// The head of a request, up to its blank line, read before the time for it is over.
fn read_head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + PATIENCE;
    let mut head = Vec::new();
    let mut buffer = [0; 2048];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && !head.windows(2).any(|end| end == b"\n\n") && head.len() < LONGEST_HEAD {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut buffer)? {
            0 => break,
            count => head.extend_from_slice(&buffer[..count]),
        }
    }
    Ok(head)
}

/// Copies a file to a browser that takes it before a moment.
fn copy_within(file: &mut File, stream: &mut TcpStream, deadline: Instant) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            if Instant::now() >= deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            match stream.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(taken) => rest = &rest[taken..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn head(stream: &mut TcpStream, status: &str, kind: &str, length: u64, more: &str) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nCache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n{more}\r\n"
    );
    stream.write_all(head.as_bytes())
}

fn refuse_for(stream: &mut TcpStream, refusal: Refusal, body: bool) -> io::Result<()> {
    match refusal {
        Refusal::Malformed => refuse(stream, "400 Bad Request", "This is no request that can be read", body),
        Refusal::Method => refuse(stream, "405 Method Not Allowed", "This server only lets read", body),
        Refusal::Forbidden => refuse(stream, "403 Forbidden", "This path leads out of the page", body),
    }
}

fn refuse(stream: &mut TcpStream, status: &str, words: &str, body: bool) -> io::Result<()> {
    let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
    let text = format!("{words}\n");
    head(stream, status, "text/plain; charset=utf-8", text.len() as u64, allow)?;
    if body {
        stream.write_all(text.as_bytes())?;
    }
    stream.flush()
}

/// A decoded path as it may stand in a header.
fn encode(path: &str) -> String {
    let mut text = String::new();
    for byte in path.bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'~' => text.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => text.push(char::from(byte)),
            byte => text.push_str(&format!("%{byte:02X}")),
        }
    }
    // Two slashes in front would name another machine.
    format!("/{}", text.trim_start_matches('/'))
}

/// The type of a file, by its ending.
fn content_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("css") => "text/css; charset=utf-8",
        Some("csv") => "text/csv; charset=utf-8",
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("png") => "image/png",
        Some("svg") => "image/svg+xml",
        Some("txt" | "jsonl") => "text/plain; charset=utf-8",
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server over a small folder, and what it answers to a request.
    fn serve() -> (tempfile::TempDir, SocketAddr) {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "secret").unwrap();
        let folder = outside.path().join("page");
        fs::create_dir_all(folder.join("studies/a b")).unwrap();
        fs::write(folder.join("index.html"), "<p>hello").unwrap();
        fs::write(folder.join("program.wasm"), vec![7; 300_000]).unwrap();
        fs::write(folder.join("studies/a b/importance.safetensors"), "numbers").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(outside.path().join("secret"), folder.join("link")).unwrap();
        let server = Server::bind(&folder, 0).unwrap();
        let address = server.address;
        thread::spawn(move || server.run());
        (outside, address)
    }

    fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "{request}\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[test]
    fn files_come_whole_and_with_their_type() {
        let (_folder, address) = serve();
        let page = ask(address, "GET / HTTP/1.1");
        assert!(
            page.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/html") && page.ends_with("<p>hello"),
            "{page}"
        );
        let wasm = ask(address, "GET /program.wasm?v=1 HTTP/1.1");
        assert!(wasm.contains("Content-Type: application/wasm") && wasm.contains("Content-Length: 300000"));
        assert!(wasm.len() > 300_000);
        let arrays = ask(address, "GET /studies/a%20b/importance.safetensors HTTP/1.1");
        assert!(arrays.contains("application/octet-stream") && arrays.ends_with("numbers"));
        let head = ask(address, "HEAD / HTTP/1.1");
        assert!(head.contains("Content-Length: 8") && head.ends_with("\r\n\r\n"));
        assert!(ask(address, "GET /studies/a%20b HTTP/1.1").contains("Location: /studies/a%20b/\r\n"));
    }

    #[test]
    fn packed_copies_go_to_browsers_that_take_them() {
        let (folder, address) = serve();
        let page = folder.path().join("page");
        fs::write(page.join("program.wasm.br"), "packed by brotli").unwrap();
        fs::write(page.join("program.wasm.gz"), "packed by gzip").unwrap();
        let with = |accepted: &str| ask(address, &format!("GET /program.wasm HTTP/1.1\r\nAccept-Encoding: {accepted}"));
        let brotli = with("gzip, deflate, br");
        assert!(brotli.contains("Content-Encoding: br\r\n") && brotli.ends_with("packed by brotli"), "{brotli}");
        assert!(brotli.contains("Content-Type: application/wasm"), "{brotli}");
        assert!(with("gzip, br;q=0").ends_with("packed by gzip"));
        assert!(with("identity").len() > 300_000);
        assert!(
            !ask(address, "GET / HTTP/1.1\r\nAccept-Encoding: br").contains("Content-Encoding"),
            "no copy, no encoding"
        );
        // A file that was changed since is sent as it is.
        let later = std::time::SystemTime::now() + Duration::from_secs(5);
        let program = File::options().append(true).open(page.join("program.wasm")).unwrap();
        program.set_modified(later).unwrap();
        assert!(!with("gzip, br").contains("Content-Encoding"));
    }

    #[test]
    fn nothing_outside_the_folder_is_given() {
        let (_folder, address) = serve();
        for target in ["/../secret", "/%2e%2e/secret", "/studies/..%2f..%2fsecret", "//../secret"] {
            let answer = ask(address, &format!("GET {target} HTTP/1.1"));
            assert!(answer.starts_with("HTTP/1.1 403") && !answer.contains("secret"), "{target}: {answer}");
        }
        assert!(ask(address, "GET /link HTTP/1.1").starts_with("HTTP/1.1 404"));
        assert!(ask(address, "GET /nothing HTTP/1.1").starts_with("HTTP/1.1 404"));
        let method = ask(address, "DELETE / HTTP/1.1");
        assert!(method.starts_with("HTTP/1.1 405") && method.contains("Allow: GET, HEAD"));
        assert!(ask(address, "nonsense").starts_with("HTTP/1.1 400"));
    }

    #[test]
    fn only_a_browser_that_means_this_machine_is_answered() {
        let (_folder, address) = serve();
        let with = |hosts: &str| {
            let mut stream = TcpStream::connect(address).unwrap();
            write!(stream, "GET / HTTP/1.1\r\n{hosts}\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        };
        let port = address.port();
        for host in [
            "localhost".to_owned(),
            format!("127.0.0.1:{port}"),
            format!("LOCALHOST:{port}"),
            format!("[::1]:{port}"),
        ] {
            assert!(with(&format!("Host: {host}\r\n")).starts_with("HTTP/1.1 200"), "{host}");
        }
        for hosts in [
            "Host: attacker.example\r\n",
            "Host: localhost.attacker.example\r\n",
            "Host: 127.0.0.1.attacker.example:80\r\n",
            "Host: localhost@attacker.example\r\n",
            "Host: localhost\r\nHost: attacker.example\r\n",
            "Host:\r\n",
            "",
        ] {
            let answer = with(hosts);
            assert!(answer.starts_with("HTTP/1.1 421") && !answer.contains("hello"), "{hosts}: {answer}");
        }
    }

    #[test]
    fn silent_connections_hold_no_place_against_one_that_asks() {
        let (_folder, address) = serve();
        let silent: Vec<TcpStream> = (0..MOST_CONNECTIONS + 20).map(|_| TcpStream::connect(address).unwrap()).collect();
        for _ in 0..3 {
            assert!(ask(address, "GET / HTTP/1.1").starts_with("HTTP/1.1 200"));
        }
        drop(silent);
    }

    #[test]
    fn a_place_is_given_back_by_whatever_ends_its_holder() {
        let (_folder, address) = serve();
        let stream = TcpStream::connect(address).unwrap();
        let places = Places::new(1);
        let place = places.take(0, &stream).unwrap();
        place.asked();
        assert!(places.take(1, &stream).is_none(), "it is being answered");
        let ended = thread::spawn(move || {
            let _place = place;
            assert_eq!(1, 2, "what ends a thread");
        });
        assert!(ended.join().is_err());
        assert!(places.take(2, &stream).is_some());
    }

    #[test]
    fn many_browsers_are_answered_at_once() {
        let (_folder, address) = serve();
        // One that connects and says nothing must not hold up the others.
        let _silent = TcpStream::connect(address).unwrap();
        let threads: Vec<_> = (0..40)
            .map(|_| thread::spawn(move || ask(address, "GET /program.wasm HTTP/1.1").len()))
            .collect();
        assert!(threads.into_iter().all(|thread| thread.join().unwrap() > 300_000));
    }

    #[test]
    fn a_folder_without_a_page_and_a_taken_port_are_said() {
        let folder = tempfile::tempdir().unwrap();
        assert!(format!("{:#}", Server::bind(folder.path(), 0).err().unwrap()).contains("holds no page"));
        fs::write(folder.path().join("index.html"), "").unwrap();
        let first = Server::bind(folder.path(), 0).unwrap();
        let taken = format!("{:#}", Server::bind(folder.path(), first.address.port()).err().unwrap());
        assert!(taken.contains("--port"), "{taken}");
    }
}
