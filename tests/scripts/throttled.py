#!/usr/bin/env python3
"""Times a published site in a real browser whose connection is slow: seconds to its first picture, to the running view and to the view's
data; requests, bytes.

    throttled.py --site DIR [--still-within SECONDS,SECONDS] [--within SECONDS,SECONDS] [--requests N] [--bytes N] [--json]

DIR is a folder that `cruxscope publish COLLECTION --out DIR` made. It is served with its packed files, as servers of files do. Each connection
is timed with an empty cache: 1.6 and 20 Mbit/s, both with a delay of 40 ms. The first picture is the still figure of the first stop, which stands
in the document; it counts once it is laid out and painted. With goals the script fails where one is missed. Prints "skipped" and
succeeds where there is no Chromium.
"""

import argparse
import functools
import http.server
import json
import pathlib
import sys
import threading
import time

import chromium

CONNECTIONS = [("1.6 Mbit/s", 1.6e6), ("20 Mbit/s", 20e6)]
DELAY_MS = 40
PATIENCE = 120


class Packed(http.server.SimpleHTTPRequestHandler):
    """Serves the packed file that lies beside a file, where the browser reads it."""

    # Connections stay open, as they do with every server of today.
    protocol_version = "HTTP/1.1"

    def send_head(self):
        path = pathlib.Path(self.translate_path(self.path))
        if path.is_dir():
            path = path / "index.html"
        accepted = self.headers.get("Accept-Encoding", "")
        for encoding, ending in (("br", ".br"), ("gzip", ".gz")):
            packed = path.with_name(path.name + ending)
            if encoding in accepted and packed.is_file():
                break
        else:
            packed, encoding = path, None
        if not packed.is_file():
            self.send_error(404)
            return None
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Length", str(packed.stat().st_size))
        if encoding:
            self.send_header("Content-Encoding", encoding)
        self.end_headers()
        return packed.open("rb")

    def log_message(self, *_):
        pass


class Listening(chromium.Browser):
    """A browser that remembers what went over its connection."""

    def __init__(self, path, flags):
        self.requests, self.bytes = [], 0
        super().__init__(path, flags)

    def receive(self, timeout):
        message = super().receive(timeout)
        if message:
            method, parameters = message.get("method"), message.get("params", {})
            if method == "Network.requestWillBeSent":
                address = parameters["request"]["url"]
                if address.startswith("http"):
                    self.requests.append(address)
            elif method == "Network.loadingFinished":
                self.bytes += int(parameters["encodedDataLength"])
        return message


def measure(path, address, bits_per_second):
    """Opens the page once over a connection."""
    with Listening(path, chromium.WEBGL) as browser:
        browser.call("Network.enable")
        browser.call("Network.setCacheDisabled", cacheDisabled=True)
        speed = bits_per_second / 8
        browser.call("Network.emulateNetworkConditions", offline=False, latency=DELAY_MS, downloadThroughput=speed, uploadThroughput=speed)
        begun = time.monotonic()
        browser.open(address)
        seen = "document.documentElement.dataset.state === 'running'"
        drawn = (
            "document.documentElement.dataset.state === 'loading' && performance.getEntriesByName('first-contentful-paint').length > 0"
            " && (document.querySelector('#still svg')?.getBoundingClientRect().height ?? 0) > 0"
        )
        still = None
        while time.monotonic() - begun < PATIENCE:
            try:
                if still is None and browser.evaluate(drawn):
                    still = time.monotonic() - begun
                if browser.evaluate(seen):
                    break
            except RuntimeError:
                pass
            browser.pause(0.05)
        else:
            raise RuntimeError("the view did not run")
        running = time.monotonic() - begun
        # What the view shows is fetched by the view itself; the connection is quiet once it is there.
        last, quiet = (len(browser.requests), browser.bytes), time.monotonic()
        while time.monotonic() - quiet < 2 and time.monotonic() - begun < PATIENCE:
            browser.pause(0.1)
            if last != (now := (len(browser.requests), browser.bytes)):
                last, quiet = now, time.monotonic()
        return {"still": still, "running": running, "picture": quiet - begun, "requests": len(browser.requests), "bytes": browser.bytes, "fetched": browser.requests}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--site", type=pathlib.Path, required=True)
    parser.add_argument("--still-within", help="most seconds to the first picture, one a connection, the slow one first")
    parser.add_argument("--within", help="most seconds to the view's data, likewise")
    parser.add_argument("--requests", type=int, help="most requests")
    parser.add_argument("--bytes", type=int, help="most bytes")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    path = chromium.find()
    if path is None:
        print("skipped: no Chromium was found")
        return 0
    within, still_within = (
        [float(seconds) for seconds in given.split(",")] if given else [] for given in (arguments.within, arguments.still_within)
    )
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Packed, directory=str(arguments.site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    missed, found = [], {}
    try:
        for place, (name, speed) in enumerate(CONNECTIONS):
            own = found[name] = measure(path, f"http://127.0.0.1:{server.server_port}/", speed)
            if not arguments.json:
                first = "no picture before it" if own["still"] is None else f"first picture after {own['still']:.1f} s"
                print(
                    f"{name}: {first}, the view runs after {own['running']:.1f} s, its data is there after {own['picture']:.1f} s; "
                    f"{own['requests']} requests, {own['bytes'] / 1e6:.2f} MB"
                )
            stills = still_within[place] if place < len(still_within) else None
            goals = [("seconds to the data", own["picture"], within[place] if place < len(within) else None)]
            goals += [("seconds to the first picture", float("inf") if own["still"] is None else own["still"], stills)]
            goals += [("requests", own["requests"], arguments.requests), ("bytes", own["bytes"], arguments.bytes)]
            missed += [f"{name}: {value:.6g} {what}, more than {most:g}" for what, value, most in goals if most is not None and value > most]
    finally:
        server.shutdown()
    if arguments.json:
        print(json.dumps(found, indent=2))
    for words in missed:
        print(words, file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
