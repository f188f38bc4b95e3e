#!/usr/bin/env python3
"""Instructions of single kernels, counted by valgrind's callgrind: the same on any machine, whatever else it does.

usage: instructions.py PROGRAM [--record]

PROGRAM is the built example one_kernel (engine/compress/examples). Each count is compared with tests/instructions.json: 5 % more is a
failure, and so is a kernel that the file does not know; --record writes the file anew. Valgrind knows no AVX-512, so that the path of AVX2 is
counted everywhere.
"""
import json, re, subprocess, sys, tempfile
from pathlib import Path

BUDGET = Path(__file__).resolve().parent.parent / "instructions.json"
MOST = 1.05


def count(program, name):
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*counted*",
                   f"--callgrind-out-file={folder}/out", str(program), name]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        if done.returncode:
            sys.exit(f"{name}: {done.stderr[-2000:]}")
        found = re.search(r"Collected : (\d+)", done.stderr)
        if not found or int(found[1]) == 0:
            sys.exit(f"{name}: nothing was counted\n{done.stderr[-2000:]}")
        return int(found[1])


def main():
    program = sys.argv[1]
    names = subprocess.run([program], capture_output=True, text=True, check=True).stdout.split()
    counts = {name: count(program, name) for name in names}
    if "--record" in sys.argv:
        BUDGET.write_text(json.dumps(counts, indent=2) + "\n")
    known = json.loads(BUDGET.read_text())
    failed = []
    for name, found in counts.items():
        before = known.get(name)
        change = "" if before is None else f"{100 * (found / before - 1):+.2f} %"
        print(f"{name:<20} {found:>14,} instructions {change:>9}")
        if before is None or found > MOST * before:
            failed.append(name)
    if failed:
        sys.exit(f"more than {100 * MOST - 100:.0f} % above tests/instructions.json: {', '.join(failed)}; if that is meant, record the new "
                 "counts with --record")


if __name__ == "__main__":
    main()
