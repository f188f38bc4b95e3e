#!/usr/bin/env python3
"""Opens the built page in a real browser and looks at it: with a study, by each renderer, and where something is missing.

    browser.py --site DIR --program PATH [--shots DIR]

DIR is a folder that `cruxscope-web build` made, with a study in it; PATH is the cruxscope-web program, which serves it.
It is no test of single views: those are tested without a browser. Prints "skipped" and succeeds where there is no Chromium.
"""

import argparse
import functools
import http.server
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

import broken
import chromium
import picture

# A software renderer on a busy machine needs its time.
PATIENCE = 90


class Failure(Exception):
    """What was expected and did not come."""


def expect(holds, words):
    if not holds:
        raise Failure(words)


class Check:
    """Everything a check needs: the browser's path, the page's address, and where pictures go."""

    def __init__(self, path, address, elsewhere, site, shots):
        self.path, self.address, self.elsewhere, self.site, self.shots = path, address, elsewhere, site, shots
        self.study = json.loads((site / "studies/index.json").read_text())["studies"][0]

    def browser(self, flags):
        return chromium.Browser(self.path, flags)

    def shoot(self, browser, name):
        png = browser.screenshot()
        if self.shots:
            (self.shots / f"web-{name}.png").write_bytes(png)
        return png

    def press(self, browser, key, code, number):
        """Presses a key in the view."""
        browser.evaluate("document.getElementById('view').focus()")
        for kind in ("keyDown", "keyUp"):
            browser.call("Input.dispatchKeyEvent", type=kind, key=key, code=code, windowsVirtualKeyCode=number)

    def expect_alive(self, browser, name):
        """The view still runs, and nothing of a study has."""
        running = browser.wait("document.documentElement.dataset.state === 'running'", PATIENCE)
        expect(running, f"{name}: the view does not run {browser.console}")
        expect(browser.evaluate("window.hacked === undefined"), f"{name}: a script of the study ran")
        errors = [words for kind, words in browser.console if kind == "exception"]
        expect(not errors, f"{name}: the console says {errors}")

    def run_view(self, browser, query, name):
        """Opens the interactive view, and gives its colours once it stands still."""
        browser.open(self.address + query)
        settled = browser.wait("['running', 'stopped'].includes(document.documentElement.dataset.state)", PATIENCE)
        state = browser.evaluate("document.documentElement.dataset.state")
        notice = browser.evaluate("document.getElementById('notice-message')?.textContent")
        expect(settled and state == "running", f"the view is {state}: {notice} {browser.console}")
        browser.pause(4)
        state = browser.evaluate("document.documentElement.dataset.state")
        expect(state == "running", f"the view became {state} {browser.console}")
        return picture.colours(self.shoot(browser, name))

    def expect_tables(self, browser, reason):
        """The numbers stand in the place of the view, readable by a machine that reads aloud."""
        expect(browser.wait("document.documentElement.dataset.state === 'stopped'", PATIENCE), "the numbers did not appear")
        expect(browser.evaluate("document.documentElement.dataset.reason") == reason, f"the reason is not {reason}")
        visible = "[...document.querySelectorAll('#numbers table')].filter((table) => table.getClientRects().length > 0)"
        expect(browser.evaluate(f"{visible}.length") >= 2, "no tables are shown")
        expect(browser.evaluate(f"{visible}.every((table) => table.caption && table.querySelector('th[scope]'))"), "a table lacks its caption or heads")
        rows = browser.evaluate(f"{visible}[1].querySelectorAll('tbody tr').length")
        expect(rows >= 7, f"the ranking has {rows} rows")
        expect(not browser.evaluate("document.getElementById('notice').hidden"), "nothing says why")


