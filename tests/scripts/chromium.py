"""Drives a headless Chromium over its debugging pipe, with the standard library alone.

The pipe carries JSON messages that end in a zero byte; the browser reads them from file 3 and answers on file 4.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--no-first-run",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--window-size=1400,860",
    "--remote-debugging-pipe",
]
# A browser without a graphics card draws with its software renderer.
WEBGL = ["--enable-unsafe-swiftshader"]
WEBGPU = [
    "--enable-unsafe-webgpu",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-features=Vulkan",
    "--use-vulkan=swiftshader",
]
NO_GRAPHICS = ["--disable-3d-apis", "--disable-gpu", "--disable-software-rasterizer"]


def find():
    """The browser's path, or None."""
    for name in ("chromium", "chromium-browser", "google-chrome", "chrome"):
        if path := shutil.which(name):
            return path
    return None


class Browser:
    """One browser with one page; a context that ends the browser and removes its profile."""

    def __init__(self, path, flags):
        self.profile = tempfile.mkdtemp(prefix="cruxscope-browser-")
        to_browser_read, self.to_browser = os.pipe()
        self.from_browser, from_browser_write = os.pipe()
        # Moved out of the way first, so that neither end overwrites the other.
        high = [os.dup2(fd, number) for fd, number in ((to_browser_read, 103), (from_browser_write, 104))]

        def place():
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        self.process = subprocess.Popen(
            [path, *FLAGS, *flags, f"--user-data-dir={self.profile}", "about:blank"],
            preexec_fn=place,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for fd in (to_browser_read, from_browser_write, *high):
            os.close(fd)
        self.buffer, self.number, self.console, self.session = b"", 0, [], None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        # A profile is new every time, and its page would introduce itself to every check.
        known = "try { localStorage.setItem('cruxscope-welcome', 'seen') } catch {}"
        self.call("Page.addScriptToEvaluateOnNewDocument", source=known)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.call("Browser.close", timeout=10)
            self.process.wait(10)
        except (OSError, RuntimeError, subprocess.TimeoutExpired):
            os.killpg(self.process.pid, 9)
            self.process.wait()
        os.close(self.to_browser)
        os.close(self.from_browser)
        shutil.rmtree(self.profile, ignore_errors=True)

    def receive(self, timeout):
        """The next message, or None when there is none in time."""
        end = time.monotonic() + timeout
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.from_browser], [], [], max(0, end - time.monotonic()))
            if not ready:
                return None
            piece = os.read(self.from_browser, 1 << 20)
            if not piece:
                raise RuntimeError("the browser went away")
            self.buffer += piece
        text, self.buffer = self.buffer.split(b"\0", 1)
        message = json.loads(text)
        if message.get("method") == "Runtime.consoleAPICalled":
            words = [str(argument.get("value", argument.get("description", ""))) for argument in message["params"]["args"]]
            self.console.append((message["params"]["type"], " ".join(words)))
        elif message.get("method") == "Runtime.exceptionThrown":
            self.console.append(("exception", json.dumps(message["params"]["exceptionDetails"])[:500]))
        return message

    def call(self, method, timeout=60, **parameters):
        """Calls a method of the debugging protocol and gives its result."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session and not method.startswith(("Target.", "Browser.")):
            message["sessionId"] = self.session
        os.write(self.to_browser, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + timeout
        while (left := end - time.monotonic()) > 0:
            answer = self.receive(left)
            if answer and answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
        raise RuntimeError(f"{method}: no answer in {timeout} s")

    def open(self, address):
        """Opens an address; what the console said about an earlier one is forgotten."""
        self.console.clear()
        self.call("Page.navigate", url=address)

    def evaluate(self, script):
        """The value of an expression in the page."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{script}: {result['exceptionDetails'].get('text')}")
        return result["result"].get("value")

    def wait(self, script, timeout):
        """Waits until an expression holds; gives whether it did in time."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            try:
                if self.evaluate(script):
                    return True
            except RuntimeError:
                # Between two pages there is nothing to ask.
                pass
            self.pause(0.25)
        return False

    def pause(self, seconds):
        """Lets the page go on, and listens to its console meanwhile."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.receive(left)

    def prefer(self, scheme):
        """Makes the system's theme dark or light."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self):
        """The page as a PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
