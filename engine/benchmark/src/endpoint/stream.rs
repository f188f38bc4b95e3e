//! Server-sent events, as far as these servers use them: lines that begin with `data:`, and blank lines between.

/// Bytes of the longest line that is waited for.
const LONGEST_LINE: usize = 16 << 20;

/// What a line means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A piece of JSON.
    Data(String),
    /// The end, as the server says it.
    Done,
}

/// Cuts a stream of bytes into events, wherever the network cut it.
#[derive(Debug, Default)]
pub(super) struct Events {
    waiting: Vec<u8>,
}

impl Events {
    /// Takes bytes and returns the events that they complete.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<Vec<Event>, String> {
        self.waiting.extend_from_slice(bytes);
        let mut events = Vec::new();
        let mut begun = 0;
        while let Some(length) = self.waiting[begun..].iter().position(|byte| *byte == b'\n') {
            let line = &self.waiting[begun..begun + length];
            let line = std::str::from_utf8(line).map_err(|_| "a line of it is no UTF-8".to_owned())?;
            events.extend(event(line.trim_end_matches('\r')));
            begun += length + 1;
        }
        self.waiting.drain(..begun);
        if self.waiting.len() > LONGEST_LINE {
            return Err(format!("a line of it is longer than {LONGEST_LINE} bytes"));
        }
        Ok(events)
    }

    /// The event of a last line that no line break ends.
    pub(super) fn finish(&mut self) -> Result<Vec<Event>, String> {
        if self.waiting.is_empty() { Ok(Vec::new()) } else { self.take(b"\n") }
    }
}

/// The event of a line. Comments, names of events and blank lines are none.
fn event(line: &str) -> Option<Event> {
    let data = line.strip_prefix("data:")?.trim();
    match data {
        "" => None,
        "[DONE]" => Some(Event::Done),
        data => Some(Event::Data(data.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_wherever_the_network_cuts() {
        let stream = ": hello\r\n\r\nevent: x\ndata: {\"é\": 1}\r\n\ndata:{}\n\ndata: [DONE]\n\n".as_bytes();
        let expected = [Event::Data("{\"é\": 1}".into()), Event::Data("{}".into()), Event::Done];
        for cut in 1..stream.len() {
            let mut events = Events::default();
            let found: Vec<Event> = stream.chunks(cut).flat_map(|chunk| events.take(chunk).unwrap()).collect();
            assert_eq!(found, expected, "{cut}");
        }
        assert!(Events::default().take(b"data: \xff\n").is_err());
        let mut unended = Events::default();
        assert_eq!(unended.take(b"data: [DONE]"), Ok(Vec::new()));
        assert_eq!(unended.finish(), Ok(vec![Event::Done]));
        assert_eq!(unended.finish(), Ok(Vec::new()));
    }
}
