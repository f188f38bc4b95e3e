#!/usr/bin/env python3
"""A robustness campaign against the program: kills, disk errors, two writers, closed streams, bad servers, changed and foreign files.

    campaign.py --program target/release/cruxscope [--minutes 10] [--seed 1] [--only PART …]

It makes its inputs from the fixtures of the repository, tries things until the minutes are spent, and prints counts for each part: tries,
differences (other bytes or samples than an undisturbed run gives), panics, foreign files touched, time-outs, and ends with a signal or
an exit code that says the wrong thing. Exit code 1 where any of these is above zero. The same seed makes the same attempts; how many of
them there is time for hangs on the machine. Longer: --minutes 120. Kills and disk errors at a chosen system call need `cc`.
"""

import argparse
import pathlib
import random
import shutil
import sys
import tempfile
import time

from campaign import demo, disk, foreign, kills, mutations, servers, shim, streams, writers
from campaign.process import Program
from campaign.report import KINDS, Part
from campaign.scenarios import Bench
from campaign.toy_server import Server

# Parts in their order, and their shares of the time that is left.
SHARES = {"servers": 0.15, "streams": 0.2, "foreign": 0.15, "writers": 0.2, "kills": 0.33, "disk": 0.4, "demo": 0.45, "mutations": 1.0}
# Most attempts of servers wait.
WAITING = 8


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", type=pathlib.Path, required=True, help="the program, such as target/release/cruxscope")
    parser.add_argument("--minutes", type=float, default=10, help="how long it may take (default 10)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", choices=list(SHARES), help="only this part; may be given several times")
    parser.add_argument("--jobs", type=int, default=3, help="attempts at once (default 3)")
    parser.add_argument("--keep", action="store_true", help="keep the folder of attempts that found something")
    arguments = parser.parse_args()
    if not arguments.program.is_file():
        parser.error(f"there is no program {arguments.program}")
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="campaign-"))
    try:
        parts = run(arguments, scratch)
    finally:
        if arguments.keep:
            print(f"kept: {scratch}")
        else:
            shutil.rmtree(scratch, ignore_errors=True)
    totals = {kind: sum(part.counts()[kind] for part in parts) for kind in KINDS}
    print(f"in all: {sum(part.tries for part in parts)} tries, {', '.join(f'{count} {kind}' for kind, count in totals.items())}")
    return 1 if any(totals.values()) else 0


def run(arguments, scratch):
    end = time.monotonic() + 60 * arguments.minutes
    setup = Part("setup")
    program = Program(arguments.program, scratch, shim.build(scratch, setup))
    server = Server()
    bench = Bench(program, scratch, server.address("good"), setup)
    chosen = [name for name in SHARES if not arguments.only or name in arguments.only]
    rounds = demo.Demo(program, bench) if "demo" in chosen else None
    parts = []
    for name in chosen:
        part, draw = Part(name), random.Random(f"{arguments.seed} {name}")
        left = end - time.monotonic()
        seconds = left * (1 if name == chosen[-1] else SHARES[name])
        jobs = WAITING if name == "servers" else arguments.jobs
        attempts = {
            "servers": lambda: shuffled(draw, servers.attempts(bench, server)),
            "streams": lambda: shuffled(draw, streams.attempts(bench)),
            "foreign": lambda: shuffled(draw, foreign.attempts(bench, draw)),
            "demo": lambda: rounds.attempts(part, draw, seconds),
            "writers": lambda: writers.attempts(bench, draw),
            "kills": lambda: kills.attempts(bench, draw),
            "disk": lambda: disk.attempts(bench, part, draw),
            "mutations": lambda: mutations.attempts(bench, server.address("good"), part, draw),
        }[name]()
        part.run(attempts, seconds, jobs)
        part.print()
        parts.append(part)
    if rounds:
        rounds.end()
    return parts


def shuffled(draw, attempts):
    """In another order, so that a short campaign tries some of everything."""
    attempts = list(attempts)
    draw.shuffle(attempts)
    return attempts


if __name__ == "__main__":
    sys.exit(main())
