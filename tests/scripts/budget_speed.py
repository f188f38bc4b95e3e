#!/usr/bin/env python3
"""Times the page's budget in a real browser that draws in software: from a change of the target to the frame that shows the new curve.

    budget_speed.py --site DIR [--steps N] [--within MILLISECONDS]

DIR is a published site whose study has a sketch (`cargo run --release -p cruxscope-window --example budget_study STUDY`, then
`cruxscope publish STUDY --out DIR`). What is timed is the work of the page's own code in each frame: every callback of
requestAnimationFrame, in which the window is laid out and the new recipe chosen. The browser draws it afterwards, in a process of its own.
With a goal the script fails where the median of the frames that follow a change is above it. Prints "skipped" and succeeds where
there is no Chromium.
"""

import argparse
import functools
import http.server
import pathlib
import statistics
import sys
import threading

import chromium

# Replaces requestAnimationFrame before the page's own code runs.
TIMED = """
(() => {
  const real = window.requestAnimationFrame.bind(window);
  window.frames_taken = [];
  window.requestAnimationFrame = (callback) => real((now) => {
    const begun = performance.now();
    callback(now);
    window.frames_taken.push(performance.now() - begun);
  });
})();
"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--site", type=pathlib.Path, required=True)
    parser.add_argument("--steps", type=int, default=40, help="targets that are chosen")
    parser.add_argument("--within", type=float, help="most milliseconds of the median")
    arguments = parser.parse_args()
    path = chromium.find()
    if path is None:
        print("skipped: no Chromium was found")
        return 0
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(arguments.site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with chromium.Browser(path, chromium.WEBGL) as browser:
            browser.call("Page.addScriptToEvaluateOnNewDocument", source=TIMED)
            browser.open(f"http://127.0.0.1:{server.server_port}/?view=budget")
            if not browser.wait("document.documentElement.dataset.state === 'running'", 60):
                print("the view did not run", *browser.console, sep="\n", file=sys.stderr)
                return 1
            # The whole curve is worked out a point at a time at first.
            browser.pause(5)
            # The slider of the target is dragged, in small steps.
            y, left, right = 465, 595, 825
            browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=left, y=y)
            browser.call("Input.dispatchMouseEvent", type="mousePressed", x=left, y=y, button="left", buttons=1, clickCount=1)
            longest = []
            for step in range(arguments.steps):
                browser.evaluate("window.frames_taken.length = 0")
                x = left + (right - left) * (step + 1) // arguments.steps
                browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y, button="left", buttons=1)
                browser.pause(0.2)
                longest.append(browser.evaluate("Math.max(0, ...window.frames_taken)"))
            browser.call("Input.dispatchMouseEvent", type="mouseReleased", x=right, y=y, button="left", clickCount=1)
            # The address says what is seen once it stands still.
            browser.pause(3)
            target = browser.evaluate("new URLSearchParams(location.search + '&' + location.hash.slice(1)).get('target')")
            if target is None or min(longest) == 0:
                print(f"the slider was not met: target {target}, {longest}", file=sys.stderr)
                return 1
    finally:
        server.shutdown()
    median = statistics.median(longest)
    print(
        f"{arguments.steps} targets up to {target} bits a weight; the longest frame after each: median {median:.1f} ms, least {min(longest):.1f}, most {max(longest):.1f}"
    )
    if arguments.within is not None and median > arguments.within:
        print(f"{median:.1f} ms, more than {arguments.within:g}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
