#!/usr/bin/env python3
"""How long one thread works alone while a command runs on several, and at what: what more processors would not speed up.

usage: serial_share.py [--skip SECONDS] COMMAND...

Samples the command with perf (Debian: linux-perf), divides the time into windows of 2 ms, and counts the windows in which samples of one thread
alone were taken. Where that thread is in a matrix product the others wait for its last part; the rest is serial code. `--skip` leaves out the
beginning, such as reading the weights.

    serial_share.py --skip 0.5 cruxscope bench interpret --model DIR --traces FILE --annotations FILE --threads 2 --runs 1
"""
import collections, shutil, subprocess, sys, tempfile
from pathlib import Path

WINDOW = 0.002
RATE = 2000
SHOWN = 12


def samples(command):
    """Seconds, thread and function of every sample."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "perf.data"
        done = subprocess.run(["perf", "record", "-q", "-F", str(RATE), "-o", str(file), "--", *command], stdout=subprocess.DEVNULL)
        if done.returncode:
            sys.exit(f"{command[0]} ended with {done.returncode}")
        script = subprocess.run(["perf", "script", "-i", str(file), "-F", "tid,time,ip,sym"], capture_output=True, text=True)
    for line in script.stdout.splitlines():
        fields = line.split(None, 3)
        if len(fields) == 4:
            yield float(fields[1].rstrip(":")), int(fields[0]), fields[3].strip()


def main():
    arguments, skip = sys.argv[1:], 0.0
    if arguments[:1] == ["--skip"]:
        skip, arguments = float(arguments[1]), arguments[2:]
    if not arguments:
        sys.exit(__doc__)
    if not shutil.which("perf"):
        sys.exit("perf is not installed (Debian: linux-perf)")
    taken = sorted(samples(arguments))
    if not taken:
        sys.exit("perf took no samples")
    began = taken[0][0] + skip
    windows = collections.defaultdict(list)
    for time, thread, function in taken:
        if time >= began:
            windows[int((time - began) / WINDOW)].append((thread, function))
    alone = collections.Counter()
    count = 0
    for window in windows.values():
        if len({thread for thread, _ in window}) == 1:
            count += 1
            alone.update(function for _, function in window)
    all_alone = max(sum(alone.values()), 1)
    waiting = sum(number for function, number in alone.items() if "gemm" in function)
    share = count / max(len(windows), 1)
    print(f"one thread alone in {100 * share:.1f} % of {len(windows)} windows of 2 ms")
    print(f"in products, whose last part the others wait for: {100 * share * waiting / all_alone:.1f} %; else: {100 * share * (1 - waiting / all_alone):.1f} %")
    for function, number in alone.most_common(SHOWN):
        print(f"{100 * number / all_alone:5.1f} % of it {function[:120]}")


if __name__ == "__main__":
    main()
