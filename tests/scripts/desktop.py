#!/usr/bin/env python3
"""Opens the native window on a display of its own and looks at it.

    desktop.py --program PATH --study DIR [--shots DIR]

PATH is the cruxscope program. The display is Xvfb, the graphics device a software Vulkan; where one of them or the tools for
a screenshot are missing, prints "skipped" and succeeds. A second run uses OpenGL, whose limits are those of a browser.
Then, where xdotool is there to press keys, an interpretation is planned and run from the panel of runs, and another cancelled.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import picture

# A software renderer on a busy machine needs its time.
PATIENCE = 90
SIZE = "1440x860"
TOOLS = ["Xvfb", "xwd"]


def screenshot(environment):
    """What the display shows, as a PNG."""
    # A picture taken while the window is being made can come out damaged; the next one does not.
    for left in reversed(range(5)):
        dump = subprocess.run(["xwd", "-root", "-silent"], env=environment, capture_output=True)
        try:
            return picture.png_of_dump(dump.stdout)
        except ValueError as error:
            said = f"{error} {dump.stderr.decode(errors='replace')}"
        if left:
            time.sleep(1)
    raise RuntimeError(f"no screenshot: {len(dump.stdout)} bytes, {said}")


def start_display(folder):
    """An Xvfb on a free display, and that display's name."""
    reading, writing = os.pipe()
    display = subprocess.Popen(
        # Without a reset when the last of its clients leaves, which may be the one that takes pictures.
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", f"{SIZE}x24", "-nolisten", "tcp", "-noreset"],
        pass_fds=(writing,),
        stdout=subprocess.DEVNULL,
        stderr=open(folder / "xvfb.log", "wb"),
    )
    os.close(writing)
    with os.fdopen(reading) as pipe:
        number = pipe.readline().strip()
    if not number:
        display.kill()
        raise RuntimeError(f"no display: {(folder / 'xvfb.log').read_text()[-500:]}")
    return display, f":{number}"


def look(arguments, backend, folder):
    """Opens the window once; gives the number of its colours, or the words of a failure."""
    display, name = start_display(folder)
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o700, exist_ok=True)
    home = folder / "home"
    home.mkdir(exist_ok=True)
    # A home is new every time, and the window would introduce itself.
    state = folder / "state"
    state.mkdir(exist_ok=True)
    (state / "welcome").write_text("seen")
    environment = dict(os.environ, DISPLAY=name, XDG_RUNTIME_DIR=str(runtime), HOME=str(home), WGPU_BACKEND=backend, CRUXSCOPE_STATE=str(state))
    environment.pop("WAYLAND_DISPLAY", None)
    log = open(folder / f"window-{backend}.log", "w+b")
    window = subprocess.Popen([arguments.program, "view", str(arguments.study)], env=environment, stdout=log, stderr=log)
    try:
        end, count, png = time.monotonic() + PATIENCE, 0, b""
        while time.monotonic() < end and window.poll() is None:
            time.sleep(2)
            png = screenshot(environment)
            found = picture.colours(png)
            # Two pictures alike: the window stands still.
            if found > picture.ENOUGH_COLOURS and found == count:
                break
            count = found
        if arguments.shots and png:
            (arguments.shots / f"desktop-{backend}.png").write_bytes(png)
        if window.poll() is not None:
            log.seek(0)
            return f"FAILED: the program ended with {window.returncode}: {log.read().decode(errors='replace')[-1500:]}"
        if count <= picture.ENOUGH_COLOURS:
            return f"FAILED: {count} colours"
        return f"ok ({count} colours)"
    finally:
        window.kill()
        window.wait()
        display.terminate()
        display.wait()
        log.close()


def many_instances(source, target, copies):
    """A file of JSON lines again and again, each copy with ids of its own."""
    lines = [json.loads(line) for line in source.read_text().splitlines()]
    with target.open("w") as file:
        for copy in range(copies):
            for line in lines:
                file.write(json.dumps(line | {"id": f"{line['id']}-{copy}"}) + "\n")
    return target


