#!/usr/bin/env python3
"""Walks the tour of a published collection in a real browser: every stop is drawn, and the address follows.

    tour.py --site DIR [--shots DIR]

DIR is a folder that `cruxscope publish COLLECTION --out DIR` made. Prints "skipped" and succeeds where there is no Chromium.
"""

import argparse
import functools
import http.server
import json
import pathlib
import sys
import threading

import browser as page
import chromium
import picture


def walk(check, tour):
    """Goes from stop to stop; gives the smallest number of colours that was seen."""
    with check.browser(chromium.WEBGL) as browser:
        fewest = check.run_view(browser, "?stop=1", "tour-1")
        for number, stop in enumerate(tour[1:], 2):
            check.press(browser, "PageDown", "PageDown", 34)
            followed = browser.wait(f"location.hash.includes('stop={number}')", page.PATIENCE)
            page.expect(followed, f"stop {number}, {stop['title']}, was not reached: {browser.evaluate('location.hash')}")
            browser.pause(4)
            check.expect_alive(browser, stop["title"])
            colours = picture.colours(check.shoot(browser, f"tour-{number}"))
            page.expect(colours > picture.ENOUGH_COLOURS / 4, f"stop {number}, {stop['title']}: {colours} colours")
            fewest = min(fewest, colours)
        return fewest


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--site", type=pathlib.Path, required=True)
    parser.add_argument("--shots", type=pathlib.Path)
    arguments = parser.parse_args()
    path = chromium.find()
    if path is None:
        print("skipped: no Chromium was found")
        return 0
    if arguments.shots:
        arguments.shots.mkdir(parents=True, exist_ok=True)
    tour = json.loads((arguments.site / "studies/collection.json").read_text())["tour"]
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(quiet, directory=str(arguments.site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    check = page.Check(path, f"http://127.0.0.1:{server.server_port}/", "", arguments.site, arguments.shots)
    try:
        print(f"a tour of {len(tour)} stops is walked: ok ({walk(check, tour)} colours at least)")
    except (page.Failure, RuntimeError) as failure:
        print(f"a tour of {len(tour)} stops is walked: FAILED: {failure}")
        return 1
    finally:
        server.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