def the_view_is_drawn(check):
    with check.browser(chromium.WEBGL) as browser:
        counts = {}
        for scheme in ("dark", "light"):
            browser.prefer(scheme)
            counts[scheme] = check.run_view(browser, "", scheme)
            expect(counts[scheme] > picture.ENOUGH_COLOURS, f"{counts[scheme]} colours in the {scheme} theme")
        errors = [words for kind, words in browser.console if kind in ("error", "exception")]
        expect(not errors, f"the console says {errors}")
        renderer = browser.evaluate("document.documentElement.dataset.renderer")
        return f"{renderer}, {counts['dark']} colours dark, {counts['light']} light"


def the_view_is_drawn_with_webgpu(check):
    with check.browser(chromium.WEBGPU) as browser:
        browser.open(check.address + "site.json")
        offered = browser.evaluate("navigator.gpu ? navigator.gpu.requestAdapter().then(Boolean) : false")
        if not offered:
            return "skipped: this browser offers no WebGPU"
        count = check.run_view(browser, "?renderer=webgpu", "webgpu")
        expect(count > picture.ENOUGH_COLOURS, f"{count} colours")
        return f"{count} colours"


def the_address_follows_the_view(check):
    """A key changes the view, the view writes its link, and the link opens the same view."""
    with check.browser(chromium.WEBGL) as browser:
        check.run_view(browser, "?renderer=webgl#here", "before-key")
        expect(browser.evaluate("location.search + location.hash") == "?renderer=webgl#here", "the address changed though nothing was done")
        check.press(browser, "s", "KeyS", 83)
        expect(browser.wait("location.hash.includes('scale=')", 20), "the address did not follow a key")
        query = dict(urllib.parse.parse_qsl(browser.evaluate("location.hash")[1:]))
        expect(browser.evaluate("location.search") == "?renderer=webgl", "the address lost what is not the view's")
        carried = browser.evaluate("document.getElementById('view').dataset.defaultStudy")
        expect(query.get("study") == carried, f"the link names the study {query.get('study')}, the page carries {carried}")
        check.run_view(browser, browser.evaluate("location.search + location.hash"), "from-link")
        return f"scale={query['scale']}"


def the_first_heatmap_comes_soon(check):
    """From navigation to the first figure on screen, as the page measures it; the third visit has the program in its cache."""
    with check.browser(chromium.WEBGL) as browser:
        times = []
        for _ in range(3):
            browser.open(check.address)
            seen = browser.wait("document.documentElement.dataset.figureAfter && document.documentElement.dataset.state === 'running'", PATIENCE)
            expect(seen, "no figure was seen")
            times.append(int(browser.evaluate("document.documentElement.dataset.figureAfter")))
        return f"{times[0]} ms from navigation, then {times[1]} and {times[2]} ms"


def views_are_switched_by_keys(check):
    with check.browser(chromium.WEBGL) as browser:
        one, two = check.study["path"], "studies/second"
        check.run_view(browser, f"?study={one}&study={two}", "two-studies")
        check.press(browser, "2", "Digit2", 50)
        expect(browser.wait("location.hash.includes('view=shift')", 20), "the address did not follow to the shift")
        query = urllib.parse.parse_qs(browser.evaluate("location.hash")[1:])
        expect({*query["from"], *query["to"]} == {one, two}, f"the link names {query}")
        check.press(browser, "1", "Digit1", 49)
        expect(browser.wait("!location.hash.includes('view=')", 20), "the address did not follow back to importance")
        return "importance, shift and back"


def a_deep_link_opens_what_was_seen(check):
    with check.browser(chromium.WEBGL) as browser:
        link = f"?view=shift&shift=net&scale=log&behaviour=backtracking&component=30_gate&from={check.study['path']}&to=studies/second"
        count = check.run_view(browser, link, "deep-link")
        expect(count > picture.ENOUGH_COLOURS, f"{count} colours")
        check.press(browser, "v", "KeyV", 86)
        moved_on = "location.hash.includes('view=shift') && !location.hash.includes('shift=net')"
        expect(browser.wait(moved_on, 20), "the view is not the link's")
        query = dict(urllib.parse.parse_qsl(browser.evaluate("location.hash")[1:]))
        kept = {key: query.get(key) for key in ("view", "scale", "behaviour", "component")}
        expect(kept == {"view": "shift", "scale": "log", "behaviour": "backtracking", "component": "30_gate"}, f"the link became {query}")
        return f"{count} colours"


