"""A server of an endpoint that answers as its address says: `/BEHAVIOUR/TOKEN/v1/…`. Answers of the good one depend on prompt and seed."""

import gzip
import hashlib
import itertools
import json
import socket
import socketserver
import threading
import time

GIGABYTE = 1 << 30
BOMB, MAKING = b"", threading.Lock()


def good_text(asked):
    prompt = asked.get("prompt") or (asked.get("messages") or [{"content": ""}])[-1]["content"]
    if "BEGIN" in prompt:
        # The annotator's task: the part between the marks comes back in one section.
        part = prompt.rsplit("BEGIN", 1)[-1].rsplit("END", 1)[0].strip("\n")
        return f'["deduction"] {part} ["end-section"]'
    digest = hashlib.sha256(f"{prompt} {asked.get('seed')}".encode()).hexdigest()
    return f"It is {digest[:8]}. The answer is ({'AB'[int(digest[0], 16) % 2]})."


def whole(asked, text, finish="stop", **more):
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "text": text, "message": message, "finish_reason": finish}
    return {"model": "tiny", "choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 4}} | more


def stream(pieces, end=True):
    lines = "".join(f"data: {piece if isinstance(piece, str) else json.dumps(piece)}\n\n" for piece in pieces)
    return (lines + ("data: [DONE]\n\n" if end else "")).encode()


def piece(text, finish=None):
    return {"choices": [{"index": 0, "text": text, "delta": {"content": text}, "finish_reason": finish}]}


def answer(body, status="200 OK", kind="application/json", length=None, headers=""):
    data = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(data) if length is None else length}\r\n{headers}Connection: close\r\n\r\n"
    return head.encode() + data


def events(pieces, end=True):
    return answer(stream(pieces, end), kind="text/event-stream")


def again(first, more, times):
    """The first part, and then the other one so often."""
    return itertools.chain([(first, 0)], itertools.repeat((more, 0), times))


def bomb():
    """Little that becomes much when it is unpacked."""
    global BOMB
    with MAKING:
        BOMB = BOMB or gzip.compress(b" " * (256 << 20), 1)
    return BOMB


