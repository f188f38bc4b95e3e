"""The program as a process with limits, and folders as digests."""

import dataclasses
import hashlib
import json
import os
import pathlib
import re
import signal
import subprocess
import time

from .report import Finding

# Seconds after which a run on these small inputs hangs.
LIMIT = 90
# Bytes of addresses that a run may ask for: many times what these inputs need.
MEMORY = 4 << 30
# How an exit code tells of a panic.
PANIC = 101


@dataclasses.dataclass
class Result:
    """How a run ended: exit code (negative: signal; None: it hung), what it printed, how long it took."""

    code: int | None
    out: str
    err: str
    seconds: float

    def words(self):
        lines = [line for line in self.err.strip().splitlines() if line]
        return f"exit {self.code}: {' | '.join(lines[-3:])[:400]}"


class Program:
    """The program under test. `preload` is the library that counts and breaks system calls."""

    def __init__(self, path, scratch, preload=None):
        self.path, self.preload = pathlib.Path(path).resolve(), preload
        self.home = scratch / "home"
        self.home.mkdir(parents=True, exist_ok=True)

    def start(self, arguments, folder, redirect="", settings=None, memory=MEMORY):
        """Begins a run in a folder. `redirect` is the shell's, such as `2>&-`."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "TMPDIR": str(self.home),
            "LANG": "C.UTF-8",
            "CAMPAIGN_KEY": KEY,
        }
        if settings:
            environment |= {"LD_PRELOAD": str(self.preload), "CAMPAIGN_ROOT": str(folder), **settings}
        command = f'ulimit -c 0; ulimit -v {memory // 1024}; exec "$0" "$@" {redirect}'
        return subprocess.Popen(
            ["sh", "-c", command, str(self.path), *map(str, arguments)],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def finish(self, process, limit=LIMIT):
        """Waits for a run, and ends it where it hangs."""
        began = time.monotonic()
        try:
            out, err = process.communicate(timeout=limit)
            code = process.returncode
        except subprocess.TimeoutExpired:
            end(process)
            out, err = process.communicate()
            code = None
        return Result(code, out.decode(errors="replace"), err.decode(errors="replace"), time.monotonic() - began)

    def run(self, arguments, folder, limit=LIMIT, **settings):
        return self.finish(self.start(arguments, folder, **settings), limit)

    def kill_after(self, arguments, folder, seconds):
        """Runs, and kills after so long; also whatever it started."""
        process = self.start(arguments, folder)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
        end(process)
        return self.finish(process)


# A secret that no output may hold.
KEY = "sk-campaign-3f9a6c41d2"


def end(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def ends_well(result, where, allowed=(0, 1, 2)):
    """Findings on how a run ended: by itself, without a panic, with an exit code that is documented, and with words after an error."""
    found = []
    if result.code is None:
        found.append(Finding("time-outs", where, f"no end after {result.seconds:.0f} s; {result.words()}"))
    elif result.code == PANIC or "panicked at" in result.err:
        found.append(Finding("panics", where, result.words()))
    elif result.code not in allowed:
        found.append(Finding("ends", where, result.words()))
    if KEY in result.out or KEY in result.err:
        found.append(Finding("differences", where, "a key was printed"))
    return found


def digests(folder):
    """Every file, link and folder below a folder, by its path; what is in it as a digest."""
    found = {}
    for path in sorted(pathlib.Path(folder).rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = f"link to {os.readlink(path)}"
        elif path.is_dir():
            found[name] = "folder"
        elif path.is_file():
            found[name] = digest(path, folder)
        else:
            found[name] = "special"
    return found


def digest(path, folder):
    data = path.read_bytes()
    if path.name.endswith(".plan.json"):
        # It holds whole paths, and a measured time.
        data = re.sub(rb'"seconds": [0-9.e-]+', b"", data.replace(str(folder).encode(), b""))
    if path.parent.name == ".shards":
        return "a note of a shard"  # it holds the clock
    if path.suffix == ".jsonl" and data.startswith(b'{"key"'):
        data = b"\n".join(sorted(map(without_times, data.splitlines())))
    return hashlib.sha256(data).hexdigest()[:16]


def without_times(line):
    """A sample without what the clock and the network decide."""
    try:
        sample = json.loads(line)
    except ValueError:
        return line
    if not isinstance(sample, dict):
        return line
    for name in ["seconds", "attempts"]:
        sample.pop(name, None)
    return json.dumps(sample, sort_keys=True).encode()


def differences(expected, found):
    """In words, how two lots of digests differ; empty where they do not."""
    words = []
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            words.append(f"{name} is missing")
        elif name not in expected:
            # The lock of a killed process: the next one takes it, and it says nothing.
            if name.endswith(".lock"):
                continue
            words.append(f"{name} is left over")
        elif expected[name] != found[name]:
            words.append(f"{name} has other bytes")
    return "; ".join(words[:6]) + ("; …" if len(words) > 6 else "")