def a_link_that_is_pasted_over_another_is_followed(check):
    """The fragment changes without the page being loaded again; a key then steps on from what the new link says."""
    with check.browser(chromium.WEBGL) as browser:
        check.run_view(browser, "", "before-pasting")
        browser.evaluate("location.hash = '#view=benchmarks&results=published&form=table'")
        time.sleep(1)
        check.press(browser, "d", "KeyD", 68)
        expect(browser.wait("location.hash.includes('form=questions')", 20), "the pasted link was not followed")
        check.press(browser, "d", "KeyD", 68)
        check.press(browser, "8", "Digit8", 56)
        expect(browser.wait("location.hash.includes('view=validation')", 20), "the view did not change")
        return "benchmarks, their table, validation"


def channels_wait_until_they_are_looked_at(check):
    """Channel maps are large: the first view comes without them, and their own view fetches them."""
    fetched = "performance.getEntriesByType('resource').some((entry) => entry.name.endsWith('channels.safetensors'))"
    with check.browser(chromium.WEBGL) as browser:
        check.run_view(browser, "?study=studies/with-channels", "before-channels")
        expect(not browser.evaluate(fetched), "the first view fetched the channels")
        check.run_view(browser, "?study=studies/with-channels&view=channels", "channels")
        expect(browser.wait(fetched, PATIENCE), "the view of channels did not fetch them")
        return "fetched by their own view only"


def broken_studies_are_said(check):
    """Each gives a message, in the view and for readers of the screen; none a blank page, a panic or a script that runs."""
    with check.browser(chromium.WEBGL) as browser:
        for name, words in broken.SAID.items():
            browser.open(check.address + f"?study=studies/{name}")
            expect(browser.wait("document.getElementById('said')?.textContent", PATIENCE), f"nothing is said of {name} {browser.console}")
            said = browser.evaluate("document.getElementById('said').textContent")
            expect(words in said, f"of {name} is said: {said}")
            check.expect_alive(browser, name)
        check.shoot(browser, "broken-study")
        browser.open(check.address + f"?study={check.elsewhere}/{check.study['path']}")
        expect(browser.wait("document.getElementById('said')?.textContent.includes('could not be fetched')", PATIENCE), "a study elsewhere is not said to be out of reach")
        check.expect_alive(browser, "elsewhere")
        check.run_view(browser, "?study=studies/script", "script")
        check.expect_alive(browser, "script")
        browser.open(check.address + "studies/script/study.json")
        return f"{len(broken.SAID)} broken, one out of reach, one with a script in its words"


def tables_stand_in_for_the_view(check):
    with check.browser(chromium.NO_GRAPHICS) as browser:
        for scheme in ("light", "dark"):
            browser.prefer(scheme)
            browser.open(check.address)
            check.expect_tables(browser, "no-renderer")
            check.shoot(browser, f"tables-{scheme}")
        browser.open(check.address + check.study["table"])
        expect(browser.wait("document.querySelectorAll('table.grid').length > 0", 20), "the page of tables has no grids")
        check.shoot(browser, "all-numbers")
        grids = browser.evaluate("document.querySelectorAll('table.grid').length")
        return f"{grids} behaviours in full"


def a_missing_program_is_said(check):
    with check.browser(chromium.WEBGL) as browser:
        browser.call("Network.enable")
        browser.call("Network.setBlockedURLs", urls=["*_bg.wasm*"])
        browser.open(check.address)
        check.expect_tables(browser, "error")
        check.shoot(browser, "error")
        return browser.evaluate("document.getElementById('notice-message').textContent")


def the_page_works_without_script(check):
    with check.browser(chromium.WEBGL) as browser:
        browser.call("Emulation.setScriptExecutionDisabled", value=True)
        browser.open(check.address)
        browser.pause(1)
        count = picture.colours(check.shoot(browser, "no-script"))
        expect(count > 10, "the page is blank without script")
        return "the numbers are shown"