# What is sent to a question, as bytes or as pairs of bytes and pauses. Behind each: whether a sample may come of it.
BEHAVIOURS = {
    "good": (lambda asked, key: answer(whole(asked, good_text(asked))), True),
    "good stream": (lambda asked, key: events([piece(good_text(asked)[:5]), piece(good_text(asked)[5:], "stop")]), True),
    "keep-alives": (lambda asked, key: answer(b": ping\n\n" * 20 + stream([piece(good_text(asked)), piece("", "stop")]), kind="text/event-stream"), True),
    "content in parts": (lambda asked, key: answer(whole(asked, [{"type": "text", "text": good_text(asked)}])), None),
    "nothing": (lambda asked, key: b"", False),
    "silence": (lambda asked, key: [(b"", 30)], False),
    "silence after the head": (lambda asked, key: [(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n", 30)], False),
    "a byte now and then": (lambda asked, key: [(byte.to_bytes(1, "big"), 0.3) for byte in answer(whole(asked, good_text(asked)))], False),
    "garbage": (lambda asked, key: hashlib.sha512(b"x").digest() * 50, False),
    "no HTTP": (lambda asked, key: b"hello\r\n\r\n", False),
    "half a head": (lambda asked, key: b"HTTP/1.1 200 O", False),
    "a head without end": (lambda asked, key: again(b"HTTP/1.1 200 OK\r\n", b"X-More: " + b"x" * 8000 + b"\r\n", 5000), False),
    "cut": (lambda asked, key: answer(whole(asked, good_text(asked)))[:-20], False),
    "a stream cut short": (lambda asked, key: events([piece("The answer")], end=False), False),
    "less than its length": (lambda asked, key: answer(whole(asked, good_text(asked)), length=99999), False),
    "a length below zero": (lambda asked, key: answer(whole(asked, good_text(asked)), length=-5), None),
    "a length beyond numbers": (lambda asked, key: answer(whole(asked, good_text(asked)), length=10**30), False),
    "a huge body": (lambda asked, key: again(f"HTTP/1.1 200 OK\r\nContent-Length: {8 * GIGABYTE}\r\n\r\n".encode(), b" " * (1 << 20), 8192), False),
    "a stream without end": (lambda asked, key: again(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", stream([piece("on and on ")], False), 10**7), False),
    "a line without end": (lambda asked, key: again(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: ", b"x" * (1 << 20), 8192), False),
    "429": (lambda asked, key: answer({"error": "slow down"}, "429 Too Many Requests"), False),
    "429 for ever": (lambda asked, key: answer("", "429 X", headers="Retry-After: 1e300\r\n"), False),
    "500": (lambda asked, key: answer("oops", "500 Oops"), False),
    "401": (lambda asked, key: answer({"error": {"message": f"bad key {key}"}}, "401 No"), False),
    "404": (lambda asked, key: answer("no such model", "404 Not Found"), False),
    "a redirect": (lambda asked, key: answer("", "302 Found", headers="Location: http://127.0.0.1:9/v1/completions\r\n"), False),
    "a redirect to itself": (lambda asked, key: answer("", "307 X", headers="Location: completions\r\n"), False),
    "a page": (lambda asked, key: answer("<html>log in</html>", kind="text/html"), False),
    "an error with 200": (lambda asked, key: answer({"error": {"message": f"\x1b[2J key {key}"}}), False),
    "another model": (lambda asked, key: answer(whole(asked, good_text(asked), model="larger")), None),
    "no choice": (lambda asked, key: answer({"choices": []}), False),
    "null choices": (lambda asked, key: answer({"choices": None}), False),
    "empty text": (lambda asked, key: answer(whole(asked, "")), False),
    "blank text": (lambda asked, key: answer(whole(asked, " \n\t")), False),
    "a number for text": (lambda asked, key: answer(whole(asked, 5)), False),
    "an abort": (lambda asked, key: answer(whole(asked, "The ans", "abort")), False),
    "a filter": (lambda asked, key: answer(whole(asked, "The ans", "content_filter")), False),
    "a tool call": (lambda asked, key: answer(whole(asked, None, "tool_calls")), False),
    "deep JSON": (lambda asked, key: answer("[" * 200000), False),
    "numbers beyond numbers": (lambda asked, key: answer(json.dumps(whole(asked, good_text(asked))).replace("4}", "1e999}")), None),
    "half a character": (lambda asked, key: answer(json.dumps(whole(asked, "The answer is (B) \\ud800")).replace("\\\\ud800", "\\ud800")), None),
    "bytes that are no text": (lambda asked, key: answer(b'{"choices": [{"text": "\xff\xfe", "message": {"content": "\xff"}}]}'), False),
    "a packed bomb": (lambda asked, key: answer(bomb(), headers="Content-Encoding: gzip\r\n"), False),
}


class Server(socketserver.ThreadingTCPServer):
    """On loopback; it ends with the campaign."""

    daemon_threads, allow_reuse_address, request_queue_size = True, True, 64

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def address(self, behaviour):
        return f"http://127.0.0.1:{self.server_address[1]}/{behaviour.replace(' ', '_')}/v1"


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        try:
            while self.one():
                pass
        except (OSError, ValueError):
            pass

    def one(self):
        first = self.rfile.readline().decode(errors="replace").split()
        if len(first) < 2:
            return False
        length, key = 0, ""
        while (line := self.rfile.readline().strip()) != b"":
            name, _, value = line.decode(errors="replace").partition(":")
            if name.lower() == "content-length":
                length = int(value)
            if name.lower() == "authorization":
                key = value.strip().removeprefix("Bearer ")
        asked = json.loads(self.rfile.read(length) or b"{}")
        behaviour = first[1].split("/")[1].replace("_", " ")
        make, _ = BEHAVIOURS.get(behaviour, BEHAVIOURS["404"])
        sent = make(asked, key)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part, pause in [(sent, 0)] if isinstance(sent, bytes) else sent:
            self.wfile.write(part)
            if pause:
                self.wfile.flush()
                time.sleep(pause)
        return False
