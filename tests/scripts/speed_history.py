#!/usr/bin/env python3
"""Figures of `cruxscope bench` beside those that were recorded before, in tests/speed.json.

usage: speed_history.py PROGRAM [--record]

Generates with SmolLM2 (CRUXSCOPE_SMOLLM2) and compresses it (with CRUXSCOPE_FIXTURES' tokens), on one thread, and prints each figure with its
change. Processor seconds depend on the machine and on what else it does, so nothing fails here: what may not grow is counted in instructions
(instructions.py). --record adds a line to the file, which keeps the last twenty.
"""
import datetime, json, os, subprocess, sys
from pathlib import Path

HISTORY = Path(__file__).resolve().parent.parent / "speed.json"
KEPT = 20
ROWS = "rtn4_g64_asym,wanda50"


def bench(program, *arguments):
    done = subprocess.run([program, "bench", *arguments, "--threads", "1", "--json"], capture_output=True, text=True, timeout=900)
    if done.returncode:
        sys.exit(f"bench {arguments[0]}: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def processor():
    """Its name, family and model: processors of several generations have one name on rented machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown"
    known = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    if "model name" not in known:
        return "unknown"
    return f"{known['model name']}, family {known.get('cpu family', '?')}, model {known.get('model', '?')}"


def main():
    program, model = sys.argv[1], os.environ["CRUXSCOPE_SMOLLM2"]
    figures = {}
    for row in bench(program, "generate", "--model", model, "--sequences", "1,8"):
        figures[f"generation of {row['sequences']}, tokens a CPU s"] = round(row["tokens_per_processor_second"], 1)
    tokens = Path(os.environ.get("CRUXSCOPE_FIXTURES", "")) / "compress/yardstick/tokens.safetensors"
    if tokens.is_file():
        for row in bench(program, "compress", "--model", model, "--tokens", str(tokens), "--rows", ROWS):
            figures[f"compress {row['job']}, CPU s"] = round(row["processor_seconds"], 1)
    history = json.loads(HISTORY.read_text()) if HISTORY.exists() else []
    before = history[-1] if history else {"figures": {}}
    now = {"date": datetime.date.today().isoformat(), "processor": processor(), "figures": figures}
    if history and before["processor"] != now["processor"]:
        print(f"recorded on another processor: {before['processor']}")
    for name, found in figures.items():
        known = before["figures"].get(name)
        change = f"{100 * (found / known - 1):+6.1f} % since {before['date']}" if known else "not recorded"
        print(f"{name:<36} {found:>8} {change}")
    if "--record" in sys.argv:
        lines = [json.dumps(entry) for entry in [*history, now][-KEPT:]]
        HISTORY.write_text("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    main()