def an_embedded_view_keeps_to_itself(check):
    """In a frame of another page, the view takes neither focus nor wheel until it is clicked."""
    with check.browser(chromium.WEBGL) as browser:
        browser.open(check.address + "site.json")
        browser.pause(1)
        frame = f'<iframe id="frame" width="900" height="500" src="{check.address}?embed=1"></iframe>'
        page = f'<body style="height: 3000px"><input id="field"><br>{frame}'
        browser.evaluate(f"document.open(), document.write({json.dumps(page)}), document.close(), document.getElementById('field').focus()")
        inside = "document.getElementById('frame').contentDocument.documentElement.dataset"
        expect(browser.wait(f"{inside}.state === 'running'", PATIENCE), "the frame does not run")
        browser.pause(3)
        check.shoot(browser, "embedded")
        expect(browser.evaluate("document.activeElement.id") == "field", "the frame took the focus")
        at = {"x": 450, "y": 300}
        browser.call("Input.dispatchMouseEvent", type="mouseWheel", deltaX=0, deltaY=100, **at)
        expect(browser.wait("scrollY > 0", 10), "the frame swallowed the wheel")
        for kind in ("mousePressed", "mouseReleased"):
            browser.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **at)
        expect(browser.wait("document.activeElement.id === 'frame'", 10), "a click does not give the frame the focus")
        return "focus and wheel stay with the page until a click"


CHECKS = [
    the_view_is_drawn,
    the_view_is_drawn_with_webgpu,
    the_first_heatmap_comes_soon,
    the_address_follows_the_view,
    views_are_switched_by_keys,
    a_deep_link_opens_what_was_seen,
    a_link_that_is_pasted_over_another_is_followed,
    channels_wait_until_they_are_looked_at,
    broken_studies_are_said,
    tables_stand_in_for_the_view,
    a_missing_program_is_said,
    the_page_works_without_script,
    an_embedded_view_keeps_to_itself,
]


def look(path, site, program, shots):
    """Runs every check on a site; gives how many failed."""
    # A server that lets no other page read what it serves.
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    other = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(quiet, directory=str(site)))
    threading.Thread(target=other.serve_forever, daemon=True).start()
    server = subprocess.Popen([program, "serve", "--no-build", "--out", str(site), "--port", "0"], stderr=subprocess.PIPE, text=True)
    failed = 0
    try:
        address = next(word.rstrip(",") for word in server.stderr.readline().split() if word.startswith("http"))
        with urllib.request.urlopen(address) as answer:
            expect(answer.status == 200, "the server does not answer")
        check = Check(path, address, f"http://127.0.0.1:{other.server_port}", site, shots)
        for function in CHECKS:
            name = function.__name__.replace("_", " ")
            try:
                print(f"{name}: ok ({function(check)})", flush=True)
            except (Failure, RuntimeError) as failure:
                failed += 1
                print(f"{name}: FAILED: {failure}", flush=True)
    finally:
        server.terminate()
        server.wait()
        other.shutdown()
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--site", type=pathlib.Path, required=True)
    parser.add_argument("--program", required=True)
    parser.add_argument("--shots", type=pathlib.Path)
    arguments = parser.parse_args()
    path = chromium.find()
    if path is None:
        print("skipped: no Chromium was found")
        return 0
    if not json.loads((arguments.site / "studies/index.json").read_text())["studies"]:
        print("skipped: the page was built without a study")
        return 0
    if arguments.shots:
        arguments.shots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="cruxscope-site-") as scratch:
        # Broken studies are put into a copy.
        site = pathlib.Path(scratch) / "site"
        shutil.copytree(arguments.site, site)
        broken.add(site, json.loads((site / "studies/index.json").read_text())["studies"][0]["path"])
        failed = look(path, site, arguments.program, arguments.shots)
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
