//! A server on loopback that answers as a test tells it to: well, badly, or not at all.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

/// What was asked.
pub struct Asked {
    /// The path, such as `/v1/completions`.
    pub path: String,
    /// The key, as it came.
    pub authorization: Option<String>,
    /// The body.
    pub body: Value,
    /// How often the same was asked before.
    pub before: usize,
}

impl Asked {
    /// The prompt, or the last message.
    pub fn prompt(&self) -> String {
        match &self.body["prompt"] {
            Value::String(prompt) => prompt.clone(),
            _ => self.body["messages"].as_array().unwrap().last().unwrap()["content"]
                .as_str()
                .unwrap()
                .to_owned(),
        }
    }

    /// What the model of this server writes: something that tells prompt and seed.
    pub fn output(&self) -> String {
        format!("é {} with seed {}: the answer is (B)", self.prompt().len(), self.body["seed"])
    }
}

/// What the server does.
pub enum Answer {
    /// A good answer, streamed or whole as asked.
    Good,
    /// A text of one's own, likewise.
    Text(String),
    /// A status with headers and a body.
    Status(u16, &'static str, String),
    /// Silence.
    Hang(Duration),
    /// The connection is closed without a word.
    Close,
    /// A good answer that breaks off in the middle.
    Cut,
    /// A stream that ends cleanly, but before its end.
    CutCleanly,
    /// An answer whose JSON is half there.
    HalfJson,
    /// A page of HTML.
    Page,
    /// A stream that never ends.
    Endless,
    /// Any JSON, whole.
    Json(Value),
    /// Bytes as they are, then the end of the connection.
    Raw(Vec<u8>),
    /// The same, one byte after the other with a pause between.
    Drip(Vec<u8>, Duration),
}

/// The server. It ends with the process.
pub struct Server {
    /// Its address, with `/v1`.
    pub address: String,
    counts: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Server {
    /// Begins to serve.
    pub fn start(decide: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/v1", listener.local_addr().unwrap());
        let counts: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
        let (decide, shared) = (Arc::new(decide), counts.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (decide, counts) = (decide.clone(), shared.clone());
                std::thread::spawn(move || serve(stream, &*decide, &counts));
            }
        });
        Self { address, counts }
    }

    /// How many requests came.
    pub fn requests(&self) -> usize {
        self.counts.lock().unwrap().values().sum()
    }
}

fn serve(stream: TcpStream, decide: &dyn Fn(&Asked) -> Answer, counts: &Mutex<BTreeMap<String, usize>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first).ok()? == 0 {
            return None;
        }
        let path = first.split_whitespace().nth(1)?.to_owned();
        let (mut length, mut authorization) = (0, None);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim().split_once(':') else { break };
            match name.to_lowercase().as_str() {
                "content-length" => length = value.trim().parse().ok()?,
                "authorization" => authorization = Some(value.trim().to_owned()),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let before = {
            let mut counts = counts.lock().unwrap();
            let count = counts.entry(String::from_utf8_lossy(&body).into_owned()).or_default();
            *count += 1;
            *count - 1
        };
        let asked = Asked {
            path,
            authorization,
            body: serde_json::from_slice(&body).ok()?,
            before,
        };
        let answer = decide(&asked);
        respond(&mut stream, &asked, answer)?;
    }
}

/// Answers; nothing where the connection is to end.
fn respond(stream: &mut TcpStream, asked: &Asked, answer: Answer) -> Option<()> {
    let streamed = asked.body["stream"] == true;
    match answer {
        Answer::Good if streamed => stream_text(stream, asked, &asked.output(), 2),
        Answer::Good => whole(stream, 200, "", &whole_text(asked, &asked.output())),
        Answer::Text(text) if streamed => stream_text(stream, asked, &text, 2),
        Answer::Text(text) => whole(stream, 200, "", &whole_text(asked, &text)),
        Answer::Json(value) => whole(stream, 200, "", &value.to_string()),
        Answer::Raw(bytes) => {
            stream.write_all(&bytes).ok()?;
            None
        }
        Answer::Drip(bytes, pause) => {
            for byte in bytes {
                stream.write_all(&[byte]).ok()?;
                std::thread::sleep(pause);
            }
            None
        }
        Answer::Status(status, headers, body) => whole(stream, status, headers, &body),
        Answer::Hang(duration) => {
            std::thread::sleep(duration);
            None
        }
        Answer::Close => None,
        Answer::Cut if streamed => {
            stream_text(stream, asked, &asked.output(), 0)?;
            None
        }
        Answer::Cut => {
            let body = whole_text(asked, &asked.output());
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).ok()?;
            stream.write_all(&body.as_bytes()[..body.len() / 2]).ok()?;
            None
        }
        Answer::CutCleanly if streamed => stream_text(stream, asked, &asked.output(), 1),
        Answer::HalfJson | Answer::CutCleanly => {
            let body = whole_text(asked, &asked.output());
            let body = if streamed {
                format!("data: {}\n\n", &body[..body.len() / 2])
            } else {
                body[..body.len() / 2].to_owned()
            };
            whole(stream, 200, "", &body)
        }
        Answer::Page => whole(stream, 200, "Content-Type: text/html\r\n", "<html>\n<body>proxy</body>\n</html>\n"),
        Answer::Endless => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
                .ok()?;
            loop {
                chunk(
                    stream,
                    &format!("data: {}\n\n", json!({"choices": [{"text": "and on ", "delta": {"content": "and on "}}]})),
                )?;
            }
        }
    }
}

fn whole_text(asked: &Asked, text: &str) -> String {
    let usage = json!({"prompt_tokens": 9, "completion_tokens": 5});
    if asked.path.ends_with("chat/completions") {
        json!({"choices": [{"message": {"role": "assistant", "content": text, "reasoning_content": "hm"}, "finish_reason": "stop"}], "usage": usage})
            .to_string()
    } else {
        json!({"choices": [{"text": text, "finish_reason": "stop"}], "usage": usage}).to_string()
    }
}

fn whole(stream: &mut TcpStream, status: u16, headers: &str, body: &str) -> Option<()> {
    let head = format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body.as_bytes()).ok()
}

fn chunk(stream: &mut TcpStream, text: &str) -> Option<()> {
    stream.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).ok()
}

/// A text in pieces; `how`: 0, broken off; 1, ended without its end; 2, whole.
fn stream_text(stream: &mut TcpStream, asked: &Asked, text: &str, how: u32) -> Option<()> {
    stream
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        .ok()?;
    let chat = asked.path.ends_with("chat/completions");
    let characters: Vec<char> = text.chars().collect();
    let pieces = characters.chunks(7).map(|piece| piece.iter().collect::<String>());
    let count = pieces.len();
    if chat {
        chunk(stream, &format!("data: {}\n\n", json!({"choices": [{"delta": {"reasoning": "hm"}}]})))?;
    }
    for piece in pieces.take(if how == 2 { count } else { count / 2 }) {
        let choice = if chat {
            json!({"delta": {"content": piece}})
        } else {
            json!({"text": piece, "finish_reason": null})
        };
        chunk(stream, &format!("data: {}\n\n", json!({"choices": [choice]})))?;
    }
    if how == 2 {
        let last = json!({"choices": [{"text": "", "delta": {}, "finish_reason": "stop"}]});
        let usage = json!({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 5}});
        chunk(stream, &format!("data: {last}\n\ndata: {usage}\n\n: done\n\ndata: [DONE]\n\n"))?;
    }
    if how > 0 {
        stream.write_all(b"0\r\n\r\n").ok()?;
    }
    Some(())
}