def run_from_panel(arguments, folder, name, copies, device, act):
    """Opens the window with the panel filled in; `act` presses keys and gives a verdict."""
    tiny = pathlib.Path(__file__).parents[2] / "tests/fixtures/tiny"
    traces = many_instances(tiny / "traces.jsonl", folder / f"{name}-traces.jsonl", copies)
    annotations = many_instances(tiny / "annotations.jsonl", folder / f"{name}-annotations.jsonl", copies)
    out = folder / name
    display, shown = start_display(folder)
    home = folder / "home"
    home.mkdir(exist_ok=True)
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o700, exist_ok=True)
    environment = dict(os.environ, DISPLAY=shown, XDG_RUNTIME_DIR=str(runtime), HOME=str(home), WGPU_BACKEND="vulkan")
    environment.pop("WAYLAND_DISPLAY", None)
    log = open(folder / f"{name}.log", "w+b")
    command = [arguments.program, "interpret", "--window", "--model", tiny / "model", "--traces", traces]
    command += ["--annotations", annotations, "--out", out, "--device", device]
    window = subprocess.Popen([str(word) for word in command], env=environment, stdout=log, stderr=log)

    def press(key):
        # No window manager gives the window the keyboard, so it is given here.
        focus = ["search", "--onlyvisible", "--name", "^Cruxscope$", "windowfocus", "--sync"]
        subprocess.run(["xdotool", *focus, "key", key], env=environment, check=False, timeout=20)

    def wait(condition, seconds=PATIENCE):
        end = time.monotonic() + seconds
        while time.monotonic() < end and window.poll() is None:
            if condition():
                return True
            time.sleep(0.2)
        return False

    try:
        seen = wait(lambda: picture.colours(screenshot(environment)) > picture.ENOUGH_COLOURS)
        if not seen:
            return "FAILED: no window was seen"
        verdict = act(press, wait, out)
        if arguments.shots:
            (arguments.shots / f"runs-{name}.png").write_bytes(screenshot(environment))
        if window.poll() is not None:
            log.seek(0)
            return f"FAILED: the program ended with {window.returncode}: {log.read().decode(errors='replace')[-1500:]}"
        return verdict
    finally:
        window.kill()
        window.wait()
        display.terminate()
        display.wait()
        log.close()


def finishes(press, wait, out):
    """Ctrl-Enter plans, and starts what is planned: pressed until the study is there."""
    started = time.monotonic()

    def step():
        if not out.exists():
            press("ctrl+Return")
            time.sleep(1.5)
        return (out / "study.json").is_file()

    if not wait(step):
        return "FAILED: no study was written"
    return f"ok (a study after {time.monotonic() - started:.0f} s)"


def cancels(press, wait, out):
    """Ctrl-period stops what computes: its parts stay, and no study is written."""

    def begun():
        if not out.exists():
            press("ctrl+Return")
            time.sleep(1.5)
        return out.exists()

    if not wait(begun):
        return "FAILED: nothing began"
    press("ctrl+period")
    time.sleep(2)

    def parts():
        return len(list((out / ".parts").glob("*"))) if out.exists() else 0

    first = parts()
    time.sleep(2)
    if parts() != first or (out / "study.json").exists():
        return "FAILED: it went on"
    return f"ok ({first} finished parts are kept)"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--study", type=pathlib.Path, required=True)
    parser.add_argument("--shots", type=pathlib.Path)
    arguments = parser.parse_args()
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        print(f"skipped: {', '.join(missing)} not found")
        return 0
    if not (arguments.study / "study.json").is_file():
        print(f"skipped: {arguments.study} holds no study")
        return 0
    if arguments.shots:
        arguments.shots.mkdir(parents=True, exist_ok=True)
    failed = 0
    backends = ["vulkan", "gl"]
    with tempfile.TemporaryDirectory(prefix="cruxscope-desktop-") as folder:
        for backend in backends:
            verdict = look(arguments, backend, pathlib.Path(folder))
            failed += verdict.startswith("FAILED")
            print(f"the window is drawn with {backend}: {verdict}", flush=True)
        of = len(backends)
        if shutil.which("xdotool") is None:
            print("skipped: xdotool not found, so no keys are pressed and nothing is run from the window")
        else:
            for name, copies, device, act in [("finishes", 1, "cpu", finishes), ("cancels", 4000, "reference", cancels)]:
                verdict = run_from_panel(arguments, pathlib.Path(folder), name, copies, device, act)
                of += 1
                failed += verdict.startswith("FAILED")
                print(f"an interpretation from the panel of runs {name}: {verdict}", flush=True)
    print(f"{of - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
